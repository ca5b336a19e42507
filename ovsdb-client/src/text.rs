// SPDX-License-Identifier: Apache-2.0
//! Text of a peer, cut to a length fit for an error message.

const EXCERPT_CHARS: usize = 80;

/// The first characters of `text`, with an ellipsis if there are more.
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => {
            let mut short = text.get(..end).unwrap_or_default().to_owned();
            short.push('…');
            short
        }
    }
}
