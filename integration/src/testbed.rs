// SPDX-License-Identifier: Apache-2.0
//! Several Open vSwitch nodes on one machine, in network namespaces.
//!
//! ```text
//!   culvert-NAME-ctl            culvert-NAME-fabric           culvert-NAME-nodeI
//!   mgmt0 10.99.0.1 ------------ bridge mgmt ---------------- mgmt0 10.99.0.(10+I)
//!                                bridge underlay ------------ uplink0 = br-phy 10.98.0.(10+I)
//!                                                                           fd98::(10+I)
//! ```
//!
//! The management leg carries OpenFlow and OVSDB, so killing `ovs-vswitchd` cuts the underlay but
//! not the control connections.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::ovs::Ovs;
use crate::process::Process;
use crate::registry::{self, Lease};
use crate::{Datapath, Netns, preflight, wait};

/// The controller's address on the management network.
pub const CTL_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

/// The address of a machine on the underlay that is no node.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 98, 0, 250);

const MAX_NODES: usize = 200;
const DEVICE_LIMIT: Duration = Duration::from_secs(15);

/// One node: a namespace with its own Open vSwitch.
#[derive(Debug)]
pub struct Node {
    index: u8,
    netns: Netns,
    datapath: Datapath,
    ovs: Mutex<Ovs>,
    dir: PathBuf,
}

impl Node {
    /// The Kubernetes name, `node-1` and so on.
    pub fn name(&self) -> String {
        format!("node-{}", self.index)
    }

    /// The node's namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The datapath that carries the node's packets.
    pub fn datapath(&self) -> Datapath {
        self.datapath
    }

    /// The node's run directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The tunnel endpoint address, on br-phy.
    pub fn underlay(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 98, 0, 10 + self.index)
    }

    /// The tunnel endpoint address where tunnels go over IPv6.
    pub fn underlay6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd98, 0, 0, 0, 0, 0, 0, 10 + u16::from(self.index))
    }

    /// The address that OpenFlow and OVSDB connections come from.
    pub fn management(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, 0, 10 + self.index)
    }

    /// The port of the management bridge, in the fabric, that the node is plugged into.
    pub fn management_port(&self) -> String {
        format!("m{}", self.index)
    }

    /// The node's Open vSwitch.
    pub fn ovs(&self) -> MutexGuard<'_, Ovs> {
        self.ovs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The OVSDB address, without waiting for another user of [`Node::ovs`].
    pub fn db(&self) -> String {
        format!("unix:{}", self.dir.join("db.sock").display())
    }

    fn create(bed: &str, dir: &Path, fabric: &Netns, index: u8) -> Result<Self> {
        let netns = Netns::create(&registry::netns_name(bed, &format!("node{index}")))?;
        netns.sysctl("net/ipv6/conf/all/disable_ipv6", "1")?;
        netns.sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        let dir = dir.join(format!("node{index}"));
        connect(fabric, "mgmt", &format!("m{index}"), &netns, "mgmt0")?;
        connect(fabric, "underlay", &format!("u{index}"), &netns, "uplink0")?;
        // What OVS makes later has IPv6, and asks nobody about it.
        for (key, value) in [
            ("disable_ipv6", "0"),
            ("accept_dad", "0"),
            ("dad_transmits", "0"),
            ("accept_ra", "0"),
            ("router_solicitations", "0"),
        ] {
            netns.sysctl(&format!("net/ipv6/conf/default/{key}"), value)?;
        }
        // Or the node does not reach its own IPv6 addresses.
        netns.sysctl("net/ipv6/conf/lo/disable_ipv6", "0")?;
        let datapath = Datapath::chosen()?;
        match datapath {
            // The node's kernel gets a copy of every frame that OVS reads from uplink0. It must not
            // answer ARP for br-phy's address with uplink0's, nor accept packets there: peers would
            // send tunnel packets past OVS.
            Datapath::Netdev => {
                netns.sysctl("net/ipv4/conf/uplink0/arp_ignore", "8")?;
                netns.sysctl("net/ipv4/conf/uplink0/rp_filter", "1")?;
            }
            Datapath::System => netns.sysctl("net/ipv6/conf/uplink0/disable_ipv6", "0")?,
        }
        let ovs = Ovs::start(&netns, &dir, &format!("node-{index}"))?;
        let node = Self {
            index,
            netns,
            datapath,
            ovs: Mutex::new(ovs),
            dir,
        };
        node.netns
            .ip(&format!("address add {}/24 dev mgmt0", node.management()))?;
        if datapath == Datapath::Netdev {
            node.ovs().vsctl(
                "add-br br-phy -- set Bridge br-phy datapath_type=netdev fail_mode=standalone \
             -- add-port br-phy uplink0",
            )?;
        }
        node.address_underlay()?;
        Ok(node)
    }

    /// Gives the underlay's device its addresses: after creation, and after each start of
    /// `ovs-vswitchd`, because the internal port of a bridge of the userspace datapath lives and
    /// dies with it.
    pub fn address_underlay(&self) -> Result<()> {
        let device = self.datapath.underlay_device();
        wait::until(
            format_args!("{device} on {}", self.name()),
            DEVICE_LIMIT,
            || self.netns.ip(&format!("link set {device} up")).map(Some),
        )?;
        self.netns.ip(&format!(
            "address replace {}/24 dev {device}",
            self.underlay()
        ))?;
        self.netns.ip(&format!(
            "address replace {}/64 dev {device} nodad",
            self.underlay6()
        ))?;
        Ok(())
    }
}

/// A bed of nodes joined by an underlay and a management network; everything ends with it.
#[derive(Debug)]
pub struct Testbed {
    name: String,
    dir: PathBuf,
    fabric: Netns,
    ctl: Netns,
    nodes: Vec<Node>,
    processes: Mutex<Vec<Process>>,
    keep: Mutex<bool>,
    lease: Mutex<Option<Lease>>,
}

impl Testbed {
    /// Builds a bed with nodes 1 to `nodes`, after removing leftovers of this name and of beds
    /// whose owner is dead.
    ///
    /// `name` is 1 to 16 characters of a-z and 0-9.
    pub fn new(name: &str, nodes: usize) -> Result<Self> {
        ensure!(
            (1..=MAX_NODES).contains(&nodes),
            "a bed has 1 to {MAX_NODES} nodes, not {nodes}"
        );
        preflight::check()?;
        let lease = Lease::take(name)?;
        if let Err(error) = registry::sweep_abandoned() {
            eprintln!("what another, abandoned bed left could not be removed: {error:#}");
        }
        let dir = registry::run_dir(name);
        std::fs::create_dir_all(dir.join("pids"))
            .with_context(|| format!("cannot create {}", dir.display()))?;

        // From here on, dropping the bed takes back what was made.
        let mut bed = Self {
            name: name.to_owned(),
            dir,
            fabric: Netns::create(&registry::netns_name(name, "fabric"))?,
            ctl: Netns::create(&registry::netns_name(name, "ctl"))?,
            nodes: Vec::new(),
            processes: Mutex::default(),
            keep: Mutex::new(false),
            lease: Mutex::new(Some(lease)),
        };
        bed.build(nodes)
            .with_context(|| format!("cannot build the bed {name}"))?;
        Ok(bed)
    }

    /// The bed's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The run directory, `/run/culvert/NAME`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The namespace of the underlay and management bridges.
    pub fn fabric(&self) -> &Netns {
        &self.fabric
    }

    /// The controller's host.
    pub fn ctl(&self) -> &Netns {
        &self.ctl
    }

    /// Node `index`, counted from 1.
    pub fn node(&self, index: usize) -> Result<&Node> {
        index
            .checked_sub(1)
            .and_then(|index| self.nodes.get(index))
            .with_context(|| format!("the bed {} has no node {index}", self.name()))
    }

    /// All nodes in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Adds a machine on the underlay that is no node, at [`OUTSIDE`]; it sends `networks` to the
    /// underlay address of a node.
    pub fn add_outsider(&self, networks: &[(&str, &Node)]) -> Result<Netns> {
        let netns = Netns::create(&registry::netns_name(self.name(), "outside"))?;
        connect(&self.fabric, "underlay", "outside", &netns, "eth0")?;
        netns.ip(&format!("address add {OUTSIDE}/24 dev eth0"))?;
        for (network, node) in networks {
            netns.ip(&format!("route add {network} via {}", node.underlay()))?;
        }
        Ok(netns)
    }

    /// Starts a process of the bed in `netns`; its output goes to `LABEL.log` in the run directory.
    pub fn start(&self, netns: &Netns, label: &str, command: &Command) -> Result<()> {
        let process = Process::start(&self.dir, netns, label, command)?;
        self.processes().push(process);
        Ok(())
    }

    /// Kills a process started with [`Testbed::start`], as a crash would.
    pub fn kill(&self, label: &str) -> Result<()> {
        self.take(label)?.kill()
    }

    /// Sends a signal to a process started with [`Testbed::start`].
    pub fn signal(&self, label: &str, signal: Signal) -> Result<()> {
        let processes = self.processes();
        let process = processes.iter().find(|process| process.label() == label);
        let process = process.with_context(|| self.not_running(label))?;
        process.signal(signal);
        Ok(())
    }

    /// Ends a process started with [`Testbed::start`] in good order.
    pub fn stop(&self, label: &str) -> Result<()> {
        let process = self.take(label)?;
        process.terminate();
        process.finish()
    }

    /// Fails, with the end of its log, when a process started with [`Testbed::start`] has ended.
    pub fn check_processes(&self) -> Result<()> {
        self.processes()
            .iter_mut()
            .try_for_each(Process::check_running)
    }

    /// Keeps logs and dumps in the run directory when the bed ends; answers where they are.
    pub fn keep_logs(&self) -> &Path {
        *self.keep.lock().unwrap_or_else(PoisonError::into_inner) = true;
        &self.dir
    }

    /// Ends everything the bed started and removes everything it made. Safe to call twice.
    pub fn tear_down(&self) -> Result<()> {
        let lease = self
            .lease
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // Without the right to the name, whatever carries it may be another's.
        let Some(_lease) = lease else { return Ok(()) };
        let keep = *self.keep.lock().unwrap_or_else(PoisonError::into_inner);
        if keep && self.dir.exists() {
            for node in &self.nodes {
                node.ovs().write_diagnostics();
            }
            std::fs::write(self.dir.join(registry::KEPT), "")?;
        }
        let processes = std::mem::take(&mut *self.processes());
        for process in &processes {
            process.terminate();
        }
        let mut outcomes: Vec<_> = processes.into_iter().map(Process::finish).collect();
        outcomes.extend(self.nodes.iter().map(|node| node.ovs().stop()));
        outcomes.push(if keep {
            registry::remove_processes_and_namespaces(self.name())
        } else {
            registry::sweep(self.name())
        });
        outcomes.into_iter().collect()
    }

    fn build(&mut self, nodes: usize) -> Result<()> {
        for netns in [&self.fabric, &self.ctl] {
            netns.sysctl("net/ipv6/conf/all/disable_ipv6", "1")?;
            netns.sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        }
        for bridge in ["underlay", "mgmt"] {
            self.fabric
                .ip(&format!("link add {bridge} type bridge mcast_snooping 0"))?;
            self.fabric.ip(&format!("link set {bridge} up"))?;
        }
        connect(&self.fabric, "mgmt", "mctl", &self.ctl, "mgmt0")?;
        self.ctl
            .ip(&format!("address add {CTL_ADDRESS}/24 dev mgmt0"))?;
        let (name, dir, fabric) = (&self.name, &self.dir, &self.fabric);
        self.nodes = std::thread::scope(|scope| {
            let builders: Vec<_> = (1..=nodes)
                .filter_map(|index| u8::try_from(index).ok())
                .map(|index| scope.spawn(move || Node::create(name, dir, fabric, index)))
                .collect();
            builders
                .into_iter()
                .map(|builder| match builder.join() {
                    Ok(node) => node,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect::<Result<_>>()
        })?;
        Ok(())
    }

    fn take(&self, label: &str) -> Result<Process> {
        let mut processes = self.processes();
        let at = processes
            .iter()
            .position(|process| process.label() == label)
            .with_context(|| self.not_running(label))?;
        Ok(processes.remove(at))
    }

    fn not_running(&self, label: &str) -> String {
        format!("no process {label} runs in the bed {}", self.name())
    }

    fn processes(&self) -> MutexGuard<'_, Vec<Process>> {
        self.processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "logs and flows of this bed are kept in {}",
                self.keep_logs().display()
            );
        }
        if let Err(error) = self.tear_down() {
            eprintln!("the bed {} did not end cleanly: {error:#}", self.name());
        }
    }
}

/// A veth from `port` on `bridge` in the fabric to `device` in `netns`.
///
/// Transmit checksum offload is off at both ends: the userspace datapath reads frames as they are,
/// with the checksum the kernel has not filled in yet.
fn connect(fabric: &Netns, bridge: &str, port: &str, netns: &Netns, device: &str) -> Result<()> {
    let peer = netns.name();
    fabric.ip(&format!(
        "link add {port} type veth peer name {device} netns {peer}"
    ))?;
    fabric.ip(&format!("link set {port} master {bridge} up"))?;
    netns.ip(&format!("link set {device} up"))?;
    offload_off(fabric, port)?;
    offload_off(netns, device)
}

/// Turns transmit checksum offload of a device off.
pub fn offload_off(netns: &Netns, device: &str) -> Result<()> {
    let line = format!("ip netns exec {} ethtool -K {device} tx off", netns.name());
    crate::command::run_line(&line).map(drop)
}
