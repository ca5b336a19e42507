// SPDX-License-Identifier: Apache-2.0
//! All layers: the one of the cluster, and one of each node.

use std::collections::BTreeMap;
use std::sync::Arc;

use openflow_codec::{Flow, Group, GroupId};

use crate::explain::{Scope, Why};
use crate::layer::{Layer, LayerDelta, Owner};

/// All layers.
#[derive(Default)]
pub(super) struct Owners {
    cluster: Layer,
    nodes: BTreeMap<String, Layer>,
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

    /// Every layer, that of the cluster first.
    pub(super) fn layers(&self) -> impl Iterator<Item = (Scope, &Layer)> {
        let nodes = self.nodes.iter();
        let nodes = nodes.map(|(node, layer)| (Scope::Node(node.clone()), layer));
        std::iter::once((Scope::Cluster, &self.cluster)).chain(nodes)
    }

    /// `owner` wants exactly `flows` in `scope`.
    pub(super) fn replace(&mut self, owner: Owner, scope: &Scope, flows: Vec<(Arc<Flow>, Why)>) {
        self.layer(scope).replace(owner, flows);
    }

    fn layer(&mut self, scope: &Scope) -> &mut Layer {
        match scope {
            Scope::Cluster => &mut self.cluster,
            Scope::Node(node) => self.nodes.entry(node.clone()).or_default(),
        }
    }

    /// Nodes to which `node` has a way.
    pub(super) fn routes(&self, node: &str) -> Vec<String> {
        let layer = self.nodes.get(node).into_iter();
        let names = layer
            .flat_map(Layer::owners)
            .filter_map(|(owner, _)| match owner {
                Owner::Route(peer) => Some(peer.clone()),
                _ => None,
            });
        names.collect()
    }

    /// A group of this scope is as given, or gone.
    pub(super) fn set_group(&mut self, id: GroupId, scope: &Scope, group: Option<Arc<Group>>) {
        self.layer(scope).set_group(id, group);
    }

    /// What changed in the cluster layer since the last call.
    pub(super) fn take_cluster_delta(&mut self) -> LayerDelta {
        self.cluster.take_delta()
    }

    /// What changed in the layers of nodes since the last call.
    pub(super) fn take_node_deltas(&mut self) -> BTreeMap<String, LayerDelta> {
        let layers = self.nodes.iter_mut();
        let deltas = layers.map(|(node, layer)| (node.clone(), layer.take_delta()));
        deltas.filter(|(_, delta)| !delta.is_empty()).collect()
    }
}
