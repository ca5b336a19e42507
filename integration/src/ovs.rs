// SPDX-License-Identifier: Apache-2.0
//! One Open vSwitch: an `ovsdb-server` and an `ovs-vswitchd` with their own run directory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process::Process;
use crate::{Netns, command, wait};

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
const START_LIMIT: Duration = Duration::from_secs(20);

/// An Open vSwitch on the userspace datapath, confined to a namespace and a run directory.
#[derive(Debug)]
pub struct Ovs {
    netns: Netns,
    dir: PathBuf,
    hostname: String,
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
        program.arg(self.db()).arg("--disable-system");
        let mut process = Process::start(&dir, &self.netns, "ovs-vswitchd", &program)?;
        let started = wait::until_true("ovs-vswitchd to answer", START_LIMIT, || {
            Ok(process.check_running().is_err() || self.appctl("version").is_ok())
        })
        .and_then(|()| process.check_running());
        self.vswitchd = Some(process);
        started
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
