// SPDX-License-Identifier: Apache-2.0
//! A cluster under traffic that faults happen to.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api_types::Status;

use super::fault::Fault;
use super::leak::{Attacker, Guard, Leaks};
use super::traffic::{Conversation, Measured};
use crate::pod::Sandbox;
use crate::{Cluster, Node, Pod, PodId, Prober, Testbed, wait};

/// TCP port of every server.
pub(super) const TCP_PORT: u16 = 8080;
/// UDP port of every server.
pub(super) const UDP_PORT: u16 = 5353;

/// Longest time until everything is as before. A connection that could send nothing for 30 s tries
/// again within another 30 s (RFC 6298: the pause doubles).
const LIMIT: Duration = Duration::from_secs(90);

/// Longest gap that a fault need not be the cause of.
const PAUSE: Duration = Duration::from_millis(100);

const NAMESPACE: &str = "chaos";
const CLIENT: &str = "client";
const SERVERS: [&str; 2] = ["near", "far"];
const VAULTS: [&str; 2] = ["vault-1", "vault-2"];
const LATE: &str = "late";
/// Name, node and label `app` of every Pod; the number in a UID is the position.
const PODS: [(&str, usize, &str); 6] = [
    (CLIENT, 1, "client"),
    ("near", 1, "server"),
    ("far", 2, "server"),
    ("vault-1", 1, "vault"),
    ("vault-2", 2, "vault"),
    (LATE, 1, "vault"),
];
/// Nobody reaches a Pod, but the client the servers.
const POLICIES: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: chaos, name: default-deny}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: chaos, name: servers}
spec:
  podSelector: {matchLabels: {app: server}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: client}}}]
      ports: [{protocol: TCP, port: 8080}, {protocol: UDP, port: 5353}]
";

/// Two nodes. A client talks to a server on its own node and to one on the other. Two vaults, one
/// per node, may talk to nobody and try all the time, as does the client towards them.
pub struct Lab {
    cluster: Cluster,
    prober: Prober,
    conversations: [Conversation; 2],
    leaks: Arc<Mutex<Leaks>>,
    /// What each node holds when all is as wanted.
    reference: Vec<Vec<String>>,
    addresses: BTreeSet<Ipv4Addr>,
    _guards: Vec<Guard>,
    _attackers: Vec<Attacker>,
}

/// What a fault cost.
#[derive(Clone, Debug)]
pub struct Row {
    /// The fault in words.
    pub what: String,
    /// The conversation on one node.
    pub near: Measured,
    /// The conversation across nodes.
    pub far: Measured,
    /// From the moment when the fault was undone to the first answered datagram, if answers had
    /// stopped until then.
    pub back: Option<Duration>,
    /// How long CNI ADD of a Pod took that was added during the fault, its repetitions included.
    pub late: Duration,
    /// Packets that must not have arrived.
    pub leaks: usize,
}

impl Lab {
    /// Starts the cluster and all traffic.
    pub fn start(name: &str) -> Result<Self> {
        let bed = Arc::new(Testbed::new(name, 2)?);
        let cluster = Cluster::prepare(&bed)?;
        cluster.put_manifest("objects.yaml", &objects(&bed))?;
        cluster.put_manifest("policies.yaml", POLICIES)?;
        cluster.start_all()?;
        let prober = Prober::new()?;
        let mut pods = Vec::new();
        for (name, _, _) in PODS.iter().filter(|(name, ..)| *name != LATE) {
            let sandbox = sandbox(&bed, name)?;
            prober.serve(&sandbox.netns, &sandbox.id, &[TCP_PORT], &[UDP_PORT])?;
            pods.push(sandbox.wire(node_of(&cluster, name)?)?);
        }
        let pod = |name: &str| {
            let mut pods = pods.iter();
            pods.find(|pod| pod.id().name == name)
                .with_context(|| format!("no Pod {name}"))
        };
        let leaks = Arc::default();
        let client = pod(CLIENT)?;
        let servers = [pod(SERVERS[0])?, pod(SERVERS[1])?];
        let addresses = pods
            .iter()
            .map(Pod::ipv4)
            .collect::<Result<BTreeSet<_>>>()?;
        let server_addresses = [servers[0].ipv4()?, servers[1].ipv4()?];
        let mut guards = Vec::new();
        for pod in &pods {
            let allowed = match pod.id().name.as_str() {
                CLIENT => BTreeSet::from(server_addresses),
                name if SERVERS.contains(&name) => BTreeSet::from([client.ipv4()?]),
                _ => BTreeSet::new(),
            };
            guards.push(Guard::watch(pod.netns(), pod.id(), allowed, &leaks)?);
        }
        let mut attackers = Vec::new();
        for name in [CLIENT, VAULTS[0], VAULTS[1]] {
            let attacker = pod(name)?;
            let mut targets = targets(&addresses);
            targets.remove(&attacker.ipv4()?);
            if name == CLIENT {
                targets.retain(|target| !server_addresses.contains(target));
            }
            let targets = targets.into_iter().collect();
            attackers.push(Attacker::start(attacker.netns(), targets)?);
        }
        let talk = |server: &Pod| Conversation::start(&prober, client.netns(), server.ipv4()?);
        let conversations = [talk(servers[0])?, talk(servers[1])?];
        let reference = dumps(&cluster)?;
        check_wanted(&cluster, &reference)?;
        Ok(Self {
            conversations,
            leaks,
            reference,
            addresses,
            _guards: guards,
            _attackers: attackers,
            cluster,
            prober,
        })
    }

    /// The cluster, to look at it or to do to it what no [`Fault`] does.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Packets so far that must not have arrived, and the first of them in words.
    pub fn leaks(&self) -> (usize, Vec<String>) {
        let leaks = self.leaks.lock().unwrap_or_else(PoisonError::into_inner);
        (leaks.count(), leaks.first().to_vec())
    }

    /// Lets one fault happen to node 1, or to the controller.
    pub fn suffer(&mut self, fault: Fault) -> Result<Row> {
        self.measure(fault.to_string(), |cluster| {
            fault.inflict(cluster, cluster.bed().node(1)?)
        })
    }

    /// Lets something happen, which answers when it began to be undone, while a Pod is added; waits
    /// until all is as before, and answers what it cost.
    pub fn measure(
        &mut self,
        what: String,
        inflict: impl FnOnce(&Cluster) -> Result<Instant>,
    ) -> Result<Row> {
        self.conversations.iter().for_each(Conversation::begin);
        let (leaks_before, _) = self.leaks();
        let (undone, late) = std::thread::scope(|scope| {
            let late = scope.spawn(|| self.add_late());
            let undone = inflict(&self.cluster);
            let late = match late.join() {
                Ok(late) => late,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            (undone, late)
        });
        let (undone, late) = (undone?, late.context("the Pod added meanwhile")?);
        for conversation in &self.conversations {
            conversation.await_flowing(LIMIT)?;
        }
        let took = late.pod.took;
        late.remove(&self.cluster)?;
        let [near, far] = &mut self.conversations;
        let near = near.end(&self.prober, LIMIT)?;
        let far = far.end(&self.prober, LIMIT)?;
        self.cluster.wait_for_nodes()?;
        wait::until_true("every node to hold what is wanted", LIMIT, || {
            let dumps = dumps(&self.cluster)?;
            ensure!(
                dumps == self.reference,
                "{}",
                difference(&self.reference, &dumps)
            );
            Ok(true)
        })?;
        check_wanted(&self.cluster, &self.reference)?;
        let (leaks, _) = self.leaks();
        let back = near
            .resumed
            .and_then(|at| at.checked_duration_since(undone));
        Ok(Row {
            what,
            near,
            far,
            back: back.filter(|back| *back <= near.gap && PAUSE < near.gap),
            late: took,
            leaks: leaks - leaks_before,
        })
    }

    /// Adds a Pod while things go wrong, as kubelet does: again and again until it works. It is
    /// watched from before it has an address, and sends at once.
    fn add_late(&self) -> Result<Late> {
        let begun = Instant::now();
        let bed = self.cluster.bed();
        let sandbox = sandbox(bed, LATE)?;
        let guard = Guard::watch(&sandbox.netns, &sandbox.id, BTreeSet::new(), &self.leaks)?;
        let targets = self.addresses.iter().copied().collect();
        let attacker = Attacker::start(&sandbox.netns, targets)?;
        let node = node_of(&self.cluster, LATE)?;
        let pod = wait::until("CNI ADD", LIMIT, || {
            let attempt = sandbox.clone().wire(node);
            if attempt.is_err() {
                // What is left of the attempt is taken back as far as it goes, as kubelet does.
                drop(sandbox.unwire(node));
            }
            attempt.map(Some)
        });
        let mut pod = pod?;
        pod.took = begun.elapsed();
        Ok(Late {
            pod,
            _attacker: attacker,
            _guard: guard,
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for leak in self.leaks().1 {
            eprintln!("leak: {leak}");
        }
    }
}

/// The Pod that was added during a fault.
struct Late {
    pod: Pod,
    _attacker: Attacker,
    _guard: Guard,
}

impl Late {
    fn remove(self, cluster: &Cluster) -> Result<()> {
        let node = node_of(cluster, LATE)?;
        wait::until_true("CNI DEL", LIMIT, || {
            self.pod.sandbox().unwire(node).map(|()| true)
        })?;
        self.pod.netns().delete()
    }
}

/// Where denied packets are sent: to all Pods, and to addresses that the late Pod may get.
fn targets(addresses: &BTreeSet<Ipv4Addr>) -> BTreeSet<Ipv4Addr> {
    let free = (2..10).map(|host| Ipv4Addr::new(10, 10, 1, host));
    free.chain(addresses.iter().copied()).collect()
}

/// The flows and groups of every node, sorted, without counters.
fn dumps(cluster: &Cluster) -> Result<Vec<Vec<String>>> {
    let nodes = cluster.bed().nodes().iter();
    nodes.map(|node| node.ovs().programmed("br-int")).collect()
}

/// The controller wants as many flows as there are, markers included.
fn check_wanted(cluster: &Cluster, dumps: &[Vec<String>]) -> Result<()> {
    let status: Status = serde_json::from_str(&cluster.culvert(&["-o", "json", "status"])?)?;
    let flows = dumps.iter().flatten();
    let held = flows.filter(|line| line.contains("cookie=")).count();
    let nodes = dumps.len();
    let wanted = status.flows.cluster * nodes + status.flows.node;
    ensure!(
        held == wanted + 2 * nodes,
        "the nodes hold {held} flows; {wanted} are wanted, and 2 markers per node"
    );
    Ok(())
}

fn difference(wanted: &[Vec<String>], held: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (node, (wanted, held)) in wanted.iter().zip(held).enumerate() {
        for line in wanted.iter().filter(|line| !held.contains(line)) {
            text += &format!("\n  node {} lacks {line}", node + 1);
        }
        for line in held.iter().filter(|line| !wanted.contains(line)) {
            text += &format!("\n  node {} has {line}", node + 1);
        }
    }
    text
}

fn sandbox(bed: &Testbed, name: &str) -> Result<Sandbox> {
    Sandbox::create(bed, PodId::new(NAMESPACE, name), &uid(name)?)
}

fn uid(name: &str) -> Result<String> {
    let at = PODS.iter().position(|(pod, ..)| *pod == name);
    let at = at.with_context(|| format!("no Pod {name}"))?;
    Ok(format!("00000000-0000-4000-8000-{at:012}"))
}

fn node_of<'a>(cluster: &'a Cluster, name: &str) -> Result<&'a Node> {
    let pod = PODS.iter().find(|(pod, ..)| *pod == name);
    let (_, node, _) = pod.with_context(|| format!("no Pod {name}"))?;
    cluster.bed().node(*node)
}

fn objects(bed: &Testbed) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: Namespace\n\
         metadata: {{name: {NAMESPACE}, labels: {{kubernetes.io/metadata.name: {NAMESPACE}}}}}\n"
    );
    for (at, node) in bed.nodes().iter().enumerate() {
        let cidr = format!("10.10.{}.0/24", at + 1);
        text += &format!(
            "---\napiVersion: v1\nkind: Node\nmetadata: {{name: {}}}\n\
             spec: {{podCIDR: {cidr}, podCIDRs: [{cidr}]}}\n\
             status: {{addresses: [{{type: InternalIP, address: {}}}]}}\n",
            node.name(),
            node.underlay(),
        );
    }
    for (at, (name, node, app)) in PODS.iter().enumerate() {
        text += &format!(
            "---\napiVersion: v1\nkind: Pod\n\
             metadata: {{namespace: {NAMESPACE}, name: {name}, labels: {{app: {app}}}, \
             uid: 00000000-0000-4000-8000-{at:012}}}\nspec: {{nodeName: node-{node}}}\n"
        );
    }
    text
}
