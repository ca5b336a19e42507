// SPDX-License-Identifier: Apache-2.0
//! A layer: a set of flows and groups with the owners of each, and the change between two states.

use std::collections::BTreeMap;
use std::sync::Arc;

use openflow_codec::{Cookie, Flow, Group, GroupId};

use crate::change::AttachmentKey;
use crate::explain::Why;
use crate::identity::Identity;
use crate::model::{Name, ObjectKey};
use crate::small_set::SmallSet;

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

/// Somebody whose flows are made anew together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Owner {
    /// The fixed part.
    Pipeline,
    /// A policy, a Service, a range of its addresses, or a node where every switch knows of it.
    Object(ObjectKey),
    /// An identity of a namespace.
    Identity(Name, Identity),
    /// A Pod's port.
    Attachment(AttachmentKey),
    /// The node's tunnel port.
    TunnelPort,
    /// The node's gateway port.
    GatewayPort,
    /// The node's masquerade addresses.
    Masquerade,
    /// The way to another node.
    Route(String),
}

/// A flow that somebody wants, with everybody who wants it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) flow: Arc<Flow>,
    owners: SmallSet<Arc<Owner>>,
}

/// A set of flows by cookie, each with the owners that want it, and groups by number.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    flows: BTreeMap<Cookie, Entry>,
    /// What each owner wants, sorted.
    wanted: BTreeMap<Arc<Owner>, Box<[(Cookie, Why)]>>,
    groups: BTreeMap<GroupId, Arc<Group>>,
    /// State at the beginning of the batch of what the batch has touched.
    before: BTreeMap<Cookie, bool>,
    groups_before: BTreeMap<GroupId, Option<Arc<Group>>>,
}

impl Layer {
    /// `owner` wants exactly `flows`.
    pub(crate) fn replace(&mut self, owner: Owner, flows: Vec<(Arc<Flow>, Why)>) {
        let (owner, old) = match self.wanted.remove_entry(&owner) {
            Some(known) => known,
            None if flows.is_empty() => return,
            None => (Arc::new(owner), Box::default()),
        };
        let mut new: Vec<(Cookie, Why)> = Vec::with_capacity(flows.len());
        for (flow, why) in flows {
            new.push((flow.cookie, why));
            self.want(flow, &owner);
        }
        new.sort_unstable();
        new.dedup();
        for (cookie, _) in old {
            if reasons(&new, cookie).is_empty() {
                self.unwant(cookie, &owner);
            }
        }
        if !new.is_empty() {
            self.wanted.insert(owner, new.into());
        }
    }

    fn want(&mut self, flow: Arc<Flow>, owner: &Arc<Owner>) {
        let cookie = flow.cookie;
        match self.flows.get_mut(&cookie) {
            Some(entry) => entry.owners.insert(Arc::clone(owner)),
            None => {
                self.before.entry(cookie).or_insert(false);
                let owners = SmallSet::One(Arc::clone(owner));
                self.flows.insert(cookie, Entry { flow, owners });
            }
        }
    }

    fn unwant(&mut self, cookie: Cookie, owner: &Arc<Owner>) {
        let Some(entry) = self.flows.get_mut(&cookie) else {
            return;
        };
        entry.owners.remove(owner);
        if entry.owners.is_empty() {
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

    pub(crate) fn entry(&self, cookie: Cookie) -> Option<&Entry> {
        self.flows.get(&cookie)
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.values()
    }

    /// Every owner, with what it wants.
    pub(crate) fn owners(&self) -> impl Iterator<Item = (&Owner, &[(Cookie, Why)])> {
        let wanted = self.wanted.iter();
        wanted.map(|(owner, flows)| (owner.as_ref(), flows.as_ref()))
    }

    /// Everybody who wants the flow of `entry`, and why.
    pub(crate) fn reasons(&self, entry: &Entry) -> impl Iterator<Item = (&Owner, &Why)> {
        let cookie = entry.flow.cookie;
        entry.owners.iter().flat_map(move |owner| {
            let wanted = self.wanted.get_key_value(owner).into_iter();
            wanted.flat_map(move |(owner, flows)| {
                let reasons = reasons(flows, cookie).iter();
                reasons.map(move |(_, why)| (owner.as_ref(), why))
            })
        })
    }
}

/// The part of an owner's sorted flows that is about one cookie.
fn reasons(flows: &[(Cookie, Why)], cookie: Cookie) -> &[(Cookie, Why)] {
    let first = flows.partition_point(|(other, _)| *other < cookie);
    let rest = flows.get(first..).unwrap_or_default();
    let count = rest.partition_point(|(other, _)| *other == cookie);
    rest.get(..count).unwrap_or_default()
}
