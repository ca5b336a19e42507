// SPDX-License-Identifier: Apache-2.0
//! Verdicts through a Service: one for each endpoint that the connection may go to.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::ways::{WayKind, ways};
use crate::compiler::Compiler;
use crate::compiler::verdicts::{Way, close_to};
use crate::model::{Addresses, Family, Name, Node, ObjectKey, Service, ServicePort, TrafficPolicy};
use crate::stage::service::Door;
use crate::verdict::{End, EndpointVerdict, Question, QuestionError, Verdict};

/// By what a Service is asked about.
#[derive(Clone, Copy)]
enum By {
    /// Its name: by a cluster address of either family.
    Name,
    /// A door: one of its addresses, or a port of every node.
    Door(Door),
}

impl By {
    fn family(self) -> Option<Family> {
        match self {
            Self::Name => None,
            Self::Door(door) => Some(door.family()),
        }
    }

    /// What kind of way it is to this port.
    fn kind(self, service: &Service, port: &ServicePort) -> WayKind {
        let mut ways = ways(service, port);
        let way = ways.find(|way| matches!(self, Self::Door(door) if way.to == door));
        way.map_or(WayKind::Cluster, |way| way.kind)
    }
}

impl Compiler {
    /// The answer where the destination is a Service, by name, address or node port, or an address that
    /// could only be a Service's.
    pub(in crate::compiler) fn verdict_by_service(
        &self,
        question: &Question,
    ) -> Result<Option<Verdict>, QuestionError> {
        let doors: Vec<Door> = match &question.to {
            End::Pod(_) => return Ok(None),
            End::Service(key) => return self.verdict_through(question, key, By::Name).map(Some),
            End::Address(address) => {
                let of_node = self.node_at(*address).is_some();
                let nodes = of_node.then_some(Door::Nodes(Family::of(*address)));
                std::iter::once(Door::Address(*address))
                    .chain(nodes)
                    .collect()
            }
            End::Node(name) => {
                let addresses = self.node_named(name)?.status_addresses.iter();
                addresses
                    .map(|address| Door::Nodes(Family::of(*address)))
                    .collect()
            }
        };
        for door in doors {
            let claim = (door, question.protocol, question.port);
            let claims = self.services.claims.get(&claim).into_iter();
            if let Some(key) = claims.flatten().next() {
                return self
                    .verdict_through(question, key, By::Door(door))
                    .map(Some);
            }
        }
        let End::Address(address) = question.to else {
            return Ok(None);
        };
        Ok(self.leads_nowhere(address, question).map(|note| Verdict {
            note: Some(note),
            ..Verdict::default()
        }))
    }

    /// Why nobody is at an address that is not the world's either.
    fn leads_nowhere(&self, address: IpAddr, question: &Question) -> Option<String> {
        let mut services = self.services.services.iter();
        let has = |service: &Service| {
            let mut addresses = service.cluster_ips.into_iter().flat_map(Addresses::iter);
            addresses.any(|one| one == address)
        };
        if let Some((key, _)) = services.find(|(_, service)| has(service)) {
            let Question { protocol, port, .. } = question;
            return Some(format!(
                "{address} is an address of {key}, which has no port {port}/{protocol}"
            ));
        }
        let ranges = self.services.ranges.values();
        let settled = self.services.settings.cidrs.iter();
        let mut cidrs = ranges.flat_map(|range| &range.cidrs).chain(settled);
        let cidr = cidrs.find(|cidr| cidr.contains(address))?;
        Some(format!(
            "{address} is in {cidr}, where Services have their addresses, and none has it"
        ))
    }

    fn node_at(&self, address: IpAddr) -> Option<&Node> {
        let mut nodes = self.nodes.values();
        nodes.find(|node| node.status_addresses.contains(&address))
    }

    /// How a connection comes to the endpoints. Clients that are no Pods are masqueraded, and all that come
    /// by node ports and load balancers unless `externalTrafficPolicy` is `Local`.
    fn way(
        &self,
        question: &Question,
        service: &Service,
        kind: WayKind,
    ) -> Result<Way<'_>, QuestionError> {
        let from = self.party(&question.from)?;
        let keeps_source = service.external_policy == TrafficPolicy::Local;
        if from.pod.is_some() && (kind == WayKind::Cluster || keeps_source) {
            return Ok(Way::Service);
        }
        let of = |end: &End| match end {
            End::Node(name) => self.nodes.get(name),
            End::Address(address) => self.node_at(*address),
            End::Pod(_) | End::Service(_) => None,
        };
        Ok(Way::Masqueraded(match from.pod {
            Some((_, pod)) => pod.node.as_ref().and_then(|node| self.nodes.get(&**node)),
            None => of(&question.to).or_else(|| of(&question.from)),
        }))
    }

    /// Whether a connection to a Service would pass, whichever endpoint it goes to.
    fn verdict_through(
        &self,
        question: &Question,
        key: &ObjectKey,
        by: By,
    ) -> Result<Verdict, QuestionError> {
        let (service, port) = self.service_port(question, key, by)?;
        let family = by.family();
        let kind = by.kind(service, port);
        let way = self.way(question, service, kind)?;
        if kind == WayKind::LoadBalancer && !self.is_served(question, service, family)? {
            return Ok(Verdict {
                note: Some(format!(
                    "{key}: its loadBalancerSourceRanges leave the client out"
                )),
                ..Verdict::default()
            });
        }
        let mut endpoints = Vec::new();
        for (to, number) in self.ends(question, kind, key, service, port) {
            let address = match &to {
                End::Address(address) => Some(*address),
                _ => None,
            };
            let of_other = |family| address.is_some_and(|one| Family::of(one) != family);
            if family.is_some_and(of_other) {
                continue;
            }
            let pod = match &to {
                End::Pod(pod) => Some(pod.clone()),
                _ => address.and_then(|address| self.pod_at(address)),
            };
            let asked = Question {
                from: question.from.clone(),
                to,
                port: number,
                ..*question
            };
            let verdict = match self.verdict_at(&asked, way) {
                Ok(verdict) => verdict,
                // A connection of one family never goes to an endpoint of the other.
                Err(QuestionError::NoFamily(..)) => continue,
                Err(error) => return Err(error),
            };
            endpoints.push(EndpointVerdict {
                pod,
                address,
                port: number,
                verdict,
            });
        }
        let denied = endpoints.iter().filter(|one| !one.verdict.allowed).count();
        let note = match (denied, endpoints.len()) {
            (_, 0) if stays(kind, service) && self.node_of(&question.from).is_some() => {
                format!(
                    "{key} has no ready endpoint on the sender's node, which its internalTrafficPolicy Local asks for"
                )
            }
            (_, 0) => format!("{key} has no ready endpoint that could answer"),
            (0, all) => format!("{key}: allowed to every endpoint, of which there are {all}"),
            (denied, all) => format!("{key}: denied to {denied} of its endpoints, of {all}"),
        };
        let note = match kind {
            WayKind::NodePort => format!("{note}, by node port {}", question.port),
            WayKind::Cluster | WayKind::LoadBalancer | WayKind::External => note,
        };
        Ok(Verdict {
            allowed: denied == 0 && !endpoints.is_empty(),
            note: Some(note),
            endpoints,
            ..Verdict::default()
        })
    }

    /// Whether a load balancer's address serves the client, as far as its address is known.
    fn is_served(
        &self,
        question: &Question,
        service: &Service,
        family: Option<Family>,
    ) -> Result<bool, QuestionError> {
        let from = self.party(&question.from)?;
        let of_family = |address: IpAddr| Some(Family::of(address)) == family;
        let mut addresses = from.addresses.iter();
        let client = addresses.find(|address| of_family(**address));
        let ranges = service.source_ranges.iter();
        let mut ranges = ranges.filter(|range| of_family(range.ip())).peekable();
        let open = ranges.peek().is_none();
        Ok(open || client.is_none_or(|client| ranges.any(|range| range.contains(*client))))
    }

    fn service_port(
        &self,
        question: &Question,
        key: &ObjectKey,
        by: By,
    ) -> Result<(&Service, &ServicePort), QuestionError> {
        let services = &self.services.services;
        let Some(service) = services.get(key) else {
            let name = |key: &ObjectKey| format!("{}/{}", key.namespace, key.name);
            let close = close_to(services.keys().map(name), &name(key));
            let service = name(key);
            return Err(QuestionError::UnknownService { service, close });
        };
        if service.cluster_ips.is_none() && matches!(by, By::Name) {
            return Err(QuestionError::NoClusterAddress(key.clone()));
        }
        let wanted = (question.protocol, Some(question.port));
        let number = |port: &ServicePort| match by {
            By::Door(Door::Nodes(_)) => port.node_port,
            By::Name | By::Door(Door::Address(_)) => Some(port.port),
        };
        let mut ports = service.ports.iter();
        let found = ports.find(|port| (port.protocol, number(port)) == wanted);
        let port = found.ok_or_else(|| {
            let ports = service.ports.iter();
            let ports: Vec<String> = ports
                .map(|port| format!("{}/{}", port.port, port.protocol))
                .collect();
            QuestionError::UnknownServicePort {
                service: key.clone(),
                port: format!("{}/{}", question.port, question.protocol),
                ports: ports.join(", "),
            }
        })?;
        Ok((service, port))
    }

    /// Where a connection may go. As long as no Pod is plugged in anywhere, which is so without a
    /// cluster, the Pods that the Service selects are taken for ready.
    fn ends(
        &self,
        question: &Question,
        kind: WayKind,
        key: &ObjectKey,
        service: &Service,
        port: &ServicePort,
    ) -> Vec<(End, u16)> {
        let node = self.node_of(&question.from);
        let mut ready = Vec::new();
        for (_, sets) in self.endpoint_sets(key, service, port, Family::ALL.into_iter()) {
            ready.extend_from_slice(match &node {
                Some(node) if stays(kind, service) => sets.local_to(node),
                Some(node) => sets.near_to(node),
                None => &sets.everywhere,
            });
        }
        if !ready.is_empty() || self.services.slices(key).next().is_some() {
            let ends = ready.into_iter();
            return ends
                .map(|endpoint| (End::Address(endpoint.address), endpoint.port))
                .collect();
        }
        let plugged = |pod| self.attachments.addresses(pod).next().is_some();
        if self.pods.keys().any(plugged) {
            return Vec::new();
        }
        let Some(selector) = &service.selector else {
            return Vec::new();
        };
        let mut ends = BTreeSet::new();
        for (pod_key, pod) in self.pods_in(&key.namespace) {
            let number = port.number_on(pod);
            let serves = pod.on_pod_network() && selector.matches(&pod.labels);
            ends.extend(number.filter(|_| serves).map(|port| (pod_key, port)));
        }
        let ends = ends.into_iter();
        ends.map(|(pod, port)| (End::Pod(pod.clone()), port))
            .collect()
    }

    /// The node where connections of this end enter, if that is known.
    fn node_of(&self, end: &End) -> Option<Name> {
        let pod = match end {
            End::Pod(pod) => Some(pod.clone()),
            End::Address(address) => self.pod_at(*address),
            End::Node(name) => return Some(Name::from(name)),
            End::Service(_) => None,
        };
        self.pods.get(&pod?)?.node.clone()
    }
}

/// Whether a connection of the inside may not leave the node where it enters.
fn stays(kind: WayKind, service: &Service) -> bool {
    kind == WayKind::Cluster && service.internal_policy == TrafficPolicy::Local
}
