// SPDX-License-Identifier: Apache-2.0
//! Pods as they are plugged in, and how far they have come.

use serde::{Deserialize, Serialize};

/// `GET /v1/pods`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pods {
    /// One entry per Interface; sorted by node, then Interface.
    pub pods: Vec<Pod>,
}

/// How far a Pod's Interface has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PodState {
    /// It contradicts the objects; no flow exists for it.
    Refused,
    /// Something it needs is not known yet; no flow exists for it.
    Pending,
    /// Its flows are sent, its port is still closed.
    Programmed,
    /// Its port is open or about to be; not everything is acknowledged or warm yet.
    Admitted,
    /// Everything is acknowledged and `culvert-ready` is written.
    Ready,
}

/// One Interface of a Pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Namespace of the Pod.
    pub namespace: String,
    /// Name of the Pod.
    pub name: String,
    /// Node.
    pub node: String,
    /// Name of the OVSDB Interface.
    pub interface: String,
    /// State.
    pub state: PodState,
    /// Why it is refused or waits, and the cure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The first of its IP addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// IP addresses, at most one of each family.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Link-layer address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Identity that the Pod's packets carry between nodes: namespace part and label part in
    /// hexadecimal, joined by a dot; absent while the Pod is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// OpenFlow port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u32>,
}
