// SPDX-License-Identifier: Apache-2.0
//! Short words for policies, from which the cases are made.

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ObjectMeta,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Step, labels};

/// Peers and ports of a rule; `None`: the list is missing.
pub type RuleWords = (
    Option<Vec<NetworkPolicyPeer>>,
    Option<Vec<NetworkPolicyPort>>,
);

/// Ingress or egress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the Pods that a policy selects.
    Ingress,
    /// From them.
    Egress,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    /// As in `policyTypes`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ingress => "Ingress",
            Self::Egress => "Egress",
        }
    }
}

/// A policy of this name that selects `subject` in namespace `x`, with these `policyTypes` and rules.
pub fn policy(
    name: &str,
    subject: LabelSelector,
    types: Option<&[&str]>,
    ingress: Option<Vec<RuleWords>>,
    egress: Option<Vec<RuleWords>>,
) -> NetworkPolicy {
    let ingress_rule = |(from, ports)| NetworkPolicyIngressRule { from, ports };
    let egress_rule = |(to, ports)| NetworkPolicyEgressRule { to, ports };
    NetworkPolicy {
        metadata: ObjectMeta {
            namespace: Some("x".to_owned()),
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(subject),
            policy_types: types.map(|types| types.iter().map(|one| (*one).to_owned()).collect()),
            ingress: ingress.map(|rules| rules.into_iter().map(ingress_rule).collect()),
            egress: egress.map(|rules| rules.into_iter().map(egress_rule).collect()),
        }),
    }
}

/// A policy for one direction.
pub fn one_way(
    name: &str,
    subject: LabelSelector,
    direction: Direction,
    rules: Vec<RuleWords>,
) -> NetworkPolicy {
    let types: &[&str] = &[direction.word()];
    match direction {
        Direction::Ingress => policy(name, subject, Some(types), Some(rules), None),
        Direction::Egress => policy(name, subject, Some(types), None, Some(rules)),
    }
}

/// The step that applies it.
pub fn apply(policy: NetworkPolicy) -> Step {
    Step::Apply(Box::new(policy))
}

/// The step that deletes a policy of namespace `x`.
pub fn delete(name: &str) -> Step {
    Step::Delete("x".to_owned(), name.to_owned())
}

/// Selects everything.
pub fn everything() -> LabelSelector {
    LabelSelector::default()
}

/// Selects by one label.
pub fn label(key: &str, value: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels(&[(key, value)])),
        match_expressions: None,
    }
}

/// Selects by one expression.
pub fn expression(key: &str, operator: &str, values: &[&str]) -> LabelSelector {
    let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
    LabelSelector {
        match_labels: None,
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: key.to_owned(),
            operator: operator.to_owned(),
            values: (!values.is_empty()).then_some(values),
        }]),
    }
}

/// Pods that `pods` selects in the policy's namespace, or in those that `namespaces` selects.
pub fn peer(namespaces: Option<LabelSelector>, pods: Option<LabelSelector>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: None,
        namespace_selector: namespaces,
        pod_selector: pods,
    }
}

/// Addresses.
pub fn block(cidr: &str, except: &[&str]) -> NetworkPolicyPeer {
    let except: Vec<String> = except.iter().map(|cidr| (*cidr).to_owned()).collect();
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.to_owned(),
            except: (!except.is_empty()).then_some(except),
        }),
        ..NetworkPolicyPeer::default()
    }
}

/// A port by number, or all of them.
pub fn port(protocol: Option<&str>, number: Option<u16>) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: protocol.map(str::to_owned),
        port: number.map(|number| IntOrString::Int(number.into())),
        end_port: None,
    }
}

/// A port by name.
pub fn named_port(protocol: Option<&str>, name: &str) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::String(name.to_owned())),
        ..port(protocol, None)
    }
}

/// A range of ports.
pub fn ports(protocol: Option<&str>, first: u16, last: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        end_port: Some(last.into()),
        ..port(protocol, Some(first))
    }
}
