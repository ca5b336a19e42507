// SPDX-License-Identifier: Apache-2.0
//! Nodes: their tunnel ports, and the ways between them.

use super::{Compiler, Dirty};
use crate::explain::Scope;
use crate::layer::Owner;
use crate::stage;

impl Compiler {
    /// Makes the flows of dirty nodes anew.
    pub(super) fn settle_nodes(&mut self, dirty: &Dirty) {
        let all: Vec<String> = self.observed.keys().cloned().collect();
        for node in all
            .iter()
            .filter(|node| dirty.all_nodes || dirty.nodes.contains(*node))
        {
            self.settle_tunnel_port(node);
            self.settle_routes(node);
        }
    }

    fn settle_tunnel_port(&mut self, node: &str) {
        let port = self.observed.get(node).and_then(|facts| facts.tunnel_port);
        let wanted = port
            .map(|port| stage::tunnel_port(port, self.families))
            .unwrap_or_default();
        self.own(Owner::TunnelPort, &Scope::Node(node.to_owned()), wanted);
    }

    fn settle_routes(&mut self, node: &str) {
        let scope = Scope::Node(node.to_owned());
        let underlay = self.underlay();
        let mut peers: Vec<String> = self.nodes.keys().cloned().collect();
        peers.extend(self.owners.routes(node));
        peers.sort();
        peers.dedup();
        for peer in peers {
            let mut wanted = Vec::new();
            let found = self.nodes.get(&peer).filter(|found| found.name != node);
            if let Some(found) = found
                && let Some(address) = found.addresses.and_then(|all| all.of(underlay))
            {
                let cidrs = found.pod_cidrs.iter();
                wanted.extend(cidrs.map(|cidr| stage::route::to_node(address, *cidr)));
            }
            self.own(Owner::Route(peer), &scope, wanted);
        }
    }
}
