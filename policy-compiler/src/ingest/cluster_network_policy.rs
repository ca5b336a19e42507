// SPDX-License-Identifier: Apache-2.0
//! `ClusterNetworkPolicy`: limits checked, and rules that say more than we know made to fail closed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::network_policy::network;
use super::{Rejected, meta, selector};
use crate::crd::{
    ClusterNetworkPolicy, EgressPeer, IngressPeer, NamespacedPod, Port, Protocol as Written,
    Subject, Transport,
};
use crate::model::{
    Kind, Name, NamespaceScope, Peer, Policy, PortMatch, Ports, Protocol, Rule, RuleAction,
    Selector, Tier,
};

/// Highest number of a priority.
const MAX_PRIORITY: u16 = 1000;

/// Rules of a direction, peers of a rule, protocols of a rule, networks of a peer.
const MAX_ITEMS: usize = 25;

/// Characters of a rule's name.
const MAX_NAME: usize = 100;

pub(super) fn parse(object: &ClusterNetworkPolicy) -> Result<Policy, Rejected> {
    let key = meta::key(Kind::ClusterNetworkPolicy, &object.metadata)?;
    let spec = &object.spec;
    let tier = match spec.tier.as_str() {
        "Admin" => Tier::Admin,
        "Baseline" => Tier::Baseline,
        other => {
            return refuse(
                "spec.tier",
                format!("{other:?} is not one of Admin, Baseline"),
            );
        }
    };
    let priority = u16::try_from(spec.priority)
        .ok()
        .filter(|priority| *priority <= MAX_PRIORITY);
    let Some(priority) = priority else {
        return refuse(
            "spec.priority",
            format!("{} is not within 0..{MAX_PRIORITY}", spec.priority),
        );
    };
    let (namespaces, pod_selector) = subject(&spec.subject)?;
    at_most("spec.ingress", spec.ingress.len())?;
    at_most("spec.egress", spec.egress.len())?;
    let mut ingress = Vec::with_capacity(spec.ingress.len());
    for (index, rule) in spec.ingress.iter().enumerate() {
        let field = format!("spec.ingress[{index}]");
        let peers: Vec<_> = rule.from.iter().map(PeerFields::ingress).collect();
        let words = RuleFields {
            name: rule.name.as_deref(),
            action: &rule.action,
            peers: (format!("{field}.from"), peers),
            protocols: rule.protocols.as_deref(),
        };
        ingress.push(words.parse(&field)?);
    }
    let mut egress = Vec::with_capacity(spec.egress.len());
    for (index, rule) in spec.egress.iter().enumerate() {
        let field = format!("spec.egress[{index}]");
        let peers: Vec<_> = rule.to.iter().map(PeerFields::egress).collect();
        let words = RuleFields {
            name: rule.name.as_deref(),
            action: &rule.action,
            peers: (format!("{field}.to"), peers),
            protocols: rule.protocols.as_deref(),
        };
        egress.push(words.parse(&field)?);
    }
    // "CNPs with no ingress rules do not affect ingress traffic", and likewise for egress.
    Ok(Policy {
        namespace: Name::default(),
        name: key.name,
        tier,
        priority,
        staged: meta::staged(&object.metadata)?,
        namespaces,
        pod_selector,
        ingress: Some(ingress).filter(|rules| !rules.is_empty()),
        egress: Some(egress).filter(|rules| !rules.is_empty()),
    })
}

/// "Exactly one field must be set."
fn subject(subject: &Subject) -> Result<(NamespaceScope, Selector), Rejected> {
    match (&subject.namespaces, &subject.pods) {
        (Some(namespaces), None) => {
            let namespaces = selector::parse("spec.subject.namespaces", namespaces)?;
            Ok((NamespaceScope::Selected(namespaces), Selector::default()))
        }
        (None, Some(pods)) => namespaced_pod("spec.subject.pods", pods),
        (Some(_), Some(_)) => refuse("spec.subject", "has both namespaces and pods; keep one"),
        (None, None) => refuse("spec.subject", "is empty; name namespaces or pods"),
    }
}

fn namespaced_pod(
    field: &str,
    pod: &NamespacedPod,
) -> Result<(NamespaceScope, Selector), Rejected> {
    let namespaces = format!("{field}.namespaceSelector");
    let namespaces = selector::parse(&namespaces, &pod.namespace_selector)?;
    let pods = selector::parse(&format!("{field}.podSelector"), &pod.pod_selector)?;
    Ok((NamespaceScope::Selected(namespaces), pods))
}

/// A rule of either direction.
struct RuleFields<'a> {
    name: Option<&'a str>,
    action: &'a str,
    /// Where they stand, and they.
    peers: (String, Vec<PeerFields<'a>>),
    protocols: Option<&'a [Written]>,
}

impl RuleFields<'_> {
    fn parse(&self, field: &str) -> Result<Rule, Rejected> {
        let name = self.name.filter(|name| !name.is_empty());
        if name.is_some_and(|name| name.chars().count() > MAX_NAME) {
            return refuse(
                format!("{field}.name"),
                format!("is longer than {MAX_NAME} characters"),
            );
        }
        let action = match self.action {
            "Accept" => RuleAction::Accept,
            "Deny" => RuleAction::Deny,
            "Pass" => RuleAction::Pass,
            other => {
                return refuse(
                    format!("{field}.action"),
                    format!("{other:?} is not one of Accept, Deny, Pass"),
                );
            }
        };
        let rule = |peers, ports| Rule {
            name: name.map(str::to_owned),
            action,
            peers,
            ports,
            closed: None,
        };
        let (peers_field, written) = &self.peers;
        at_least_one(peers_field, written.len())?;
        at_most(peers_field, written.len())?;
        let mut peers = Vec::new();
        let mut unknown = None;
        for (index, peer) in written.iter().enumerate() {
            let field = format!("{peers_field}[{index}]");
            match peer.parse(&field)? {
                Some(known) => peers.extend(known),
                None => unknown = unknown.or(Some(field)),
            }
        }
        let ports = match self.protocols {
            None => Ports::Any,
            Some(protocols) => {
                let field = format!("{field}.protocols");
                match ports(&field, protocols)? {
                    Ok(ports) => Ports::List(ports),
                    Err(field) => {
                        unknown = unknown.or(Some(field));
                        Ports::Any
                    }
                }
            }
        };
        let Some(unknown) = unknown else {
            return only_pods_have_named_ports(field, &peers, &ports)
                .map(|()| rule(Some(peers), ports));
        };
        // "For "Accept" rules, "fail closed" means: "treat the rule as matching no traffic". For
        // "Deny" and "Pass" rules, "fail closed" means: "treat the rule as a 'Deny all' rule"."
        let (action, peers) = match action {
            RuleAction::Accept => (RuleAction::Accept, Some(Vec::new())),
            RuleAction::Deny | RuleAction::Pass => (RuleAction::Deny, None),
        };
        Ok(Rule {
            action,
            closed: Some(unknown),
            ..rule(peers, Ports::Any)
        })
    }
}

/// A peer of either direction.
#[derive(Default)]
struct PeerFields<'a> {
    namespaces: Option<&'a LabelSelector>,
    pods: Option<&'a NamespacedPod>,
    nodes: Option<&'a LabelSelector>,
    networks: Option<&'a [String]>,
    unknown: bool,
}

impl<'a> PeerFields<'a> {
    fn ingress(peer: &'a IngressPeer) -> Self {
        Self {
            namespaces: peer.namespaces.as_ref(),
            pods: peer.pods.as_ref(),
            unknown: !peer.unknown.is_empty(),
            ..Self::default()
        }
    }

    fn egress(peer: &'a EgressPeer) -> Self {
        Self {
            namespaces: peer.namespaces.as_ref(),
            pods: peer.pods.as_ref(),
            nodes: peer.nodes.as_ref(),
            networks: peer.networks.as_deref(),
            unknown: !peer.unknown.is_empty(),
        }
    }

    /// `None`: of a kind that is not known. "If an implementation sees no fields are set then it can
    /// infer that the deployed CRD is of an incompatible version with an unknown field."
    fn parse(&self, field: &str) -> Result<Option<Vec<Peer>>, Rejected> {
        if self.unknown {
            return Ok(None);
        }
        let pods = |(namespaces, pods)| Ok(Some(vec![Peer::Pods { namespaces, pods }]));
        match (self.namespaces, self.pods, self.nodes, self.networks) {
            (None, None, None, None) => Ok(None),
            (Some(found), None, None, None) => {
                let found = selector::parse(&format!("{field}.namespaces"), found)?;
                pods((NamespaceScope::Selected(found), Selector::default()))
            }
            (None, Some(found), None, None) => {
                pods(namespaced_pod(&format!("{field}.pods"), found)?)
            }
            (None, None, Some(found), None) => {
                let found = selector::parse(&format!("{field}.nodes"), found)?;
                Ok(Some(vec![Peer::Nodes(found)]))
            }
            (None, None, None, Some(found)) => networks(&format!("{field}.networks"), found),
            _ => refuse(field, "has more than one field; make a peer of each"),
        }
    }
}

fn networks(field: &str, texts: &[String]) -> Result<Option<Vec<Peer>>, Rejected> {
    at_least_one(field, texts.len())?;
    at_most(field, texts.len())?;
    let mut peers = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        peers.push(Peer::IpBlock {
            cidr: network(&format!("{field}[{index}]"), text)?,
            except: Vec::new(),
        });
    }
    Ok(Some(peers))
}

/// The inner error is the field of what is not known.
fn ports(field: &str, protocols: &[Written]) -> Result<Result<Vec<PortMatch>, String>, Rejected> {
    if protocols.is_empty() {
        return refuse(field, "is empty; leave it out to match all traffic");
    }
    at_most(field, protocols.len())?;
    let mut all = Vec::new();
    for (index, protocol) in protocols.iter().enumerate() {
        let field = format!("{field}[{index}]");
        match port_matches(&field, protocol)? {
            Some(known) => all.extend(known),
            None => return Ok(Err(field)),
        }
    }
    Ok(Ok(all))
}

/// `None`: of a kind that is not known.
fn port_matches(field: &str, written: &Written) -> Result<Option<Vec<PortMatch>>, Rejected> {
    let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let transports = [&written.tcp, &written.udp, &written.sctp];
    let mut transports = all
        .into_iter()
        .zip(transports)
        .filter_map(|(protocol, transport)| Some((protocol, transport.as_ref()?)));
    let name = written.destination_named_port.as_deref();
    let name = name.filter(|name| !name.is_empty());
    if !written.unknown.is_empty() {
        return Ok(None);
    }
    match (transports.next(), name, transports.next()) {
        (None, None, _) => Ok(None),
        (None, Some(name), _) => {
            let named = |protocol| PortMatch::Named(protocol, name.into());
            Ok(Some(all.map(named).into()))
        }
        (Some((protocol, transport)), None, None) => {
            let field = format!("{field}.{protocol}.destinationPort");
            Ok(port_match(&field, protocol, transport)?.map(|port| vec![port]))
        }
        _ => refuse(field, "has more than one field; make a protocol of each"),
    }
}

fn port_match(
    field: &str,
    protocol: Protocol,
    transport: &Transport,
) -> Result<Option<PortMatch>, Rejected> {
    let Some(port) = &transport.destination_port else {
        return Ok(None);
    };
    if !transport.unknown.is_empty() || !port.unknown.is_empty() {
        return Ok(None);
    }
    let range = match port {
        Port {
            number: Some(number),
            range: None,
            ..
        } => {
            let number = meta::port(&format!("{field}.number"), *number)?;
            (number, number)
        }
        Port {
            number: None,
            range: Some(range),
            ..
        } => {
            let start = meta::port(&format!("{field}.range.start"), range.start)?;
            let end = meta::port(&format!("{field}.range.end"), range.end)?;
            if start >= end {
                return refuse(
                    format!("{field}.range"),
                    format!("start {start} is not below end {end}"),
                );
            }
            (start, end)
        }
        Port {
            number: Some(_),
            range: Some(_),
            ..
        } => return refuse(field, "has both number and range; keep one"),
        Port {
            number: None,
            range: None,
            ..
        } => return Ok(None),
    };
    Ok(Some(PortMatch::Range(protocol, range.0, range.1)))
}

/// "networks/nodes/domainNames peer cannot be set with namedPorts since there are no namedPorts for
/// networks/nodes/domainNames".
fn only_pods_have_named_ports(field: &str, peers: &[Peer], ports: &Ports) -> Result<(), Rejected> {
    let named = match ports {
        Ports::Any => false,
        Ports::List(ports) => ports.iter().any(|p| matches!(p, PortMatch::Named(..))),
    };
    if named && !peers.iter().all(|peer| matches!(peer, Peer::Pods { .. })) {
        return refuse(
            format!("{field}.protocols"),
            "name a port, which networks and nodes do not have; make a rule for them alone",
        );
    }
    Ok(())
}

fn at_most(field: &str, count: usize) -> Result<(), Rejected> {
    if count > MAX_ITEMS {
        return refuse(field, format!("has {count} items, more than {MAX_ITEMS}"));
    }
    Ok(())
}

fn at_least_one(field: &str, count: usize) -> Result<(), Rejected> {
    if count == 0 {
        return refuse(field, "is empty; it must have an item at least");
    }
    Ok(())
}

fn refuse<T>(field: impl Into<String>, problem: impl Into<String>) -> Result<T, Rejected> {
    Err(Rejected::new(field, problem))
}
