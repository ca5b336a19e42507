// SPDX-License-Identifier: Apache-2.0
//! What the nodes' own kernels are told of Services.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Compiler;
use crate::model::{CandidateState, Family, NodeServices, ObjectKey};

impl Compiler {
    /// What every node must know of Services.
    pub fn node_services(&self) -> NodeServices {
        let mut told = NodeServices::default();
        let ranges = self.services.ranges.values();
        told.cidrs.extend(ranges.flat_map(|range| &range.cidrs));
        for (key, service) in &self.services.services {
            told.addresses.extend(&service.load_balancer_ips);
            let ports = service.ports.iter();
            told.node_ports
                .extend(ports.filter_map(|port| Some((port.protocol, port.node_port?))));
            if let Some(port) = service.health_check_port {
                told.health_checks
                    .entry(port)
                    .or_insert_with(|| key.clone());
            }
        }
        told
    }

    /// How many ready endpoints of a Service are on a node: of the family that has more.
    pub fn local_endpoints(&self, key: &ObjectKey, node: &str) -> usize {
        let mut addresses = BTreeSet::<IpAddr>::new();
        let mut sliced = false;
        for slice in self.services.slices(key) {
            sliced = true;
            let ready = slice.endpoints.iter().filter(|one| {
                one.state == CandidateState::Ready && one.node.as_deref() == Some(node)
            });
            addresses.extend(ready.map(|one| one.address));
        }
        let service = self.services.services.get(key);
        let selector = service.and_then(|service| service.selector.as_ref());
        if let Some(selector) = selector.filter(|_| !sliced) {
            for (pod_key, pod) in self.pods_in(&key.namespace) {
                if pod.node.as_deref() == Some(node) && selector.matches(&pod.labels) {
                    addresses.extend(self.attachments.open_addresses(pod_key));
                }
            }
        }
        let of = |family| {
            addresses
                .iter()
                .filter(|one| Family::of(**one) == family)
                .count()
        };
        of(Family::V4).max(of(Family::V6))
    }
}
