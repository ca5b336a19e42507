// SPDX-License-Identifier: Apache-2.0
//! What this node shall be.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use ovsdb_client::Remote;

/// The settings of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The name of the Kubernetes Node.
    pub node_name: String,
    /// The integration bridge.
    pub bridge: String,
    /// This node's tunnel endpoint.
    pub encap_ip: IpAddr,
    /// The OpenFlow controllers of the bridge, in the words of OVS (`tcp:ADDR:PORT`).
    pub controllers: BTreeSet<String>,
    /// The OVSDB managers of the node, in the words of OVS.
    pub managers: BTreeSet<String>,
    /// Which datapath carries the packets.
    pub datapath: Datapath,
    /// The MTU of the underlay in bytes; `None` for that of the link with [`Config::encap_ip`].
    pub underlay_mtu: Option<u32>,
    /// Networks outside the cluster that see the addresses of Pods.
    pub not_masqueraded: Vec<IpNetwork>,
    /// What is written to `external_ids:culvert-agent`.
    pub version: String,
    /// Where ovsdb-server listens.
    pub ovsdb: Remote,
    /// Where vswitchd keeps its pidfile and control socket.
    pub ovs_rundir: PathBuf,
}

/// Which datapath carries the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Datapath {
    /// vswitchd itself.
    Netdev,
    /// The kernel module.
    System,
}

impl Datapath {
    /// The word in `datapath_type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Netdev => "netdev",
            Self::System => "system",
        }
    }

    /// Whether `datapath_type` means this datapath; empty text means the kernel.
    pub fn is(self, datapath_type: &str) -> bool {
        datapath_type == self.as_str() || (self == Self::System && datapath_type.is_empty())
    }
}

impl fmt::Display for Datapath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
