// SPDX-License-Identifier: Apache-2.0
//! Instructions of a flow (OpenFlow 1.5.1 section 7.2.5).

use std::iter;

use bytes::Bytes;

use crate::action::{Action, put_actions, read_actions};
use crate::context::Context;
use crate::error::DecodeError;
use crate::ids::TableId;
use crate::numbers::ofpit;
use crate::reader::Reader;
use crate::writer::Writer;

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

/// Appends instructions, one after the other.
#[inline]
pub(crate) fn put_instructions(out: &mut Writer<'_>, instructions: &[Instruction]) {
    for instruction in instructions {
        put_instruction(out, instruction);
    }
}

#[inline]
fn put_instruction(out: &mut Writer<'_>, instruction: &Instruction) {
    match instruction {
        Instruction::GotoTable(table) => {
            out.u16(ofpit::GOTO_TABLE);
            out.u16(8);
            out.u8(table.0);
            out.zeros(3);
        }
        Instruction::WriteMetadata { metadata, mask } => {
            out.u16(ofpit::WRITE_METADATA);
            out.u16(24);
            out.zeros(4);
            out.u64(*metadata);
            out.u64(*mask);
        }
        Instruction::WriteActions(actions) => put_list(out, ofpit::WRITE_ACTIONS, actions),
        Instruction::ApplyActions(actions) => put_list(out, ofpit::APPLY_ACTIONS, actions),
        Instruction::ClearActions => put_list(out, ofpit::CLEAR_ACTIONS, &[]),
        Instruction::Unknown(bytes) => out.bytes(bytes),
    }
}

#[inline]
fn put_list(out: &mut Writer<'_>, kind: u16, actions: &[Action]) {
    let start = out.position();
    out.words([u64::from(kind) << 48]);
    put_actions(out, actions);
    out.set_length("instruction", start.saturating_add(2), start);
}

/// Reads instructions until the end of `reader`.
#[inline]
pub(crate) fn read_instructions(
    reader: &mut Reader<'_>,
    context: &Context,
) -> Result<Vec<Instruction>, DecodeError> {
    if reader.is_empty() {
        return Ok(Vec::new());
    }
    // Actions to apply and the next table.
    let mut instructions = Vec::with_capacity(2);
    while !reader.is_empty() {
        match apply_actions(reader) {
            Some(mut body) => {
                let actions = read_actions(&mut body, context)?;
                // Made where it stays: to move it costs more than to write it.
                instructions.extend(iter::once_with(|| Instruction::ApplyActions(actions)));
            }
            None => instructions.push(read_instruction(reader, context)?),
        }
    }
    Ok(instructions)
}

/// The actions in `OFPIT_APPLY_ACTIONS`, which most flows have; `None` consumes nothing and leaves
/// it to [`read_instruction`].
#[inline]
fn apply_actions<'a>(reader: &mut Reader<'a>) -> Option<Reader<'a>> {
    let [head] = reader.words()?;
    let length = (head >> 32) as u16;
    if head >> 48 != u64::from(ofpit::APPLY_ACTIONS) || length < 8 || !length.is_multiple_of(8) {
        return None;
    }
    let mut rest = *reader;
    rest.skip("", 8).ok()?;
    let body = rest.sub("", usize::from(length).saturating_sub(8)).ok()?;
    *reader = rest;
    Some(body)
}

fn read_instruction(
    reader: &mut Reader<'_>,
    context: &Context,
) -> Result<Instruction, DecodeError> {
    let mut whole = *reader;
    let kind = reader.u16("instruction type")?;
    let length = reader.u16("instruction length")?;
    if length < 8 || length % 8 != 0 {
        return Err(whole.bad_length("instruction", usize::from(length)));
    }
    let mut body = reader.sub("instruction", usize::from(length).saturating_sub(4))?;
    Ok(match kind {
        ofpit::GOTO_TABLE => Instruction::GotoTable(TableId(body.u8("goto_table")?)),
        ofpit::WRITE_METADATA => {
            body.skip("padding", 4)?;
            Instruction::WriteMetadata {
                metadata: body.u64("metadata")?,
                mask: body.u64("metadata mask")?,
            }
        }
        ofpit::WRITE_ACTIONS => {
            body.skip("padding", 4)?;
            Instruction::WriteActions(read_actions(&mut body, context)?)
        }
        ofpit::APPLY_ACTIONS => {
            body.skip("padding", 4)?;
            Instruction::ApplyActions(read_actions(&mut body, context)?)
        }
        ofpit::CLEAR_ACTIONS => Instruction::ClearActions,
        _ => {
            let bytes = whole.take("instruction", usize::from(length))?;
            Instruction::Unknown(Bytes::copy_from_slice(bytes))
        }
    })
}
