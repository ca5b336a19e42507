// SPDX-License-Identifier: Apache-2.0
//! Policy cases by feature, with real packets on two nodes.

use anyhow::{Result, ensure};
use clap::Parser;
use integration::cases::report::{self, Part, Selection};

/// Runs policy cases by feature: each is a sequence of changes, with a full truth table of real
/// packets between nine Pods on two nodes, in IPv4 and IPv6, after every one.
#[derive(Debug, Parser)]
#[command(name = "run policy-cases")]
struct Args {
    /// Run only so many cases, chosen by the seed
    #[arg(long, value_name = "N")]
    cases: Option<usize>,
    /// Seed of the choice and of the random cases
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Run only the K-th of N parts
    #[arg(long, value_name = "K/N")]
    part: Option<Part>,
    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let Args {
        cases,
        seed,
        part,
        json,
    } = Args::parse();
    let selection = Selection { seed, cases, part };
    let report = report::run("cases", selection, |line| eprintln!("{line}"))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    ensure!(
        report.wrong.is_empty(),
        "{} answers are wrong",
        report.wrong.len()
    );
    Ok(())
}
