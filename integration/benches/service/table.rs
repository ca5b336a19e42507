// SPDX-License-Identifier: Apache-2.0
//! What all turns found: medians, and ratios within a turn.

use std::collections::BTreeMap;

use crate::figure::{Figures, median};
use crate::measure::Found;
use crate::{Rival, SIZES};

/// A turn of a site: through a Service, and past all.
type Turn = (Found, Found);
type Quantity = fn(&Found) -> f64;

const RIVALS: [Rival; 3] = [Rival::Culvert, Rival::Iptables, Rival::Nftables];
const FEW: u32 = SIZES[0];
const MANY: u32 = SIZES[SIZES.len() - 1];

/// Word, unit, and where it is.
const QUANTITIES: [(&str, &str, Quantity); 3] = [
    ("first_packet", "us", |found| found.first),
    ("steady", "us", |found| found.steady),
    ("connections", "per second", |found| found.connections),
];

/// Everything that was found.
#[derive(Default)]
pub(crate) struct Table(BTreeMap<(Rival, u32), Vec<Turn>>);

impl Table {
    pub(crate) fn add(&mut self, site: (Rival, u32), turn: Turn) {
        self.0.entry(site).or_default().push(turn);
    }

    pub(crate) fn print(&self) {
        for (word, unit, of) in QUANTITIES {
            self.print_quantity(word, unit, of);
        }
        let mut figures = Figures::default();
        for (word, _, of) in QUANTITIES {
            let name = format!("service_{word}_{MANY}_of_{FEW}");
            let growth = self.growth(Rival::Culvert, of);
            if word == "connections" {
                figures.at_least(&name, growth, "x", 0.9);
            } else {
                figures.at_most(&name, growth, "x", 1.1);
            }
        }
        figures.print();
        for (word, _, of) in QUANTITIES {
            let growth = RIVALS.map(|rival| self.growth(rival, of));
            print_ratio(&format!("service_{word}_{MANY}_of_{FEW}"), growth);
        }
        for (word, _, of) in QUANTITIES {
            let beside = RIVALS.map(|rival| self.beside_direct(rival, MANY, of));
            print_ratio(&format!("service_{word}_{MANY}_of_direct"), beside);
        }
    }

    /// Medians; beside each, how many times as much it is as the direct way in the same turn.
    fn print_quantity(&self, word: &str, unit: &str, of: Quantity) {
        println!("\n{word}, {unit}, through a Service of so many (times the direct way's):");
        print!("{:<12}", "");
        for size in SIZES {
            print!("{size:>20}");
        }
        println!("{:>12}", "direct");
        for rival in RIVALS {
            print!("{:<12}", word_of(rival));
            for size in SIZES {
                let through = middle(self.turns(rival, size), |turn| of(&turn.0));
                let beside = format!("({:.2})", self.beside_direct(rival, size, of));
                print!("{through:>12.0} {beside:>7}");
            }
            let direct = middle(self.turns(rival, FEW), |turn| of(&turn.1));
            println!("{direct:>12.0}");
        }
    }

    fn turns(&self, rival: Rival, size: u32) -> &[Turn] {
        self.0.get(&(rival, size)).map_or(&[], Vec::as_slice)
    }

    /// The most Services beside the fewest.
    fn growth(&self, rival: Rival, of: Quantity) -> f64 {
        let pairs = self.turns(rival, FEW).iter().zip(self.turns(rival, MANY));
        let mut ratios: Vec<f64> = pairs.map(|(few, many)| of(&many.0) / of(&few.0)).collect();
        median(&mut ratios)
    }

    fn beside_direct(&self, rival: Rival, size: u32, of: Quantity) -> f64 {
        middle(self.turns(rival, size), |turn| of(&turn.0) / of(&turn.1))
    }
}

fn middle(turns: &[Turn], of: impl Fn(&Turn) -> f64) -> f64 {
    median(&mut turns.iter().map(of).collect::<Vec<_>>())
}

fn print_ratio(name: &str, values: [f64; 3]) {
    print!("ratio {name}");
    for (rival, value) in RIVALS.into_iter().zip(values) {
        print!(" {} {value:.2}", word_of(rival));
    }
    println!();
}

fn word_of(rival: Rival) -> String {
    format!("{rival:?}").to_lowercase()
}
