// SPDX-License-Identifier: Apache-2.0
//! Who wants which flows: the layers, and for each owner what it wanted last.

use std::collections::BTreeMap;
use std::sync::Arc;

use openflow_codec::{Cookie, Flow, Group, GroupId};

use crate::change::{AttachmentKey, Output};
use crate::explain::{Cause, Explanation, Scope};
use crate::layer::{Entry, Layer};
use crate::model::ObjectKey;

/// Somebody whose flows are made anew together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Owner {
    /// The fixed part.
    Pipeline,
    /// A policy or a Service.
    Object(ObjectKey),
    /// A Pod's port.
    Attachment(AttachmentKey),
    /// A node's tunnel port.
    TunnelPort,
    /// The way to another node.
    Route(String),
}

/// All layers.
#[derive(Default)]
pub(super) struct Owners {
    cluster: Layer,
    nodes: BTreeMap<String, Layer>,
    wanted: BTreeMap<(Owner, Scope), Vec<(Cookie, Cause)>>,
}

impl Owners {
    /// From now on the node has a layer.
    pub(super) fn observe_node(&mut self, node: &str) {
        self.nodes.entry(node.to_owned()).or_default();
    }

    pub(super) fn cluster(&self) -> &Layer {
        &self.cluster
    }

    pub(super) fn node(&self, node: &str) -> Option<&Layer> {
        self.nodes.get(node)
    }

    /// `owner` wants exactly `flows` in `scope`.
    pub(super) fn replace(&mut self, owner: &Owner, scope: &Scope, flows: Vec<(Arc<Flow>, Cause)>) {
        let layer = match scope {
            Scope::Cluster => &mut self.cluster,
            Scope::Node(node) => self.nodes.entry(node.clone()).or_default(),
        };
        let slot = (owner.clone(), scope.clone());
        let old = self.wanted.remove(&slot).unwrap_or_default();
        let mut new = Vec::with_capacity(flows.len());
        for (flow, cause) in flows {
            layer.want(&flow, &cause);
            new.push((flow.cookie, cause));
        }
        new.sort();
        new.dedup();
        for one in old {
            if new.binary_search(&one).is_err() {
                layer.unwant(one.0, &one.1);
            }
        }
        if !new.is_empty() {
            self.wanted.insert(slot, new);
        }
    }

    /// Nodes to which `scope` has a way.
    pub(super) fn routes(&self, scope: &Scope) -> Vec<String> {
        let owners = self.wanted.keys().filter(|(_, s)| s == scope);
        let names = owners.filter_map(|(owner, _)| match owner {
            Owner::Route(peer) => Some(peer.clone()),
            _ => None,
        });
        names.collect()
    }

    /// A group of the cluster layer is as given, or gone.
    pub(super) fn set_group(&mut self, id: GroupId, group: Option<Group>) {
        self.cluster.set_group(id, group.map(Arc::new));
    }

    /// What changed since the last call.
    pub(super) fn take_deltas(&mut self, output: &mut Output) {
        output.cluster = self.cluster.take_delta();
        for (node, layer) in &mut self.nodes {
            let delta = layer.take_delta();
            if !delta.is_empty() {
                output.nodes.insert(node.clone(), delta);
            }
        }
    }

    /// Every flow that `wanted` picks, with scope and causes.
    pub(super) fn explain(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Explanation> {
        let nodes = self
            .nodes
            .iter()
            .map(|(node, layer)| (Scope::Node(node.clone()), layer));
        let layers = std::iter::once((Scope::Cluster, &self.cluster)).chain(nodes);
        layers
            .flat_map(|(scope, layer)| explain_layer(&scope, layer, &wanted))
            .collect()
    }

    /// Every flow of a node's own layer, with causes.
    pub(super) fn explain_node(&self, node: &str) -> Option<Vec<Explanation>> {
        let layer = self.nodes.get(node)?;
        let scope = Scope::Node(node.to_owned());
        Some(explain_layer(&scope, layer, |_| true))
    }
}

fn explain_layer(
    scope: &Scope,
    layer: &Layer,
    wanted: impl Fn(&Entry) -> bool,
) -> Vec<Explanation> {
    let entries = layer.entries().filter(|entry| wanted(entry));
    entries
        .map(|entry| Explanation {
            scope: scope.clone(),
            flow: Arc::clone(&entry.flow),
            causes: entry.causes.iter().cloned().collect(),
        })
        .collect()
}
