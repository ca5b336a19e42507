// SPDX-License-Identifier: Apache-2.0
//! `conntrack`, `unmasquerade` and `conntrack_state`: the one pass through conntrack, and what it said.

use std::net::IpAddr;

use openflow_codec::action::CtZone;
use openflow_codec::{Action, Ct, Field, Match, Nat, PortNo};

use super::{GatewayPort, Wanted, family, node, pipeline, set_flags, set_masquerade, tracked};
use crate::model::{Families, Family};
use crate::pipeline::register::{self, ct_state};
use crate::pipeline::{CT_ZONE, CT_ZONE_MASQUERADE, Spec, Table, priority};

pub(super) fn fixed(families: Families) -> Vec<Wanted> {
    let not_ip = Spec::new(Table::Conntrack, priority::DEFAULT);
    let invalid = state(priority::INVALID, tracked(Match::any(), ct_state::INV, 0));
    let new = state(priority::NORMAL, untranslated(Match::any()));
    let mut flows: Vec<Wanted> = families.iter().flat_map(track).collect();
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
            answer(ct_state::REL)
                .act(set_masquerade())
                .at(priority::MASQUERADED_ERROR)
                .matching(masqueraded_error()),
            "errors of the clients of masqueraded connections are masqueraded",
        ),
        pipeline(
            state(
                priority::MASQUERADED,
                masqueraded(Match::any(), 0, ct_state::RPL | ct_state::REL),
            )
            .act(set_masquerade())
            .goto(Table::Source),
            "clients of masqueraded connections are masqueraded",
        ),
        pipeline(
            new.goto(Table::Frontend),
            "new connections of local Pods may be to a Service",
        ),
        pipeline(
            state(priority::DEFAULT, Match::any()).goto(Table::Source),
            "established connections and packets sent again are translated already",
        ),
    ]);
    flows
}

/// What the first zone said of a packet is cleared, so that the next cannot take it for its own.
fn track(family: Family) -> [Wanted; 2] {
    let first = Spec::new(Table::Conntrack, priority::NORMAL)
        .matching(family.packets())
        .act(ct(CT_ZONE, Table::ConntrackState));
    let second = Spec::new(Table::Unmasquerade, priority::NORMAL)
        .matching(family.packets())
        .act(Action::CtClear)
        .act(ct(CT_ZONE, Table::ConntrackState));
    [
        pipeline(first, format!("sends {family} packets through conntrack")),
        pipeline(
            second,
            format!("sends {family} answers through conntrack when they have their client back"),
        ),
    ]
}

/// Answers to the node's masquerade address get their client back.
pub(super) fn unmasquerade(address: IpAddr) -> Wanted {
    let spec = Spec::new(Table::Conntrack, priority::TO_MASQUERADE)
        .matching(family::to(address))
        .act(ct(CT_ZONE_MASQUERADE, Table::Unmasquerade));
    node(
        spec,
        format!("gives answers to {address}, its masquerade address, their client back"),
    )
}

fn ct(zone: u16, table: Table) -> Action {
    Action::Ct(Ct {
        zone: CtZone::Immediate(zone),
        table: Some(table.id()),
        nat: Some(Nat::default()),
        ..Ct::default()
    })
}

/// The kernel's clients of Services are masqueraded, so that answers come back by the switch.
pub(super) fn gateway_port(gateway: &GatewayPort) -> Vec<Wanted> {
    let new = || untranslated(Match::any().with(Field::InPort, gateway.port.0));
    let own = gateway.addresses.iter().map(|address| {
        let spec = state(priority::FROM_HOST, family::from(new(), *address));
        let why = "new connections of its own kernel may be to a Service";
        node(from_kernel(spec, 0), why)
    });
    let world = from_kernel(state(priority::FROM_GATEWAY, new()), register::FROM_WORLD);
    let why = "new connections that its own kernel forwards may be to a Service";
    own.chain([node(world, why)]).collect()
}

/// New connections. A packet that is sent again before the answer is new, too, and translated already.
fn untranslated(flow_match: Match) -> Match {
    tracked(flow_match, ct_state::NEW, ct_state::DNAT)
}

fn from_kernel(spec: Spec, more: u128) -> Spec {
    let flags = register::FROM_KERNEL | register::MASQUERADE | more;
    spec.act(set_flags(flags)).goto(Table::Frontend)
}

/// In the direction of a client that is masqueraded.
fn masqueraded(flow_match: Match, set: u128, clear: u128) -> Match {
    tracked(flow_match, set, clear).with_masked(
        Field::CtMark,
        register::CT_MARK_MASQUERADED,
        register::CT_MARK_MASQUERADED,
    )
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

fn masqueraded_error() -> Match {
    let both = register::CT_MARK_ALLOWED | register::CT_MARK_MASQUERADED;
    tracked(Match::any(), ct_state::REL, ct_state::RPL).with_masked(Field::CtMark, both, both)
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
