// SPDX-License-Identifier: Apache-2.0
//! Flows that a switch reports (OpenFlow 1.5.1 sections 7.2.4.3, 7.3.5.2 and 7.3.5.4).

use std::time::Duration;

use crate::context::Context;
use crate::error::DecodeError;
use crate::flow::Flow;
use crate::ids::{Cookie, GroupId, PortNo, TableId};
use crate::instruction::{put_instructions, read_instructions};
use crate::message::flow_mod::FlowFlags;
use crate::oxm::{self, Match};
use crate::reader::Reader;
use crate::writer::Writer;

/// Which flows are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FlowFilter {
    /// Of this table, or [`TableId::ALL`].
    pub table: TableId,
    /// That output to this port, or [`PortNo::ANY`].
    pub out_port: PortNo,
    /// That output to this group, or [`GroupId::ANY`].
    pub out_group: GroupId,
    /// With this cookie, under `cookie_mask`.
    pub cookie: Cookie,
    /// Bits of the cookie that count.
    pub cookie_mask: Cookie,
    /// That this match covers.
    pub flow_match: Match,
}

impl FlowFilter {
    /// Every flow.
    pub const fn all() -> Self {
        Self {
            table: TableId::ALL,
            out_port: PortNo::ANY,
            out_group: GroupId::ANY,
            cookie: Cookie(0),
            cookie_mask: Cookie(0),
            flow_match: Match::any(),
        }
    }

    /// Flows of every table whose cookie is `cookie` in the bits of `mask`.
    pub fn with_cookie(cookie: Cookie, mask: Cookie) -> Self {
        Self {
            cookie,
            cookie_mask: mask,
            ..Self::all()
        }
    }

    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u8(self.table.0);
        out.zeros(3);
        out.u32(self.out_port.0);
        out.u32(self.out_group.0);
        out.zeros(4);
        out.u64(self.cookie.0);
        out.u64(self.cookie_mask.0);
        oxm::put_match(out, &self.flow_match);
    }

    pub(super) fn read(reader: &mut Reader<'_>, context: &Context) -> Result<Self, DecodeError> {
        let table = TableId(reader.u8("table")?);
        reader.skip("padding", 3)?;
        let out_port = PortNo(reader.u32("out_port")?);
        let out_group = GroupId(reader.u32("out_group")?);
        reader.skip("padding", 4)?;
        Ok(Self {
            table,
            out_port,
            out_group,
            cookie: Cookie(reader.u64("cookie")?),
            cookie_mask: Cookie(reader.u64("cookie mask")?),
            flow_match: oxm::read_match(reader, context)?,
        })
    }
}

/// One flow of a `OFPMP_FLOW_DESC` reply.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FlowStats {
    /// The flow.
    pub flow: Flow,
    /// Flags it was added with.
    pub flags: FlowFlags,
    /// Importance it was added with.
    pub importance: u16,
    /// What it has counted.
    pub counters: FlowCounters,
}

impl FlowStats {
    /// ```text
    ///  0        2     4   5   6      8      10     12     14         16       24
    ///  +--------+-----+---+---+------+------+------+------+----------+--------+
    ///  | length | pad |tbl|pad| prio | idle | hard | flags|importance| cookie |
    ///  +--------+-----+---+---+------+------+------+------+----------+--------+
    ///  | match, counters, instructions ...
    /// ```
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        let start = out.position();
        let flow = &self.flow;
        out.u16(0);
        out.zeros(2);
        out.u8(flow.table.0);
        out.zeros(1);
        out.u16(flow.priority);
        out.u16(flow.idle_timeout);
        out.u16(flow.hard_timeout);
        out.u16(self.flags.bits());
        out.u16(self.importance);
        out.u64(flow.cookie.0);
        oxm::put_match(out, &flow.flow_match);
        self.counters.put(out);
        put_instructions(out, &flow.instructions);
        out.set_length("flow stats", start, start);
    }

    pub(super) fn read(reader: &mut Reader<'_>, context: &Context) -> Result<Self, DecodeError> {
        let length = usize::from(reader.u16("flow stats length")?);
        let Some(inside) = length.checked_sub(2) else {
            return Err(reader.bad_length("flow stats", length));
        };
        let mut body = reader.sub("flow stats", inside)?;
        body.skip("padding", 2)?;
        let table = TableId(body.u8("table")?);
        body.skip("padding", 1)?;
        let priority = body.u16("priority")?;
        let idle_timeout = body.u16("idle timeout")?;
        let hard_timeout = body.u16("hard timeout")?;
        let flags = FlowFlags::from_bits_retain(body.u16("flags")?);
        let importance = body.u16("importance")?;
        let cookie = Cookie(body.u64("cookie")?);
        let flow_match = oxm::read_match(&mut body, context)?;
        let counters = FlowCounters::read(&mut body)?;
        let instructions = read_instructions(&mut body, context)?;
        Ok(Self {
            flow: Flow {
                table,
                priority,
                flow_match,
                cookie,
                idle_timeout,
                hard_timeout,
                instructions,
            },
            flags,
            importance,
            counters,
        })
    }
}

/// `ofp_stats`, OXS fields: what was counted; `None` is not told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowCounters {
    /// How long the flow has been there.
    pub duration: Option<Duration>,
    /// How long since its last packet.
    pub idle: Option<Duration>,
    /// Number of flows, in aggregates.
    pub flows: Option<u32>,
    /// Packets.
    pub packets: Option<u64>,
    /// Bytes of those packets.
    pub bytes: Option<u64>,
}

/// `OFPXSC_OPENFLOW_BASIC`.
const BASIC: u16 = 0x8002;

mod oxs {
    pub(super) const DURATION: u8 = 0;
    pub(super) const IDLE_TIME: u8 = 1;
    pub(super) const FLOW_COUNT: u8 = 3;
    pub(super) const PACKET_COUNT: u8 = 4;
    pub(super) const BYTE_COUNT: u8 = 5;
}

impl FlowCounters {
    pub(crate) fn put(&self, out: &mut Writer<'_>) {
        let start = out.position();
        out.zeros(2);
        out.u16(0);
        let time = |value: Duration| value.as_secs() << 32 | u64::from(value.subsec_nanos());
        put_oxs64(out, oxs::DURATION, self.duration.map(time));
        put_oxs64(out, oxs::IDLE_TIME, self.idle.map(time));
        put_oxs64(out, oxs::PACKET_COUNT, self.packets);
        put_oxs64(out, oxs::BYTE_COUNT, self.bytes);
        if let Some(flows) = self.flows {
            out.u16(BASIC);
            out.u8(oxs::FLOW_COUNT << 1);
            out.u8(4);
            out.u32(flows);
        }
        out.set_length("flow counters", start.saturating_add(2), start);
        out.pad8(start);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.skip("reserved", 2)?;
        let length = reader.u16("flow counters length")?;
        let mut fields = reader.element("flow counters", length, 4)?;
        let mut counters = Self::default();
        while !fields.is_empty() {
            let class = fields.u16("OXS class")?;
            let number = fields.u8("OXS field")? >> 1;
            let length = usize::from(fields.u8("OXS length")?);
            let mut value = fields.sub("OXS value", length)?;
            match (class, number) {
                (BASIC, oxs::DURATION) => counters.duration = value.duration("OXS time")?,
                (BASIC, oxs::IDLE_TIME) => counters.idle = value.duration("OXS time")?,
                (BASIC, oxs::FLOW_COUNT) => counters.flows = Some(value.u32("flow count")?),
                (BASIC, oxs::PACKET_COUNT) => counters.packets = Some(value.u64("packet count")?),
                (BASIC, oxs::BYTE_COUNT) => counters.bytes = Some(value.u64("byte count")?),
                _ => {}
            }
        }
        Ok(counters)
    }
}

fn put_oxs64(out: &mut Writer<'_>, number: u8, value: Option<u64>) {
    if let Some(value) = value {
        out.u16(BASIC);
        out.u8(number << 1);
        out.u8(8);
        out.u64(value);
    }
}
