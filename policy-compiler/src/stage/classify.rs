// SPDX-License-Identifier: Apache-2.0
//! `classify`: which kind of port a packet came in by.

use openflow_codec::{Action, Field, Match, PortNo};

use super::{GatewayPort, PodPort, Wanted, node, pipeline, pod};
use crate::pipeline::{Spec, TUNNEL_VNI, Table, priority, register};

pub(super) fn fixed() -> Vec<Wanted> {
    let nobody = Spec::new(Table::Classify, priority::DEFAULT);
    vec![pipeline(
        nobody,
        "drops what comes in by a port of no ready Pod",
    )]
}

pub(super) fn tunnel_port(port: PortNo) -> Vec<Wanted> {
    let from_tunnel = Match::any().with(Field::InPort, port.0);
    // Presence of the option is proven by its VALID bit before anything reads the option: OVS reads
    // another option's bytes from an absent field.
    let valid = from_tunnel
        .clone()
        .with(Field::TunId, TUNNEL_VNI)
        .with_masked(Field::TunMetadata0, register::VALID, register::VALID);
    // `ct` freezes the tunnel header that the *first* packet of a megaflow carried, and later stages
    // read the frozen one. Reading the whole option before `ct` puts all of it into the megaflow, so
    // each identity gets a recirculation of its own; else one Pod's packets are judged as another's.
    let accept = Spec::new(Table::Classify, priority::NORMAL)
        .matching(valid)
        .act(Action::CopyField {
            src: register::TUNNEL_WIRE,
            dst: register::SOURCE_WIRE,
        })
        .act(Action::set(register::SOURCE, 0_u128))
        .goto(Table::Conntrack);
    let deny = Spec::new(Table::Classify, priority::TUNNEL_DENY).matching(from_tunnel);
    vec![
        node(
            accept,
            "accepts tunnelled packets that carry a valid identity",
        ),
        node(
            deny,
            "drops tunnelled packets without a valid identity or with another VNI",
        ),
    ]
}

/// The node's own kernel sends from whatever address it forwards for.
pub(super) fn gateway_port(gateway: &GatewayPort) -> Wanted {
    let spec = Spec::new(Table::Classify, priority::NORMAL)
        .matching(Match::any().with(Field::InPort, gateway.port.0))
        .goto(Table::Conntrack);
    node(spec, "accepts packets of its own kernel")
}

pub(super) fn pod_port(port: &PodPort) -> Wanted {
    let flow_match = Match::any().with(Field::InPort, port.port.0);
    let spec = Spec::new(Table::Classify, priority::NORMAL)
        .matching(flow_match)
        .goto(Table::SpoofGuard);
    pod(spec, "opens its port: it is ready everywhere")
}
