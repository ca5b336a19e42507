// SPDX-License-Identifier: Apache-2.0
//! `OFPT_FLOW_MOD` (OpenFlow 1.5.1 section 7.3.4.2): adds, changes and deletes flows.

use bitflags::bitflags;

use super::{message_type, write_message};
use crate::context::Context;
use crate::error::{DecodeError, EncodeError};
use crate::flow::Flow;
use crate::ids::{Cookie, GroupId, PortNo, TableId, Xid};
use crate::instruction::{Instruction, put_instructions, read_instructions};
use crate::oxm::{self, Match};
use crate::reader::Reader;
use crate::writer::Writer;

/// No packet is held for a controller.
const NO_BUFFER: u32 = 0xffff_ffff;

bitflags! {
    /// `ofp_flow_mod_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct FlowFlags: u16 {
        /// Tell the controller when the flow is removed.
        const SEND_FLOW_REM = 1;
        /// Refuse a flow that overlaps another of its priority.
        const CHECK_OVERLAP = 2;
        /// Start counters at 0.
        const RESET_COUNTS = 4;
        /// Do not count packets.
        const NO_PACKET_COUNTS = 8;
        /// Do not count bytes.
        const NO_BYTE_COUNTS = 16;
        /// Bits that are not known.
        const _ = !0;
    }
}

/// `ofp_flow_mod_command`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowCommand {
    /// Adds the flow; one with the same table, priority and match is replaced.
    Add,
    /// Changes every flow that the match covers. OVS scans the whole table for it.
    Modify,
    /// Changes the flow with this table, priority and match.
    ModifyStrict,
    /// Deletes every flow that the match covers.
    Delete,
    /// Deletes the flow with this table, priority and match.
    DeleteStrict,
}

impl FlowCommand {
    const fn to_wire(self) -> u8 {
        match self {
            Self::Add => 0,
            Self::Modify => 1,
            Self::ModifyStrict => 2,
            Self::Delete => 3,
            Self::DeleteStrict => 4,
        }
    }
}

/// `ofp_flow_mod`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowMod {
    /// What to do.
    pub command: FlowCommand,
    /// The flow, or for changes and deletions which flows. Its cookie counts there only under
    /// `cookie_mask`.
    pub flow: Flow,
    /// Bits of the cookie that a flow must have to be changed or deleted; 0 for [`FlowCommand::Add`].
    pub cookie_mask: Cookie,
    /// Only flows that output to this port are deleted.
    pub out_port: PortNo,
    /// Only flows that output to this group are deleted.
    pub out_group: GroupId,
    /// Flags.
    pub flags: FlowFlags,
    /// Flows of less importance make room first, where eviction is on.
    pub importance: u16,
    /// Packet to send through the new flow; OVS holds none.
    pub buffer_id: u32,
}

impl FlowMod {
    fn new(command: FlowCommand, flow: Flow, cookie_mask: Cookie) -> Self {
        Self {
            command,
            flow,
            cookie_mask,
            out_port: PortNo::ANY,
            out_group: GroupId::ANY,
            flags: FlowFlags::empty(),
            importance: 0,
            buffer_id: NO_BUFFER,
        }
    }

    /// Adds `flow`. [`Flow::encode_add`] writes the same bytes without copying the flow.
    pub fn add(flow: &Flow) -> Self {
        Self::new(FlowCommand::Add, flow.clone(), Cookie(0))
    }

    /// Changes the instructions of the flow with `flow`'s table, priority and match; its counters
    /// and its cookie stay.
    pub fn modify_strict(flow: &Flow) -> Self {
        Self::new(FlowCommand::ModifyStrict, flow.clone(), Cookie(0))
    }

    /// Deletes the flow with `flow`'s table, priority and match, if its cookie is also `flow`'s.
    pub fn delete_strict(flow: &Flow) -> Self {
        let flow = Flow {
            idle_timeout: 0,
            hard_timeout: 0,
            instructions: Vec::new(),
            ..flow.clone()
        };
        Self::new(FlowCommand::DeleteStrict, flow, Cookie::MASK_EXACT)
    }

    /// Deletes the flows of every table that have this cookie. OVS keeps an index of cookies, so
    /// this costs what the flows it finds cost.
    pub fn delete_by_cookie(cookie: Cookie) -> Self {
        let flow = Flow {
            table: TableId::ALL,
            priority: 0,
            flow_match: Match::any(),
            cookie,
            idle_timeout: 0,
            hard_timeout: 0,
            instructions: Vec::new(),
        };
        Self::new(FlowCommand::Delete, flow, Cookie::MASK_EXACT)
    }

    pub(super) fn put(&self, out: &mut Writer<'_>) {
        put_flow_mod(
            out,
            &self.flow,
            &self.flow.instructions,
            &Fixed {
                command: self.command,
                cookie_mask: self.cookie_mask,
                out_port: self.out_port,
                out_group: self.out_group,
                flags: self.flags,
                importance: self.importance,
                buffer_id: self.buffer_id,
            },
        );
    }

    #[inline(always)]
    pub(super) fn read(reader: &mut Reader<'_>, context: &Context) -> Result<Self, DecodeError> {
        let fixed = reader.words().and_then(Self::with_fixed);
        let Some(mut flow_mod) = fixed else {
            return Err(wrong_in_fixed(*reader));
        };
        reader.skip("flow_mod", 40)?;
        oxm::read_match_into(&mut flow_mod.flow.flow_match, reader, context)?;
        flow_mod.flow.instructions = read_instructions(reader, context)?;
        Ok(flow_mod)
    }

    /// What stands before the match, see [`put_flow_mod`]; `None` if the command is not known.
    #[inline]
    fn with_fixed(words: [u64; 5]) -> Option<Self> {
        let [cookie, cookie_mask, rank, ports, rest] = words;
        let command = match (rank >> 48) as u8 {
            0 => FlowCommand::Add,
            1 => FlowCommand::Modify,
            2 => FlowCommand::ModifyStrict,
            3 => FlowCommand::Delete,
            4 => FlowCommand::DeleteStrict,
            _ => return None,
        };
        Some(Self {
            command,
            flow: Flow {
                table: TableId((rank >> 56) as u8),
                priority: rank as u16,
                flow_match: Match::any(),
                cookie: Cookie(cookie),
                idle_timeout: (rank >> 32) as u16,
                hard_timeout: (rank >> 16) as u16,
                instructions: Vec::new(),
            },
            cookie_mask: Cookie(cookie_mask),
            out_port: PortNo(ports as u32),
            out_group: GroupId((rest >> 32) as u32),
            flags: FlowFlags::from_bits_retain((rest >> 16) as u16),
            importance: rest as u16,
            buffer_id: (ports >> 32) as u32,
        })
    }
}

/// Says what is wrong with bytes of which [`FlowMod::with_fixed`] cannot be made: they end, or have
/// a command that is not known.
#[cold]
fn wrong_in_fixed(mut reader: Reader<'_>) -> DecodeError {
    let parts = [
        ("cookie", 8),
        ("cookie mask", 8),
        ("table", 1),
        ("flow_mod command", 1),
        ("idle timeout", 2),
        ("hard timeout", 2),
        ("priority", 2),
        ("buffer id", 4),
        ("out_port", 4),
        ("out_group", 4),
        ("flags", 2),
        ("importance", 2),
    ];
    for (what, size) in parts {
        match reader.take(what, size) {
            Err(error) => return error,
            Ok(&[command]) if what == "flow_mod command" && command > 4 => {
                return reader.bad_value(what, command);
            }
            Ok(_) => {}
        }
    }
    reader.bad_length("flow_mod", reader.remaining())
}

/// What a flow_mod has beside the flow.
struct Fixed {
    command: FlowCommand,
    cookie_mask: Cookie,
    out_port: PortNo,
    out_group: GroupId,
    flags: FlowFlags,
    importance: u16,
    buffer_id: u32,
}

const ADD: Fixed = Fixed {
    command: FlowCommand::Add,
    cookie_mask: Cookie(0),
    out_port: PortNo::ANY,
    out_group: GroupId::ANY,
    flags: FlowFlags::empty(),
    importance: 0,
    buffer_id: NO_BUFFER,
};

/// ```text
///   8                16                24  25   26    28    30    32
///   +----------------+-----------------+---+----+-----+-----+-----+
///   | cookie         | cookie mask     |tbl|cmd |idle |hard |prio |
///   +----------------+-----------------+---+----+-----+-----+-----+
///  32        36        40        44     46     48
///   +---------+---------+---------+------+------+-------------------------+
///   |buffer id|out_port |out_group|flags |import| match, instructions ... |
///   +---------+---------+---------+------+------+-------------------------+
/// ```
#[inline]
fn put_flow_mod(out: &mut Writer<'_>, flow: &Flow, instructions: &[Instruction], fixed: &Fixed) {
    out.words([
        flow.cookie.0,
        fixed.cookie_mask.0,
        u64::from(flow.table.0) << 56
            | u64::from(fixed.command.to_wire()) << 48
            | u64::from(flow.idle_timeout) << 32
            | u64::from(flow.hard_timeout) << 16
            | u64::from(flow.priority),
        u64::from(fixed.buffer_id) << 32 | u64::from(fixed.out_port.0),
        u64::from(fixed.out_group.0) << 32
            | u64::from(fixed.flags.bits()) << 16
            | u64::from(fixed.importance),
    ]);
    oxm::put_match(out, &flow.flow_match);
    put_instructions(out, instructions);
}

impl Flow {
    /// Appends the `OFPT_FLOW_MOD` that adds this flow: the bytes of [`FlowMod::add`]. They can be
    /// kept and sent again with another transaction id ([`crate::set_xid`]) to any switch with the
    /// same TLV table.
    ///
    /// # Errors
    /// When the flow is longer than a message can be.
    pub fn encode_add(
        &self,
        xid: Xid,
        context: &Context,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        write_message(out, message_type::FLOW_MOD, xid, context, |out| {
            put_flow_mod(out, self, &self.instructions, &ADD);
        })
    }

    /// Appends the bytes that say what this flow is: table, priority, match and instructions, not
    /// its cookie nor its timeouts. Two flows with the same bytes do the same; the bytes do not depend on any
    /// bridge's TLV table.
    pub fn content(&self, out: &mut Vec<u8>) {
        let mut out = Writer::new(out, &Context::UNMAPPED);
        out.u8(self.table.0);
        out.zeros(5);
        out.u16(self.priority);
        oxm::put_match(&mut out, &self.flow_match);
        put_instructions(&mut out, &self.instructions);
        out.keep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the reader of one part after the other says.
    fn part_by_part(mut reader: Reader<'_>) -> Result<(), DecodeError> {
        reader.u64("cookie")?;
        reader.u64("cookie mask")?;
        reader.u8("table")?;
        let command = reader.u8("flow_mod command")?;
        if command > 4 {
            return Err(reader.bad_value("flow_mod command", command));
        }
        reader.u16("idle timeout")?;
        reader.u16("hard timeout")?;
        reader.u16("priority")?;
        reader.u32("buffer id")?;
        reader.u32("out_port")?;
        reader.u32("out_group")?;
        reader.u16("flags")?;
        reader.u16("importance").map(drop)
    }

    #[test]
    fn an_error_before_the_match_names_the_part_and_its_offset() {
        let context = Context::UNMAPPED;
        for command in [0, 4, 5, 0xff] {
            let mut bytes = [7; 40];
            bytes[17] = command;
            for length in 0..=bytes.len() {
                let reader = Reader::new(&bytes[..length], 8);
                let Err(expected) = part_by_part(reader) else {
                    continue;
                };
                let read = FlowMod::read(&mut reader.clone(), &context);
                assert_eq!(read, Err(expected), "command {command}, {length} bytes");
            }
        }
    }
}
