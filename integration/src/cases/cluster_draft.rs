// SPDX-License-Identifier: Apache-2.0
//! Short words for `ClusterNetworkPolicy`, from which the cases are made; each is as a user writes it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::{Value, json};

use super::Step;
use super::draft::{Direction, everything, label};

/// A policy: name, tier, priority.
#[derive(Clone, Copy, Debug)]
pub struct Heading(pub &'static str, pub &'static str, pub u16);

impl Heading {
    /// The step that applies it with these rules for one direction.
    pub fn apply(self, subject: &Value, direction: Direction, rules: Vec<Value>) -> Step {
        let Self(name, tier, priority) = self;
        let mut spec = json!({"tier": tier, "priority": priority, "subject": subject});
        spec[field(direction)] = rules.into();
        let object = json!({"metadata": {"name": name}, "spec": spec});
        Step::ApplyCluster(Box::new(object))
    }
}

/// The step that deletes one.
pub fn delete(name: &str) -> Step {
    Step::DeleteCluster(name.to_owned())
}

/// A rule for all protocols.
pub fn rule(action: &str, direction: Direction, peers: Vec<Value>) -> Value {
    let mut rule = json!({"action": action});
    let field = match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    };
    rule[field] = peers.into();
    rule
}

/// The same for some protocols.
pub fn rule_on(
    action: &str,
    direction: Direction,
    peers: Vec<Value>,
    protocols: Vec<Value>,
) -> Value {
    let mut rule = rule(action, direction, peers);
    rule["protocols"] = protocols.into();
    rule
}

/// All Pods of namespaces, as a subject or a peer.
pub fn namespaces(selector: &LabelSelector) -> Value {
    json!({"namespaces": selector})
}

/// The Pods of the namespace with this label `ns`.
pub fn namespace(name: &str) -> Value {
    namespaces(&label("ns", name))
}

/// All Pods.
pub fn all() -> Value {
    namespaces(&everything())
}

/// Some Pods of some namespaces, as a subject or a peer.
pub fn pods(namespaces: &LabelSelector, pods: &LabelSelector) -> Value {
    json!({"pods": {"namespaceSelector": namespaces, "podSelector": pods}})
}

/// Addresses, as a peer for egress.
pub fn networks(cidrs: &[&str]) -> Value {
    json!({"networks": cidrs})
}

/// Nodes, as a peer for egress.
pub fn nodes(selector: &LabelSelector) -> Value {
    json!({"nodes": selector})
}

/// A port of `tcp`, `udp` or `sctp`.
pub fn port(protocol: &str, number: u16) -> Value {
    json!({protocol: {"destinationPort": {"number": number}}})
}

/// Several of them.
pub fn ports(protocol: &str, first: u16, last: u16) -> Value {
    json!({protocol: {"destinationPort": {"range": {"start": first, "end": last}}}})
}

/// A port by its name on the destination.
pub fn named_port(name: &str) -> Value {
    json!({"destinationNamedPort": name})
}

const fn field(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}
