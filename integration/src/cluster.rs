// SPDX-License-Identifier: Apache-2.0
//! The product on a bed: one controller reading manifests, and an agent on every node.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::testbed::CTL_ADDRESS;
use crate::{Node, Testbed, command, wait};

const START_LIMIT: Duration = Duration::from_secs(30);
const OPENFLOW_PORT: u16 = 6653;
const OVSDB_PORT: u16 = 6640;
const CONTROLLER: &str = "controller";

/// A controller and its nodes. The manifests are files that may be edited at any time.
#[derive(Clone, Debug)]
pub struct Cluster {
    bed: Arc<Testbed>,
    manifests: PathBuf,
    secret: PathBuf,
    underlay: Underlay,
}

/// What tunnels go over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Underlay {
    /// IPv4.
    #[default]
    V4,
    /// IPv6.
    V6,
}

impl Cluster {
    /// Prepares a bed for the product: an empty directory of manifests, and a secret.
    pub fn prepare(bed: &Arc<Testbed>) -> Result<Self> {
        let manifests = bed.dir().join("manifests");
        std::fs::create_dir_all(&manifests)
            .with_context(|| format!("cannot create {}", manifests.display()))?;
        let secret = cluster_secret(bed.dir())?;
        Ok(Self {
            bed: Arc::clone(bed),
            manifests,
            secret,
            underlay: Underlay::default(),
        })
    }

    /// The same, with tunnels over `underlay`; the Nodes must have InternalIPs of that family.
    #[must_use]
    pub fn over(mut self, underlay: Underlay) -> Self {
        self.underlay = underlay;
        self
    }

    /// The bed below.
    pub fn bed(&self) -> &Arc<Testbed> {
        &self.bed
    }

    /// The directory of manifests that the controller follows.
    pub fn manifests(&self) -> &Path {
        &self.manifests
    }

    /// The socket of the controller's REST API.
    pub fn api_socket(&self) -> PathBuf {
        self.bed.dir().join("api.sock")
    }

    /// Puts a manifest in place, new or instead of the one of that name, in one step: a reader sees
    /// the old text or the new one.
    pub fn put_manifest(&self, name: &str, text: &str) -> Result<()> {
        let target = self.manifests.join(name);
        let temporary = target.with_extension("new");
        std::fs::write(&temporary, text)
            .and_then(|()| std::fs::rename(&temporary, &target))
            .with_context(|| format!("cannot write {}", target.display()))
    }

    /// Takes a manifest away.
    pub fn remove_manifest(&self, name: &str) -> Result<()> {
        let path = self.manifests.join(name);
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
    }

    /// Starts the controller and all agents; answers when every node could take a Pod.
    pub fn start_all(&self) -> Result<()> {
        self.start_controller()?;
        for node in self.bed.nodes() {
            self.start_agent(node)?;
        }
        self.wait_for_nodes()
    }

    /// Starts `culvert-controller` on the management network; answers when its API does.
    pub fn start_controller(&self) -> Result<()> {
        let socket = self.api_socket();
        let mut controller = Command::new(command::culvert_binary("culvert-controller")?);
        controller
            .arg("--source")
            .arg(format!("dir:{}", self.manifests.display()))
            .arg("--openflow-listen")
            .arg(format!("{CTL_ADDRESS}:{OPENFLOW_PORT}"))
            .arg("--ovsdb-listen")
            .arg(format!("{CTL_ADDRESS}:{OVSDB_PORT}"))
            .arg("--api")
            .arg(format!("unix:{}", socket.display()))
            .args(["--api", "tcp:127.0.0.1:8080"])
            // Who looks at a bed does not wait for half a minute.
            .args(["--policy-counters-interval", "1"])
            // A bed has every way to a Service.
            .arg("--external-ips")
            .arg("--cluster-secret-file")
            .arg(&self.secret);
        self.bed.start(self.bed.ctl(), CONTROLLER, &controller)?;
        self.wait_while_alive("the controller's API", || {
            Ok(UnixStream::connect(&socket).is_ok())
        })
    }

    /// Kills the controller as a crash would.
    pub fn kill_controller(&self) -> Result<()> {
        self.bed.kill(CONTROLLER)
    }

    /// Sends the controller a signal.
    pub fn signal_controller(&self, signal: Signal) -> Result<()> {
        self.bed.signal(CONTROLLER, signal)
    }

    /// Sends a node's agent a signal.
    pub fn signal_agent(&self, node: &Node, signal: Signal) -> Result<()> {
        self.bed.signal(&agent_label(node), signal)
    }

    /// Starts `culvert-agent` on a node.
    pub fn start_agent(&self, node: &Node) -> Result<()> {
        self.start_agent_with(node, &[])
    }

    /// The same with further options.
    pub fn start_agent_with(&self, node: &Node, options: &[&str]) -> Result<()> {
        let mut agent = Command::new(command::culvert_binary("culvert-agent")?);
        agent
            .args(["--node-name", &node.name()])
            .args(["--ovsdb", &node.db()])
            .args(["--encap-ip", &self.endpoint(node).to_string()])
            .arg("--controller")
            .arg(format!("tcp:{CTL_ADDRESS}:{OPENFLOW_PORT}"))
            .arg("--manager")
            .arg(format!("tcp:{CTL_ADDRESS}:{OVSDB_PORT}"))
            .args(["--datapath", node.datapath().as_str()])
            .args(["--bridge", "br-int"])
            .args(options);
        self.bed.start(node.netns(), &agent_label(node), &agent)
    }

    /// Where the tunnels of a node end.
    pub fn endpoint(&self, node: &Node) -> IpAddr {
        match self.underlay {
            Underlay::V4 => node.underlay().into(),
            Underlay::V6 => node.underlay6().into(),
        }
    }

    /// Kills a node's agent as a crash would.
    pub fn kill_agent(&self, node: &Node) -> Result<()> {
        self.bed.kill(&agent_label(node))
    }

    /// Waits until every node could take a Pod: agent and controller have prepared it, and the
    /// controller is connected and has programmed it.
    ///
    /// CNI STATUS would say the same up to five seconds later: that often OVS writes into its
    /// database whether a controller is connected.
    pub fn wait_for_nodes(&self) -> Result<()> {
        for node in self.bed.nodes() {
            let what = format!("{} to be ready for Pods", node.name());
            self.wait_while_alive(
                &what,
                || Ok(is_prepared(node)? && self.is_programmed(node)?),
            )?;
        }
        Ok(())
    }

    fn is_programmed(&self, node: &Node) -> Result<bool> {
        let answer: Value = serde_json::from_str(&self.culvert(&["-o", "json", "nodes"])?)?;
        let nodes = answer["nodes"]
            .as_array()
            .context("the API's answer has no nodes")?;
        let name = node.name();
        Ok(nodes
            .iter()
            .any(|n| n["name"] == *name && n["state"] == "programmed"))
    }

    /// Runs the operator's tool against this controller and answers what it prints.
    pub fn culvert(&self, words: &[&str]) -> Result<String> {
        let tool = command::culvert_binary("culvert")?;
        let api = format!("unix:{}", self.api_socket().display());
        let tool = tool.to_str().context("the path of culvert is not UTF-8")?;
        command::run(tool, &[&["--api", &api], words].concat())
    }

    /// Runs the operator's tool against this controller and answers its exit status.
    pub fn culvert_status(&self, words: &[&str]) -> Result<Option<i32>> {
        let tool = command::culvert_binary("culvert")?;
        let api = format!("unix:{}", self.api_socket().display());
        let mut tool = command::bounded(tool, command::LIMIT);
        let output = tool.args(["--api", &api]).args(words).output();
        Ok(output.context("cannot start culvert")?.status.code())
    }

    /// What the controller says to `GET /metrics`.
    pub fn metrics(&self) -> Result<String> {
        let mut stream = UnixStream::connect(self.api_socket())?;
        stream.set_read_timeout(Some(command::LIMIT))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: culvert\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
        Ok(body.to_owned())
    }

    /// Waits for `condition`, or until one of the bed's processes has ended, which is an error.
    fn wait_while_alive(
        &self,
        what: &str,
        mut condition: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let bed = &self.bed;
        wait::until_true(what, START_LIMIT, || {
            Ok(bed.check_processes().is_err() || condition()?)
        })?;
        bed.check_processes()
            .with_context(|| format!("waiting for {what}"))
    }
}

/// Whether agent and controller have written what CNI ADD needs.
fn is_prepared(node: &Node) -> Result<bool> {
    let keys = ["culvert-mtu", "culvert-pod-cidrs"].map(|key| {
        node.ovs()
            .vsctl(&format!("--if-exists get Bridge br-int external_ids:{key}"))
    });
    keys.into_iter()
        .try_fold(true, |all, value| Ok(all && !value?.trim().is_empty()))
}

fn agent_label(node: &Node) -> String {
    format!("agent-{}", node.name())
}

/// A fresh secret of 32 bytes, in hexadecimal, that only root can read.
fn cluster_secret(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("cluster-secret");
    let mut bytes = [0_u8; 32];
    File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes))?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| writeln!(file, "{text}"))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
