// SPDX-License-Identifier: Apache-2.0
//! Nine Pods on two nodes, used for all cases: the manifests follow a case's steps.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reference::Outcome;
use serde_json::Value;

use super::ask::{Answers, Asker, Question};
use super::objects::{files, home, mark, nodes, service_address, uid};
use super::{Addresses, NODE, PORTS, PROTOCOLS, State};
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
    /// Whether policies are left out of the manifests.
    without_policies: bool,
    /// What the manifests say, by file.
    files: BTreeMap<String, String>,
    /// Objects in them, without those of [`MARKS`].
    objects: usize,
    marks: usize,
    state: State,
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
            without_policies: false,
            files: BTreeMap::new(),
            objects: 2,
            marks: 0,
            state: State::empty(),
        };
        for node in bed.nodes() {
            made.asker.serve(node.netns(), &node_id(node), &PORTS)?;
        }
        let first = State::first();
        made.write(&first)?;
        made.cluster.start_all()?;
        made.settle()?;
        made.go(first)?;
        Ok(made)
    }

    /// From now on leaves every policy out, to see whether anybody notices.
    pub fn leave_policies_out(&mut self) {
        self.without_policies = true;
    }

    /// The testbed below.
    pub fn testbed(&self) -> &Arc<Testbed> {
        self.cluster.bed()
    }

    /// Addresses of the Pods that are there, and of the nodes.
    pub fn addresses(&self) -> Addresses {
        let pods = self.pods.iter();
        let pods = pods.map(|(id, pod)| (id.clone(), pod.addresses.clone()));
        let nodes = self.cluster.bed().nodes().iter();
        let nodes = nodes.map(|node| {
            let addresses = vec![node.underlay().into(), node.underlay6().into()];
            (node_id(node), addresses)
        });
        pods.chain(nodes).collect()
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

    /// Every question of the truth table, in rounds: from every address of a Pod to those of Pods and
    /// nodes and through the Pods' Services.
    ///
    /// Conntrack of OVS's userspace datapath (3.1) knows SCTP connections by their addresses and not by
    /// their ports: what is sent from B to A answers any connection from A to B, and one by a Service
    /// collides with a direct one. So SCTP is asked in four rounds, which know nothing of each other.
    /// The rest is asked in the first two, a family in each.
    pub fn rounds(&self) -> [Vec<Question>; 4] {
        let addresses = self.addresses();
        let mut rounds: [Vec<Question>; 4] = Default::default();
        for (from, to) in self
            .pods
            .keys()
            .flat_map(|from| addresses.keys().map(move |to| (from, to)))
        {
            for (src, dst) in pairs(&addresses, from, to) {
                for (protocol, port) in PROTOCOLS
                    .into_iter()
                    .flat_map(|protocol| PORTS.map(|port| (protocol, port)))
                {
                    let ends = ((from, src), (to, dst));
                    let expected = match self.state.judge(&addresses, ends, protocol, port) {
                        Outcome::Passes => true,
                        Outcome::Dropped => false,
                        // The API leaves it open.
                        Outcome::Either => continue,
                    };
                    let question = |by_service, address| Question {
                        from: from.clone(),
                        to: to.clone(),
                        by_service,
                        address,
                        protocol,
                        port,
                        expected,
                    };
                    let [first, other_way, by_service, other_by_service] = &mut rounds;
                    let mut add = |question: Question| match (protocol, question.by_service) {
                        ("SCTP", false) if from > to => other_way.push(question),
                        ("SCTP", true) if from > to => other_by_service.push(question),
                        ("SCTP", true) => by_service.push(question),
                        ("TCP" | "UDP", _) if dst.is_ipv6() => other_way.push(question),
                        _ => first.push(question),
                    };
                    add(question(false, dst));
                    // Whether a Pod reaches itself through a Service is not said by v1.
                    if from != to && to.namespace != NODE {
                        add(question(true, service_address(to, dst)));
                    }
                }
            }
        }
        rounds
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
        let mut written = state.clone();
        if self.without_policies {
            written.policies.clear();
            written.cluster_policies.clear();
        }
        let files = files(&written, &self.addresses())?;
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

    /// Forgets all connections, so that every question of the next round is about a new one.
    pub fn forget_connections(&self) -> Result<()> {
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

/// Addresses of `from` and `to` that are of one family.
fn pairs(
    addresses: &Addresses,
    from: &PodId,
    to: &PodId,
) -> impl Iterator<Item = (IpAddr, IpAddr)> {
    let of = |id| addresses.get(id).into_iter().flatten().copied();
    let own: Vec<IpAddr> = of(from).collect();
    of(to).filter_map(move |dst| {
        let src = own.iter().find(|src| src.is_ipv4() == dst.is_ipv4());
        Some((*src?, dst))
    })
}

fn node_id(node: &Node) -> PodId {
    PodId::new(NODE, &node.name())
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
