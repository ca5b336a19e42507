// SPDX-License-Identifier: Apache-2.0
//! A throwaway ovsdb-server and ovs-vswitchd with one bridge, `br0`, on the dummy datapath.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use openflow_codec::Cookie;

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Vswitchd {
    dir: tempfile::TempDir,
    server: Child,
    vswitchd: Child,
}

impl Vswitchd {
    /// Starts the daemons.
    pub(crate) fn start() -> Self {
        assert!(
            Path::new(SCHEMA).exists(),
            "Open vSwitch is missing: apt-get install openvswitch-switch"
        );
        let dir = tempfile::tempdir().expect("a directory");
        let db = dir.path().join("conf.db");
        let db = db.to_str().expect("a path");
        run(dir.path(), "ovsdb-tool", &["create", db, SCHEMA]);
        let remote = format!("--remote=punix:{}", dir.path().join("db.sock").display());
        let server = daemon(
            dir.path(),
            "ovsdb-server",
            &[db, &remote, "--log-file=db.log", "--unixctl=none"],
        );
        wait_for(&dir.path().join("db.sock"));
        let switch = Self {
            vswitchd: vswitchd(dir.path()),
            server,
            dir,
        };
        switch.vsctl(&["--no-wait", "init"]);
        switch.vsctl(&[
            "add-br",
            "br0",
            "--",
            "set",
            "bridge",
            "br0",
            "datapath_type=dummy",
            "fail_mode=secure",
            "protocols=OpenFlow15",
        ]);
        switch
    }

    /// Connects as a controller of the management socket does.
    pub(crate) fn connect(&self) -> UnixStream {
        UnixStream::connect(self.management()).expect("br0.mgmt")
    }

    pub(crate) fn vsctl(&self, args: &[&str]) -> String {
        let db = format!("--db=unix:{}", self.dir.path().join("db.sock").display());
        run(
            self.dir.path(),
            "ovs-vsctl",
            &[&[db.as_str(), "--timeout=30"], args].concat(),
        )
    }

    /// Runs ovs-ofctl; the word `br0` stands for the bridge's socket.
    pub(crate) fn ofctl(&self, args: &[&str]) -> String {
        let socket = format!("unix:{}", self.management().display());
        let args: Vec<_> = args
            .iter()
            .map(|arg| if *arg == "br0" { socket.as_str() } else { arg })
            .collect();
        run(
            self.dir.path(),
            "ovs-ofctl",
            &[&["-O", "OpenFlow15"], args.as_slice()].concat(),
        )
    }

    /// What becomes of a packet: `ovs-appctl ofproto/trace`.
    pub(crate) fn trace(&self, packet: &str) -> String {
        let socket = self.dir.path().join("vswitchd.ctl");
        let socket = socket.to_str().expect("a path");
        let args = ["-t", socket, "ofproto/trace", "br0", packet];
        run(self.dir.path(), "ovs-appctl", &args)
    }

    /// The cookie of every flow.
    pub(crate) fn cookies(&self) -> Vec<Cookie> {
        let dump = self.ofctl(&["--no-stats", "dump-flows", "br0"]);
        let cookies = dump.lines().filter_map(|line| {
            let rest = line.trim_start().strip_prefix("cookie=0x")?;
            let digits = rest.split(',').next()?;
            u64::from_str_radix(digits, 16).ok().map(Cookie)
        });
        cookies.collect()
    }

    /// Every flow and group, sorted, as ovs-ofctl prints them.
    pub(crate) fn dump(&self) -> Vec<String> {
        let flows = self.ofctl(&["--no-stats", "dump-flows", "br0"]);
        let groups = self.ofctl(&["dump-groups", "br0"]);
        let lines = flows.lines().chain(groups.lines());
        let lines = lines.filter(|line| line.contains("cookie=") || line.contains("group_id="));
        let mut lines: Vec<_> = lines.map(|line| line.trim().to_owned()).collect();
        lines.sort();
        lines
    }

    /// Stops vswitchd for so long, without waiting for the end of it.
    pub(crate) fn stop_for(&self, how_long: Duration) -> std::thread::JoinHandle<()> {
        let pid = self.vswitchd.id().to_string();
        signal(&pid, "-STOP");
        std::thread::spawn(move || {
            std::thread::sleep(how_long);
            signal(&pid, "-CONT");
        })
    }

    /// Kills vswitchd, which forgets every flow, and starts it again.
    pub(crate) fn restart_vswitchd(&mut self) {
        stop(&mut self.vswitchd);
        std::fs::remove_file(self.management()).expect("the old socket");
        self.vswitchd = vswitchd(self.dir.path());
        wait_for(&self.management());
    }

    fn management(&self) -> PathBuf {
        self.dir.path().join("br0.mgmt")
    }
}

impl Drop for Vswitchd {
    fn drop(&mut self) {
        stop(&mut self.vswitchd);
        stop(&mut self.server);
    }
}

fn vswitchd(dir: &Path) -> Child {
    let db = format!("unix:{}", dir.join("db.sock").display());
    let unixctl = format!("--unixctl={}", dir.join("vswitchd.ctl").display());
    let args = [
        db.as_str(),
        &unixctl,
        "--enable-dummy=override",
        "--disable-system",
        "--log-file=vs.log",
    ];
    daemon(dir, "ovs-vswitchd", &args)
}

fn signal(pid: &str, signal: &str) {
    let status = Command::new("kill").args([signal, pid]).status();
    assert!(status.expect("kill is installed").success());
}

fn stop(child: &mut Child) {
    child.kill().expect("our own child");
    child.wait().expect("our own child");
}

fn command(dir: &Path, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir);
    for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
        command.env(variable, dir);
    }
    command
}

fn daemon(dir: &Path, program: &str, args: &[&str]) -> Child {
    let mut command = command(dir, program, args);
    command.stderr(Stdio::null());
    command.spawn().expect("Open vSwitch is installed")
}

fn run(dir: &Path, program: &str, args: &[&str]) -> String {
    let output = command(dir, program, args)
        .output()
        .expect("it is installed");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn wait_for(socket: &Path) {
    let end = Instant::now() + PATIENCE;
    while UnixStream::connect(socket).is_err() {
        assert!(Instant::now() < end, "{} did not appear", socket.display());
        std::thread::yield_now();
    }
}
