// SPDX-License-Identifier: Apache-2.0
//! Packets that come from a switch: `OFPT_PACKET_IN` (OpenFlow 1.5.1 section 7.4.1) and Nicira's
//! `NXT_PACKET_IN2` with its answer `NXT_RESUME` (OVS `lib/ofp-packet.c`).

use bytes::Bytes;

use crate::context::Context;
use crate::error::DecodeError;
use crate::group::read_property;
use crate::ids::{Cookie, TableId};
use crate::numbers::packet_in2;
use crate::oxm::{self, Match};
use crate::reader::Reader;
use crate::writer::Writer;

/// `OFPT_PACKET_IN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketIn {
    /// Packet that the switch holds; OVS holds none (0xffff_ffff).
    pub buffer_id: u32,
    /// Length of the packet before it was cut.
    pub total_len: u16,
    /// `ofp_packet_in_reason`: 0 table miss, 1 action, 2 TTL, 3 action set, 4 group, 5 packet_out.
    pub reason: u8,
    /// Table whose flow sent it.
    pub table: TableId,
    /// Cookie of that flow.
    pub cookie: Cookie,
    /// What the pipeline knew of it.
    pub metadata: Match,
    /// The packet.
    pub data: Bytes,
}

impl PacketIn {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u32(self.buffer_id);
        out.u16(self.total_len);
        out.u8(self.reason);
        out.u8(self.table.0);
        out.u64(self.cookie.0);
        oxm::put_match(out, &self.metadata);
        out.zeros(2);
        out.bytes(&self.data);
    }

    pub(super) fn read(reader: &mut Reader<'_>, context: &Context) -> Result<Self, DecodeError> {
        let buffer_id = reader.u32("buffer id")?;
        let total_len = reader.u16("total_len")?;
        let reason = reader.u8("packet_in reason")?;
        let table = TableId(reader.u8("table")?);
        let cookie = Cookie(reader.u64("cookie")?);
        let metadata = oxm::read_match(reader, context)?;
        reader.skip("padding", 2)?;
        Ok(Self {
            buffer_id,
            total_len,
            reason,
            table,
            cookie,
            metadata,
            data: reader.rest(),
        })
    }
}

/// `NXT_PACKET_IN2`, and `NXT_RESUME`, which sends one back so that its packet goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PacketIn2 {
    /// The packet, perhaps cut.
    pub packet: Bytes,
    /// Its length, if it was cut.
    pub full_len: Option<u32>,
    /// Packet that the switch holds.
    pub buffer_id: Option<u32>,
    /// Table whose flow sent it.
    pub table: Option<TableId>,
    /// Cookie of that flow.
    pub cookie: Option<Cookie>,
    /// `ofp_packet_in_reason`, as in [`PacketIn`].
    pub reason: Option<u8>,
    /// What the pipeline knew of it.
    pub metadata: Match,
    /// Bytes that the `controller` action had for it.
    pub userdata: Bytes,
    /// State of the switch, for `NXT_RESUME`: opaque, with the padding in front of it.
    pub continuation: Option<Bytes>,
    /// Properties that are not known: type and contents.
    pub unknown: Vec<(u16, Bytes)>,
}

impl PacketIn2 {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        put_property(out, packet_in2::PACKET, |out| out.bytes(&self.packet));
        if let Some(length) = self.full_len {
            put_property(out, packet_in2::FULL_LEN, |out| out.u32(length));
        }
        if let Some(buffer) = self.buffer_id {
            put_property(out, packet_in2::BUFFER_ID, |out| out.u32(buffer));
        }
        if let Some(table) = self.table {
            put_property(out, packet_in2::TABLE_ID, |out| out.u8(table.0));
        }
        if let Some(cookie) = self.cookie {
            put_property(out, packet_in2::COOKIE, |out| {
                out.zeros(4);
                out.u64(cookie.0);
            });
        }
        if let Some(reason) = self.reason {
            put_property(out, packet_in2::REASON, |out| out.u8(reason));
        }
        put_property(out, packet_in2::METADATA, |out| {
            oxm::put_fields(out, &self.metadata);
        });
        if !self.userdata.is_empty() {
            put_property(out, packet_in2::USERDATA, |out| out.bytes(&self.userdata));
        }
        if let Some(continuation) = &self.continuation {
            put_property(out, packet_in2::CONTINUATION, |out| out.bytes(continuation));
        }
        for (kind, contents) in &self.unknown {
            put_property(out, *kind, |out| out.bytes(contents));
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>, context: &Context) -> Result<Self, DecodeError> {
        let mut packet_in = Self::default();
        while !reader.is_empty() {
            let (kind, mut value) = read_property(reader)?;
            match kind {
                packet_in2::PACKET => packet_in.packet = value.rest(),
                packet_in2::FULL_LEN => packet_in.full_len = Some(value.u32("full length")?),
                packet_in2::BUFFER_ID => packet_in.buffer_id = Some(value.u32("buffer id")?),
                packet_in2::TABLE_ID => packet_in.table = Some(TableId(value.u8("table")?)),
                packet_in2::COOKIE => {
                    value.skip("padding", 4)?;
                    packet_in.cookie = Some(Cookie(value.u64("cookie")?));
                }
                packet_in2::REASON => packet_in.reason = Some(value.u8("packet_in reason")?),
                packet_in2::METADATA => {
                    packet_in.metadata = oxm::read_fields(&mut value, context)?;
                }
                packet_in2::USERDATA => packet_in.userdata = value.rest(),
                packet_in2::CONTINUATION => packet_in.continuation = Some(value.rest()),
                kind => packet_in.unknown.push((kind, value.rest())),
            }
        }
        Ok(packet_in)
    }
}

fn put_property(out: &mut Writer<'_>, kind: u16, put: impl FnOnce(&mut Writer<'_>)) {
    let start = out.position();
    out.u16(kind);
    out.u16(0);
    put(out);
    out.set_length("property", start.saturating_add(2), start);
    out.pad8(start);
}

/// `NXT_SET_PACKET_IN_FORMAT`: how this connection gets packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketInFormat {
    /// [`PacketIn`].
    Standard,
    /// `NXT_PACKET_IN`, which is not known here.
    Nxt,
    /// [`PacketIn2`].
    Nxt2,
    /// A format that is not known.
    Unknown(u32),
}

impl PacketInFormat {
    pub(super) fn put(self, out: &mut Writer<'_>) {
        out.u32(match self {
            Self::Standard => 0,
            Self::Nxt => 1,
            Self::Nxt2 => 2,
            Self::Unknown(number) => number,
        });
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u32("packet_in format")? {
            0 => Self::Standard,
            1 => Self::Nxt,
            2 => Self::Nxt2,
            number => Self::Unknown(number),
        })
    }
}
