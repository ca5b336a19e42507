// SPDX-License-Identifier: Apache-2.0
//! Our nouns: objects after the edge, with nothing left that could be malformed.

mod family;
mod labels;
mod mac;
mod name;
mod node;
mod node_services;
mod object_key;
mod pod;
mod policy;
mod selector;
mod service;

pub use family::{Addresses, Families, Family};
pub use labels::Labels;
pub use mac::{MacAddr, ParseMacError};
pub use name::Name;
pub use node::Node;
pub(crate) use node::{pod_families, underlay};
pub use node_services::NodeServices;
pub use object_key::{Kind, ObjectKey, ParseKeyError};
pub use pod::Pod;
pub(crate) use pod::{PORT_KEY, port_key};
pub use policy::{
    Direction, NamespaceScope, Peer, Policy, PortMatch, Ports, Protocol, Rule, RuleAction, Tier,
};
pub use selector::{Operator, Requirement, Selector};
pub use service::{
    Candidate, CandidateState, Distribution, Endpoint, EndpointSlice, Service, ServiceCidr,
    ServicePort, TargetPort, TrafficPolicy,
};

/// Label every namespace carries with its own name (set by the API server).
pub const METADATA_NAME: &str = "kubernetes.io/metadata.name";
