// SPDX-License-Identifier: Apache-2.0
//! `arp`: answers for the gateway, for guests that ask.

use openflow_codec::{Action, Field, Match, PortNo, Subfield};

use super::{ETH_TYPE_ARP, Wanted, number, pipeline};
use crate::pipeline::{GATEWAY_IPV4, GATEWAY_MAC, Spec, Table, priority};

const REQUEST: u128 = 1;
const REPLY: u128 = 2;

pub(super) fn fixed() -> Vec<Wanted> {
    let asked = Match::any()
        .with(Field::EthType, ETH_TYPE_ARP)
        .with(Field::ArpOp, REQUEST)
        .with(Field::ArpTpa, number(GATEWAY_IPV4));
    let answer = Spec::new(Table::Arp, priority::NORMAL)
        .matching(asked)
        .act(copy(Field::EthSrc, Field::EthDst))
        .act(Action::set(Field::EthSrc, GATEWAY_MAC))
        .act(Action::set(Field::ArpOp, REPLY))
        .act(copy(Field::ArpSha, Field::ArpTha))
        .act(copy(Field::ArpSpa, Field::ArpTpa))
        .act(Action::set(Field::ArpSha, GATEWAY_MAC))
        .act(Action::set(Field::ArpSpa, number(GATEWAY_IPV4)))
        .act(Action::output(PortNo::IN_PORT));
    let other = Spec::new(Table::Arp, priority::DEFAULT);
    vec![
        pipeline(answer, "answers ARP requests for the gateway"),
        pipeline(other, "drops ARP for anything but the gateway"),
    ]
}

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
