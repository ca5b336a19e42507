// SPDX-License-Identifier: Apache-2.0
//! The example cluster, started piece by piece, for tests of the whole system.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use integration::demo::objects::{self, Objects};
use integration::demo::{self};
use integration::ovs::without_counters;
use integration::pod::Sandbox;
use integration::stream::Stream;
use integration::{
    Cluster, Node, Pod, PodId, Probe, Prober, Protocol, Testbed, Underlay, Verdict, wait,
};

/// Longest time anything awaited here may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Two nodes with the manifests of `examples/demo`, and those Pods that a test adds.
pub(crate) struct Lab {
    pub(crate) cluster: Cluster,
    pub(crate) prober: Prober,
    objects: Objects,
    pods: BTreeMap<PodId, Pod>,
}

impl Lab {
    /// Starts everything but Pods.
    pub(crate) fn start(name: &str) -> Result<Self> {
        Self::start_over(name, Underlay::V4)
    }

    /// As [`Lab::start`], with tunnels over `underlay`.
    pub(crate) fn start_over(name: &str, underlay: Underlay) -> Result<Self> {
        let bed = Arc::new(Testbed::new(name, 2)?);
        let cluster = Cluster::prepare(&bed)?.over(underlay);
        for path in objects::manifests(&demo::examples())? {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .context("no name")?;
            let mut text = std::fs::read_to_string(&path)?;
            for node in bed.nodes() {
                // The manifests are written for tunnels over IPv4.
                let endpoint = cluster.endpoint(node).to_string();
                text = text.replace(&node.underlay().to_string(), &format!("{endpoint:?}"));
            }
            cluster.put_manifest(name, &text)?;
        }
        cluster.start_all()?;
        let objects = Objects::read(cluster.manifests())?;
        Ok(Self {
            cluster,
            prober: Prober::new()?,
            objects,
            pods: BTreeMap::new(),
        })
    }

    /// As [`Lab::start`], with these Pods of the manifests added, in order.
    pub(crate) fn with_pods(name: &str, pods: &[&str]) -> Result<Self> {
        Self::start(name)?.and_pods(pods)
    }

    /// The same with these Pods of the manifests added, in order.
    pub(crate) fn and_pods(mut self, pods: &[&str]) -> Result<Self> {
        for pod in pods {
            self.add(pod)?;
        }
        Ok(self)
    }

    /// Waits until each probe ends as `is_right` says, in one round of all; each with what it asks.
    pub(crate) fn await_round<T>(
        &self,
        what: &str,
        probes: &[(String, Probe, T)],
        is_right: impl Fn(&Verdict, &T) -> bool,
    ) -> Result<()> {
        let mut wrong = Vec::new();
        wait::until_true(what, LIMIT, || {
            let asked = probes.iter().map(|(_, probe, _)| probe.clone());
            let both = probes.iter().zip(self.prober.probe_all(asked));
            wrong = both
                .filter(|((.., wanted), verdict)| !is_right(verdict, wanted))
                .map(|((what, ..), verdict)| format!("{what}: {verdict}"))
                .collect();
            Ok(wrong.is_empty())
        })
        .map_err(|error| error.context(wrong.join("\n")))
    }

    /// Adds a Pod of the manifests through CNI.
    pub(crate) fn add(&mut self, name: &str) -> Result<()> {
        let id: PodId = name.parse()?;
        let known = self
            .objects
            .pods
            .get(&id)
            .context("no such Pod in the manifests")?;
        let sandbox = Sandbox::create(self.cluster.bed(), id.clone(), &known.uid)?;
        self.prober.serve(&sandbox.netns, &id, &[8080], &[5353])?;
        let pod = sandbox.wire(self.node_named(&known.node)?)?;
        self.pods.insert(id, pod);
        Ok(())
    }

    /// Removes a Pod through CNI.
    pub(crate) fn remove(&mut self, name: &str) -> Result<()> {
        let pod = self
            .pods
            .remove(&name.parse()?)
            .context("this Pod was not added")?;
        let node = self.node_named(&pod.node)?;
        pod.remove(node)
    }

    /// Takes a Pod in as if the manifests had always had it.
    pub(crate) fn put_pods(&mut self, file: &str, text: &str) -> Result<()> {
        self.cluster.put_manifest(file, text)?;
        self.objects = Objects::read(self.cluster.manifests())?;
        Ok(())
    }

    pub(crate) fn pod(&self, name: &str) -> Result<&Pod> {
        self.pods
            .get(&name.parse()?)
            .with_context(|| format!("{name} was not added"))
    }

    pub(crate) fn node(&self, index: usize) -> Result<&Node> {
        self.cluster.bed().node(index)
    }

    /// A probe to the port that every Pod serves in this protocol.
    pub(crate) fn probe(&self, from: &str, to: &str, protocol: Protocol) -> Result<Probe> {
        let port = match protocol {
            Protocol::Tcp => 8080,
            Protocol::Udp => 5353,
        };
        Ok(Probe::new(
            self.pod(from)?.netns(),
            protocol,
            self.pod(to)?.address,
            port,
        ))
    }

    pub(crate) fn verdict(&self, from: &str, to: &str, protocol: Protocol) -> Result<Verdict> {
        Ok(self.prober.probe(self.probe(from, to, protocol)?))
    }

    /// Waits until a probe's verdict is `allowed`.
    pub(crate) fn await_verdict(
        &self,
        from: &str,
        to: &str,
        protocol: Protocol,
        allowed: bool,
    ) -> Result<()> {
        let what = format!(
            "{from} -> {to} {protocol} to be {}",
            if allowed { "allowed" } else { "denied" }
        );
        wait::until_true(what, LIMIT, || {
            Ok(self.verdict(from, to, protocol)?.is_allowed() == allowed)
        })
    }

    /// A long-lived connection on TCP 8080.
    pub(crate) fn stream(&self, from: &str, to: &str) -> Result<Stream> {
        let to = SocketAddr::new(self.pod(to)?.address, 8080);
        Stream::open(&self.prober, self.pod(from)?.netns(), to)
    }

    /// What is programmed on a node, without counters and ages.
    pub(crate) fn flows(&self, node: usize) -> Result<Vec<String>> {
        self.node(node)?.ovs().programmed("br-int")
    }

    /// Packets that each flow of a node has counted, by the flow as [`Self::flows`] gives it.
    pub(crate) fn counters(&self, node: usize) -> Result<BTreeMap<String, u64>> {
        let text = self.node(node)?.ovs().dump_flows("br-int")?;
        let lines = text.lines().filter(|line| line.contains("cookie="));
        let count = |line: &str| {
            let (_, rest) = line.split_once("n_packets=")?;
            rest.split(',').next()?.parse().ok()
        };
        lines
            .map(|line| {
                let packets = count(line).with_context(|| format!("no counter in {line}"))?;
                Ok((without_counters(line), packets))
            })
            .collect()
    }

    /// Age of the youngest flow of a node: nothing was added since then.
    pub(crate) fn youngest_flow(&self, node: usize) -> Result<Duration> {
        let text = self.node(node)?.ovs().dump_flows("br-int")?;
        let ages = text.split("duration=").skip(1).filter_map(|rest| {
            rest.split('s')
                .next()
                .and_then(|seconds| seconds.parse::<f64>().ok())
        });
        let youngest = ages.min_by(f64::total_cmp).context("no flows")?;
        Ok(Duration::from_secs_f64(youngest))
    }

    fn node_named(&self, name: &str) -> Result<&Node> {
        let mut nodes = self.cluster.bed().nodes().iter();
        nodes
            .find(|node| node.name() == name)
            .with_context(|| format!("no node {name}"))
    }
}
