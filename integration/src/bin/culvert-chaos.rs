// SPDX-License-Identifier: Apache-2.0
//! `culvert-chaos`: faults under traffic, and what they cost.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use integration::chaos::{self, Options};

/// Kills, stops and unplugs every part of a cluster under traffic, and prints what each fault costs;
/// exits 0 only if nothing leaked and everything came back as it was.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Random schedules of overlapping faults, after every fault by itself.
    #[arg(long, default_value_t = 100)]
    schedules: u64,
    /// Seed of the first schedule; the n-th has the n-th seed from it.
    #[arg(long, env = "CULVERT_SEED", default_value_t = 1)]
    seed: u64,
    /// Write the table into this document too.
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Args {
        schedules,
        seed,
        document,
    } = Args::parse();
    let options = Options {
        schedules,
        seed,
        document,
    };
    match chaos::run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
