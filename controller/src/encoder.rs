// SPDX-License-Identifier: Apache-2.0
//! Encodes each flow once, however many switches get it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use openflow_codec::{Context, Cookie, Flow, Group, TlvMapping};
use openflow_session::{Delta, EncodedFlow, EncodedGroup};
use policy_compiler::{LayerDelta, Output, pipeline};

use crate::rollout::Plan;

/// Encoded flows by cookie, as long as any layer holds them.
#[derive(Debug)]
pub struct Encoder {
    context: Context,
    flows: BTreeMap<Cookie, Weak<EncodedFlow>>,
    /// Size at which flows that no layer holds are swept out.
    sweep_at: usize,
    encoded: u64,
}

/// Below this size sweeping is not worth its time.
const SWEEP_MIN: usize = 1_024;

impl Default for Encoder {
    fn default() -> Self {
        Self {
            context: Context::with_tlv_table(&[tlv_mapping()]),
            flows: BTreeMap::new(),
            sweep_at: SWEEP_MIN,
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

    fn flow(&mut self, flow: &Flow) -> Option<Arc<EncodedFlow>> {
        if let Some(known) = self.flows.get(&flow.cookie).and_then(Weak::upgrade) {
            return Some(known);
        }
        let encoded = match EncodedFlow::new(flow.clone(), &self.context) {
            Ok(encoded) => Arc::new(encoded),
            Err(error) => {
                tracing::error!(cookie = %flow.cookie, %error, "a flow cannot be encoded and is left out");
                return None;
            }
        };
        self.encoded += 1;
        self.flows.insert(flow.cookie, Arc::downgrade(&encoded));
        if self.flows.len() >= self.sweep_at {
            self.flows.retain(|_, flow| flow.strong_count() > 0);
            self.sweep_at = (self.flows.len() * 2).max(SWEEP_MIN);
        }
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
    use openflow_codec::{Match, TableId};

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
    fn flows_that_nobody_holds_are_swept_out() {
        let mut encoder = Encoder::default();
        for cookie in 0..10_000 {
            encoder.plan(&output([cookie]));
        }
        assert!(encoder.flows.len() <= SWEEP_MIN, "{}", encoder.flows.len());
    }
}
