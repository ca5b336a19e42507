// SPDX-License-Identifier: Apache-2.0
//! `route`: where the destination is.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use openflow_codec::{Action, Field, Match, PortNo};

use super::family::{self, number};
use super::{GatewayPort, PodPort, Wanted, node, pipeline, pod};
use crate::model::{Families, Family};
use crate::pipeline::{GATEWAY_MAC, HOST_MAC, Spec, Table, priority, register};

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
    let mut flows: Vec<Wanted> = own.chain(world).collect();
    flows.push(node(
        back,
        "drops what its own kernel sends to addresses of no Pod",
    ));
    flows
}

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
    addresses.map(|address| at_address(port, address))
}

fn at_address(port: &PodPort, address: IpAddr) -> Wanted {
    let isolated = if port.ingress_isolated {
        register::DESTINATION_ISOLATED
    } else {
        0
    };
    let spec = Spec::new(Table::Route, priority::LOCAL)
        .matching(family::to(address))
        .act(Action::set(Field::EthSrc, GATEWAY_MAC))
        .act(Action::set(Field::EthDst, port.mac))
        .act(Action::set(register::OUT_PORT, port.port.0))
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
        .goto(Table::Reply);
    pod(spec, "receives what is sent to its address")
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
