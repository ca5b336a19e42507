// SPDX-License-Identifier: Apache-2.0
//! A naive reading of the policy APIs and of Services, sentence by sentence; shares no code with the compiler.
#![forbid(unsafe_code)]

mod cluster;
mod dice;
mod random;
mod services;

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

pub use cluster::{Host, Outcome, Rules, judge};
pub use dice::Dice;
pub use random::Vocabulary;
pub use services::{
    Attempt, CLIENT, Client, Place, Row, Scene, Sender, Site, SiteNode, Treatment, scenes, treat,
};

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;
type RuleParts<'a> = (
    Option<&'a Vec<NetworkPolicyPeer>>,
    Option<&'a Vec<NetworkPolicyPort>>,
);

/// A Pod as the API sees it, or an address that is of no Pod.
#[derive(Clone, Debug)]
pub struct Party {
    /// Name of its namespace; empty when it is no Pod.
    pub namespace: String,
    /// Labels of its namespace, `kubernetes.io/metadata.name` among them.
    pub namespace_labels: Labels,
    /// Its own labels.
    pub labels: Labels,
    /// Its address, of the family of the connection.
    pub address: IpAddr,
    /// Named ports: name, protocol, number.
    pub named_ports: Vec<(String, &'static str, u16)>,
}

/// Whether a connection from `from` to `to` is allowed.
///
/// "For a connection from a source pod to a destination pod to be allowed, both the egress policy on
/// the source pod and the ingress policy on the destination pod need to allow the connection."
pub fn allows(
    policies: &[NetworkPolicy],
    from: &Party,
    to: &Party,
    protocol: &str,
    port: u16,
) -> bool {
    namespace_tier(policies, "Egress", from, to, protocol, port).unwrap_or(true)
        && namespace_tier(policies, "Ingress", to, from, protocol, port).unwrap_or(true)
}

/// Whether the policies of a direction allow it; `None` when none selects the subject.
fn namespace_tier(
    policies: &[NetworkPolicy],
    direction: &str,
    subject: &Party,
    other: &Party,
    protocol: &str,
    port: u16,
) -> Option<bool> {
    let destination = if direction == "Ingress" {
        subject
    } else {
        other
    };
    let mut isolated = false;
    for policy in policies {
        let spec = policy
            .spec
            .as_ref()
            .expect("generated policies have a spec");
        if policy.metadata.namespace.as_ref() != Some(&subject.namespace) {
            continue;
        }
        // "An empty selector matches all pods in the policy's namespace."
        let selects = spec
            .pod_selector
            .as_ref()
            .is_none_or(|s| matches(s, &subject.labels));
        if !selects || !affects(policy, direction) {
            continue;
        }
        isolated = true;
        let rules: Vec<RuleParts<'_>> = if direction == "Ingress" {
            let rules = spec.ingress.iter().flatten();
            rules
                .map(|rule| (rule.from.as_ref(), rule.ports.as_ref()))
                .collect()
        } else {
            let rules = spec.egress.iter().flatten();
            rules
                .map(|rule| (rule.to.as_ref(), rule.ports.as_ref()))
                .collect()
        };
        for (peers, ports) in rules {
            // "If this field is empty or missing, this rule matches all sources."
            let peer = peers.is_none_or(|peers| {
                peers.is_empty()
                    || peers
                        .iter()
                        .any(|peer| peer_is(peer, &subject.namespace, other))
            });
            // "If this field is empty or missing, this rule matches all ports."
            let on_port = ports.is_none_or(|ports| {
                ports.is_empty()
                    || ports
                        .iter()
                        .any(|one| port_is(one, destination, protocol, port))
            });
            if peer && on_port {
                return Some(true);
            }
        }
    }
    isolated.then_some(false)
}

/// "Policies that contain an egress section are assumed to affect egress, and all policies (whether
/// or not they contain an ingress section) are assumed to affect ingress."
fn affects(policy: &NetworkPolicy, direction: &str) -> bool {
    let spec = policy
        .spec
        .as_ref()
        .expect("generated policies have a spec");
    match spec.policy_types.as_deref() {
        None | Some([]) => direction == "Ingress" || spec.egress.iter().flatten().next().is_some(),
        Some(types) => types.iter().any(|one| one == direction),
    }
}

fn peer_is(peer: &NetworkPolicyPeer, own_namespace: &str, party: &Party) -> bool {
    if let Some(block) = &peer.ip_block {
        return within(&block.cidr, party.address)
            && !block
                .except
                .iter()
                .flatten()
                .any(|cidr| within(cidr, party.address));
    }
    // "This selects particular Pods": nothing else, whatever is empty.
    if party.namespace.is_empty() {
        return false;
    }
    let namespace = match &peer.namespace_selector {
        Some(selector) => matches(selector, &party.namespace_labels),
        None => party.namespace == own_namespace,
    };
    namespace
        && peer
            .pod_selector
            .as_ref()
            .is_none_or(|s| matches(s, &party.labels))
}

fn port_is(wanted: &NetworkPolicyPort, destination: &Party, protocol: &str, port: u16) -> bool {
    // "If not specified, this field defaults to TCP."
    if wanted.protocol.as_deref().unwrap_or("TCP") != protocol {
        return false;
    }
    match (&wanted.port, wanted.end_port) {
        (None, _) => true,
        (Some(IntOrString::Int(first)), last) => {
            (*first..=last.unwrap_or(*first)).contains(&i32::from(port))
        }
        // "This can either be a numerical or named port on a pod": on the destination.
        (Some(IntOrString::String(name)), _) => destination
            .named_ports
            .iter()
            .any(|(n, p, number)| n == name && *p == protocol && *number == port),
    }
}

fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    let equal = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(k, v)| labels.get(k) == Some(v));
    equal
        && selector
            .match_expressions
            .iter()
            .flatten()
            .all(|expression| {
                let values = expression.values.clone().unwrap_or_default();
                let value = labels.get(&expression.key);
                match expression.operator.as_str() {
                    "In" => value.is_some_and(|value| values.contains(value)),
                    "NotIn" => !value.is_some_and(|value| values.contains(value)),
                    "Exists" => value.is_some(),
                    "DoesNotExist" => value.is_none(),
                    other => panic!("operator {other} is not generated"),
                }
            })
}

fn within(cidr: &str, address: IpAddr) -> bool {
    let (network, length) = cidr.split_once('/').expect("generated CIDRs have a length");
    let network: IpAddr = network.parse().expect("generated CIDRs are well formed");
    let length: usize = length.parse().expect("generated CIDRs are well formed");
    let bits = |address: IpAddr| -> Vec<bool> {
        let bytes = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let bits = bytes
            .into_iter()
            .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1));
        bits.take(length).collect()
    };
    network.is_ipv4() == address.is_ipv4() && bits(network) == bits(address)
}
