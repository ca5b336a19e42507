// SPDX-License-Identifier: Apache-2.0
//! The truth table of Services, row by row: compiled, simulated, every bucket tried, answers sent back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flow_sim::packet::{Ip, Transport};
use flow_sim::{Event, Output, Packet, Selection, Sim};
use openflow_codec::PortNo;
use policy_compiler::model::{Addresses, Family, MacAddr};
use policy_compiler::pipeline::{GATEWAY_MAC, HOST_MAC, Table};
use policy_compiler::{
    Attachment, AttachmentKey, Change, Compiler, Config, NodeFacts, Object, ServiceSettings,
};
use reference::{CLIENT, Client, Place, Row, Scene, Treatment, scenes};
use serde_json::{Value, json};

use crate::packets::mac;
use crate::world::{GATEWAY_PORT, TUNNEL_PORT, in_pod_cidr};

/// Rows that the compiler does not make true yet, as `TOPIC: SENTENCE: ROW`. Another row that fails is an
/// error, and so is one of these that holds: `UPDATE=1 cargo test -p policy-compiler` takes it from the
/// list, and never adds one.
const MISSING: &str = include_str!("service_table.missing");
pub(crate) const NAMESPACE: &str = "shop";

#[test]
fn every_row_of_the_truth_table_holds_on_simulated_switches() {
    let (mut wrong, mut tried) = (BTreeMap::new(), 0);
    for scene in scenes() {
        let mut net = Net::new(&scene);
        for row in &scene.rows {
            tried += 1;
            let found = net.treat(row);
            if found.as_ref() != Ok(&row.expected) {
                let text = format!("{}: {}: {}", scene.topic, scene.sentence, row.text);
                wrong.insert(text, found);
            }
        }
    }
    let missing: BTreeSet<&str> = MISSING.lines().collect();
    let still = |text: &&&str| wrong.contains_key(**text);
    let (still, holding): (Vec<&str>, Vec<&str>) = missing.iter().partition(still);
    println!("{tried} rows, {} of them missing", still.len());
    if std::env::var_os("UPDATE").is_some() {
        let lines: String = still.iter().map(|text| format!("{text}\n")).collect();
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/compiler/service_table.missing"
        );
        std::fs::write(path, lines).expect("the tests are in a folder");
    } else {
        assert!(
            holding.is_empty(),
            "these hold now: UPDATE=1 cargo test -p policy-compiler takes them from the list:\n{}",
            holding.join("\n")
        );
    }
    wrong.retain(|text, _| !missing.contains(text.as_str()));
    let lines: Vec<String> = wrong
        .iter()
        .map(|(text, found)| format!("{text}\n    but {found:?}"))
        .collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

/// The switches of a scene.
pub(crate) struct Net<'a> {
    scene: &'a Scene,
    switches: Vec<Sim>,
    /// Which bucket is taken.
    choice: Arc<AtomicUsize>,
    now: Duration,
    client_port: u16,
}

/// How a packet ended.
enum End {
    /// It left the switch of this node (from 0).
    Left(usize, Box<Output>),
    Rejected,
    /// By the Services.
    Dropped,
    /// By something that is no Service's, untranslated.
    Ordinary,
}

impl<'a> Net<'a> {
    fn new(scene: &'a Scene) -> Self {
        Self::with(scene, Vec::new())
    }

    /// The switches of a scene after these changes.
    pub(crate) fn with(scene: &'a Scene, changes: Vec<Change>) -> Self {
        let compiler = compile(scene, changes);
        let choice = Arc::new(AtomicUsize::new(0));
        let switches = scene.site.nodes.iter().map(|node| {
            let mut switch = Sim::new();
            let chosen = Arc::clone(&choice);
            switch.set_selection(Selection::With(Arc::new(move |group, _| {
                let bucket = group.buckets.get(chosen.load(Ordering::SeqCst));
                bucket.map(|bucket| bucket.id)
            })));
            let own = compiler.node_groups(&node.name).expect("it is observed");
            for group in compiler.cluster_groups().chain(own) {
                switch.set_group((**group).clone()).expect("a group");
            }
            let own = compiler.node_flows(&node.name).expect("it is observed");
            for flow in compiler.cluster_flows().chain(own) {
                switch.add_flow((**flow).clone()).expect("a flow");
            }
            switch
        });
        Self {
            scene,
            switches: switches.collect(),
            choice,
            now: Duration::ZERO,
            client_port: 40_000,
        }
    }

    /// What becomes of a row's connection, by trying every bucket.
    pub(crate) fn treat(&mut self, row: &Row) -> Result<Treatment, String> {
        let mut sent = BTreeMap::new();
        for choice in 0.. {
            self.choice.store(choice, Ordering::SeqCst);
            self.client_port += 1;
            let client = SocketAddr::new(row.attempt.source, self.client_port);
            let (end, buckets) = self.open(row, client)?;
            let (node, output) = match end {
                End::Rejected => return Ok(Treatment::Rejected),
                End::Dropped => return Ok(Treatment::Dropped),
                End::Left(..) | End::Ordinary if buckets == 0 => return Ok(Treatment::Ordinary),
                End::Ordinary => return Err("translated, and then dropped".to_owned()),
                End::Left(node, output) => (node, output),
            };
            let ip = output.packet.as_ip().ok_or("no IP")?;
            let (_, to) = ports(ip).ok_or("no ports")?;
            let endpoint = SocketAddr::new(ip.dst, to);
            if !self.is_at(endpoint.ip(), node, output.port) {
                return Err(format!(
                    "{endpoint} left node {} by {}",
                    node + 1,
                    output.port
                ));
            }
            let masqueraded = ip.src != client.ip();
            let ours = masquerade(client.ip(), &row.attempt.enters);
            if masqueraded && ip.src != ours {
                return Err(format!("masqueraded as {} and not {ours}", ip.src));
            }
            sent.insert(endpoint, masqueraded);
            self.answer(row, client, node, &output)?;
            if choice + 1 >= buckets {
                break;
            }
        }
        Ok(Treatment::Sent(sent))
    }

    /// The first packet of a connection; how it ends, and how many buckets its group has.
    fn open(&mut self, row: &Row, client: SocketAddr) -> Result<(End, usize), String> {
        let entry = self.node(&row.attempt.enters);
        let to = self.asked(row);
        let (from, to) = ((client.ip(), client.port()), (to.ip(), to.port()));
        let packet = match row.attempt.protocol.as_str() {
            "TCP" => Packet::tcp(from, to),
            "UDP" => Packet::udp(from, to),
            _ => Packet::sctp(from, to),
        };
        self.carry(entry, self.enter(&row.client, packet))
    }

    /// Where the switch sees a row's connection go: the kernel has translated what is for one of the
    /// node's own addresses, to the lowest address of the node's own Pods.
    fn asked(&self, row: &Row) -> SocketAddr {
        let mut to = row.attempt.destination;
        let entry = self.node(&row.attempt.enters);
        let own = &self.scene.site.nodes[entry].addresses;
        if row.client == Client::Kernel && own.contains(&to.ip()) {
            to.set_ip(pod_network(to.ip(), &row.attempt.enters));
        }
        to
    }

    fn enter(&self, client: &Client, packet: Packet) -> Packet {
        let (port, from) = match client {
            Client::Pod(place) => (self.port(place), link_layer(place)),
            Client::Kernel => (GATEWAY_PORT, HOST_MAC),
        };
        packet
            .with_eth(mac(from.0), mac(GATEWAY_MAC.0))
            .arriving_on(port)
    }

    /// The endpoint answers, and the client gets it from whom it asked.
    fn answer(
        &mut self,
        row: &Row,
        client: SocketAddr,
        node: usize,
        output: &Output,
    ) -> Result<(), String> {
        let who =
            self.scene.pods.iter().find(|place| {
                usize::from(place.node) == node + 1 && self.port(place) == output.port
            });
        let who = who.map_or(Client::Kernel, |place| Client::Pod(place.clone()));
        let packet = self.enter(&who, output.packet.answer());
        let (End::Left(at, back), _) = self.carry(node, packet)? else {
            return Err("the answer is lost".to_owned());
        };
        let home = self.node(&row.attempt.enters);
        let port = match &row.client {
            Client::Pod(place) => self.port(place),
            Client::Kernel => GATEWAY_PORT,
        };
        let ip = back.packet.as_ip().ok_or("no IP")?;
        let (from, to) = ports(ip).ok_or("no ports")?;
        let seen = (
            at,
            back.port,
            SocketAddr::new(ip.src, from),
            SocketAddr::new(ip.dst, to),
        );
        if seen != (home, port, self.asked(row), client) {
            return Err(format!("the answer is {seen:?}"));
        }
        Ok(())
    }

    /// Carries a packet through the switch where it enters and, by the tunnel, through another.
    fn carry(&mut self, node: usize, packet: Packet) -> Result<(End, usize), String> {
        let (end, buckets) = self.pass(node, packet)?;
        let End::Left(_, output) = end else {
            return Ok((end, buckets));
        };
        if output.port != TUNNEL_PORT {
            return Ok((End::Left(node, output), buckets));
        }
        let ends = output.packet.tunnel.destination().ok_or("no tunnel")?;
        let nodes = &self.scene.site.nodes;
        let peer = nodes.iter().position(|node| node.addresses.contains(&ends));
        let peer = peer.ok_or_else(|| format!("a tunnel to {ends}"))?;
        let sender = nodes[node].addresses[0];
        let packet = output
            .packet
            .clone()
            .arriving_by_tunnel(TUNNEL_PORT, sender);
        match self.pass(peer, packet)? {
            (End::Left(_, output), _) if output.port != TUNNEL_PORT => {
                Ok((End::Left(peer, output), buckets))
            }
            _ => Err("lost behind the tunnel".to_owned()),
        }
    }

    fn pass(&mut self, node: usize, packet: Packet) -> Result<(End, usize), String> {
        self.now += Duration::from_millis(1);
        let execution = self.switches[node].receive(packet, self.now);
        if !execution.faults.is_empty() {
            return Err(format!("{:?}", execution.faults));
        }
        let group = execution.walk.iter().find_map(|step| match &step.event {
            Event::Bucket { group, .. } => self.switches[node].groups().get(*group),
            _ => None,
        });
        let buckets = group.map_or(0, |group| group.buckets.len());
        let by_service = |drop: &flow_sim::Drop| drop.by.table == Table::Service.id();
        let end = if let Some(output) = execution.outputs.first() {
            End::Left(node, Box::new(output.clone()))
        } else if !execution.controller.is_empty() {
            End::Rejected
        } else if execution.drops.iter().any(by_service) {
            End::Dropped
        } else {
            End::Ordinary
        };
        Ok((end, buckets))
    }

    /// Whether who has this address is reached by this port of this node.
    fn is_at(&self, address: IpAddr, node: usize, port: PortNo) -> bool {
        let mut pods = self.scene.pods.iter();
        if let Some(place) = pods.find(|place| address == place.v4 || address == place.v6) {
            return usize::from(place.node) == node + 1 && self.port(place) == port;
        }
        let mut nodes = self.scene.site.nodes.iter();
        let home = nodes.position(|node| node.addresses.contains(&address));
        port == GATEWAY_PORT && home.is_none_or(|home| home == node)
    }

    fn node(&self, name: &str) -> usize {
        let mut nodes = self.scene.site.nodes.iter();
        nodes
            .position(|node| node.name == name)
            .expect("a node of the scene")
    }

    fn port(&self, place: &Place) -> PortNo {
        port_of(self.scene, place)
    }
}

fn ports(ip: &Ip) -> Option<(u16, u16)> {
    match ip.transport {
        Transport::Tcp { src, dst, .. }
        | Transport::Udp { src, dst }
        | Transport::Sctp { src, dst } => Some((src, dst)),
        _ => None,
    }
}

fn port_of(scene: &Scene, place: &Place) -> PortNo {
    let number = scene.pods.iter().position(|other| other == place);
    let number = number.expect("a Pod of the scene");
    PortNo(10 + u32::try_from(number).expect("few Pods"))
}

fn link_layer(place: &Place) -> MacAddr {
    MacAddr(0x0a58_0000_0000 | u64::from(u32::from(place.v4)))
}

/// The lowest address of the node's own Pods, of the family of `like`.
fn pod_network(like: IpAddr, node: &str) -> IpAddr {
    in_pod_cidr(number(node), Family::of(like), 0)
}

/// Whom an endpoint sees in place of a masqueraded client: the address after the lowest.
fn masquerade(like: IpAddr, node: &str) -> IpAddr {
    in_pod_cidr(number(node), Family::of(like), 1)
}

fn number(node: &str) -> u8 {
    node.trim_start_matches("node-").parse().expect("a number")
}

fn compile(scene: &Scene, more: Vec<Change>) -> Compiler {
    let config = Config {
        cluster_secret: [9; 32],
    };
    let settings = ServiceSettings {
        external_ips: scene.site.external_ips,
        ..ServiceSettings::default()
    };
    let mut compiler = Compiler::with_services(&config, settings);
    let mut changes = Vec::new();
    for (node, number) in scene.site.nodes.iter().zip(1..) {
        let addresses = node.addresses.iter();
        let addresses: Vec<Value> = addresses
            .map(|address| json!({"type": "InternalIP", "address": address}))
            .collect();
        let zone = node.zone.iter();
        let labels: BTreeMap<_, _> = zone
            .map(|zone| ("topology.kubernetes.io/zone", zone))
            .collect();
        changes.push(Change::Apply(Object::Node(read(json!({
            "metadata": {"name": node.name, "labels": labels},
            "spec": {"podCIDRs": [format!("10.10.{number}.0/24"), format!("fd00:a:{number}::/64")]},
            "status": {"addresses": addresses},
        })))));
        changes.push(Change::ObserveNode {
            node: node.name.clone(),
            facts: NodeFacts {
                tunnel_port: Some(TUNNEL_PORT),
                gateway_port: Some(GATEWAY_PORT),
            },
        });
    }
    changes.push(Change::Apply(Object::Namespace(read(
        json!({"metadata": {"name": NAMESPACE}}),
    ))));
    changes.push(Change::Apply(Object::ServiceCidr(read(json!({
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": scene.site.service_cidrs},
    })))));
    for place in &scene.pods {
        let name = match place.name.as_str() {
            CLIENT => format!("{CLIENT}-{}", place.node),
            name => name.to_owned(),
        };
        let node = format!("node-{}", place.node);
        changes.push(Change::Apply(Object::Pod(read(json!({
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"nodeName": node, "containers": []},
        })))));
        changes.push(Change::Attach(Attachment {
            key: AttachmentKey {
                node,
                interface: format!("v-{name}"),
            },
            pod_namespace: NAMESPACE.to_owned(),
            pod_name: name,
            pod_uid: None,
            port: port_of(scene, place),
            addresses: Addresses::Both(place.v4, place.v6),
            mac: link_layer(place),
            ready: true,
        }));
    }
    let services = scene.services.iter().cloned();
    changes.extend(services.map(|one| Change::Apply(Object::Service(Box::new(one)))));
    let slices = scene.slices.iter().cloned();
    changes.extend(slices.map(|one| Change::Apply(Object::EndpointSlice(Box::new(one)))));
    changes.extend(more);
    let output = compiler.apply(changes);
    assert!(output.rejected.is_empty(), "{:?}", output.rejected);
    compiler
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(value: Value) -> Box<T> {
    Box::new(serde_json::from_value(value).expect("an object of its kind"))
}
