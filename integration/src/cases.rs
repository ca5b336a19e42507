// SPDX-License-Identifier: Apache-2.0
//! Policy cases by feature: steps that change a cluster, and a full truth table after each.
//!
//! What is right to see comes from the naive reading of the API (`reference`), never from the
//! compiler. What is seen comes from real packets between nine Pods on two nodes in IPv4 and IPv6, to
//! every address of every Pod and node, and through a Service of every Pod.

pub mod ask;
pub mod bed;
pub mod cluster_draft;
pub mod cluster_features;
pub mod clusters;
pub mod draft;
pub mod features;
mod objects;
pub mod report;

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use reference::{Host, Labels, Outcome, Party, Rules};
use serde_json::Value;

use crate::PodId;

/// Namespaces of the bed.
pub const NAMESPACES: [&str; 3] = ["x", "y", "z"];
/// Names of its Pods, in each namespace.
pub const PODS: [&str; 3] = ["a", "b", "c"];
/// Ports that every Pod serves, in every protocol.
pub const PORTS: [u16; 2] = [80, 81];
/// Protocols that every Pod serves.
pub const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// What stands for the namespace in the id of a node: `node/node-1`.
pub const NODE: &str = "node";

/// Addresses of Pods and nodes, of each family one.
pub type Addresses = BTreeMap<PodId, Vec<IpAddr>>;

/// One end of a connection, and its address.
pub type End<'a> = (&'a PodId, IpAddr);

/// One change of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A policy is as given.
    Apply(Box<NetworkPolicy>),
    /// A policy is gone: its namespace and name.
    Delete(String, String),
    /// A `ClusterNetworkPolicy` is as written.
    ApplyCluster(Box<Value>),
    /// A `ClusterNetworkPolicy` is gone: its name.
    DeleteCluster(String),
    /// A Pod has these labels.
    LabelPod(PodId, Labels),
    /// A namespace has these labels.
    LabelNamespace(String, Labels),
    /// A Pod comes, with these labels.
    CreatePod(PodId, Labels),
    /// A Pod goes.
    DeletePod(PodId),
}

/// Changes, each list followed by a truth table.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Word for what it is about.
    pub feature: &'static str,
    /// What it is, in words.
    pub name: String,
    /// The changes.
    pub steps: Vec<Vec<Step>>,
}

/// What the cluster is meant to be.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Labels of namespaces.
    pub namespaces: BTreeMap<String, Labels>,
    /// Labels of Pods.
    pub pods: BTreeMap<PodId, Labels>,
    /// Policies by namespace and name.
    pub policies: BTreeMap<(String, String), NetworkPolicy>,
    /// Every `ClusterNetworkPolicy` as written, by name.
    pub cluster_policies: BTreeMap<String, Value>,
}

impl State {
    /// Nothing.
    pub fn empty() -> Self {
        Self {
            namespaces: BTreeMap::new(),
            pods: BTreeMap::new(),
            policies: BTreeMap::new(),
            cluster_policies: BTreeMap::new(),
        }
    }

    /// Nine Pods, no policy: what every case begins with.
    pub fn first() -> Self {
        let namespace = |name: &&str| (String::from(*name), labels(&[("ns", name)]));
        let pods = NAMESPACES.iter().flat_map(|namespace| {
            PODS.iter()
                .map(|name| (PodId::new(namespace, name), labels(&[("pod", name)])))
        });
        Self {
            namespaces: NAMESPACES.iter().map(namespace).collect(),
            pods: pods.collect(),
            ..Self::empty()
        }
    }

    /// Carries out one change.
    pub fn change(&mut self, step: &Step) {
        match step {
            Step::Apply(policy) => {
                let name = |name: &Option<String>| name.clone().unwrap_or_default();
                let key = (
                    name(&policy.metadata.namespace),
                    name(&policy.metadata.name),
                );
                self.policies.insert(key, (**policy).clone());
            }
            Step::Delete(namespace, name) => {
                self.policies.remove(&(namespace.clone(), name.clone()));
            }
            Step::ApplyCluster(policy) => {
                let name = policy["metadata"]["name"].as_str().unwrap_or_default();
                self.cluster_policies
                    .insert(name.to_owned(), (**policy).clone());
            }
            Step::DeleteCluster(name) => {
                self.cluster_policies.remove(name);
            }
            Step::LabelPod(pod, labels) | Step::CreatePod(pod, labels) => {
                self.pods.insert(pod.clone(), labels.clone());
            }
            Step::LabelNamespace(namespace, labels) => {
                self.namespaces.insert(namespace.clone(), labels.clone());
            }
            Step::DeletePod(pod) => {
                self.pods.remove(pod);
            }
        }
    }

    /// Whether the API allows the connection. A Pod's packets to itself never leave it.
    pub fn judge(
        &self,
        addresses: &Addresses,
        (from, to): (End<'_>, End<'_>),
        protocol: &str,
        port: u16,
    ) -> Outcome {
        if from.0 == to.0 {
            return Outcome::Passes;
        }
        let (Some(from), Some(to)) = (self.party(from), self.party(to)) else {
            return Outcome::Dropped;
        };
        let policies: Vec<NetworkPolicy> = self.policies.values().cloned().collect();
        let cluster_policies: Vec<Value> = self.cluster_policies.values().cloned().collect();
        let rules = Rules {
            policies: &policies,
            cluster_policies: &cluster_policies,
            hosts: &hosts(addresses),
        };
        reference::judge(rules, &from, &to, protocol, port)
    }

    fn party(&self, (id, address): End<'_>) -> Option<Party> {
        if id.namespace == NODE {
            return Some(Party {
                namespace: String::new(),
                namespace_labels: Labels::new(),
                labels: Labels::new(),
                address,
                named_ports: Vec::new(),
            });
        }
        let mut namespace_labels = self.namespaces.get(&id.namespace)?.clone();
        namespace_labels.insert(
            "kubernetes.io/metadata.name".to_owned(),
            id.namespace.clone(),
        );
        let named = PROTOCOLS
            .iter()
            .flat_map(|protocol| PORTS.map(|port| (port_name(protocol, port), *protocol, port)));
        Some(Party {
            namespace: id.namespace.clone(),
            namespace_labels,
            labels: self.pods.get(id)?.clone(),
            address,
            named_ports: named.collect(),
        })
    }
}

/// The nodes as the API sees them.
fn hosts(addresses: &Addresses) -> Vec<Host> {
    let nodes = addresses.iter().filter(|(id, _)| id.namespace == NODE);
    let host = |(id, addresses): (&PodId, &Vec<IpAddr>)| Host {
        labels: node_labels(&id.name),
        addresses: addresses.clone(),
    };
    nodes.map(host).collect()
}

/// Labels of a node.
fn node_labels(name: &str) -> Labels {
    labels(&[("kubernetes.io/hostname", name)])
}

/// Name of a port that every Pod serves.
pub fn port_name(protocol: &str, port: u16) -> String {
    format!("serve-{port}-{}", protocol.to_lowercase())
}

/// Labels of pairs.
pub fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}
