// SPDX-License-Identifier: Apache-2.0
//! A node: its own ovsdb-server and ovs-vswitchd in a directory of their own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::cluster::Ports;
use crate::process::{Process, run, until};

/// A node whose Open vSwitch dials the controller.
pub(crate) struct Node {
    dir: TempDir,
    vswitchd: Process,
    _ovsdb: Process,
}

/// What a flow says of itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dumped {
    pub(crate) text: String,
    pub(crate) packets: u64,
    pub(crate) seconds: f64,
}

impl Node {
    /// Starts Open vSwitch as the node agent leaves it.
    pub(crate) fn start(name: &str, ports: Ports) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("culvert-")
            .tempdir()
            .unwrap();
        let db = dir.path().join("conf.db");
        run(Command::new("ovsdb-tool")
            .arg("create")
            .arg(&db)
            .arg("/usr/share/openvswitch/vswitch.ovsschema"));
        let remote = format!("--remote=punix:{}", dir.path().join("db.sock").display());
        let mut ovsdb = tool("ovsdb-server", dir.path());
        ovsdb
            .arg(&db)
            .arg(remote)
            .arg("--remote=db:Open_vSwitch,Open_vSwitch,manager_options");
        let ovsdb = Process::start(&mut ovsdb);
        until("ovsdb-server listens", || {
            dir.path().join("db.sock").exists().then_some(())
        });
        let vsctl = |words: &str| vsctl(dir.path(), words);
        vsctl("--no-wait init");
        let vswitchd = vswitchd(dir.path());
        vsctl(&format!(
            "set open_vswitch . external_ids:culvert-node={name} -- add-br br-int \
             -- set bridge br-int datapath_type=dummy fail_mode=secure protocols=OpenFlow15 \
             other_config:disable-in-band=true -- add-port br-int culvert-tun -- set interface culvert-tun \
             type=geneve options:remote_ip=flow options:key=flow external_ids:culvert-role=tunnel"
        ));
        let Ports {
            openflow,
            ovsdb: manager,
        } = ports;
        vsctl(&format!(
            "set-controller br-int tcp:127.0.0.1:{openflow} -- set controller br-int max_backoff=1000 \
             -- set-manager tcp:127.0.0.1:{manager}"
        ));
        vsctl(&format!(
            "set manager tcp:127.0.0.1:{manager} max_backoff=1000"
        ));
        Self {
            dir,
            vswitchd,
            _ovsdb: ovsdb,
        }
    }

    /// Plugs a Pod in, as the CNI plugin does.
    pub(crate) fn attach(&self, interface: &str, pod: &str, address: &str) {
        self.vsctl(&format!(
            "add-port br-int {interface} -- set interface {interface} type=dummy external_ids:iface-id={pod} \
             external_ids:attached-mac=0a:58:0a:0a:01:02 external_ids:culvert-ip={address}"
        ));
    }

    /// Unplugs it.
    pub(crate) fn detach(&self, interface: &str) {
        self.vsctl(&format!("del-port br-int {interface}"));
    }

    /// A key of an Interface's `external_ids`, if it is there.
    pub(crate) fn key(&self, interface: &str, key: &str) -> Option<String> {
        let text = self.vsctl(&format!(
            "--if-exists get interface {interface} external_ids:{key}"
        ));
        let text = text.trim().trim_matches('"');
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The flows of the bridge, by cookie.
    pub(crate) fn flows(&self) -> BTreeMap<u64, Dumped> {
        let dump = run(self.ofctl().arg("dump-flows").arg(self.bridge()));
        dump.lines()
            .filter(|line| line.contains("cookie="))
            .map(dumped)
            .collect()
    }

    /// Runs `ovs-ofctl COMMAND BRIDGE ARGUMENT`, as an operator does by hand; what it prints.
    pub(crate) fn by_hand(&self, command: &str, argument: &str) -> String {
        run(self.ofctl().args([command, &self.bridge(), argument]))
    }

    /// Follows every change of the bridge's flows.
    pub(crate) fn watch(&self) -> Watch {
        let path = self.dir.path().join("watch.log");
        let log = File::create(&path).unwrap();
        let mut monitor = self.ofctl();
        monitor
            .arg("monitor")
            .arg(self.bridge())
            .arg("watch:!initial");
        monitor
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let watch = Watch {
            _monitor: Process::start(&mut monitor),
            path,
        };
        // The monitor is known to work when it has seen a change of our own.
        let foreign = "cookie=0x1,table=200,priority=7,actions=drop";
        until("the monitor sees a flow", || {
            run(self.ofctl().arg("add-flow").arg(self.bridge()).arg(foreign));
            run(self
                .ofctl()
                .arg("del-flows")
                .arg(self.bridge())
                .arg("cookie=0x1/-1"));
            watch.log().contains("cookie=0x1").then_some(())
        });
        watch
    }

    /// Kills vswitchd and starts it again.
    pub(crate) fn restart_vswitchd(&mut self) {
        self.vswitchd.kill();
        self.vswitchd = vswitchd(self.dir.path());
    }

    /// Sends a packet out of a Pod.
    pub(crate) fn inject(&self, interface: &str, packet: &str) {
        let socket = self.dir.path().join("vswitchd.ctl");
        run(Command::new("ovs-appctl").arg("-t").arg(socket).args([
            "netdev-dummy/receive",
            interface,
            packet,
        ]));
    }

    pub(crate) fn vsctl(&self, words: &str) -> String {
        vsctl(self.dir.path(), words)
    }

    fn bridge(&self) -> String {
        format!("unix:{}", self.dir.path().join("br-int.mgmt").display())
    }

    fn ofctl(&self) -> Command {
        let mut command = Command::new("ovs-ofctl");
        command.env("OVS_RUNDIR", self.dir.path());
        command.args(["-O", "OpenFlow15"]);
        command
    }
}

/// Changes of a bridge's flows.
pub(crate) struct Watch {
    _monitor: Process,
    path: std::path::PathBuf,
}

impl Watch {
    /// Events of flows that are Culvert's.
    pub(crate) fn events(&self) -> Vec<String> {
        let log = self.log();
        let events = log
            .lines()
            .filter(|line| line.contains("event=") && line.contains("cookie=0xc"));
        events.map(str::to_owned).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }
}

fn tool(name: &str, dir: &Path) -> Command {
    let mut command = Command::new(name);
    for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
        command.env(variable, dir);
    }
    command
        .arg("--no-chdir")
        .arg(format!("--log-file={}", dir.join(name).display()));
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

fn vswitchd(dir: &Path) -> Process {
    let mut command = tool("ovs-vswitchd", dir);
    command.arg(format!("unix:{}", dir.join("db.sock").display()));
    command.arg(format!("--unixctl={}", dir.join("vswitchd.ctl").display()));
    command.args(["--enable-dummy=override", "--disable-system"]);
    Process::start(&mut command)
}

fn vsctl(dir: &Path, words: &str) -> String {
    let mut command = Command::new("ovs-vsctl");
    command
        .arg(format!("--db=unix:{}", dir.join("db.sock").display()))
        .arg("--timeout=20");
    run(command.args(words.split_whitespace()))
}

fn dumped(line: &str) -> (u64, Dumped) {
    let value = |key: &str| {
        let (_, rest) = line
            .split_once(key)
            .unwrap_or_else(|| panic!("no {key} in {line}"));
        rest.split([',', 's', ' ']).next().unwrap().to_owned()
    };
    let cookie = u64::from_str_radix(&value("cookie=0x"), 16).unwrap();
    let seconds = value("duration=").parse().unwrap();
    let packets = value("n_packets=").parse().unwrap();
    let (_, text) = line.split_once("priority=").unwrap();
    (
        cookie,
        Dumped {
            text: text.to_owned(),
            packets,
            seconds,
        },
    )
}
