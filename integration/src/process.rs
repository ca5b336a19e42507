// SPDX-License-Identifier: Apache-2.0
//! Long-running processes of a bed: recorded on disk, in sessions of their own, ended for sure.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::{Netns, wait};

/// How long a process may take to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(3);

/// A process of a bed. It runs in its own session and dies with the process that started it.
#[derive(Debug)]
pub struct Process {
    label: String,
    child: Child,
    record: PathBuf,
    log: PathBuf,
}

impl Process {
    /// Starts `program` in `netns`; its output goes to `DIR/LABEL.log`, its record to
    /// `DIR/pids/LABEL`.
    pub fn start(dir: &Path, netns: &Netns, label: &str, command: &Command) -> Result<Self> {
        let log = dir.join(format!("{label}.log"));
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = spawn(netns, in_own_session(command, output)?)
            .with_context(|| format!("cannot start {label}"))?;
        let record = dir.join("pids").join(label);
        let process = Self {
            label: label.to_owned(),
            child,
            record,
            log,
        };
        let pid = process.pid();
        let started = start_time(pid).unwrap_or_default();
        std::fs::write(&process.record, format!("{pid} {started}\n"))
            .with_context(|| format!("cannot write {}", process.record.display()))?;
        Ok(process)
    }

    /// What the process is called in this bed.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// The file with its output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Fails with the end of its log when the process has ended.
    pub fn check_running(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(8)..].join("\n  ");
        bail!(
            "{} ended ({status}); {} says:\n  {tail}",
            self.label,
            self.log.display()
        )
    }

    /// Asks the process to end (SIGTERM to its session).
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Ends the process at once (SIGKILL to its session) and waits for it.
    pub fn kill(mut self) -> Result<()> {
        self.signal(Signal::SIGKILL);
        self.child.wait()?;
        self.forget();
        Ok(())
    }

    /// Sends a signal to the process and those it started.
    pub fn signal(&self, signal: Signal) {
        // Only a process that has already gone makes this fail, which is what is wanted.
        let _ = killpg(Pid::from_raw(self.pid()), signal);
    }

    /// Waits for the end that [`Process::terminate`] asked for; kills the process if it takes too
    /// long.
    pub fn finish(mut self) -> Result<()> {
        let label = self.label.clone();
        let ended = wait::until_true(format_args!("the end of {label}"), GRACE, || {
            Ok(self.child.try_wait()?.is_some())
        });
        if ended.is_err() {
            return self.kill();
        }
        self.forget();
        Ok(())
    }

    fn forget(&self) {
        // The record is in the bed's own folder, which is removed as a whole anyway.
        drop(std::fs::remove_file(&self.record));
    }
}

/// Ends processes that an earlier owner of `dir` recorded and that still run.
///
/// A record counts only if the start time agrees, so a reused process id is never hit.
pub fn end_recorded(dir: &Path) -> Result<()> {
    let Ok(records) = std::fs::read_dir(dir.join("pids")) else {
        return Ok(());
    };
    let mut alive = Vec::new();
    for record in records {
        let text = std::fs::read_to_string(record?.path()).unwrap_or_default();
        let mut words = text.split_ascii_whitespace();
        if let Some(pid) = words.next().and_then(|word| word.parse().ok())
            && let Some(started) = words.next().and_then(|word| word.parse().ok())
            && start_time(pid) == Some(started)
        {
            alive.push(pid);
        }
    }
    end(&alive)
}

/// Ends processes that are not our children: SIGTERM, then SIGKILL, bounded.
pub fn end(pids: &[i32]) -> Result<()> {
    let own = std::process::id().cast_signed();
    let pids: Vec<_> = pids
        .iter()
        .copied()
        .filter(|&pid| pid > 1 && pid != own)
        .collect();
    for (signal, limit) in [(Signal::SIGTERM, GRACE), (Signal::SIGKILL, GRACE)] {
        for &pid in &pids {
            let _ = kill(Pid::from_raw(pid), signal);
        }
        let deadline = Instant::now() + limit;
        while pids.iter().any(|&pid| is_running(pid)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    match pids.iter().find(|&&pid| is_running(pid)) {
        Some(pid) => bail!("process {pid} of an earlier bed does not end"),
        None => Ok(()),
    }
}

/// When a process started, in clock ticks since boot (proc(5), stat field 22).
pub fn start_time(pid: i32) -> Option<u64> {
    stat(pid)?.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn is_running(pid: i32) -> bool {
    // A zombie is dead; its parent just has not looked yet.
    stat(pid).is_some_and(|fields| !fields.starts_with('Z'))
}

/// The fields of `/proc/PID/stat` after the command name, which may itself hold blanks.
fn stat(pid: i32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.to_owned())
}

/// Wraps `command` so that it has its own session and is killed when we are: `setsid` and `setpriv`
/// replace themselves by the program, so the process id is the program's.
fn in_own_session(command: &Command, output: File) -> Result<Command> {
    let mut wrapped = Command::new("setsid");
    wrapped
        .args(["setpriv", "--pdeathsig", "KILL", "--"])
        .arg(command.get_program());
    wrapped.args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(key, value),
            None => wrapped.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    Ok(wrapped)
}

struct Order {
    netns: Netns,
    command: Command,
    answer: SyncSender<Result<Child>>,
}

/// Starts a child from the one thread that lives as long as we do: the parent-death signal is sent
/// when the *thread* that started a child ends (prctl(2), PR_SET_PDEATHSIG).
fn spawn(netns: &Netns, command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let orders = SPAWNER.get_or_init(|| {
        let (orders, queue) = channel::<Order>();
        std::thread::spawn(move || {
            for Order {
                netns,
                mut command,
                answer,
            } in queue
            {
                let child = netns.switch_thread().and_then(|()| Ok(command.spawn()?));
                // The asker waits for the answer, so it is there to take it.
                drop(answer.send(child));
            }
        });
        orders
    });
    let (answer, child) = sync_channel(1);
    orders
        .send(Order {
            netns: netns.clone(),
            command,
            answer,
        })
        .map_err(|_| anyhow!("the thread that starts processes has ended"))?;
    child
        .recv()
        .context("the thread that starts processes has ended")?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_tells_two_lives_of_one_process_id_apart() {
        let own = std::process::id().cast_signed();
        assert!(start_time(own).is_some());
        assert_eq!(start_time(own), start_time(own));
        assert_eq!(start_time(i32::MAX), None);
    }

    #[test]
    fn a_record_with_another_start_time_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("pids")).unwrap();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id().cast_signed();
        let record = dir.path().join("pids/x");
        std::fs::write(&record, format!("{pid} {}\n", start_time(pid).unwrap() + 1)).unwrap();
        end_recorded(dir.path()).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "a stranger was killed");

        std::fs::write(&record, format!("{pid} {}\n", start_time(pid).unwrap())).unwrap();
        end_recorded(dir.path()).unwrap();
        assert!(
            child.wait().unwrap().code().is_none(),
            "the recorded process was not killed"
        );
    }
}
