// SPDX-License-Identifier: Apache-2.0
//! Policy cases by feature: steps that change a cluster, and a full truth table after each.
//!
//! What is right to see comes from the naive reading of the API (`reference`), never from the
//! compiler. What is seen comes from real packets between nine Pods on two nodes, to every Pod's
//! address and through a Service of every Pod.

pub mod ask;
pub mod bed;
pub mod draft;
pub mod features;
pub mod report;

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use reference::{Labels, Party};

use crate::PodId;

/// Namespaces of the bed.
pub const NAMESPACES: [&str; 3] = ["x", "y", "z"];
/// Names of its Pods, in each namespace.
pub const PODS: [&str; 3] = ["a", "b", "c"];
/// Ports that every Pod serves, in every protocol.
pub const PORTS: [u16; 2] = [80, 81];
/// Protocols that every Pod serves.
pub const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Addresses of Pods.
pub type Addresses = BTreeMap<PodId, IpAddr>;

/// One change of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A policy is as given.
    Apply(Box<NetworkPolicy>),
    /// A policy is gone: its namespace and name.
    Delete(String, String),
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
}

impl State {
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
            policies: BTreeMap::new(),
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
    pub fn allows(
        &self,
        addresses: &Addresses,
        (from, to): (&PodId, &PodId),
        protocol: &str,
        port: u16,
    ) -> bool {
        if from == to {
            return true;
        }
        let (Some(from), Some(to)) = (self.party(addresses, from), self.party(addresses, to))
        else {
            return false;
        };
        let policies: Vec<NetworkPolicy> = self.policies.values().cloned().collect();
        reference::allows(&policies, &from, &to, protocol, port)
    }

    fn party(&self, addresses: &Addresses, pod: &PodId) -> Option<Party> {
        let mut namespace_labels = self.namespaces.get(&pod.namespace)?.clone();
        namespace_labels.insert(
            "kubernetes.io/metadata.name".to_owned(),
            pod.namespace.clone(),
        );
        let named = PROTOCOLS
            .iter()
            .flat_map(|protocol| PORTS.map(|port| (port_name(protocol, port), *protocol, port)));
        Some(Party {
            namespace: pod.namespace.clone(),
            namespace_labels,
            labels: self.pods.get(pod)?.clone(),
            address: *addresses.get(pod)?,
            named_ports: named.collect(),
        })
    }
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
