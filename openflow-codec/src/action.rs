// SPDX-License-Identifier: Apache-2.0
//! Actions: standard (OpenFlow 1.5.1 section 7.2.6) and Nicira (OVS `lib/ofp-actions.c`).

mod conntrack;
mod frequent;
pub mod learn;
pub mod other;
mod wire;

use std::net::IpAddr;

use bytes::Bytes;

use crate::ids::{GroupId, MeterId, PortNo, TableId};
use crate::oxm::Field;

pub use other::OtherAction;
pub(crate) use wire::{port_from_16, put_actions, read_actions};

/// Bits `offset..offset+bits` of a field, counted from the least significant bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subfield {
    /// The field.
    pub field: Field,
    /// First bit.
    pub offset: u16,
    /// Number of bits, at least 1.
    pub bits: u16,
}

impl Subfield {
    /// Bits `offset..offset+bits` of `field`.
    pub const fn new(field: Field, offset: u16, bits: u16) -> Self {
        Self {
            field,
            offset,
            bits,
        }
    }

    /// All of `field`; for a `tun_metadata`, whose width the TLV table gives, use [`Self::new`].
    pub const fn whole(field: Field) -> Self {
        Self::new(field, 0, field.info().bits)
    }
}

/// One action.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// `OFPAT_OUTPUT` (0).
    Output {
        /// Where to.
        port: PortNo,
        /// Bytes to send when `port` is the controller; 0 otherwise.
        max_len: u16,
    },
    /// `OFPAT_GROUP` (22).
    Group(GroupId),
    /// `OFPAT_SET_FIELD` (25), masked in OpenFlow 1.5. Values are as in [`crate::MatchField`].
    SetField {
        /// The field.
        field: Field,
        /// Its new bits.
        value: u128,
        /// Which bits are written; `None` is all.
        mask: Option<u128>,
    },
    /// `OFPAT_COPY_FIELD` (28). Both sides have the same number of bits.
    CopyField {
        /// Read from.
        src: Subfield,
        /// Written to.
        dst: Subfield,
    },
    /// `OFPAT_DEC_NW_TTL` (24).
    DecNwTtl,
    /// `OFPAT_SET_QUEUE` (21).
    SetQueue(u32),
    /// `OFPAT_METER` (29).
    Meter(MeterId),
    /// `NXAST_RESUBMIT_TABLE` (14) or, with `ct`, `NXAST_RESUBMIT_TABLE_CT` (44).
    Resubmit {
        /// `in_port` to search with; `PortNo::IN_PORT` keeps the packet's own.
        port: PortNo,
        /// Table to search; 255 is the current one.
        table: TableId,
        /// Search with the connection's original tuple.
        ct: bool,
    },
    /// `NXAST_OUTPUT_REG` (15) or, when reading, `NXAST_OUTPUT_REG2` (32): output to the port whose
    /// number a field holds.
    OutputReg {
        /// Where the port number is.
        src: Subfield,
        /// Bytes to send when the port is the controller.
        max_len: u16,
    },
    /// `NXAST_CT` (35).
    Ct(Ct),
    /// `NXAST_CT_CLEAR` (43).
    CtClear,
    /// One of the actions that are known and that our pipeline does not use.
    Other(Box<OtherAction>),
    /// An action that is not known: kept byte for byte, header included.
    Unknown(Bytes),
}

/// `NXAST_CT`: send the packet through conntrack.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ct {
    /// Commit the connection.
    pub commit: bool,
    /// With `commit`: replace a connection seen in the other direction.
    pub force: bool,
    /// Zone: a number, or the field that holds it.
    pub zone: CtZone,
    /// Table where the packet goes on after conntrack; `None` forks nothing.
    pub table: Option<TableId>,
    /// Application layer gateway: 0 is none, else its well-known port (21 is FTP, 69 is TFTP).
    pub alg: u16,
    /// Network address translation.
    pub nat: Option<Nat>,
    /// With `commit`: `set_field` / `copy_field` on `ct_mark` and `ct_label`.
    pub exec: Vec<Action>,
}

/// Where `ct` takes its zone from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CtZone {
    /// This zone.
    Immediate(u16),
    /// The zone that a 16-bit subfield holds.
    Field(Subfield),
}

impl Default for CtZone {
    fn default() -> Self {
        Self::Immediate(0)
    }
}

/// `NXAST_NAT` (36), inside `ct`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nat {
    /// What a new connection's translation is; `None` only applies an existing one.
    pub kind: Option<NatKind>,
    /// Lowest and highest address; a single address has both equal.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// Lowest and highest port.
    pub ports: Option<(u16, u16)>,
    /// Keep the mapping over reboots (`NX_NAT_F_PERSISTENT`).
    pub persistent: bool,
    /// `NX_NAT_F_PROTO_HASH`.
    pub hash: bool,
    /// `NX_NAT_F_PROTO_RANDOM`.
    pub random: bool,
}

/// Which side of a connection is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatKind {
    /// Source.
    Src,
    /// Destination.
    Dst,
}

impl From<OtherAction> for Action {
    fn from(action: OtherAction) -> Self {
        Self::Other(Box::new(action))
    }
}

impl Action {
    /// `set_field` of all bits.
    pub fn set(field: Field, value: impl Into<u128>) -> Self {
        Self::SetField {
            field,
            value: value.into(),
            mask: None,
        }
    }

    /// `set_field` of the bits in `mask`.
    pub fn set_masked(field: Field, value: impl Into<u128>, mask: impl Into<u128>) -> Self {
        Self::SetField {
            field,
            value: value.into(),
            mask: Some(mask.into()),
        }
    }

    /// `output:port`.
    pub fn output(port: PortNo) -> Self {
        Self::Output { port, max_len: 0 }
    }
}
