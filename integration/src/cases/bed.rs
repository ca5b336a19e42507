// SPDX-License-Identifier: Apache-2.0
//! Nine Pods on two nodes, used for all cases: the manifests follow a case's steps.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::ask::{Answers, Asker, Question};
use super::{Addresses, NAMESPACES, PODS, PORTS, PROTOCOLS, State, port_name};
use crate::pod::Sandbox;
use crate::{Cluster, Netns, Node, Pod, PodId, Testbed, wait};

/// Longest time that anything awaited here may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
/// File of objects that mean nothing, whose number says which state was read.
const MARKS: &str = "marks.yaml";

/// The bed, and the state that it is in.
pub struct Bed {
    cluster: Cluster,
    asker: Asker,
    pods: BTreeMap<PodId, Pod>,
    /// What the manifests say, by file.
    files: BTreeMap<String, String>,
    /// Objects in them, without those of [`MARKS`].
    objects: usize,
    marks: usize,
    state: State,
    /// Tables so far.
    tables: usize,
}

/// An answer that was not right at first.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// What was asked.
    pub question: Question,
    /// Who answered.
    pub seen: Option<String>,
}

impl Bed {
    /// Builds it: two nodes, the controller, nine Pods.
    pub fn start(name: &str) -> Result<Self> {
        let bed = Arc::new(Testbed::new(name, 2)?);
        let cluster = Cluster::prepare(&bed)?;
        cluster.put_manifest("nodes.yaml", &nodes(&bed))?;
        let mut made = Self {
            cluster,
            asker: Asker::new()?,
            pods: BTreeMap::new(),
            files: BTreeMap::new(),
            objects: 2,
            marks: 0,
            tables: 0,
            state: State {
                namespaces: BTreeMap::new(),
                pods: BTreeMap::new(),
                policies: BTreeMap::new(),
            },
        };
        let first = State::first();
        made.write(&first)?;
        made.cluster.start_all()?;
        made.settle()?;
        made.go(first)?;
        Ok(made)
    }

    /// The testbed below.
    pub fn testbed(&self) -> &Arc<Testbed> {
        self.cluster.bed()
    }

    /// Addresses of the Pods that are there.
    pub fn addresses(&self) -> Addresses {
        let pods = self.pods.iter();
        pods.map(|(id, pod)| (id.clone(), pod.address)).collect()
    }

    /// Brings the cluster to `state`; answers when every switch has acknowledged it.
    pub fn go(&mut self, state: State) -> Result<()> {
        let gone: Vec<PodId> = self
            .pods
            .keys()
            .filter(|id| !state.pods.contains_key(id))
            .cloned()
            .collect();
        for id in gone {
            self.asker.forget(&id);
            if let Some(pod) = self.pods.remove(&id) {
                let node = self.cluster.bed().node(home(&id))?;
                pod.remove(node)?;
            }
        }
        self.write(&state)?;
        self.settle()?;
        let born: Vec<&PodId> = state
            .pods
            .keys()
            .filter(|id| !self.pods.contains_key(id))
            .collect();
        for id in &born {
            let pod = self.wire(id)?;
            self.pods.insert((*id).clone(), pod);
        }
        if !born.is_empty() {
            // Their addresses are known now, and belong behind their Services.
            self.write(&state)?;
            self.settle()?;
        }
        self.state = state;
        Ok(())
    }

    /// Every question of the truth table: to Pods' addresses, and through their Services.
    ///
    /// Conntrack of OVS's userspace datapath (3.1) knows SCTP connections by their addresses and not by
    /// their ports: what is sent from B to A answers any connection from A to B, and one by a Service
    /// collides with a direct one. So SCTP is asked one way in each table, the other way in the next,
    /// and to Pods' addresses only.
    pub fn questions(&self) -> Vec<Question> {
        let upwards = self.tables.is_multiple_of(2);
        let addresses = self.addresses();
        let mut questions = Vec::new();
        for from in addresses.keys() {
            for (to, address) in &addresses {
                for protocol in PROTOCOLS {
                    let sctp = protocol == "SCTP";
                    if sctp && from != to && (from < to) != upwards {
                        continue;
                    }
                    for port in PORTS {
                        let question = |by_service, address| Question {
                            from: from.clone(),
                            to: to.clone(),
                            by_service,
                            address,
                            protocol,
                            port,
                            expected: self.state.allows(&addresses, (from, to), protocol, port),
                        };
                        questions.push(question(false, *address));
                        // Whether a Pod reaches itself through a Service is not said by v1.
                        if from != to && !sctp {
                            questions.push(question(true, service_address(to)));
                        }
                    }
                }
            }
        }
        questions
    }

    /// Asks; who answered each.
    pub fn ask(&mut self, questions: &[Question]) -> Result<Answers> {
        let pods: BTreeMap<PodId, Netns> = self
            .pods
            .iter()
            .map(|(id, pod)| (id.clone(), pod.netns().clone()))
            .collect();
        self.asker.ask(&pods, questions)
    }

    /// Asks all questions of the table; those that were answered wrong.
    pub fn judge(&mut self, questions: &[Question]) -> Result<Vec<Wrong>> {
        let answers = self.ask(questions)?;
        let wrong = questions.iter().zip(answers).filter(|(question, seen)| {
            let wanted = question.expected.then(|| question.to.to_string());
            *seen != wanted
        });
        let wrong = wrong.map(|(question, seen)| Wrong {
            question: question.clone(),
            seen,
        });
        Ok(wrong.collect())
    }

    fn wire(&mut self, id: &PodId) -> Result<Pod> {
        let bed = Arc::clone(self.cluster.bed());
        let sandbox = Sandbox::create(&bed, id.clone(), &uid(id))?;
        self.asker.serve(&sandbox.netns, id, &PORTS)?;
        sandbox.wire(bed.node(home(id))?)
    }

    /// Writes the manifests that are different, then another number of marks.
    fn write(&mut self, state: &State) -> Result<()> {
        let files = files(state, &self.addresses())?;
        for name in self.files.keys().filter(|name| !files.contains_key(*name)) {
            self.cluster.remove_manifest(name)?;
        }
        for (name, text) in &files {
            if self.files.get(name) != Some(text) {
                self.cluster.put_manifest(name, text)?;
            }
        }
        let before = self.objects + self.marks;
        self.objects = 2 + files.len();
        self.files = files;
        // The number of objects is another than before, and than with the former marks.
        let fits = |marks: &usize| *marks != self.marks && self.objects + marks != before;
        self.marks = (1..=3).find(fits).unwrap_or(4);
        let marks: Vec<String> = (0..self.marks).map(mark).collect();
        self.cluster.put_manifest(MARKS, &marks.join("---\n"))
    }

    /// Forgets all connections, so that every question of the next table is about a new one.
    pub fn next_table(&mut self) -> Result<()> {
        self.tables += 1;
        let mut nodes = self.cluster.bed().nodes().iter();
        nodes.try_for_each(|node| node.ovs().appctl("dpctl/flush-conntrack").map(drop))
    }

    /// Takes everything out of the datapaths' caches.
    pub fn empty_caches(&self) -> Result<()> {
        let mut nodes = self.cluster.bed().nodes().iter();
        nodes.try_for_each(|node| node.ovs().appctl("revalidator/purge").map(drop))
    }

    /// Waits until the controller has read what was written and every switch has acknowledged it, and
    /// until the switches' caches say the same.
    fn settle(&self) -> Result<()> {
        let wanted = self.objects + self.marks;
        wait::until_true("the controller to program the manifests", LIMIT, || {
            let status = get(&self.cluster, "/v1/status")?;
            let rollout = &status["rollout"];
            Ok(status["source"]["objects"] == wanted
                && rollout["phase"] == "idle"
                && rollout["pending_changes"] == 0)
        })
        .with_context(|| format!("{}", get(&self.cluster, "/v1/status").unwrap_or_default()))?;
        let wait = |node: &Node| node.ovs().appctl("revalidator/wait").map(drop);
        std::thread::scope(|scope| {
            let nodes = self.cluster.bed().nodes().iter();
            let waiting: Vec<_> = nodes.map(|node| scope.spawn(|| wait(node))).collect();
            let mut done = waiting.into_iter().map(|waiting| waiting.join());
            done.try_for_each(|done| {
                done.unwrap_or_else(|_| bail!("waiting for a switch panicked"))
            })
        })
    }
}

/// The node that a Pod is on, counted from 1: Pods of each namespace are on both.
fn home(id: &PodId) -> usize {
    let number = |list: &[&str], word: &str| list.iter().position(|one| *one == word).unwrap_or(0);
    1 + (number(&NAMESPACES, &id.namespace) + number(&PODS, &id.name)) % 2
}

fn number(id: &PodId) -> u8 {
    let at = |byte: Option<&u8>| byte.copied().unwrap_or(0) % 16;
    at(id.namespace.as_bytes().first()) * 16 + at(id.name.as_bytes().first())
}

fn uid(id: &PodId) -> String {
    format!("00000000-0000-4000-8000-0000000000{:02x}", number(id))
}

fn service_address(id: &PodId) -> IpAddr {
    Ipv4Addr::new(10, 96, 0, number(id)).into()
}

/// One object in each, by name of the file. JSON is YAML.
fn files(state: &State, addresses: &Addresses) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for (name, labels) in &state.namespaces {
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
        });
        files.insert(format!("namespace-{name}.yaml"), object.to_string());
    }
    let pods: BTreeSet<&PodId> = state.pods.keys().collect();
    for id in pods {
        let name = format!("{}-{}", id.namespace, id.name);
        files.insert(format!("pod-{name}.yaml"), pod(id, state).to_string());
        files.insert(format!("service-{name}.yaml"), service(id).to_string());
        if let Some(address) = addresses.get(id) {
            let object = slice(id, *address).to_string();
            files.insert(format!("slice-{name}.yaml"), object);
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
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": id.namespace, "name": format!("s-{}", id.name)},
        "spec": {"clusterIP": service_address(id), "ports": service_ports()},
    })
}

fn slice(id: &PodId, address: IpAddr) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "namespace": id.namespace, "name": format!("s-{}", id.name),
            "labels": {"kubernetes.io/service-name": format!("s-{}", id.name)},
        },
        "addressType": "IPv4",
        "ports": service_ports(),
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
    })
}

/// A Service without address: nothing follows from it.
fn mark(number: usize) -> String {
    let object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "x", "name": format!("mark-{number}")},
        "spec": {"clusterIP": "None", "ports": [{"port": 1}]},
    });
    format!("{object}\n")
}

fn nodes(bed: &Testbed) -> String {
    let nodes = bed.nodes().iter().zip(1..).map(|(node, index)| {
        let object = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": node.name()},
            "spec": {"podCIDR": format!("10.10.{index}.0/24")},
            "status": {"addresses": [{"type": "InternalIP", "address": node.underlay()}]},
        });
        format!("{object}\n")
    });
    nodes.collect::<Vec<_>>().join("---\n")
}

/// Asks the controller's API.
fn get(cluster: &Cluster, path: &str) -> Result<Value> {
    let mut stream = UnixStream::connect(cluster.api_socket())?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: culvert\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer
        .split_once("\r\n\r\n")
        .context("the API's answer has no body")?;
    serde_json::from_str(body).with_context(|| format!("the API's answer is not JSON: {body}"))
}
