// SPDX-License-Identifier: Apache-2.0
//! `conntrack` and `conntrack_state`: the one pass through conntrack, and what it said.

use openflow_codec::action::CtZone;
use openflow_codec::{Action, Ct, Field, Match, Nat, PortNo};

use super::{Wanted, ipv4, node, pipeline, tracked};
use crate::pipeline::register::{self, ct_state};
use crate::pipeline::{CT_ZONE, Spec, Table, priority};

pub(super) fn fixed() -> Vec<Wanted> {
    let track = Spec::new(Table::Conntrack, priority::NORMAL)
        .matching(ipv4())
        .act(Action::Ct(Ct {
            zone: CtZone::Immediate(CT_ZONE),
            table: Some(Table::ConntrackState.id()),
            nat: Some(Nat::default()),
            ..Ct::default()
        }));
    let not_ip = Spec::new(Table::Conntrack, priority::DEFAULT);
    let invalid = state(priority::INVALID, tracked(Match::any(), ct_state::INV, 0));
    let new = state(priority::NORMAL, tracked(Match::any(), ct_state::NEW, 0));
    vec![
        pipeline(track, "sends IPv4 packets through conntrack"),
        pipeline(not_ip, "drops what is not IPv4"),
        pipeline(invalid, "drops packets that conntrack calls invalid"),
        pipeline(
            answer(ct_state::EST | ct_state::RPL),
            "marks answers to connections that policy allowed",
        ),
        pipeline(
            answer(ct_state::REL),
            "marks ICMP errors related to connections that policy allowed",
        ),
        pipeline(
            new.goto(Table::Service),
            "new connections of local Pods may be to a Service",
        ),
        pipeline(
            state(priority::DEFAULT, Match::any()).goto(Table::Source),
            "established connections are translated already",
        ),
    ]
}

/// Packets of the tunnel skip the Services: they were translated where the connection began.
pub(super) fn tunnel_port(port: PortNo) -> Vec<Wanted> {
    let from_tunnel = Match::any().with(Field::InPort, port.0);
    let spec = state(priority::FROM_TUNNEL, from_tunnel).goto(Table::Source);
    vec![node(
        spec,
        "tunnelled packets were translated where they were sent",
    )]
}

fn answer(bits: u128) -> Spec {
    let allowed = tracked(Match::any(), bits, 0).with_masked(
        Field::CtMark,
        register::CT_MARK_ALLOWED,
        register::CT_MARK_ALLOWED,
    );
    state(priority::ANSWER, allowed)
        .act(Action::set_masked(
            register::SOURCE,
            register::REPLY,
            register::REPLY,
        ))
        .goto(Table::Source)
}

fn state(priority: u16, flow_match: Match) -> Spec {
    Spec::new(Table::ConntrackState, priority).matching(flow_match)
}
