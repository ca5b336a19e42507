// SPDX-License-Identifier: Apache-2.0
//! Nodes: their tunnel and gateway ports, and the ways between them.

use std::net::IpAddr;

use super::{Compiler, Dirty};
use crate::explain::Scope;
use crate::layer::Owner;
use crate::model::{Addresses, Family, Kind, Node, ObjectKey};
use crate::stage::{self, Wanted, frontend, route};

impl Compiler {
    /// Makes the flows of dirty nodes anew.
    pub(super) fn settle_nodes(&mut self, dirty: &Dirty) {
        for node in &dirty.node_objects {
            self.settle_addresses(node);
        }
        let all: Vec<String> = self.observed.keys().cloned().collect();
        for node in all
            .iter()
            .filter(|node| dirty.all_nodes || dirty.nodes.contains(*node))
        {
            self.settle_masquerade(node);
            self.settle_tunnel_port(node);
            self.settle_gateway_port(node);
            self.settle_routes(node);
        }
    }

    /// Every switch knows the addresses of every node.
    fn settle_addresses(&mut self, node: &str) {
        let found = self.nodes.get(node).into_iter();
        let addresses = found.flat_map(|node| &node.status_addresses);
        let carried = addresses.filter(|address| self.families.contains(Family::of(**address)));
        let wanted = carried.map(|address| frontend::node_address(*address));
        let wanted = wanted.collect();
        let key = ObjectKey::new(Kind::Node, "", node);
        self.own(Owner::Object(key), &Scope::Cluster, wanted);
    }

    fn settle_tunnel_port(&mut self, node: &str) {
        let port = self.observed.get(node).and_then(|facts| facts.tunnel_port);
        let wanted = port
            .map(|port| stage::tunnel_port(port, self.families, &self.masquerade_addresses(node)))
            .unwrap_or_default();
        self.own(Owner::TunnelPort, &Scope::Node(node.to_owned()), wanted);
    }

    fn settle_masquerade(&mut self, node: &str) {
        let wanted = stage::masquerade_addresses(&self.masquerade_addresses(node));
        self.own(Owner::Masquerade, &Scope::Node(node.to_owned()), wanted);
    }

    fn masquerade_addresses(&self, node: &str) -> Vec<IpAddr> {
        let node = self.nodes.get(node).into_iter();
        node.flat_map(Node::masquerade_addresses).collect()
    }

    fn settle_gateway_port(&mut self, node: &str) {
        let facts = self.observed.get(node);
        let gateway = facts.and_then(|facts| facts.gateway_port).map(|port| {
            let node = self.nodes.get(node);
            let addresses = node.and_then(|node| node.addresses).into_iter();
            let node_ports = node.into_iter().flat_map(Node::node_port_addresses);
            stage::GatewayPort {
                port,
                addresses: addresses.flat_map(Addresses::iter).collect(),
                node_port_addresses: node_ports.collect(),
            }
        });
        let wanted = gateway
            .map(|gateway| stage::gateway_port(&gateway, self.families))
            .unwrap_or_default();
        self.own(Owner::GatewayPort, &Scope::Node(node.to_owned()), wanted);
    }

    fn settle_routes(&mut self, node: &str) {
        let scope = Scope::Node(node.to_owned());
        let underlay = self.underlay();
        let mut peers: Vec<String> = self.nodes.keys().cloned().collect();
        peers.extend(self.owners.routes(node));
        peers.sort();
        peers.dedup();
        for peer in peers {
            let wanted = match self.nodes.get(&peer) {
                Some(found) => routes_to(found, node, underlay),
                None => Vec::new(),
            };
            self.own(Owner::Route(peer), &scope, wanted);
        }
    }
}

/// The ways from `node` to `peer`, and where there are none.
fn routes_to(peer: &Node, node: &str, underlay: Family) -> Vec<Wanted> {
    let cidrs = peer.pod_cidrs.iter().copied();
    let tunnel = peer.addresses.and_then(|all| all.of(underlay));
    let Some(tunnel) = tunnel.filter(|_| peer.name != node) else {
        return cidrs.map(route::nobody_in).collect();
    };
    let pods = cidrs.map(|cidr| route::to_pods_of(tunnel, cidr));
    let addresses = peer.addresses.into_iter().flat_map(Addresses::iter);
    pods.chain(addresses.map(|at| route::to_node(tunnel, at)))
        .collect()
}
