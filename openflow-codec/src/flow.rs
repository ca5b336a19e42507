// SPDX-License-Identifier: Apache-2.0
//! A flow: the word that compiler, session and simulator share.

use crate::ids::{Cookie, TableId};
use crate::instruction::Instruction;
use crate::oxm::Match;

/// A flow entry. Its identity on a switch is (table, priority, match).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// Table that holds it.
    pub table: TableId,
    /// Higher wins.
    pub priority: u16,
    /// Which packets.
    pub flow_match: Match,
    /// Opaque number, not part of the identity.
    pub cookie: Cookie,
    /// Seconds without traffic after which the switch removes it; 0 is never.
    pub idle_timeout: u16,
    /// Seconds after which the switch removes it; 0 is never.
    pub hard_timeout: u16,
    /// What happens to the packet.
    pub instructions: Vec<Instruction>,
}
