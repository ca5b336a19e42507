// SPDX-License-Identifier: Apache-2.0
//! A Pod: who may send and receive.

use super::{Addresses, Labels, Name, Protocol};

/// A Pod as the pipeline needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Namespace.
    pub namespace: Name,
    /// Name.
    pub name: Name,
    /// `metadata.uid`, absent in hand-written manifests.
    pub uid: Option<Name>,
    /// `spec.nodeName`.
    pub node: Option<Name>,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `spec.hostNetwork`: uses the node's addresses and has no port of its own.
    pub host_network: bool,
    /// `status.phase` is Succeeded or Failed: its address may already belong to another Pod.
    pub finished: bool,
    /// The condition `Ready`; a Pod of which it is not said is ready.
    pub ready: bool,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// `status.podIPs`: what the Pod's address is said to be. Flows do not depend on it.
    pub addresses: Option<Addresses>,
    /// Named container ports: name, protocol, number.
    pub named_ports: Box<[(Name, Protocol, u16)]>,
}

impl Pod {
    /// Whether it can be plugged into a bridge.
    pub fn on_pod_network(&self) -> bool {
        !self.host_network && !self.finished
    }

    /// What policies can tell Pods apart by: labels, and named ports under keys that no label has.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (Name, Name)> {
        let labels = self
            .labels
            .iter()
            .filter(|(key, _)| !key.starts_with(PORT_KEY));
        let ports = self.named_ports.iter();
        labels.cloned().chain(ports.map(|(name, protocol, number)| {
            (port_key(*protocol, name).into(), number.to_string().into())
        }))
    }

    /// Number of the named container port.
    pub fn named_port(&self, name: &str, protocol: Protocol) -> Option<u16> {
        let found = self
            .named_ports
            .iter()
            .find(|(n, p, _)| *n == name && *p == protocol);
        found.map(|(_, _, number)| *number)
    }
}

/// First character of the attribute keys of named ports; no label key can have it.
pub(crate) const PORT_KEY: char = '\0';

/// Attribute key of a named port.
pub(crate) fn port_key(protocol: Protocol, name: &str) -> String {
    format!("{PORT_KEY}{protocol}/{name}")
}
