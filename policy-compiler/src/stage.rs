// SPDX-License-Identifier: Apache-2.0
//! Flows, one stage of the pipeline per file.
//!
//! Every function here is a pure mapping from facts to [`Wanted`] flows; who calls it, and when, is
//! the compiler's business.

mod arp;
mod classify;
mod commit;
mod conntrack;
pub(crate) mod family;
pub(crate) mod frontend;
pub(crate) mod known;
mod nd;
mod neighbour;
pub(crate) mod policy;
mod reject;
mod reply;
pub(crate) mod route;
pub(crate) mod service;
mod source;
mod spoof_guard;
mod tunnel_out;

use std::net::IpAddr;

use openflow_codec::action::{CtZone, NatKind};
use openflow_codec::{Action, Ct, Field, Match, Nat, PortNo, Subfield};

use crate::explain::Why;
use crate::model::{Addresses, Families, Family, MacAddr};
use crate::pipeline::register::{self, ct_state};
use crate::pipeline::{CT_ZONE, CT_ZONE_MASQUERADE, CookieKind, Spec, Table, priority};

/// A flow that is wanted, and why.
pub(crate) struct Wanted {
    pub(crate) kind: CookieKind,
    pub(crate) spec: Spec,
    pub(crate) why: Why,
}

/// What the stages must know of a Pod that is plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodPort {
    pub(crate) port: PortNo,
    pub(crate) mac: MacAddr,
    pub(crate) addresses: Addresses,
    /// Identity and flags as on the wire.
    pub(crate) wire_identity: u128,
    pub(crate) ingress_isolated: bool,
}

/// What the stages must know of a node's gateway port.
pub(crate) struct GatewayPort {
    pub(crate) port: PortNo,
    /// The node's own addresses.
    pub(crate) addresses: Vec<IpAddr>,
    /// Where the kernel sends what is for a node port.
    pub(crate) node_port_addresses: Vec<IpAddr>,
}

impl PodPort {
    /// This port without the flags that `new` has no longer, if that is another and the two differ
    /// in flags only.
    pub(crate) fn without_flags_beyond(&self, new: &Self) -> Option<Self> {
        let with_flags = |wire_identity, ingress_isolated| Self {
            wire_identity,
            ingress_isolated,
            ..self.clone()
        };
        let cleared = with_flags(
            self.wire_identity & (new.wire_identity | !register::EGRESS_ISOLATED),
            self.ingress_isolated && new.ingress_isolated,
        );
        let same = |a: u128, b: u128| (a ^ b) & !register::EGRESS_ISOLATED == 0;
        let only_flags = *new == with_flags(new.wire_identity, new.ingress_isolated)
            && same(self.wire_identity, new.wire_identity);
        (only_flags && cleared != *self).then_some(cleared)
    }
}

/// The flows that are the same in every cluster of these families.
pub(crate) fn fixed(families: Families) -> Vec<Wanted> {
    let stages = [
        classify::fixed(),
        spoof_guard::fixed(families),
        neighbour::fixed(families),
        conntrack::fixed(families),
        frontend::fixed(),
        service::fixed(),
        reject::fixed(families),
        source::fixed(),
        route::fixed(),
        reply::fixed(families),
        policy::fixed(families),
        commit::fixed(families),
    ];
    stages.into_iter().flatten().collect()
}

/// The flows of a node's tunnel port.
pub(crate) fn tunnel_port(port: PortNo, families: Families, masquerade: &[IpAddr]) -> Vec<Wanted> {
    let stages = [
        classify::tunnel_port(port),
        conntrack::tunnel_port(port),
        source::tunnel_port(port),
        route::tunnel_port(port),
        tunnel_out::tunnel_port(port, families, masquerade),
    ];
    stages.into_iter().flatten().collect()
}

/// The flows of a node's gateway port.
pub(crate) fn gateway_port(gateway: &GatewayPort, families: Families) -> Vec<Wanted> {
    let mut flows = vec![
        classify::gateway_port(gateway),
        reject::gateway_port(gateway.port),
    ];
    flows.extend(conntrack::gateway_port(gateway));
    let node_ports = gateway.node_port_addresses.iter();
    flows.extend(node_ports.map(|address| frontend::node_ports(gateway.port, *address)));
    flows.extend(source::gateway_port(gateway));
    flows.extend(route::gateway_port(gateway, families));
    flows
}

/// The flows of a node's masquerade addresses.
pub(crate) fn masquerade_addresses(addresses: &[IpAddr]) -> Vec<Wanted> {
    let of = |address: &IpAddr| {
        [
            conntrack::unmasquerade(*address),
            commit::masqueraded(*address),
        ]
    };
    addresses.iter().flat_map(of).collect()
}

/// The flows of a Pod's port; the one that opens it is added when all others are in force everywhere.
pub(crate) fn pod_flows(pod: &PodPort, open: bool) -> Vec<Wanted> {
    let mut flows = spoof_guard::pod_port(pod);
    flows.push(reject::pod_port(pod.port));
    flows.push(source::pod_port(pod));
    flows.extend(route::pod_port(pod));
    if open {
        flows.push(classify::pod_port(pod));
    }
    flows
}

fn pipeline(spec: Spec, why: impl Into<Why>) -> Wanted {
    Wanted {
        kind: CookieKind::Pipeline,
        spec,
        why: why.into(),
    }
}

fn node(spec: Spec, why: impl Into<Why>) -> Wanted {
    Wanted {
        kind: CookieKind::Node,
        spec,
        why: why.into(),
    }
}

fn pod(spec: Spec, why: impl Into<Why>) -> Wanted {
    Wanted {
        kind: CookieKind::Pod,
        spec,
        why: why.into(),
    }
}

fn service(spec: Spec, why: impl Into<Why>) -> Wanted {
    Wanted {
        kind: CookieKind::Service,
        spec,
        why: why.into(),
    }
}

/// EtherType of ARP.
const ETH_TYPE_ARP: u128 = 0x0806;

/// Fragments of a packet, the first among them.
fn fragments(flow_match: Match) -> Match {
    flow_match.with_masked(Field::IpFrag, FRAGMENT, FRAGMENT)
}

/// Fragments but the first: they have no ports.
fn later_fragments(flow_match: Match) -> Match {
    flow_match.with(Field::IpFrag, FRAGMENT | LATER)
}

/// Bits of `ip_frag` (ovs-fields(7)).
const FRAGMENT: u8 = 1;
const LATER: u8 = 2;

/// Tracked, with the bits `set` set and the bits `clear` clear.
fn tracked(flow_match: Match, set: u128, clear: u128) -> Match {
    let set = set | ct_state::TRK;
    flow_match.with_masked(Field::CtState, set, set | clear)
}

/// Copies a whole field.
fn copy(src: Field, dst: Field) -> Action {
    let whole = |field: Field| Subfield {
        field,
        offset: 0,
        bits: field.info().bits,
    };
    Action::CopyField {
        src: whole(src),
        dst: whole(dst),
    }
}

/// `ct(commit)` that does `exec` to the connection.
fn committing(exec: Vec<Action>) -> Ct {
    Ct {
        commit: true,
        zone: CtZone::Immediate(CT_ZONE),
        exec,
        ..Ct::default()
    }
}

/// `ct(commit)` that writes nothing.
fn commit_only() -> Action {
    Action::Ct(committing(Vec::new()))
}

/// `ct(commit)` that sets `ct_mark`'s bits `mask` to `value`.
fn commit_with_mark(value: u128, mask: u128) -> Action {
    Action::Ct(committing(mark(value, mask)))
}

fn mark(value: u128, mask: u128) -> Vec<Action> {
    vec![Action::set_masked(Field::CtMark, value, mask)]
}

/// With these flags of the receiver and the way to it.
fn with_flags(flow_match: Match, flags: u128) -> Match {
    flow_match.with_masked(register::DESTINATION_FLAGS, flags, flags)
}

/// Sets these flags, and leaves the others.
fn set_flags(flags: u128) -> Action {
    Action::set_masked(register::DESTINATION_FLAGS, flags, flags)
}

/// Packets whose source is to be translated.
fn to_masquerade(flow_match: Match) -> Match {
    with_flags(flow_match, register::MASQUERADE)
}

/// Says that the packet's source is to be translated.
fn set_masquerade() -> Action {
    set_flags(register::MASQUERADE)
}

/// In a table that packets leave by: gives those that are to be masqueraded this source. The connection
/// is committed each time: one that was forgotten is made again. The packet leaves at once, and nothing
/// asks for its source any more.
fn masquerade(table: Table, address: IpAddr) -> Spec {
    let ct = Ct {
        commit: true,
        zone: CtZone::Immediate(CT_ZONE_MASQUERADE),
        nat: Some(Nat {
            kind: Some(NatKind::Src),
            addresses: Some((address, address)),
            ..Nat::default()
        }),
        ..Ct::default()
    };
    Spec::new(table, priority::MASQUERADE)
        .matching(to_masquerade(Family::of(address).packets()))
        .act(Action::CtClear)
        .act(Action::Ct(ct))
}

/// `ct(commit)` that sets these bits of `ct_mark` and goes on in `table`.
fn recirculate_with_mark(bits: u128, table: Table) -> Action {
    Action::Ct(Ct {
        table: Some(table.id()),
        ..committing(mark(bits, bits))
    })
}

/// The same with `force`: the connection begins anew, in the direction of this packet.
fn recommit_with_mark(value: u128, mask: u128) -> Action {
    Action::Ct(Ct {
        force: true,
        ..committing(mark(value, mask))
    })
}
