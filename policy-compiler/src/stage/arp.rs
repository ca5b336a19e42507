// SPDX-License-Identifier: Apache-2.0
//! `neighbour`, IPv4: answers ARP for the gateway, for guests that ask.

use openflow_codec::{Action, Field, Match, PortNo};

use super::family::number;
use super::{ETH_TYPE_ARP, Wanted, copy, pipeline};
use crate::pipeline::{GATEWAY_IPV4, GATEWAY_MAC, Spec, Table, priority};

const REQUEST: u128 = 1;
const REPLY: u128 = 2;

pub(super) fn fixed() -> Wanted {
    let gateway = number(GATEWAY_IPV4.into());
    let asked = Match::any()
        .with(Field::EthType, ETH_TYPE_ARP)
        .with(Field::ArpOp, REQUEST)
        .with(Field::ArpTpa, gateway);
    let answer = Spec::new(Table::Neighbour, priority::NORMAL)
        .matching(asked)
        .act(copy(Field::EthSrc, Field::EthDst))
        .act(Action::set(Field::EthSrc, GATEWAY_MAC))
        .act(Action::set(Field::ArpOp, REPLY))
        .act(copy(Field::ArpSha, Field::ArpTha))
        .act(copy(Field::ArpSpa, Field::ArpTpa))
        .act(Action::set(Field::ArpSha, GATEWAY_MAC))
        .act(Action::set(Field::ArpSpa, gateway))
        .act(Action::output(PortNo::IN_PORT));
    pipeline(answer, "answers ARP requests for the gateway")
}
