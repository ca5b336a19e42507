// SPDX-License-Identifier: Apache-2.0
//! Groups and buckets (OpenFlow 1.5.1 sections 5.10 and 7.3.4.3).

mod wire;

use crate::action::Action;
use crate::ids::{GroupId, PortNo};
use crate::oxm::Field;

pub(crate) use wire::*;

/// `ofp_group_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupType {
    /// Every bucket.
    All,
    /// One bucket, chosen by the switch.
    Select,
    /// The one bucket.
    Indirect,
    /// The first live bucket.
    FastFailover,
    /// A type that is not known.
    Unknown(u8),
}

/// How a select group chooses (`NTR` experimenter property, OVS
/// `Documentation/group-selection-method-property.txt`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SelectionMethod {
    /// `hash` or `dp_hash`.
    pub method: String,
    /// Parameter of the method.
    pub param: u64,
    /// Fields that are hashed, with the bits that count.
    pub fields: Vec<(Field, u128)>,
}

/// One bucket. The weight is always encoded: a bucket without one gets no traffic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    /// Number within the group, at most 0xffff_ff00.
    pub id: u32,
    /// Share of traffic in a select group.
    pub weight: u16,
    /// Port whose state decides liveness.
    pub watch_port: PortNo,
    /// Group whose state decides liveness.
    pub watch_group: GroupId,
    /// What happens to the packet.
    pub actions: Vec<Action>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// Number.
    pub id: GroupId,
    /// Type.
    pub group_type: GroupType,
    /// Selection method; `None` leaves it to OVS.
    pub selection: Option<SelectionMethod>,
    /// Buckets.
    pub buckets: Vec<Bucket>,
}

impl Bucket {
    /// A bucket that watches nothing.
    pub fn new(id: u32, weight: u16, actions: Vec<Action>) -> Self {
        Self {
            id,
            weight,
            watch_port: PortNo::ANY,
            watch_group: GroupId::ANY,
            actions,
        }
    }
}
