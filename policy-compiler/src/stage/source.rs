// SPDX-License-Identifier: Apache-2.0
//! `source`: who sends.

use openflow_codec::{Action, Field, Match, PortNo};

use super::{GatewayPort, PodPort, Wanted, family, node, pipeline, pod};
use crate::pipeline::{Spec, Table, priority, register};

pub(super) fn fixed() -> Vec<Wanted> {
    let unknown = Spec::new(Table::Source, priority::DEFAULT);
    vec![pipeline(unknown, "drops packets of an unknown sender")]
}

/// The sender's identity and flags are what the tunnel header says, `REPLY` included.
pub(super) fn tunnel_port(port: PortNo) -> Vec<Wanted> {
    let spec = from_port(port)
        .act(Action::CopyField {
            src: register::TUNNEL_WIRE,
            dst: register::SOURCE_WIRE,
        })
        .goto(Table::Route);
    // What is `HOST` there is another node here, and has no more rights than that.
    let there = register::VALID | register::HOST;
    let mask = register::VALID | register::IDENTITY_MASK;
    let other_node = from_port(port)
        .also(|flow_match| flow_match.with_masked(Field::TunMetadata0, there, mask))
        .at(priority::HOST)
        .act(Action::CopyField {
            src: register::TUNNEL_WIRE,
            dst: register::SOURCE_WIRE,
        })
        .act(Action::set_masked(
            register::SOURCE,
            register::REMOTE_NODE,
            register::IDENTITY_MASK,
        ))
        .goto(Table::Route);
    vec![
        node(spec, "takes the sender's identity from the tunnel header"),
        node(
            other_node,
            "knows another node's own kernel by the tunnel header",
        ),
    ]
}

/// The node's own kernel, and the world for which it forwards.
pub(super) fn gateway_port(gateway: &GatewayPort) -> Vec<Wanted> {
    let own = gateway.addresses.iter().map(|address| {
        let spec = is(gateway.port, register::HOST)
            .also(|flow_match| family::from(flow_match, *address))
            .at(priority::HOST);
        node(spec, "knows its own kernel by its address")
    });
    let world = is(gateway.port, register::WORLD);
    let why = "takes what its own kernel forwards for the world's";
    own.chain([node(world, why)]).collect()
}

/// Leaves the `REPLY` bit as `conntrack_state` has set it.
fn is(port: PortNo, who: u128) -> Spec {
    from_port(port)
        .act(Action::set_masked(
            register::SOURCE,
            register::VALID | who,
            register::WIRE_MASK & !register::REPLY,
        ))
        .goto(Table::Route)
}

/// Leaves the `REPLY` bit as `conntrack_state` has set it.
pub(super) fn pod_port(port: &PodPort) -> Wanted {
    let mask = register::WIRE_MASK & !register::REPLY;
    let spec = from_port(port.port)
        .act(Action::set_masked(
            register::SOURCE,
            port.wire_identity,
            mask,
        ))
        .goto(Table::Route);
    pod(spec, "knows packets of its port by its identity")
}

fn from_port(port: PortNo) -> Spec {
    Spec::new(Table::Source, priority::NORMAL).matching(Match::any().with(Field::InPort, port.0))
}
