// SPDX-License-Identifier: Apache-2.0
//! A node: where Pods run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::{Addresses, Families, Family, Labels, Name};

/// A Kubernetes Node as the pipeline needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Name.
    pub name: String,
    /// `metadata.labels`.
    pub labels: Labels,
    /// Every IP address in `status.addresses`.
    pub status_addresses: Vec<IpAddr>,
    /// Where its tunnel may end: the first `InternalIP` of each family in `status.addresses`, if
    /// there is one yet.
    pub addresses: Option<Addresses>,
    /// `spec.podCIDRs`, or `spec.podCIDR` alone.
    pub pod_cidrs: Vec<IpNetwork>,
}

/// Label of a Node: the zone that it is in.
const ZONE: &str = "topology.kubernetes.io/zone";

impl Node {
    /// The zone that it is in.
    pub fn zone(&self) -> Option<&Name> {
        self.labels.get(ZONE)
    }

    /// The address of each family that stands for clients of Services whose answers must come back to
    /// this node: the second of its first Pod CIDR, which no Pod gets.
    pub fn masquerade_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let seconds = self.lowest_addresses().map(|lowest| match lowest {
            IpAddr::V4(lowest) => IpAddr::from(Ipv4Addr::from_bits(lowest.to_bits() | 1)),
            IpAddr::V6(lowest) => IpAddr::from(Ipv6Addr::from_bits(lowest.to_bits() | 1)),
        });
        seconds.filter(|address| {
            self.pod_cidrs
                .iter()
                .any(|cidr| cidr.network() != *address && cidr.contains(*address))
        })
    }

    /// The address of each family where the node's kernel sends what comes to its node ports: the lowest
    /// of its first Pod CIDR, which no Pod gets either.
    pub fn node_port_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.lowest_addresses()
    }

    fn lowest_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let first = |family| {
            let mut cidrs = self.pod_cidrs.iter();
            cidrs.find(move |cidr| Family::of_network(**cidr) == family)
        };
        let firsts = Family::ALL.into_iter().filter_map(first);
        firsts.map(|cidr| cidr.network())
    }
}

/// The families of the Pod CIDRs of these nodes.
pub(crate) fn pod_families<'a>(nodes: impl Iterator<Item = &'a Node>) -> Families {
    let cidrs = nodes.flat_map(|node| &node.pod_cidrs);
    cidrs.map(|cidr| Family::of_network(*cidr)).collect()
}

/// The family of the tunnels between these nodes: the one that more of them have an address of, and
/// IPv4 when both are as good. Tunnels of two families do not mix: a node has one endpoint.
pub(crate) fn underlay<'a>(nodes: impl Iterator<Item = &'a Node>) -> Family {
    let (mut v4, mut v6) = (0usize, 0usize);
    for address in nodes
        .filter_map(|node| node.addresses)
        .flat_map(Addresses::iter)
    {
        match Family::of(address) {
            Family::V4 => v4 += 1,
            Family::V6 => v6 += 1,
        }
    }
    if v6 > v4 { Family::V6 } else { Family::V4 }
}
