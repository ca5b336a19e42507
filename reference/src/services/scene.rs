// SPDX-License-Identifier: Apache-2.0
//! The truth table of Services: `table.txt`, read into objects, connections and what becomes of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use super::{Attempt, Sender, Site, SiteNode, Treatment};

const TABLE: &str = include_str!("table.txt");
const NAMESPACE: &str = "shop";
const NODES: u8 = 3;
/// Zones of the nodes.
const ZONES: [&str; NODES as usize] = ["a", "b", "a"];
/// What a port is when a scene does not say.
const PORT: &str = "tcp/80:8080";

/// Name of the Pod on every node that is no endpoint.
pub const CLIENT: &str = "pod";

/// Objects, and the connections that are tried with them.
#[derive(Clone, Debug)]
pub struct Scene {
    /// What it is about.
    pub topic: String,
    /// The sentence that its rows obey.
    pub sentence: String,
    /// Nodes and settings.
    pub site: Site,
    /// Services; the first is the one that rows speak of.
    pub services: Vec<Service>,
    /// Their slices.
    pub slices: Vec<EndpointSlice>,
    /// Pods, by name; clients among them.
    pub pods: Vec<Place>,
    /// Connections.
    pub rows: Vec<Row>,
}

/// Where a Pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name; clients of all nodes have the same.
    pub name: String,
    /// Number of its node, from 1.
    pub node: u8,
    /// IPv4 address.
    pub v4: Ipv4Addr,
    /// IPv6 address.
    pub v6: Ipv6Addr,
}

/// One connection and what becomes of it.
#[derive(Clone, Debug)]
pub struct Row {
    /// As it is written.
    pub text: String,
    /// Who opens it.
    pub client: Client,
    /// The connection.
    pub attempt: Attempt,
    /// What becomes of it.
    pub expected: Treatment,
}

/// Who opens a connection, in words of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// This Pod.
    Pod(Place),
    /// The kernel behind the gateway port of the node where the connection enters.
    Kernel,
}

/// Every scene of the table.
pub fn scenes() -> Vec<Scene> {
    let mut scenes: Vec<Scene> = Vec::new();
    let (mut topic, mut sentence) = ("", "");
    for line in TABLE.lines().map(str::trim) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "" | "--" => {}
            "#" => topic = rest,
            ">" => sentence = rest,
            "service" => scenes.push(Scene::new(topic, sentence, rest)),
            _ => {
                let scene = scenes.last_mut().expect("a scene begins with its Service");
                match word {
                    "endpoints" => scene.endpoints(rest),
                    "site" => scene.set(rest),
                    _ => scene.row(line),
                }
            }
        }
    }
    scenes
}

impl Scene {
    fn new(topic: &str, sentence: &str, words: &str) -> Self {
        let node = |number: u8| SiteNode {
            name: node_name(number),
            zone: Some(ZONES[usize::from(number) - 1].to_owned()),
            addresses: vec![node_v4(number).into(), node_v6(number).into()],
        };
        Self {
            topic: topic.to_owned(),
            sentence: sentence.to_owned(),
            site: Site {
                nodes: (1..=NODES).map(node).collect(),
                service_cidrs: vec!["10.96.0.0/16".to_owned(), "fd00:96::/112".to_owned()],
                external_ips: false,
            },
            services: vec![service(words)],
            slices: Vec::new(),
            pods: (1..=NODES).map(|number| place(CLIENT, number)).collect(),
            rows: Vec::new(),
        }
    }

    fn set(&mut self, words: &str) {
        for word in words.split_whitespace() {
            match word {
                "external-ips" => self.site.external_ips = true,
                "no-zones" => self.site.nodes.iter_mut().for_each(|node| node.zone = None),
                other => panic!("no setting is called {other}"),
            }
        }
    }

    /// Endpoints of all ports, or, after a word like `http:9090`, of that port alone.
    fn endpoints(&mut self, words: &str) {
        let spec = serde_json::to_value(&self.services[0]).expect("a Service is JSON");
        let ports = spec["spec"]["ports"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let mut ports: Vec<Value> = ports
            .iter()
            .map(|port| {
                json!({"name": port["name"], "protocol": port["protocol"], "port": port["targetPort"]})
            })
            .collect();
        let mut endpoints: [Vec<Value>; 2] = [Vec::new(), Vec::new()];
        for word in words.split_whitespace() {
            if let Some((name, number)) = word.split_once('=').filter(|_| !word.contains('/')) {
                ports.retain(|port| port["name"] == name);
                ports[0]["port"] = number.parse::<u16>().expect("a number").into();
                continue;
            }
            let (who, marks) = word.split_once('/').unwrap_or((word, ""));
            let (name, node) = who.split_once('@').unwrap_or((who, ""));
            let node = (!node.is_empty()).then(|| number(node));
            let (v4, v6): (IpAddr, IpAddr) = match (name, node) {
                ("out", _) => ([203, 0, 113, 9].into(), outside_v6(9).into()),
                ("host", Some(node)) => (node_v4(node).into(), node_v6(node).into()),
                (_, Some(node)) => {
                    let place = place(name, node);
                    if !self.pods.contains(&place) {
                        self.pods.push(place.clone());
                    }
                    (place.v4.into(), place.v6.into())
                }
                _ => panic!("{word}: say on which node"),
            };
            for (family, address) in [(0, v4), (1, v6)] {
                let other = ["v6", "v4"][family];
                if !marks.split('/').any(|mark| mark == other) {
                    endpoints[family].push(endpoint(address, node, marks));
                }
            }
        }
        for (family, endpoints) in ["IPv4", "IPv6"].iter().zip(endpoints) {
            let slice = json!({
                "metadata": {
                    "name": format!("web-{}", self.slices.len()), "namespace": NAMESPACE,
                    "labels": {"kubernetes.io/service-name": "web"},
                },
                "addressType": family, "endpoints": endpoints, "ports": ports,
            });
            self.slices.push(read(slice));
        }
    }

    /// `CLIENT DESTINATION = WHAT`.
    fn row(&mut self, line: &str) {
        let (left, right) = line
            .split_once(" = ")
            .unwrap_or_else(|| panic!("no row: {line}"));
        let words: Vec<&str> = left.split_whitespace().collect();
        let [who, to] = words[..] else {
            panic!("no row: {line}");
        };
        let (to, protocol) = to.split_once('/').unwrap_or((to, "tcp"));
        let (to, port) = to.rsplit_once(':').expect("a destination has a port");
        let port: u16 = port.parse().expect("a port");
        let (kind, is_v6) = match to.strip_suffix("6") {
            Some(kind)
                if kind.chars().all(char::is_alphabetic)
                    || kind.starts_with("node") && kind.len() == 5 =>
            {
                (kind, true)
            }
            _ => (to, false),
        };
        let either =
            |v4: Ipv4Addr, v6: Ipv6Addr| -> IpAddr { if is_v6 { v6.into() } else { v4.into() } };
        let address = match kind {
            "cluster" => either(CLUSTER_V4, CLUSTER_V6),
            "free" => either(FREE_V4, FREE_V6),
            "vip" => either(VIP_V4, VIP_V6),
            "external" => either(EXTERNAL_V4, EXTERNAL_V6),
            _ => {
                let node = number(kind.strip_prefix("node").expect("a kind of destination"));
                either(node_v4(node), node_v6(node))
            }
        };
        let (name, enters) = who.split_once('@').expect("a client is somewhere");
        let enters = number(enters);
        let pick = |v4: IpAddr, v6: IpAddr| if address.is_ipv4() { v4 } else { v6 };
        let of_node = |node: u8| pick(node_v4(node).into(), node_v6(node).into());
        let (client, sender, source) = match name {
            "world" => (
                Client::Kernel,
                Sender::Elsewhere,
                pick([203, 0, 113, 7].into(), outside_v6(7).into()),
            ),
            "node" => (Client::Kernel, Sender::Node, of_node(enters)),
            name if name.starts_with("node") => {
                let node = number(&name[4..]);
                (Client::Kernel, Sender::Elsewhere, of_node(node))
            }
            name => {
                let place = place(name, enters);
                assert!(self.pods.contains(&place), "{line}: there is no such Pod");
                let source = pick(place.v4.into(), place.v6.into());
                (Client::Pod(place), Sender::Pod, source)
            }
        };
        let expected = self.expected(right, address, source);
        self.rows.push(Row {
            text: line.to_owned(),
            client,
            attempt: Attempt {
                sender,
                source,
                enters: node_name(enters),
                destination: SocketAddr::new(address, port),
                protocol: protocol.to_uppercase(),
            },
            expected,
        });
    }

    /// `drop`, `reject`, `ordinary`, or names of endpoints, perhaps with a port, perhaps `masq`.
    fn expected(&self, words: &str, destination: IpAddr, source: IpAddr) -> Treatment {
        match words {
            "drop" => return Treatment::Dropped,
            "reject" => return Treatment::Rejected,
            "ordinary" => return Treatment::Ordinary,
            _ => {}
        }
        let v4 = destination.is_ipv4();
        let mut masqueraded = false;
        let mut names = Vec::new();
        for word in words.split_whitespace() {
            match word {
                "masq" => masqueraded = true,
                name => names.push(name),
            }
        }
        let sent = names.into_iter().map(|word| {
            let (name, port) = word.split_once(':').unwrap_or((word, "8080"));
            let address: IpAddr = match name {
                "out" if v4 => [203, 0, 113, 9].into(),
                "out" => outside_v6(9).into(),
                name if name.starts_with("host") => {
                    let node = number(&name[4..]);
                    if v4 {
                        node_v4(node).into()
                    } else {
                        node_v6(node).into()
                    }
                }
                name => {
                    let mut pods = self.pods.iter();
                    let pod = pods
                        .find(|pod| pod.name == name)
                        .expect("an endpoint of the scene");
                    if v4 { pod.v4.into() } else { pod.v6.into() }
                }
            };
            let port = port.parse().expect("a port");
            // The one exception that a row need not spell out: a Pod that talks to itself.
            (
                SocketAddr::new(address, port),
                masqueraded || address == source,
            )
        });
        Treatment::Sent(sent.collect::<BTreeMap<_, _>>())
    }
}

const CLUSTER_V4: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
const CLUSTER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 0x10);
const FREE_V4: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 99);
const FREE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 0x99);
const VIP_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
const VIP_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 0x10);
const EXTERNAL_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 20);
const EXTERNAL_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 0x20);

/// A Service called `web`; without words it is a `ClusterIP` of both families on TCP 80.
fn service(words: &str) -> Service {
    let (mut labels, mut status) = (BTreeMap::new(), Value::Null);
    let mut ports = PORT;
    let mut spec =
        json!({"clusterIPs": [CLUSTER_V4, CLUSTER_V6], "ipFamilyPolicy": "PreferDualStack"});
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "type" => spec["type"] = value.into(),
            "name" => spec["externalName"] = value.into(),
            "headless" => spec["clusterIPs"] = json!(["None"]),
            "only" if value == "v4" => spec["clusterIPs"] = json!([CLUSTER_V4]),
            "only" => spec["clusterIPs"] = json!([CLUSTER_V6]),
            "iTP" => spec["internalTrafficPolicy"] = value.into(),
            "eTP" => spec["externalTrafficPolicy"] = value.into(),
            "ports" => ports = value,
            "vip" => {
                status = json!({"loadBalancer": {"ingress": [
                    {"ip": VIP_V4, "ipMode": value}, {"ip": VIP_V6, "ipMode": value},
                ]}});
            }
            "hostname" => status = json!({"loadBalancer": {"ingress": [{"hostname": value}]}}),
            "external" => spec["externalIPs"] = json!([EXTERNAL_V4, EXTERNAL_V6]),
            "ranges" => {
                // An underscore is a blank, as people leave it.
                let ranges: Vec<String> =
                    value.split(',').map(|one| one.replace('_', " ")).collect();
                spec["loadBalancerSourceRanges"] = json!(ranges);
            }
            "class" => spec["loadBalancerClass"] = value.into(),
            "no-node-ports" => spec["allocateLoadBalancerNodePorts"] = false.into(),
            "distribution" => spec["trafficDistribution"] = value.into(),
            "publish" => spec["publishNotReadyAddresses"] = true.into(),
            "label" => drop(labels.insert(format!("service.kubernetes.io/{value}"), "x")),
            other => panic!("a Service has no {other}"),
        }
    }
    if spec["clusterIPs"][0] == json!("None") || spec["type"] != json!("ExternalName") {
        spec["clusterIP"] = spec["clusterIPs"][0].clone();
    } else {
        spec.as_object_mut()
            .expect("an object")
            .remove("clusterIPs");
    }
    let ports: Vec<Value> = ports.split(',').map(port).collect();
    spec["ports"] = ports.into();
    read(json!({
        "metadata": {"name": "web", "namespace": NAMESPACE, "labels": labels},
        "spec": spec, "status": status,
    }))
}

/// `PROTOCOL/PORT:TARGET`, perhaps `:NODEPORT`. Its name is `PROTOCOL-PORT`.
fn port(text: &str) -> Value {
    let (protocol, numbers) = text.split_once('/').expect("a protocol");
    let numbers: Vec<u16> = numbers
        .split(':')
        .map(|n| n.parse().expect("a number"))
        .collect();
    let mut port = json!({
        "name": format!("{protocol}-{}", numbers[0]), "protocol": protocol.to_uppercase(),
        "port": numbers[0], "targetPort": numbers[1],
    });
    if let Some(node_port) = numbers.get(2) {
        port["nodePort"] = (*node_port).into();
    }
    port
}

fn endpoint(address: IpAddr, node: Option<u8>, marks: &str) -> Value {
    let mut endpoint = json!({"addresses": [address], "conditions": {"ready": true}});
    if let Some(node) = node {
        endpoint["nodeName"] = node_name(node).into();
    }
    let conditions = |ready: bool, serving: bool, terminating: bool| json!({"ready": ready, "serving": serving, "terminating": terminating});
    for mark in marks.split('/') {
        let (key, value) = mark.split_once('=').unwrap_or((mark, ""));
        match key {
            "" | "v4" | "v6" => {}
            // Unready, and not on its way out.
            "unready" => endpoint["conditions"] = conditions(false, false, false),
            // It ends, and still answers.
            "ending" => endpoint["conditions"] = conditions(false, true, true),
            // It ends, and no longer answers.
            "dying" => endpoint["conditions"] = conditions(false, false, true),
            "unknown" => endpoint["conditions"] = json!({}),
            "zone" => endpoint["hints"]["forZones"] = json!([{"name": value}]),
            "for" => endpoint["hints"]["forNodes"] = json!([{"name": node_name(number(value))}]),
            other => panic!("an endpoint has no {other}"),
        }
    }
    endpoint
}

fn place(name: &str, node: u8) -> Place {
    let last = match name {
        CLIENT => 5,
        name => 10 + name.bytes().next().expect("a name") - b'a',
    };
    Place {
        name: name.to_owned(),
        node,
        v4: Ipv4Addr::new(10, 10, node, last),
        v6: Ipv6Addr::new(0xfd00, 0xa, node.into(), 0, 0, 0, 0, last.into()),
    }
}

fn node_name(number: u8) -> String {
    format!("node-{number}")
}

const fn node_v4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, number)
}

fn node_v6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into())
}

const fn outside_v6(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, number)
}

fn number(text: &str) -> u8 {
    text.parse()
        .unwrap_or_else(|_| panic!("{text:?} is no node's number"))
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object of its kind")
}

#[cfg(test)]
mod tests {
    use super::super::treat;
    use super::*;

    #[test]
    fn every_row_of_the_table_is_what_the_reading_says() {
        let mut wrong = Vec::new();
        for scene in scenes() {
            assert!(
                !scene.rows.is_empty(),
                "{}: a scene without rows",
                scene.sentence
            );
            for row in &scene.rows {
                let found = treat(&scene.site, &scene.services, &scene.slices, &row.attempt);
                if found != row.expected {
                    wrong.push(format!("{}: {}: {found:?}", scene.topic, row.text));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn the_table_has_more_than_two_hundred_rows_and_none_twice() {
        let scenes = scenes();
        let rows: usize = scenes.iter().map(|scene| scene.rows.len()).sum();
        assert!(rows >= 200, "{rows}");
        let named =
            |scene: &Scene, row: &Row| format!("{}: {}: {}", scene.topic, scene.sentence, row.text);
        let of = |scene: &Scene| -> Vec<String> {
            scene.rows.iter().map(|row| named(scene, row)).collect()
        };
        let mut left: Vec<String> = scenes.iter().flat_map(of).collect();
        left.sort();
        for pair in left.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
    }
}
