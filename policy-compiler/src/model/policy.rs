// SPDX-License-Identifier: Apache-2.0
//! A `NetworkPolicy` (`networking/v1`), with its defaults applied.

use std::fmt;

use ipnetwork::IpNetwork;

use super::Selector;
use crate::explain::{Clause, RuleRef};

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

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Which Pods of the namespace it is about.
    pub pod_selector: Selector,
    /// Ingress rules; `None`: it does not isolate for ingress.
    pub ingress: Option<Vec<Rule>>,
    /// Egress rules; `None`: it does not isolate for egress.
    pub egress: Option<Vec<Rule>>,
}

impl Policy {
    /// The rules of a direction; `None`: it does not isolate in that direction.
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }

    /// What a peer and a port of a rule allow, in words.
    pub(crate) fn clause_words(&self, clause: &Clause) -> Option<String> {
        let Clause { rule, peer, port } = *clause;
        let RuleRef { direction, index } = rule;
        let rule = self.rules(direction)?.get(usize::try_from(index).ok()?)?;
        let ports = match &rule.ports {
            Ports::Any => "all ports".to_owned(),
            Ports::List(ports) => ports.get(usize::try_from(port).ok()?)?.to_string(),
        };
        let preposition = match direction {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        };
        let peer = match &rule.peers {
            None => "anybody".to_owned(),
            Some(peers) => peers.get(usize::try_from(peer).ok()?)?.to_string(),
        };
        Some(format!(
            "{direction} rule {index} allows {ports} {preposition} {peer}"
        ))
    }
}

/// One rule: traffic that has one of the peers and one of the ports is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `None`: "if this field is empty or missing, this rule matches all sources".
    pub peers: Option<Vec<Peer>>,
    /// On which ports.
    pub ports: Ports,
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
    Named(Protocol, String),
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
}

/// Namespaces of a peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamespaceScope {
    /// The policy's own.
    Own,
    /// Those with these labels.
    Selected(Selector),
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
                    NamespaceScope::Selected(all) if all.is_everything() => {
                        f.write_str(" of all namespaces")
                    }
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
        }
    }
}
