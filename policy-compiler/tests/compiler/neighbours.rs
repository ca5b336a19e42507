// SPDX-License-Identifier: Apache-2.0
//! What a Pod asks its link about: answered for the gateway, dropped by name for all else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow_sim::MacAddr;
use flow_sim::packet::{Icmp, Packet, Payload, Transport};
use policy_compiler::model::{Families, Family};
use policy_compiler::pipeline::{GATEWAY_IPV4, GATEWAY_IPV6, GATEWAY_MAC};
use policy_compiler::{Change, Compiler, Config};

use crate::packets::{Net, mac};
use crate::world::{self, PodSpecimen};

const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x858, 0xaff, 0xfe0a, 0x102);

fn pod() -> PodSpecimen {
    PodSpecimen {
        namespace: 0,
        number: 0,
        node: 0,
        labels: world::Labels::new(),
        http: None,
        families: Families::Both,
    }
}

fn compiler(pod: &PodSpecimen) -> Compiler {
    let mut compiler = Compiler::new(&Config {
        cluster_secret: [9; 32],
    });
    let plugged = [
        Change::Apply(pod.object()),
        Change::Attach(pod.attachment(true)),
    ];
    let nodes = world::nodes(Families::Both, Family::V4);
    compiler.apply(nodes.into_iter().chain(plugged));
    compiler
}

fn own(pod: &PodSpecimen) -> (MacAddr, Ipv4Addr, Ipv6Addr) {
    match (pod.address(Family::V4), pod.address(Family::V6)) {
        (Some(IpAddr::V4(v4)), Some(IpAddr::V6(v6))) => (mac(pod.mac().0), v4, v6),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_guest_that_asks_learns_the_gateways_link_layer_address() {
    let pods = [pod()];
    let (sha, v4, v6) = own(&pods[0]);
    let mut net = Net::new(&compiler(&pods[0]), &pods);
    let answer = net.send(0, Packet::arp_request(sha, v4, GATEWAY_IPV4));
    let Payload::Arp(arp) = answer.expect("ARP is answered").packet.payload else {
        panic!("not an ARP message")
    };
    assert_eq!(
        (arp.op, arp.spa, arp.sha),
        (2, GATEWAY_IPV4, mac(GATEWAY_MAC.0))
    );
    // From the address that it has traffic for, or from that of its link.
    for from in [v6, LINK_LOCAL] {
        let answer = net.send(0, Packet::solicitation(sha, from, GATEWAY_IPV6));
        let packet = answer.expect("the solicitation is answered").packet;
        let ip = packet.as_ip().unwrap();
        assert_eq!(
            (ip.src, ip.dst, ip.ttl),
            (GATEWAY_IPV6.into(), from.into(), 255)
        );
        let Transport::Icmp(icmp) = &ip.transport else {
            panic!("not ICMPv6")
        };
        assert_eq!((icmp.kind, icmp.nd_target), (136, Some(GATEWAY_IPV6)));
        assert_eq!(
            (icmp.nd_options_type, icmp.nd_tll),
            (2, Some(mac(GATEWAY_MAC.0)))
        );
        // Router, solicited, override.
        assert_eq!(icmp.nd_reserved, 0xe000_0000);
    }
}

#[test]
fn what_else_a_guest_says_to_its_link_is_dropped_by_name() {
    let pods = [pod()];
    let (sll, _, v6) = own(&pods[0]);
    let compiler = compiler(&pods[0]);
    let mut net = Net::new(&compiler, &pods);
    let of_kind = |kind| {
        let icmp = Icmp {
            kind,
            ..Icmp::default()
        };
        let all_routers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
        Packet::ip(LINK_LOCAL, all_routers, Transport::Icmp(icmp))
    };
    let cases = [
        (
            Packet::solicitation(OTHER, v6, GATEWAY_IPV6),
            "not the Pod's own",
        ),
        (
            Packet::solicitation(sll, "fd00:a:1::99".parse().unwrap(), GATEWAY_IPV6),
            "not the Pod's own",
        ),
        (
            Packet::solicitation(sll, Ipv6Addr::UNSPECIFIED, LINK_LOCAL),
            "not the Pod's own",
        ),
        (
            Packet::solicitation(sll, v6, "fd00:a:1::3".parse().unwrap()),
            "anything but the gateway",
        ),
        (of_kind(136), "neighbour advertisements"),
        (of_kind(133), "router solicitations"),
        (of_kind(134), "router advertisements"),
        (of_kind(137), "redirects"),
        (of_kind(143), "multicast listener discovery"),
        (of_kind(128), "addresses that are not its own"),
    ];
    for (packet, reason) in cases {
        let text = packet.to_string();
        let execution = net.execute(0, packet);
        assert!(execution.outputs.is_empty(), "{text} was not dropped");
        let by = execution.drops.first().and_then(|drop| drop.by.cookie);
        let explained = compiler.explain(by.expect("a flow dropped it"));
        let why = explained[0].causes[0].why.to_string();
        assert!(why.contains(reason), "{text} is dropped because it {why}");
    }
}
