// SPDX-License-Identifier: Apache-2.0
//! `NXT_CT_FLUSH`: forgets tracked connections (OVS `lib/ofp-ct.c`, OVS 3.1 and later).
//! `NXT_CT_FLUSH_ZONE` forgets all of a zone.

use std::net::{IpAddr, Ipv6Addr};

use bytes::Bytes;

use crate::error::DecodeError;
use crate::group::read_property;
use crate::numbers::{ct_flush, ct_tuple};
use crate::reader::Reader;
use crate::writer::Writer;

/// Which connections to forget: those that have all that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CtFlush {
    /// IP protocol; 0 is any.
    pub ip_proto: u8,
    /// Packets in the direction of the first one.
    pub original: CtTuple,
    /// Packets in the other direction.
    pub reply: CtTuple,
    /// Zone.
    pub zone: Option<u16>,
    /// Mark that connections have (OVS 3.3 and later).
    pub mark: Option<u32>,
    /// Which bits of the mark count; all if it is not given.
    pub mark_mask: Option<u32>,
    /// Label that connections have (OVS 3.3 and later).
    pub labels: Option<u128>,
    /// Which bits of the label count; all if it is not given.
    pub labels_mask: Option<u128>,
    /// Properties that are not known: type and contents.
    pub unknown: Vec<(u16, Bytes)>,
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CtTuple {
    /// Source address.
    pub src: Option<IpAddr>,
    /// Destination address.
    pub dst: Option<IpAddr>,
    /// Source port.
    pub src_port: Option<u16>,
    /// Destination port.
    pub dst_port: Option<u16>,
    /// Identifier, type and code of ICMP.
    pub icmp: Option<(u16, u8, u8)>,
}

impl CtFlush {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u8(self.ip_proto);
        out.zeros(7);
        self.original.put(out, ct_flush::ORIG_TUPLE);
        self.reply.put(out, ct_flush::REPLY_TUPLE);
        if let Some(zone) = self.zone {
            put_property(out, ct_flush::ZONE_ID, |out| out.u16(zone));
        }
        for (kind, value) in [
            (ct_flush::MARK, self.mark),
            (ct_flush::MARK_MASK, self.mark_mask),
        ] {
            if let Some(value) = value {
                put_property(out, kind, |out| out.u32(value));
            }
        }
        for (kind, value) in [
            (ct_flush::LABELS, self.labels),
            (ct_flush::LABELS_MASK, self.labels_mask),
        ] {
            if let Some(value) = value {
                put_property(out, kind, |out| out.bytes(&value.to_be_bytes()));
            }
        }
        for (kind, contents) in &self.unknown {
            put_property(out, *kind, |out| out.bytes(contents));
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let ip_proto = reader.u8("IP protocol")?;
        reader.skip("padding", 7)?;
        let mut flush = Self {
            ip_proto,
            ..Self::default()
        };
        while !reader.is_empty() {
            let (kind, mut value) = read_property(reader)?;
            match kind {
                ct_flush::ORIG_TUPLE => flush.original = CtTuple::read(&mut value)?,
                ct_flush::REPLY_TUPLE => flush.reply = CtTuple::read(&mut value)?,
                ct_flush::ZONE_ID => flush.zone = Some(value.u16("ct zone")?),
                ct_flush::MARK => flush.mark = Some(value.u32("ct mark")?),
                ct_flush::MARK_MASK => flush.mark_mask = Some(value.u32("ct mark")?),
                ct_flush::LABELS => flush.labels = Some(value.u128("ct label")?),
                ct_flush::LABELS_MASK => flush.labels_mask = Some(value.u128("ct label")?),
                kind => flush.unknown.push((kind, value.rest())),
            }
        }
        Ok(flush)
    }
}

impl CtTuple {
    /// Nothing if nothing is given.
    fn put(&self, out: &mut Writer<'_>, kind: u16) {
        if *self == Self::default() {
            return;
        }
        put_property(out, kind, |out| {
            // Nested properties begin at a multiple of 8 bytes.
            out.zeros(4);
            if let Some(address) = self.src {
                put_property(out, ct_tuple::SRC, |out| out.bytes(&to_v6(address)));
            }
            if let Some(address) = self.dst {
                put_property(out, ct_tuple::DST, |out| out.bytes(&to_v6(address)));
            }
            if let Some((id, kind, code)) = self.icmp {
                put_property(out, ct_tuple::ICMP_ID, |out| out.u16(id));
                put_property(out, ct_tuple::ICMP_TYPE, |out| out.u8(kind));
                put_property(out, ct_tuple::ICMP_CODE, |out| out.u8(code));
            }
            if let Some(port) = self.src_port {
                put_property(out, ct_tuple::SRC_PORT, |out| out.u16(port));
            }
            if let Some(port) = self.dst_port {
                put_property(out, ct_tuple::DST_PORT, |out| out.u16(port));
            }
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut read = Self::default();
        reader.skip("padding", 4)?;
        while !reader.is_empty() {
            let (kind, mut value) = read_property(reader)?;
            let icmp = read.icmp.unwrap_or_default();
            match kind {
                ct_tuple::SRC => read.src = Some(from_v6(value.u128("address")?)),
                ct_tuple::DST => read.dst = Some(from_v6(value.u128("address")?)),
                ct_tuple::SRC_PORT => read.src_port = Some(value.u16("port")?),
                ct_tuple::DST_PORT => read.dst_port = Some(value.u16("port")?),
                ct_tuple::ICMP_ID => read.icmp = Some((value.u16("ICMP id")?, icmp.1, icmp.2)),
                ct_tuple::ICMP_TYPE => read.icmp = Some((icmp.0, value.u8("ICMP type")?, icmp.2)),
                ct_tuple::ICMP_CODE => read.icmp = Some((icmp.0, icmp.1, value.u8("ICMP code")?)),
                _ => {}
            }
        }
        Ok(read)
    }
}

/// IPv4 addresses are written as `::ffff:a.b.c.d`.
const fn to_v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

const fn from_v6(address: u128) -> IpAddr {
    let address = Ipv6Addr::from_bits(address);
    match address.to_ipv4_mapped() {
        Some(address) => IpAddr::V4(address),
        None => IpAddr::V6(address),
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
