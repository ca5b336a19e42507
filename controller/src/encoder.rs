// SPDX-License-Identifier: Apache-2.0
//! Encodes each flow once, however many switches get it.

mod known;

use std::collections::BTreeMap;
use std::sync::Arc;

use openflow_codec::{Context, Flow, Group, TlvMapping};
use openflow_session::{Delta, EncodedFlow, EncodedGroup};
use policy_compiler::{LayerDelta, Output, pipeline};

use self::known::Known;
use crate::rollout::Plan;

/// Remembers encoded flows as long as any layer holds them.
#[derive(Debug)]
pub struct Encoder {
    context: Context,
    known: Known,
    /// Flows that layers gave up since those that no layer holds were last forgotten.
    given_up: usize,
    encoded: u64,
}

/// For fewer flows it is not worth while to look for those that no layer holds.
const FORGET_MIN: usize = 1_024;

/// At most one in so many known flows is held by no layer.
const FORGET_SHARE: usize = 8;

impl Default for Encoder {
    fn default() -> Self {
        Self {
            context: Context::with_tlv_table(&[tlv_mapping()]),
            known: Known::default(),
            given_up: 0,
            encoded: 0,
        }
    }
}

/// The tunnel option that carries the identity.
pub fn tlv_mapping() -> TlvMapping {
    TlvMapping {
        class: pipeline::GENEVE_OPTION_CLASS,
        option_type: pipeline::GENEVE_OPTION_TYPE,
        length: pipeline::GENEVE_OPTION_LEN,
        index: pipeline::TUN_METADATA_INDEX,
    }
}

impl Encoder {
    /// What the compiler put out, in the form and order that switches get it.
    pub fn plan(&mut self, output: &Output) -> Plan {
        if self.given_up > FORGET_MIN.max(self.known.len() / FORGET_SHARE) {
            self.known.forget_unused();
            self.given_up = 0;
        }
        Plan {
            early: self.deltas(&output.early),
            cluster: self.delta(&output.cluster),
            nodes: self.deltas(&output.nodes),
        }
    }

    /// How many flows were encoded so far.
    pub fn encoded(&self) -> u64 {
        self.encoded
    }

    fn deltas(&mut self, deltas: &BTreeMap<String, LayerDelta>) -> BTreeMap<String, Delta> {
        let nodes = deltas.iter();
        nodes
            .map(|(node, delta)| (node.clone(), self.delta(delta)))
            .collect()
    }

    fn delta(&mut self, delta: &LayerDelta) -> Delta {
        self.given_up += delta.remove.len();
        Delta {
            add_flows: delta
                .add
                .iter()
                .filter_map(|flow| self.flow(flow))
                .collect(),
            remove_cookies: delta.remove.clone(),
            set_groups: delta
                .set_groups
                .iter()
                .filter_map(|group| self.group(group))
                .collect(),
            remove_groups: delta.remove_groups.clone(),
        }
    }

    fn flow(&mut self, flow: &Arc<Flow>) -> Option<Arc<EncodedFlow>> {
        if let Some(known) = self.known.get(flow.cookie) {
            return Some(Arc::clone(known));
        }
        let encoded = match EncodedFlow::new(Arc::clone(flow), &self.context) {
            Ok(encoded) => Arc::new(encoded),
            Err(error) => {
                tracing::error!(cookie = %flow.cookie, %error, "a flow cannot be encoded and is left out");
                return None;
            }
        };
        self.encoded += 1;
        self.known.insert(Arc::clone(&encoded));
        Some(encoded)
    }

    fn group(&self, group: &Group) -> Option<Arc<EncodedGroup>> {
        match EncodedGroup::new(group.clone(), &self.context) {
            Ok(encoded) => Some(Arc::new(encoded)),
            Err(error) => {
                tracing::error!(group = %group.id, %error, "a group cannot be encoded and is left out");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openflow_codec::{Cookie, Match, TableId};

    fn output(cookies: impl IntoIterator<Item = u64>) -> Output {
        let flow = |cookie| Flow {
            table: TableId(0),
            priority: 1,
            flow_match: Match::any(),
            cookie: Cookie(cookie),
            idle_timeout: 0,
            hard_timeout: 0,
            instructions: Vec::new(),
        };
        let add = cookies
            .into_iter()
            .map(|cookie| Arc::new(flow(cookie)))
            .collect();
        let cluster = LayerDelta {
            add,
            remove: vec![Cookie(9)],
            ..LayerDelta::default()
        };
        Output {
            cluster,
            ..Output::default()
        }
    }

    #[test]
    fn a_flow_that_some_layer_holds_is_not_encoded_again() {
        let mut encoder = Encoder::default();
        let first = encoder.plan(&output([1, 2]));
        let second = encoder.plan(&output([2, 3]));
        assert_eq!(encoder.encoded(), 3);
        let shared = first
            .cluster
            .add_flows
            .last()
            .zip(second.cluster.add_flows.first());
        assert!(shared.is_some_and(|(one, other)| Arc::ptr_eq(one, other)));
    }

    #[test]
    fn flows_that_nobody_holds_are_forgotten() {
        let mut encoder = Encoder::default();
        for cookie in 0..10_000 {
            // Each plan gives one flow up, and nobody holds the plan.
            encoder.plan(&output([cookie]));
        }
        assert!(
            encoder.known.len() <= FORGET_MIN + 2,
            "{}",
            encoder.known.len()
        );
    }
}
