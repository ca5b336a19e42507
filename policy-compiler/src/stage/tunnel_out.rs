// SPDX-License-Identifier: Apache-2.0
//! `tunnel_out`: writes the sender's identity into the tunnel header and sends.

use std::net::IpAddr;

use openflow_codec::{Action, Field, PortNo};

use super::{Wanted, commit_only, masquerade, node, tracked};
use crate::model::{Families, Family};
use crate::pipeline::register::{self, ct_state};
use crate::pipeline::{Spec, TUNNEL_VNI, Table, priority};

/// New connections are committed here without a mark, so that this node knows their answers; those
/// to a Service were committed when they were translated.
pub(super) fn tunnel_port(port: PortNo, families: Families, masquerade: &[IpAddr]) -> Vec<Wanted> {
    let other = Spec::new(Table::TunnelOut, priority::DEFAULT);
    let mut flows = vec![node(
        send(other, port),
        "sends to the other node with the sender's identity",
    )];
    flows.extend(families.iter().map(|family| new(port, family)));
    flows.extend(masquerade.iter().map(|address| masqueraded(port, *address)));
    flows
}

/// The connection was committed when it was translated the first time.
fn masqueraded(port: PortNo, address: IpAddr) -> Wanted {
    node(
        send(masquerade(Table::TunnelOut, address), port),
        format!("masquerades as {address} what it sends to the other node"),
    )
}

fn new(port: PortNo, family: Family) -> Wanted {
    let spec = Spec::new(Table::TunnelOut, priority::NORMAL)
        .matching(tracked(family.packets(), ct_state::NEW, ct_state::DNAT))
        .act(commit_only());
    node(
        send(spec, port),
        format!("commits new {family} connections and sends them with the sender's identity"),
    )
}

fn send(spec: Spec, port: PortNo) -> Spec {
    spec.act(Action::set(Field::TunId, TUNNEL_VNI))
        .act(Action::CopyField {
            src: register::SOURCE_WIRE,
            dst: register::TUNNEL_WIRE,
        })
        .act(Action::output(port))
}
