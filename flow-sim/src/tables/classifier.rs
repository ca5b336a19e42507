// SPDX-License-Identifier: Apache-2.0
//! Tuple space search: one hash table for each shape of match, tried by falling priority.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use super::Entry;
use super::key::{MatchKey, Shape, project};
use crate::hash::Fnv;
use crate::packet::Packet;

/// The flows of one table.
#[derive(Clone, Debug, Default)]
pub(super) struct Classifier {
    /// By falling highest priority, then shape.
    subtables: Vec<Subtable>,
}

/// The flows whose matches have the same fields and masks.
#[derive(Clone, Debug)]
struct Subtable {
    shape: Shape,
    /// Number of flows of each priority.
    priorities: BTreeMap<u16, usize>,
    /// Flows of equal values, by falling priority.
    entries: HashMap<Box<[u128]>, Vec<Arc<Entry>>, BuildHasherDefault<Fnv>>,
}

/// Result of a lookup.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The flow that wins.
    pub entry: &'a Arc<Entry>,
    /// Another flow of the same priority that matches too and does something else; which of them
    /// wins is undefined in OpenFlow (here: the one installed first).
    pub rival: Option<&'a Arc<Entry>>,
}

impl Classifier {
    pub(super) fn is_empty(&self) -> bool {
        self.subtables.is_empty()
    }

    pub(super) fn get(&self, key: &MatchKey, priority: u16) -> Option<Arc<Entry>> {
        let subtable = self.subtables.iter().find(|s| s.shape == key.shape)?;
        let entries = subtable.entries.get(&key.values)?;
        entries
            .iter()
            .find(|e| e.flow.priority == priority)
            .cloned()
    }

    pub(super) fn insert(&mut self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        let position = self
            .subtables
            .iter()
            .position(|s| s.shape == entry.key.shape);
        let position = position.unwrap_or_else(|| {
            self.subtables.push(Subtable {
                shape: entry.key.shape.clone(),
                priorities: BTreeMap::new(),
                entries: HashMap::default(),
            });
            self.subtables.len() - 1
        });
        let subtable = self.subtables.get_mut(position)?;
        let highest = subtable.highest();
        let replaced = subtable.insert(entry);
        if subtable.highest() != highest {
            self.sort();
        }
        replaced
    }

    pub(super) fn remove(&mut self, entry: &Entry) {
        let Some(position) = self
            .subtables
            .iter()
            .position(|s| s.shape == entry.key.shape)
        else {
            return;
        };
        let Some(subtable) = self.subtables.get_mut(position) else {
            return;
        };
        let highest = subtable.highest();
        subtable.remove(entry);
        if subtable.entries.is_empty() {
            self.subtables.remove(position);
        } else if subtable.highest() != highest {
            self.sort();
        }
    }

    pub(super) fn lookup(&self, packet: &Packet) -> Option<Found<'_>> {
        let mut values = Vec::with_capacity(8);
        let mut best: Option<Found<'_>> = None;
        for subtable in &self.subtables {
            if best.is_some_and(|b| Some(b.entry.flow.priority) > subtable.highest()) {
                break;
            }
            if !project(packet, &subtable.shape, &mut values) {
                continue;
            }
            let Some(entry) = subtable
                .entries
                .get(values.as_slice())
                .and_then(|e| e.first())
            else {
                continue;
            };
            best = Some(match best {
                Some(best) => best.against(entry),
                None => Found { entry, rival: None },
            });
        }
        best
    }

    fn sort(&mut self) {
        self.subtables.sort_by(|a, b| {
            b.highest()
                .cmp(&a.highest())
                .then_with(|| a.shape.cmp(&b.shape))
        });
    }
}

impl<'a> Found<'a> {
    fn against(self, other: &'a Arc<Entry>) -> Self {
        let (mine, theirs) = (&self.entry.flow, &other.flow);
        match theirs.priority.cmp(&mine.priority) {
            std::cmp::Ordering::Less => self,
            std::cmp::Ordering::Greater => Self {
                entry: other,
                rival: None,
            },
            std::cmp::Ordering::Equal => {
                let (entry, loser) = if other.serial < self.entry.serial {
                    (other, self.entry)
                } else {
                    (self.entry, other)
                };
                let differ = mine.instructions != theirs.instructions;
                Self {
                    entry,
                    rival: self.rival.or_else(|| differ.then_some(loser)),
                }
            }
        }
    }
}

impl Subtable {
    fn highest(&self) -> Option<u16> {
        self.priorities.keys().next_back().copied()
    }

    fn insert(&mut self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        let priority = entry.flow.priority;
        let entries = self.entries.entry(entry.key.values.clone()).or_default();
        let position = entries.iter().position(|e| e.flow.priority <= priority);
        match position.and_then(|at| entries.get_mut(at)) {
            Some(old) if old.flow.priority == priority => {
                return Some(std::mem::replace(old, entry));
            }
            _ => entries.insert(position.unwrap_or(entries.len()), entry),
        }
        *self.priorities.entry(priority).or_default() += 1;
        None
    }

    fn remove(&mut self, entry: &Entry) {
        let Some(entries) = self.entries.get_mut(&entry.key.values) else {
            return;
        };
        let before = entries.len();
        entries.retain(|e| e.serial != entry.serial);
        if entries.len() == before {
            return;
        }
        if entries.is_empty() {
            self.entries.remove(&entry.key.values);
        }
        let priority = entry.flow.priority;
        if let Some(count) = self.priorities.get_mut(&priority) {
            *count -= 1;
            if *count == 0 {
                self.priorities.remove(&priority);
            }
        }
    }
}
