// SPDX-License-Identifier: Apache-2.0
//! Random labels and policies, for clusters of a few namespaces.

mod cluster;

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ObjectMeta,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::{Dice, Labels};

/// What random policies may name.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// Names of namespaces.
    pub namespaces: Vec<String>,
    /// Label keys and their values. The last key is rare.
    pub labels: Vec<(String, Vec<String>)>,
    /// Port numbers.
    pub ports: Vec<u16>,
    /// Names of ports.
    pub port_names: Vec<String>,
    /// Address blocks, each with what to except.
    pub blocks: Vec<(String, Vec<String>)>,
    /// Names of nodes, which are their label `kubernetes.io/hostname`, too.
    pub nodes: Vec<String>,
}

impl Vocabulary {
    /// Random labels: each key is there in half the cases, the rare one in fewer.
    pub fn labels(&self, dice: &mut Dice) -> Labels {
        let mut labels = Labels::new();
        for (at, (key, values)) in self.labels.iter().enumerate() {
            let rare = at + 1 == self.labels.len();
            if dice.chance(if rare { 1 } else { 3 }, 6)
                && let Some(value) = dice.pick(values)
            {
                labels.insert(key.clone(), value.clone());
            }
        }
        labels
    }

    /// A random policy of this namespace and name.
    pub fn policy(&self, dice: &mut Dice, namespace: &str, name: &str) -> NetworkPolicy {
        let types: Option<&[&str]> = match dice.below(4) {
            0 => None,
            1 => Some(&["Ingress"]),
            2 => Some(&["Egress"]),
            _ => Some(&["Ingress", "Egress"]),
        };
        let spec = NetworkPolicySpec {
            pod_selector: Some(self.selector(dice)),
            policy_types: types.map(|types| types.iter().map(|one| (*one).to_owned()).collect()),
            ingress: self.rules(dice, |from, ports| NetworkPolicyIngressRule { from, ports }),
            egress: self.rules(dice, |to, ports| NetworkPolicyEgressRule { to, ports }),
        };
        NetworkPolicy {
            metadata: ObjectMeta {
                namespace: Some(namespace.to_owned()),
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(spec),
        }
    }

    fn rules<R>(
        &self,
        dice: &mut Dice,
        rule: impl Fn(Option<Vec<NetworkPolicyPeer>>, Option<Vec<NetworkPolicyPort>>) -> R,
    ) -> Option<Vec<R>> {
        maybe_list(dice, |dice| {
            let peers = maybe_list(dice, |dice| self.peer(dice));
            let ports = maybe_list(dice, |dice| self.port(dice));
            rule(peers, ports)
        })
    }

    fn selector(&self, dice: &mut Dice) -> LabelSelector {
        if dice.chance(2, 7) {
            return LabelSelector::default();
        }
        if dice.chance(3, 5) {
            return LabelSelector {
                match_labels: Some(self.labels(dice)),
                match_expressions: None,
            };
        }
        let operator = *dice
            .pick(&["In", "NotIn", "Exists", "DoesNotExist"])
            .unwrap_or(&"Exists");
        let (key, values) = dice.pick(&self.labels).cloned().unwrap_or_default();
        let values = match operator {
            "In" | "NotIn" => dice.pick(&values).cloned().into_iter().collect(),
            _ => Vec::new(),
        };
        LabelSelector {
            match_labels: None,
            match_expressions: Some(vec![LabelSelectorRequirement {
                key,
                operator: operator.to_owned(),
                values: Some(values),
            }]),
        }
    }

    fn namespace_selector(&self, dice: &mut Dice) -> LabelSelector {
        if dice.chance(1, 2) {
            return self.selector(dice);
        }
        let name = dice.pick(&self.namespaces).cloned().unwrap_or_default();
        LabelSelector {
            match_labels: Some(BTreeMap::from([(
                "kubernetes.io/metadata.name".to_owned(),
                name,
            )])),
            match_expressions: None,
        }
    }

    fn peer(&self, dice: &mut Dice) -> NetworkPolicyPeer {
        if dice.chance(1, 6)
            && let Some((cidr, except)) = dice.pick(&self.blocks)
        {
            return NetworkPolicyPeer {
                ip_block: Some(IPBlock {
                    cidr: cidr.clone(),
                    except: Some(except.clone()),
                }),
                ..NetworkPolicyPeer::default()
            };
        }
        // One of the two, or both: a peer without any is not valid.
        let which = dice.below(3);
        NetworkPolicyPeer {
            ip_block: None,
            namespace_selector: (which != 0).then(|| self.namespace_selector(dice)),
            pod_selector: (which != 1).then(|| self.selector(dice)),
        }
    }

    fn port(&self, dice: &mut Dice) -> NetworkPolicyPort {
        let protocol = *dice
            .pick(&[None, Some("TCP"), Some("UDP"), Some("SCTP")])
            .unwrap_or(&None);
        let number = dice.pick(&self.ports).copied().map(i32::from);
        let (port, end_port) = match dice.below(5) {
            0 => (None, None),
            1 => (
                dice.pick(&self.port_names)
                    .cloned()
                    .map(IntOrString::String),
                None,
            ),
            2 => (
                number.map(IntOrString::Int),
                number.map(|first| first + [0, 1, 7_999][dice.below(3)]),
            ),
            _ => (number.map(IntOrString::Int), None),
        };
        NetworkPolicyPort {
            protocol: protocol.map(str::to_owned),
            port,
            end_port,
        }
    }
}

/// Missing, empty, or one or two.
fn maybe_list<T>(dice: &mut Dice, mut one: impl FnMut(&mut Dice) -> T) -> Option<Vec<T>> {
    match dice.below(6) {
        0 => None,
        1 => Some(Vec::new()),
        2 | 3 => Some(vec![one(dice)]),
        _ => Some(vec![one(dice), one(dice)]),
    }
}
