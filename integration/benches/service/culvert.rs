// SPDX-License-Identifier: Apache-2.0
//! A node that the product has programmed: a client and three servers are Pods of it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use integration::pod::Sandbox;
use integration::{Cluster, Pod, PodId, Prober, Testbed, wait};
use serde_json::{Value, json};

use crate::measure::Way;
use crate::services::{self, ENDPOINTS, PORT, TARGET_PORT};
use crate::{Rival, Site};

const LIMIT: Duration = Duration::from_secs(60);
const NAMESPACE: &str = "shop";

/// Everything ends with it.
pub(crate) struct Culvert {
    pub(crate) cluster: Cluster,
    /// Serves for all rivals of this size.
    pub(crate) prober: Prober,
    pub(crate) size: u32,
    client: Pod,
    servers: Vec<Pod>,
}

impl Culvert {
    /// A cluster of one node with so many Services, all in force.
    pub(crate) fn start(size: u32) -> Result<Self> {
        let bed = Arc::new(Testbed::new(&format!("svc{size}"), 1)?);
        let cluster = Cluster::prepare(&bed)?;
        let mut objects = vec![
            json!({
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"},
                "spec": {"podCIDR": "10.10.1.0/24", "podCIDRs": ["10.10.1.0/24"]},
                "status": {"addresses": [
                    {"type": "InternalIP", "address": bed.node(1)?.underlay()},
                ]},
            }),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        ];
        objects.extend((0..=ENDPOINTS).map(pod));
        cluster.put_manifest("cluster.yaml", &text(&objects)?)?;
        cluster.start_all()?;
        let prober = Prober::new()?;
        let wire = |number: u8| -> Result<Pod> {
            let id = PodId::new(NAMESPACE, &name(number));
            let sandbox = Sandbox::create(&bed, id.clone(), &uid(number))?;
            prober.serve(&sandbox.netns, &id, &[TARGET_PORT], &[])?;
            sandbox.wire(bed.node(1)?)
        };
        let client = wire(0)?;
        let servers = (1..=ENDPOINTS).map(wire).collect::<Result<Vec<_>>>()?;
        let made = Self {
            cluster,
            prober,
            size,
            client,
            servers,
        };
        made.add_services()?;
        Ok(made)
    }

    pub(crate) fn site(&self) -> Site {
        let dir = self.cluster.bed().nodes().first().map(|node| node.dir());
        let way = |to| Way {
            client: self.client.netns().clone(),
            to,
            ovs: dir.map(Into::into),
        };
        let servers = self.servers.iter();
        let past = servers.map(|pod| SocketAddr::new(pod.address, TARGET_PORT));
        Site {
            rival: Rival::Culvert,
            size: self.size,
            through: way(services::used(self.size)),
            past: way(past.collect()),
        }
    }

    fn add_services(&self) -> Result<()> {
        let objects = (0..self.size).flat_map(|number| {
            let name = format!("service-{number}");
            let address = services::address(number);
            let endpoints = self.servers.iter();
            let endpoints: Vec<Value> = endpoints
                .map(|pod| json!({"addresses": [pod.address], "conditions": {"ready": true}}))
                .collect();
            [
                json!({
                    "apiVersion": "v1", "kind": "Service",
                    "metadata": {"namespace": NAMESPACE, "name": name},
                    "spec": {
                        "clusterIP": address, "clusterIPs": [address],
                        "ports": [{"protocol": "TCP", "port": PORT, "targetPort": TARGET_PORT}],
                    },
                }),
                json!({
                    "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                    "metadata": {
                        "namespace": NAMESPACE, "name": format!("{name}-1"),
                        "labels": {"kubernetes.io/service-name": name},
                    },
                    "addressType": "IPv4", "endpoints": endpoints,
                    "ports": [{"name": "", "protocol": "TCP", "port": TARGET_PORT}],
                }),
            ]
        });
        let objects: Vec<Value> = objects.collect();
        let count = 2 + 1 + usize::from(ENDPOINTS) + objects.len();
        self.cluster
            .put_manifest("services.yaml", &text(&objects)?)?;
        wait::until_true("every Service to be programmed", LIMIT, || {
            let status = self.cluster.culvert(&["-o", "json", "status"])?;
            let status: Value = serde_json::from_str(&status)?;
            let rollout = &status["rollout"];
            Ok(status["source"]["objects"] == count
                && rollout["phase"] == "idle"
                && rollout["pending_changes"] == 0)
        })
    }
}

fn pod(number: u8) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": NAMESPACE, "name": name(number), "uid": uid(number)},
        "spec": {"nodeName": "node-1", "containers": [{"name": "x", "image": "x"}]},
    })
}

/// The first is the client.
fn name(number: u8) -> String {
    format!("pod-{number}")
}

fn uid(number: u8) -> String {
    format!("00000000-0000-4000-8000-00000000000{number}")
}

/// A document for each object; JSON is YAML.
fn text(objects: &[Value]) -> Result<String> {
    let mut text = String::new();
    for object in objects {
        writeln!(text, "---\n{object}").context("a string takes everything")?;
    }
    Ok(text)
}
