// SPDX-License-Identifier: Apache-2.0
//! Counters of ports, queues, groups and tables, and what groups a switch can have (OpenFlow 1.5.1
//! sections 7.3.5.6 to 7.3.5.12).

use std::time::Duration;

use bytes::Bytes;

use crate::error::DecodeError;
use crate::ids::{GroupId, PortNo, TableId};
use crate::reader::Reader;
use crate::writer::Writer;

/// A queue of a port; [`PortNo::ANY`] and [`QueueId::ALL`] are all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueueId {
    /// The port.
    pub port: PortNo,
    /// Number of the queue.
    pub queue: u32,
}

impl QueueId {
    /// `OFPQ_ALL`.
    pub const ALL: u32 = 0xffff_ffff;

    pub(super) fn put(self, out: &mut Writer<'_>) {
        out.u32(self.port.0);
        out.u32(self.queue);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            port: PortNo(reader.u32("port number")?),
            queue: reader.u32("queue id")?,
        })
    }
}

/// `ofp_port_stats`. Counters that the switch does not have are all ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PortStats {
    /// Which port.
    pub port: PortNo,
    /// How long it has been there; `None` is not told.
    pub duration: Option<Duration>,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Received packets that were dropped.
    pub rx_dropped: u64,
    /// Packets to be sent that were dropped.
    pub tx_dropped: u64,
    /// Errors when receiving.
    pub rx_errors: u64,
    /// Errors when sending.
    pub tx_errors: u64,
    /// Properties, kept byte for byte.
    pub properties: Bytes,
}

impl PortStats {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        let start = out.position();
        out.u16(0);
        out.zeros(2);
        out.u32(self.port.0);
        out.duration(self.duration);
        for counter in [
            self.rx_packets,
            self.tx_packets,
            self.rx_bytes,
            self.tx_bytes,
            self.rx_dropped,
            self.tx_dropped,
            self.rx_errors,
            self.tx_errors,
        ] {
            out.u64(counter);
        }
        out.bytes(&self.properties);
        out.set_length("port stats", start, start);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut body = prefixed(reader, "port stats")?;
        body.skip("padding", 2)?;
        Ok(Self {
            port: PortNo(body.u32("port number")?),
            duration: body.duration("duration")?,
            rx_packets: body.u64("rx_packets")?,
            tx_packets: body.u64("tx_packets")?,
            rx_bytes: body.u64("rx_bytes")?,
            tx_bytes: body.u64("tx_bytes")?,
            rx_dropped: body.u64("rx_dropped")?,
            tx_dropped: body.u64("tx_dropped")?,
            rx_errors: body.u64("rx_errors")?,
            tx_errors: body.u64("tx_errors")?,
            properties: body.rest(),
        })
    }
}

/// `ofp_queue_stats`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueStats {
    /// Which queue.
    pub queue: QueueId,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets dropped.
    pub tx_errors: u64,
    /// How long it has been there; `None` is not told.
    pub duration: Option<Duration>,
    /// Properties, kept byte for byte.
    pub properties: Bytes,
}

impl QueueStats {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        let start = out.position();
        out.u16(0);
        out.zeros(6);
        self.queue.put(out);
        out.u64(self.tx_bytes);
        out.u64(self.tx_packets);
        out.u64(self.tx_errors);
        out.duration(self.duration);
        out.bytes(&self.properties);
        out.set_length("queue stats", start, start);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut body = prefixed(reader, "queue stats")?;
        body.skip("padding", 6)?;
        Ok(Self {
            queue: QueueId::read(&mut body)?,
            tx_bytes: body.u64("tx_bytes")?,
            tx_packets: body.u64("tx_packets")?,
            tx_errors: body.u64("tx_errors")?,
            duration: body.duration("duration")?,
            properties: body.rest(),
        })
    }
}

/// `ofp_queue_desc`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueDesc {
    /// Which queue.
    pub queue: QueueId,
    /// Properties (rates and such), kept byte for byte.
    pub properties: Bytes,
}

impl QueueDesc {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        let start = out.position();
        self.queue.put(out);
        out.u16(0);
        out.zeros(6);
        out.bytes(&self.properties);
        out.set_length("queue", start.saturating_add(8), start);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let queue = QueueId::read(reader)?;
        let length = usize::from(reader.u16("queue length")?);
        let Some(inside) = length.checked_sub(10) else {
            return Err(reader.bad_length("queue", length));
        };
        let mut body = reader.sub("queue", inside)?;
        body.skip("padding", 6)?;
        Ok(Self {
            queue,
            properties: body.rest(),
        })
    }
}

/// `ofp_group_stats`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupStats {
    /// Which group.
    pub group: GroupId,
    /// Flows and groups that refer to it.
    pub ref_count: u32,
    /// Packets.
    pub packets: u64,
    /// Bytes of those packets.
    pub bytes: u64,
    /// How long it has been there; `None` is not told.
    pub duration: Option<Duration>,
    /// Packets and bytes of each bucket.
    pub buckets: Vec<(u64, u64)>,
}

impl GroupStats {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        let start = out.position();
        out.u16(0);
        out.zeros(2);
        out.u32(self.group.0);
        out.u32(self.ref_count);
        out.zeros(4);
        out.u64(self.packets);
        out.u64(self.bytes);
        out.duration(self.duration);
        for (packets, bytes) in &self.buckets {
            out.u64(*packets);
            out.u64(*bytes);
        }
        out.set_length("group stats", start, start);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut body = if reader.remaining() > usize::from(u16::MAX) {
            // Alone in its message, and its length has wrapped as the message's has.
            reader.skip("group stats", 2)?;
            reader.sub("group stats", reader.remaining())?
        } else {
            prefixed(reader, "group stats")?
        };
        body.skip("padding", 2)?;
        let group = GroupId(body.u32("group id")?);
        let ref_count = body.u32("ref_count")?;
        body.skip("padding", 4)?;
        let mut stats = Self {
            group,
            ref_count,
            packets: body.u64("packet count")?,
            bytes: body.u64("byte count")?,
            duration: body.duration("duration")?,
            buckets: Vec::new(),
        };
        while !body.is_empty() {
            let packets = body.u64("bucket packet count")?;
            stats
                .buckets
                .push((packets, body.u64("bucket byte count")?));
        }
        Ok(stats)
    }
}

/// `ofp_group_features`: arrays are by group type (all, select, indirect, fast failover).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupFeatures {
    /// Types that can be had, bit `1 << OFPGT_*`.
    pub types: u32,
    /// `ofp_group_capabilities`.
    pub capabilities: u32,
    /// Most groups of each type.
    pub max_groups: [u32; 4],
    /// Actions that buckets of each type can have, bit `1 << OFPAT_*`.
    pub actions: [u32; 4],
}

impl GroupFeatures {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u32(self.types);
        out.u32(self.capabilities);
        for value in self.max_groups.iter().chain(&self.actions) {
            out.u32(*value);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut features = Self {
            types: reader.u32("group types")?,
            capabilities: reader.u32("group capabilities")?,
            max_groups: [0; 4],
            actions: [0; 4],
        };
        for value in features.max_groups.iter_mut().chain(&mut features.actions) {
            *value = reader.u32("group features")?;
        }
        Ok(features)
    }
}

/// `ofp_table_stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableStats {
    /// Which table.
    pub table: TableId,
    /// Flows in it.
    pub active: u32,
    /// Packets that were looked up.
    pub lookups: u64,
    /// Packets that matched a flow.
    pub matches: u64,
}

impl TableStats {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u8(self.table.0);
        out.zeros(3);
        out.u32(self.active);
        out.u64(self.lookups);
        out.u64(self.matches);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let table = TableId(reader.u8("table")?);
        reader.skip("padding", 3)?;
        Ok(Self {
            table,
            active: reader.u32("active count")?,
            lookups: reader.u64("lookup count")?,
            matches: reader.u64("matched count")?,
        })
    }
}

/// `ofp_table_desc`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableDesc {
    /// Which table.
    pub table: TableId,
    /// `ofp_table_config`.
    pub config: u32,
    /// Properties, kept byte for byte.
    pub properties: Bytes,
}

impl TableDesc {
    pub(in crate::message) fn put(&self, out: &mut Writer<'_>) {
        let start = out.position();
        out.u16(0);
        out.u8(self.table.0);
        out.zeros(1);
        out.u32(self.config);
        out.bytes(&self.properties);
        out.set_length("table desc", start, start);
    }

    pub(in crate::message) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut body = prefixed(reader, "table desc")?;
        let table = TableId(body.u8("table")?);
        body.skip("padding", 1)?;
        Ok(Self {
            table,
            config: body.u32("table config")?,
            properties: body.rest(),
        })
    }
}

/// The inside of an element that begins with its length.
fn prefixed<'a>(reader: &mut Reader<'a>, what: &'static str) -> Result<Reader<'a>, DecodeError> {
    let length = usize::from(reader.u16(what)?);
    match length.checked_sub(2) {
        Some(inside) => reader.sub(what, inside),
        None => Err(reader.bad_length(what, length)),
    }
}
