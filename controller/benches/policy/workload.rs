// SPDX-License-Identifier: Apache-2.0
//! The workload of the comparison: a policy for each group of Pods, and Services.

use policy_compiler::{Change, Object};
use serde_json::json;

use crate::pods::{self, GROUPS, NAMESPACE, NODES, PODS, PodNumber, group, read};

pub(crate) const POLICIES: u32 = GROUPS;
const SERVICES: u32 = 1_000;

/// Whom a policy lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    /// The Pods of another group: ten.
    Group,
    /// `namespaceSelector: {}`: every Pod of the cluster.
    Everybody,
}

/// Everything that is there before Pods are added one by one.
pub(crate) fn objects(peers: Peers) -> Vec<Change> {
    let mut changes: Vec<Change> = pods::nodes(NODES).collect();
    changes.push(pods::namespace(NAMESPACE));
    changes.extend((0..PODS).map(|number| PodNumber(number).object()));
    changes.extend((0..POLICIES).map(|number| policy(number, peers, 0)));
    for number in 0..SERVICES {
        changes.push(pods::service(NAMESPACE, number));
        changes.push(pods::slice(NAMESPACE, number, 0));
    }
    changes
}

/// The policy of a group, with as many additional rules.
pub(crate) fn policy(number: u32, peers: Peers, rules: u32) -> Change {
    let from = match peers {
        Peers::Group => json!({"podSelector": {"matchLabels": {"group": group(number + 1)}}}),
        Peers::Everybody => json!({"namespaceSelector": {}}),
    };
    let rule = |protocol, port| json!({"from": [from.clone()], "ports": [{"protocol": protocol, "port": port}]});
    let mut ingress = vec![rule("TCP", 8080)];
    ingress.extend((0..rules).map(|extra| rule("UDP", 5000 + extra)));
    Change::Apply(Object::NetworkPolicy(read(json!({
        "metadata": {"name": format!("policy-{number}"), "namespace": NAMESPACE},
        "spec": {
            "podSelector": {"matchLabels": {"group": group(number)}},
            "ingress": ingress,
        },
    }))))
}
