// SPDX-License-Identifier: Apache-2.0
//! `OFPMP_FLOW_MONITOR` (OpenFlow 1.5.1 section 7.3.5.19, OVS `lib/ofp-monitor.c`): a switch tells
//! how its flows change.

use bitflags::bitflags;
use bytes::Bytes;

use crate::context::Context;
use crate::error::DecodeError;
use crate::flow::Flow;
use crate::ids::{Cookie, GroupId, PortNo, TableId, Xid};
use crate::instruction::{put_instructions, read_instructions};
use crate::numbers::{flow_event, monitor_command};
use crate::oxm::{self, Match};
use crate::reader::Reader;
use crate::writer::Writer;

bitflags! {
    /// `ofp_flow_monitor_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MonitorFlags: u16 {
        /// Tell the flows that are there now.
        const INITIAL = 1;
        /// Tell new flows.
        const ADD = 2;
        /// Tell flows that are gone.
        const REMOVED = 4;
        /// Tell flows that are different.
        const MODIFY = 8;
        /// Tell instructions too.
        const INSTRUCTIONS = 16;
        /// Do not abbreviate this connection's own changes. OVS 3.1 refuses it, with an error in
        /// the shape of OpenFlow 1.0.
        const NO_ABBREV = 32;
        /// Tell nothing of this connection's own changes.
        const ONLY_OWN = 64;
        /// Bits that are not known.
        const _ = !0;
    }
}

/// `ofp_flow_monitor_command`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MonitorCommand {
    /// Starts a monitor.
    Add,
    /// Changes a monitor.
    Modify,
    /// Ends a monitor.
    Delete,
}

/// `ofp_flow_monitor_request`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FlowMonitor {
    /// Number of the monitor.
    pub id: u32,
    /// What to do.
    pub command: MonitorCommand,
    /// What to tell.
    pub flags: MonitorFlags,
    /// Flows of this table, or [`TableId::ALL`].
    pub table: TableId,
    /// Flows that output to this port, or [`PortNo::ANY`].
    pub out_port: PortNo,
    /// Flows that output to this group, or [`GroupId::ANY`].
    pub out_group: GroupId,
    /// Flows that this match covers.
    pub flow_match: Match,
}

impl FlowMonitor {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u32(self.id);
        out.u32(self.out_port.0);
        out.u32(self.out_group.0);
        out.u16(self.flags.bits());
        out.u8(self.table.0);
        out.u8(match self.command {
            MonitorCommand::Add => monitor_command::ADD,
            MonitorCommand::Modify => monitor_command::MODIFY,
            MonitorCommand::Delete => monitor_command::DELETE,
        });
        oxm::put_match(out, &self.flow_match);
    }

    pub(super) fn read(reader: &mut Reader<'_>, context: &Context) -> Result<Self, DecodeError> {
        let id = reader.u32("monitor id")?;
        let out_port = PortNo(reader.u32("out_port")?);
        let out_group = GroupId(reader.u32("out_group")?);
        let flags = MonitorFlags::from_bits_retain(reader.u16("monitor flags")?);
        let table = TableId(reader.u8("table")?);
        let command = match reader.u8("monitor command")? {
            monitor_command::ADD => MonitorCommand::Add,
            monitor_command::MODIFY => MonitorCommand::Modify,
            monitor_command::DELETE => MonitorCommand::Delete,
            other => return Err(reader.bad_value("monitor command", other)),
        };
        Ok(Self {
            id,
            command,
            flags,
            table,
            out_port,
            out_group,
            flow_match: oxm::read_match(reader, context)?,
        })
    }
}

/// What happened to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowEvent {
    /// It was there when the monitor began.
    Initial,
    /// It is new.
    Added,
    /// It is gone, for this reason (`ofp_flow_removed_reason`).
    Removed(u8),
    /// It is different.
    Modified,
}

/// `ofp_flow_update_header` and what follows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FlowUpdate {
    /// Something happened to a flow.
    Full {
        /// What.
        event: FlowEvent,
        /// The flow; its instructions only if they were asked for.
        flow: Box<Flow>,
    },
    /// A change that this connection made itself, by this transaction.
    Abbreviated(Xid),
    /// The switch tells nothing more for now: the connection is too slow.
    Paused,
    /// The switch tells changes again.
    Resumed,
    /// An event that is not known.
    Unknown {
        /// `OFPFME_*`.
        event: u16,
        /// What follows.
        contents: Bytes,
    },
}

impl FlowUpdate {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        let start = out.position();
        out.u16(0);
        match self {
            Self::Full { event, flow } => put_full(out, *event, flow),
            Self::Abbreviated(xid) => {
                out.u16(flow_event::ABBREV);
                out.u32(xid.0);
            }
            Self::Paused => {
                out.u16(flow_event::PAUSED);
                out.zeros(4);
            }
            Self::Resumed => {
                out.u16(flow_event::RESUMED);
                out.zeros(4);
            }
            Self::Unknown { event, contents } => {
                out.u16(*event);
                out.bytes(contents);
            }
        }
        out.set_length("flow update", start, start);
    }

    pub(super) fn read(reader: &mut Reader<'_>, context: &Context) -> Result<Self, DecodeError> {
        let length = usize::from(reader.u16("flow update length")?);
        let Some(inside) = length.checked_sub(2) else {
            return Err(reader.bad_length("flow update", length));
        };
        let mut body = reader.sub("flow update", inside)?;
        let event = body.u16("flow update event")?;
        Ok(match event {
            flow_event::INITIAL
            | flow_event::ADDED
            | flow_event::REMOVED
            | flow_event::MODIFIED => read_full(event, &mut body, context)?,
            flow_event::ABBREV => Self::Abbreviated(Xid(body.u32("transaction id")?)),
            flow_event::PAUSED => Self::Paused,
            flow_event::RESUMED => Self::Resumed,
            event => Self::Unknown {
                event,
                contents: body.rest(),
            },
        })
    }
}

fn put_full(out: &mut Writer<'_>, event: FlowEvent, flow: &Flow) {
    let (event, reason) = match event {
        FlowEvent::Initial => (flow_event::INITIAL, 0),
        FlowEvent::Added => (flow_event::ADDED, 0),
        FlowEvent::Removed(reason) => (flow_event::REMOVED, reason),
        FlowEvent::Modified => (flow_event::MODIFIED, 0),
    };
    out.u16(event);
    out.u8(flow.table.0);
    out.u8(reason);
    out.u16(flow.idle_timeout);
    out.u16(flow.hard_timeout);
    out.u16(flow.priority);
    out.zeros(4);
    out.u64(flow.cookie.0);
    oxm::put_match(out, &flow.flow_match);
    put_instructions(out, &flow.instructions);
}

fn read_full(
    event: u16,
    body: &mut Reader<'_>,
    context: &Context,
) -> Result<FlowUpdate, DecodeError> {
    let table = TableId(body.u8("table")?);
    let reason = body.u8("removal reason")?;
    let idle_timeout = body.u16("idle timeout")?;
    let hard_timeout = body.u16("hard timeout")?;
    let priority = body.u16("priority")?;
    body.skip("padding", 4)?;
    let flow = Box::new(Flow {
        table,
        priority,
        cookie: Cookie(body.u64("cookie")?),
        idle_timeout,
        hard_timeout,
        flow_match: oxm::read_match(body, context)?,
        instructions: read_instructions(body, context)?,
    });
    let event = match event {
        flow_event::INITIAL => FlowEvent::Initial,
        flow_event::ADDED => FlowEvent::Added,
        flow_event::REMOVED => FlowEvent::Removed(reason),
        _ => FlowEvent::Modified,
    };
    Ok(FlowUpdate::Full { event, flow })
}
