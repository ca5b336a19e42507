// SPDX-License-Identifier: Apache-2.0
//! `ct` and `nat` as bytes (`nx_action_conntrack`, `nx_action_nat` in OVS `lib/ofp-actions.c`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::wire::{
    NICIRA, VENDOR, finish, offset_and_bits, put_actions, put_nicira, read_nested, subfield_from_16,
};
use super::{Action, Ct, CtZone, Nat, NatKind};
use crate::context::Context;
use crate::error::DecodeError;
use crate::ids::TableId;
use crate::numbers::nxast;
use crate::oxm;
use crate::reader::Reader;
use crate::writer::Writer;

/// `recirc_table` that forks nothing.
const NO_TABLE: u8 = 0xff;

mod flag {
    pub(super) const COMMIT: u16 = 1;
    pub(super) const FORCE: u16 = 2;
    pub(super) const NAT_SRC: u16 = 1;
    pub(super) const NAT_DST: u16 = 2;
    pub(super) const NAT_PERSISTENT: u16 = 4;
    pub(super) const NAT_HASH: u16 = 8;
    pub(super) const NAT_RANDOM: u16 = 16;
}

mod range {
    pub(super) const IPV4_MIN: u16 = 1;
    pub(super) const IPV4_MAX: u16 = 2;
    pub(super) const IPV6_MIN: u16 = 4;
    pub(super) const IPV6_MAX: u16 = 8;
    pub(super) const PORT_MIN: u16 = 16;
    pub(super) const PORT_MAX: u16 = 32;
}

impl Ct {
    #[inline]
    pub(super) fn wire_flags(&self) -> u16 {
        let commit = if self.commit { flag::COMMIT } else { 0 };
        commit | if self.force { flag::FORCE } else { 0 }
    }

    #[inline]
    pub(super) fn wire_table(&self) -> u8 {
        self.table.map_or(NO_TABLE, |table| table.0)
    }

    /// With what [`Self::wire_flags`] and [`Self::wire_table`] say.
    #[inline]
    pub(super) fn of_wire(flags: u16, table: u8) -> Self {
        Self {
            commit: flags & flag::COMMIT != 0,
            force: flags & flag::FORCE != 0,
            table: (table != NO_TABLE).then_some(TableId(table)),
            ..Self::default()
        }
    }
}

/// The inside of `NXAST_CT`, after the subtype.
///
/// ```text
///  10       12               16       18   19        22       24
///  +--------+----------------+--------+----+---------+--------+---------------+
///  | flags  | zone's field   | zone   |tbl | zeros   |  alg   | nat, exec ... |
///  +--------+----------------+--------+----+---------+--------+---------------+
/// ```
pub(super) fn put_ct(out: &mut Writer<'_>, ct: &Ct) {
    out.u16(ct.wire_flags());
    match ct.zone {
        CtZone::Immediate(zone) => {
            out.u32(0);
            out.u16(zone);
        }
        CtZone::Field(subfield) => {
            oxm::put_field_id(out, subfield.field);
            out.u16(offset_and_bits(subfield));
        }
    }
    out.u8(ct.wire_table());
    out.zeros(3);
    out.u16(ct.alg);
    if let Some(nat) = &ct.nat {
        put_nat(out, nat);
    }
    put_actions(out, &ct.exec);
}

pub(super) fn read_ct(
    body: &mut Reader<'_>,
    context: &Context,
    depth: usize,
) -> Result<Option<Action>, DecodeError> {
    let flags = body.u16("ct flags")?;
    let zone = if body.peek().starts_with(&[0; 4]) {
        body.skip("ct zone field", 4)?;
        CtZone::Immediate(body.u16("ct zone")?)
    } else {
        let Some(field) = oxm::read_field_id(body)? else {
            return Ok(None);
        };
        let bits = body.u16("ct zone bits")?;
        CtZone::Field(subfield_from_16(body, field, bits)?)
    };
    let table = body.u8("ct table")?;
    body.skip("ct padding", 3)?;
    let alg = body.u16("ct alg")?;
    let mut ct = Ct {
        zone,
        alg,
        ..Ct::of_wire(flags, table)
    };
    if let Some(nat) = read_nat(body)? {
        ct.nat = Some(nat);
    }
    ct.exec = read_nested(body, context, depth.saturating_add(1))?;
    Ok(Some(Action::Ct(ct)))
}

/// `NXAST_NAT`: flags, which parts of the range are there, and those parts in order.
fn put_nat(out: &mut Writer<'_>, nat: &Nat) {
    let start = put_nicira(out, nxast::NAT);
    out.zeros(2);
    let mut flags = match nat.kind {
        None => 0,
        Some(NatKind::Src) => flag::NAT_SRC,
        Some(NatKind::Dst) => flag::NAT_DST,
    };
    for (set, bit) in [
        (nat.persistent, flag::NAT_PERSISTENT),
        (nat.hash, flag::NAT_HASH),
        (nat.random, flag::NAT_RANDOM),
    ] {
        if set {
            flags |= bit;
        }
    }
    out.u16(flags);
    let mut present = match nat.addresses {
        None => 0,
        Some((IpAddr::V4(_), _)) => range::IPV4_MIN,
        Some((IpAddr::V6(_), _)) => range::IPV6_MIN,
    };
    if let Some((low, high)) = nat.addresses
        && low != high
    {
        // IPV4_MAX and IPV6_MAX stand one bit to the left of their MIN.
        present |= present << 1;
    }
    if let Some((low, high)) = nat.ports {
        present |= range::PORT_MIN;
        if low != high {
            present |= range::PORT_MAX;
        }
    }
    out.u16(present);
    if let Some((low, high)) = nat.addresses {
        put_address(out, low);
        if low != high {
            put_address(out, high);
        }
    }
    if let Some((low, high)) = nat.ports {
        out.u16(low);
        if low != high {
            out.u16(high);
        }
    }
    finish(out, start);
}

fn put_address(out: &mut Writer<'_>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => out.bytes(&address.octets()),
        IpAddr::V6(address) => out.bytes(&address.octets()),
    }
}

/// The `nat` in front of `body`, if that is what stands there.
fn read_nat(body: &mut Reader<'_>) -> Result<Option<Nat>, DecodeError> {
    let mut nat = *body;
    if nat.remaining() < 16
        || nat.u16("action type")? != VENDOR
        || !matches!(nat.u16("action length")?, length if length >= 16 && length % 8 == 0)
        || nat.u32("vendor")? != NICIRA
        || nat.u16("subtype")? != nxast::NAT
    {
        return Ok(None);
    }
    let length = body
        .peek()
        .get(2..4)
        .and_then(|bytes| bytes.first_chunk::<2>())
        .map_or(0, |bytes| u16::from_be_bytes(*bytes));
    let mut nat = body.sub("nat", usize::from(length))?;
    nat.skip("nat header", 12)?;
    let flags = nat.u16("nat flags")?;
    let present = nat.u16("nat range")?;
    let kind = match flags & (flag::NAT_SRC | flag::NAT_DST) {
        0 => None,
        flag::NAT_SRC => Some(NatKind::Src),
        flag::NAT_DST => Some(NatKind::Dst),
        _ => return Err(nat.bad_value("nat flags", flags)),
    };
    Ok(Some(Nat {
        kind,
        addresses: read_addresses(&mut nat, present)?,
        ports: read_ports(&mut nat, present)?,
        persistent: flags & flag::NAT_PERSISTENT != 0,
        hash: flags & flag::NAT_HASH != 0,
        random: flags & flag::NAT_RANDOM != 0,
    }))
}

fn read_addresses(
    nat: &mut Reader<'_>,
    present: u16,
) -> Result<Option<(IpAddr, IpAddr)>, DecodeError> {
    if present & range::IPV4_MIN != 0 {
        let low = IpAddr::V4(Ipv4Addr::from(nat.u32("nat address")?));
        let high = if present & range::IPV4_MAX != 0 {
            IpAddr::V4(Ipv4Addr::from(nat.u32("nat address")?))
        } else {
            low
        };
        Ok(Some((low, high)))
    } else if present & range::IPV6_MIN != 0 {
        let low = IpAddr::V6(Ipv6Addr::from(nat.u128("nat address")?));
        let high = if present & range::IPV6_MAX != 0 {
            IpAddr::V6(Ipv6Addr::from(nat.u128("nat address")?))
        } else {
            low
        };
        Ok(Some((low, high)))
    } else {
        Ok(None)
    }
}

fn read_ports(nat: &mut Reader<'_>, present: u16) -> Result<Option<(u16, u16)>, DecodeError> {
    if present & range::PORT_MIN == 0 {
        return Ok(None);
    }
    let low = nat.u16("nat port")?;
    let high = if present & range::PORT_MAX != 0 {
        nat.u16("nat port")?
    } else {
        low
    };
    Ok(Some((low, high)))
}
