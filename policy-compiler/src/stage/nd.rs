// SPDX-License-Identifier: Apache-2.0
//! `neighbour` and `advertise`, IPv6: answers neighbour solicitations for the gateway.
//!
//! The answer is the solicitation, rewritten. OVS takes a write of `nd_tll` only from a flow that
//! matches an advertisement, hence two tables. Neighbour discovery stays out of conntrack, which
//! calls it invalid.

use openflow_codec::{Action, Field, Match, PortNo};

use super::family::number;
use super::{Wanted, copy, pipeline};
use crate::model::Family;
use crate::pipeline::{GATEWAY_IPV6, GATEWAY_MAC, Spec, Table, priority};

/// Protocol number of ICMPv6.
const ICMPV6: u8 = 58;

/// Types of ICMPv6 that stay on one link (RFC 4861, RFC 2710, RFC 3810).
pub(super) mod kind {
    pub(crate) const LISTENER: [u8; 4] = [130, 131, 132, 143];
    pub(crate) const ROUTER_SOLICITATION: u8 = 133;
    pub(crate) const ROUTER_ADVERTISEMENT: u8 = 134;
    pub(crate) const NEIGHBOUR_SOLICITATION: u8 = 135;
    pub(crate) const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    pub(crate) const REDIRECT: u8 = 137;
}

/// Type of the option that carries the link-layer address of the target.
const TARGET_LINK_LAYER: u8 = 2;

/// Flags of an advertisement: from a router, solicited, overriding what was known before.
const FLAGS: u32 = 0xe000_0000;

pub(super) fn fixed() -> [Wanted; 2] {
    let gateway = number(GATEWAY_IPV6.into());
    let asked = of_kind(Match::any(), kind::NEIGHBOUR_SOLICITATION).with(Field::NdTarget, gateway);
    let answer = Spec::new(Table::Neighbour, priority::NORMAL)
        .matching(asked)
        .act(copy(Field::EthSrc, Field::EthDst))
        .act(Action::set(Field::EthSrc, GATEWAY_MAC))
        .act(copy(Field::Ipv6Src, Field::Ipv6Dst))
        .act(Action::set(Field::Ipv6Src, gateway))
        .act(Action::set(
            Field::Icmpv6Type,
            kind::NEIGHBOUR_ADVERTISEMENT,
        ))
        .act(Action::set(Field::NdOptionsType, TARGET_LINK_LAYER))
        .act(Action::set(Field::NdReserved, FLAGS))
        .goto(Table::Advertise);
    let complete = Spec::new(Table::Advertise, priority::NORMAL)
        .matching(of_kind(Match::any(), kind::NEIGHBOUR_ADVERTISEMENT))
        .act(Action::set(Field::NdTll, GATEWAY_MAC))
        .act(Action::output(PortNo::IN_PORT));
    [
        pipeline(answer, "answers neighbour solicitations for the gateway"),
        pipeline(complete, "says the gateway's link-layer address"),
    ]
}

/// ICMPv6 of this type.
pub(super) fn of_kind(flow_match: Match, kind: u8) -> Match {
    flow_match
        .with(Field::EthType, Family::V6.eth_type())
        .with(Field::IpProto, ICMPV6)
        .with(Field::Icmpv6Type, kind)
}
