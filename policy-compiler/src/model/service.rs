// SPDX-License-Identifier: Apache-2.0
//! Services: where clients reach them, and by which rules.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::{Addresses, Name, Pod, Protocol, Selector};

/// A Service that is reached by addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Namespace.
    pub namespace: Name,
    /// Name.
    pub name: Name,
    /// `spec.clusterIPs`; `None` for a Service that is not carried: it is headless, an `ExternalName`, or
    /// left to another proxy by a label. Such a Service has no other address and no node port either.
    pub cluster_ips: Option<Addresses>,
    /// `spec.externalIPs`, sorted.
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress[].ip` where `ipMode` is `VIP`, sorted.
    pub load_balancer_ips: Vec<IpAddr>,
    /// `spec.loadBalancerSourceRanges`, sorted; none allows everybody.
    pub source_ranges: Vec<IpNetwork>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// Which Pods serve it when no `EndpointSlice` says so; `None` for a Service without selector.
    pub selector: Option<Selector>,
    /// Who may serve what comes by a cluster address.
    pub internal_policy: TrafficPolicy,
    /// Who may serve what comes from outside the cluster by another address or by a node port.
    pub external_policy: TrafficPolicy,
    /// `spec.healthCheckNodePort`, where load balancers ask a node whether it serves.
    pub health_check_port: Option<u16>,
    /// `spec.sessionAffinity` `ClientIP`: for how many seconds a client keeps its endpoint.
    pub affinity: Option<u32>,
    /// `spec.publishNotReadyAddresses`: Pods serve before they are ready.
    pub publish_not_ready: bool,
    /// `spec.trafficDistribution`.
    pub distribution: Distribution,
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
    /// Port of every node that leads here, too.
    pub node_port: Option<u16>,
    /// Port of the endpoints.
    pub target: TargetPort,
}

impl ServicePort {
    /// Where a Pod listens; `None` if it has no port of this name.
    pub(crate) fn number_on(&self, pod: &Pod) -> Option<u16> {
        match &self.target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Name(name) => pod.named_port(name, self.protocol),
        }
    }
}

/// `targetPort`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// This number.
    Number(u16),
    /// The container port of this name on each Pod.
    Name(String),
}

/// `internalTrafficPolicy` or `externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrafficPolicy {
    /// Any endpoint.
    #[default]
    Cluster,
    /// Endpoints of the node where the connection enters.
    Local,
}

/// `trafficDistribution`: which endpoints are better than others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Distribution {
    /// All are as good.
    #[default]
    Anywhere,
    /// `PreferSameZone`, or `PreferClose`, its older name.
    SameZone,
    /// `PreferSameNode`.
    SameNode,
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
    /// Who serves at these ports.
    pub endpoints: Vec<Candidate>,
}

/// Who may serve: an address, what state it is in and for whom it is best.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Candidate {
    /// Address.
    pub address: IpAddr,
    /// Node that it is on, if it is on one.
    pub node: Option<Name>,
    /// `conditions`.
    pub state: CandidateState,
    /// `hints.forZones`.
    pub for_zones: Box<[Name]>,
    /// `hints.forNodes`.
    pub for_nodes: Box<[Name]>,
}

/// `conditions` of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CandidateState {
    /// Ready.
    Ready,
    /// Serves on while it terminates: for use when nobody is ready.
    Leaving,
    /// Serves but is neither ready nor terminating: gets no new connection, keeps its old ones.
    Serving,
    /// Does not serve.
    Absent,
}

/// Where one connection to a Service can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
}

/// A range of cluster addresses (`ServiceCIDR`, `networking.k8s.io/v1`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCidr {
    /// Name.
    pub name: Name,
    /// `spec.cidrs`.
    pub cidrs: Vec<IpNetwork>,
}
