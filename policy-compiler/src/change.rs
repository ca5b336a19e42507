// SPDX-License-Identifier: Apache-2.0
//! What goes into the compiler and what comes out.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{NetworkPolicy, ServiceCIDR};
use openflow_codec::PortNo;

use crate::crd::ClusterNetworkPolicy;
use crate::ingest::Rejected;
use crate::layer::LayerDelta;
use crate::model::{Addresses, Kind, MacAddr, ObjectKey};

/// A Kubernetes object of a kind the compiler reads.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    missing_docs,
    reason = "each variant is the Kubernetes kind of that name"
)]
pub enum Object {
    Node(Box<Node>),
    Namespace(Box<Namespace>),
    Pod(Box<Pod>),
    Service(Box<Service>),
    EndpointSlice(Box<EndpointSlice>),
    ServiceCidr(Box<ServiceCIDR>),
    NetworkPolicy(Box<NetworkPolicy>),
    ClusterNetworkPolicy(Box<ClusterNetworkPolicy>),
}

impl Object {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Node(_) => Kind::Node,
            Self::Namespace(_) => Kind::Namespace,
            Self::Pod(_) => Kind::Pod,
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::ServiceCidr(_) => Kind::ServiceCidr,
            Self::NetworkPolicy(_) => Kind::NetworkPolicy,
            Self::ClusterNetworkPolicy(_) => Kind::ClusterNetworkPolicy,
        }
    }
}

/// One Interface of one node: where a Pod is plugged in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttachmentKey {
    /// Kubernetes Node name.
    pub node: String,
    /// Name of the OVSDB Interface row.
    pub interface: String,
}

impl fmt::Display for AttachmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interface {} on node {}", self.interface, self.node)
    }
}

/// What a node's OVSDB says of a Pod's Interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Which Interface.
    pub key: AttachmentKey,
    /// `NAMESPACE/NAME`, from `external_ids:iface-id`.
    pub pod_namespace: String,
    /// Pod name.
    pub pod_name: String,
    /// From `external_ids:iface-id-ver`, if there.
    pub pod_uid: Option<String>,
    /// OpenFlow port number.
    pub port: PortNo,
    /// From `external_ids:culvert-ip` and `external_ids:culvert-ip6`.
    pub addresses: Addresses,
    /// From `external_ids:attached-mac`.
    pub mac: MacAddr,
    /// The Interface already carries `culvert-ready`: it was admitted before, by us or by an
    /// earlier controller, and must not be held back again.
    pub ready: bool,
}

/// What a node's OVSDB says of the node itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// OpenFlow port number of the tunnel port; `None` while the node has none.
    pub tunnel_port: Option<PortNo>,
    /// OpenFlow port number of the gateway port, behind which the node's own kernel is; `None`
    /// while the node has none.
    pub gateway_port: Option<PortNo>,
}

/// One step of input.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// An object was added or modified.
    Apply(Object),
    /// An object is gone.
    Delete(ObjectKey),
    /// A node's OVSDB was read: from now on the node has a layer.
    ObserveNode {
        /// Kubernetes Node name.
        node: String,
        /// What was read.
        facts: NodeFacts,
    },
    /// An Interface appeared or changed.
    Attach(Attachment),
    /// An Interface is gone.
    Detach(AttachmentKey),
    /// Every connected switch knows what it needs to know of this attachment: open its port.
    /// Ignored unless the attachment is [`AttachmentStatus::Programmed`].
    Admit(AttachmentKey),
}

/// How far an attachment has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachmentStatus {
    /// Something it needs is not known yet; no flow exists for it. The text says what.
    Pending(String),
    /// All its flows but the classification flow are in the node's layer.
    Programmed,
    /// All its flows are in the node's layer.
    Admitted,
    /// It contradicts the objects; no flow exists for it. The text names object and cure.
    Refused(String),
}

/// What a batch of changes did.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// What comes first: Pods lose flags that the flows in `cluster` no longer need. Until those are
    /// changed, they still say the same.
    pub early: BTreeMap<String, LayerDelta>,
    /// Change of the layer that is the same on every node: then all of it at once on each.
    pub cluster: LayerDelta,
    /// Change of each node's own layer, which comes last; nodes without change are absent.
    pub nodes: BTreeMap<String, LayerDelta>,
    /// Attachments whose status changed; `None`: gone.
    pub attachments: BTreeMap<AttachmentKey, Option<AttachmentStatus>>,
    /// What nodes must know of Services has changed: [`crate::Compiler::node_services`].
    pub services: bool,
    /// What [`crate::Compiler::local_endpoints`] says of a Service with health checks may have changed.
    pub local_endpoints: bool,
    /// Objects that were refused; what they said before stays in force.
    pub rejected: Vec<(ObjectKey, Rejected)>,
}
