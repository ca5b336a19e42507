// SPDX-License-Identifier: Apache-2.0
//! A layer: a set of flows and groups with the causes of each, and the change between two states.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openflow_codec::{Cookie, Flow, Group, GroupId};

use crate::explain::Cause;

/// Difference between two states of a layer. Applying `remove` after `add` is safe: a cookie in
/// `remove` is never the cookie of a wanted flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerDelta {
    /// Flows to add; a flow with the (table, priority, match) of an older one replaces it.
    pub add: Vec<Arc<Flow>>,
    /// Flows to remove.
    pub remove: Vec<Cookie>,
    /// Groups to add or to replace.
    pub set_groups: Vec<Arc<Group>>,
    /// Groups to remove, after `remove`.
    pub remove_groups: Vec<GroupId>,
}

impl LayerDelta {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty()
            && self.remove.is_empty()
            && self.set_groups.is_empty()
            && self.remove_groups.is_empty()
    }
}

/// A flow that somebody wants, with everybody who wants it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) flow: Arc<Flow>,
    pub(crate) causes: BTreeSet<Cause>,
}

/// A set of flows by cookie, and groups by number, each with the causes that want it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    flows: BTreeMap<Cookie, Entry>,
    groups: BTreeMap<GroupId, Arc<Group>>,
    /// State at the beginning of the batch of what the batch has touched.
    before: BTreeMap<Cookie, bool>,
    groups_before: BTreeMap<GroupId, Option<Arc<Group>>>,
}

impl Layer {
    /// `cause` wants `flow`.
    pub(crate) fn want(&mut self, flow: &Arc<Flow>, cause: &Cause) {
        let known = self.flows.contains_key(&flow.cookie);
        self.before.entry(flow.cookie).or_insert(known);
        self.flows
            .entry(flow.cookie)
            .or_insert_with(|| Entry {
                flow: Arc::clone(flow),
                causes: BTreeSet::new(),
            })
            .causes
            .insert(cause.clone());
    }

    /// `cause` no longer wants the flow of this cookie.
    pub(crate) fn unwant(&mut self, cookie: Cookie, cause: &Cause) {
        let Some(entry) = self.flows.get_mut(&cookie) else {
            return;
        };
        entry.causes.remove(cause);
        if entry.causes.is_empty() {
            self.before.entry(cookie).or_insert(true);
            self.flows.remove(&cookie);
        }
    }

    /// The group of this number is as given, or gone.
    pub(crate) fn set_group(&mut self, id: GroupId, group: Option<Arc<Group>>) {
        let old = match group {
            Some(group) => self.groups.insert(id, group),
            None => self.groups.remove(&id),
        };
        self.groups_before.entry(id).or_insert(old);
    }

    /// What changed since the last call.
    pub(crate) fn take_delta(&mut self) -> LayerDelta {
        let mut delta = LayerDelta::default();
        for (cookie, was) in std::mem::take(&mut self.before) {
            match (was, self.flows.get(&cookie)) {
                (false, Some(entry)) => delta.add.push(Arc::clone(&entry.flow)),
                (true, None) => delta.remove.push(cookie),
                _ => {}
            }
        }
        for (id, was) in std::mem::take(&mut self.groups_before) {
            match (was, self.groups.get(&id)) {
                (was, Some(now)) if was.as_ref() != Some(now) => {
                    delta.set_groups.push(Arc::clone(now));
                }
                (Some(_), None) => delta.remove_groups.push(id),
                _ => {}
            }
        }
        delta
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.flows.values()
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.values()
    }
}
