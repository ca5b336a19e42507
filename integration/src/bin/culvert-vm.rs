// SPDX-License-Identifier: Apache-2.0
//! Runs a command of this machine under another kernel, in a virtual machine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use integration::vm::{self, Image, Job, Size};
use serde_json::json;

/// Runs a command under another kernel: a virtual machine with this machine's files, which it cannot
/// change, and without a network. Exits with the command's status; 124 when the time is over.
#[derive(Debug, Parser)]
#[command(name = "culvert-vm")]
struct Args {
    /// Folder with an unpacked kernel package (dpkg-deb --extract PACKAGE.deb FOLDER)
    #[arg(long, value_name = "FOLDER")]
    kernel: PathBuf,
    /// Folder for the kernel's console and, of a command that fails, its logs; emptied first
    #[arg(long, value_name = "FOLDER")]
    keep: PathBuf,
    /// Switch the machine off after so long
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    limit: u64,
    /// Memory of the machine
    #[arg(long, value_name = "MIB", default_value_t = 3072)]
    memory: u32,
    /// Processors of the machine
    #[arg(long, value_name = "N", default_value_t = 2)]
    cpus: u32,
    /// Variable of the command's environment; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Print each line as a JSON object, results of tests and the end as objects of their own
    #[arg(long)]
    json: bool,
    /// The command and its arguments
    #[arg(required = true, last = true)]
    command: Vec<String>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it must be KEY=VALUE")?;
    let usable = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if key.is_empty() || !key.bytes().all(usable) {
        return Err(format!("{key:?} is no name of a variable"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let image = Image::open(&args.kernel)?;
    let job = Job {
        command: args.command,
        env: args.env,
        directory: std::env::current_dir().context("there is no current folder")?,
        limit: Duration::from_secs(args.limit),
    };
    let size = Size {
        memory: args.memory,
        cpus: args.cpus,
    };
    let json = args.json;
    let outcome = vm::run(&image, size, &job, &args.keep, |line| {
        if json {
            println!("{}", event(line));
        } else {
            println!("{line}");
        }
    })?;
    let seconds = outcome.lived.as_secs_f64();
    if json {
        let end = json!({"event": "end", "kernel": image.version(), "status": outcome.status,
            "late": outcome.late, "seconds": seconds, "kept": args.keep});
        println!("{end}");
    }
    let kept = args.keep.display();
    let version = image.version();
    Ok(match outcome.status {
        Some(0) => {
            eprintln!("done under Linux {version} in {seconds:.0} s");
            ExitCode::SUCCESS
        }
        Some(status) => {
            eprintln!("failed under Linux {version} with status {status}: logs are in {kept}");
            ExitCode::from(u8::try_from(status).unwrap_or(1))
        }
        None if outcome.late => {
            eprintln!("not done after {} s: switched off; see {kept}", args.limit);
            ExitCode::from(124)
        }
        None => {
            eprintln!("the machine ended before the command did: see {kept}/console.log");
            ExitCode::FAILURE
        }
    })
}

/// A line of the command; what the test runner says of a test is told apart.
fn event(line: &str) -> serde_json::Value {
    let test = line
        .strip_prefix("test ")
        .and_then(|rest| rest.split_once(" ... "));
    match test {
        Some((name, outcome)) => json!({"event": "test", "name": name, "outcome": outcome}),
        None => json!({"event": "line", "text": line}),
    }
}
