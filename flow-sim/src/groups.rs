// SPDX-License-Identifier: Apache-2.0
//! Groups, and how a select group chooses its bucket.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use openflow_codec::{Action, Bucket, Flow, Group, GroupId, Instruction};

use crate::conntrack::Tuple;
use crate::hash::Fnv;
use crate::packet::Packet;

/// Every group of a switch.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    groups: BTreeMap<GroupId, Arc<Group>>,
}

/// How a select group chooses.
#[derive(Clone)]
pub enum Selection {
    /// By addresses and ports, weighted; another seed gives other choices.
    Hash {
        /// Start of the hash.
        seed: u64,
    },
    /// By the caller: the `id` of a bucket, or `None` for no live bucket.
    With(Arc<Choose>),
}

/// Chooses a bucket, by its `id`.
pub type Choose = dyn Fn(&Group, &Packet) -> Option<u32> + Send + Sync;

impl Groups {
    /// Adds a group, or replaces the one of that number; returns the old one.
    pub fn set(&mut self, group: Group) -> Option<Arc<Group>> {
        self.groups.insert(group.id, Arc::new(group))
    }

    /// Removes a group.
    pub fn remove(&mut self, id: GroupId) -> Option<Arc<Group>> {
        self.groups.remove(&id)
    }

    /// Puts back a group, or takes one away again.
    pub(crate) fn restore(&mut self, id: GroupId, old: Option<Arc<Group>>) {
        match old {
            Some(group) => self.groups.insert(id, group),
            None => self.groups.remove(&id),
        };
    }

    /// The group of this number.
    pub fn get(&self, id: GroupId) -> Option<&Arc<Group>> {
        self.groups.get(&id)
    }

    /// Every group, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.values().map(Arc::as_ref)
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is no group.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

impl Selection {
    /// The bucket of select group `group` that `packet` takes; a bucket of weight 0 takes none.
    pub(crate) fn choose<'a>(&self, group: &'a Group, packet: &Packet) -> Option<&'a Bucket> {
        match self {
            Self::With(choose) => {
                let id = choose(group, packet)?;
                group.buckets.iter().find(|bucket| bucket.id == id)
            }
            Self::Hash { seed } => {
                let total: u64 = group.buckets.iter().map(|b| u64::from(b.weight)).sum();
                let mut point = hash(*seed, packet).checked_rem(total)?;
                group.buckets.iter().find(|bucket| {
                    let weight = u64::from(bucket.weight);
                    let here = point < weight;
                    point = point.wrapping_sub(weight);
                    here
                })
            }
        }
    }
}

impl Default for Selection {
    fn default() -> Self {
        Self::Hash { seed: 0 }
    }
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash { seed } => f.debug_struct("Hash").field("seed", seed).finish(),
            Self::With(_) => f.debug_tuple("With").finish_non_exhaustive(),
        }
    }
}

/// The groups that a flow sends packets to.
pub(crate) fn flow_groups(flow: &Flow) -> impl Iterator<Item = GroupId> {
    let lists = flow
        .instructions
        .iter()
        .filter_map(|instruction| match instruction {
            Instruction::ApplyActions(actions) | Instruction::WriteActions(actions) => {
                Some(actions)
            }
            _ => None,
        });
    lists.flatten().filter_map(|action| match action {
        Action::Group(id) => Some(*id),
        _ => None,
    })
}

fn hash(seed: u64, packet: &Packet) -> u64 {
    let mut hasher = Fnv::default();
    seed.hash(&mut hasher);
    match packet.as_ip().map(Tuple::of) {
        Some(Some(tuple)) => tuple.hash(&mut hasher),
        _ => (packet.eth_src, packet.eth_dst).hash(&mut hasher),
    }
    hasher.finish()
}
