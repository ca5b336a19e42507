// SPDX-License-Identifier: Apache-2.0
//! `spoof_guard`: a Pod sends only from its own addresses.

use std::net::{IpAddr, Ipv6Addr};

use ipnetwork::IpNetwork;
use openflow_codec::{Field, Match};

use super::family::{self, number};
use super::nd::{kind, of_kind};
use super::{ETH_TYPE_ARP, PodPort, Wanted, pipeline, pod};
use crate::model::{Families, Family};
use crate::pipeline::{Spec, Table, priority};

/// Addresses of one link (RFC 4291, section 2.5.6).
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
const LINK_LOCAL_PREFIX: u8 = 10;

pub(super) fn fixed(families: Families) -> Vec<Wanted> {
    let forged = Spec::new(Table::SpoofGuard, priority::DEFAULT);
    let mut flows = vec![pipeline(
        forged,
        "drops what a Pod sends from addresses that are not its own",
    )];
    if families.contains(Family::V6) {
        flows.extend(link_local());
    }
    flows
}

/// ICMPv6 that every guest sends on its own and that leads nowhere here: dropped by name, so that it
/// is not taken for an attempt to forge.
fn link_local() -> impl Iterator<Item = Wanted> {
    let listener = kind::LISTENER.map(|kind| {
        (
            kind,
            "drops multicast listener discovery: no multicast is carried",
        )
    });
    let others = [
        (
            kind::ROUTER_SOLICITATION,
            "drops router solicitations: a Pod has its route from the start",
        ),
        (
            kind::ROUTER_ADVERTISEMENT,
            "drops router advertisements: no Pod is a router",
        ),
        (
            kind::NEIGHBOUR_SOLICITATION,
            "drops neighbour solicitations from addresses that are not the Pod's own",
        ),
        (
            kind::NEIGHBOUR_ADVERTISEMENT,
            "drops neighbour advertisements: nobody asks for a Pod's link-layer address",
        ),
        (kind::REDIRECT, "drops redirects: no Pod is a router"),
    ];
    listener.into_iter().chain(others).map(|(kind, why)| {
        let spec = Spec::new(Table::SpoofGuard, priority::LINK_LOCAL)
            .matching(of_kind(Match::any(), kind));
        pipeline(spec, why)
    })
}

pub(super) fn pod_port(port: &PodPort) -> Vec<Wanted> {
    port.addresses
        .iter()
        .flat_map(|address| own_address(port, address))
        .collect()
}

fn own_address(port: &PodPort, address: IpAddr) -> Vec<Wanted> {
    let from = || {
        Match::any()
            .with(Field::InPort, port.port.0)
            .with(Field::EthSrc, port.mac)
    };
    let guard = |priority, flow_match| Spec::new(Table::SpoofGuard, priority).matching(flow_match);
    let ip = guard(priority::NORMAL, family::from(from(), address)).goto(Table::Conntrack);
    let mut flows = vec![pod(
        ip,
        format!("accepts {} from its own addresses", Family::of(address)),
    )];
    match address {
        IpAddr::V4(_) => {
            let arp = from()
                .with(Field::EthType, ETH_TYPE_ARP)
                .with(Field::ArpSpa, number(address))
                .with(Field::ArpSha, port.mac);
            flows.push(pod(
                guard(priority::NORMAL, arp).goto(Table::Neighbour),
                "accepts ARP from its own addresses",
            ));
        }
        IpAddr::V6(own) => {
            let solicitation =
                || of_kind(from(), kind::NEIGHBOUR_SOLICITATION).with(Field::NdSll, port.mac);
            // A guest asks from the address that it has traffic for, or from that of the link.
            for (address, prefix) in [(own, 128), (LINK_LOCAL, LINK_LOCAL_PREFIX)] {
                let Ok(network) = IpNetwork::new(address.into(), prefix) else {
                    continue;
                };
                let asked = family::within(solicitation(), Field::Ipv6Src, network);
                flows.push(pod(
                    guard(priority::SOLICITATION, asked).goto(Table::Neighbour),
                    format!("accepts neighbour solicitations from {network}"),
                ));
            }
        }
    }
    flows
}
