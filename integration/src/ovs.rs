// SPDX-License-Identifier: Apache-2.0
//! One Open vSwitch: an `ovsdb-server` and an `ovs-vswitchd` with their own run directory.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::process::Process;
use crate::{Datapath, Netns, command, wait};

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
/// Writes a script that restores flows; `ovs-ctl` uses it too.
const OVS_SAVE: &str = "/usr/share/openvswitch/scripts/ovs-save";
const START_LIMIT: Duration = Duration::from_secs(20);

/// An Open vSwitch on the datapath that was chosen for this process, confined to a namespace and a run directory.
#[derive(Debug)]
pub struct Ovs {
    netns: Netns,
    dir: PathBuf,
    hostname: String,
    datapath: Datapath,
    server: Option<Process>,
    vswitchd: Option<Process>,
}

impl Ovs {
    /// Creates a database and starts both daemons in `netns`, with every file in `dir`.
    ///
    /// `hostname` becomes `Open_vSwitch.external_ids:hostname`, as distributions set it.
    pub fn start(netns: &Netns, dir: &Path, hostname: &str) -> Result<Self> {
        std::fs::create_dir_all(dir.join("pids"))
            .with_context(|| format!("cannot create {}", dir.display()))?;
        let database = dir.join("conf.db");
        command::run(
            "ovsdb-tool",
            &[Path::new("create"), &database, Path::new(SCHEMA)],
        )?;
        let mut ovs = Self {
            netns: netns.clone(),
            dir: dir.to_owned(),
            hostname: hostname.to_owned(),
            datapath: Datapath::chosen()?,
            server: None,
            vswitchd: None,
        };
        ovs.start_server()?;
        ovs.start_vswitchd()?;
        Ok(ovs)
    }

    /// Starts `ovsdb-server` on the existing database.
    pub fn start_server(&mut self) -> Result<()> {
        let dir = self.dir.clone();
        let mut program = self.daemon("ovsdb-server");
        program
            .arg(dir.join("conf.db"))
            .arg(format!("--remote=p{}", self.db()))
            .arg("--remote=db:Open_vSwitch,Open_vSwitch,manager_options");
        let mut process = Process::start(&dir, &self.netns, "ovsdb-server", &program)?;
        wait::until_true("ovsdb-server to answer", START_LIMIT, || {
            Ok(process.check_running().is_err() || self.vsctl("--no-wait init").is_ok())
        })?;
        process.check_running()?;
        self.server = Some(process);
        self.vsctl(&format!(
            "--no-wait set Open_vSwitch . external_ids:system-id={0} external_ids:hostname={0}",
            self.hostname
        ))?;
        Ok(())
    }

    /// Starts `ovs-vswitchd`; answers when it has configured what the database says.
    pub fn start_vswitchd(&mut self) -> Result<()> {
        let dir = self.dir.clone();
        let mut program = self.daemon("ovs-vswitchd");
        program.arg(self.db());
        if self.datapath == Datapath::Netdev {
            program.arg("--disable-system");
        }
        let mut process = Process::start(&dir, &self.netns, "ovs-vswitchd", &program)?;
        let started = wait::until_true("ovs-vswitchd to answer", START_LIMIT, || {
            Ok(process.check_running().is_err() || self.appctl("version").is_ok())
        })
        .and_then(|()| process.check_running());
        self.vswitchd = Some(process);
        started
    }

    /// Ends `ovs-vswitchd` in good order, first telling the next one to wait until its flows are
    /// restored, as `ovs-ctl restart` does. Answers the script that restores those of `bridge`.
    pub fn stop_vswitchd_saving(&mut self, bridge: &str) -> Result<String> {
        let rundir = format!("OVS_RUNDIR={}", self.dir.display());
        let script = command::run_line(&format!("env {rundir} {OVS_SAVE} save-flows {bridge}"))?;
        self.vsctl("set Open_vSwitch . other_config:flow-restore-wait=true")?;
        let process = self
            .vswitchd
            .take()
            .context("ovs-vswitchd is not running")?;
        process.terminate();
        process.finish()?;
        Ok(script)
    }

    /// Restores flows with a script of [`Ovs::stop_vswitchd_saving`].
    pub fn restore_flows(&self, bridge: &str, script: &str) -> Result<()> {
        let mgmt = self.dir.join(format!("{bridge}.mgmt"));
        wait::until_true(format_args!("{bridge} to answer"), START_LIMIT, || {
            Ok(UnixStream::connect(&mgmt).is_ok())
        })?;
        let rundir = format!("OVS_RUNDIR={}", self.dir.display());
        command::run("env", &[rundir.as_str(), "sh", "-ec", script])?;
        Ok(())
    }

    /// Tells `ovs-vswitchd` that its flows are restored.
    pub fn end_restore(&self) -> Result<()> {
        self.vsctl("remove Open_vSwitch . other_config flow-restore-wait")?;
        Ok(())
    }

    /// Kills `ovs-vswitchd` as a crash would.
    pub fn kill_vswitchd(&mut self) -> Result<()> {
        self.vswitchd
            .take()
            .context("ovs-vswitchd is not running")?
            .kill()
    }

    /// Kills `ovsdb-server` as a crash would.
    pub fn kill_server(&mut self) -> Result<()> {
        self.server
            .take()
            .context("ovsdb-server is not running")?
            .kill()
    }

    /// Sends `ovs-vswitchd` a signal.
    pub fn signal_vswitchd(&self, signal: Signal) -> Result<()> {
        let process = self.vswitchd.as_ref();
        process
            .context("ovs-vswitchd is not running")?
            .signal(signal);
        Ok(())
    }

    /// Sends `ovsdb-server` a signal.
    pub fn signal_server(&self, signal: Signal) -> Result<()> {
        let process = self.server.as_ref();
        process
            .context("ovsdb-server is not running")?
            .signal(signal);
        Ok(())
    }

    /// The OVSDB address, `unix:PATH`.
    pub fn db(&self) -> String {
        format!("unix:{}", self.dir.join("db.sock").display())
    }

    /// The OpenFlow address of a bridge's service connection, `unix:PATH`.
    pub fn mgmt(&self, bridge: &str) -> String {
        format!("unix:{}", self.dir.join(format!("{bridge}.mgmt")).display())
    }

    /// The run directory with database, sockets and logs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs `ovs-vsctl WORDS`; words are split at blanks, without quoting.
    pub fn vsctl(&self, words: &str) -> Result<String> {
        command::run_line(&format!(
            "ovs-vsctl --timeout=15 --db={} {words}",
            self.db()
        ))
    }

    /// Runs `ovs-appctl WORDS` against `ovs-vswitchd`.
    pub fn appctl(&self, words: &str) -> Result<String> {
        let rundir = format!("OVS_RUNDIR={}", self.dir.display());
        command::run_line(&format!(
            "env {rundir} ovs-appctl --timeout=15 -t ovs-vswitchd {words}"
        ))
    }

    /// Runs `ovs-ofctl --names -O OpenFlow15 COMMAND BRIDGE [ARGUMENT]`; only `argument` may hold
    /// blanks.
    pub fn ofctl(&self, verb: &str, bridge: &str, argument: Option<&str>) -> Result<String> {
        let mgmt = self.mgmt(bridge);
        let mut words = vec!["--timeout=15", "--names", "-O", "OpenFlow15", verb, &mgmt];
        words.extend(argument);
        command::run("ovs-ofctl", &words)
    }

    /// All flows of a bridge as `ovs-ofctl --names` prints them.
    pub fn dump_flows(&self, bridge: &str) -> Result<String> {
        self.ofctl("dump-flows", bridge, None)
    }

    /// What is programmed on a bridge: its flows and groups, sorted, without counters and ages.
    pub fn programmed(&self, bridge: &str) -> Result<Vec<String>> {
        let flows = self.dump_flows(bridge)?;
        let flows = flows.lines().filter(|line| line.contains("cookie="));
        let groups = self.ofctl("dump-groups", bridge, None)?;
        let groups = groups.lines().filter(|line| line.contains("group_id="));
        let groups = groups.map(|line| line.trim().to_owned());
        let mut lines: Vec<_> = flows.map(without_counters).chain(groups).collect();
        lines.sort();
        ensure!(!lines.is_empty(), "{bridge} has no flows");
        Ok(lines)
    }

    /// The OpenFlow port number OVS gave an interface; waits for it.
    pub fn port_number(&self, interface: &str) -> Result<u32> {
        wait::until(
            format_args!("the OpenFlow port of {interface}"),
            START_LIMIT,
            || {
                Ok(self
                    .vsctl(&format!("get Interface {interface} ofport"))?
                    .trim()
                    .parse()
                    .ok())
            },
        )
    }

    /// Writes what helps to find a fault into the run directory. Best effort: OVS may be the fault.
    pub fn write_diagnostics(&self) {
        let mut files = vec![
            ("vsctl-show.txt".to_owned(), self.vsctl("show")),
            ("interfaces.txt".to_owned(), self.vsctl("list Interface")),
            (
                "tunnel-neighbours.txt".to_owned(),
                self.appctl("tnl/neigh/show"),
            ),
            ("routes.txt".to_owned(), self.appctl("ovs/route/show")),
            (
                "datapath-flows.txt".to_owned(),
                self.appctl("dpctl/dump-flows -m"),
            ),
            (
                "conntrack.txt".to_owned(),
                self.appctl("dpctl/dump-conntrack"),
            ),
        ];
        for bridge in self.vsctl("list-br").unwrap_or_default().lines() {
            files.push((format!("{bridge}-flows.txt"), self.dump_flows(bridge)));
            files.push((
                format!("{bridge}-groups.txt"),
                self.ofctl("dump-groups", bridge, None),
            ));
        }
        for (file, text) in files {
            let text = text.unwrap_or_else(|error| format!("{error:#}\n"));
            drop(std::fs::write(self.dir.join(file), text));
        }
    }

    /// Ends both daemons.
    pub fn stop(&mut self) -> Result<()> {
        let processes: Vec<_> = [self.vswitchd.take(), self.server.take()]
            .into_iter()
            .collect();
        for process in processes.iter().flatten() {
            process.terminate();
        }
        processes
            .into_iter()
            .flatten()
            .try_for_each(Process::finish)
    }

    fn daemon(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        for key in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
            command.env(key, &self.dir);
        }
        // The pidfile and the control socket get the names that OVS's own tools look for.
        command.current_dir(&self.dir).arg("--pidfile");
        command
    }
}

/// A line of a dump without what changes by itself.
pub fn without_counters(line: &str) -> String {
    let kept = line.trim().split(", ").filter(|part| {
        !["duration=", "n_packets=", "n_bytes=", "idle_age="]
            .iter()
            .any(|counter| part.starts_with(counter))
    });
    kept.collect::<Vec<_>>().join(", ")
}
