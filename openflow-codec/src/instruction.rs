// SPDX-License-Identifier: Apache-2.0
//! Instructions of a flow (OpenFlow 1.5.1 section 7.2.5).

use bytes::Bytes;

use crate::action::Action;
use crate::ids::TableId;

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Instruction {
    /// `OFPIT_GOTO_TABLE` (1).
    GotoTable(TableId),
    /// `OFPIT_WRITE_METADATA` (2).
    WriteMetadata {
        /// New bits.
        metadata: u64,
        /// Which bits are written.
        mask: u64,
    },
    /// `OFPIT_WRITE_ACTIONS` (3).
    WriteActions(Vec<Action>),
    /// `OFPIT_APPLY_ACTIONS` (4).
    ApplyActions(Vec<Action>),
    /// `OFPIT_CLEAR_ACTIONS` (5).
    ClearActions,
    /// An instruction that is not known: kept byte for byte, header included.
    Unknown(Bytes),
}
