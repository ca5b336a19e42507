// SPDX-License-Identifier: Apache-2.0
//! `route`: where the destination is.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use openflow_codec::{Action, Field, Match, PortNo};

use super::family::{self, number};
use super::{PodPort, Wanted, node, pipeline, pod};
use crate::model::Family;
use crate::pipeline::{GATEWAY_MAC, Spec, Table, priority, register};

pub(super) fn fixed() -> Vec<Wanted> {
    let nowhere = Spec::new(Table::Route, priority::DEFAULT);
    vec![pipeline(nowhere, "drops packets to addresses of no Pod")]
}

/// What came by the tunnel never goes back into it: no loops between nodes.
pub(super) fn tunnel_port(port: PortNo) -> Vec<Wanted> {
    let flow_match = Match::any().with(Field::InPort, port.0);
    let spec = Spec::new(Table::Route, priority::NO_TRANSIT).matching(flow_match);
    vec![node(
        spec,
        "drops tunnelled packets to addresses of no local Pod",
    )]
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
    let spec = Spec::new(Table::Route, priority::LOCAL_POD)
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
pub(crate) fn to_node(address: IpAddr, cidr: IpNetwork) -> Wanted {
    let field = Family::of_network(cidr).dst();
    let spec = Spec::new(Table::Route, priority::NORMAL)
        .matching(family::within(Match::any(), field, cidr))
        .act(Action::set(Family::of(address).tun_dst(), number(address)))
        .goto(Table::TunnelOut);
    node(
        spec,
        format!("reaches its Pods, {cidr}, by the tunnel to {address}"),
    )
}
