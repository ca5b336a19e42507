// SPDX-License-Identifier: Apache-2.0
//! The workload of the comparison: Pods round robin on nodes, a policy for each group of Pods,
//! Services with slices.

use std::net::Ipv4Addr;

use policy_compiler::{Change, Object};
use serde_json::{Value, json};

pub(crate) const NODES: u32 = 10;
pub(crate) const PODS: u32 = 1_000;
pub(crate) const POLICIES: u32 = 100;
const SERVICES: u32 = 1_000;
const BACKENDS: u32 = 3;
const NAMESPACE: &str = "shop";

/// Whom a policy lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    /// The Pods of another group: ten.
    Group,
    /// `namespaceSelector: {}`: every Pod of the cluster.
    Everybody,
}

/// A Pod of the workload; those from [`PODS`] on are added one by one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PodNumber(pub(crate) u32);

impl PodNumber {
    pub(crate) const fn node(self) -> u32 {
        self.0 % NODES
    }

    pub(crate) const fn address(self) -> Ipv4Addr {
        let place = self.0 / NODES + 2;
        Ipv4Addr::new(10, 128 + self.node() as u8, (place >> 8) as u8, place as u8)
    }

    pub(crate) fn mac(self) -> String {
        let [_, a, b, c] = self.0.to_be_bytes();
        format!("0a:58:0a:{a:02x}:{b:02x}:{c:02x}")
    }

    pub(crate) fn name(self) -> String {
        format!("p-{}", self.0)
    }

    pub(crate) fn iface_id(self) -> String {
        format!("{NAMESPACE}/{}", self.name())
    }

    pub(crate) fn interface(self) -> String {
        format!("v-{}", self.0)
    }

    pub(crate) fn object(self) -> Change {
        let labels = json!({"group": group(self.0)});
        Change::Apply(Object::Pod(read(json!({
            "metadata": {"name": self.name(), "namespace": NAMESPACE, "labels": labels},
            "spec": {"nodeName": node_name(self.node()), "containers": []},
        }))))
    }
}

pub(crate) fn node_name(number: u32) -> String {
    format!("node-{number}")
}

/// Everything that is there before Pods are added one by one.
pub(crate) fn objects(peers: Peers) -> Vec<Change> {
    let mut changes = Vec::new();
    for number in 0..NODES {
        changes.push(Change::Apply(Object::Node(read(json!({
            "metadata": {"name": node_name(number)},
            "spec": {"podCIDR": format!("10.{}.0.0/16", 128 + number)},
            "status": {"addresses": [
                {"type": "InternalIP", "address": format!("192.0.2.{}", number + 1)},
            ]},
        })))));
    }
    changes.push(Change::Apply(Object::Namespace(read(json!({
        "metadata": {"name": NAMESPACE},
    })))));
    changes.extend((0..PODS).map(|number| PodNumber(number).object()));
    changes.extend((0..POLICIES).map(|number| policy(number, peers, 0)));
    for number in 0..SERVICES {
        changes.extend(service(number));
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

fn service(number: u32) -> [Change; 2] {
    let name = format!("service-{number}");
    let address = Ipv4Addr::new(172, 16, (number / 250) as u8, (number % 250 + 1) as u8);
    let backend = |backend| PodNumber((number * 7 + backend * 331) % PODS).address();
    let endpoints: Vec<Value> = (0..BACKENDS)
        .map(|number| json!({"addresses": [backend(number)], "conditions": {"ready": true}}))
        .collect();
    let service = json!({
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "clusterIP": address, "clusterIPs": [address],
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}],
        },
    });
    let slice = json!({
        "metadata": {
            "name": format!("{name}-1"), "namespace": NAMESPACE,
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    });
    [
        Change::Apply(Object::Service(read(service))),
        Change::Apply(Object::EndpointSlice(read(slice))),
    ]
}

fn group(number: u32) -> String {
    format!("group-{}", number % POLICIES)
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Box<T> {
    Box::new(serde_json::from_value(value).expect("an object of its kind"))
}
