// SPDX-License-Identifier: Apache-2.0
//! A vswitchd of our own with a dummy datapath, in a temporary directory.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use openflow_codec::message::hello::Hello;
use openflow_codec::{Context, Frame, Framer, Message, Xid};

/// Long enough for a busy machine; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running vswitchd with the bridge `br0`. Dropping it stops it.
pub(crate) struct Ovs {
    directory: tempfile::TempDir,
    children: Vec<Child>,
}

impl Ovs {
    /// Starts ovsdb-server and ovs-vswitchd; panics, saying what is missing, when they cannot run.
    pub(crate) fn start() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("codec-ovs")
            .tempdir()
            .expect("a temporary directory");
        let mut ovs = Self {
            directory,
            children: Vec::new(),
        };
        ovs.run(
            "ovsdb-tool",
            &[
                "create",
                &ovs.path("conf.db"),
                "/usr/share/openvswitch/vswitch.ovsschema",
            ],
        );
        let remote = format!("--remote=punix:{}", ovs.path("db.sock"));
        let control = format!("--unixctl={}", ovs.path("ovsdb.ctl"));
        ovs.spawn("ovsdb-server", &[&ovs.path("conf.db"), &remote, &control]);
        ovs.wait_for("db.sock");
        let database = format!("unix:{}", ovs.path("db.sock"));
        let control = format!("--unixctl={}", ovs.path("vswitchd.ctl"));
        ovs.spawn(
            "ovs-vswitchd",
            &[
                &database,
                "--enable-dummy=override",
                "--disable-system",
                &control,
            ],
        );
        ovs.vsctl(&["--no-wait", "init"]);
        ovs.vsctl(&[
            "add-br",
            "br0",
            "--",
            "set",
            "bridge",
            "br0",
            "datapath_type=dummy",
            "fail-mode=secure",
        ]);
        ovs.wait_for("br0.mgmt");
        ovs
    }

    /// A file or socket in the directory of the switch.
    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// What `ovs-ofctl` is told to connect to.
    pub(crate) fn bridge(&self) -> String {
        format!("unix:{}", self.path("br0.mgmt"))
    }

    /// A program that keeps its files in the directory of the switch.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments);
        for variable in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"] {
            command.env(variable, self.directory.path());
        }
        command
    }

    fn spawn(&mut self, program: &str, arguments: &[&str]) {
        let child = self
            .command(program, arguments)
            .arg("-vconsole:off")
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; install openvswitch-switch"));
        self.children.push(child);
    }

    fn wait_for(&self, name: &str) {
        let path = PathBuf::from(self.path(name));
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(&path).is_err() {
            assert!(Instant::now() < deadline, "{name} did not come up");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs a program to its end and gives what it printed; panics if it fails.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self
            .command(program, arguments)
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; install openvswitch-switch"));
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs `ovs-vsctl`, which waits for vswitchd to do what it says.
    pub(crate) fn vsctl(&self, arguments: &[&str]) -> String {
        let db = format!("--db=unix:{}", self.path("db.sock"));
        let mut all = vec![db.as_str()];
        all.extend(arguments);
        self.run("ovs-vsctl", &all)
    }

    /// Runs `ovs-ofctl` in OpenFlow 1.5.
    pub(crate) fn ofctl(&self, arguments: &[&str]) -> String {
        let mut all = vec!["-O", "OpenFlow15"];
        all.extend(arguments);
        self.run("ovs-ofctl", &all)
    }

    /// Runs `ovs-ofctl` in OpenFlow 1.5 with something to read.
    pub(crate) fn ofctl_with_input(&self, arguments: &[&str], input: &[u8]) -> String {
        self.try_ofctl(arguments, input)
            .unwrap_or_else(|complaint| panic!("ovs-ofctl {arguments:?}: {complaint}"))
    }

    /// The same; gives the complaint when it fails.
    pub(crate) fn try_ofctl(&self, arguments: &[&str], input: &[u8]) -> Result<String, String> {
        let mut child = self
            .command("ovs-ofctl", &["-O", "OpenFlow15"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ovs-ofctl; install openvswitch-switch");
        let mut stdin = child.stdin.take().expect("a pipe");
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(input));
            child.wait_with_output().expect("ovs-ofctl runs")
        });
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        match output.status.success() {
            true => Ok(text(output.stdout)),
            false => Err(text(output.stderr)),
        }
    }

    /// An OpenFlow connection to the bridge, past HELLO.
    pub(crate) fn connect(&self) -> Connection {
        self.connect_through("br0.mgmt")
    }

    /// The same by a socket of this name.
    pub(crate) fn connect_through(&self, name: &str) -> Connection {
        let stream = UnixStream::connect(self.path(name)).expect("the switch's socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let mut connection = Connection {
            stream,
            framer: Framer::new(),
            context: Context::default(),
        };
        connection.send(Xid(1), &Message::Hello(Hello::OURS));
        let (_, hello) = connection.receive();
        assert!(matches!(hello, Message::Hello(hello) if hello.speaks_1_5()));
        connection
    }
}

impl Drop for Ovs {
    fn drop(&mut self) {
        for child in &mut self.children {
            child.kill().and_then(|()| child.wait()).ok();
        }
    }
}

/// A blocking OpenFlow connection.
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
            .expect("encodes");
        self.stream.write_all(&bytes).expect("written");
    }

    /// The next message.
    pub(crate) fn receive(&mut self) -> (Xid, Message) {
        let frame = self.receive_frame();
        let message = Message::decode(&frame, &self.context).expect("decodes");
        (frame.header.xid, message)
    }

    /// The next message, not decoded.
    pub(crate) fn receive_frame(&mut self) -> Frame {
        let mut buffer = [0; 65536];
        loop {
            if let Some(frame) = self.framer.next().expect("a stream of messages") {
                return frame;
            }
            let count = self.stream.read(&mut buffer).expect("an answer");
            assert_ne!(count, 0, "the switch closed the connection");
            self.framer.push(&buffer[..count]);
        }
    }

    /// The next message that is `wanted`; others are dropped.
    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&Message) -> bool) -> Message {
        loop {
            let (_, message) = self.receive();
            if wanted(&message) {
                return message;
            }
        }
    }

    /// Sends `message` and everything before it is done; gives the answers, errors among them.
    pub(crate) fn transact(&mut self, messages: &[Message]) -> Vec<(Xid, Message)> {
        static NEXT: AtomicU32 = AtomicU32::new(0x1000);
        for message in messages {
            let xid = Xid(NEXT.fetch_add(1, Ordering::Relaxed));
            self.send(xid, message);
        }
        self.send(Xid(2), &Message::BarrierRequest);
        let mut answers = Vec::new();
        loop {
            match self.receive() {
                (_, Message::BarrierReply) => return answers,
                (xid, Message::EchoRequest(data)) => self.send(xid, &Message::EchoReply(data)),
                answer => answers.push(answer),
            }
        }
    }

    /// As [`Self::transact`], and panics on an error.
    pub(crate) fn apply(&mut self, messages: &[Message]) -> Vec<Message> {
        let answers = self.transact(messages);
        for (xid, answer) in &answers {
            if let Message::Error(error) = answer {
                panic!("{xid}: {error}");
            }
        }
        answers.into_iter().map(|(_, answer)| answer).collect()
    }
}
