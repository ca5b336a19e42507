// SPDX-License-Identifier: Apache-2.0
//! A switch whose conversations are recorded, with ovs-ofctl and our codec as those who talk to it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::proxy::{self, Log, Recorded};
use crate::ovs::{Connection, Ovs};

/// Long enough for a busy machine; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(30);
/// The proxy's socket.
const SOCKET: &str = "proxy";

/// A switch of its own, and what is said to it.
pub(crate) struct Stage {
    pub(crate) ovs: Ovs,
    log: Log,
}

impl Stage {
    /// A bridge with two ports and addresses that are always the same.
    pub(crate) fn new() -> Result<Self> {
        let ovs = Ovs::start();
        let port = |name, number| {
            let request = format!("ofport_request={number}");
            let add = ["add-port", "br0", name, "--", "set", "interface", name];
            ovs.vsctl(&[add.as_slice(), &["type=dummy", &request]].concat());
        };
        ovs.vsctl(&[
            "set",
            "bridge",
            "br0",
            "other_config:datapath-id=000000000000c1c1",
            "other_config:hwaddr=02:00:00:00:c1:c1",
        ]);
        port("p1", 1);
        port("p2", 2);
        let switch = ovs.path("br0.mgmt").into();
        let log = proxy::listen(Path::new(&ovs.path(SOCKET)), switch)?;
        Ok(Self { ovs, log })
    }

    /// What was said.
    pub(crate) fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut *self.log.messages())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let bridge = format!("unix:{}", self.ovs.path(SOCKET));
        let mut command = self.ovs.command("ovs-ofctl", &["-O", "OpenFlow15"]);
        command
            .args(arguments.iter().map(|argument| match *argument {
                "BR" => bridge.as_str(),
                other => other,
            }))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Runs ovs-ofctl on the bridge `BR`.
    pub(crate) fn ofctl(&self, line: &[&str]) -> Result<()> {
        let output = self.command(line).stderr(Stdio::piped()).output();
        let output = output.context("ovs-ofctl")?;
        let reason = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ovs-ofctl {line:?}: {reason}");
        Ok(())
    }

    /// Runs ovs-ofctl with something that the switch refuses.
    pub(crate) fn refused(&self, line: &[&str]) -> Result<()> {
        let status = self.command(line).status().context("ovs-ofctl")?;
        ensure!(!status.success(), "ovs-ofctl {line:?} is not refused");
        Ok(())
    }

    /// The same command with each of `last` as its last argument.
    pub(crate) fn each(&self, line: &[&str], last: &[&str]) -> Result<()> {
        last.iter()
            .try_for_each(|last| self.ofctl(&[line, &[*last]].concat()))
    }

    /// A connection of our own.
    pub(crate) fn connect(&self) -> Connection {
        self.ovs.connect_through(SOCKET)
    }

    /// Waits until the switch has said, after the first `from` messages, `count` that are `wanted`.
    pub(crate) fn wait(
        &self,
        from: usize,
        count: usize,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let messages = self.log.messages();
            let new = messages.iter().skip(from).filter(|one| !one.to_switch);
            if new.filter(|one| wanted(&one.bytes)).count() >= count {
                return Ok(());
            }
            drop(messages);
            if Instant::now() >= deadline {
                let said = self.log.messages().split_off(from);
                bail!("the switch says {said:02x?} and no more");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// How many messages have been said so far.
    pub(crate) fn said(&self) -> usize {
        self.log.messages().len()
    }

    /// An ovs-ofctl that goes on, once it has said and heard `count` messages.
    pub(crate) fn start(&self, line: &[&str], count: usize) -> Result<Running> {
        let from = self.said();
        let child = Running(self.command(line).spawn().context("ovs-ofctl")?);
        self.wait(from, count, |_| true)?;
        Ok(child)
    }
}

/// A program that is stopped when it is dropped.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
