// SPDX-License-Identifier: Apache-2.0
//! The inactivity probe: silence, one question, silence, the end (after OVS, lib/reconnect.h).

use std::time::{Duration, Instant};

/// When the server was last heard, and whether it has been asked since.
#[derive(Debug)]
pub(super) struct Liveness {
    interval: Option<Duration>,
    since: Instant,
    asked: bool,
}

/// What to do about the silence of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    Probe,
    Dead,
}

impl Liveness {
    pub(super) const fn new(interval: Option<Duration>, now: Instant) -> Self {
        Self {
            interval,
            since: now,
            asked: false,
        }
    }

    pub(super) const fn heard(&mut self, now: Instant) {
        self.since = now;
        self.asked = false;
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.checked_add(self.interval?)
    }

    pub(super) fn check(&mut self, now: Instant) -> Verdict {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Verdict::Fine;
        }
        if self.asked {
            return Verdict::Dead;
        }
        // Counted from now: a machine that slept gives its server a full interval to answer.
        self.since = now;
        self.asked = true;
        Verdict::Probe
    }
}
