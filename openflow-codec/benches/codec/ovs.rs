// SPDX-License-Identifier: Apache-2.0
//! The same flows through Open vSwitch's own codec, by way of `ovs-ofctl`.
//!
//! It has no command that encodes or decodes and does nothing else, so text is part of both
//! figures. Starting the program is not: a run with few flows is taken off.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use openflow_codec::{Context, Xid};

use crate::{line, sample};

const FEW: u32 = 1_000;
const MANY: u32 = 101_000;
const ROUNDS: usize = 3;

pub(crate) fn report() {
    println!("\nOpen vSwitch's C (ovs-ofctl), CPU time, best of {ROUNDS} runs:");
    match measure() {
        Ok([parse, print]) => {
            line("parse-flows: text, encode, decode, text", parse);
            line("ofp-parse: decode, text", print);
        }
        Err(problem) => println!("  not measured: {problem}"),
    }
}

fn measure() -> Result<[f64; 2], String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = |name: &str| folder.join(format!("bench-{}-{name}", std::process::id()));
    let [few_text, many_text] = [file("few.txt"), file("many.txt")];
    let [few_bytes, many_bytes] = [file("few.ofp"), file("many.ofp")];
    let written = write_text(&few_text, FEW)
        .and_then(|()| write_text(&many_text, MANY))
        .and_then(|()| write_bytes(&few_bytes, FEW))
        .and_then(|()| write_bytes(&many_bytes, MANY))
        .map_err(|error| format!("cannot write in {}: {error}", folder.display()));
    let rates = written.and_then(|()| {
        Ok([
            rate("parse-flows", &few_text, &many_text)?,
            rate("ofp-parse", &few_bytes, &many_bytes)?,
        ])
    });
    for file in [few_text, many_text, few_bytes, many_bytes] {
        // A file that was never written is not there to remove.
        drop(std::fs::remove_file(file));
    }
    rates
}

fn write_text(path: &Path, flows: u32) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for number in 0..flows {
        writeln!(file, "{}", sample::flow(number))?;
    }
    file.flush()
}

fn write_bytes(path: &Path, flows: u32) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut out = Vec::new();
    for number in 0..flows {
        out.clear();
        sample::flow(number)
            .encode_add(Xid(number), &Context::UNMAPPED, &mut out)
            .expect("a small flow");
        file.write_all(&out)?;
    }
    file.flush()
}

/// Flows per second of CPU.
fn rate(command: &str, few: &Path, many: &Path) -> Result<f64, String> {
    let mut best = 0f64;
    for _ in 0..ROUNDS {
        let start = cpu_of(command, few)?;
        let whole = cpu_of(command, many)?;
        let seconds = whole.saturating_sub(start).as_secs_f64();
        if seconds > 0.0 {
            best = best.max(f64::from(MANY - FEW) / seconds);
        }
    }
    Ok(best)
}

/// CPU time of one run of `ovs-ofctl`.
fn cpu_of(command: &str, file: &Path) -> Result<Duration, String> {
    let before = cpu_of_children()?;
    let status = Command::new("ovs-ofctl")
        .args(["--protocols=OpenFlow15", command])
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("cannot start ovs-ofctl: {error}"))?;
    if !status.success() {
        return Err(format!("ovs-ofctl {command} failed: {status}"));
    }
    Ok(cpu_of_children()?.saturating_sub(before))
}

/// CPU time of all children that have ended: `cutime` and `cstime` of proc_pid_stat(5).
fn cpu_of_children() -> Result<Duration, String> {
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string("/proc/self/stat").map_err(|error| error.to_string())?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Vec<u32> = after_name
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|number| number.parse().ok())
        .collect();
    match ticks.as_slice() {
        [user, system] => Ok(TICK * (user + system)),
        _ => Err("/proc/self/stat is not as proc_pid_stat(5) says".to_owned()),
    }
}
