// SPDX-License-Identifier: Apache-2.0
//! A real ovs-vswitchd with a dummy datapath, in a temporary directory, gone when dropped.
#![forbid(unsafe_code)]

mod connection;
mod trace;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use openflow_codec::PortNo;
use serde_json::{Value, json};

pub use connection::Connection;
pub use trace::Pass;

/// How long a daemon may take to do what it was asked.
const PATIENCE: Duration = Duration::from_secs(30);

/// The daemons of one bridge, `br0`.
#[derive(Debug)]
pub struct Vswitchd {
    directory: tempfile::TempDir,
    children: Vec<Child>,
    control: UnixStream,
    /// Datapath port to OpenFlow port.
    pub ports: BTreeMap<u32, PortNo>,
}

impl Vswitchd {
    /// Starts the daemons and makes the bridge, with ports of these numbers.
    ///
    /// # Panics
    /// Open vSwitch is not installed, or does not do what it is asked, as in all of this crate.
    pub fn start(ports: impl IntoIterator<Item = u32>) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("vswitchd-")
            .tempdir()
            .expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let remote = format!("unix:{}", path("db.sock").display());
        let run = |program: &str, arguments: &[&str]| {
            let status = command(program, &directory).args(arguments).status();
            let status =
                status.unwrap_or_else(|e| panic!("{program}: {e}; install openvswitch-switch"));
            assert!(status.success(), "{program} {arguments:?}: {status}");
        };
        let spawn = |program: &str, arguments: &[String]| {
            let child = command(program, &directory)
                .args(arguments)
                .stdin(Stdio::null())
                .spawn();
            child.unwrap_or_else(|e| panic!("{program}: {e}; install openvswitch-switch"))
        };
        let database = path("conf.db").display().to_string();
        run(
            "ovsdb-tool",
            &[
                "create",
                &database,
                "/usr/share/openvswitch/vswitch.ovsschema",
            ],
        );
        let unixctl = |name: &str| format!("--unixctl={}", path(name).display());
        let ovsdb = spawn(
            "ovsdb-server",
            &[
                database,
                format!("--remote=p{remote}"),
                unixctl("ovsdb.ctl"),
                "-vconsole:off".into(),
            ],
        );
        connect(&path("db.sock"));
        let database = format!("--db={remote}");
        run("ovs-vsctl", &[&database, "--no-wait", "init"]);
        let vswitchd = spawn(
            "ovs-vswitchd",
            &[
                remote,
                "--enable-dummy=override".into(),
                "--disable-system".into(),
                unixctl("vswitchd.ctl"),
                "-vconsole:off".into(),
            ],
        );
        let mut arguments: Vec<String> = vec![database];
        let bridge = "add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=secure \
                      protocols=OpenFlow15";
        arguments.extend(bridge.split_whitespace().map(String::from));
        let mut wanted = 0;
        for port in ports {
            wanted += 1;
            let add = format!(
                "-- add-port br0 p{port} -- set interface p{port} type=dummy \
                 ofport_request={port} options:tx_pcap={}",
                path(&format!("p{port}.pcap")).display()
            );
            arguments.extend(add.split_whitespace().map(String::from));
        }
        run(
            "ovs-vsctl",
            &arguments.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        let control = connect(&path("vswitchd.ctl"));
        let mut this = Self {
            directory,
            children: vec![vswitchd, ovsdb],
            control,
            ports: BTreeMap::new(),
        };
        this.ports = this.read_ports();
        assert_eq!(this.ports.len(), wanted, "ports of br0");
        this
    }

    /// Lines such as `p1 1/2: (dummy)`: name, OpenFlow port, datapath port.
    fn read_ports(&mut self) -> BTreeMap<u32, PortNo> {
        let text = self.appctl("dpif/show", &[]);
        let ports = text.lines().filter_map(|line| {
            let numbers = line.trim().strip_prefix('p')?.split_whitespace().nth(1)?;
            let (openflow, datapath) = numbers.trim_end_matches(':').split_once('/')?;
            Some((datapath.parse().ok()?, PortNo(openflow.parse().ok()?)))
        });
        ports.collect()
    }

    /// A command to the running daemon, as `ovs-appctl` sends it.
    pub fn appctl(&mut self, method: &str, parameters: &[&str]) -> String {
        let request = json!({"id": 0, "method": method, "params": parameters}).to_string();
        self.control
            .write_all(request.as_bytes())
            .expect("the daemon listens");
        let mut bytes = Vec::new();
        let mut chunk = [0; 65536];
        let answer: Value = loop {
            let length = self.control.read(&mut chunk).expect("the daemon answers");
            assert!(length > 0, "ovs-vswitchd closed its control socket");
            bytes.extend_from_slice(&chunk[..length]);
            if let Ok(answer) = serde_json::from_slice(&bytes) {
                break answer;
            }
        };
        match (&answer["result"], &answer["error"]) {
            (Value::String(text), _) => text.clone(),
            (_, error) => panic!("{method} {parameters:?}: {error}"),
        }
    }

    /// The frames that a port has sent so far (libpcap format, written by OVS).
    pub fn sent(&self, port: u32) -> Vec<Vec<u8>> {
        const FILE_HEADER: usize = 24;
        const RECORD_HEADER: usize = 16;
        let path = self.directory.path().join(format!("p{port}.pcap"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut rest = bytes.get(FILE_HEADER..).unwrap_or_default();
        let mut frames = Vec::new();
        while let Some((header, body)) = rest.split_at_checked(RECORD_HEADER) {
            let length = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
            let Some((frame, more)) = body.split_at_checked(length as usize) else {
                break;
            };
            frames.push(frame.to_vec());
            rest = more;
        }
        frames
    }

    /// What becomes of a packet, pass by pass: `ofproto/trace` with these `arguments`, which end with
    /// the packet. The text is its whole answer.
    pub fn trace(&mut self, arguments: &[&str]) -> (Vec<Pass>, String) {
        let text = self.appctl("ofproto/trace", arguments);
        (trace::read(&text, &self.ports), text)
    }

    /// An OpenFlow connection to the bridge, past HELLO.
    pub fn openflow(&self) -> Connection {
        Connection::new(connect(&self.directory.path().join("br0.mgmt")))
    }
}

impl Drop for Vswitchd {
    fn drop(&mut self) {
        for child in &mut self.children {
            // Nothing is left to do when a daemon is gone already.
            child.kill().and_then(|()| child.wait()).ok();
        }
    }
}

fn command(program: &str, directory: &tempfile::TempDir) -> Command {
    let mut command = Command::new(program);
    for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
        command.env(variable, directory.path());
    }
    command.stdout(Stdio::null());
    command
}

/// Connects as soon as a daemon listens.
fn connect(path: &PathBuf) -> UnixStream {
    let started = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => {
                stream
                    .set_read_timeout(Some(PATIENCE))
                    .expect("a timeout can be set");
                return stream;
            }
            Err(error) if started.elapsed() > PATIENCE => panic!("{}: {error}", path.display()),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
