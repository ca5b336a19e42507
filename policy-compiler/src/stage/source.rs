// SPDX-License-Identifier: Apache-2.0
//! `source`: who sends.

use openflow_codec::{Action, Field, Match, PortNo};

use super::{PodPort, Wanted, node, pipeline, pod};
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
    vec![node(
        spec,
        "takes the sender's identity from the tunnel header",
    )]
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
