// SPDX-License-Identifier: Apache-2.0
//! From a policy's rules to flows: who its subject and peers are, and on which ports.

use std::collections::BTreeSet;

use ipnetwork::IpNetwork;

use super::Reads;
use super::networks::subtract;
use crate::compiler::Compiler;
use crate::explain::{Clause, RuleRef, Why};
use crate::identity::Identity;
use crate::model::{
    Direction, Families, Name, NamespaceScope, Peer, Policy, PortMatch, Ports, Protocol, Rule,
    Selector, Tier,
};
use crate::pipeline::priority;
use crate::stage::Wanted;
use crate::stage::known::known_only;
use crate::stage::policy::{self, Place, PortTerm, Unit, port_terms, staged};

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
    pub(super) fn policy_flows(&self, policy: &Policy, reads: &mut Reads) -> Vec<Wanted> {
        let mut flows = Vec::new();
        if policy.denies_by_identity() {
            flows.extend(known_only());
        }
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
