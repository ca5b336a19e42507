// SPDX-License-Identifier: Apache-2.0
//! Entries that the switch refused: left out of everything that is sent, until they go away.

use std::collections::BTreeMap;

use openflow_codec::{Action, GroupId, Instruction};

use crate::encoded::{EncodedFlow, EncodedGroup};
use crate::event::EntryId;
use crate::layer::{Digest, Layer, LayerState};
use crate::plan::Layers;

/// The refused entries of one connection.
#[derive(Debug, Default)]
pub(crate) struct Rejected {
    entries: BTreeMap<EntryId, Refused>,
}

#[derive(Debug)]
struct Refused {
    layer: Layer,
    /// Distinguishes contents of one group number; unused for flows, whose cookie does that.
    content: u64,
}

impl Rejected {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(crate) fn insert_flow(&mut self, layer: Layer, flow: &EncodedFlow) {
        let refused = Refused { layer, content: 0 };
        self.entries.insert(EntryId::Flow(flow.cookie()), refused);
    }

    pub(crate) fn insert_group(&mut self, layer: Layer, group: &EncodedGroup) {
        let content = group.content_hash();
        let refused = Refused { layer, content };
        self.entries.insert(EntryId::Group(group.id()), refused);
    }

    /// A group that was refused and that `flow` sends packets to. The switch would refuse such a
    /// flow too, and with it the bundle.
    pub(crate) fn group_of(&self, flow: &EncodedFlow) -> Option<GroupId> {
        // Groups sort after flows: usually there is none, and the flow need not be looked at.
        let (last, _) = self.entries.last_key_value()?;
        if matches!(last, EntryId::Flow(_)) {
            return None;
        }
        let instructions = flow.flow().instructions.iter();
        instructions
            .flat_map(|instruction| match instruction {
                Instruction::ApplyActions(actions) | Instruction::WriteActions(actions) => {
                    actions.as_slice()
                }
                Instruction::GotoTable(_)
                | Instruction::WriteMetadata { .. }
                | Instruction::ClearActions
                | Instruction::Unknown(_) => &[],
            })
            .find_map(|action| match action {
                Action::Group(id) if self.entries.contains_key(&EntryId::Group(*id)) => Some(*id),
                _ => None,
            })
    }

    /// Forgets entries that `wanted` no longer contains.
    pub(crate) fn retain(&mut self, wanted: &Layers) {
        self.entries.retain(|entry, refused| {
            let state = wanted.of(refused.layer);
            match entry {
                EntryId::Flow(cookie) => state.flows().contains(*cookie),
                EntryId::Group(id) => state
                    .groups()
                    .get(*id)
                    .is_some_and(|group| group.content_hash() == refused.content),
            }
        });
    }

    /// Digest of what a switch holds of `state`.
    pub(crate) fn digest(&self, layer: Layer, state: &LayerState) -> Digest {
        let mut digest = state.digest();
        for (entry, refused) in &self.entries {
            if refused.layer != layer {
                continue;
            }
            match entry {
                EntryId::Flow(cookie) if state.flows().contains(*cookie) => {
                    digest.remove_flow(*cookie);
                }
                EntryId::Group(id) => {
                    if let Some(group) = state.groups().get(*id)
                        && group.content_hash() == refused.content
                    {
                        digest.remove_group(group);
                    }
                }
                EntryId::Flow(_) => {}
            }
        }
        digest
    }
}
