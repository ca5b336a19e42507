// SPDX-License-Identifier: Apache-2.0
//! OpenFlow 1.5 and the Nicira extensions: bytes <-> values, without IO.
//!
//! Values are plain data; every value encodes to exactly one byte string (canonical form), and
//! what is not known is kept byte for byte.
#![forbid(unsafe_code)]

pub mod action;
pub mod flow;
pub mod group;
pub mod ids;
pub mod instruction;
pub mod oxm;

pub use action::{Action, Ct, Nat, Subfield};
pub use flow::Flow;
pub use group::{Bucket, Group, GroupType, SelectionMethod};
pub use ids::{BundleId, Cookie, DatapathId, GroupId, MeterId, PortNo, TableId, Xid};
pub use instruction::Instruction;
pub use oxm::{Field, Match, MatchField};
