// SPDX-License-Identifier: Apache-2.0
//! Random Services before random endpoints: what becomes of connections is what a naive reading of the
//! objects says. Where one is not, proptest shrinks it, prints it and keeps its seed.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use policy_compiler::{Change, Object};
use proptest::prelude::*;
use reference::{Attempt, CLIENT, Client, Place, Row, Scene, Sender, Site, SiteNode, treat};
use serde_json::{Value, json};

use crate::service_table::{NAMESPACE, Net, read};

/// Nodes and a Service with its endpoints, which slices or Pods say, and who connects.
#[derive(Clone, Debug)]
struct Case {
    zones: [Option<&'static str>; 3],
    fields: Fields,
    servers: Vec<Server>,
    sliced: bool,
    asks: Vec<Ask>,
}

/// What a Service says.
#[derive(Clone, Debug)]
struct Fields {
    kind: &'static str,
    families: &'static str,
    policies: [&'static str; 2],
    ports: Vec<(&'static str, u16)>,
    balancer: Option<&'static str>,
    ranges: &'static [&'static str],
    publish: bool,
    distribution: Option<&'static str>,
    /// It has external addresses, and whether these count.
    external: Option<bool>,
}

/// Who may serve.
#[derive(Clone, Debug)]
struct Server {
    who: Who,
    /// Number of the node, from 1.
    node: u8,
    state: State,
    /// Hints, which only slices have.
    zone: Option<&'static str>,
    for_node: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Pod,
    /// The node itself.
    Host,
    /// Somebody who is on no node.
    Outsider,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Ready,
    Unready,
    Ending,
    Dying,
}

/// A connection.
#[derive(Clone, Debug)]
struct Ask {
    from: Opener,
    /// Number of the node where it enters.
    at: u8,
    to: &'static str,
    is_v6: bool,
    /// `None`: a port that nobody has.
    port: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Opener {
    Client,
    /// The endpoint of this number, if it is a Pod.
    Server(usize),
    Kernel,
    World,
    OtherNode,
}

fn case() -> impl Strategy<Value = Case> {
    let zone = || prop::option::of(prop::sample::select(vec!["a", "b"]));
    let zones = [zone(), zone(), zone()];
    let servers = prop::collection::vec(server(), 0..6);
    let asks = prop::collection::vec(ask(), 1..8);
    (zones, fields(), servers, any::<bool>(), asks).prop_map(
        |(zones, fields, servers, sliced, asks)| Case {
            zones,
            fields,
            servers,
            sliced,
            asks,
        },
    )
}

fn fields() -> impl Strategy<Value = Fields> {
    let policy = || prop::sample::select(vec!["Cluster", "Local"]);
    let ports = vec![("TCP", 80), ("UDP", 80), ("SCTP", 81)];
    const RANGES: [&[&str]; 4] = [
        &[],
        &["2001:db8:ffff::/48"],
        &["203.0.113.0/24", "2001:db8:ffff::/48"],
        &["10.10.0.0/16", "fd00:a::/32"],
    ];
    let distribution = vec!["PreferSameZone", "PreferSameNode"];
    (
        prop::sample::select(vec!["ClusterIP", "NodePort", "LoadBalancer"]),
        prop::sample::select(vec!["both", "v4", "v6"]),
        [policy(), policy()],
        prop::sample::subsequence(ports, 1..=3),
        prop::option::weighted(0.8, prop::sample::select(vec!["VIP", "Proxy"])),
        prop::sample::select(RANGES.to_vec()),
        any::<bool>(),
        prop::option::of(prop::sample::select(distribution)),
        prop::option::of(prop::bool::weighted(0.8)),
    )
        .prop_map(
            |(
                kind,
                families,
                policies,
                ports,
                balancer,
                ranges,
                publish,
                distribution,
                external,
            )| Fields {
                kind,
                families,
                policies,
                ports,
                balancer,
                ranges,
                publish,
                distribution,
                external,
            },
        )
}

fn server() -> impl Strategy<Value = Server> {
    let state = prop_oneof![
        6 => Just(State::Ready),
        1 => Just(State::Unready),
        2 => Just(State::Ending),
        1 => Just(State::Dying),
    ];
    let who = prop_oneof![6 => Just(Who::Pod), 1 => Just(Who::Host), 1 => Just(Who::Outsider)];
    let zone = prop::option::weighted(0.7, prop::sample::select(vec!["a", "b"]));
    let for_node = prop::option::weighted(0.7, 1..=3u8);
    (who, 1..=3u8, state, zone, for_node).prop_map(|(who, node, state, zone, for_node)| Server {
        who,
        node,
        state,
        zone,
        for_node,
    })
}

fn ask() -> impl Strategy<Value = Ask> {
    let from = prop_oneof![
        Just(Opener::Client),
        (0..6usize).prop_map(Opener::Server),
        Just(Opener::Kernel),
        Just(Opener::World),
        Just(Opener::OtherNode),
    ];
    let to = prop::sample::select(vec![
        "cluster",
        "cluster",
        "vip",
        "external",
        "node",
        "other node",
        "free",
    ]);
    let port = prop::option::weighted(0.9, 0..3usize);
    (from, 1..=3u8, to, any::<bool>(), port).prop_map(|(from, at, to, is_v6, port)| Ask {
        from,
        at,
        to,
        is_v6,
        port,
    })
}

impl Case {
    fn site(&self) -> Site {
        let nodes = self.zones.iter().zip(1..).map(|(zone, number)| SiteNode {
            name: node(number),
            zone: zone.map(str::to_owned),
            addresses: vec![host(number, false), host(number, true)],
        });
        Site {
            nodes: nodes.collect(),
            service_cidrs: vec!["10.96.0.0/16".to_owned(), "fd00:96::/112".to_owned()],
            external_ips: self.fields.external == Some(true),
        }
    }

    fn service(&self) -> Value {
        let fields = &self.fields;
        let addresses: Vec<IpAddr> = [false, true]
            .into_iter()
            .filter(|is_v6| self.has_family(*is_v6))
            .map(|is_v6| either(is_v6, [10, 96, 0, 10], [0xfd00, 0x96, 0, 0, 0, 0, 0, 0x10]))
            .collect();
        let ports = fields.ports.iter().zip(0..).map(|((protocol, port), n)| {
            let mut port = json!({
                "name": format!("p{n}"), "protocol": protocol, "port": port,
                "targetPort": target(n),
            });
            if fields.kind != "ClusterIP" {
                port["nodePort"] = node_port(n).into();
            }
            port
        });
        let [internal, external] = fields.policies;
        let balanced = fields.kind == "LoadBalancer" && fields.balancer.is_some();
        let vips: Vec<Value> = [false, true]
            .map(|is_v6| json!({"ip": vip(is_v6), "ipMode": fields.balancer}))
            .into();
        json!({
            "metadata": {"name": "web", "namespace": NAMESPACE},
            "spec": {
                "type": fields.kind, "clusterIPs": addresses, "clusterIP": addresses[0],
                "ports": ports.collect::<Vec<_>>(), "selector": {"app": "web"},
                "internalTrafficPolicy": internal, "externalTrafficPolicy": external,
                "loadBalancerSourceRanges": fields.ranges,
                "publishNotReadyAddresses": fields.publish,
                "trafficDistribution": fields.distribution,
                "externalIPs": fields.external.map(|_| [false, true].map(outer)),
            },
            "status": {"loadBalancer": {"ingress": if balanced { vips } else { Vec::new() }}},
        })
    }

    fn has_family(&self, is_v6: bool) -> bool {
        self.fields.families != if is_v6 { "v4" } else { "v6" }
    }

    /// Those who may serve, each address once; where Pods say it, Pods alone.
    fn servers(&self) -> impl Iterator<Item = (usize, &Server)> {
        let mut met = BTreeSet::new();
        let numbered = self.servers.iter().enumerate();
        numbered.filter(move |(_, server)| match server.who {
            Who::Pod => true,
            Who::Host => self.sliced && met.insert(server.node),
            Who::Outsider => self.sliced && met.insert(0),
        })
    }

    /// The slices: as they are written, or as the control plane would write them.
    fn slices(&self) -> Vec<Value> {
        let ports = self.fields.ports.iter().zip(0..);
        let ports: Vec<Value> = ports
            .map(|((protocol, _), n)| {
                json!({"name": format!("p{n}"), "protocol": protocol, "port": target(n)})
            })
            .collect();
        let mut slices = Vec::new();
        for (is_v6, family) in [(false, "IPv4"), (true, "IPv6")] {
            for half in 0..2 {
                let of_half = self.servers().filter(|(number, _)| number % 2 == half);
                let endpoints = of_half.map(|(n, server)| self.endpoint(n, server, is_v6));
                slices.push(json!({
                    "metadata": {
                        "name": format!("web-{family}-{half}").to_lowercase(), "namespace": NAMESPACE,
                        "labels": {"kubernetes.io/service-name": "web"},
                    },
                    "addressType": family, "ports": ports,
                    "endpoints": endpoints.collect::<Vec<_>>(),
                }));
            }
        }
        slices
    }

    fn endpoint(&self, number: usize, server: &Server, is_v6: bool) -> Value {
        let address = match server.who {
            Who::Pod => address(&place(number, server.node), is_v6),
            Who::Host => host(server.node, is_v6),
            Who::Outsider => either(
                is_v6,
                [203, 0, 113, 9],
                [0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 9],
            ),
        };
        let publish = self.fields.publish && !self.sliced;
        let conditions = match server.state {
            _ if publish => [true, true, false],
            State::Ready => [true, true, false],
            State::Unready => [false, false, false],
            State::Ending => [false, true, true],
            State::Dying => [false, false, true],
        };
        let [ready, serving, terminating] = conditions;
        let (zone, for_node) = if self.sliced {
            (server.zone, server.for_node)
        } else {
            // "...hints of all ready endpoints": their zone, and with PreferSameNode their node.
            let distribution = self.fields.distribution;
            let zone = self.zones[usize::from(server.node) - 1];
            (
                zone.filter(|_| ready && distribution.is_some()),
                (ready && distribution == Some("PreferSameNode")).then_some(server.node),
            )
        };
        let mut endpoint = json!({
            "addresses": [address],
            "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
            "hints": {
                "forZones": zone.map(|zone| vec![json!({"name": zone})]),
                "forNodes": for_node.map(|number| vec![json!({"name": node(number)})]),
            },
        });
        if server.who != Who::Outsider {
            endpoint["nodeName"] = node(server.node).into();
        }
        endpoint
    }

    /// Pods that say themselves whether they serve.
    fn pods(&self) -> Vec<Change> {
        let pods = self.servers().map(|(number, server)| {
            let is_ready = matches!(server.state, State::Ready | State::Ending);
            let is_ending = matches!(server.state, State::Ending | State::Dying);
            let mut pod = json!({
                "metadata": {
                    "name": name(number), "namespace": NAMESPACE, "labels": {"app": "web"},
                },
                "spec": {"nodeName": node(server.node), "containers": []},
                "status": {"conditions": [
                    {"type": "Ready", "status": if is_ready { "True" } else { "False" }},
                ]},
            });
            if is_ending {
                pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            Change::Apply(Object::Pod(read(pod)))
        });
        pods.collect()
    }

    /// What is asked, as far as it can be: an endpoint asks where it is.
    fn row(&self, scene: &Scene, slices: &[Value], ask: &Ask) -> Option<Row> {
        let client = |number| place_of(CLIENT, number);
        let (client, sender, at) = match ask.from {
            Opener::Client => (Client::Pod(client(ask.at)), Sender::Pod, ask.at),
            Opener::Server(number) => {
                let mut pods = self.servers().filter(|(_, server)| server.who == Who::Pod);
                let (number, server) = pods.find(|(other, _)| *other == number)?;
                let place = place(number, server.node);
                (Client::Pod(place), Sender::Pod, server.node)
            }
            Opener::Kernel => (Client::Kernel, Sender::Node, ask.at),
            Opener::World | Opener::OtherNode => (Client::Kernel, Sender::Elsewhere, ask.at),
        };
        let source = match (&client, ask.from) {
            (Client::Pod(place), _) => address(place, ask.is_v6),
            (_, Opener::Kernel) => host(at, ask.is_v6),
            (_, Opener::OtherNode) => host(at % 3 + 1, ask.is_v6),
            _ => either(
                ask.is_v6,
                [203, 0, 113, 7],
                [0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 7],
            ),
        };
        let to = match ask.to {
            "cluster" => either(
                ask.is_v6,
                [10, 96, 0, 10],
                [0xfd00, 0x96, 0, 0, 0, 0, 0, 0x10],
            ),
            "free" => either(
                ask.is_v6,
                [10, 96, 0, 99],
                [0xfd00, 0x96, 0, 0, 0, 0, 0, 0x99],
            ),
            "vip" => vip(ask.is_v6),
            "external" => outer(ask.is_v6),
            "node" => host(at, ask.is_v6),
            // Only Pods' connections to other nodes enter here.
            _ if sender == Sender::Pod => host(at % 3 + 1, ask.is_v6),
            _ => return None,
        };
        let is_node = ask.to.contains("node");
        let (protocol, port) = match ask.port {
            None => ("TCP", 9),
            Some(n) => {
                let (protocol, port) = *self.fields.ports.get(n)?;
                let number = u16::try_from(n).expect("few ports");
                (protocol, if is_node { node_port(number) } else { port })
            }
        };
        let attempt = Attempt {
            sender,
            source,
            enters: node(at),
            destination: SocketAddr::new(to, port),
            protocol: protocol.to_owned(),
        };
        let slices: Vec<_> = slices.iter().map(|slice| *read(slice.clone())).collect();
        let expected = treat(&scene.site, &scene.services, &slices, &attempt);
        Some(Row {
            text: format!("{ask:?}"),
            client,
            attempt,
            expected,
        })
    }

    fn scene(&self, slices: &[Value]) -> Scene {
        let clients = (1..=3).map(|number| place_of(CLIENT, number));
        let servers = self.servers().filter(|(_, server)| server.who == Who::Pod);
        let servers = servers.map(|(number, server)| place(number, server.node));
        let slices = slices.iter().filter(|_| self.sliced);
        Scene {
            topic: String::new(),
            sentence: String::new(),
            site: self.site(),
            services: vec![*read(self.service())],
            slices: slices.map(|slice| *read(slice.clone())).collect(),
            pods: clients.chain(servers).collect(),
            rows: Vec::new(),
        }
    }
}

fn either(is_v6: bool, v4: [u8; 4], v6: [u16; 8]) -> IpAddr {
    if is_v6 {
        IpAddr::from(v6)
    } else {
        IpAddr::from(v4)
    }
}

fn vip(is_v6: bool) -> IpAddr {
    either(
        is_v6,
        [198, 51, 100, 10],
        [0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 0x10],
    )
}

fn outer(is_v6: bool) -> IpAddr {
    either(
        is_v6,
        [198, 51, 100, 20],
        [0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 0x20],
    )
}

fn host(number: u8, is_v6: bool) -> IpAddr {
    let last = number.into();
    either(
        is_v6,
        [192, 0, 2, number],
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, last],
    )
}

fn node(number: u8) -> String {
    format!("node-{number}")
}

const fn target(port: u16) -> u16 {
    8080 + port
}

const fn node_port(port: u16) -> u16 {
    30_080 + port
}

fn name(number: usize) -> String {
    format!("s{number}")
}

fn place(number: usize, node: u8) -> Place {
    let mut place = place_of(&name(number), node);
    let last = 20 + u8::try_from(number).expect("few endpoints");
    place.v4 = Ipv4Addr::new(10, 10, node, last);
    place.v6 = Ipv6Addr::new(0xfd00, 0xa, node.into(), 0, 0, 0, 0, last.into());
    place
}

fn place_of(name: &str, node: u8) -> Place {
    Place {
        name: name.to_owned(),
        node,
        v4: Ipv4Addr::new(10, 10, node, 5),
        v6: Ipv6Addr::new(0xfd00, 0xa, node.into(), 0, 0, 0, 0, 5),
    }
}

fn address(place: &Place, is_v6: bool) -> IpAddr {
    if is_v6 {
        place.v6.into()
    } else {
        place.v4.into()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn connections_to_random_services_go_where_a_naive_reading_of_them_says(case in case()) {
        let slices = case.slices();
        let scene = case.scene(&slices);
        let pods = if case.sliced { Vec::new() } else { case.pods() };
        let mut net = Net::with(&scene, pods);
        for ask in &case.asks {
            let Some(row) = case.row(&scene, &slices, ask) else {
                continue;
            };
            let found = net.treat(&row);
            prop_assert_eq!(found.as_ref(), Ok(&row.expected), "{} of {:#?}", row.text, row.attempt);
        }
    }
}
