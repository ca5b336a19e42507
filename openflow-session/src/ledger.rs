// SPDX-License-Identifier: Apache-2.0
//! What the switch shall hold, and what we believe it holds.

use std::collections::VecDeque;
use std::sync::Arc;

use openflow_codec::Cookie;

use crate::config::Config;
use crate::event::Event;
use crate::layer::{Generation, Layer, LayerState};
use crate::plan::{Layers, Op};
use crate::rejected::Rejected;

/// The beliefs of one connection. Nothing here is a queue: the newest wanted state replaces the
/// one before, so changes coalesce while the switch is busy.
#[derive(Debug)]
pub(crate) struct Ledger {
    config: Arc<Config>,
    cluster: Option<LayerState>,
    node: Option<LayerState>,
    /// Highest generation the owner has given.
    given: Generation,
    /// Generation of the first wish that no run has taken up yet.
    pending: Option<Generation>,
    /// Highest generation the switch has acknowledged.
    acked: Option<Generation>,
    /// What the switch holds, apart from what it refused.
    pub(crate) installed: Layers,
    /// What the markers on the switch say; `None` when unknown or absent.
    cluster_marker: Option<Cookie>,
    node_marker: Option<Cookie>,
    /// What the switch refused.
    pub(crate) rejected: Rejected,
}

impl Ledger {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        Self {
            config,
            cluster: None,
            node: None,
            given: Generation::default(),
            pending: None,
            acked: None,
            installed: Layers::default(),
            cluster_marker: None,
            node_marker: None,
            rejected: Rejected::default(),
        }
    }

    pub(crate) fn set_wanted(&mut self, layer: Layer, state: LayerState, generation: Generation) {
        match layer {
            Layer::Cluster => self.cluster = Some(state),
            Layer::Node => self.node = Some(state),
        }
        self.given = self.given.max(generation);
        self.pending.get_or_insert(generation);
        // An owner may say more under a generation that is acknowledged already.
        self.acked = self.acked.filter(|acked| *acked < generation);
    }

    /// Whether there is a wish that no run has taken up.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Takes up all wishes: the generation to acknowledge when they are true.
    pub(crate) fn begin(&mut self) -> Generation {
        self.pending = None;
        self.given
    }

    pub(crate) fn wanted_layer(&self, layer: Layer) -> Option<&LayerState> {
        match layer {
            Layer::Cluster => self.cluster.as_ref(),
            Layer::Node => self.node.as_ref(),
        }
    }

    /// Both layers, once the owner has given both.
    pub(crate) fn wanted(&self) -> Option<Layers> {
        Some(Layers {
            cluster: self.cluster.clone()?,
            node: self.node.clone()?,
        })
    }

    /// Records what a layer's marker on the switch says.
    pub(crate) fn set_marker(&mut self, layer: Layer, cookie: Option<Cookie>) {
        match layer {
            Layer::Cluster => self.cluster_marker = cookie,
            Layer::Node => self.node_marker = cookie,
        }
    }

    pub(crate) fn marker(&self, layer: Layer) -> Option<Cookie> {
        match layer {
            Layer::Cluster => self.cluster_marker,
            Layer::Node => self.node_marker,
        }
    }

    /// What a layer's marker says on a switch that holds `state`.
    pub(crate) fn right_marker(&self, layer: Layer, state: &LayerState) -> Cookie {
        let digest = self.rejected.digest(layer, state);
        self.config.marker(layer).cookie(digest)
    }

    /// Whether both markers say that the switch holds `layers`.
    pub(crate) fn markers_say(&self, layers: &Layers) -> bool {
        Layer::ALL
            .into_iter()
            .all(|layer| self.marker(layer) == Some(self.right_marker(layer, layers.of(layer))))
    }

    /// Deletes the markers, because the switch is about to hold something in between. Otherwise a
    /// connection lost half-way would leave a digest that is wrong, yet equal to a wanted one.
    pub(crate) fn drop_markers(&mut self) -> Vec<Op> {
        self.forget_markers();
        let markers = Layer::ALL.map(|layer| self.config.marker(layer));
        markers.map(Op::DropMarker).into()
    }

    /// Writes the markers that do not yet say that the switch holds `target`.
    pub(crate) fn write_markers(&self, target: &Layers) -> Vec<Op> {
        let mut ops = Vec::new();
        for layer in Layer::ALL {
            let cookie = self.right_marker(layer, target.of(layer));
            if self.marker(layer) != Some(cookie) {
                ops.push(Op::WriteMarker(self.config.marker(layer), cookie));
            }
        }
        ops
    }

    /// Forgets what the markers say.
    pub(crate) fn forget_markers(&mut self) {
        self.cluster_marker = None;
        self.node_marker = None;
    }

    /// Tells the owner that everything up to `generation` is acknowledged, unless more is wanted
    /// under that generation by now.
    pub(crate) fn acknowledge(&mut self, generation: Generation, events: &mut VecDeque<Event>) {
        let more = self.pending.is_some_and(|pending| pending <= generation);
        if !more && self.acked.is_none_or(|acked| acked < generation) {
            self.acked = Some(generation);
            let rejected = self.rejected.len();
            events.push_back(Event::Acked {
                generation,
                rejected,
            });
        }
    }

    /// The switch holds `target` and its markers say so.
    pub(crate) fn settle(&mut self, target: Layers) {
        for layer in Layer::ALL {
            let cookie = self.right_marker(layer, target.of(layer));
            self.set_marker(layer, Some(cookie));
        }
        self.installed = target;
    }
}
