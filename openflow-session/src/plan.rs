// SPDX-License-Identifier: Apache-2.0
//! Turns the difference between two states into operations, lazily and in a safe order.
//!
//! A plan holds handles and a cursor, never a list of operations: a switch that needs a hundred
//! thousand flows costs no more memory than one that needs ten.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use openflow_codec::{Cookie, Flow, GroupId, TableId};

use crate::config::Marker;
use crate::encoded::{EncodedFlow, EncodedGroup};
use crate::layer::{Layer, LayerState};
use crate::shared_map::Change;

/// One change of the switch.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Make a group so.
    SetGroup(Layer, Arc<EncodedGroup>),
    /// Add a flow, replacing one with equal table, priority and match.
    AddFlow(Layer, Arc<EncodedFlow>),
    /// Delete the flows with exactly this cookie.
    DeleteCookie(Cookie),
    /// Delete the flow with this table, priority and match, if its cookie is equal under the mask.
    DeleteStrict(Arc<Flow>, Cookie),
    /// Delete a group.
    DeleteGroup(GroupId),
    /// Delete a marker, whatever it says.
    DropMarker(Marker),
    /// Write a marker.
    WriteMarker(Marker, Cookie),
}

/// Handles of both layers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers {
    pub(crate) cluster: LayerState,
    pub(crate) node: LayerState,
}

impl Layers {
    pub(crate) fn of(&self, layer: Layer) -> &LayerState {
        match layer {
            Layer::Cluster => &self.cluster,
            Layer::Node => &self.node,
        }
    }

    pub(crate) fn has_flow(&self, cookie: Cookie) -> bool {
        self.cluster.flows().contains(cookie) || self.node.flows().contains(cookie)
    }

    pub(crate) fn flow(&self, cookie: Cookie) -> Option<&Arc<EncodedFlow>> {
        let cluster = self.cluster.flows().get(cookie);
        cluster.or_else(|| self.node.flows().get(cookie))
    }

    pub(crate) fn group(&self, id: GroupId) -> Option<&Arc<EncodedGroup>> {
        let cluster = self.cluster.groups().get(id);
        cluster.or_else(|| self.node.groups().get(id))
    }
}

/// What a dump found: what is right, and what has to go.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Cookies of flows that are there with the right content, sorted.
    pub(crate) present: Vec<Cookie>,
    /// Numbers of groups that are there with the right content, sorted.
    pub(crate) present_groups: Vec<GroupId>,
    /// Cookies of ours that nobody wants; with entry-table flows first.
    pub(crate) stale: Vec<Cookie>,
    /// Flows that carry a wanted cookie without being that flow.
    pub(crate) impostors: Vec<Arc<Flow>>,
    /// Groups of ours that nobody wants.
    pub(crate) stale_groups: Vec<GroupId>,
}

/// Where a plan begins.
#[derive(Debug)]
enum Base {
    /// The switch holds exactly this.
    Installed(Layers),
    /// The switch was read when it should have held `expected`; it held that but for these.
    Read {
        findings: Box<Findings>,
        expected: Layers,
    },
}

/// Where a plan has arrived. The order of variants is the order of execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    SetGroups(Layer),
    AddFlows(Layer),
    AddEntryFlows(Layer),
    DeleteImpostors,
    DeleteEntryFlows(Layer),
    DeleteFlows(Layer),
    DeleteGroups(Layer),
    Done,
}

impl Phase {
    fn next(self) -> Self {
        match self {
            Self::SetGroups(Layer::Cluster) => Self::SetGroups(Layer::Node),
            Self::SetGroups(Layer::Node) => Self::AddFlows(Layer::Cluster),
            Self::AddFlows(Layer::Cluster) => Self::AddFlows(Layer::Node),
            Self::AddFlows(Layer::Node) => Self::AddEntryFlows(Layer::Cluster),
            Self::AddEntryFlows(Layer::Cluster) => Self::AddEntryFlows(Layer::Node),
            Self::AddEntryFlows(Layer::Node) => Self::DeleteImpostors,
            Self::DeleteImpostors => Self::DeleteEntryFlows(Layer::Cluster),
            Self::DeleteEntryFlows(Layer::Cluster) => Self::DeleteEntryFlows(Layer::Node),
            Self::DeleteEntryFlows(Layer::Node) => Self::DeleteFlows(Layer::Cluster),
            Self::DeleteFlows(Layer::Cluster) => Self::DeleteFlows(Layer::Node),
            Self::DeleteFlows(Layer::Node) => Self::DeleteGroups(Layer::Cluster),
            Self::DeleteGroups(Layer::Cluster) => Self::DeleteGroups(Layer::Node),
            Self::DeleteGroups(Layer::Node) | Self::Done => Self::Done,
        }
    }
}

/// Added flows whose identity is remembered to save the deletion of what they replace.
const REMEMBERED_ADDS: usize = 8_192;

/// The way from what a switch holds to what it shall hold.
#[derive(Debug)]
pub(crate) struct Plan {
    base: Base,
    target: Layers,
    entry_table: TableId,
    phase: Phase,
    /// Last key handled in this phase.
    flow_cursor: Option<Cookie>,
    group_cursor: Option<GroupId>,
    /// Position in a list of [`Findings`].
    position: usize,
    hasher: RandomState,
    added: HashSet<u64>,
}

impl Plan {
    /// The way from `installed` to `target`.
    pub(crate) fn change(installed: Layers, target: Layers, entry_table: TableId) -> Self {
        Self::new(Base::Installed(installed), target, entry_table)
    }

    /// The way back to `target`, after a dump found what the switch lacked of `expected` and held
    /// beyond it. What is in only one of `expected` and `target` has changed since and is right.
    pub(crate) fn repair(
        findings: Findings,
        expected: Layers,
        target: Layers,
        entry_table: TableId,
    ) -> Self {
        let findings = Box::new(findings);
        Self::new(Base::Read { findings, expected }, target, entry_table)
    }

    fn new(base: Base, target: Layers, entry_table: TableId) -> Self {
        Self {
            base,
            target,
            entry_table,
            phase: Phase::SetGroups(Layer::Cluster),
            flow_cursor: None,
            group_cursor: None,
            position: 0,
            hasher: RandomState::new(),
            added: HashSet::new(),
        }
    }

    /// What the switch holds at the end.
    pub(crate) fn target(&self) -> &Layers {
        &self.target
    }

    /// Whether every operation has been taken.
    pub(crate) fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Takes the next operations: as many as fit in `budget` messages.
    pub(crate) fn take(&mut self, budget: usize) -> Vec<Op> {
        let mut batch = Batch {
            ops: Vec::new(),
            budget,
            used: 0,
        };
        while self.phase != Phase::Done {
            if !self.step(&mut batch) {
                break;
            }
            self.phase = self.phase.next();
            self.flow_cursor = None;
            self.group_cursor = None;
            self.position = 0;
        }
        batch.ops
    }

    /// Works on the current phase; true when it is complete, false when the batch is full.
    fn step(&mut self, batch: &mut Batch) -> bool {
        match self.phase {
            Phase::SetGroups(layer) => self.set_groups(layer, batch),
            Phase::AddFlows(layer) => self.add_flows(layer, false, batch),
            Phase::AddEntryFlows(layer) => self.add_flows(layer, true, batch),
            Phase::DeleteImpostors => self.delete_impostors(batch),
            Phase::DeleteEntryFlows(layer) => self.delete_flows(layer, true, batch),
            Phase::DeleteFlows(layer) => self.delete_flows(layer, false, batch),
            Phase::DeleteGroups(layer) => self.delete_groups(layer, batch),
            Phase::Done => true,
        }
    }

    fn set_groups(&mut self, layer: Layer, batch: &mut Batch) -> bool {
        let target = self.target.of(layer).groups();
        let set = |group: &Arc<EncodedGroup>| Op::SetGroup(layer, Arc::clone(group));
        match &self.base {
            Base::Installed(installed) => {
                let old = installed.of(layer).groups();
                for change in old.diff(target, self.group_cursor) {
                    let (id, group) = match change {
                        Change::Added(id, group) => (id, group),
                        Change::Kept(id, before, group)
                            if before.content_hash() != group.content_hash() =>
                        {
                            (id, group)
                        }
                        Change::Kept(..) | Change::Removed(..) => continue,
                    };
                    if !batch.push(set(group), cost(group)) {
                        return false;
                    }
                    self.group_cursor = Some(id);
                }
            }
            Base::Read { findings, expected } => {
                for (id, _) in expected.of(layer).groups().iter_after(self.group_cursor) {
                    if findings.present_groups.binary_search(&id).is_ok() {
                        continue;
                    }
                    let Some(group) = target.get(id) else {
                        continue;
                    };
                    if !batch.push(set(group), cost(group)) {
                        return false;
                    }
                    self.group_cursor = Some(id);
                }
            }
        }
        true
    }

    fn add_flows(&mut self, layer: Layer, entry: bool, batch: &mut Batch) -> bool {
        let target = self.target.of(layer).flows();
        match &self.base {
            Base::Installed(installed) => {
                let old = installed.of(layer).flows();
                for change in old.diff(target, self.flow_cursor) {
                    let Change::Added(cookie, flow) = change else {
                        continue;
                    };
                    if (flow.flow().table == self.entry_table) != entry {
                        continue;
                    }
                    if !batch.push(Op::AddFlow(layer, Arc::clone(flow)), 1) {
                        return false;
                    }
                    if self.added.len() < REMEMBERED_ADDS {
                        self.added.insert(identity(&self.hasher, flow.flow()));
                    }
                    self.flow_cursor = Some(cookie);
                }
            }
            Base::Read { findings, expected } => {
                for (cookie, flow) in expected.of(layer).flows().iter_after(self.flow_cursor) {
                    if (flow.flow().table == self.entry_table) != entry
                        || findings.present.binary_search(&cookie).is_ok()
                        || !target.contains(cookie)
                    {
                        continue;
                    }
                    if !batch.push(Op::AddFlow(layer, Arc::clone(flow)), 1) {
                        return false;
                    }
                    self.flow_cursor = Some(cookie);
                }
            }
        }
        true
    }

    fn delete_impostors(&mut self, batch: &mut Batch) -> bool {
        let Base::Read { findings, .. } = &self.base else {
            return true;
        };
        let rest = findings.impostors.iter().skip(self.position);
        for flow in rest {
            if !batch.push(Op::DeleteStrict(Arc::clone(flow), Cookie::MASK_EXACT), 1) {
                return false;
            }
            self.position += 1;
        }
        true
    }

    fn delete_flows(&mut self, layer: Layer, entry: bool, batch: &mut Batch) -> bool {
        match &self.base {
            Base::Installed(installed) => {
                let old = installed.of(layer).flows();
                for change in old.diff(self.target.of(layer).flows(), self.flow_cursor) {
                    let Change::Removed(cookie, flow) = change else {
                        continue;
                    };
                    if (flow.flow().table == self.entry_table) != entry
                        || self.target.has_flow(cookie)
                        || self.added.contains(&identity(&self.hasher, flow.flow()))
                    {
                        continue;
                    }
                    if !batch.push(Op::DeleteCookie(cookie), 1) {
                        return false;
                    }
                    self.flow_cursor = Some(cookie);
                }
            }
            // Findings are not by layer and list entry-table flows first: one pass does it all.
            Base::Read { findings, .. } if layer == Layer::Cluster && entry => {
                for cookie in findings.stale.iter().skip(self.position) {
                    if !self.target.has_flow(*cookie) && !batch.push(Op::DeleteCookie(*cookie), 1) {
                        return false;
                    }
                    self.position += 1;
                }
            }
            Base::Read { .. } => {}
        }
        true
    }

    fn delete_groups(&mut self, layer: Layer, batch: &mut Batch) -> bool {
        match &self.base {
            Base::Installed(installed) => {
                let old = installed.of(layer).groups();
                for change in old.diff(self.target.of(layer).groups(), self.group_cursor) {
                    let Change::Removed(id, _) = change else {
                        continue;
                    };
                    if self.target.group(id).is_some() {
                        continue;
                    }
                    if !batch.push(Op::DeleteGroup(id), 1) {
                        return false;
                    }
                    self.group_cursor = Some(id);
                }
            }
            Base::Read { findings, .. } if layer == Layer::Cluster => {
                for id in findings.stale_groups.iter().skip(self.position) {
                    if self.target.group(*id).is_none() && !batch.push(Op::DeleteGroup(*id), 1) {
                        return false;
                    }
                    self.position += 1;
                }
            }
            Base::Read { .. } => {}
        }
        true
    }
}

/// What a group takes of a bundle's room: its messages, and one more for every 1,024 bytes, since
/// a message with many buckets keeps a switch busy for longer than a flow does.
fn cost(group: &EncodedGroup) -> usize {
    let messages = group.messages().iter();
    messages.map(|message| 1 + message.len() / 1_024).sum()
}

/// Operations for one bundle.
struct Batch {
    ops: Vec<Op>,
    budget: usize,
    used: usize,
}

impl Batch {
    /// Takes `op` unless it does not fit; a batch always takes its first operation.
    fn push(&mut self, op: Op, cost: usize) -> bool {
        if self.used > 0 && self.used + cost > self.budget {
            return false;
        }
        self.used += cost;
        self.ops.push(op);
        true
    }
}

/// A number for (table, priority, match).
fn identity(hasher: &RandomState, flow: &Flow) -> u64 {
    hasher.hash_one((flow.table, flow.priority, &flow.flow_match))
}
