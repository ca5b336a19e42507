// SPDX-License-Identifier: Apache-2.0
//! A naive reading of the `ClusterNetworkPolicy` API (v1alpha2), from the JSON that a user writes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::Value;

use crate::{Party, matches, namespace_tier, within};

/// Whether a connection may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passes.
    Passes,
    /// It is dropped.
    Dropped,
    /// The API leaves it open: "the implementation can apply any of the matching policies".
    Either,
}

/// A node as the API sees it.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// "The IPs present in the node.Status.Addresses field".
    pub addresses: Vec<IpAddr>,
}

/// Everything that decides about connections.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Of all namespaces.
    pub policies: &'a [NetworkPolicy],
    /// Each as written.
    pub cluster_policies: &'a [Value],
    /// All nodes.
    pub hosts: &'a [Host],
}

/// Whether a connection from `from` to `to` passes.
///
/// "Policy tiers are evaluated in the following order: Admin tier, NetworkPolicy tier, Baseline tier."
pub fn judge(rules: Rules<'_>, from: &Party, to: &Party, protocol: &str, port: u16) -> Outcome {
    let sides = [("egress", from, to), ("ingress", to, from)].map(|(direction, subject, other)| {
        let traffic = Traffic {
            hosts: rules.hosts,
            direction,
            subject,
            other,
            destination: to,
            protocol,
            port,
        };
        side(rules, &traffic)
    });
    // "...but any ingress rules at the destination do apply."
    match sides {
        [Outcome::Dropped, _] | [_, Outcome::Dropped] => Outcome::Dropped,
        [Outcome::Passes, Outcome::Passes] => Outcome::Passes,
        _ => Outcome::Either,
    }
}

/// A connection, seen from one of its ends.
struct Traffic<'a> {
    hosts: &'a [Host],
    direction: &'a str,
    subject: &'a Party,
    other: &'a Party,
    destination: &'a Party,
    protocol: &'a str,
    port: u16,
}

fn side(rules: Rules<'_>, traffic: &Traffic<'_>) -> Outcome {
    let mut outcomes = Vec::new();
    for admin in tier(rules, traffic, "Admin") {
        let decided = match admin {
            "Accept" => vec![Outcome::Passes],
            "Deny" => vec![Outcome::Dropped],
            _ => below(rules, traffic),
        };
        outcomes.extend(decided);
    }
    match outcomes.split_first() {
        Some((first, rest)) if rest.iter().all(|other| other == first) => *first,
        _ => Outcome::Either,
    }
}

/// What the `NetworkPolicy` and Baseline tiers make of it.
fn below(rules: Rules<'_>, traffic: &Traffic<'_>) -> Vec<Outcome> {
    let direction = match traffic.direction {
        "egress" => "Egress",
        _ => "Ingress",
    };
    let (protocol, port) = (traffic.protocol, traffic.port);
    // "v1.NetworkPolicy always makes a final decision for selected pods."
    let own = namespace_tier(
        rules.policies,
        direction,
        traffic.subject,
        traffic.other,
        protocol,
        port,
    );
    if let Some(allowed) = own {
        return vec![if allowed {
            Outcome::Passes
        } else {
            Outcome::Dropped
        }];
    }
    let baseline = tier(rules, traffic, "Baseline").into_iter();
    // "...all pods can communicate with each other."
    let outcomes = baseline.map(|action| match action {
        "Deny" => Outcome::Dropped,
        _ => Outcome::Passes,
    });
    outcomes.collect()
}

/// What a tier may do: `Accept`, `Deny`, or `Pass` when a rule says so or none matches. More than one
/// when policies of equal priority disagree.
fn tier<'a>(rules: Rules<'a>, traffic: &Traffic<'_>, tier: &str) -> Vec<&'a str> {
    let mut first: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for policy in rules.cluster_policies {
        let spec = &policy["spec"];
        if spec["tier"] != tier || !subject_is(&spec["subject"], traffic.subject) {
            continue;
        }
        let list = spec[traffic.direction].as_array();
        let mut decisions = list
            .into_iter()
            .flatten()
            .filter_map(|rule| decision(rule, traffic));
        if let Some(action) = decisions.next() {
            let priority = spec["priority"].as_i64().expect("generated priorities");
            first.entry(priority).or_default().push(action);
        }
    }
    first
        .into_values()
        .next()
        .unwrap_or_else(|| vec!["no rule"])
}

/// What a rule does with the traffic; `None` when it does not match.
fn decision<'a>(rule: &'a Value, traffic: &Traffic<'_>) -> Option<&'a str> {
    let action = rule["action"].as_str().expect("generated actions");
    let peers = match traffic.direction {
        "egress" => rule["to"].as_array(),
        _ => rule["from"].as_array(),
    };
    let peers = peers.expect("generated rules have peers");
    let protocols = rule["protocols"].as_array();
    let known_peers: &[&str] = match traffic.direction {
        "egress" => &["namespaces", "pods", "networks", "nodes"],
        _ => &["namespaces", "pods"],
    };
    let known_protocols = ["tcp", "udp", "sctp", "destinationNamedPort"];
    let understood = peers.iter().all(|peer| has_one_of(peer, known_peers))
        && protocols
            .into_iter()
            .flatten()
            .all(|one| has_one_of(one, &known_protocols));
    if !understood {
        // "For "Accept" rules, "fail closed" means: "treat the rule as matching no traffic". For
        // "Deny" and "Pass" rules, "fail closed" means: "treat the rule as a 'Deny all' rule"."
        return (action != "Accept").then_some("Deny");
    }
    let peer = peers.iter().any(|peer| peer_is(peer, traffic));
    let protocol = protocols.is_none_or(|list| list.iter().any(|one| protocol_is(one, traffic)));
    (peer && protocol).then_some(action)
}

fn has_one_of(value: &Value, names: &[&str]) -> bool {
    let fields = value.as_object().expect("generated as an object");
    fields.len() == 1 && fields.keys().all(|key| names.contains(&key.as_str()))
}

fn subject_is(subject: &Value, party: &Party) -> bool {
    pods_are(subject, party)
}

/// `namespaces` or `pods`: nobody but Pods, whatever is empty.
fn pods_are(value: &Value, party: &Party) -> bool {
    if party.namespace.is_empty() {
        return false;
    }
    if let Some(namespaces) = value.get("namespaces") {
        return matches(&selector(namespaces), &party.namespace_labels);
    }
    let Some(pods) = value.get("pods") else {
        return false;
    };
    let namespaces = pods.get("namespaceSelector");
    namespaces.is_none_or(|found| matches(&selector(found), &party.namespace_labels))
        && matches(&selector(&pods["podSelector"]), &party.labels)
}

fn peer_is(peer: &Value, traffic: &Traffic<'_>) -> bool {
    let address = traffic.other.address;
    if let Some(networks) = peer.get("networks") {
        // "...cluster-internal traffic will be checked against the rule as well."
        let mut texts = networks.as_array().into_iter().flatten();
        return texts.any(|cidr| {
            let cidr = cidr.as_str().expect("generated networks are text");
            within(cidr, traffic.other.address)
        });
    }
    if let Some(nodes) = peer.get("nodes") {
        let nodes = selector(nodes);
        return traffic
            .hosts
            .iter()
            .any(|host| matches(&nodes, &host.labels) && host.addresses.contains(&address));
    }
    pods_are(peer, traffic.other)
}

fn protocol_is(protocol: &Value, traffic: &Traffic<'_>) -> bool {
    if let Some(name) = protocol["destinationNamedPort"].as_str() {
        let mut ports = traffic.destination.named_ports.iter();
        return ports
            .any(|(n, p, number)| n == name && *p == traffic.protocol && *number == traffic.port);
    }
    let Some(transport) = protocol.get(traffic.protocol.to_lowercase()) else {
        return false;
    };
    let port = &transport["destinationPort"];
    match (port["number"].as_u64(), &port["range"]) {
        (Some(number), _) => number == u64::from(traffic.port),
        (None, range) => {
            let bound = |name: &str| range[name].as_u64().expect("generated ranges");
            (bound("start")..=bound("end")).contains(&u64::from(traffic.port))
        }
    }
}

fn selector(value: &Value) -> LabelSelector {
    serde_json::from_value(value.clone()).expect("generated selectors are well formed")
}
