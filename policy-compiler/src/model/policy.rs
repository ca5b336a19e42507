// SPDX-License-Identifier: Apache-2.0
//! A `NetworkPolicy` or `ClusterNetworkPolicy`, with its defaults applied.

use std::fmt;

use ipnetwork::IpNetwork;

use super::{Name, Selector};
use crate::explain::{Clause, Decision, RuleRef, Why};

/// Transport protocol that policies and Services can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each variant is the protocol of that name")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// IP protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// Direction of a rule, as seen by the Pods that the policy selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each variant is the policy type of that name")]
pub enum Direction {
    Ingress,
    Egress,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// When a policy is asked: "Admin tier, NetworkPolicy tier, Baseline tier".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Before every `NetworkPolicy`.
    Admin,
    /// The `NetworkPolicies`: they allow, and isolate whom they select.
    NetworkPolicy,
    /// After, for Pods that no `NetworkPolicy` isolates.
    Baseline,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "admin",
            Self::NetworkPolicy => "networkpolicy",
            Self::Baseline => "baseline",
        })
    }
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Namespace; empty for a `ClusterNetworkPolicy`.
    pub namespace: Name,
    /// Name.
    pub name: Name,
    /// When it is asked.
    pub tier: Tier,
    /// Within the tier, lower is asked first; 0 for a `NetworkPolicy`.
    pub priority: u16,
    /// It decides nothing; what it would decide is counted.
    pub staged: bool,
    /// In which namespaces are the Pods it is about.
    pub namespaces: NamespaceScope,
    /// Which Pods of these namespaces it is about.
    pub pod_selector: Selector,
    /// Ingress rules; `None`: it is not about ingress.
    pub ingress: Option<Vec<Rule>>,
    /// Egress rules; `None`: it is not about egress.
    pub egress: Option<Vec<Rule>>,
}

impl Policy {
    /// Whether what it does not allow in this direction is denied: "v1.NetworkPolicy always makes a
    /// final decision for selected pods."
    pub fn isolates(&self, direction: Direction) -> bool {
        !self.staged && self.isolates_when_in_force(direction)
    }

    /// Whether it isolates, or would if it were not staged.
    pub(crate) fn isolates_when_in_force(&self, direction: Direction) -> bool {
        self.tier == Tier::NetworkPolicy && self.rules(direction).is_some()
    }

    /// Whether it keeps traffic from others by who sends: it denies to whom it knows, or leaves them to
    /// a tier that may. To a rule that only allows, whom a switch does not know is nobody.
    pub(crate) fn denies_by_identity(&self) -> bool {
        if self.staged || self.tier == Tier::NetworkPolicy {
            return false;
        }
        let keeps = |rule: &&Rule| rule.action != RuleAction::Accept;
        let everybody = |namespaces: &NamespaceScope, pods: &Selector| {
            namespaces.is_everything() && pods.is_everything()
        };
        let by_identity = |peer: &Peer| match peer {
            Peer::Pods { namespaces, pods } => !everybody(namespaces, pods),
            Peer::IpBlock { .. } | Peer::Nodes(_) => false,
        };
        let mut egress = self.egress.iter().flatten().filter(keeps);
        let mut ingress = self.ingress.iter().flatten().filter(keeps);
        egress.next().is_some() && !everybody(&self.namespaces, &self.pod_selector)
            || ingress.any(|rule| rule.peers.iter().flatten().any(by_identity))
    }

    /// The rules of a direction; `None`: it is not about that direction.
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }

    /// What it decides for this reason; `None` if the reason is none of its own.
    pub(crate) fn decision(&self, why: &Why) -> Option<Decision> {
        let decision = |direction, action| Decision {
            tier: self.tier,
            direction,
            rule: None,
            rule_name: None,
            action,
            staged: self.staged,
        };
        match why {
            Why::Text(_) | Why::InForce(_) | Why::Known => None,
            Why::Isolation(direction) => Some(decision(*direction, RuleAction::Deny)),
            Why::Rule(Clause { rule: of, .. }) => {
                let rule = self.rule(*of)?;
                Some(Decision {
                    rule: Some(of.index),
                    rule_name: rule.name.clone(),
                    ..decision(of.direction, rule.action)
                })
            }
        }
    }

    /// Everything that it can decide, each with the traffic that it is about, in words: rules in their
    /// order, ingress first, and after those of a direction what isolation denies.
    pub fn decisions(&self) -> Vec<(Decision, String)> {
        let mut decisions = Vec::new();
        for direction in [Direction::Ingress, Direction::Egress] {
            let rules = self.rules(direction).unwrap_or_default();
            for (rule, index) in rules.iter().zip(0..) {
                let why = Why::Rule(Clause::first_of(RuleRef { direction, index }));
                let decision = self.decision(&why);
                decisions.extend(decision.map(|decision| (decision, rule.about(direction))));
            }
            if self.isolates_when_in_force(direction) {
                let decision = self.decision(&Why::Isolation(direction));
                let about = format!("what no {direction} rule of it allows");
                decisions.extend(decision.map(|decision| (decision, about)));
            }
        }
        decisions
    }

    /// Whether this is a decision of its own.
    pub(crate) fn decides(&self, decision: &Decision) -> bool {
        let direction = decision.direction;
        let why = match decision.rule {
            None if self.isolates_when_in_force(direction) => Why::Isolation(direction),
            None => return false,
            Some(index) => Why::Rule(Clause::first_of(RuleRef { direction, index })),
        };
        self.decision(&why).as_ref() == Some(decision)
    }

    /// Its reason in words; `None` if it is none of its own.
    pub(crate) fn words(&self, why: &Why) -> Option<String> {
        match why {
            Why::Text(_) | Why::Known => None,
            Why::Isolation(direction) if self.staged => Some(format!(
                "would isolate for {direction}; no {direction} rule of it allows this: would drop (staged)"
            )),
            Why::Isolation(direction) => Some(format!(
                "isolates for {direction}; no {direction} rule of it allows this"
            )),
            Why::Rule(clause) => self.clause_words(*clause),
            Why::InForce(clause) => {
                let words = self.clause_words(*clause)?;
                Some(format!("is in force, before what is staged: {words}"))
            }
        }
    }

    /// What a rule does with traffic of one of its peers and one of its ports.
    fn clause_words(&self, clause: Clause) -> Option<String> {
        let RuleRef { direction, index } = clause.rule;
        let rule = self.rule(clause.rule)?;
        let tier = match self.tier {
            Tier::NetworkPolicy => String::new(),
            tier => format!("{tier} "),
        };
        let name = rule.name.as_ref().map(|name| format!(" {name:?}"));
        let name = name.unwrap_or_default();
        let (verb, staged) = match (self.staged, rule.action) {
            (false, action) => (action.verb(), ""),
            (true, RuleAction::Accept) => ("would allow", " (staged)"),
            (true, RuleAction::Deny) => ("would drop", " (staged)"),
            (true, RuleAction::Pass) => ("would pass", " (staged)"),
        };
        if let Some(field) = &rule.closed {
            return Some(format!(
                "{tier}{direction} rule {index}{name} {verb} everything{staged}: {field} is not known to this version"
            ));
        }
        let ports = match &rule.ports {
            Ports::Any => "all ports".to_owned(),
            Ports::List(ports) => ports.get(usize::try_from(clause.port).ok()?)?.to_string(),
        };
        let preposition = preposition(direction);
        let peer = match &rule.peers {
            None => "anybody".to_owned(),
            Some(peers) => peers.get(usize::try_from(clause.peer).ok()?)?.to_string(),
        };
        Some(format!(
            "{tier}{direction} rule {index}{name} {verb} {ports} {preposition} {peer}{staged}"
        ))
    }

    fn rule(&self, of: RuleRef) -> Option<&Rule> {
        let rules = self.rules(of.direction)?;
        rules.get(usize::try_from(of.index).ok()?)
    }
}

/// What a rule does with traffic that it matches; those of `NetworkPolicies` accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleAction {
    /// Allowed in this direction; no later tier is asked.
    Accept,
    /// Dropped.
    Deny,
    /// Left to the next tier.
    Pass,
}

impl RuleAction {
    /// `allows`.
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Accept => "allows",
            Self::Deny => "denies",
            Self::Pass => "passes",
        }
    }
}

impl fmt::Display for RuleAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "accept",
            Self::Deny => "deny",
            Self::Pass => "pass",
        })
    }
}

/// One rule, about traffic that has one of the peers and one of the ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// What it does.
    pub action: RuleAction,
    /// The first field that is not known, for which the rule fails closed.
    pub closed: Option<String>,
    /// `None`: "if this field is empty or missing, this rule matches all sources".
    pub peers: Option<Vec<Peer>>,
    /// On which ports.
    pub ports: Ports,
}

impl Rule {
    /// The traffic that it is about, in words.
    fn about(&self, direction: Direction) -> String {
        if let Some(field) = &self.closed {
            return format!("everything: {field} is not known to this version");
        }
        fn list<T: fmt::Display>(all: &[T]) -> String {
            let all: Vec<String> = all.iter().map(ToString::to_string).collect();
            all.join(", ")
        }
        let ports = match &self.ports {
            Ports::Any => "all ports".to_owned(),
            Ports::List(ports) => list(ports),
        };
        let peers = self.peers.as_ref().map(|peers| list(peers));
        let peers = peers.unwrap_or_else(|| "anybody".to_owned());
        format!("{ports} {} {peers}", preposition(direction))
    }
}

const fn preposition(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    }
}

/// Ports of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// "If this field is empty or missing, this rule matches all ports": any protocol, too.
    Any,
    /// These.
    List(Vec<PortMatch>),
}

/// One port, or range of ports, of one protocol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortMatch {
    /// Every port of the protocol.
    All(Protocol),
    /// From first to last, both included.
    Range(Protocol, u16, u16),
    /// The container port of this name on the destination Pod.
    Named(Protocol, Name),
}

impl fmt::Display for PortMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(protocol) => write!(f, "{protocol}"),
            Self::Range(protocol, first, last) if first == last => write!(f, "{protocol}/{first}"),
            Self::Range(protocol, first, last) => write!(f, "{protocol}/{first}-{last}"),
            Self::Named(protocol, name) => write!(f, "{protocol}/{name}"),
        }
    }
}

/// One peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Pods of some namespaces.
    Pods {
        /// Which namespaces.
        namespaces: NamespaceScope,
        /// Which Pods in them.
        pods: Selector,
    },
    /// Addresses.
    IpBlock {
        /// These...
        cidr: IpNetwork,
        /// ...but not those; each lies in `cidr`.
        except: Vec<IpNetwork>,
    },
    /// Every address of the nodes with these labels.
    Nodes(Selector),
}

/// Namespaces of a peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamespaceScope {
    /// The policy's own.
    Own,
    /// Those with these labels.
    Selected(Selector),
}

impl NamespaceScope {
    fn is_everything(&self) -> bool {
        matches!(self, Self::Selected(all) if all.is_everything())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods { namespaces, pods } => {
                if pods.is_everything() {
                    f.write_str("all pods")?;
                } else {
                    write!(f, "pods {pods}")?;
                }
                match namespaces {
                    NamespaceScope::Own => f.write_str(" of its namespace"),
                    all if all.is_everything() => f.write_str(" of all namespaces"),
                    NamespaceScope::Selected(selector) => write!(f, " of namespaces {selector}"),
                }
            }
            Self::IpBlock { cidr, except } => {
                write!(f, "{cidr}")?;
                for (index, cidr) in except.iter().enumerate() {
                    write!(f, "{}{cidr}", if index == 0 { " except " } else { "," })?;
                }
                Ok(())
            }
            Self::Nodes(all) if all.is_everything() => f.write_str("all nodes"),
            Self::Nodes(selector) => write!(f, "nodes {selector}"),
        }
    }
}
