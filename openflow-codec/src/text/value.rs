// SPDX-License-Identifier: Apache-2.0
//! Values of fields, ports and tables in text (OVS `mf_format` and `mf_parse` in
//! `lib/meta-flow.c`).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::token::{number, pieces, small};
use super::{Names, TextError};
use crate::action::port_from_16;
use crate::ids::{PortNo, TableId};
use crate::oxm::{Field, Form, width_mask};

const TCP_FLAGS: [&str; 12] = [
    "fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]",
];
/// OVS also knows `df`, `csum` and `key`, but only `oam` can be matched.
const TUN_FLAGS: [&str; 4] = ["oam", "df", "csum", "key"];
const CT_STATES: [&str; 8] = ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];

const PORTS: [(PortNo, &str); 10] = [
    (PortNo(0xffff_fff7), "UNSET"),
    (PortNo::IN_PORT, "IN_PORT"),
    (PortNo(0xffff_fff9), "TABLE"),
    (PortNo(0xffff_fffa), "NORMAL"),
    (PortNo(0xffff_fffb), "FLOOD"),
    (PortNo(0xffff_fffc), "ALL"),
    (PortNo::CONTROLLER, "CONTROLLER"),
    (PortNo::LOCAL, "LOCAL"),
    (PortNo::ANY, "ANY"),
    (PortNo::ANY, "NONE"),
];

/// Hexadecimal as C's `%#x`: a zero is a plain `0`.
pub(super) struct Hex(pub(super) u128);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0"),
            value => write!(f, "{value:#x}"),
        }
    }
}

/// The value of `field` in `set_field`.
pub(super) fn spell_value(
    f: &mut fmt::Formatter<'_>,
    field: Field,
    value: u128,
    mask: Option<u128>,
    names: &Names,
) -> fmt::Result {
    let mask = mask.filter(|mask| *mask != width_mask(field));
    match field.info().form {
        Form::Decimal => {
            write!(f, "{value}")?;
            spell_mask(f, mask)
        }
        Form::Hex => {
            write!(f, "{}", Hex(value))?;
            spell_mask(f, mask)
        }
        Form::Port => match mask {
            None if field.info().bits == 16 => spell_port(f, port_from_16(value as u16), names),
            None => spell_port(f, PortNo(value as u32), names),
            Some(mask) => write!(f, "{value}/{}", Hex(mask)),
        },
        Form::Ethernet => spell_ethernet(f, value, mask),
        Form::Ipv4 => spell_ipv4(f, value, mask),
        Form::Ipv6 => spell_ipv6(f, value, mask),
        Form::Frag => f.write_str(frag_name(value, mask.unwrap_or(3))),
        Form::TcpFlags => spell_flags(f, &TCP_FLAGS, value, mask, 0xfff),
        Form::TunFlags => spell_flags(f, &TUN_FLAGS, value, mask, 1),
        Form::CtState => spell_flags(f, &CT_STATES, value, mask, 0xff),
        Form::PacketType => spell_packet_type(f, value),
    }
}

fn spell_mask(f: &mut fmt::Formatter<'_>, mask: Option<u128>) -> fmt::Result {
    mask.map_or(Ok(()), |mask| write!(f, "/{}", Hex(mask)))
}

pub(super) fn spell_ethernet(
    f: &mut fmt::Formatter<'_>,
    value: u128,
    mask: Option<u128>,
) -> fmt::Result {
    spell_mac(f, value)?;
    match mask {
        None => Ok(()),
        Some(mask) => {
            f.write_str("/")?;
            spell_mac(f, mask)
        }
    }
}

fn spell_mac(f: &mut fmt::Formatter<'_>, value: u128) -> fmt::Result {
    let bytes = value.to_be_bytes();
    for (index, byte) in bytes.iter().skip(10).enumerate() {
        let colon = if index == 0 { "" } else { ":" };
        write!(f, "{colon}{byte:02x}")?;
    }
    Ok(())
}

pub(super) fn spell_ipv4(
    f: &mut fmt::Formatter<'_>,
    value: u128,
    mask: Option<u128>,
) -> fmt::Result {
    write!(f, "{}", Ipv4Addr::from(value as u32))?;
    match mask.map(|mask| mask as u32) {
        None => Ok(()),
        Some(mask) if mask.leading_ones().saturating_add(mask.trailing_zeros()) == 32 => {
            write!(f, "/{}", mask.leading_ones())
        }
        Some(mask) => write!(f, "/{}", Ipv4Addr::from(mask)),
    }
}

pub(super) fn spell_ipv6(
    f: &mut fmt::Formatter<'_>,
    value: u128,
    mask: Option<u128>,
) -> fmt::Result {
    write!(f, "{}", Ipv6Addr::from(value))?;
    match mask {
        None => Ok(()),
        Some(mask) if mask.leading_ones().saturating_add(mask.trailing_zeros()) == 128 => {
            write!(f, "/{}", mask.leading_ones())
        }
        Some(mask) => write!(f, "/{}", Ipv6Addr::from(mask)),
    }
}

pub(super) fn spell_packet_type(f: &mut fmt::Formatter<'_>, value: u128) -> fmt::Result {
    write!(f, "({},{})", value >> 16, Hex(value & 0xffff))
}

/// Flags: `syn|ack` when all that can be matched are, else `+syn-ack`.
pub(super) fn spell_flags(
    f: &mut fmt::Formatter<'_>,
    flags: &[&str],
    value: u128,
    mask: Option<u128>,
    all: u128,
) -> fmt::Result {
    let bits = |number: u128| (0..32u32).filter(move |bit| number >> bit & 1 != 0);
    let name = |bit: u32| flags.get(bit as usize).copied().unwrap_or("[Unknown]");
    let mask = mask.unwrap_or(all);
    if mask != all {
        for bit in bits(mask) {
            let sign = if value >> bit & 1 != 0 { '+' } else { '-' };
            write!(f, "{sign}{}", name(bit))?;
        }
        return Ok(());
    }
    if value == 0 {
        return f.write_str("0");
    }
    for (index, bit) in bits(value).enumerate() {
        let bar = if index == 0 { "" } else { "|" };
        write!(f, "{bar}{}", name(bit))?;
    }
    Ok(())
}

/// `ct_state` of a match.
pub(super) fn spell_ct_state(
    f: &mut fmt::Formatter<'_>,
    value: u128,
    mask: Option<u128>,
) -> fmt::Result {
    spell_flags(f, &CT_STATES, value, mask, 0xff)
}

/// `tun_flags` of a match.
pub(super) fn spell_tun_flags(
    f: &mut fmt::Formatter<'_>,
    value: u128,
    mask: Option<u128>,
) -> fmt::Result {
    spell_flags(f, &TUN_FLAGS, value, Some(mask.unwrap_or(1)), 0xf)
}

/// `tcp_flags` of a match.
pub(super) fn spell_tcp_flags(
    f: &mut fmt::Formatter<'_>,
    value: u128,
    mask: Option<u128>,
) -> fmt::Result {
    spell_flags(f, &TCP_FLAGS, value, mask, 0xfff)
}

/// Fragments: bit 0 is any fragment, bit 1 is a later one.
pub(super) const fn frag_name(value: u128, mask: u128) -> &'static str {
    match (mask & 3, value & 3) {
        (3, 0) | (1, 0) => "no",
        (3, 1) => "first",
        (3, 3) | (2, 2) => "later",
        (1, 1) => "yes",
        (2, 0) => "not_later",
        _ => "<error>",
    }
}

/// A port: the name of a reserved one, its own name, or its number.
pub(super) fn spell_port(f: &mut fmt::Formatter<'_>, port: PortNo, names: &Names) -> fmt::Result {
    if let Some((_, name)) = PORTS.iter().find(|(known, _)| *known == port) {
        return f.write_str(name);
    }
    match names.ports.get(&port) {
        Some(name) => spell_name(f, name),
        None => write!(f, "{port}"),
    }
}

/// A table: its name or its number.
pub(super) fn spell_table(
    f: &mut fmt::Formatter<'_>,
    table: TableId,
    names: &Names,
) -> fmt::Result {
    match names.tables.get(&table) {
        Some(name) => spell_name(f, name),
        None => write!(f, "{table}"),
    }
}

/// A name, in quotes if it could be taken for something else.
fn spell_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.';
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts && name.chars().all(plain) {
        f.write_str(name)
    } else {
        write!(f, "{name:?}")
    }
}

/// Reads a port.
pub(super) fn parse_port(text: &str, names: &Names) -> Result<PortNo, TextError> {
    if let Some((port, _)) = PORTS
        .iter()
        .find(|(_, name)| name.eq_ignore_ascii_case(text))
    {
        return Ok(*port);
    }
    let name = text.trim_matches('"');
    if let Some((port, _)) = names.ports.iter().find(|(_, known)| *known == name) {
        return Ok(*port);
    }
    small("port", text).map(PortNo)
}

/// Reads a table.
pub(super) fn parse_table(text: &str, names: &Names) -> Result<TableId, TextError> {
    let name = text.trim_matches('"');
    if let Some((table, _)) = names.tables.iter().find(|(_, known)| *known == name) {
        return Ok(*table);
    }
    small("table", text).map(TableId)
}

/// Reads a value of `field` and its mask; `None` is all bits.
pub(super) fn parse_value(
    field: Field,
    text: &str,
    names: &Names,
) -> Result<(u128, Option<u128>), TextError> {
    let info = field.info();
    let bad = || TextError::bad_value(info.name, text);
    let (value, mask) = match info.form {
        Form::Decimal | Form::Hex => halves(text, |text| number(info.name, text))?,
        Form::Port => match text.split_once('/') {
            None => (
                u128::from(parse_port(text, names)?.0) & width_mask(field),
                None,
            ),
            Some(_) => halves(text, |text| number(info.name, text))?,
        },
        Form::Ethernet => halves(text, |text| parse_mac(text).ok_or_else(bad))?,
        Form::Ipv4 => parse_address(text, 32, |text| {
            text.parse::<Ipv4Addr>().ok().map(|a| u32::from(a).into())
        })
        .ok_or_else(bad)?,
        Form::Ipv6 => parse_address(text, 128, |text| {
            text.parse::<Ipv6Addr>().ok().map(u128::from)
        })
        .ok_or_else(bad)?,
        Form::Frag => match text {
            "no" => (0, Some(3)),
            "first" => (1, Some(3)),
            "later" => (3, Some(3)),
            "yes" => (1, Some(1)),
            "not_later" => (0, Some(2)),
            _ => return Err(bad()),
        },
        Form::TcpFlags => parse_flags(info.name, &TCP_FLAGS, text, 0xfff)?,
        Form::TunFlags => parse_flags(info.name, &TUN_FLAGS, text, 1)?,
        Form::CtState => parse_flags(info.name, &CT_STATES, text, 0xff)?,
        Form::PacketType => parse_packet_type(text)?,
    };
    let width = width_mask(field);
    if value & !width != 0 || mask.is_some_and(|mask| info.bits > 128 && value & !mask != 0) {
        return Err(bad());
    }
    Ok((value, mask))
}

/// `value` or `value/mask`.
fn halves(
    text: &str,
    parse: impl Fn(&str) -> Result<u128, TextError>,
) -> Result<(u128, Option<u128>), TextError> {
    match text.split_once('/') {
        None => Ok((parse(text)?, None)),
        Some((value, mask)) => Ok((parse(value)?, Some(parse(mask)?))),
    }
}

fn parse_mac(text: &str) -> Option<u128> {
    let mut count = 0usize;
    let mut value = 0u128;
    for part in text.split(':') {
        value = value << 8 | u128::from(u8::from_str_radix(part, 16).ok()?);
        count = count.checked_add(1)?;
    }
    (count == 6).then_some(value)
}

/// An address, perhaps with a prefix length or a mask.
fn parse_address(
    text: &str,
    bits: u32,
    parse: impl Fn(&str) -> Option<u128>,
) -> Option<(u128, Option<u128>)> {
    let Some((address, mask)) = text.split_once('/') else {
        return Some((parse(text)?, None));
    };
    let mask = match mask.parse::<u32>() {
        Ok(length) => {
            let zeros = bits.checked_sub(length)?;
            let ones = u128::MAX.checked_shr(128u32.checked_sub(bits)?)?;
            ones.checked_shl(zeros).unwrap_or(0) & ones
        }
        Err(_) => parse(mask)?,
    };
    Some((parse(address)?, Some(mask)))
}

/// `+syn-ack`, `syn|ack`, or numbers.
fn parse_flags(
    what: &str,
    flags: &[&str],
    text: &str,
    all: u128,
) -> Result<(u128, Option<u128>), TextError> {
    let bad = || TextError::bad_value(what, text);
    let bit = |name: &str| {
        flags
            .iter()
            .position(|flag| *flag == name)
            .and_then(|index| 1u128.checked_shl(index as u32))
            .ok_or_else(bad)
    };
    if text.starts_with(['+', '-']) {
        let (mut value, mut mask) = (0, 0);
        let mut rest = text;
        while let Some(sign) = rest.chars().next() {
            let after = rest.get(1..).ok_or_else(bad)?;
            let end = after.find(['+', '-']).unwrap_or(after.len());
            let (name, next) = after.split_at_checked(end).ok_or_else(bad)?;
            let flag = bit(name)?;
            mask |= flag;
            if sign == '+' {
                value |= flag;
            }
            rest = next;
        }
        return Ok((value, Some(mask)));
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let (value, mask) = halves(text, |text| number(what, text))?;
        let mask = mask.unwrap_or(all);
        // Flags without a name cannot be written again.
        if (value | mask) & !all != 0 {
            return Err(bad());
        }
        return Ok((value, Some(mask)));
    }
    let mut value = 0;
    for name in text.split('|') {
        value |= bit(name)?;
    }
    Ok((value, Some(all)))
}

/// `(namespace,type)`.
fn parse_packet_type(text: &str) -> Result<(u128, Option<u128>), TextError> {
    let bad = || TextError::bad_value("packet_type", text);
    let inside = text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'))
        .ok_or_else(bad)?;
    let parts = pieces(inside, |c| c == ',')?;
    let [namespace, kind] = parts.as_slice() else {
        return Err(bad());
    };
    let namespace: u16 = small("packet_type", namespace)?;
    let kind: u16 = small("packet_type", kind)?;
    Ok((u128::from(namespace) << 16 | u128::from(kind), None))
}
