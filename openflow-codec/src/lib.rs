// SPDX-License-Identifier: Apache-2.0
//! OpenFlow 1.5 and the Nicira extensions: bytes <-> values, without IO.
//!
//! Values are plain data; every value encodes to exactly one byte string (canonical form), and
//! what is not known is kept byte for byte.
#![forbid(unsafe_code)]

pub mod action;
mod context;
pub mod error;
pub mod flow;
mod framer;
pub mod group;
mod header;
pub mod ids;
pub mod instruction;
pub mod message;
pub mod numbers;
pub mod oxm;
mod reader;
pub mod text;
mod writer;

pub use action::{Action, Ct, Nat, Subfield};
pub use context::{Context, TlvMapping};
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use flow::Flow;
pub use framer::{Frame, Framer};
pub use group::{Bucket, Group, GroupType, SelectionMethod};
pub use header::{Header, VERSION, set_xid};
pub use ids::{BundleId, Cookie, DatapathId, GroupId, MeterId, PortNo, TableId, Xid};
pub use instruction::Instruction;
pub use message::Message;
pub use oxm::{Field, Match, MatchField};
