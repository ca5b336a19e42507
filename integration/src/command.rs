// SPDX-License-Identifier: Apache-2.0
//! External commands, always bounded in time, with what they said in the error.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// Longest time a helper command such as `ip` or `ovs-vsctl` may take.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A command that is killed after `limit`; built on coreutils' `timeout`, so that it needs no
/// thread of ours.
pub fn bounded<S: AsRef<OsStr>>(program: S, limit: Duration) -> Command {
    let mut command = Command::new("timeout");
    command
        .arg("--kill-after=2")
        .arg(format!("{:.3}", limit.as_secs_f64()))
        .arg(program)
        .stdin(Stdio::null());
    command
}

/// Runs `program` with `args`, answers its standard output, and fails with its standard error when
/// its exit status is not zero.
pub fn run<S: AsRef<OsStr>>(program: &str, args: &[S]) -> Result<String> {
    let mut command = bounded(program, LIMIT);
    command.args(args);
    let output = command
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    let words: Vec<_> = args
        .iter()
        .map(|word| word.as_ref().to_string_lossy())
        .collect();
    succeed(&format!("{program} {}", words.join(" ")), output)
}

/// Runs a command given as one line of words without quoting.
pub fn run_line(line: &str) -> Result<String> {
    let mut words = line.split_ascii_whitespace();
    let program = words.next().context("empty command line")?;
    run(program, &words.collect::<Vec<_>>())
}

/// Starts `command`, writes `input` to it, and collects what it answers.
pub fn feed(mut command: Command, input: &[u8]) -> Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let mut stdin = child
        .stdin
        .take()
        .context("the child has no standard input")?;
    // A program may rightly exit before it has read everything; its exit status tells the rest.
    match stdin.write_all(input) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => drop(stdin),
    }
    Ok(child.wait_with_output()?)
}

/// The path of one of this workspace's binaries, built beside the running one.
///
/// `CULVERT_BIN_DIR` names another folder.
pub fn culvert_binary(name: &str) -> Result<PathBuf> {
    let mut folders = Vec::new();
    if let Some(folder) = std::env::var_os("CULVERT_BIN_DIR") {
        folders.push(PathBuf::from(folder));
    } else {
        let own = std::env::current_exe().context("cannot find the running binary")?;
        // Test binaries live one folder below the ordinary ones, in `deps`.
        folders.extend(own.ancestors().skip(1).take(2).map(PathBuf::from));
    }
    for folder in &folders {
        let path = folder.join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    bail!(
        "{name} is not built: looked in {}; run `cargo build --workspace --bins`, or set CULVERT_BIN_DIR",
        folders
            .iter()
            .map(|folder| folder.display().to_string())
            .collect::<Vec<_>>()
            .join(", ")
    )
}

fn succeed(what: &str, output: Output) -> Result<String> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let reason = match output.status.code() {
        Some(124 | 137) => format!("no answer within {LIMIT:?}"),
        Some(code) => format!("exit status {code}"),
        None => output.status.to_string(),
    };
    bail!(
        "`{what}` failed ({reason}): {}{}",
        stderr.trim(),
        stdout.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_reported_with_its_own_words() {
        let error = run("ls", &["/nonexistent-path"]).unwrap_err().to_string();
        assert!(error.contains("ls /nonexistent-path"), "{error}");
        assert!(error.contains("No such file"), "{error}");
    }

    #[test]
    fn a_command_that_hangs_is_ended_at_its_limit() {
        let mut command = bounded("sleep", Duration::from_millis(100));
        let output = command.arg("30").output().unwrap();
        assert_eq!(output.status.code(), Some(124));
    }

    #[test]
    fn a_command_that_does_not_read_its_input_still_answers() {
        let command = bounded("true", LIMIT);
        assert!(feed(command, &vec![0; 1 << 20]).unwrap().status.success());
    }
}
