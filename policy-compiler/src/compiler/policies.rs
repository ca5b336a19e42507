// SPDX-License-Identifier: Apache-2.0
//! Policies: which there are, whom each isolates, and what the flows of each depend on.

mod networks;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use super::{Compiler, Dirty};
use crate::explain::Scope;
use crate::layer::Owner;
use crate::model::{
    Direction, Kind, Labels, Name, ObjectKey, Peer, Policy, PortMatch, Ports, Selector, Tier,
    port_key,
};

/// All policies.
#[derive(Default)]
pub(super) struct Policies {
    by_key: BTreeMap<ObjectKey, Policy>,
    /// Policies whose flows depend on the identities of a namespace.
    reading: BTreeMap<Name, BTreeSet<ObjectKey>>,
    /// The namespaces that each policy reads; the inverse.
    reads: BTreeMap<ObjectKey, Box<[Name]>>,
    /// Policies with a namespace selector.
    selecting_namespaces: BTreeSet<ObjectKey>,
    /// Policies with a peer that is nodes.
    selecting_nodes: BTreeSet<ObjectKey>,
    /// Number of policies that deny by who sends.
    denying_by_identity: usize,
    /// Staged policies of each tier.
    staged: BTreeMap<Tier, usize>,
    /// By namespace and direction: the Pod selectors of policies that isolate, each with the number
    /// of those policies. Many policies share few selectors.
    isolating: BTreeMap<(Name, Direction), BTreeMap<Selector, usize>>,
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

    /// Policies whose flows depend on the labels and addresses of nodes.
    pub(super) fn selecting_nodes(&self) -> impl Iterator<Item = ObjectKey> {
        self.selecting_nodes.iter().cloned()
    }

    /// Whether a policy isolates Pods with these labels in this direction. "If no policies exist in
    /// a namespace, then all ingress and egress traffic is allowed to and from pods in it."
    pub(super) fn isolates(&self, namespace: &Name, labels: &Labels, direction: Direction) -> bool {
        let selectors = self.isolating.get(&(namespace.clone(), direction));
        selectors
            .into_iter()
            .flatten()
            .any(|(selector, _)| selector.matches(labels))
    }

    /// The policies that isolate Pods with these labels in this direction.
    pub(super) fn isolating(
        &self,
        namespace: &Name,
        labels: &Labels,
        direction: Direction,
    ) -> Vec<ObjectKey> {
        let first = ObjectKey::new(Kind::NetworkPolicy, namespace.clone(), "");
        let own = self
            .by_key
            .range(first..)
            .take_while(|(key, _)| key.namespace == *namespace);
        own.filter(|(_, policy)| policy.isolates(direction) && policy.pod_selector.matches(labels))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Counts `policy` in or out; the selectors that begin or cease to isolate.
    fn count(&mut self, policy: &Policy, counts: Count) -> Vec<Selector> {
        let mut changed = Vec::new();
        for direction in [Direction::Egress, Direction::Ingress] {
            if !policy.isolates(direction) {
                continue;
            }
            let slot = (policy.namespace.clone(), direction);
            let selectors = self.isolating.entry(slot.clone()).or_default();
            let count = selectors.entry(policy.pod_selector.clone()).or_default();
            match counts {
                Count::In => *count += 1,
                Count::Out => *count = count.saturating_sub(1),
            }
            if (*count, counts) == (1, Count::In) || (*count, counts) == (0, Count::Out) {
                changed.push(policy.pod_selector.clone());
            }
            if *count == 0 {
                selectors.remove(&policy.pod_selector);
            }
            if selectors.is_empty() {
                self.isolating.remove(&slot);
            }
        }
        changed
    }

    /// Every policy.
    pub(super) fn all(&self) -> impl Iterator<Item = ObjectKey> {
        self.by_key.keys().cloned()
    }

    /// Whether a policy has flows in the staged table of its tier: staged ones, and in the tiers of
    /// `ClusterNetworkPolicies` those that come before staged ones.
    fn counted(&self, policy: &Policy) -> bool {
        policy.staged
            || policy.tier != Tier::NetworkPolicy && self.staged.contains_key(&policy.tier)
    }

    /// A policy begins (or ceases) to be staged in a tier; the policies whose flows that changes.
    fn count_staged(&mut self, begin: Option<Tier>, cease: Option<Tier>) -> Vec<ObjectKey> {
        let tiers =
            |staged: &BTreeMap<Tier, usize>| -> BTreeSet<Tier> { staged.keys().copied().collect() };
        let before = tiers(&self.staged);
        if let Some(tier) = begin {
            *self.staged.entry(tier).or_default() += 1;
        }
        if let Some(tier) = cease
            && let Some(count) = self.staged.get_mut(&tier)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.staged.remove(&tier);
            }
        }
        let after = tiers(&self.staged);
        let changed: BTreeSet<Tier> = before.symmetric_difference(&after).copied().collect();
        if changed.iter().all(|tier| *tier == Tier::NetworkPolicy) {
            return Vec::new();
        }
        let first = ObjectKey::new(Kind::ClusterNetworkPolicy, "", "");
        self.by_key
            .range(first..)
            .filter(|(_, policy)| changed.contains(&policy.tier))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Every policy, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Policy)> {
        self.by_key.iter()
    }

    /// Whether a policy denies by who sends.
    pub(super) fn deny_by_identity(&self) -> bool {
        self.denying_by_identity > 0
    }

    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Policy> {
        self.by_key.get(key)
    }

    fn set(&mut self, key: &ObjectKey, policy: Option<Policy>) -> Option<Policy> {
        let denies = |policy: &Option<Policy>| {
            usize::from(policy.as_ref().is_some_and(Policy::denies_by_identity))
        };
        self.denying_by_identity += denies(&policy);
        let old = match policy {
            Some(policy) => self.by_key.insert(key.clone(), policy),
            None => self.by_key.remove(key),
        };
        self.denying_by_identity = self.denying_by_identity.saturating_sub(denies(&old));
        old
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
            let identities_of = reads.identities_of.into_iter().collect();
            self.reads.insert(key.clone(), identities_of);
        }
        if reads.namespaces {
            self.selecting_namespaces.insert(key.clone());
        } else {
            self.selecting_namespaces.remove(key);
        }
        if reads.nodes {
            self.selecting_nodes.insert(key.clone());
        } else {
            self.selecting_nodes.remove(key);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Count {
    In,
    Out,
}

/// What a policy's flows depend on beside the policy.
#[derive(Default)]
struct Reads {
    identities_of: BTreeSet<Name>,
    namespaces: bool,
    nodes: bool,
}

impl Compiler {
    /// A policy is as given, or gone.
    pub(super) fn set_policy(&mut self, key: ObjectKey, policy: Option<Policy>, dirty: &mut Dirty) {
        let old = self.policies.set(&key, policy.clone());
        // The keys of `policy` were named when it was taken in.
        self.stages
            .ceased
            .extend(old.iter().flat_map(attribute_keys));
        if old == policy {
            return;
        }
        let begin = policy
            .iter()
            .flat_map(|policy| self.policies.count(policy, Count::In));
        let mut selectors: Vec<Selector> = begin.collect();
        selectors.extend(
            old.iter()
                .flat_map(|old| self.policies.count(old, Count::Out)),
        );
        for selector in selectors {
            dirty
                .attachments_of
                .extend(self.identities.pods(&key.namespace, &selector));
        }
        let staged = |policy: &Option<Policy>| {
            let policy = policy.as_ref().filter(|policy| policy.staged);
            policy.map(|policy| policy.tier)
        };
        let changed = self.policies.count_staged(staged(&policy), staged(&old));
        dirty.policies.extend(changed);
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
            self.own(Owner::Object(key), &Scope::Cluster, wanted);
        }
    }
}

/// Attribute keys that a policy names: labels in Pod selectors, and named ports.
pub(super) fn attribute_keys(policy: &Policy) -> BTreeSet<String> {
    let rules = || {
        [policy.ingress.iter(), policy.egress.iter()]
            .into_iter()
            .flatten()
            .flatten()
    };
    let peers = rules().filter_map(|rule| rule.peers.as_ref()).flatten();
    let selectors = peers.filter_map(|peer| match peer {
        Peer::Pods { pods, .. } => Some(pods),
        Peer::IpBlock { .. } | Peer::Nodes(_) => None,
    });
    let selectors = std::iter::once(&policy.pod_selector).chain(selectors);
    let labels = selectors.flat_map(Selector::keys).map(str::to_owned);
    let ports = rules().flat_map(|rule| match &rule.ports {
        Ports::Any => [].as_slice(),
        Ports::List(ports) => ports.as_slice(),
    });
    let ports = ports.filter_map(|port| match port {
        PortMatch::Named(protocol, name) => Some(port_key(*protocol, name)),
        PortMatch::All(_) | PortMatch::Range(..) => None,
    });
    labels.chain(ports).collect()
}
