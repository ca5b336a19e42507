// SPDX-License-Identifier: Apache-2.0
//! A state of the cluster as manifests, one object in each.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use serde_json::{Value, json};

use super::{Addresses, NAMESPACES, PODS, PORTS, PROTOCOLS, State, node_labels, port_name};
use crate::{PodId, Testbed};

/// The node that a Pod is on, counted from 1: Pods of each namespace are on both.
pub(super) fn home(id: &PodId) -> usize {
    let number = |list: &[&str], word: &str| list.iter().position(|one| *one == word).unwrap_or(0);
    1 + (number(&NAMESPACES, &id.namespace) + number(&PODS, &id.name)) % 2
}

/// UID of a Pod.
pub(super) fn uid(id: &PodId) -> String {
    format!("00000000-0000-4000-8000-0000000000{:02x}", number(id))
}

/// Address of a Pod's Service, of the family of `like`.
pub(super) fn service_address(id: &PodId, like: IpAddr) -> IpAddr {
    let last = number(id);
    match like {
        IpAddr::V4(_) => Ipv4Addr::new(10, 96, 0, last).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, last.into()).into(),
    }
}

fn number(id: &PodId) -> u8 {
    let at = |byte: Option<&u8>| byte.copied().unwrap_or(0) % 16;
    at(id.namespace.as_bytes().first()) * 16 + at(id.name.as_bytes().first())
}

/// Namespaces, Pods, Services, their slices and policies, by name of the file. JSON is YAML.
pub(super) fn files(state: &State, addresses: &Addresses) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for (name, labels) in &state.namespaces {
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
        });
        files.insert(format!("namespace-{name}.yaml"), object.to_string());
    }
    for id in state.pods.keys() {
        let name = format!("{}-{}", id.namespace, id.name);
        files.insert(format!("pod-{name}.yaml"), pod(id, state).to_string());
        files.insert(format!("service-{name}.yaml"), service(id).to_string());
        for address in addresses.get(id).into_iter().flatten() {
            let object = slice(id, *address);
            let family = object["addressType"].as_str().unwrap_or_default();
            files.insert(format!("slice-{name}-{family}.yaml"), object.to_string());
        }
    }
    for ((namespace, name), policy) in &state.policies {
        let mut object = serde_json::to_value(policy)?;
        object["apiVersion"] = json!("networking.k8s.io/v1");
        object["kind"] = json!("NetworkPolicy");
        files.insert(
            format!("policy-{namespace}-{name}.yaml"),
            object.to_string(),
        );
    }
    for (name, written) in &state.cluster_policies {
        let mut object = written.clone();
        object["apiVersion"] = json!("policy.networking.k8s.io/v1alpha2");
        object["kind"] = json!("ClusterNetworkPolicy");
        files.insert(format!("cluster-policy-{name}.yaml"), object.to_string());
    }
    Ok(files)
}

fn pod(id: &PodId, state: &State) -> Value {
    let ports = PROTOCOLS.iter().flat_map(|protocol| {
        PORTS.map(|port| {
            let name = port_name(protocol, port);
            json!({"name": name, "protocol": protocol, "containerPort": port})
        })
    });
    let ports: Vec<Value> = ports.collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": id.namespace, "name": id.name, "uid": uid(id), "labels": state.pods.get(id),
        },
        "spec": {
            "nodeName": format!("node-{}", home(id)),
            "containers": [{"name": "serve", "ports": ports}],
        },
    })
}

fn service_ports() -> Vec<Value> {
    let ports = PROTOCOLS.iter().flat_map(|protocol| {
        PORTS.map(
            |port| json!({"name": port_name(protocol, port), "protocol": protocol, "port": port}),
        )
    });
    ports.collect()
}

/// The Service of one Pod. It selects by no label: the labels belong to the cases.
fn service(id: &PodId) -> Value {
    let of_family = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let addresses = of_family.map(|like| service_address(id, like));
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": id.namespace, "name": format!("s-{}", id.name)},
        "spec": {"clusterIPs": addresses, "ports": service_ports()},
    })
}

fn slice(id: &PodId, address: IpAddr) -> Value {
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "namespace": id.namespace, "name": format!("s-{}-{}", id.name, family.to_lowercase()),
            "labels": {"kubernetes.io/service-name": format!("s-{}", id.name)},
        },
        "addressType": family,
        "ports": service_ports(),
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
    })
}

/// A Service without address: nothing follows from it.
pub(super) fn mark(number: usize) -> String {
    let object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "x", "name": format!("mark-{number}")},
        "spec": {"clusterIP": "None", "ports": [{"port": 1}]},
    });
    format!("{object}\n")
}

/// The Node objects of a bed, in one file.
pub(super) fn nodes(bed: &Testbed) -> String {
    let nodes = bed.nodes().iter().zip(1..).map(|(node, index)| {
        let address = |address: IpAddr| json!({"type": "InternalIP", "address": address});
        let object = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": node.name(), "labels": node_labels(&node.name())},
            "spec": {"podCIDRs": [format!("10.10.{index}.0/24"), format!("fd00:10:{index}::/64")]},
            "status": {
                "addresses": [address(node.underlay().into()), address(node.underlay6().into())],
            },
        });
        format!("{object}\n")
    });
    nodes.collect::<Vec<_>>().join("---\n")
}
