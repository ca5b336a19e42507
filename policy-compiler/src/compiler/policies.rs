// SPDX-License-Identifier: Apache-2.0
//! Policies: which flows each gives, whom each isolates, and what each depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::{Compiler, Dirty};
use crate::explain::{Clause, RuleRef, Scope, Why};
use crate::identity::Identity;
use crate::layer::Owner;
use crate::model::{
    Direction, Families, Kind, Labels, Name, NamespaceScope, ObjectKey, Peer, Policy, PortMatch,
    Ports, Protocol, Rule, Selector, Tier, port_key,
};
use crate::pipeline::priority;
use crate::stage::Wanted;
use crate::stage::policy::{self, Place, PortTerm, Unit, port_terms, staged};

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

    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Policy> {
        self.by_key.get(key)
    }

    fn set(&mut self, key: &ObjectKey, policy: Option<Policy>) -> Option<Policy> {
        match policy {
            Some(policy) => self.by_key.insert(key.clone(), policy),
            None => self.by_key.remove(key),
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

/// One peer of one rule, with where it stands.
struct PeerOf<'a> {
    policy: &'a Policy,
    rule: RuleRef,
    place: Place,
    /// `None`: anybody.
    peer: Option<&'a Peer>,
    index: u32,
    families: Families,
    /// Has flows in the staged table of its tier.
    counted: bool,
}

impl PeerOf<'_> {
    /// The flows of the port that stands at `port`.
    fn flows(
        &self,
        subject: Unit,
        peer: Unit,
        term: PortTerm,
        port: u32,
    ) -> impl Iterator<Item = Wanted> {
        let clause = Clause {
            rule: self.rule,
            peer: self.index,
            port,
        };
        let (place, families) = (self.place, self.families);
        let wanted = |spec, why| Wanted {
            kind: policy::KIND,
            spec,
            why,
        };
        let in_force = (!self.policy.staged).then(|| {
            let specs = policy::rule(place, subject, peer, term, families);
            specs.map(move |spec| wanted(spec, Why::Rule(clause)))
        });
        let why = if self.policy.staged {
            Why::Rule(clause)
        } else {
            Why::InForce(clause)
        };
        let counted = self.counted.then(|| {
            let specs = staged::rule(place, subject, peer, term, families);
            specs.map(move |spec| wanted(spec, why.clone()))
        });
        in_force
            .into_iter()
            .flatten()
            .chain(counted.into_iter().flatten())
    }
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

    fn policy_flows(&self, policy: &Policy, reads: &mut Reads) -> Vec<Wanted> {
        let mut flows = Vec::new();
        for direction in [Direction::Egress, Direction::Ingress] {
            let rules = policy.rules(direction).unwrap_or_default();
            for ((rule, index), priority) in rules.iter().zip(0..).zip(priorities(policy, rules)) {
                let place = Place {
                    tier: policy.tier,
                    direction,
                    priority,
                    action: rule.action,
                };
                let of = RuleRef { direction, index };
                self.rule_flows(policy, rule, of, place, reads, &mut flows);
            }
            if policy.isolates_when_in_force(direction) {
                let isolation = match policy.staged {
                    false => policy::isolation,
                    true => staged::isolation,
                };
                let subjects = self.subject_units(policy, reads).into_iter();
                flows.extend(subjects.map(|subject| Wanted {
                    kind: policy::KIND,
                    spec: isolation(direction, subject),
                    why: Why::Isolation(direction),
                }));
            }
            if policy.staged && policy.rules(direction).is_some() {
                flows.push(Wanted {
                    kind: policy::KIND,
                    spec: staged::ask(policy.tier, direction),
                    why: "is staged: its flows are asked, and decide nothing".into(),
                });
            }
        }
        flows
    }

    fn rule_flows(
        &self,
        policy: &Policy,
        rule: &Rule,
        of: RuleRef,
        place: Place,
        reads: &mut Reads,
        flows: &mut Vec<Wanted>,
    ) {
        // Each peer and port is named in the reasons, so that a flow leads to the words it came from.
        let peers = rule.peers.as_ref();
        let peers: Vec<Option<&Peer>> =
            peers.map_or_else(|| vec![None], |peers| peers.iter().map(Some).collect());
        for (peer, index) in peers.into_iter().zip(0..) {
            let peer = PeerOf {
                policy,
                rule: of,
                place,
                peer,
                index,
                families: self.families,
                counted: self.policies.counted(policy),
            };
            let Ports::List(ports) = &rule.ports else {
                self.plain_flows(&peer, &[PortTerm::Any], 0, reads, flows);
                continue;
            };
            for (port, place) in ports.iter().zip(0..) {
                match port {
                    PortMatch::Named(protocol, name) => {
                        self.named_port_flows(&peer, *protocol, name, place, reads, flows);
                    }
                    _ => self.plain_flows(&peer, &port_terms(port), place, reads, flows),
                }
            }
        }
    }

    /// Flows of a peer and ports with numbers: every subject with every peer.
    fn plain_flows(
        &self,
        of: &PeerOf<'_>,
        terms: &[PortTerm],
        port: u32,
        reads: &mut Reads,
        flows: &mut Vec<Wanted>,
    ) {
        let subjects = self.subject_units(of.policy, reads);
        let peers = match of.peer {
            None => BTreeSet::from([Unit::Any]),
            Some(peer) => self.peer_units(of.policy, peer, reads),
        };
        for term in terms {
            for peer in &peers {
                flows.extend(
                    subjects
                        .iter()
                        .flat_map(|s| of.flows(*s, *peer, *term, port)),
                );
            }
        }
    }

    /// Flows of a peer and a named port, which is looked up on the destination Pods: "numerical or
    /// named port on a pod"; Pods may have different numbers under one name.
    fn named_port_flows(
        &self,
        of: &PeerOf<'_>,
        protocol: Protocol,
        name: &str,
        port: u32,
        reads: &mut Reads,
        flows: &mut Vec<Wanted>,
    ) {
        let (policy, peer) = (of.policy, of.peer);
        match of.rule.direction {
            Direction::Ingress => {
                let namespaces = self.in_scope(policy, &policy.namespaces, reads);
                let pods = &policy.pod_selector;
                let subjects = self.read_ports(&namespaces, pods, protocol, name, reads);
                let peers = match peer {
                    None => BTreeSet::from([Unit::Any]),
                    Some(peer) => self.peer_units(policy, peer, reads),
                };
                for (subject, number) in subjects {
                    let term = PortTerm::exactly(protocol, number);
                    let subject = Unit::Identity(subject);
                    flows.extend(
                        peers
                            .iter()
                            .flat_map(|peer| of.flows(subject, *peer, term, port)),
                    );
                }
            }
            Direction::Egress => {
                let everything = Selector::default();
                let anywhere = NamespaceScope::Selected(Selector::default());
                let (scope, pods, blocks) = match peer {
                    Some(Peer::Pods { namespaces, pods }) => (namespaces, pods, None),
                    Some(Peer::IpBlock { .. } | Peer::Nodes(_)) | None => {
                        let blocks = peer.map(|peer| self.peer_units(policy, peer, reads));
                        (&anywhere, &everything, blocks)
                    }
                };
                let namespaces = self.in_scope(policy, scope, reads);
                let peers = self.read_ports(&namespaces, pods, protocol, name, reads);
                let subjects = self.subject_units(policy, reads);
                for (peer, number) in peers {
                    let term = PortTerm::exactly(protocol, number);
                    for unit in at_addresses(peer, blocks.as_ref()) {
                        flows.extend(subjects.iter().flat_map(|s| of.flows(*s, unit, term, port)));
                    }
                }
            }
        }
    }

    /// Identities with a named port, and its number there.
    fn read_ports(
        &self,
        namespaces: &[&Name],
        pods: &Selector,
        protocol: Protocol,
        name: &str,
        reads: &mut Reads,
    ) -> Vec<(Identity, u16)> {
        reads
            .identities_of
            .extend(namespaces.iter().map(|name| (*name).clone()));
        let mut found = Vec::new();
        for namespace in namespaces {
            found.extend(self.identities.select_port(namespace, pods, protocol, name));
        }
        found
    }

    fn subject_units(&self, policy: &Policy, reads: &mut Reads) -> BTreeSet<Unit> {
        self.units(policy, &policy.namespaces, &policy.pod_selector, reads)
    }

    fn peer_units(&self, policy: &Policy, peer: &Peer, reads: &mut Reads) -> BTreeSet<Unit> {
        match peer {
            Peer::Pods { namespaces, pods } => self.units(policy, namespaces, pods, reads),
            Peer::IpBlock { cidr, except } => subtract(*cidr, except)
                .into_iter()
                .map(Unit::Addresses)
                .collect(),
            Peer::Nodes(selector) => {
                reads.nodes = true;
                let nodes = self.nodes.values();
                let nodes = nodes.filter(|node| selector.matches(&node.labels));
                let addresses = nodes.flat_map(|node| &node.status_addresses);
                let networks = addresses.map(|address| IpNetwork::from(*address));
                networks.map(Unit::Addresses).collect()
            }
        }
    }

    /// Units of the Pods that `pods` selects in the namespaces of `scope`.
    fn units(
        &self,
        policy: &Policy,
        scope: &NamespaceScope,
        pods: &Selector,
        reads: &mut Reads,
    ) -> BTreeSet<Unit> {
        if let NamespaceScope::Selected(all) = scope
            && all.is_everything()
            && pods.is_everything()
        {
            return BTreeSet::from([Unit::AnyPod]);
        }
        let mut units = BTreeSet::new();
        for namespace in self.in_scope(policy, scope, reads) {
            if pods.is_everything() {
                units.insert(Unit::Namespace(self.identities.namespace_bits(namespace)));
            } else {
                reads.identities_of.insert(namespace.clone());
                units.extend(self.identities.select(namespace, pods).map(Unit::Identity));
            }
        }
        units
    }

    /// The namespaces of `scope`, seen from `policy`.
    fn in_scope<'a>(
        &'a self,
        policy: &'a Policy,
        scope: &NamespaceScope,
        reads: &mut Reads,
    ) -> Vec<&'a Name> {
        match scope {
            NamespaceScope::Own => vec![&policy.namespace],
            NamespaceScope::Selected(selector) => {
                reads.namespaces = true;
                self.identities.namespaces(selector).collect()
            }
        }
    }
}

/// Where the rules of a policy stand in its tier.
fn priorities(policy: &Policy, rules: &[Rule]) -> Vec<u16> {
    match policy.tier {
        Tier::NetworkPolicy => vec![priority::ALLOW; rules.len()],
        Tier::Admin | Tier::Baseline => {
            let actions = rules.iter().map(|rule| rule.action);
            priority::cluster_rules(policy.priority, actions).collect()
        }
    }
}

/// A Pod with this identity, at one of the addresses if there is a choice of them.
fn at_addresses(identity: Identity, blocks: Option<&BTreeSet<Unit>>) -> Vec<Unit> {
    let Some(blocks) = blocks else {
        return vec![Unit::Identity(identity)];
    };
    let at = |unit: &Unit| match unit {
        Unit::Addresses(network) => Some(Unit::IdentityAt(identity, *network)),
        _ => None,
    };
    blocks.iter().filter_map(at).collect()
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

/// `cidr` without `except`, as the fewest networks.
fn subtract(cidr: IpNetwork, except: &[IpNetwork]) -> Vec<IpNetwork> {
    if except.iter().any(|e| contains(e, &cidr)) {
        return Vec::new();
    }
    if !except.iter().any(|e| contains(&cidr, e)) {
        return vec![cidr];
    }
    let halves = halves(cidr).into_iter().flatten();
    halves.flat_map(|half| subtract(half, except)).collect()
}

/// The two networks that a network consists of; none for a single address.
fn halves(network: IpNetwork) -> Option<[IpNetwork; 2]> {
    let prefix = network.prefix() + 1;
    let high = match network.network() {
        IpAddr::V4(low) => {
            let bit = 1u32.checked_shl(32u32.checked_sub(prefix.into())?)?;
            IpAddr::from((low.to_bits() | bit).to_be_bytes())
        }
        IpAddr::V6(low) => {
            let bit = 1u128.checked_shl(128u32.checked_sub(prefix.into())?)?;
            IpAddr::from((low.to_bits() | bit).to_be_bytes())
        }
    };
    let half = |address| IpNetwork::new(address, prefix).ok();
    Some([half(network.network())?, half(high)?])
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
            let address = IpAddr::from([10, 0, 0, last]);
            let wanted = last != 3 && !(64..128).contains(&last);
            let hits = left
                .iter()
                .filter(|network| network.contains(address))
                .count();
            assert_eq!(hits, usize::from(wanted), "{address} in {left:?}");
        }
    }

    #[test]
    fn what_is_left_of_an_ipv6_cidr_is_covered_exactly() {
        let cidr = "fd00::/120".parse().unwrap();
        let except = [
            "fd00::40/122".parse().unwrap(),
            "fd00::3/128".parse().unwrap(),
        ];
        let left = subtract(cidr, &except);
        for last in 0..=255u16 {
            let address = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last]);
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
