// SPDX-License-Identifier: Apache-2.0
//! What an owner decides once about every connection.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use openflow_codec::message::meter::Meter;
use openflow_codec::{Context, Cookie, GroupId, MeterId, TableId, TlvMapping};

use crate::layer::{Digest, Layer};

/// Most messages a bundle may hold: its commit stops a switch's main thread for its whole length.
pub const MAX_BUNDLE: usize = 5_000;

/// Configuration of a session. Every number of the pipeline comes from here.
#[derive(Clone, Debug)]
pub struct Config {
    /// Role to ask for first; see [`crate::Session::set_role`].
    pub role: Role,
    /// Tunnel option that must be mapped before flows can name it.
    pub tlv: Option<TlvMapping>,
    /// Names of tables, at most 31 bytes each, as `ovs-ofctl --names` prints them.
    pub table_names: BTreeMap<TableId, String>,
    /// First bytes of the cookies of our flows, markers included. Every other flow is foreign: it
    /// is counted and left alone.
    pub cookie_kinds: RangeInclusive<u8>,
    /// Numbers of our groups. Every other group is foreign.
    pub group_ids: RangeInclusive<u32>,
    /// Meters that every switch has, by number. Every other meter is foreign.
    pub meters: BTreeMap<MeterId, Meter>,
    /// Marker of the cluster layer.
    pub cluster_marker: Marker,
    /// Marker of the node layer.
    pub node_marker: Marker,
    /// First byte of the cookies of flows whose counters [`crate::Session::read_counters`] reads.
    pub counted_kind: Option<u8>,
    /// The table whose flows admit traffic: its flows are added last and removed first.
    pub entry_table: TableId,
    /// Limits on memory and on what the switch has to chew at once.
    pub limits: Limits,
    /// Times.
    pub timing: Timing,
}

impl Config {
    /// A configuration with default limits and times, no role, no tunnel option, no table names and no meters.
    pub fn new(
        cookie_kinds: RangeInclusive<u8>,
        entry_table: TableId,
        cluster_marker: Marker,
        node_marker: Marker,
    ) -> Self {
        Self {
            role: Role::Equal,
            tlv: None,
            table_names: BTreeMap::new(),
            cookie_kinds,
            group_ids: 0..=0xffff_ff00,
            meters: BTreeMap::new(),
            cluster_marker,
            node_marker,
            counted_kind: None,
            entry_table,
            limits: Limits::default(),
            timing: Timing::default(),
        }
    }

    /// The marker of `layer`.
    pub fn marker(&self, layer: Layer) -> Marker {
        match layer {
            Layer::Cluster => self.cluster_marker,
            Layer::Node => self.node_marker,
        }
    }

    /// Whether a flow with this cookie is ours.
    pub fn owns_cookie(&self, cookie: Cookie) -> bool {
        let [kind, ..] = cookie.0.to_be_bytes();
        self.cookie_kinds.contains(&kind)
    }

    /// Whether the group with this number is ours.
    pub fn owns_group(&self, id: GroupId) -> bool {
        self.group_ids.contains(&id.0)
    }

    /// The context for encoding flows and groups: what the tunnel option's mapping will be.
    pub fn context(&self) -> Context {
        Context::with_tlv_table(&self.tlv)
    }

    /// Whether a cookie is of a marker's kind.
    pub(crate) fn is_marker_kind(&self, cookie: Cookie) -> bool {
        let mut layers = Layer::ALL.into_iter();
        layers.any(|layer| self.marker(layer).is_kind_of(cookie))
    }

    /// Messages per bundle, within what a switch can take.
    pub(crate) fn bundle_size(&self) -> usize {
        // A bundle needs room for one entry beside the two markers.
        self.limits.max_bundle.clamp(4, MAX_BUNDLE)
    }
}

/// `OFPT_ROLE_REQUEST` (OpenFlow 1.5.1 section 7.3.9). A switch that has seen a higher generation
/// refuses, and the session closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Ask for nothing: every connection starts as equal.
    Equal,
    /// Ask to be the one that may change the switch; who was it becomes a slave.
    Master {
        /// Grows with every change of leader.
        generation_id: u64,
    },
    /// Only look on, ready to become master.
    Slave {
        /// Of the present leader.
        generation_id: u64,
    },
}

/// The one flow of a layer whose cookie says what the layer holds.
///
/// The two markers of a switch differ in table or priority, and their kinds are used by no other
/// flow. A marker matches every packet that nothing else in its table matches, and drops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Table that holds it.
    pub table: TableId,
    /// Its priority.
    pub priority: u16,
    /// First byte of its cookie.
    pub cookie_kind: u8,
}

impl Marker {
    /// The cookie that says the layer has this digest.
    pub fn cookie(self, digest: Digest) -> Cookie {
        Cookie(self.kind().0 | digest.marker_bits())
    }

    /// The cookie with nothing but the kind.
    pub(crate) fn kind(self) -> Cookie {
        Cookie(u64::from(self.cookie_kind) << 56)
    }

    /// Whether `cookie` is of the marker's kind.
    pub(crate) fn is_kind_of(self, cookie: Cookie) -> bool {
        cookie.0 & Self::KIND_MASK.0 == self.kind().0
    }

    /// Mask that compares the kind alone.
    pub(crate) const KIND_MASK: Cookie = Cookie(0xff << 56);
}

/// Limits of one session.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Messages in a bundle; at most [`MAX_BUNDLE`].
    pub max_bundle: usize,
    /// Bundles whose outcome is not yet known.
    pub bundles_in_flight: usize,
    /// Entries the switch may refuse before the session gives up.
    pub max_rejected: usize,
    /// Flows read from a switch in one dump, foreign ones included, or in one reading of counters.
    pub max_dumped_flows: usize,
    /// Groups read from a switch in one dump.
    pub max_dumped_groups: usize,
    /// Ports of a switch.
    pub max_ports: usize,
    /// Bytes of answers waiting for a switch that does not read.
    pub max_control_bytes: usize,
    /// Bytes in one chunk of [`crate::Session::poll_transmit`], exceeded by at most one message.
    pub chunk_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bundle: 1_000,
            bundles_in_flight: 4,
            max_rejected: 256,
            max_dumped_flows: 4_000_000,
            max_dumped_groups: 400_000,
            max_ports: 65_535,
            max_control_bytes: 512 * 1024,
            chunk_bytes: 32 * 1024,
        }
    }
}

/// Times of one session.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From the connection to [`crate::Event::Up`].
    pub handshake: Duration,
    /// Silence after which the switch is probed.
    pub probe_interval: Duration,
    /// Silence after a probe before the connection counts as lost.
    pub probe_timeout: Duration,
    /// From the end of a request to its (next part of an) answer.
    pub request: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(15),
            probe_interval: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(15),
            request: Duration::from_secs(30),
        }
    }
}
