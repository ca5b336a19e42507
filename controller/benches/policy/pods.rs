// SPDX-License-Identifier: Apache-2.0
//! What workloads have in common: nodes, Pods round robin on them, Services with slices.

use std::net::Ipv4Addr;

use policy_compiler::{Change, Object};
use serde_json::{Value, json};

pub(crate) const NODES: u32 = 10;
pub(crate) const PODS: u32 = 1_000;
/// Pods are in as many groups, by their label.
pub(crate) const GROUPS: u32 = 100;
pub(crate) const NAMESPACE: &str = "shop";
/// Endpoints of a Service.
const BACKENDS: u32 = 3;

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

/// The nodes, as many as asked for, of at most 128.
pub(crate) fn nodes(count: u32) -> impl Iterator<Item = Change> {
    (0..count).map(|number| {
        Change::Apply(Object::Node(read(json!({
            "metadata": {"name": node_name(number)},
            "spec": {"podCIDR": format!("10.{}.0.0/16", 128 + number)},
            "status": {"addresses": [
                {"type": "InternalIP", "address": format!("192.0.2.{}", number + 1)},
            ]},
        }))))
    })
}

pub(crate) fn namespace(name: &str) -> Change {
    Change::Apply(Object::Namespace(read(json!({"metadata": {"name": name}}))))
}

/// A Service.
pub(crate) fn service(namespace: &str, number: u32) -> Change {
    let address = Ipv4Addr::new(172, 16, (number / 250) as u8, (number % 250 + 1) as u8);
    Change::Apply(Object::Service(read(json!({
        "metadata": {"name": service_name(number), "namespace": namespace},
        "spec": {
            "clusterIP": address, "clusterIPs": [address],
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}],
        },
    }))))
}

/// Its endpoints; those of another edition are others.
pub(crate) fn slice(namespace: &str, number: u32, edition: u32) -> Change {
    let name = service_name(number);
    let pod = |backend| PodNumber((number * 7 + backend * 331 + edition) % PODS).address();
    let endpoints: Vec<Value> = (0..BACKENDS)
        .map(|number| json!({"addresses": [pod(number)], "conditions": {"ready": true}}))
        .collect();
    Change::Apply(Object::EndpointSlice(read(json!({
        "metadata": {
            "name": format!("{name}-1"), "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    }))))
}

pub(crate) fn service_name(number: u32) -> String {
    format!("service-{number}")
}

pub(crate) fn group(number: u32) -> String {
    format!("group-{}", number % GROUPS)
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(value: Value) -> Box<T> {
    Box::new(serde_json::from_value(value).expect("an object of its kind"))
}
