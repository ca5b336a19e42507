// SPDX-License-Identifier: Apache-2.0
//! Nodes and how far their switches have come.

use serde::{Deserialize, Serialize};

/// `GET /v1/nodes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nodes {
    /// Sorted by name: every Node object, and every machine that calls itself a node.
    pub nodes: Vec<Node>,
    /// Switches that are connected by OpenFlow and that no node's OVSDB has named yet: datapath ids.
    pub unclaimed_switches: Vec<String>,
}

/// How far the switch of a node has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// Neither OVSDB nor OpenFlow is connected.
    Disconnected,
    /// Something is missing before the switch may be programmed; the reason says what.
    Waiting,
    /// Flows were sent and are not acknowledged yet.
    Syncing,
    /// Everything that was sent is acknowledged.
    Programmed,
    /// The machine contradicts the objects; its switch is left as it is.
    Refused,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Kubernetes Node name.
    pub name: String,
    /// State.
    pub state: NodeState,
    /// Why it waits or is refused, and the cure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Remote address of the OVSDB connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ovsdb: Option<String>,
    /// Remote address of the OpenFlow connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openflow: Option<String>,
    /// Version of Open vSwitch, as the switch spells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ovs_version: Option<String>,
    /// Datapath id of the bridge, 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datapath_id: Option<String>,
    /// Tunnel address, from the Node object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Pod CIDRs, from the Node object.
    #[serde(default)]
    pub pod_cidrs: Vec<String>,
    /// Version of the agent that keeps the node, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// OpenFlow port of the tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel_port: Option<u32>,
    /// OpenFlow port of the gateway, behind which the node's own kernel is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_port: Option<u32>,
    /// Tunnel addresses of peers whose link-layer address the node knows.
    #[serde(default)]
    pub peers_resolved: Vec<String>,
    /// Interfaces that belong to Pods.
    pub pods: usize,
    /// Flows of the node's own layer.
    pub flows: usize,
    /// Flow and group modifications sent to the switch since it connected.
    #[serde(default)]
    pub mods_sent: u64,
    /// Flows of others on the bridge, which are left alone; as of the last time it was read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_flows: Option<usize>,
    /// Groups of others, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_groups: Option<usize>,
    /// Entries that somebody else had changed and that audits repaired since the switch connected.
    #[serde(default)]
    pub repairs: u64,
}
