// SPDX-License-Identifier: Apache-2.0
//! The compiler: state, and the order in which a batch of changes is worked off.
//!
//! A batch is taken in first (objects parsed, stored, and what depends on them noted as dirty; what
//! must wait for its turn is kept in `stages`), then settled in the order families, identities,
//! policies, attachments, Services, nodes: what comes later depends on what comes earlier, never the
//! other way round. Each dirty owner's flows are made anew and compared with what it wanted before, so
//! a batch costs what it touches.

mod attachments;
mod dirty;
mod identities;
mod known;
mod listing;
mod nodes;
mod owners;
mod policies;
mod reasons;
mod services;
mod stages;
mod verdicts;

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use openflow_codec::{Flow, Group};

use self::attachments::Attachments;
use self::dirty::Dirty;
use self::identities::Identities;
use self::owners::Owners;
use self::policies::Policies;
use self::services::Services;
use self::stages::Stages;
use crate::change::{AttachmentKey, AttachmentStatus, Change, NodeFacts, Output};
use crate::explain::{Scope, Why};
use crate::layer::Owner;
use crate::model::{
    Families, Family, Kind, Labels, Name, Node, ObjectKey, Pod, pod_families, underlay,
};
use crate::pipeline::Builder;
use crate::stage;

/// What is the same for the whole life of a cluster.
#[derive(Clone)]
pub struct Config {
    /// Key of identities and cookies: the same on every replica.
    pub cluster_secret: [u8; 32],
}

/// What of Services their objects do not say: the same for the whole life of a controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Whether `spec.externalIPs` counts. Who may write Services can take any address by it.
    pub external_ips: bool,
    /// Where cluster addresses come from, besides what `ServiceCIDRs` say.
    pub cidrs: Vec<IpNetwork>,
}

/// The compiler.
pub struct Compiler {
    builder: Builder,
    owners: Owners,
    identities: Identities,
    policies: Policies,
    /// Every switch has the list of identities.
    listed: bool,
    services: Services,
    attachments: Attachments,
    /// What the pipeline carries.
    families: Families,
    nodes: BTreeMap<String, Node>,
    observed: BTreeMap<String, NodeFacts>,
    pods: BTreeMap<ObjectKey, Pod>,
    stages: Stages,
}

impl Compiler {
    /// A compiler that knows no object; its cluster layer is the fixed part of the pipeline.
    pub fn new(config: &Config) -> Self {
        Self::with_services(config, ServiceSettings::default())
    }

    /// As [`Compiler::new`], with these settings of Services.
    pub fn with_services(config: &Config, settings: ServiceSettings) -> Self {
        let mut compiler = Self {
            builder: Builder::new(&config.cluster_secret),
            owners: Owners::default(),
            identities: Identities::new(&config.cluster_secret),
            policies: Policies::default(),
            listed: false,
            services: Services::new(settings),
            attachments: Attachments::default(),
            families: std::iter::empty().collect(),
            nodes: BTreeMap::new(),
            observed: BTreeMap::new(),
            pods: BTreeMap::new(),
            stages: Stages::default(),
        };
        compiler.own_pipeline();
        compiler
    }

    /// Flows of the cluster layer, by cookie.
    pub fn cluster_flows(&self) -> impl Iterator<Item = &Arc<Flow>> {
        self.owners.cluster().entries().map(|entry| &entry.flow)
    }

    /// Groups of the cluster layer, by number.
    pub fn cluster_groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.owners.cluster().groups()
    }

    /// Flows of a node's own layer; `None` until the node was observed.
    pub fn node_flows(&self, node: &str) -> Option<impl Iterator<Item = &Arc<Flow>>> {
        Some(self.owners.node(node)?.entries().map(|entry| &entry.flow))
    }

    /// Groups of a node's own layer, by number; `None` until the node was observed.
    pub fn node_groups(&self, node: &str) -> Option<impl Iterator<Item = &Arc<Group>>> {
        Some(self.owners.node(node)?.groups())
    }

    /// Status of an attachment.
    pub fn attachment(&self, key: &AttachmentKey) -> Option<&AttachmentStatus> {
        self.attachments.status(key)
    }

    /// Whether the attachment's port was opened (once open, it stays so while its Interface is of the
    /// same Pod and addresses).
    pub fn is_open(&self, key: &AttachmentKey) -> bool {
        self.attachments.is_open(key)
    }

    /// Every node, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// Family of the tunnels between nodes: that of which more Nodes have an address.
    pub fn underlay(&self) -> Family {
        underlay(self.nodes.values())
    }

    /// Every Pod, by name.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values()
    }

    /// The identity of a Pod; `None` for unknown Pods and those without a port of their own.
    pub fn identity(&self, namespace: &str, name: &str) -> Option<crate::Identity> {
        self.identities
            .of(&ObjectKey::new(Kind::Pod, namespace, name))
    }

    fn take_in(&mut self, change: Change, dirty: &mut Dirty, output: &mut Output) {
        match change {
            Change::Apply(object) => self.take_in_object(&object, dirty, output),
            Change::Delete(key) => self.delete_object(&key, dirty),
            Change::ObserveNode { node, facts } => {
                self.owners.observe_node(&node);
                if self.observed.insert(node.clone(), facts).is_none() {
                    dirty.services.extend(self.services.all_by_node());
                }
                dirty.nodes.insert(node.clone());
                dirty.attachments.extend(self.attachments.on_node(&node));
            }
            Change::Attach(attachment) => self.attachments.attach(attachment, dirty),
            Change::Detach(key) => self.attachments.detach(&key, dirty),
            Change::Admit(key) => self.attachments.admit(&key, dirty),
        }
    }

    /// A node's object is as given, or gone.
    fn set_node(&mut self, name: &str, node: Option<Node>, dirty: &mut Dirty) {
        dirty.all_nodes = true;
        dirty.node_objects.insert(name.to_owned());
        dirty.attachments.extend(self.attachments.on_node(name));
        let zone = |node: Option<&Node>| node.and_then(Node::zone).cloned();
        if zone(node.as_ref()) != zone(self.nodes.get(name)) {
            dirty.services.extend(self.services.all_by_node());
        }
        let peer = |node: &Node| (node.labels.clone(), node.status_addresses.clone());
        let new = node.as_ref().map(peer);
        let old = match node {
            Some(node) => self.nodes.insert(name.to_owned(), node),
            None => self.nodes.remove(name),
        };
        if old.as_ref().map(peer) != new {
            dirty.policies.extend(self.policies.selecting_nodes());
        }
    }

    /// The pipeline carries the families of the nodes' Pod CIDRs; when these change, so does
    /// everything that names a family.
    fn settle_families(&mut self, dirty: &mut Dirty) {
        if !dirty.all_nodes {
            return;
        }
        let families = pod_families(self.nodes.values());
        if families == self.families {
            return;
        }
        self.families = families;
        self.own_pipeline();
        dirty.node_objects.extend(self.nodes.keys().cloned());
        dirty.policies.extend(self.policies.all());
        dirty.services.extend(self.services.all());
        dirty.ranges.extend(self.services.all_ranges());
    }

    fn own_pipeline(&mut self) {
        let mut fixed = stage::fixed(self.families);
        fixed.extend(self.settled_ranges());
        self.own(Owner::Pipeline, &Scope::Cluster, fixed);
    }

    /// A namespace's object is as given, or gone.
    fn set_namespace(&mut self, name: &Name, labels: Option<Labels>, dirty: &mut Dirty) {
        if self.identities.set_namespace(name, labels) {
            dirty.policies.extend(self.policies.selecting_namespaces());
        }
    }

    /// Replaces what `owner` wants in `scope`.
    fn own(&mut self, owner: Owner, scope: &Scope, wanted: Vec<stage::Wanted>) {
        let flows = self.flows(wanted);
        self.owners.replace(owner, scope, flows);
    }

    fn flows(&self, wanted: impl IntoIterator<Item = stage::Wanted>) -> Vec<(Arc<Flow>, Why)> {
        let wanted = wanted.into_iter();
        wanted
            .map(|wanted| (self.builder.flow(wanted.kind, wanted.spec), wanted.why))
            .collect()
    }
}
