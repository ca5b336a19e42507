// SPDX-License-Identifier: Apache-2.0
//! What a switch shall hold: two layers of flows and groups, each with a digest.

use std::fmt;
use std::sync::Arc;

use openflow_codec::{Cookie, GroupId};

use crate::encoded::{EncodedFlow, EncodedGroup};
use crate::shared_map::SharedMap;

/// Which part of a switch's flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// The same on every switch; the owner holds it once.
    Cluster,
    /// This switch's own.
    Node,
}

impl Layer {
    /// Both layers, in the order in which they are programmed.
    pub const ALL: [Self; 2] = [Self::Cluster, Self::Node];
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "cluster",
            Self::Node => "node",
        })
    }
}

/// Counts the changes an owner makes; a session acknowledges up to a generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The whole content of one layer. `clone` is cheap: copies share what they have in common, down
/// to the encoded bytes, so a thousand sessions may hold the cluster layer.
#[derive(Clone, Debug, Default)]
pub struct LayerState {
    flows: SharedMap<Cookie, Arc<EncodedFlow>>,
    groups: SharedMap<GroupId, Arc<EncodedGroup>>,
    digest: Digest,
}

impl LayerState {
    /// Adds a flow; a flow with the same cookie (and so the same content) is kept as it is.
    pub fn insert_flow(&mut self, flow: Arc<EncodedFlow>) {
        let cookie = flow.cookie();
        if self.flows.contains(cookie) {
            return;
        }
        self.digest.add_flow(cookie);
        self.flows.insert(cookie, flow);
    }

    /// Takes a flow away; an unknown cookie changes nothing.
    pub fn remove_flow(&mut self, cookie: Cookie) -> Option<Arc<EncodedFlow>> {
        let removed = self.flows.remove(cookie)?;
        self.digest.remove_flow(cookie);
        Some(removed)
    }

    /// Adds a group or replaces the one with its number.
    pub fn set_group(&mut self, group: Arc<EncodedGroup>) {
        self.digest.add_group(&group);
        if let Some(old) = self.groups.insert(group.id(), group) {
            self.digest.remove_group(&old);
        }
    }

    /// Takes a group away; an unknown number changes nothing.
    pub fn remove_group(&mut self, id: GroupId) -> Option<Arc<EncodedGroup>> {
        let removed = self.groups.remove(id)?;
        self.digest.remove_group(&removed);
        Some(removed)
    }

    /// Carries out a delta: removals first, so a cookie in both lists ends up present.
    pub fn apply(&mut self, delta: &Delta) {
        for cookie in &delta.remove_cookies {
            self.remove_flow(*cookie);
        }
        for id in &delta.remove_groups {
            self.remove_group(*id);
        }
        for group in &delta.set_groups {
            self.set_group(Arc::clone(group));
        }
        for flow in &delta.add_flows {
            self.insert_flow(Arc::clone(flow));
        }
    }

    /// Flows by cookie.
    pub fn flows(&self) -> &SharedMap<Cookie, Arc<EncodedFlow>> {
        &self.flows
    }

    /// Groups by number.
    pub fn groups(&self) -> &SharedMap<GroupId, Arc<EncodedGroup>> {
        &self.groups
    }

    /// The digest of flows and groups, kept up to date by every change.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// A change of a layer.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    /// Flows that are new.
    pub add_flows: Vec<Arc<EncodedFlow>>,
    /// Cookies of flows that go.
    pub remove_cookies: Vec<Cookie>,
    /// Groups that are new or changed.
    pub set_groups: Vec<Arc<EncodedGroup>>,
    /// Groups that go.
    pub remove_groups: Vec<GroupId>,
}

impl Delta {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.add_flows.is_empty()
            && self.remove_cookies.is_empty()
            && self.set_groups.is_empty()
            && self.remove_groups.is_empty()
    }
}

/// A number that is equal for equal sets of flows and groups: the wrapping sum of one mixed number
/// per entry, so order does not matter and an entry can be taken out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(u64);

/// Digest of the empty set; not zero, so that a marker with a zeroed cookie says nothing.
const EMPTY: u64 = 0x0063_756c_7665_7274;

impl Default for Digest {
    fn default() -> Self {
        Self(EMPTY)
    }
}

impl Digest {
    /// The 56 bits that a marker flow's cookie carries.
    pub fn marker_bits(self) -> u64 {
        self.0 & (u64::MAX >> 8)
    }

    /// Counts a flow in.
    pub fn add_flow(&mut self, cookie: Cookie) {
        self.0 = self.0.wrapping_add(mix(cookie.0));
    }

    /// Counts a flow out.
    pub fn remove_flow(&mut self, cookie: Cookie) {
        self.0 = self.0.wrapping_sub(mix(cookie.0));
    }

    /// Counts a group in.
    pub fn add_group(&mut self, group: &EncodedGroup) {
        self.0 = self.0.wrapping_add(mix(group.content_hash()));
    }

    /// Counts a group out.
    pub fn remove_group(&mut self, group: &EncodedGroup) {
        self.0 = self.0.wrapping_sub(mix(group.content_hash()));
    }
}

/// Spreads every bit of `value` over all 64 (the finalizer of splitmix64), so that sums of
/// cookies with a common kind byte do not meet by accident.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
