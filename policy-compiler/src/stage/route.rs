// SPDX-License-Identifier: Apache-2.0
//! `route`: where the destination is.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use openflow_codec::{Action, Field, Match, PortNo};

use super::family::{self, number};
use super::{GatewayPort, PodPort, Wanted, node, pipeline, pod, set_masquerade, tracked};
use crate::model::{Families, Family, Protocol};
use crate::pipeline::register::{self, ct_state};
use crate::pipeline::{GATEWAY_MAC, HOST_MAC, Spec, TUNNEL_UDP_PORT, Table, priority};

pub(super) fn fixed() -> Vec<Wanted> {
    let nowhere = Spec::new(Table::Route, priority::DEFAULT);
    vec![pipeline(nowhere, "drops packets to addresses of nobody")]
}

/// What came by the tunnel never goes back into it: no loops between nodes.
pub(super) fn tunnel_port(port: PortNo) -> Vec<Wanted> {
    let flow_match = Match::any().with(Field::InPort, port.0);
    let spec = Spec::new(Table::Route, priority::NO_TRANSIT).matching(flow_match);
    vec![node(
        spec,
        "drops tunnelled packets to addresses of nobody here",
    )]
}

/// The node itself and the world behind it: the node's kernel, by the gateway port.
pub(super) fn gateway_port(gateway: &GatewayPort, families: Families) -> Vec<Wanted> {
    let own = gateway.addresses.iter().map(|address| {
        let spec = to_kernel(gateway.port, priority::LOCAL, register::HOST);
        let why = "receives what is sent to its address";
        node(spec.matching(family::to(*address)), why)
    });
    let world = families.iter().map(|family| {
        let spec = to_kernel(gateway.port, priority::WORLD, register::WORLD);
        let why = format!("sends {family} to the outside by its own kernel");
        node(spec.matching(family.packets()), why)
    });
    let from_kernel = Match::any().with(Field::InPort, gateway.port.0);
    let back = Spec::new(Table::Route, priority::NO_HAIRPIN).matching(from_kernel);
    let forged = gateway.addresses.iter().map(|address| {
        let tunnelled = family::to(*address)
            .with(Field::IpProto, Protocol::Udp.number())
            .with(Field::UdpDst, TUNNEL_UDP_PORT);
        let spec = Spec::new(Table::Route, priority::FORGED_TUNNEL).matching(tunnelled);
        node(
            spec,
            "drops tunnelled packets to its address: nodes send them on the underlay",
        )
    });
    let mut flows: Vec<Wanted> = own.chain(world).chain(forged).collect();
    flows.push(node(
        back,
        "drops what its own kernel sends to addresses of no Pod",
    ));
    flows.extend(services_of_kernel(gateway, families));
    flows
}

/// The kernel and the world behind it as clients of Services: what the kernel sends may go back to it
/// when it was translated, always masqueraded, for it would send its answer past the switch; and answers
/// find the client wherever they come from.
fn services_of_kernel(gateway: &GatewayPort, families: Families) -> Vec<Wanted> {
    let port = gateway.port;
    let from_kernel = |flow_match: Match| flow_match.with(Field::InPort, port.0);
    let mut flows = Vec::new();
    for address in &gateway.addresses {
        let back = || to_kernel(BACK, priority::HAIRPIN, register::HOST);
        let to = || from_kernel(family::to(*address));
        for (spec, what) in [
            (
                back().matching(to_service(to())).act(set_masquerade()),
                "to Services",
            ),
            (back().matching(from_service(to())), "that answer"),
        ] {
            let why = format!("takes packets {what} back from its own kernel at {address}");
            flows.push(node(spec, why));
        }
    }
    for family in families.iter() {
        let service = to_service(from_kernel(family.packets()));
        let answer = from_service(family.packets());
        let spec = to_kernel(BACK, priority::SERVICE_OUTSIDE, register::WORLD)
            .matching(service)
            .act(set_masquerade());
        let why = format!("sends {family} of its own kernel to Services that lead outside");
        flows.push(node(spec, why));
        let client = to_kernel(port, priority::TO_CLIENT_OUTSIDE, register::WORLD);
        let why = format!("sends {family} answers of Services to clients outside");
        flows.push(node(client.matching(answer.clone()), why));
        let client = to_kernel(BACK, priority::TO_CLIENT_OUTSIDE_BACK, register::WORLD);
        let why = format!("sends {family} answers of its own kernel to clients outside");
        flows.push(node(client.matching(from_kernel(answer)), why));
    }
    flows
}

/// What a client sends to a Service. Conntrack of the kernel says of it that the source was translated,
/// too, because it looked whether that was needed; that of the userspace datapath does not.
fn to_service(flow_match: Match) -> Match {
    tracked(flow_match, ct_state::DNAT, ct_state::RPL)
}

/// What comes back from a Service.
fn from_service(flow_match: Match) -> Match {
    tracked(flow_match, ct_state::SNAT | ct_state::RPL, 0)
}

/// By the port that the packet came in by, in the 16 bits that OVS reads of a register.
const BACK: PortNo = PortNo(PortNo::IN_PORT.0 & 0xffff);

fn to_kernel(port: PortNo, priority: u16, who: u128) -> Spec {
    Spec::new(Table::Route, priority)
        .act(Action::set(Field::EthSrc, GATEWAY_MAC))
        .act(Action::set(Field::EthDst, HOST_MAC))
        .act(Action::set(register::OUT_PORT, port.0))
        .act(Action::set_masked(
            register::DESTINATION,
            register::VALID | who,
            register::WIRE_MASK,
        ))
        .goto(Table::Reply)
}

/// Addresses of a node that no Pod has, and to which there is no way: not to be mistaken for the
/// world's.
pub(crate) fn nobody_in(cidr: IpNetwork) -> Wanted {
    let spec = Spec::new(Table::Route, priority::NORMAL).matching(in_cidr(cidr));
    node(
        spec,
        format!("drops packets to addresses in {cidr} of no Pod"),
    )
}

fn in_cidr(cidr: IpNetwork) -> Match {
    family::within(Match::any(), Family::of_network(cidr).dst(), cidr)
}

/// A Pod of this node: rewrites the link layer and says who receives.
pub(super) fn pod_port(port: &PodPort) -> impl Iterator<Item = Wanted> {
    let addresses = port.addresses.iter();
    addresses.flat_map(|address| at_address(port, address))
}

/// A Pod that a Service leads back to itself is masqueraded: it would not send its answer out.
fn at_address(port: &PodPort, address: IpAddr) -> [Wanted; 3] {
    let from_itself = |translated: fn(Match) -> Match| {
        let back = family::to(address).with(Field::InPort, port.port.0);
        deliver(port, BACK, priority::HAIRPIN).matching(translated(back))
    };
    let through_service = from_itself(to_service).act(set_masquerade());
    [
        pod(
            deliver(port, port.port, priority::LOCAL).matching(family::to(address)),
            "receives what is sent to its address",
        ),
        pod(
            through_service,
            "receives what it sends to itself through a Service, masqueraded",
        ),
        pod(
            from_itself(from_service),
            "receives what it answers to itself through a Service",
        ),
    ]
}

fn deliver(port: &PodPort, out: PortNo, priority: u16) -> Spec {
    let isolated = if port.ingress_isolated {
        register::DESTINATION_ISOLATED
    } else {
        0
    };
    Spec::new(Table::Route, priority)
        .act(Action::set(Field::EthSrc, GATEWAY_MAC))
        .act(Action::set(Field::EthDst, port.mac))
        .act(Action::set(register::OUT_PORT, out.0))
        .act(Action::set_masked(
            register::DESTINATION_FLAGS,
            isolated,
            register::DESTINATION_ISOLATED,
        ))
        .act(Action::set_masked(
            register::DESTINATION,
            port.wire_identity,
            register::WIRE_MASK,
        ))
        .goto(Table::Reply)
}

/// Pods of another node: the tunnel to it.
pub(crate) fn to_pods_of(address: IpAddr, cidr: IpNetwork) -> Wanted {
    let spec = by_tunnel(address).matching(in_cidr(cidr));
    node(
        spec,
        format!("reaches its Pods, {cidr}, by the tunnel to {address}"),
    )
}

/// Another node itself, at one of its addresses: by the tunnel too, so that answers take the same
/// way and both nodes see both directions.
pub(crate) fn to_node(address: IpAddr, at: IpAddr) -> Wanted {
    let spec = by_tunnel(address).matching(family::to(at));
    node(
        spec,
        format!("reaches its address {at} by the tunnel to {address}"),
    )
}

fn by_tunnel(address: IpAddr) -> Spec {
    Spec::new(Table::Route, priority::NORMAL)
        .act(Action::set(Family::of(address).tun_dst(), number(address)))
        .goto(Table::TunnelOut)
}
