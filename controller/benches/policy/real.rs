// SPDX-License-Identifier: Apache-2.0
//! The node that is measured: a real ovsdb-server and ovs-vswitchd with the dummy datapath.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ovsdb_client::{Client, Monitor, MonitorRequest, Remote};
use tempfile::TempDir;

use crate::pods::{PodNumber, node_name};

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Real {
    dir: TempDir,
    daemons: Vec<Child>,
}

impl Real {
    /// Node 0, with an Interface for each of `pods`.
    pub(crate) fn start(pods: impl Iterator<Item = PodNumber>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let db = dir.path().join("conf.db");
        run(Command::new("ovsdb-tool")
            .arg("create")
            .arg(&db)
            .arg(SCHEMA));
        let mut server = daemon("ovsdb-server", dir.path());
        server.arg(&db);
        server.arg(format!(
            "--remote=punix:{}",
            dir.path().join("db.sock").display()
        ));
        server.arg("--remote=db:Open_vSwitch,Open_vSwitch,manager_options");
        let mut real = Self {
            daemons: vec![server.spawn().expect("ovsdb-server")],
            dir,
        };
        wait_for(&real.socket());
        real.vsctl(&["--no-wait", "init"]);
        let mut vswitchd = daemon("ovs-vswitchd", real.dir.path());
        vswitchd.arg(format!("unix:{}", real.socket().display()));
        vswitchd.args(["--enable-dummy=override", "--disable-system"]);
        real.daemons.push(vswitchd.spawn().expect("ovs-vswitchd"));
        real.vsctl(&[
            "set",
            "open_vswitch",
            ".",
            &format!("external_ids:culvert-node={}", node_name(0)),
            "--",
            "add-br",
            "br-int",
            "--",
            "set",
            "bridge",
            "br-int",
            "datapath_type=dummy",
            "fail_mode=secure",
            "protocols=OpenFlow15",
            "other_config:disable-in-band=true",
            "--",
            "add-port",
            "br-int",
            "culvert-tun",
            "--",
            "set",
            "interface",
            "culvert-tun",
            "type=geneve",
            "options:remote_ip=flow",
            "options:key=flow",
            "external_ids:culvert-role=tunnel",
        ]);
        let words = pods.flat_map(|pod| {
            let interface = pod.interface();
            [
                "--".to_owned(),
                "add-port".to_owned(),
                "br-int".to_owned(),
                interface.clone(),
                "--".to_owned(),
                "set".to_owned(),
                "interface".to_owned(),
                interface,
                "type=dummy".to_owned(),
                format!("external_ids:iface-id={}", pod.iface_id()),
                format!("external_ids:attached-mac=\"{}\"", pod.mac()),
                format!("external_ids:culvert-ip={}", pod.address()),
            ]
        });
        let words: Vec<String> = words.skip(1).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        real.vsctl(&words);
        real
    }

    /// Points it at a controller.
    pub(crate) fn dial(&self, openflow: SocketAddr, ovsdb: SocketAddr) {
        self.vsctl(&[
            "set-controller",
            "br-int",
            &format!("tcp:{openflow}"),
            "--",
            "set-manager",
            &format!("tcp:{ovsdb}"),
        ]);
    }

    /// How many flows the switch says that it has.
    pub(crate) fn flows(&self) -> f64 {
        let bridge = format!("unix:{}", self.dir.path().join("br-int.mgmt").display());
        let answer =
            run(Command::new("ovs-ofctl").args(["-O", "OpenFlow15", "dump-aggregate", &bridge]));
        let (_, count) = answer.split_once("flow_count=").expect("a count");
        let digits: String = count.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("a number")
    }

    /// Follows the marks of Interfaces.
    pub(crate) async fn marks(&self) -> Marks {
        let client = Client::connect(&Remote::Unix(self.socket())).await;
        let client = client.expect("ovsdb-server listens");
        let request = MonitorRequest::new().table("Interface", ["name", "external_ids"]);
        let monitor = client.monitor("Open_vSwitch", request);
        Marks(monitor.await.expect("the schema of Open vSwitch"))
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("db.sock")
    }

    fn vsctl(&self, words: &[&str]) {
        let db = format!("--db=unix:{}", self.socket().display());
        run(Command::new("ovs-vsctl")
            .arg(db)
            .arg("--timeout=60")
            .args(words));
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            // It may have ended already.
            drop(daemon.kill());
            drop(daemon.wait());
        }
    }
}

/// Which Interfaces have `culvert-ready`.
pub(crate) struct Marks(Monitor);

impl Marks {
    /// Waits until so many of them have it.
    pub(crate) async fn await_count(&mut self, wanted: usize) {
        let counted = async {
            while self.count() < wanted {
                self.0.changed().await.expect("ovsdb-server runs");
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, counted).await;
        assert!(
            outcome.is_ok(),
            "not {wanted} Pods are ready, but {}",
            self.count()
        );
    }

    fn count(&self) -> usize {
        let rows = self.0.replica().rows("Interface");
        rows.filter(|row| {
            let mark = row.map_value("external_ids", "culvert-ready");
            mark.is_ok_and(|mark| mark == Some("true"))
        })
        .count()
    }
}

fn daemon(name: &str, dir: &Path) -> Command {
    let mut command = Command::new(name);
    for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
        command.env(variable, dir);
    }
    command
        .arg("--no-chdir")
        .arg(format!("--log-file={}.log", dir.join(name).display()));
    command.arg(format!("--unixctl={}.ctl", dir.join(name).display()));
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

fn wait_for(path: &Path) {
    let end = Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(Instant::now() < end, "{} does not appear", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("Open vSwitch is installed");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
