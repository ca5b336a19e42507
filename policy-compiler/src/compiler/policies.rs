// SPDX-License-Identifier: Apache-2.0
//! Policies: which flows each gives, whom each isolates, and what each depends on.

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;

use super::owners::Owner;
use super::{Compiler, Dirty};
use crate::explain::Scope;
use crate::model::{
    Direction, Labels, NamespaceScope, ObjectKey, Peer, Policy, PortMatch, Ports, Rule, Selector,
};
use crate::stage::Wanted;
use crate::stage::policy::{self, PortTerm, Unit, port_terms};

/// All policies.
#[derive(Default)]
pub(super) struct Policies {
    /// By namespace, then by key.
    by_namespace: BTreeMap<String, BTreeMap<ObjectKey, Policy>>,
    /// Policies whose flows depend on the identities of a namespace.
    reading: BTreeMap<String, BTreeSet<ObjectKey>>,
    /// The namespaces that each policy reads; the inverse.
    reads: BTreeMap<ObjectKey, BTreeSet<String>>,
    /// Policies with a namespace selector.
    selecting_namespaces: BTreeSet<ObjectKey>,
}

impl Policies {
    /// Policies whose flows depend on the identities of `namespace`.
    pub(super) fn reading(&self, namespace: &str) -> impl Iterator<Item = ObjectKey> {
        self.reading.get(namespace).into_iter().flatten().cloned()
    }

    /// Policies whose flows depend on which namespaces there are, and on their labels.
    pub(super) fn selecting_namespaces(&self) -> impl Iterator<Item = ObjectKey> {
        self.selecting_namespaces.iter().cloned()
    }

    /// Whether a policy isolates Pods with these labels in this direction. "If no policies exist in
    /// a namespace, then all ingress and egress traffic is allowed to and from pods in it."
    pub(super) fn isolates(&self, namespace: &str, labels: &Labels, direction: Direction) -> bool {
        self.by_namespace
            .get(namespace)
            .into_iter()
            .flatten()
            .any(|(_, policy)| {
                policy.rules(direction).is_some() && policy.pod_selector.matches(labels)
            })
    }

    fn get(&self, key: &ObjectKey) -> Option<&Policy> {
        self.by_namespace.get(&key.namespace)?.get(key)
    }

    fn set(&mut self, key: &ObjectKey, policy: Option<Policy>) -> Option<Policy> {
        let in_namespace = self.by_namespace.entry(key.namespace.clone()).or_default();
        match policy {
            Some(policy) => in_namespace.insert(key.clone(), policy),
            None => in_namespace.remove(key),
        }
    }

    fn set_reads(&mut self, key: &ObjectKey, reads: Reads) {
        for namespace in self.reads.remove(key).unwrap_or_default() {
            if let Some(readers) = self.reading.get_mut(&namespace) {
                readers.remove(key);
            }
        }
        for namespace in &reads.identities_of {
            self.reading
                .entry(namespace.clone())
                .or_default()
                .insert(key.clone());
        }
        if !reads.identities_of.is_empty() {
            self.reads.insert(key.clone(), reads.identities_of);
        }
        if reads.namespaces {
            self.selecting_namespaces.insert(key.clone());
        } else {
            self.selecting_namespaces.remove(key);
        }
    }
}

/// What a policy's flows depend on beside the policy.
#[derive(Default)]
struct Reads {
    identities_of: BTreeSet<String>,
    namespaces: bool,
}

impl Compiler {
    /// A policy is as given, or gone.
    pub(super) fn set_policy(&mut self, key: ObjectKey, policy: Option<Policy>, dirty: &mut Dirty) {
        let old = self.policies.set(&key, policy);
        let new = self.policies.get(&key);
        if old.as_ref() == new {
            return;
        }
        let keys = |policy: Option<&Policy>| -> Vec<String> {
            policy
                .map(pod_label_keys)
                .unwrap_or_default()
                .into_iter()
                .collect()
        };
        let (begin, cease) = (keys(new), keys(old.as_ref()));
        let changed = self.identities.name_keys(
            begin.iter().map(String::as_str),
            cease.iter().map(String::as_str),
        );
        if !changed.is_empty() {
            let concerned = self
                .pods
                .iter()
                .filter(|(_, pod)| pod.labels.keys().any(|key| changed.contains(key)));
            dirty.pods.extend(concerned.map(|(key, _)| key.clone()));
        }
        // Who is isolated may have changed for the Pods that the old or the new policy selects.
        for (pod_key, pod) in self.pods_in(&key.namespace) {
            let selects = |policy: &Policy| policy.pod_selector.matches(&pod.labels);
            if old.as_ref().is_some_and(selects) || new.is_some_and(selects) {
                dirty.attachments_of.insert(pod_key.clone());
            }
        }
        dirty.policies.insert(key);
    }

    /// Makes the flows of every dirty policy anew.
    pub(super) fn settle_policies(&mut self, dirty: &mut Dirty) {
        for key in std::mem::take(&mut dirty.policies) {
            let mut reads = Reads::default();
            let wanted = match self.policies.get(&key) {
                Some(policy) => self.policy_flows(policy, &mut reads),
                None => Vec::new(),
            };
            self.policies.set_reads(&key, reads);
            self.own(
                &Owner::Object(key.clone()),
                &Scope::Cluster,
                wanted,
                Some(&key),
                None,
            );
        }
    }

    fn policy_flows(&self, policy: &Policy, reads: &mut Reads) -> Vec<Wanted> {
        let mut flows = Vec::new();
        let own = NamespaceScope::Own;
        let subjects = self.units(&policy.namespace, &own, &policy.pod_selector, reads);
        for direction in [Direction::Egress, Direction::Ingress] {
            for (rule, index) in policy.rules(direction).unwrap_or_default().iter().zip(0..) {
                self.rule_flows(policy, direction, rule, index, &subjects, reads, &mut flows);
            }
        }
        flows
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call site, which has all of them at hand"
    )]
    fn rule_flows(
        &self,
        policy: &Policy,
        direction: Direction,
        rule: &Rule,
        index: usize,
        subjects: &BTreeSet<Unit>,
        reads: &mut Reads,
        flows: &mut Vec<Wanted>,
    ) {
        // Each peer and port is named in the reasons, so that a flow leads to the words it came from.
        let mut peers: Vec<(BTreeSet<Unit>, String)> = Vec::new();
        match &rule.peers {
            None => peers.push((BTreeSet::from([Unit::Any]), "anybody".to_owned())),
            Some(list) => {
                for peer in list {
                    peers.push((self.peer_units(policy, peer, reads), peer.to_string()));
                }
            }
        }
        let ports: Vec<(PortTerm, String)> = match &rule.ports {
            Ports::Any => vec![(PortTerm::Any, "all ports".to_owned())],
            Ports::List(list) => list.iter().flat_map(named_terms).collect(),
        };
        let preposition = match direction {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        };
        for (units, peer_words) in &peers {
            for (term, port_words) in &ports {
                let why = format!(
                    "{direction} rule {index} allows {port_words} {preposition} {peer_words}"
                );
                for peer in units {
                    flows.extend(subjects.iter().map(|subject| Wanted {
                        kind: policy::KIND,
                        spec: policy::allow(direction, *subject, *peer, *term),
                        why: why.clone(),
                    }));
                }
            }
        }
    }

    fn peer_units(&self, policy: &Policy, peer: &Peer, reads: &mut Reads) -> BTreeSet<Unit> {
        match peer {
            Peer::Pods { namespaces, pods } => {
                self.units(&policy.namespace, namespaces, pods, reads)
            }
            Peer::IpBlock { cidr, except } => subtract(*cidr, except)
                .into_iter()
                .map(Unit::Addresses)
                .collect(),
        }
    }

    /// Units of the Pods that `pods` selects in the namespaces of `scope`.
    fn units(
        &self,
        own: &str,
        scope: &NamespaceScope,
        pods: &Selector,
        reads: &mut Reads,
    ) -> BTreeSet<Unit> {
        let namespaces: Vec<&str> = match scope {
            NamespaceScope::Own => vec![own],
            NamespaceScope::Selected(all) if all.is_everything() && pods.is_everything() => {
                return BTreeSet::from([Unit::AnyPod]);
            }
            NamespaceScope::Selected(selector) => {
                reads.namespaces = true;
                self.identities.namespaces(selector).collect()
            }
        };
        let mut units = BTreeSet::new();
        for namespace in namespaces {
            if pods.is_everything() {
                units.insert(Unit::Namespace(self.identities.namespace_bits(namespace)));
            } else {
                reads.identities_of.insert(namespace.to_owned());
                units.extend(self.identities.select(namespace, pods).map(Unit::Identity));
            }
        }
        units
    }
}

fn named_terms(port: &PortMatch) -> Vec<(PortTerm, String)> {
    port_terms(port)
        .into_iter()
        .map(|term| (term, port.to_string()))
        .collect()
}

/// Label keys that a policy's Pod selectors name.
fn pod_label_keys(policy: &Policy) -> BTreeSet<String> {
    let rules = [policy.ingress.iter(), policy.egress.iter()]
        .into_iter()
        .flatten()
        .flatten();
    let peers = rules.filter_map(|rule| rule.peers.as_ref()).flatten();
    let selectors = peers.filter_map(|peer| match peer {
        Peer::Pods { pods, .. } => Some(pods),
        Peer::IpBlock { .. } => None,
    });
    let all = std::iter::once(&policy.pod_selector).chain(selectors);
    all.flat_map(Selector::keys).map(str::to_owned).collect()
}

/// `cidr` without `except`, as the fewest networks; IPv4 only, as the pipeline is.
fn subtract(cidr: IpNetwork, except: &[IpNetwork]) -> Vec<IpNetwork> {
    if cidr.is_ipv6() || except.iter().any(|e| contains(e, &cidr)) {
        return Vec::new();
    }
    if !except.iter().any(|e| contains(&cidr, e)) {
        return vec![cidr];
    }
    let IpNetwork::V4(network) = cidr else {
        return Vec::new();
    };
    let prefix = network.prefix() + 1;
    let low = network.network();
    let high = std::net::Ipv4Addr::from_bits(low.to_bits() | 1u32.rotate_right(u32::from(prefix)));
    let halves = [low, high]
        .into_iter()
        .filter_map(|a| IpNetwork::new(a.into(), prefix).ok());
    halves.flat_map(|half| subtract(half, except)).collect()
}

fn contains(outer: &IpNetwork, inner: &IpNetwork) -> bool {
    outer.prefix() <= inner.prefix() && outer.contains(inner.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_cidr_is_covered_exactly() {
        let cidr = "10.0.0.0/24".parse().unwrap();
        let except = [
            "10.0.0.64/26".parse().unwrap(),
            "10.0.0.3/32".parse().unwrap(),
        ];
        let left = subtract(cidr, &except);
        for last in 0..=255u8 {
            let address = std::net::IpAddr::from([10, 0, 0, last]);
            let wanted = last != 3 && !(64..128).contains(&last);
            let hits = left
                .iter()
                .filter(|network| network.contains(address))
                .count();
            assert_eq!(hits, usize::from(wanted), "{address} in {left:?}");
        }
    }

    #[test]
    fn nothing_is_left_of_a_cidr_that_is_excepted_whole() {
        let half = |text: &str| text.parse::<IpNetwork>().unwrap();
        let left = subtract(
            half("10.0.0.0/24"),
            &[half("10.0.0.0/25"), half("10.0.0.128/25")],
        );
        assert!(left.is_empty(), "{left:?}");
    }
}
