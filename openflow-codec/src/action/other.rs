// SPDX-License-Identifier: Apache-2.0
//! Actions that Open vSwitch has and our pipeline does not use: decoded so that any bridge can be
//! read and shown.

mod wire;

use bytes::Bytes;

use super::{Action, Subfield};
use crate::action::learn::Learn;
use crate::ids::{MeterId, PortNo};
use crate::oxm::Field;

pub(super) use wire::{put_other, read_nicira, read_standard};

/// One of the rarer actions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OtherAction {
    /// `OFPAT_SET_NW_TTL` (23).
    SetNwTtl(u8),
    /// `OFPAT_PUSH_VLAN` (17): the new tag's Ethertype.
    PushVlan(u16),
    /// `OFPAT_POP_VLAN` (18).
    PopVlan,
    /// `OFPAT_PUSH_MPLS` (19): the new label's Ethertype.
    PushMpls(u16),
    /// `OFPAT_POP_MPLS` (20): Ethertype of what is below.
    PopMpls(u16),
    /// `OFPAT_SET_MPLS_TTL` (15).
    SetMplsTtl(u8),
    /// `OFPAT_DEC_MPLS_TTL` (16).
    DecMplsTtl,
    /// `NXAST_DEC_TTL_CNT_IDS` (21): controllers that get packets whose TTL has run out.
    DecTtlCntIds(Vec<u16>),
    /// `NXAST_POP_QUEUE` (5).
    PopQueue,
    /// `NXAST_NOTE` (8): does nothing. OVS pads it with zeros to 6 bytes and then in steps of 8.
    Note(Bytes),
    /// `NXAST_MULTIPATH` (10).
    Multipath(Multipath),
    /// `NXAST_BUNDLE` (12) and `NXAST_BUNDLE_LOAD` (13).
    Bundle(BundleAction),
    /// `NXAST_LEARN` (16) and `NXAST_LEARN2` (45).
    Learn(Learn),
    /// `NXAST_EXIT` (17).
    Exit,
    /// `NXAST_FIN_TIMEOUT` (19): timeouts in seconds once a TCP connection ends; 0 is unchanged.
    FinTimeout {
        /// New idle timeout.
        idle: u16,
        /// New hard timeout.
        hard: u16,
    },
    /// `NXAST_CONTROLLER` (20) and `NXAST_CONTROLLER2` (37).
    Controller(Controller),
    /// `NXAST_STACK_PUSH` (27).
    StackPush(Subfield),
    /// `NXAST_STACK_POP` (28).
    StackPop(Subfield),
    /// `NXAST_SAMPLE` (29), `NXAST_SAMPLE2` (38) and `NXAST_SAMPLE3` (41).
    Sample(Sample),
    /// `NXAST_CONJUNCTION` (34).
    Conjunction {
        /// Conjunction it is part of.
        id: u32,
        /// Clause it fulfils, counted from 0.
        clause: u8,
        /// Number of clauses.
        n_clauses: u8,
    },
    /// `NXAST_OUTPUT_TRUNC` (39).
    OutputTrunc {
        /// Where to.
        port: PortNo,
        /// Bytes that are kept.
        max_len: u32,
    },
    /// `NXAST_CLONE` (42): actions on a copy.
    Clone(Vec<Action>),
    /// `NXAST_ENCAP` (46).
    Encap {
        /// Type of the new header: namespace and type.
        packet_type: u32,
        /// Bytes of it; 0 leaves it to the switch.
        header_size: u16,
        /// Properties of the header, kept byte for byte, each padded to 8 bytes.
        properties: Bytes,
    },
    /// `NXAST_DECAP` (47): type of what is inside; 0xfffe takes it from the header.
    Decap(u32),
    /// `NXAST_DEC_NSH_TTL` (48).
    DecNshTtl,
    /// `NXAST_CHECK_PKT_LARGER` (49).
    CheckPktLarger {
        /// Bytes above which a packet is larger.
        length: u16,
        /// The bit that says so.
        dst: Subfield,
    },
    /// `NXAST_DELETE_FIELD` (50): takes a tunnel option away.
    DeleteField(Field),
}

/// Fields that [`Multipath`] and [`BundleAction`] hash (`nx_hash_fields`), by number.
pub(crate) const HASH_FIELDS: [&str; 7] = [
    "eth_src",
    "symmetric_l4",
    "symmetric_l3l4",
    "symmetric_l3l4+udp",
    "nw_src",
    "nw_dst",
    "symmetric_l3",
];

/// `NXAST_MULTIPATH`: hashes fields to a link number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Multipath {
    /// `nx_hash_fields`.
    pub fields: u16,
    /// Seed of the hash.
    pub basis: u16,
    /// `nx_mp_algorithm`: 0 modulo, 1 threshold, 2 highest random weight, 3 iterated.
    pub algorithm: u16,
    /// Number of links, less one.
    pub max_link: u16,
    /// Parameter of the algorithm.
    pub arg: u32,
    /// Where the link number goes.
    pub dst: Subfield,
}

/// `NXAST_BUNDLE` and `NXAST_BUNDLE_LOAD`: chooses a live port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleAction {
    /// `nx_hash_fields`.
    pub fields: u16,
    /// Seed of the hash.
    pub basis: u16,
    /// `nx_bd_algorithm`: 0 active backup, 1 highest random weight.
    pub algorithm: u16,
    /// Ports to choose from.
    pub members: Vec<PortNo>,
    /// Where the port number goes; `None` outputs to it.
    pub dst: Option<Subfield>,
}

/// `NXAST_CONTROLLER2`: sends the packet to a controller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Controller {
    /// Bytes of the packet to send; 0xffff is all.
    pub max_len: u16,
    /// Which controller (`NXT_SET_CONTROLLER_ID`).
    pub controller_id: u16,
    /// `ofp_packet_in_reason`; 1 is an action.
    pub reason: u8,
    /// Bytes that come back with the packet.
    pub userdata: Bytes,
    /// Wait for `NXT_RESUME` before going on.
    pub pause: bool,
    /// Meter that limits the rate.
    pub meter: Option<MeterId>,
}

impl Controller {
    /// `OFPR_ACTION`.
    pub const REASON_ACTION: u8 = 1;
}

impl Default for Controller {
    fn default() -> Self {
        Self {
            max_len: 0xffff,
            controller_id: 0,
            reason: Self::REASON_ACTION,
            userdata: Bytes::new(),
            pause: false,
            meter: None,
        }
    }
}

/// `NXAST_SAMPLE3`: sends a sample to IPFIX collectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sample {
    /// Share of packets, of 65,535.
    pub probability: u16,
    /// Collectors.
    pub collector_set_id: u32,
    /// Observation domain.
    pub obs_domain_id: u32,
    /// Observation point.
    pub obs_point_id: u32,
    /// Port that is sampled.
    pub sampling_port: Option<PortNo>,
    /// `nx_action_sample_direction`: 0 is not told, 1 ingress, 2 egress.
    pub direction: u8,
}
