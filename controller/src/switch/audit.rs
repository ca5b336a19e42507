// SPDX-License-Identifier: Apache-2.0
//! When a switch is compared with what it should hold, or its counters are read, in the background.

use std::time::{Duration, Instant};

use crate::control::ConnectionId;

/// The audits, or the readings of counters, of one connection: one in every interval, and no two
/// connections at the same moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Audits {
    interval: Duration,
    next: Instant,
}

impl Audits {
    /// Audits of a connection that was just made. The first one is due between half an interval and
    /// one and a half: all switches connect at once when a controller starts.
    pub(super) fn new(interval: Duration, connection: ConnectionId, now: Instant) -> Self {
        let next = now + interval / 2 + interval.mul_f64(fraction(connection.0));
        Self { interval, next }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Whether one is due; it counts as begun.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let due = self.next <= now;
        if due {
            self.next = now + self.interval;
        }
        due
    }
}

/// Spreads consecutive numbers evenly over 0..1 (multiples of the golden ratio).
fn fraction(number: u64) -> f64 {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    spread as f64 / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(600);

    #[test]
    fn an_audit_is_due_once_in_each_interval() {
        let start = Instant::now();
        let mut audits = Audits::new(INTERVAL, ConnectionId(7), start);
        let first = audits.next();
        assert!(first >= start + INTERVAL / 2 && first <= start + INTERVAL * 3 / 2);
        assert!(!audits.begin(first - Duration::from_millis(1)));
        assert!(audits.begin(first));
        assert!(!audits.begin(first));
        assert_eq!(audits.next(), first + INTERVAL);
    }

    #[test]
    fn switches_that_connect_at_once_are_not_audited_at_once() {
        let start = Instant::now();
        let mut firsts: Vec<Instant> = (0..1_000)
            .map(|n| Audits::new(INTERVAL, ConnectionId(n), start).next())
            .collect();
        firsts.sort_unstable();
        let busiest = firsts.iter().map(|first| {
            firsts.partition_point(|other| *other < *first + Duration::from_secs(6))
                - firsts.partition_point(|other| other < first)
        });
        // A hundredth of the interval sees about a hundredth of the switches.
        assert!(busiest.max().is_some_and(|most| most <= 15));
    }
}
