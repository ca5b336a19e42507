// SPDX-License-Identifier: Apache-2.0
//! A real ovs-vswitchd with a dummy datapath, in a temporary directory, gone when dropped.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use openflow_codec::message::hello::Hello;
use openflow_codec::{Context, Framer, Message, PortNo, Xid};
use serde_json::{Value, json};

/// How long a daemon may take to do what it was asked.
const PATIENCE: Duration = Duration::from_secs(30);
/// Ports of the bridge, 1 to this.
pub(crate) const PORTS: u32 = 4;

/// The daemons of one bridge, `br0`.
pub(crate) struct Vswitchd {
    directory: tempfile::TempDir,
    children: Vec<Child>,
    control: UnixStream,
    /// Datapath port to OpenFlow port.
    pub(crate) ports: BTreeMap<u32, PortNo>,
}

impl Vswitchd {
    /// Starts the daemons and makes the bridge. Fails loudly when Open vSwitch is not installed.
    pub(crate) fn start() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("flow-sim-")
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
        for port in 1..=PORTS {
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
        let ports: BTreeMap<_, _> = ports.collect();
        assert_eq!(ports.len(), PORTS as usize, "{text}");
        ports
    }

    /// A command to the running daemon, as `ovs-appctl` sends it.
    pub(crate) fn appctl(&mut self, method: &str, parameters: &[&str]) -> String {
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
    pub(crate) fn sent(&self, port: u32) -> Vec<Vec<u8>> {
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

    /// An OpenFlow connection to the bridge, past HELLO.
    pub(crate) fn openflow(&self) -> Connection {
        let stream = connect(&self.directory.path().join("br0.mgmt"));
        let mut connection = Connection {
            stream,
            framer: Framer::new(),
            context: Context::UNMAPPED,
        };
        connection.send(Xid(0), &Message::Hello(Hello::OURS));
        assert!(matches!(connection.receive(), (_, Message::Hello(_))));
        connection
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

/// An OpenFlow connection.
pub(crate) struct Connection {
    stream: UnixStream,
    framer: Framer,
    pub(crate) context: Context,
}

impl Connection {
    pub(crate) fn send(&mut self, xid: Xid, message: &Message) {
        let mut bytes = Vec::new();
        message
            .encode(xid, &self.context, &mut bytes)
            .expect("the message is short");
        self.send_bytes(&bytes);
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the switch listens");
    }

    pub(crate) fn receive(&mut self) -> (Xid, Message) {
        let mut chunk = [0; 65536];
        loop {
            if let Some(frame) = self.framer.next().expect("whole messages") {
                let message = Message::decode(&frame, &self.context).expect("sound messages");
                return (frame.header.xid, message);
            }
            let length = self.stream.read(&mut chunk).expect("the switch answers");
            assert!(length > 0, "the switch closed the connection");
            self.framer.push(&chunk[..length]);
        }
    }

    /// Sends messages with transaction ids 1, 2, ...; returns the answers up to a barrier's.
    pub(crate) fn ask(&mut self, messages: &[Message]) -> Vec<(Xid, Message)> {
        for (message, xid) in messages.iter().zip(1..) {
            self.send(Xid(xid), message);
        }
        self.until_barrier()
    }

    /// Answers up to the reply to a barrier that is sent now.
    pub(crate) fn until_barrier(&mut self) -> Vec<(Xid, Message)> {
        self.send(Xid(u32::MAX), &Message::BarrierRequest);
        let mut answers = Vec::new();
        loop {
            match self.receive() {
                (_, Message::BarrierReply) => return answers,
                answer => answers.push(answer),
            }
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
