// SPDX-License-Identifier: Apache-2.0
//! Services and their endpoints.

use std::net::IpAddr;

use super::{Addresses, Name, Protocol, Selector};

/// A Service with cluster addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Namespace.
    pub namespace: Name,
    /// Name.
    pub name: Name,
    /// `spec.clusterIPs`; `None` for a headless Service.
    pub cluster_ips: Option<Addresses>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// Which Pods serve it when no `EndpointSlice` says so; `None` for a Service without selector.
    pub selector: Option<Selector>,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Name; empty when the Service has one port only.
    pub name: String,
    /// Protocol.
    pub protocol: Protocol,
    /// Port that clients use.
    pub port: u16,
    /// Port of the endpoints.
    pub target: TargetPort,
}

/// `targetPort`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// This number.
    Number(u16),
    /// The container port of this name on each Pod.
    Name(String),
}

/// An `EndpointSlice` (`discovery.k8s.io/v1`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Namespace.
    pub namespace: Name,
    /// Name.
    pub name: Name,
    /// From the label `kubernetes.io/service-name`.
    pub service: Name,
    /// Ports: name, protocol, number.
    pub ports: Vec<(String, Protocol, u16)>,
    /// Addresses that are ready.
    pub ready: Vec<IpAddr>,
}

/// Where one connection to a Service can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
}
