// SPDX-License-Identifier: Apache-2.0
//! `conntrack` and `conntrack_state`: the one pass through conntrack, and what it said.

use openflow_codec::action::CtZone;
use openflow_codec::{Action, Ct, Field, Match, Nat, PortNo};

use super::{Wanted, node, pipeline, tracked};
use crate::model::{Families, Family};
use crate::pipeline::register::{self, ct_state};
use crate::pipeline::{CT_ZONE, Spec, Table, priority};

pub(super) fn fixed(families: Families) -> Vec<Wanted> {
    let not_ip = Spec::new(Table::Conntrack, priority::DEFAULT);
    let invalid = state(priority::INVALID, tracked(Match::any(), ct_state::INV, 0));
    let new = state(priority::NORMAL, tracked(Match::any(), ct_state::NEW, 0));
    let mut flows: Vec<Wanted> = families.iter().map(track).collect();
    flows.extend([
        pipeline(not_ip, "drops what is of no family of the cluster"),
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
    ]);
    flows
}

fn track(family: Family) -> Wanted {
    let spec = Spec::new(Table::Conntrack, priority::NORMAL)
        .matching(family.packets())
        .act(Action::Ct(Ct {
            zone: CtZone::Immediate(CT_ZONE),
            table: Some(Table::ConntrackState.id()),
            nat: Some(Nat::default()),
            ..Ct::default()
        }));
    pipeline(spec, format!("sends {family} packets through conntrack"))
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
