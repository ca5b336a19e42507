// SPDX-License-Identifier: Apache-2.0
//! Pods, the nodes they run on, and the world: what passes by the gateway port.

use std::net::IpAddr;

use flow_sim::{Output, Packet};
use policy_compiler::model::{Families, Family};
use policy_compiler::pipeline::{GATEWAY_MAC, HOST_MAC};
use proptest::prelude::*;
use reference::{Outcome, Party};

use crate::packets::{Net, mac};
use crate::verdicts::{Cluster, cluster, open, plain};
use crate::world;

const CLIENT: u16 = 40_000;

/// An address of no Pod, by family.
fn outside(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([203, 0, 113, 7]),
        Family::V6 => IpAddr::from([0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 7]),
    }
}

/// Somebody that is no Pod.
fn no_pod(address: IpAddr) -> Party {
    Party {
        namespace: String::new(),
        namespace_labels: Default::default(),
        labels: Default::default(),
        address,
        named_ports: Vec::new(),
    }
}

/// A packet comes from a node's own kernel.
pub(crate) fn from_kernel(
    net: &mut Net<'_>,
    node: usize,
    packet: Packet,
) -> Option<(usize, Output)> {
    let packet = packet
        .with_eth(mac(HOST_MAC.0), mac(GATEWAY_MAC.0))
        .arriving_on(world::GATEWAY_PORT);
    net.carry(node, packet)
}

/// A packet comes from a Pod.
pub(crate) fn from_pod(
    net: &mut Net<'_>,
    cluster: &Cluster,
    pod: usize,
    packet: Packet,
) -> Option<(usize, Output)> {
    let pod = &cluster.pods[pod];
    let packet = packet
        .with_eth(mac(pod.mac().0), mac(GATEWAY_MAC.0))
        .arriving_on(pod.port());
    net.carry(pod.node, packet)
}

/// Who beside Pods a Pod may talk to over its address `own`: an address, the node whose kernel sends
/// from it to this Pod, and the node whose kernel gets what the Pod sends there.
fn others(cluster: &Cluster, pod: usize, own: IpAddr) -> Vec<(IpAddr, usize, usize)> {
    let home = cluster.pods[pod].node;
    let mut others = vec![(outside(Family::of(own)), home, home)];
    for node in 0..world::NODES.len() {
        let address = world::node_address(node, cluster.underlay);
        if Family::of(address) == Family::of(own) {
            others.push((address, node, node));
        }
    }
    others
}

/// Whether a packet went where it should when it may pass, and nowhere when it may not.
fn is_as_expected<T: PartialEq>(expected: Outcome, place: Option<T>, right: T) -> bool {
    match expected {
        Outcome::Passes => place == Some(right),
        Outcome::Dropped => place.is_none(),
        Outcome::Either => place.is_none_or(|place| place == right),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn policy_holds_for_everybody_that_is_no_pod_but_the_pods_own_node(cluster in cluster()) {
        let compiler = cluster.compile();
        let mut net = Net::new(&compiler, &cluster.pods);
        let mut client = CLIENT..;
        let pods = (0..cluster.pods.len()).flat_map(|pod| {
            let addresses = cluster.pods[pod].addresses().iter();
            addresses.map(move |own| (pod, own))
        });
        for (pod, own) in pods {
            let this = cluster.party(pod, own);
            let port = cluster.pods[pod].port();
            let home = cluster.pods[pod].node;
            for (address, sends, receives) in others(&cluster, pod, own) {
                let other = no_pod(address);
                let is_home = address == world::node_address(home, cluster.underlay);
                for number in [80, 81] {
                    // In.
                    let client_port = client.next().expect("few probes");
                    let packet = Packet::tcp((address, client_port), (own, number));
                    let expected = if is_home {
                        Outcome::Passes
                    } else {
                        cluster.judge_parties(&other, &this, "TCP", number)
                    };
                    let seen = from_kernel(&mut net, sends, packet);
                    let place = seen.as_ref().map(|(node, output)| (*node, output.port));
                    prop_assert!(
                        is_as_expected(expected, place, (home, port)),
                        "{address} -> {own}:{number} {place:?} and not {expected:?}"
                    );
                    if let Some((_, output)) = seen {
                        let answer = from_pod(&mut net, &cluster, pod, output.packet.answer());
                        let (node, output) = answer.expect("the answer passes");
                        prop_assert_eq!((node, output.port), (receives, world::GATEWAY_PORT));
                        prop_assert_eq!(output.packet.eth_dst, mac(HOST_MAC.0));
                    }
                    // Out.
                    let client_port = client.next().expect("few probes");
                    let packet = Packet::tcp((own, client_port), (address, number));
                    let expected = cluster.judge_parties(&this, &other, "TCP", number);
                    let seen = from_pod(&mut net, &cluster, pod, packet);
                    let place = seen.as_ref().map(|(node, output)| (*node, output.port));
                    prop_assert!(
                        is_as_expected(expected, place, (receives, world::GATEWAY_PORT)),
                        "{own} -> {address}:{number} {place:?} and not {expected:?}"
                    );
                    if let Some((_, output)) = seen {
                        let answer = from_kernel(&mut net, sends, output.packet.answer());
                        let (node, output) = answer.expect("the answer passes");
                        prop_assert_eq!((node, output.port), (home, port));
                    }
                }
            }
        }
    }
}

#[test]
fn what_the_kernel_forwards_to_an_address_of_no_pod_is_not_sent_back_to_it() {
    let pods = [plain(0, Families::Both)];
    let cluster = open(&pods);
    let mut net = Net::new(&cluster.compile(), &pods);
    for free in [
        "10.10.1.99",
        "203.0.113.99",
        "fd00:a:1::99",
        "2001:db8:ffff::9",
    ] {
        let free: IpAddr = free.parse().unwrap();
        let packet = Packet::udp((outside(Family::of(free)), 1), (free, 2));
        assert!(from_kernel(&mut net, 0, packet).is_none(), "{free}");
    }
}

#[test]
fn an_address_of_no_pod_in_a_pod_cidr_is_not_the_worlds() {
    let pods = [plain(0, Families::Both)];
    let cluster = open(&pods);
    let mut net = Net::new(&cluster.compile(), &pods);
    for free in ["10.10.1.99", "10.10.2.99", "fd00:a:1::99", "fd00:a:2::99"] {
        let free: IpAddr = free.parse().unwrap();
        let own = pods[0].address(Family::of(free)).unwrap();
        let packet = Packet::udp((own, 1), (free, 2));
        assert!(from_pod(&mut net, &cluster, 0, packet).is_none(), "{free}");
    }
}

#[test]
fn a_pod_cannot_send_tunnelled_packets_to_a_node() {
    let pods = [plain(0, Families::Both)];
    let cluster = open(&pods);
    let mut net = Net::new(&cluster.compile(), &pods);
    let own = pods[0].address(cluster.underlay).expect("a Pod of both");
    for node in 0..world::NODES.len() {
        let address = world::node_address(node, cluster.underlay);
        let mut reaches = |packet| from_pod(&mut net, &cluster, 0, packet).is_some();
        assert!(
            !reaches(Packet::udp((own, 6081), (address, 6081))),
            "{node}"
        );
        assert!(reaches(Packet::udp((own, 6081), (address, 6082))), "{node}");
        assert!(reaches(Packet::tcp((own, 6081), (address, 6081))), "{node}");
    }
}
