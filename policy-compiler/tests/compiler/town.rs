// SPDX-License-Identifier: Apache-2.0
//! A small cluster written as YAML, and who reaches whom in it.

use std::net::IpAddr;

use flow_sim::Packet;
use policy_compiler::model::Family;
use policy_compiler::pipeline::GATEWAY_MAC;
use policy_compiler::{Attachment, Change, Compiler, Config, Object};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_yaml_ng::Value;

use crate::gateway::from_kernel;
use crate::packets::{Net, mac};
use crate::world::{self, Labels, PodSpecimen};

/// Three namespaces and five Pods. The number of the port `http` is not the same everywhere.
const TOWN: &str = "\
kind: Namespace
metadata: {name: x, labels: {team: a}}
---
kind: Namespace
metadata: {name: y, labels: {team: b}}
---
kind: Namespace
metadata: {name: z}
---
kind: Pod
metadata: {namespace: x, name: web, labels: {app: web}}
spec: {nodeName: node-1, containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
---
kind: Pod
metadata: {namespace: x, name: friend, labels: {app: client}}
spec: {nodeName: node-1, containers: [{name: c}]}
---
kind: Pod
metadata: {namespace: y, name: far, labels: {app: client}}
spec: {nodeName: node-2, containers: [{name: c}]}
---
kind: Pod
metadata: {namespace: y, name: db, labels: {app: db}}
spec: {nodeName: node-2, containers: [{name: c, ports: [{name: http, containerPort: 80}]}]}
---
kind: Pod
metadata: {namespace: z, name: lone, labels: {app: client}}
spec: {nodeName: node-1, containers: [{name: c}]}
";

/// Name, namespace, number and node of every Pod.
const PODS: [(&str, usize, u8, usize); 5] = [
    ("web", 0, 1, 0),    // 10.10.1.3
    ("friend", 0, 2, 0), // 10.10.1.4
    ("far", 1, 1, 1),    // 10.10.2.19
    ("db", 1, 2, 1),     // 10.10.2.20
    ("lone", 2, 1, 0),   // 10.10.1.35
];

/// The cluster and its compiler.
pub(crate) struct Town {
    pub(crate) compiler: Compiler,
    pub(crate) pods: Vec<PodSpecimen>,
}

impl Town {
    /// The Pods, and these objects.
    pub(crate) fn new(objects: &str) -> Self {
        let mut town = Self::unplugged();
        town.plug(true);
        town.apply(objects);
        town
    }

    /// The same while no Pod has a port.
    pub(crate) fn unplugged() -> Self {
        let specimen = |(_, namespace, number, node)| PodSpecimen {
            namespace,
            number,
            node,
            labels: Labels::new(),
            http: None,
            families: world::V4,
        };
        let mut town = Self {
            compiler: Compiler::new(&Config {
                cluster_secret: [9; 32],
            }),
            pods: PODS.map(specimen).to_vec(),
        };
        town.compiler.apply(world::nodes(world::V4, Family::V4));
        town.apply(TOWN);
        town
    }

    /// Plugs the Pods in, admitted or not.
    pub(crate) fn plug(&mut self, ready: bool) {
        let plugged = PODS.map(|(name, ..)| Change::Attach(self.attachment(name, ready)));
        self.compiler.apply(plugged);
    }

    pub(crate) fn attachment(&self, name: &str, ready: bool) -> Attachment {
        Attachment {
            pod_name: name.to_owned(),
            ..self.pod(name).attachment(ready)
        }
    }

    /// Applies objects; none may be refused.
    pub(crate) fn apply(&mut self, objects: &str) {
        let output = self.compiler.apply(changes(objects));
        assert!(output.rejected.is_empty(), "{:?}", output.rejected);
    }

    /// What is wrong with an object.
    pub(crate) fn refusal(&mut self, object: &str) -> String {
        let output = self.compiler.apply(changes(object));
        let [(_, rejected)] = output.rejected.as_slice() else {
            panic!("{object} is not refused: {:?}", output.rejected);
        };
        rejected.to_string()
    }

    /// Switches that have seen no packet yet.
    pub(crate) fn net(&self) -> Net<'_> {
        Net::new(&self.compiler, &self.pods)
    }

    /// Whether the first packet of a connection passes; `service` is like `tcp/80`.
    pub(crate) fn passes(&self, from: &str, to: &str, service: &str) -> bool {
        let packet = packet(self.address(from), self.address(to), service);
        self.carries(&mut self.net(), from, to, packet)
    }

    /// Whether these switches carry a packet from one to the other. What is no Pod is an address: of
    /// a node, or of the world behind the node of the Pod.
    pub(crate) fn carries(&self, net: &mut Net<'_>, from: &str, to: &str, packet: Packet) -> bool {
        let seen = match (index(from), index(to)) {
            (Some(from), Some(to)) => {
                let delivery = net.send(from, packet);
                assert!(delivery.as_ref().is_none_or(|found| found.pod == to));
                return delivery.is_some();
            }
            (Some(_), None) => {
                let pod = self.pod(from);
                let packet = packet
                    .with_eth(mac(pod.mac().0), mac(GATEWAY_MAC.0))
                    .arriving_on(pod.port());
                let seen = net.carry(pod.node, packet);
                seen.map(|(_, output)| (output.port, world::GATEWAY_PORT))
            }
            (None, _) => {
                let pod = self.pod(to);
                let is_of =
                    |node: &usize| world::node_address(*node, Family::V4) == self.address(from);
                let node = (0..world::NODES.len()).find(is_of).unwrap_or(pod.node);
                let seen = from_kernel(net, node, packet);
                seen.map(|(_, output)| (output.port, pod.port()))
            }
        };
        seen.inspect(|(port, right)| assert_eq!(port, right))
            .is_some()
    }

    /// The Pods that reach this one.
    pub(crate) fn clients_of(&self, to: &str, service: &str) -> Vec<&'static str> {
        let others = PODS
            .iter()
            .map(|(name, ..)| *name)
            .filter(|from| *from != to);
        others
            .filter(|from| self.passes(from, to, service))
            .collect()
    }

    /// The Pods that this one reaches.
    pub(crate) fn servers_of(&self, from: &str, service: &str) -> Vec<&'static str> {
        let others = PODS.iter().map(|(name, ..)| *name).filter(|to| *to != from);
        others.filter(|to| self.passes(from, to, service)).collect()
    }

    pub(crate) fn address(&self, who: &str) -> IpAddr {
        match index(who) {
            Some(pod) => self.pods[pod].address(Family::V4).expect("it has one"),
            None => who.parse().expect("an address or a Pod"),
        }
    }

    fn pod(&self, name: &str) -> &PodSpecimen {
        &self.pods[index(name).expect("a Pod")]
    }
}

/// Where a Pod is in the list.
pub(crate) fn index(name: &str) -> Option<usize> {
    PODS.iter().position(|(pod, ..)| *pod == name)
}

/// The first packet of a connection.
pub(crate) fn packet(from: IpAddr, to: IpAddr, service: &str) -> Packet {
    let (protocol, port) = service.split_once('/').expect("PROTOCOL/PORT");
    let (from, to) = ((from, 40_000), (to, port.parse().expect("a port")));
    match protocol {
        "tcp" => Packet::tcp(from, to),
        "udp" => Packet::udp(from, to),
        "sctp" => Packet::sctp(from, to),
        other => panic!("no packet of protocol {other}"),
    }
}

fn changes(objects: &str) -> Vec<Change> {
    let documents = serde_yaml_ng::Deserializer::from_str(objects);
    let changes = documents.map(|document| {
        let value = Value::deserialize(document).expect("YAML");
        Change::Apply(object(value))
    });
    changes.collect()
}

fn object(value: Value) -> Object {
    fn read<T: DeserializeOwned>(value: Value) -> Box<T> {
        Box::new(serde_yaml_ng::from_value(value).expect("an object of its kind"))
    }
    match value["kind"].as_str().expect("a kind") {
        "Namespace" => Object::Namespace(read(value)),
        "Pod" => Object::Pod(read(value)),
        "Service" => Object::Service(read(value)),
        "NetworkPolicy" => Object::NetworkPolicy(read(value)),
        "ClusterNetworkPolicy" => Object::ClusterNetworkPolicy(read(value)),
        other => panic!("no {other} here"),
    }
}
