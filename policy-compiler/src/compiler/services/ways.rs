// SPDX-License-Identifier: Apache-2.0
//! By which addresses and ports a port of a Service is reached.

use std::net::IpAddr;

use super::Claim;
use crate::model::{Addresses, Family, Service, ServicePort};
use crate::stage::service::Door;

/// One way to a port of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) to: Door,
    pub(super) kind: WayKind,
    /// The port there.
    pub(super) port: u16,
}

/// What a way is, as far as it makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WayKind {
    /// A cluster address: for the inside.
    Cluster,
    /// A port of every node.
    NodePort,
    /// An address of a load balancer.
    LoadBalancer,
    /// An external address.
    External,
}

/// The ways to a port, of every family; no door twice.
pub(super) fn ways(service: &Service, port: &ServicePort) -> impl Iterator<Item = Way> {
    let number = port.port;
    let at = move |kind, address| Way {
        to: Door::Address(address),
        kind,
        port: number,
    };
    let cluster_ips = service.cluster_ips.into_iter().flat_map(Addresses::iter);
    let cluster = cluster_ips.map(move |address| at(WayKind::Cluster, address));
    // "Per-family frontends": who has no cluster address of a family has nothing of that family.
    let is_outer = move |address: &IpAddr| {
        let cluster = service.cluster_ips;
        cluster.is_some_and(|own| {
            own.of(Family::of(*address))
                .is_some_and(|own| own != *address)
        })
    };
    let balancers = service.load_balancer_ips.iter();
    let balancers = balancers.filter(move |address| is_outer(address));
    let balancers = balancers.map(move |address| at(WayKind::LoadBalancer, *address));
    let externals = service
        .external_ips
        .iter()
        .filter(move |address| is_outer(address) && !service.load_balancer_ips.contains(address));
    let externals = externals.map(move |address| at(WayKind::External, *address));
    let families = service.cluster_ips.into_iter().flat_map(Addresses::iter);
    let node_ports = port.node_port.into_iter().flat_map(move |port| {
        families.clone().map(move |address| Way {
            to: Door::Nodes(Family::of(address)),
            kind: WayKind::NodePort,
            port,
        })
    });
    cluster.chain(balancers).chain(externals).chain(node_ports)
}

/// What a Service claims.
pub(super) fn claims(service: &Service) -> impl Iterator<Item = Claim> {
    service
        .ports
        .iter()
        .flat_map(move |port| ways(service, port).map(move |way| (way.to, port.protocol, way.port)))
}
