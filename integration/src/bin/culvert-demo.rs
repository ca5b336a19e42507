// SPDX-License-Identifier: Apache-2.0
//! `culvert-demo`: a cluster of namespaces and real Open vSwitch, judged by real packets.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use integration::demo::{self, Options};

/// Builds Open vSwitch nodes in network namespaces, adds Pods, and compares what real packets see
/// with what the YAML says.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Probe, edit a policy, probe again, tear down, and exit 0 only if all was as expected.
    #[arg(long)]
    check: bool,
    /// Print one JSON document; progress goes to standard error. Implies --check.
    #[arg(long)]
    json: bool,
    /// Name of this run; runs of different names do not disturb each other.
    #[arg(long, default_value = "demo")]
    name: String,
    /// Directory of manifests to start from [default: examples/demo].
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Args {
        check,
        json,
        name,
        manifests,
    } = Args::parse();
    let check = check || json;
    let options = Options {
        name,
        check,
        json,
        manifests: manifests.unwrap_or_else(demo::examples),
    };
    match demo::run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
