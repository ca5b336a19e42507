// SPDX-License-Identifier: Apache-2.0
//! How the node's own kernel reaches Pods: what the gateway port needs beside its row in OVSDB.
//!
//! Pods are one hop away, behind a router with the link-layer address that every Pod's gateway has.
//! The kernel resolves nothing and floods nothing: the router is a permanent neighbour, and each Pod
//! CIDR of the cluster and each network and address of Services is a route to it. Routes are told apart
//! from those of others by their protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use crate::told::Told;
use crate::underlay::MacAddress;

/// The router behind the gateway port, as in Pods.
pub const ROUTER_IPV4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// The router behind the gateway port, as in Pods.
pub const ROUTER_IPV6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// The router's link-layer address.
pub const ROUTER_MAC: MacAddress = MacAddress::new([0x0a, 0x58, 0xa9, 0xfe, 0x01, 0x01]);

/// The gateway port's link-layer address, the same on every node: no frame leaves a node with it.
pub const HOST_MAC: MacAddress = MacAddress::new([0x0a, 0x58, 0xa9, 0xfe, 0x01, 0x02]);

/// `rtm_protocol` of our routes (rtnetlink(7)); not one of the reserved numbers.
pub const ROUTE_PROTOCOL: u8 = 0xc1;

/// The gateway port as the kernel has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// Whether it is up.
    pub up: bool,
    /// Its permanent neighbours.
    pub neighbours: BTreeMap<IpAddr, MacAddress>,
    /// The networks of our routes through it.
    pub routes: BTreeSet<IpNetwork>,
}

/// What the kernel must be told, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Take the port up.
    pub up: bool,
    /// Neighbours to set to [`ROUTER_MAC`].
    pub neighbours: BTreeSet<IpAddr>,
    /// Routes to add.
    pub add: BTreeSet<IpNetwork>,
    /// Routes to take away.
    pub remove: BTreeSet<IpNetwork>,
}

impl Plan {
    /// Whether all is right.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The networks that this node reaches by its gateway port. A Service may have the address of a node
/// (`status.loadBalancer` sometimes names one): such an address stays where it is.
pub fn networks(told: &Told, own: &BTreeSet<IpAddr>) -> BTreeSet<IpNetwork> {
    let addresses = told.service_addresses.iter();
    let elsewhere =
        addresses.filter(|address| !own.contains(address) && !told.peers.contains(address));
    let cidrs = told.cluster_cidrs.iter().chain(&told.service_cidrs);
    cidrs
        .filter_map(network)
        .chain(elsewhere.copied().map(IpNetwork::from))
        .collect()
}

/// What must change so that the kernel reaches the networks in `wanted`.
pub fn plan(wanted: &BTreeSet<IpNetwork>, present: &Present) -> Plan {
    let routers = wanted.iter().map(router);
    let missing = |router: &IpAddr| present.neighbours.get(router) != Some(&ROUTER_MAC);
    Plan {
        up: !present.up,
        neighbours: routers.filter(missing).collect(),
        add: wanted.difference(&present.routes).copied().collect(),
        remove: present.routes.difference(wanted).copied().collect(),
    }
}

/// The router for a network, by family.
pub fn router(network: &IpNetwork) -> IpAddr {
    match network {
        IpNetwork::V4(_) => IpAddr::V4(ROUTER_IPV4),
        IpNetwork::V6(_) => IpAddr::V6(ROUTER_IPV6),
    }
}

/// A CIDR without host bits, as the kernel lists it. A default route is nobody's CIDR: it would take
/// the node off the network.
fn network(cidr: &IpNetwork) -> Option<IpNetwork> {
    let network = IpNetwork::new(cidr.network(), cidr.prefix()).ok()?;
    (network.prefix() > 0).then_some(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidrs(texts: &[&str]) -> BTreeSet<IpNetwork> {
        let cluster_cidrs = texts.iter().map(|text| text.parse().unwrap()).collect();
        let told = Told {
            cluster_cidrs,
            ..Told::default()
        };
        networks(&told, &BTreeSet::new())
    }

    fn carry_out(plan: &Plan, present: &mut Present) {
        present.up |= plan.up;
        let neighbours = plan.neighbours.iter().map(|router| (*router, ROUTER_MAC));
        present.neighbours.extend(neighbours);
        present.routes.extend(&plan.add);
        present
            .routes
            .retain(|network| !plan.remove.contains(network));
    }

    #[test]
    fn a_new_port_gets_routers_and_routes_of_both_families_once() {
        let wanted = cidrs(&["10.10.1.0/24", "10.10.2.7/24", "fd00:10::/64"]);
        let mut present = Present::default();
        let first = plan(&wanted, &present);
        assert!(first.up);
        assert_eq!(first.neighbours.len(), 2);
        let networks = cidrs(&["10.10.1.0/24", "10.10.2.0/24", "fd00:10::/64"]);
        assert_eq!(first.add, networks);
        carry_out(&first, &mut present);
        assert!(plan(&wanted, &present).is_empty());
    }

    #[test]
    fn routes_of_nodes_that_are_gone_are_taken_away() {
        let mut present = Present::default();
        let both = plan(&cidrs(&["10.10.1.0/24", "10.10.2.0/24"]), &present);
        carry_out(&both, &mut present);
        let less = plan(&cidrs(&["10.10.1.0/24"]), &present);
        assert_eq!(less.remove, cidrs(&["10.10.2.0/24"]));
        assert!(less.add.is_empty() && less.neighbours.is_empty());
    }

    #[test]
    fn a_router_with_another_address_is_corrected() {
        let wanted = cidrs(&["10.10.1.0/24"]);
        let mut present = Present::default();
        carry_out(&plan(&wanted, &present), &mut present);
        let router = IpAddr::V4(ROUTER_IPV4);
        present.neighbours.insert(router, HOST_MAC);
        assert_eq!(plan(&wanted, &present).neighbours, [router].into());
    }

    #[test]
    fn the_default_route_is_never_ours() {
        let plan = plan(&cidrs(&["0.0.0.0/0", "::/0"]), &Present::default());
        assert!(plan.add.is_empty() && plan.neighbours.is_empty());
    }

    #[test]
    fn services_are_reached_but_for_addresses_that_nodes_have() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let told = Told {
            peers: vec![address("192.0.2.12")],
            service_cidrs: vec!["10.96.0.0/12".parse().unwrap()],
            service_addresses: ["192.0.2.11", "192.0.2.12", "198.51.100.7", "2001:db8::7"]
                .map(address)
                .into(),
            ..Told::default()
        };
        let own = [address("192.0.2.11")].into();
        let found: Vec<_> = networks(&told, &own)
            .iter()
            .map(IpNetwork::to_string)
            .collect();
        assert_eq!(
            found,
            ["10.96.0.0/12", "198.51.100.7/32", "2001:db8::7/128"]
        );
    }
}
