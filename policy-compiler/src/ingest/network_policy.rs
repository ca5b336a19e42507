// SPDX-License-Identifier: Apache-2.0
//! `NetworkPolicy`: defaults applied, every field read (`networking/v1/types.go`).

use ipnetwork::IpNetwork;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Rejected, meta, selector};
use crate::model::{
    Kind, NamespaceScope, Peer, Policy, PortMatch, Ports, Rule, RuleAction, Selector, Tier,
};

pub(super) fn parse(object: &NetworkPolicy) -> Result<Policy, Rejected> {
    let key = meta::key(Kind::NetworkPolicy, &object.metadata)?;
    let spec = object.spec.as_ref();
    let ingress = spec
        .and_then(|spec| spec.ingress.as_deref())
        .unwrap_or_default();
    let egress = spec
        .and_then(|spec| spec.egress.as_deref())
        .unwrap_or_default();
    // "If this field is not specified, it will default based on the existence of ingress or egress
    // rules; policies that contain an egress section are assumed to affect egress, and all policies
    // (whether or not they contain an ingress section) are assumed to affect ingress."
    let types = spec
        .and_then(|spec| spec.policy_types.as_deref())
        .unwrap_or_default();
    let (mut isolates_ingress, mut isolates_egress) = (types.is_empty(), false);
    if types.is_empty() {
        isolates_egress = !egress.is_empty();
    }
    for (index, text) in types.iter().enumerate() {
        match text.as_str() {
            "Ingress" => isolates_ingress = true,
            "Egress" => isolates_egress = true,
            other => {
                return Err(Rejected::new(
                    format!("spec.policyTypes[{index}]"),
                    format!("{other:?} is not one of Ingress, Egress"),
                ));
            }
        }
    }
    let mut ingress_rules = Vec::with_capacity(ingress.len());
    for (index, rule) in ingress.iter().enumerate() {
        let field = format!("spec.ingress[{index}]");
        ingress_rules.push(allow(
            peers(&format!("{field}.from"), rule.from.as_deref())?,
            ports(&format!("{field}.ports"), rule.ports.as_deref())?,
        ));
    }
    let mut egress_rules = Vec::with_capacity(egress.len());
    for (index, rule) in egress.iter().enumerate() {
        let field = format!("spec.egress[{index}]");
        egress_rules.push(allow(
            peers(&format!("{field}.to"), rule.to.as_deref())?,
            ports(&format!("{field}.ports"), rule.ports.as_deref())?,
        ));
    }
    // "An empty podSelector matches all pods in this namespace", and so does a missing one.
    let pod_selector = match spec.and_then(|spec| spec.pod_selector.as_ref()) {
        Some(found) => selector::parse("spec.podSelector", found)?,
        None => Selector::default(),
    };
    Ok(Policy {
        namespace: key.namespace,
        name: key.name,
        tier: Tier::NetworkPolicy,
        priority: 0,
        staged: meta::staged(&object.metadata)?,
        namespaces: NamespaceScope::Own,
        pod_selector,
        ingress: isolates_ingress.then_some(ingress_rules),
        egress: isolates_egress.then_some(egress_rules),
    })
}

fn allow(peers: Option<Vec<Peer>>, ports: Ports) -> Rule {
    Rule {
        name: None,
        action: RuleAction::Accept,
        closed: None,
        peers,
        ports,
    }
}

fn peers(field: &str, peers: Option<&[NetworkPolicyPeer]>) -> Result<Option<Vec<Peer>>, Rejected> {
    let Some(peers) = peers.filter(|peers| !peers.is_empty()) else {
        return Ok(None);
    };
    let mut parsed = Vec::with_capacity(peers.len());
    for (index, one) in peers.iter().enumerate() {
        parsed.push(peer(&format!("{field}[{index}]"), one)?);
    }
    Ok(Some(parsed))
}

fn peer(field: &str, peer: &NetworkPolicyPeer) -> Result<Peer, Rejected> {
    let NetworkPolicyPeer {
        ip_block,
        namespace_selector,
        pod_selector,
    } = peer;
    if let Some(block) = ip_block {
        // "If this field is set then neither of the other fields can be."
        if namespace_selector.is_some() || pod_selector.is_some() {
            return Err(Rejected::new(
                field,
                "ipBlock cannot stand beside a selector",
            ));
        }
        return ip_block_peer(&format!("{field}.ipBlock"), block);
    }
    if namespace_selector.is_none() && pod_selector.is_none() {
        return Err(Rejected::new(
            field,
            "is empty; name a podSelector, a namespaceSelector or an ipBlock",
        ));
    }
    let pods = match pod_selector {
        Some(found) => selector::parse(&format!("{field}.podSelector"), found)?,
        None => Selector::default(),
    };
    let namespaces = match namespace_selector {
        Some(found) => NamespaceScope::Selected(selector::parse(
            &format!("{field}.namespaceSelector"),
            found,
        )?),
        None => NamespaceScope::Own,
    };
    Ok(Peer::Pods { namespaces, pods })
}

fn ip_block_peer(field: &str, block: &IPBlock) -> Result<Peer, Rejected> {
    let cidr = network(&format!("{field}.cidr"), &block.cidr)?;
    let mut except = Vec::new();
    for (index, text) in block.except.iter().flatten().enumerate() {
        let field = format!("{field}.except[{index}]");
        let inner = network(&field, text)?;
        // "Except values will be rejected if they are outside the cidr range."
        let inside = inner.prefix() > cidr.prefix() && cidr.contains(inner.network());
        if !inside {
            return Err(Rejected::new(
                field,
                format!("{text} does not lie within {cidr}"),
            ));
        }
        except.push(inner);
    }
    except.sort_by_key(|network| (network.network(), network.prefix()));
    Ok(Peer::IpBlock { cidr, except })
}

/// A CIDR with its host bits cut off.
pub(super) fn network(field: &str, text: &str) -> Result<IpNetwork, Rejected> {
    let parsed = text
        .contains('/')
        .then(|| text.parse::<IpNetwork>().ok())
        .flatten();
    parsed
        .and_then(|found| IpNetwork::new(found.network(), found.prefix()).ok())
        .ok_or_else(|| {
            Rejected::new(
                field,
                format!("{text:?} is not a CIDR; write it as 10.0.0.0/8"),
            )
        })
}

fn ports(field: &str, ports: Option<&[NetworkPolicyPort]>) -> Result<Ports, Rejected> {
    let Some(ports) = ports.filter(|ports| !ports.is_empty()) else {
        return Ok(Ports::Any);
    };
    let mut parsed = Vec::with_capacity(ports.len());
    for (index, one) in ports.iter().enumerate() {
        parsed.push(port_match(&format!("{field}[{index}]"), one)?);
    }
    Ok(Ports::List(parsed))
}

fn port_match(field: &str, port: &NetworkPolicyPort) -> Result<PortMatch, Rejected> {
    let protocol = meta::protocol(&format!("{field}.protocol"), port.protocol.as_deref())?;
    let end_field = format!("{field}.endPort");
    let first = match &port.port {
        None => {
            // "This field cannot be defined if the port field is not defined."
            return match port.end_port {
                Some(_) => Err(Rejected::new(end_field, "needs a port")),
                None => Ok(PortMatch::All(protocol)),
            };
        }
        Some(IntOrString::String(name)) => {
            // "...or if the port field is defined as a named (string) port."
            return match port.end_port {
                Some(_) => Err(Rejected::new(end_field, "cannot stand beside a named port")),
                None => Ok(PortMatch::Named(protocol, name.into())),
            };
        }
        Some(IntOrString::Int(number)) => meta::port(&format!("{field}.port"), *number)?,
    };
    let last = match port.end_port {
        Some(number) => meta::port(&end_field, number)?,
        None => first,
    };
    if last < first {
        return Err(Rejected::new(
            end_field,
            format!("{last} is below port {first}"),
        ));
    }
    Ok(PortMatch::Range(protocol, first, last))
}
