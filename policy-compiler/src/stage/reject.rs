// SPDX-License-Identifier: Apache-2.0
//! `reject`: the node's agent refuses what no endpoint takes.

use openflow_codec::action::other::{Controller, OtherAction};
use openflow_codec::{Field, Match, MeterId, PortNo};

use super::{Wanted, node, pipeline, pod};
use crate::model::{Families, Family};
use crate::pipeline::{AGENT_CONTROLLER_ID, AGENT_REFUSE, Spec, Table, meter, priority};

/// No error is sent about ICMP, and echo has no port that could be unreachable.
pub(super) fn fixed(families: Families) -> Vec<Wanted> {
    let icmp = |family: Family| {
        let spec = Spec::new(Table::Reject, priority::NOT_REFUSED)
            .matching(family.packets().with(Field::IpProto, family.icmp()));
        pipeline(spec, format!("drops {family} ICMP: it is not refused"))
    };
    families.iter().map(icmp).collect()
}

pub(super) fn pod_port(port: PortNo) -> Wanted {
    let why = "has its agent refuse what its port sends and no endpoint takes";
    pod(refuse(port, meter::of_pod(port)), why)
}

/// The node's own kernel, and the world behind it.
pub(super) fn gateway_port(port: PortNo) -> Wanted {
    let why = "has its agent refuse what its own kernel sends and no endpoint takes";
    node(refuse(port, meter::GATEWAY), why)
}

fn refuse(port: PortNo, meter: MeterId) -> Spec {
    let to_agent = Controller {
        controller_id: AGENT_CONTROLLER_ID,
        userdata: AGENT_REFUSE.into(),
        meter: Some(meter),
        ..Controller::default()
    };
    Spec::new(Table::Reject, priority::NORMAL)
        .matching(Match::any().with(Field::InPort, port.0))
        .act(OtherAction::Controller(to_agent).into())
}
