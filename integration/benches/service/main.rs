// SPDX-License-Identifier: Apache-2.0
//! What packets find at a Service, with 100, 1,000 and 10,000 of them: through the real controller and
//! Open vSwitch, beside kube-proxy's rules in the kernel, and beside the way without a Service.
//!
//! `./run bench service` starts this. Everything stands ready before the first packet is measured. Then
//! all take turns of a few packets, many times, because the machine may be busy with other things; what
//! is compared is from the same turn.

mod culvert;
#[path = "../../../controller/benches/sync/figure.rs"]
mod figure;
mod kernel;
mod measure;
mod rules;
mod services;
mod table;

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::culvert::Culvert;
use crate::kernel::{Kernel, Rules};
use crate::measure::Way;
use crate::table::Table;

/// How many Services there are.
const SIZES: [u32; 3] = [100, 1_000, 10_000];

/// How long turns are taken: on a busy machine there are fewer.
const MEASURING: Duration = Duration::from_secs(90);

/// Who leads connections to endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rival {
    Culvert,
    Iptables,
    Nftables,
}

/// Ways through so many Services, and past them.
struct Site {
    rival: Rival,
    size: u32,
    through: Way,
    past: Way,
}

fn main() -> Result<()> {
    let started = Instant::now();
    let beds = std::thread::scope(|scope| {
        let starting: Vec<_> = SIZES
            .map(|size| scope.spawn(move || Culvert::start(size)))
            .into();
        starting.into_iter().map(join).collect::<Result<Vec<_>>>()
    })?;
    // The sizes of a rival have their turns one after the other.
    let mut sites: Vec<Site> = beds.iter().map(Culvert::site).collect();
    for (rival, rules) in [
        (Rival::Iptables, Rules::Iptables),
        (Rival::Nftables, Rules::Nftables),
    ] {
        for bed in &beds {
            sites.push(Kernel::start(bed, rules)?.site(rival));
        }
    }
    println!(
        "everything stands after {:.0} s",
        started.elapsed().as_secs_f64()
    );
    let (mut table, mut turn) = (Table::default(), 0);
    let measuring = Instant::now();
    while measuring.elapsed() < MEASURING {
        for at in 0..sites.len() {
            // Who is first changes from turn to turn.
            let site = &sites[(at + turn) % sites.len()];
            let found = (site.through.measure(turn)?, site.past.measure(turn)?);
            table.add((site.rival, site.size), found);
        }
        turn += 1;
    }
    println!("{turn} turns");
    table.print();
    Ok(())
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
