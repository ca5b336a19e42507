// SPDX-License-Identifier: Apache-2.0
//! A controller with its manifests.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use api_types::{Flows, NodeState, Nodes, PodState, Pods};
use tempfile::TempDir;

use crate::process::{Process, fetch, get, until};

/// Where nodes dial.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) openflow: u16,
    pub(crate) ovsdb: u16,
}

/// A controller, its manifests and its API.
pub(crate) struct Cluster {
    dir: TempDir,
    pub(crate) ports: Ports,
    /// Options of the controller beside those that every test gives.
    options: Vec<String>,
    controller: Option<Process>,
}

/// Two nodes and a Pod on each.
const NODES: &str = "
apiVersion: v1
kind: Node
metadata: {name: node-1}
spec: {podCIDR: 10.10.1.0/24}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
---
apiVersion: v1
kind: Node
metadata: {name: node-2}
spec: {podCIDR: 10.10.2.0/24}
status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node-1, containers: []}
---
apiVersion: v1
kind: Pod
metadata: {name: web-2, namespace: shop, labels: {app: web}}
spec: {nodeName: node-1, containers: []}
";

pub(crate) const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]
";

impl Cluster {
    /// A controller that has read its manifests.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more options.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("culvert-")
            .tempdir()
            .unwrap();
        fs::create_dir(dir.path().join("manifests")).unwrap();
        let mut cluster = Self {
            dir,
            ports: free_ports(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            controller: None,
        };
        cluster.write("nodes.yaml", NODES);
        cluster.write("policy.yaml", POLICY);
        cluster.start_controller();
        cluster
    }

    pub(crate) fn start_controller(&mut self) {
        self.start_controller_unready();
        until("the controller has read its manifests", || {
            let (status, _) = get(&self.socket(), "/readyz")?;
            (status == 200).then_some(())
        });
    }

    /// Starts it over manifests that it may not be able to read.
    pub(crate) fn start_controller_unready(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_culvert-controller"));
        command.arg(format!(
            "--source=dir:{}",
            self.dir.path().join("manifests").display()
        ));
        command.arg(format!(
            "--openflow-listen=127.0.0.1:{}",
            self.ports.openflow
        ));
        command.arg(format!("--ovsdb-listen=127.0.0.1:{}", self.ports.ovsdb));
        command.arg(format!("--api=unix:{}", self.socket().display()));
        command.args(&self.options);
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("log"));
        command.stdin(Stdio::null()).stderr(log.unwrap());
        self.controller = Some(Process::start(&mut command));
    }

    /// As `kill -9`.
    pub(crate) fn kill_controller(&mut self) {
        self.controller = None;
    }

    /// As `kill`; the exit code.
    pub(crate) fn terminate_controller(&mut self) -> Option<i32> {
        self.controller.take().unwrap().terminate()
    }

    /// Writes a manifest in place.
    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.dir.path().join("manifests").join(file), text).unwrap();
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("api.sock")
    }

    pub(crate) fn fetch<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        fetch(&self.socket(), path)
    }

    pub(crate) fn node(&self, name: &str) -> api_types::Node {
        let nodes: Nodes = self.fetch("/v1/nodes");
        nodes
            .nodes
            .into_iter()
            .find(|node| node.name == name)
            .unwrap()
    }

    /// Waits until the switch of a node holds what it should.
    pub(crate) fn await_programmed(&self, name: &str) -> api_types::Node {
        until("the node is programmed", || {
            let node = self.node(name);
            (node.state == NodeState::Programmed).then_some(node)
        })
    }

    /// Waits until the Pod of an Interface has come this far; why it is there.
    pub(crate) fn await_pod(&self, interface: &str, state: PodState) -> String {
        until("the Pod's state", || {
            let pods: Pods = self.fetch("/v1/pods");
            let pod = pods
                .pods
                .into_iter()
                .find(|pod| pod.interface == interface)?;
            (pod.state == state).then_some(pod.reason.unwrap_or_default())
        })
    }

    /// Cookies of the flows that exist because of a Pod.
    pub(crate) fn cookies_of(&self, pod: &str) -> Vec<u64> {
        let flows: Flows = self.fetch(&format!("/v1/flows?pod={pod}"));
        let cookies = flows
            .flows
            .iter()
            .map(|flow| flow.cookie.trim_start_matches("0x").to_owned());
        cookies
            .map(|digits| u64::from_str_radix(&digits, 16).unwrap())
            .collect()
    }

    /// A counter or gauge without labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let (_, text) = get(&self.socket(), "/metrics").unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}"))
            .parse()
            .unwrap()
    }
}

fn free_ports() -> Ports {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [openflow, ovsdb] = listeners.map(|listener| listener.local_addr().unwrap().port());
    Ports { openflow, ovsdb }
}
