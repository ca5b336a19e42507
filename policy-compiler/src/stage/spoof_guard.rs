// SPDX-License-Identifier: Apache-2.0
//! `spoof_guard`: a Pod sends only from its own addresses.

use openflow_codec::{Field, Match};

use super::{ETH_TYPE_ARP, ETH_TYPE_IPV4, PodPort, Wanted, number, pipeline, pod};
use crate::pipeline::{Spec, Table, priority};

pub(super) fn fixed() -> Vec<Wanted> {
    let forged = Spec::new(Table::SpoofGuard, priority::DEFAULT);
    vec![pipeline(
        forged,
        "drops what a Pod sends from addresses that are not its own",
    )]
}

pub(super) fn pod_port(port: &PodPort) -> Vec<Wanted> {
    let from = Match::any()
        .with(Field::InPort, port.port.0)
        .with(Field::EthSrc, port.mac);
    let address = number(port.address);
    let ip = from
        .clone()
        .with(Field::EthType, ETH_TYPE_IPV4)
        .with(Field::Ipv4Src, address);
    let arp = from
        .with(Field::EthType, ETH_TYPE_ARP)
        .with(Field::ArpSpa, address)
        .with(Field::ArpSha, port.mac);
    let guard = |flow_match| Spec::new(Table::SpoofGuard, priority::NORMAL).matching(flow_match);
    vec![
        pod(
            guard(ip).goto(Table::Conntrack),
            "accepts IPv4 from its own addresses",
        ),
        pod(
            guard(arp).goto(Table::Arp),
            "accepts ARP from its own addresses",
        ),
    ]
}
