// SPDX-License-Identifier: Apache-2.0
//! The edge: Kubernetes objects become types that cannot be wrong, or an error that says why.
//!
//! The only module that names fields of `k8s-openapi`.

mod cluster_network_policy;
mod endpoint_slice;
mod meta;
mod namespace;
mod network_policy;
mod node;
mod pod;
mod selector;
mod service;
mod service_cidr;

use crate::change::Object;
use crate::model::{
    EndpointSlice, Kind, Labels, Name, Node, ObjectKey, Pod, Policy, Service, ServiceCidr,
};

/// Why an object is refused: the field, what is wrong with it and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Rejected {
    /// Path of the field: `spec.ingress[0].ports[1].port`.
    pub field: String,
    /// What is wrong, and the cure.
    pub problem: String,
}

impl Rejected {
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// An object after the edge.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Parsed {
    Node(Node),
    Namespace { name: Name, labels: Labels },
    Pod(Pod),
    Service(Service),
    EndpointSlice(EndpointSlice),
    ServiceCidr(ServiceCidr),
    Policy(Policy),
}

/// The name of `object`.
///
/// # Errors
///
/// When `metadata.name` (or `metadata.namespace`, for kinds that live in one) is missing. A missing
/// namespace is not taken as `default`: the source knows what the default is.
pub fn key(object: &Object) -> Result<ObjectKey, Rejected> {
    let (kind, metadata) = match object {
        Object::Node(o) => (Kind::Node, &o.metadata),
        Object::Namespace(o) => (Kind::Namespace, &o.metadata),
        Object::Pod(o) => (Kind::Pod, &o.metadata),
        Object::Service(o) => (Kind::Service, &o.metadata),
        Object::EndpointSlice(o) => (Kind::EndpointSlice, &o.metadata),
        Object::ServiceCidr(o) => (Kind::ServiceCidr, &o.metadata),
        Object::NetworkPolicy(o) => (Kind::NetworkPolicy, &o.metadata),
        Object::ClusterNetworkPolicy(o) => (Kind::ClusterNetworkPolicy, &o.metadata),
    };
    meta::key(kind, metadata)
}

/// `object` as a model type.
pub(crate) fn parse(object: &Object) -> Result<Parsed, Rejected> {
    Ok(match object {
        Object::Node(o) => Parsed::Node(node::parse(o)?),
        Object::Namespace(o) => {
            let (name, labels) = namespace::parse(o)?;
            Parsed::Namespace { name, labels }
        }
        Object::Pod(o) => Parsed::Pod(pod::parse(o)?),
        Object::Service(o) => Parsed::Service(service::parse(o)?),
        Object::EndpointSlice(o) => Parsed::EndpointSlice(endpoint_slice::parse(o)?),
        Object::ServiceCidr(o) => Parsed::ServiceCidr(service_cidr::parse(o)?),
        Object::NetworkPolicy(o) => Parsed::Policy(network_policy::parse(o)?),
        Object::ClusterNetworkPolicy(o) => Parsed::Policy(cluster_network_policy::parse(o)?),
    })
}
