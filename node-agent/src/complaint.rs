// SPDX-License-Identifier: Apache-2.0
//! What is wrong, said once and not in every round.

/// Says the same thing once only.
#[derive(Debug, Default)]
pub(crate) struct Complaint {
    last: Option<String>,
}

impl Complaint {
    /// Warns, or says that it is `fine` again; whether something is wrong.
    pub(crate) fn about<E: ToString>(&mut self, result: Result<(), E>, fine: &str) -> bool {
        match &result {
            Ok(()) => self.resolved(fine),
            Err(cause) => self.warn(&cause.to_string()),
        }
        result.is_err()
    }

    pub(crate) fn warn(&mut self, text: &str) {
        if self.last.as_deref() != Some(text) {
            tracing::warn!("{text}");
            self.last = Some(text.to_owned());
        }
    }

    pub(crate) fn resolved(&mut self, text: &str) {
        if self.last.take().is_some() {
            tracing::info!("{text}");
        }
    }

    pub(crate) fn clear(&mut self) {
        self.last = None;
    }
}
