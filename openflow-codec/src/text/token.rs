// SPDX-License-Identifier: Apache-2.0
//! Texts cut into `key`, `key=value`, `key:value` and `key(value)`.

use super::TextError;

/// One word of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// What stands before the first `=`, `:` or `(`.
    pub(super) key: &'a str,
    /// What stands after it; for `(` what stands between the parentheses.
    pub(super) value: &'a str,
    /// That first character; `None` for a lone word.
    pub(super) delimiter: Option<char>,
    /// All of it.
    pub(super) text: &'a str,
}

/// Words that may be as short as they are.
const FREE_WORDS: usize = 200;

/// Length of words, with the comma behind them, at which a value takes at most 16 times the memory of
/// its text: an action takes 80 bytes.
const SHORT_WORD: usize = 5;

/// Cuts `text` at commas and white space that stand outside of parentheses and brackets.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, TextError> {
    let is_cut = |c: char| c == ',' || c.is_ascii_whitespace();
    let words = count(text, is_cut)?;
    if words > FREE_WORDS
        && words.saturating_mul(SHORT_WORD) > text.len().saturating_add(SHORT_WORD)
    {
        return Err(TextError::ShortWords { words });
    }
    let mut tokens = Vec::with_capacity(words);
    cut(text, is_cut, |piece| {
        if !piece.is_empty() {
            tokens.push(token(piece)?);
        }
        Ok(())
    })?;
    Ok(tokens)
}

/// Cuts `text` where `is_cut` says so, outside of parentheses and brackets.
pub(super) fn pieces(text: &str, is_cut: impl Fn(char) -> bool) -> Result<Vec<&str>, TextError> {
    let mut pieces = Vec::with_capacity(count(text, &is_cut)?);
    cut(text, &is_cut, |piece| {
        pieces.push(piece);
        Ok(())
    })?;
    Ok(pieces)
}

/// How many pieces [`cut`] finds. A text may be of very many, and a vector that grows has twice what
/// it needs for a while.
fn count(text: &str, is_cut: impl Fn(char) -> bool) -> Result<usize, TextError> {
    let mut count = 0usize;
    cut(text, is_cut, |_| {
        count = count.saturating_add(1);
        Ok(())
    })?;
    Ok(count)
}

fn cut<'a>(
    text: &'a str,
    is_cut: impl Fn(char) -> bool,
    mut found: impl FnMut(&'a str) -> Result<(), TextError>,
) -> Result<(), TextError> {
    let unbalanced = || TextError::Unbalanced(text.to_owned());
    let mut depth = 0usize;
    let mut rest = text;
    let mut length = 0usize;
    for c in text.chars() {
        match c {
            '(' | '[' => depth = depth.saturating_add(1),
            ')' | ']' => depth = depth.checked_sub(1).ok_or_else(unbalanced)?,
            c if depth == 0 && is_cut(c) => {
                let (piece, after) = rest.split_at_checked(length).ok_or_else(unbalanced)?;
                found(piece)?;
                rest = after.get(c.len_utf8()..).ok_or_else(unbalanced)?;
                length = 0;
                continue;
            }
            _ => {}
        }
        length = length.saturating_add(c.len_utf8());
    }
    if depth != 0 {
        return Err(unbalanced());
    }
    found(rest)
}

fn token(text: &str) -> Result<Token<'_>, TextError> {
    let Some((at, delimiter)) = text
        .char_indices()
        .find(|(_, c)| matches!(c, '=' | ':' | '('))
    else {
        return Ok(Token {
            key: text,
            value: "",
            delimiter: None,
            text,
        });
    };
    let unbalanced = || TextError::Unbalanced(text.to_owned());
    let (key, value) = text.split_at_checked(at).ok_or_else(unbalanced)?;
    let value = value.get(1..).ok_or_else(unbalanced)?;
    // `check_pkt_larger(100)->NXM_NX_REG0[0]` goes on after its parenthesis.
    let value = match value.strip_suffix(')') {
        Some(inside) if delimiter == '(' => inside,
        _ => value,
    };
    Ok(Token {
        key,
        value,
        delimiter: Some(delimiter),
        text,
    })
}

/// A number, decimal or with `0x`.
pub(super) fn number(what: &str, text: &str) -> Result<u128, TextError> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u128::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| TextError::bad_value(what, text))
}

/// A number that fits in `T`.
pub(super) fn small<T: TryFrom<u128>>(what: &str, text: &str) -> Result<T, TextError> {
    T::try_from(number(what, text)?).map_err(|_| TextError::bad_value(what, text))
}

/// Bytes written as pairs of hexadecimal digits, with or without points between them.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| *c != '.')
        .map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Action;
    use crate::text::{Names, actions_from_str};

    fn outputs(ports: std::ops::Range<u32>) -> String {
        ports.map(|port| format!("{port},")).collect()
    }

    #[test]
    fn actions_take_at_most_sixteen_times_their_text() {
        let names = Names::default();
        let free = FREE_WORDS * size_of::<Action>();
        for text in [
            outputs(0..150),
            outputs(1000..3000),
            "output:1,".repeat(2000),
        ] {
            let actions = actions_from_str(&text, &names).unwrap();
            let taken = actions.capacity() * size_of::<Action>();
            assert!(
                taken <= 16 * text.len() + free,
                "{taken} for {}",
                text.len()
            );
        }
        for text in ["1,".repeat(2000), ",".repeat(2000), outputs(100..900)] {
            let error = actions_from_str(&text, &names).unwrap_err();
            assert!(matches!(error, TextError::ShortWords { .. }), "{error}");
        }
    }
}
