// SPDX-License-Identifier: Apache-2.0
//! How often the agent has refused, or has not.

use std::sync::atomic::{AtomicU64, Ordering};

use super::NoAnswer;

/// Packets that came to be refused, since the agent started, by what became of them.
#[derive(Debug, Default)]
pub struct Counts {
    answered: AtomicU64,
    not_answered: AtomicU64,
    malformed: AtomicU64,
    undelivered: AtomicU64,
    not_forgotten: AtomicU64,
}

impl Counts {
    /// Each kind and its number.
    pub fn read(&self) -> [(&'static str, u64); 5] {
        [
            ("answered", &self.answered),
            ("not_answered", &self.not_answered),
            ("malformed", &self.malformed),
            ("undelivered", &self.undelivered),
            ("not_forgotten", &self.not_forgotten),
        ]
        .map(|(kind, count)| (kind, count.load(Ordering::Relaxed)))
    }

    /// One packet more; the first of each kind that is not answered is logged.
    pub(super) fn refused<T>(&self, refusal: &Result<T, NoAnswer>) {
        let (count, what) = match refusal {
            Ok(_) => return add(&self.answered, None),
            Err(NoAnswer::NotAnswered) => (&self.not_answered, "it is of a kind without answer"),
            Err(NoAnswer::Malformed) => (&self.malformed, "it is malformed"),
        };
        add(count, Some(what));
    }

    /// The switch could not send an answer.
    pub(super) fn undelivered(&self) {
        add(&self.undelivered, Some("its port has gone"));
    }

    /// The switch does not forget connections to an endpoint that has left.
    pub(super) fn not_forgotten(&self) {
        if self.not_forgotten.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                "vswitchd does not forget UDP connections to endpoints that have left (it must be 3.1 or \
                 later): clients that keep their port wait until these time out"
            );
        }
    }
}

fn add(count: &AtomicU64, what: Option<&str>) {
    let before = count.fetch_add(1, Ordering::Relaxed);
    if let Some(reason) = what
        && before == 0
    {
        tracing::info!(
            reason,
            "a packet is not refused; further ones are only counted"
        );
    }
}
