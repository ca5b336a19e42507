// SPDX-License-Identifier: Apache-2.0
//! What developers run now and then.

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../../openflow-codec/tests/codec/ovs.rs"]
mod ovs;
mod vectors;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};

/// Golden vectors and the table of coverage of the OpenFlow codec.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo run -p xtask --")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Records what ovs-ofctl and ovs-vswitchd say to each other into openflow-codec/tests/vectors.
    ///
    /// Starts an Open vSwitch of its own with a dummy datapath. Needs openvswitch-switch.
    Vectors {
        /// Only says what is different to what is there, and fails if anything is.
        #[arg(long)]
        check: bool,
    },
    /// Writes docs/openflow-coverage.md: how often each message, field and action is proven.
    Coverage,
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Vectors { check: false } => vectors::write(&folder("openflow-codec/tests/vectors")),
        Task::Vectors { check: true } => vectors::check(&folder("openflow-codec/tests/vectors")),
        Task::Coverage => write_coverage(),
    }
}

/// A folder of the repository.
fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The counts come from the codec's tests, where the cases are made, so these write the document.
fn write_coverage() -> Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--package", "openflow-codec"])
        .args(["--test", "codec", "coverage"])
        .env("UPDATE", "1")
        .current_dir(folder("."))
        .status()
        .context("cargo")?;
    ensure!(status.success(), "a row is empty; the document is written");
    Ok(())
}
