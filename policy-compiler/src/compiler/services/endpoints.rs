// SPDX-License-Identifier: Apache-2.0
//! Who may serve at a port of a Service: from slices if there are any, else from Pods.

use std::slice;

use super::sets::{Found, Nodes, Sets};
use crate::compiler::Compiler;
use crate::model::{
    CandidateState, Distribution, Endpoint, Family, Name, ObjectKey, Pod, Service, ServicePort,
};

impl Compiler {
    /// The endpoint sets of one port of a Service, by family.
    pub(super) fn endpoint_sets(
        &self,
        key: &ObjectKey,
        service: &Service,
        port: &ServicePort,
        families: impl Iterator<Item = Family>,
    ) -> Vec<(Family, Sets)> {
        let found = self.candidates(key, service, port);
        let nodes = self.known_nodes();
        families
            .map(|family| (family, Sets::new(family, &found, nodes)))
            .collect()
    }

    fn known_nodes(&self) -> Nodes<'_> {
        Nodes {
            observed: &self.observed,
            objects: &self.nodes,
        }
    }

    /// Who may serve at one port: from slices if there are any, else from Pods.
    pub(super) fn candidates<'a>(
        &'a self,
        key: &ObjectKey,
        service: &Service,
        port: &ServicePort,
    ) -> Vec<Found<'a>> {
        let mut found = Vec::new();
        let mut sliced = false;
        for slice in self.services.slices(key) {
            sliced = true;
            let ports = slice.ports.iter();
            let numbers = ports
                .filter(|(name, protocol, _)| (name, *protocol) == (&port.name, port.protocol));
            for (_, _, number) in numbers {
                let endpoints = slice.endpoints.iter();
                found.extend(endpoints.map(|candidate| Found {
                    endpoint: Endpoint {
                        address: candidate.address,
                        port: *number,
                    },
                    node: candidate.node.as_ref(),
                    state: candidate.state,
                    for_zones: &candidate.for_zones,
                    for_nodes: &candidate.for_nodes,
                }));
            }
        }
        if let Some(selector) = service.selector.as_ref().filter(|_| !sliced) {
            for (pod_key, pod) in self.pods_in(&key.namespace) {
                let number = port.number_on(pod);
                let Some(port) = number.filter(|_| selector.matches(&pod.labels)) else {
                    continue;
                };
                let state = state_of(pod, service.publish_not_ready);
                let (for_zones, for_nodes) = self.hints(service.distribution, pod);
                for address in self.attachments.open_addresses(pod_key) {
                    found.push(Found {
                        endpoint: Endpoint { address, port },
                        node: pod.node.as_ref(),
                        state,
                        for_zones,
                        for_nodes,
                    });
                }
            }
        }
        found
    }

    /// For which zones and nodes a Pod is best: what the control plane would write into a slice.
    fn hints<'a>(&'a self, distribution: Distribution, pod: &'a Pod) -> (&'a [Name], &'a [Name]) {
        let node = pod.node.as_ref();
        let nodes = self.known_nodes();
        let zone = node.and_then(|node| nodes.zone(node));
        let one = |name: Option<&'a Name>| name.map(slice::from_ref).unwrap_or_default();
        match distribution {
            Distribution::Anywhere => (&[], &[]),
            Distribution::SameZone => (one(zone), &[]),
            Distribution::SameNode => (one(zone), one(node)),
        }
    }
}

/// What an `EndpointSlice` would say of a Pod.
fn state_of(pod: &Pod, publish_not_ready: bool) -> CandidateState {
    match (pod.ready, pod.terminating) {
        _ if publish_not_ready => CandidateState::Ready,
        (true, false) => CandidateState::Ready,
        (true, true) => CandidateState::Leaving,
        (false, _) => CandidateState::Absent,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::change::Object;
    use crate::ingest::{self, Parsed};

    #[test]
    fn a_pod_serves_while_it_is_ready_unless_it_is_published_anyway() {
        let state = |metadata: Value, ready: Option<&str>, publish| {
            let conditions = ready.map(|status| json!([{"type": "Ready", "status": status}]));
            let mut object = json!({
                "metadata": {"namespace": "x", "name": "a"},
                "status": {"conditions": conditions},
            });
            object["metadata"]["deletionTimestamp"] = metadata;
            let object = serde_json::from_value(object).unwrap();
            let Ok(Parsed::Pod(pod)) = ingest::parse(&Object::Pod(Box::new(object))) else {
                panic!("a Pod is refused");
            };
            state_of(&pod, publish)
        };
        let stays = Value::Null;
        let goes = json!("2026-01-01T00:00:00Z");
        assert_eq!(state(stays.clone(), None, false), CandidateState::Ready);
        assert_eq!(
            state(stays.clone(), Some("True"), false),
            CandidateState::Ready
        );
        assert_eq!(
            state(stays.clone(), Some("False"), false),
            CandidateState::Absent
        );
        assert_eq!(
            state(goes.clone(), Some("True"), false),
            CandidateState::Leaving
        );
        assert_eq!(state(goes, Some("False"), false), CandidateState::Absent);
        assert_eq!(state(stays, Some("False"), true), CandidateState::Ready);
    }
}
