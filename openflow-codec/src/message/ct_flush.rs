// SPDX-License-Identifier: Apache-2.0
//! `NXT_CT_FLUSH`: forgets tracked connections (OVS `lib/ofp-ct.c`, OVS 3.1 and later).
//! `NXT_CT_FLUSH_ZONE` forgets all of a zone.

use std::net::{IpAddr, Ipv6Addr};

use bytes::Bytes;

use crate::error::DecodeError;
use crate::group::read_property;
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
    /// Properties that are not known (mark and label, OVS 3.3 and later): type and contents.
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

/// `nx_ct_flush_tlv_type`.
mod flush {
    pub(super) const ORIGINAL: u16 = 0;
    pub(super) const REPLY: u16 = 1;
    pub(super) const ZONE: u16 = 2;
}

/// `nx_ct_flush_tuple_tlv_type`.
mod tuple {
    pub(super) const SRC: u16 = 0;
    pub(super) const DST: u16 = 1;
    pub(super) const SRC_PORT: u16 = 2;
    pub(super) const DST_PORT: u16 = 3;
    pub(super) const ICMP_ID: u16 = 4;
    pub(super) const ICMP_TYPE: u16 = 5;
    pub(super) const ICMP_CODE: u16 = 6;
}

impl CtFlush {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u8(self.ip_proto);
        out.zeros(7);
        self.original.put(out, flush::ORIGINAL);
        self.reply.put(out, flush::REPLY);
        if let Some(zone) = self.zone {
            put_property(out, flush::ZONE, |out| out.u16(zone));
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
                flush::ORIGINAL => flush.original = CtTuple::read(&mut value)?,
                flush::REPLY => flush.reply = CtTuple::read(&mut value)?,
                flush::ZONE => flush.zone = Some(value.u16("ct zone")?),
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
                put_property(out, tuple::SRC, |out| out.bytes(&to_v6(address)));
            }
            if let Some(address) = self.dst {
                put_property(out, tuple::DST, |out| out.bytes(&to_v6(address)));
            }
            if let Some((id, kind, code)) = self.icmp {
                put_property(out, tuple::ICMP_ID, |out| out.u16(id));
                put_property(out, tuple::ICMP_TYPE, |out| out.u8(kind));
                put_property(out, tuple::ICMP_CODE, |out| out.u8(code));
            }
            if let Some(port) = self.src_port {
                put_property(out, tuple::SRC_PORT, |out| out.u16(port));
            }
            if let Some(port) = self.dst_port {
                put_property(out, tuple::DST_PORT, |out| out.u16(port));
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
                tuple::SRC => read.src = Some(from_v6(value.u128("address")?)),
                tuple::DST => read.dst = Some(from_v6(value.u128("address")?)),
                tuple::SRC_PORT => read.src_port = Some(value.u16("port")?),
                tuple::DST_PORT => read.dst_port = Some(value.u16("port")?),
                tuple::ICMP_ID => read.icmp = Some((value.u16("ICMP id")?, icmp.1, icmp.2)),
                tuple::ICMP_TYPE => read.icmp = Some((icmp.0, value.u8("ICMP type")?, icmp.2)),
                tuple::ICMP_CODE => read.icmp = Some((icmp.0, icmp.1, value.u8("ICMP code")?)),
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
