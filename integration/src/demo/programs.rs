// SPDX-License-Identifier: Apache-2.0
//! Starting the product: one controller, and an agent on every node.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::testbed::CTL_ADDRESS;
use crate::{Node, Testbed, command, wait};

const START_LIMIT: Duration = Duration::from_secs(30);
const OPENFLOW_PORT: u16 = 6653;
const OVSDB_PORT: u16 = 6640;

/// The socket of the controller's REST API.
pub(super) fn api_socket(bed: &Testbed) -> PathBuf {
    bed.dir().join("api.sock")
}

/// Starts the controller and the agents; answers when every node is connected.
pub(super) fn start(bed: &Testbed, manifests: &Path) -> Result<()> {
    start_controller(bed, manifests)?;
    for node in bed.nodes() {
        start_agent(bed, node)?;
    }
    for node in bed.nodes() {
        let what = format!(
            "{} to be prepared and connected to the controller",
            node.name()
        );
        wait::until_true(what, START_LIMIT, || {
            bed.check_processes()?;
            is_connected(node)
        })?;
    }
    Ok(())
}

/// Starts `culvert-controller` on the management network; answers when its API does.
fn start_controller(bed: &Testbed, manifests: &Path) -> Result<()> {
    let socket = api_socket(bed);
    let mut controller = Command::new(command::culvert_binary("culvert-controller")?);
    controller
        .arg("--source")
        .arg(format!("dir:{}", manifests.display()))
        .arg("--openflow-listen")
        .arg(format!("{CTL_ADDRESS}:{OPENFLOW_PORT}"))
        .arg("--ovsdb-listen")
        .arg(format!("{CTL_ADDRESS}:{OVSDB_PORT}"))
        .arg("--api")
        .arg(format!("unix:{}", socket.display()))
        .args(["--api", "tcp:127.0.0.1:8080"])
        .arg("--cluster-secret-file")
        .arg(cluster_secret(bed)?);
    bed.start(bed.ctl(), "controller", &controller)?;
    wait_while_alive(bed, "the controller's API", || {
        Ok(UnixStream::connect(&socket).is_ok())
    })
}

/// Waits for `condition`, or until one of the bed's processes has ended, which is an error.
fn wait_while_alive(
    bed: &Testbed,
    what: &str,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    wait::until_true(what, START_LIMIT, || {
        Ok(bed.check_processes().is_err() || condition()?)
    })?;
    bed.check_processes()
        .with_context(|| format!("waiting for {what}"))
}

fn start_agent(bed: &Testbed, node: &Node) -> Result<()> {
    let mut agent = Command::new(command::culvert_binary("culvert-agent")?);
    agent
        .args(["--node-name", &node.name()])
        .args(["--ovsdb", &node.db()])
        .args(["--encap-ip", &node.underlay().to_string()])
        .arg("--controller")
        .arg(format!("tcp:{CTL_ADDRESS}:{OPENFLOW_PORT}"))
        .arg("--manager")
        .arg(format!("tcp:{CTL_ADDRESS}:{OVSDB_PORT}"))
        .args(["--datapath", "netdev", "--bridge", "br-int"]);
    bed.start(node.netns(), &format!("agent-{}", node.name()), &agent)
}

fn is_connected(node: &Node) -> Result<bool> {
    let ovs = node.ovs();
    let mtu = ovs.vsctl("--if-exists get Bridge br-int external_ids:culvert-mtu")?;
    let connected = ovs.vsctl("--bare --columns=target find Controller is_connected=true")?;
    Ok(!mtu.trim().is_empty() && !connected.trim().is_empty())
}

/// A fresh secret of 32 bytes, in hexadecimal, that only root can read.
fn cluster_secret(bed: &Testbed) -> Result<PathBuf> {
    let path = bed.dir().join("cluster-secret");
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
