// SPDX-License-Identifier: Apache-2.0
//! What all turns found: medians, and ratios within a turn.

use std::collections::BTreeMap;

use crate::figure::{Figures, median};
use crate::measure::Found;
use crate::{Rival, SIZES};

/// A turn of a site: through a Service, and past all.
type Turn = (Found, Found);
type Quantity = fn(&Found) -> f64;

/// Word, unit, and how many times as much there may be with 10,000 Services as with 100, or must be.
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
            println!(
                "\n{word}, {unit}; through a Service (median, and beside the direct way of the same turn):"
            );
            print!("{:<12}", "");
            for size in SIZES {
                print!("{size:>12} Services");
            }
            println!("{:>14}", "direct");
            for rival in [Rival::Culvert, Rival::Iptables, Rival::Nftables] {
                print!("{:<12}", format!("{rival:?}").to_lowercase());
                for size in SIZES {
                    let through = middle(self.turns(rival, size), |turn| of(&turn.0));
                    let beside = self.beside_direct(rival, size, of);
                    print!("{through:>12.0} x {beside:<6.2}");
                }
                let direct = middle(self.turns(rival, SIZES[0]), |turn| of(&turn.1));
                println!("{direct:>14.0}");
            }
        }
        let (few, many) = (SIZES[0], SIZES[SIZES.len() - 1]);
        let mut figures = Figures::default();
        for (word, _, of) in QUANTITIES {
            let name = format!("service_{word}_{many}_of_{few}");
            let ratio = self.growth(Rival::Culvert, of);
            if word == "connections" {
                figures.at_least(&name, ratio, "x", 0.9);
            } else {
                figures.at_most(&name, ratio, "x", 1.1);
            }
        }
        figures.print();
        for (word, _, of) in QUANTITIES {
            let growth = [Rival::Iptables, Rival::Nftables].map(|rival| self.growth(rival, of));
            println!(
                "ratio service_{word}_{many}_of_{few} culvert {:.2} iptables {:.2} nftables {:.2}",
                self.growth(Rival::Culvert, of),
                growth[0],
                growth[1]
            );
        }
        for (word, _, of) in QUANTITIES {
            let [culvert, iptables, nftables] = [Rival::Culvert, Rival::Iptables, Rival::Nftables]
                .map(|rival| self.beside_direct(rival, many, of));
            println!(
                "ratio service_{word}_{many}_of_direct culvert {culvert:.2} iptables {iptables:.2} nftables {nftables:.2}"
            );
        }
    }

    fn turns(&self, rival: Rival, size: u32) -> &[Turn] {
        self.0.get(&(rival, size)).map_or(&[], Vec::as_slice)
    }

    /// The most Services beside the fewest.
    fn growth(&self, rival: Rival, of: Quantity) -> f64 {
        let (few, many) = (SIZES[0], SIZES[SIZES.len() - 1]);
        let pairs = self.turns(rival, few).iter().zip(self.turns(rival, many));
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
