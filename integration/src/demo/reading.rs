// SPDX-License-Identifier: Apache-2.0
//! What the YAML means, read naively and never asked of the controller: the demo's expectations.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use super::objects::{
    ContainerPort, Labels, Objects, Operator, Peer, PolicyPort, PolicySpec, PolicyType, Port,
    Selector, ServicePort, ServiceSpec,
};
use crate::{PodId, Protocol, Verdict};

/// Addresses of the Pods, all of one family.
pub type Addresses = BTreeMap<PodId, IpAddr>;

/// What may come of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Pods that may answer.
    pub by: BTreeSet<PodId>,
    /// Whether no answer is right as well, as when only some Pods of a Service may be reached.
    pub silence: bool,
}

impl Expected {
    /// Whether what was seen is right.
    pub fn admits(&self, seen: &Verdict) -> bool {
        match seen {
            Verdict::Allowed { by, .. } => self.by.iter().any(|pod| pod.to_string() == *by),
            Verdict::Denied => self.silence,
            Verdict::Refused | Verdict::Error(_) => false,
        }
    }

    /// Whether an answer is the only right outcome.
    pub fn is_allowed(&self) -> bool {
        !self.silence
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.by.iter().map(PodId::to_string).collect();
        match (names.is_empty(), self.silence) {
            (true, _) => f.write_str("denied"),
            (false, false) => write!(f, "allowed (by {})", names.join(" or ")),
            (false, true) => write!(f, "allowed (by {}) or denied", names.join(" or ")),
        }
    }
}

/// A reading of the objects.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    objects: &'a Objects,
    addresses: &'a Addresses,
}

/// One end of a connection.
#[derive(Clone, Copy)]
struct End<'a> {
    id: &'a PodId,
    labels: &'a Labels,
    address: Option<IpAddr>,
    ports: &'a [ContainerPort],
}

impl<'a> Reading<'a> {
    /// Reads `objects`, whose Pods have `addresses`.
    pub fn new(objects: &'a Objects, addresses: &'a Addresses) -> Self {
        Self { objects, addresses }
    }

    /// What is to come of a connection from one Pod to another's address.
    pub fn direct(&self, from: &PodId, to: &PodId, protocol: Protocol, port: u16) -> Expected {
        let allowed = self.allows(from, to, protocol, port);
        Expected {
            by: allowed.then(|| to.clone()).into_iter().collect(),
            silence: !allowed,
        }
    }

    /// What is to come of a connection from a Pod to a Service's port.
    pub fn through(&self, from: &PodId, service: &PodId, port: &ServicePort) -> Expected {
        let protocol = if port.protocol == Protocol::Udp {
            Protocol::Udp
        } else {
            Protocol::Tcp
        };
        let mut expected = Expected {
            by: BTreeSet::new(),
            silence: false,
        };
        for backend in self.backends(service) {
            let allowed = self
                .target(&backend, port)
                .is_some_and(|port| self.allows(from, &backend, protocol, port));
            if allowed {
                expected.by.insert(backend);
            } else {
                expected.silence = true;
            }
        }
        expected
    }

    /// The Pods behind a Service.
    pub fn backends(&self, service: &PodId) -> Vec<PodId> {
        let Some(ServiceSpec { selector, .. }) = self.objects.services.get(service) else {
            return Vec::new();
        };
        self.objects
            .pods
            .iter()
            .filter(|(id, pod)| {
                id.namespace == service.namespace
                    && selector
                        .iter()
                        .all(|(key, value)| pod.labels.get(key) == Some(value))
            })
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// The port number at which a Pod serves a Service's port.
    fn target(&self, backend: &PodId, port: &ServicePort) -> Option<u16> {
        match &port.target_port {
            None => Some(port.port),
            Some(Port::Number(number)) => Some(*number),
            Some(Port::Name(name)) => {
                let ports = &self.objects.pods.get(backend)?.ports;
                let found = ports
                    .iter()
                    .find(|p| p.name == *name && p.protocol == port.protocol);
                found.map(|port| port.container_port)
            }
        }
    }

    /// A connection needs both ends to allow it.
    fn allows(&self, from: &PodId, to: &PodId, protocol: Protocol, port: u16) -> bool {
        let (Some(from), Some(to)) = (self.end(from), self.end(to)) else {
            return false;
        };
        self.one_end_allows(from, PolicyType::Egress, to, to, protocol, port)
            && self.one_end_allows(to, PolicyType::Ingress, from, to, protocol, port)
    }

    /// Whether the policies of `subject` let it talk to `peer`: all of it when none isolates it,
    /// else what any of them allows.
    fn one_end_allows(
        &self,
        subject: End<'_>,
        direction: PolicyType,
        peer: End<'_>,
        destination: End<'_>,
        protocol: Protocol,
        port: u16,
    ) -> bool {
        let mut isolated = false;
        for (id, policy) in &self.objects.policies {
            if id.namespace != subject.id.namespace
                || !selects(&policy.pod_selector, subject.labels)
                || !isolates(policy, direction)
            {
                continue;
            }
            isolated = true;
            let rules: Vec<_> = match direction {
                PolicyType::Ingress => policy.ingress.iter().map(|r| (&r.from, &r.ports)).collect(),
                PolicyType::Egress => policy.egress.iter().map(|r| (&r.to, &r.ports)).collect(),
            };
            let allowed = rules.into_iter().any(|(peers, ports)| {
                let known = peers.is_empty()
                    || peers
                        .iter()
                        .any(|wanted| self.is_peer(wanted, &id.namespace, peer));
                let open = ports.is_empty()
                    || ports
                        .iter()
                        .any(|wanted| is_port(wanted, destination, protocol, port));
                known && open
            });
            if allowed {
                return true;
            }
        }
        !isolated
    }

    fn is_peer(&self, wanted: &Peer, namespace: &str, peer: End<'_>) -> bool {
        if let Some(block) = &wanted.ip_block {
            return peer.address.is_some_and(|address| {
                block.cidr.contains(address)
                    && !block.except.iter().any(|hole| hole.contains(address))
            });
        }
        let namespace_fits = match &wanted.namespace_selector {
            None => peer.id.namespace == namespace,
            Some(selector) => {
                let none = Labels::new();
                let labels = self
                    .objects
                    .namespaces
                    .get(&peer.id.namespace)
                    .unwrap_or(&none);
                selects(selector, labels)
            }
        };
        let labels_fit = wanted
            .pod_selector
            .as_ref()
            .is_none_or(|selector| selects(selector, peer.labels));
        namespace_fits && labels_fit
    }

    fn end(&self, id: &'a PodId) -> Option<End<'a>> {
        let pod = self.objects.pods.get(id)?;
        let address = self.addresses.get(id).copied();
        Some(End {
            id,
            labels: &pod.labels,
            address,
            ports: &pod.ports,
        })
    }
}

fn isolates(policy: &PolicySpec, direction: PolicyType) -> bool {
    match &policy.policy_types {
        Some(types) => types.contains(&direction),
        None => direction == PolicyType::Ingress || !policy.egress.is_empty(),
    }
}

fn is_port(wanted: &PolicyPort, destination: End<'_>, protocol: Protocol, port: u16) -> bool {
    if wanted.protocol != protocol {
        return false;
    }
    match (&wanted.port, wanted.end_port) {
        (None, _) => true,
        (Some(Port::Number(number)), None) => *number == port,
        (Some(Port::Number(first)), Some(last)) => (*first..=last).contains(&port),
        (Some(Port::Name(name)), _) => destination.ports.iter().any(|known| {
            known.name == *name && known.protocol == protocol && known.container_port == port
        }),
    }
}

fn selects(selector: &Selector, labels: &Labels) -> bool {
    selector
        .match_labels
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
        && selector.match_expressions.iter().all(|wanted| {
            let value = labels.get(&wanted.key);
            let listed = value.is_some_and(|value| wanted.values.contains(value));
            match wanted.operator {
                Operator::In => listed,
                Operator::NotIn => !listed,
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(edited: bool) -> Objects {
        let dir = super::super::examples();
        let mut objects = Objects::read(&dir).unwrap();
        if edited {
            let edit = Objects::read(&dir.join("edit")).unwrap();
            objects.policies.extend(edit.policies);
        }
        objects
    }

    fn verdicts(objects: &Objects, questions: &[(&str, &str, Protocol)]) -> Vec<bool> {
        let addresses = Addresses::new();
        let reading = Reading::new(objects, &addresses);
        let port = |protocol| {
            if protocol == Protocol::Tcp {
                8080
            } else {
                5353
            }
        };
        questions
            .iter()
            .map(|(from, to, protocol)| {
                let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
                reading
                    .direct(&from, &to, *protocol, port(*protocol))
                    .is_allowed()
            })
            .collect()
    }

    /// The table a person would write down after reading the YAML.
    const TABLE: [(&str, &str, Protocol, bool); 12] = [
        ("shop/web", "shop/api-1", Protocol::Tcp, true),
        ("shop/web", "shop/api-2", Protocol::Udp, false),
        ("shop/web", "shop/db", Protocol::Tcp, false),
        ("shop/api-1", "shop/api-2", Protocol::Tcp, false),
        ("shop/api-2", "shop/db", Protocol::Udp, true),
        ("shop/db", "shop/api-1", Protocol::Tcp, false),
        ("shop/web", "team-b/guest", Protocol::Udp, true),
        ("team-b/monitor", "shop/api-1", Protocol::Udp, true),
        ("team-b/monitor", "shop/db", Protocol::Tcp, true),
        ("team-b/guest", "shop/api-1", Protocol::Udp, false),
        ("team-b/guest", "team-b/monitor", Protocol::Tcp, true),
        ("team-b/guest", "team-b/monitor", Protocol::Udp, false),
    ];

    #[test]
    fn the_example_means_what_a_person_reads_in_it() {
        let questions = TABLE.map(|(from, to, protocol, _)| (from, to, protocol));
        let wanted = TABLE.map(|(_, _, _, allowed)| allowed);
        assert_eq!(verdicts(&example(false), &questions), wanted);
    }

    #[test]
    fn the_edit_moves_tcp_from_web_to_db() {
        let questions = [
            ("shop/web", "shop/api-1", Protocol::Tcp),
            ("shop/db", "shop/api-1", Protocol::Tcp),
        ];
        assert_eq!(verdicts(&example(false), &questions), [true, false]);
        assert_eq!(verdicts(&example(true), &questions), [false, true]);
    }

    #[test]
    fn a_service_answers_with_any_of_its_pods() {
        let objects = example(false);
        let addresses = Addresses::new();
        let reading = Reading::new(&objects, &addresses);
        let service: PodId = "shop/api".parse().unwrap();
        let port = &objects.services[&service].ports[0];
        let expected = reading.through(&"shop/web".parse().unwrap(), &service, port);
        assert_eq!(
            expected.to_string(),
            "allowed (by shop/api-1 or shop/api-2)"
        );
        let expected = reading.through(&"shop/db".parse().unwrap(), &service, port);
        assert_eq!(expected.to_string(), "denied");
    }

    #[test]
    fn an_ip_block_reaches_pods_but_not_through_its_holes() {
        let mut objects = example(false);
        let policy = "podSelector: {matchLabels: {app: web}}\ningress: \
                      [{from: [{ipBlock: {cidr: 10.10.0.0/16, except: [10.10.2.0/24]}}]}]";
        let policy = serde_yaml_ng::from_str(policy).unwrap();
        objects.policies.insert("shop/web".parse().unwrap(), policy);
        let near: PodId = "team-b/monitor".parse().unwrap();
        let far: PodId = "shop/db".parse().unwrap();
        let web: PodId = "shop/web".parse().unwrap();
        let addresses = Addresses::from([
            (near.clone(), IpAddr::from([10, 10, 1, 9])),
            (far.clone(), IpAddr::from([10, 10, 2, 9])),
        ]);
        let reading = Reading::new(&objects, &addresses);
        assert!(reading.direct(&near, &web, Protocol::Tcp, 1).is_allowed());
        assert!(!reading.direct(&far, &web, Protocol::Tcp, 1).is_allowed());
    }

    #[test]
    fn a_policy_field_this_reading_does_not_know_is_an_error() {
        let spec: Result<PolicySpec, _> = serde_yaml_ng::from_str("podSelector: {}\ntier: Admin");
        assert!(spec.is_err());
    }
}
