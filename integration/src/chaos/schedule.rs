// SPDX-License-Identifier: Apache-2.0
//! Random schedules of overlapping faults, each decided by its seed.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::fault::{Fault, Program};
use super::lab::{Lab, Row};
use crate::Cluster;

/// Faults that begin within one and a half seconds.
const SPREAD_MS: u64 = 1_500;
/// Longest time a fault lasts.
const LONGEST_MS: u64 = 2_000;

/// A few faults that overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    seed: u64,
    faults: Vec<Planned>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Planned {
    begin: Duration,
    node: usize,
    fault: Fault,
}

impl Schedule {
    /// The schedule of a seed: two to four faults, at most one of each program of a node.
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut faults: Vec<Planned> = Vec::new();
        let count = 2 + dice.below(3);
        while (faults.len() as u64) < count {
            let planned = Planned {
                begin: Duration::from_millis(dice.below(SPREAD_MS)),
                node: 1 + usize::from(dice.below(2) == 1),
                fault: fault(&mut dice),
            };
            if !faults.iter().any(|other| other.collides(&planned)) {
                faults.push(planned);
            }
        }
        Self { seed, faults }
    }

    /// Lets it happen; answers what it cost.
    pub fn run(&self, lab: &mut Lab) -> Result<Row> {
        lab.measure(self.to_string(), |cluster| self.inflict(cluster))
    }

    fn inflict(&self, cluster: &Cluster) -> Result<Instant> {
        let undone: Vec<_> = std::thread::scope(|scope| {
            let running: Vec<_> = self
                .faults
                .iter()
                .map(|planned| scope.spawn(move || planned.inflict(cluster)))
                .collect();
            let joined = running.into_iter().map(|fault| match fault.join() {
                Ok(undone) => undone,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.collect::<Result<_>>()
        })?;
        Ok(undone.into_iter().max().unwrap_or_else(Instant::now))
    }
}

impl Planned {
    fn collides(&self, other: &Self) -> bool {
        let program = self.fault.program();
        let same_node = self.node == other.node || program == Some(Program::Controller);
        same_node && program == other.fault.program()
    }

    fn inflict(&self, cluster: &Cluster) -> Result<Instant> {
        std::thread::sleep(self.begin);
        self.fault.inflict(cluster, cluster.bed().node(self.node)?)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}:", self.seed)?;
        for Planned { begin, node, fault } in &self.faults {
            write!(f, " [{begin:?}, node {node}: {fault}]")?;
        }
        Ok(())
    }
}

fn fault(dice: &mut Dice) -> Fault {
    let program = Program::ALL[dice.below(Program::ALL.len() as u64) as usize];
    let how_long = Duration::from_millis(dice.below(LONGEST_MS));
    match dice.below(5) {
        0 | 1 => Fault::Kill(program, how_long),
        2 | 3 => Fault::Stop(program, how_long),
        _ => Fault::Unplug(how_long),
    }
}

/// SplitMix64, which a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_whole_schedule() {
        assert_eq!(Schedule::of(7), Schedule::of(7));
        assert_ne!(Schedule::of(7), Schedule::of(8));
    }

    #[test]
    fn no_program_suffers_two_faults_at_once() {
        for seed in 0..1_000 {
            let Schedule { faults, .. } = Schedule::of(seed);
            assert!((2..=4).contains(&faults.len()));
            for (at, one) in faults.iter().enumerate() {
                assert!(faults[..at].iter().all(|other| !other.collides(one)));
            }
        }
    }
}
