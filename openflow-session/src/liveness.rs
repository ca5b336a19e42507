// SPDX-License-Identifier: Apache-2.0
//! Tells a silent switch from a dead one (after OVS `lib/reconnect.c`).

use std::time::Instant;

use crate::config::Timing;

/// When the switch was last heard, and whether it has been asked since.
#[derive(Debug)]
pub(crate) struct Liveness {
    heard: Instant,
    probed: Option<Instant>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing yet.
    Nothing,
    /// Send an echo request.
    Probe,
    /// The switch is gone.
    Dead,
}

impl Liveness {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            heard: now,
            probed: None,
        }
    }

    /// Bytes came in: any bytes prove life.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.probed = None;
    }

    /// When [`Liveness::due`] will next say something.
    pub(crate) fn deadline(&self, timing: &Timing) -> Instant {
        match self.probed {
            None => self.heard + timing.probe_interval,
            Some(probed) => probed + timing.probe_timeout,
        }
    }

    /// What is due at `now`; a probe counts as sent.
    pub(crate) fn due(&mut self, now: Instant, timing: &Timing) -> Due {
        if now < self.deadline(timing) {
            return Due::Nothing;
        }
        if self.probed.is_some() {
            return Due::Dead;
        }
        self.probed = Some(now);
        Due::Probe
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Due, Liveness};
    use crate::config::Timing;

    #[test]
    fn silence_is_probed_once_and_then_ends_the_connection() {
        let timing = Timing {
            probe_interval: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(3),
            ..Timing::default()
        };
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut liveness = Liveness::new(start);
        assert_eq!(liveness.due(at(4), &timing), Due::Nothing);
        assert_eq!(liveness.due(at(5), &timing), Due::Probe);
        assert_eq!(liveness.due(at(7), &timing), Due::Nothing);
        assert_eq!(liveness.due(at(8), &timing), Due::Dead);
    }

    #[test]
    fn any_byte_after_a_probe_keeps_the_connection() {
        let timing = Timing::default();
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        let probed = liveness.deadline(&timing);
        assert_eq!(liveness.due(probed, &timing), Due::Probe);
        liveness.heard(probed + Duration::from_secs(1));
        assert_eq!(
            liveness.due(probed + timing.probe_timeout, &timing),
            Due::Probe
        );
    }
}
