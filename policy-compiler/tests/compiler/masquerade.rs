// SPDX-License-Identifier: Apache-2.0
//! Connections to Services whose answers would miss the switch: hairpins, and what the kernel sends.

use std::net::IpAddr;

use flow_sim::packet::tcp;
use flow_sim::{Output, Packet};
use policy_compiler::model::{Families, Family};
use policy_compiler::{Change, Compiler, Object};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::gateway::{from_kernel, from_pod};
use crate::packets::Net;
use crate::service_table::read;
use crate::verdicts::{Cluster, open, plain};
use crate::world::{self, PodSpecimen};

const CLIENT: u16 = 40_000;

/// The second address of a node's Pod CIDR.
fn masquerade_address(node: usize, family: Family) -> IpAddr {
    world::in_pod_cidr(node as u8 + 1, family, 1)
}

fn vip(family: Family) -> IpAddr {
    match family {
        Family::V4 => world::VIPS[0],
        Family::V6 => world::VIPS[1],
    }
    .parse()
    .expect("an address")
}

fn packets(from: IpAddr, family: Family) -> [Packet; 2] {
    let (from, to) = ((from, CLIENT), (vip(family), world::SERVICE_PORT));
    [Packet::tcp(from, to), Packet::udp(from, to)]
}

fn labels() -> world::Labels {
    world::Labels::from([("app".to_owned(), "a".to_owned())])
}

/// The Pods, and a Service of theirs.
fn cluster(pods: &[PodSpecimen]) -> Cluster {
    Cluster {
        service: labels(),
        ..open(pods)
    }
}

fn ends(output: &Output) -> (IpAddr, IpAddr) {
    let ip = output.packet.as_ip().expect("an IP packet");
    (ip.src, ip.dst)
}

fn pod_on(node: usize) -> [PodSpecimen; 1] {
    let mut pod = plain(0, Families::Both);
    pod.node = node;
    pod.labels = labels();
    [pod]
}

#[test]
fn a_pod_reaches_itself_through_a_service_under_the_masquerade_address() {
    let pods = pod_on(0);
    let cluster = cluster(&pods);
    let compiler = cluster.compile();
    let mut net = Net::new(&compiler, &pods);
    for family in Family::ALL {
        let own = pods[0].address(family).unwrap();
        for packet in packets(own, family) {
            let to_pod = (masquerade_address(0, family), own);
            let mut seen = Vec::new();
            // A client that heard nothing says the same once more.
            for _ in 0..2 {
                let (_, first) = from_pod(&mut net, &cluster, 0, packet.clone()).unwrap();
                assert_eq!(ends(&first), to_pod);
                seen.push(first.packet);
            }
            assert_eq!(seen[0], seen[1]);
            let answer = seen[0].answer();
            let (_, answer) = from_pod(&mut net, &cluster, 0, answer).expect("the answer");
            assert_eq!(ends(&answer), (vip(family), own));
            let next = packet.clone().with_tcp_flags(tcp::ACK);
            let (_, next) = from_pod(&mut net, &cluster, 0, next).expect("the connection goes on");
            assert_eq!(ends(&next), to_pod);
        }
    }
}

#[test]
fn policy_judges_a_hairpin_by_its_pod_and_not_by_the_masquerade_address() {
    // ClusterNetworkPolicy says that such a connection is subject to policy.
    let pods = pod_on(0);
    let cluster = cluster(&pods);
    let mut compiler = cluster.compile();
    let own = pods[0].address(Family::V4).unwrap();
    let mut client = CLIENT..;
    let mut passes = |compiler: &Compiler| {
        let mut net = Net::new(compiler, &pods);
        let from = (own, client.next().expect("few probes"));
        let packet = Packet::tcp(from, (vip(Family::V4), world::SERVICE_PORT));
        from_pod(&mut net, &cluster, 0, packet).is_some()
    };
    assert!(passes(&compiler));
    compiler.apply([Change::Apply(world::only_from_block(
        "only",
        "10.10.1.1/32",
    ))]);
    assert!(!passes(&compiler));
    compiler.apply([Change::Apply(world::only_from_block(
        "only",
        &format!("{own}/32"),
    ))]);
    assert!(passes(&compiler));
}

#[test]
fn the_kernel_and_the_world_reach_services_on_their_node_and_on_another() {
    for home in [0, 1] {
        let pods = pod_on(home);
        let cluster = cluster(&pods);
        let compiler = cluster.compile();
        let mut net = Net::new(&compiler, &pods);
        let node = world::node_address(0, Family::V4);
        let outside = IpAddr::from([203, 0, 113, 7]);
        for (client, packet) in [node, outside].map(|client| (client, packets(client, Family::V4)))
        {
            for packet in packet {
                let own = pods[0].address(Family::V4).unwrap();
                let (at, first) = from_kernel(&mut net, 0, packet.clone()).expect("it arrives");
                assert_eq!((at, first.port), (home, pods[0].port()));
                assert_eq!(ends(&first), (masquerade_address(0, Family::V4), own));
                let answer = first.packet.answer();
                let (at, answer) = from_pod(&mut net, &cluster, 0, answer).expect("the answer");
                assert_eq!((at, answer.port), (0, world::GATEWAY_PORT));
                assert_eq!(ends(&answer), (vip(Family::V4), client));
                let next = packet.with_tcp_flags(tcp::ACK);
                let (_, next) = from_kernel(&mut net, 0, next).expect("it goes on");
                assert_eq!(ends(&next), (masquerade_address(0, Family::V4), own));
            }
        }
    }
}

#[test]
fn what_the_kernel_sends_to_a_pod_directly_keeps_its_source() {
    let pods = pod_on(0);
    let cluster = cluster(&pods);
    let mut net = Net::new(&cluster.compile(), &pods);
    let own = pods[0].address(Family::V4).unwrap();
    let node = world::node_address(0, Family::V4);
    let packet = Packet::tcp((node, CLIENT), (own, world::TARGET_PORT));
    let (_, seen) = from_kernel(&mut net, 0, packet).expect("a probe of kubelet");
    assert_eq!(ends(&seen), (node, own));
}

#[test]
fn nobody_is_behind_the_masquerade_address() {
    let pods = pod_on(0);
    let cluster = cluster(&pods);
    let mut net = Net::new(&cluster.compile(), &pods);
    for family in Family::ALL {
        let own = pods[0].address(family).unwrap();
        let packet = Packet::udp((own, 1), (masquerade_address(0, family), 2));
        assert!(from_pod(&mut net, &cluster, 0, packet.clone()).is_none());
        assert!(from_kernel(&mut net, 0, packet).is_none());
    }
}

#[test]
fn what_is_sent_again_before_the_answer_is_not_taken_for_another_services() {
    let pods = pod_on(0);
    let cluster = cluster(&pods);
    let mut compiler = cluster.compile();
    let own = pods[0].address(Family::V4).unwrap();
    // The endpoint of one Service is where the other has its node port.
    let node = world::node_address(1, Family::V4);
    compiler.apply([
        applied(
            Object::Service,
            json!({
                "metadata": {"namespace": "x", "name": "host"},
                "spec": {"clusterIP": "10.96.0.77", "ports": [{"port": 80}]},
            }),
        ),
        applied(
            Object::EndpointSlice,
            json!({
                "metadata": {"namespace": "x", "name": "host-1",
                    "labels": {"kubernetes.io/service-name": "host"}},
                "addressType": "IPv4", "ports": [{"name": "", "port": 30080}],
                "endpoints": [{"addresses": [node]}],
            }),
        ),
        applied(
            Object::Service,
            json!({
                "metadata": {"namespace": "x", "name": "other"},
                "spec": {"clusterIP": "10.96.0.78", "type": "NodePort",
                    "selector": labels(), "ports": [{"port": 80, "nodePort": 30080}]},
            }),
        ),
    ]);
    let mut net = Net::new(&compiler, &pods);
    let to: IpAddr = "10.96.0.77".parse().expect("an address");
    let packet = Packet::tcp((own, CLIENT), (to, 80));
    for _ in 0..2 {
        let sent = from_pod(&mut net, &cluster, 0, packet.clone());
        let (_, sent) = sent.expect("it leaves by the other node's gateway port");
        assert_eq!(ends(&sent), (own, node));
    }
}

fn applied<T: DeserializeOwned>(kind: fn(Box<T>) -> Object, object: Value) -> Change {
    Change::Apply(kind(read(object)))
}
