// SPDX-License-Identifier: Apache-2.0
//! OXM fields as bytes (OpenFlow 1.5.1 section 7.2.3, OVS `lib/nx-match.c`).
//!
//! ```text
//!  0                 2        3        4
//!  +-----------------+------+-+--------+----------------+----------------+
//!  |      class      |field |M| length | value          | mask, if M     |
//!  +-----------------+------+-+--------+----------------+----------------+
//! ```
//! Class 0xffff has four bytes of experimenter id after the header, which `length` counts.

use bytes::Bytes;

use super::packed;
use super::shape::UNMAPPED_BYTES;
use super::{Field, Match, MatchField, width_mask};
use crate::context::Context;
use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;

const EXPERIMENTER_CLASS: u16 = 0xffff;
/// `ofp_match` type of an OXM match.
const OXM_MATCH: u16 = 1;
/// Widest `tun_metadata`, in bytes.
const TUN_METADATA_MAX: u8 = 124;

/// Bytes of a value of `field` on this bridge.
#[inline]
fn value_bytes(field: Field, context: &Context) -> u8 {
    match field.wire_bytes() {
        Some(bytes) => bytes,
        None => field
            .tun_metadata_index()
            .and_then(|index| context.tun_metadata_length(index))
            .unwrap_or(UNMAPPED_BYTES),
    }
}

#[inline]
fn put_header(out: &mut Writer<'_>, field: Field, masked: bool, length: u8) {
    let info = field.info();
    let class = u32::from(info.class.number()) << 16;
    let number = u32::from(info.number) << 9;
    out.u32(class | number | u32::from(masked) << 8 | u32::from(length));
}

/// Header, value and mask of a field.
#[inline]
pub(crate) fn put_field(out: &mut Writer<'_>, field: Field, value: u128, mask: Option<u128>) {
    match field.wire_bytes() {
        Some(bytes @ 0..=8) => put_narrow(out, field, bytes, value as u64, mask),
        _ => put_wide(out, field, value, mask),
    }
}

/// [`put_field`] of a field of at most 8 bytes, as most are.
#[inline]
fn put_narrow(out: &mut Writer<'_>, field: Field, bytes: u8, value: u64, mask: Option<u128>) {
    let width = width_mask(field) as u64;
    // A mask of all ones is an exact match.
    let mask = mask
        .map(|mask| mask as u64)
        .filter(|mask| mask & width != width);
    let count = usize::from(bytes);
    let left = |number: u64| {
        number
            .unbounded_shl(64 - 8 * u32::from(bytes))
            .to_be_bytes()
    };
    put_header(
        out,
        field,
        mask.is_some(),
        bytes << u8::from(mask.is_some()),
    );
    out.first(count, &left(value));
    if let Some(mask) = mask {
        out.first(count, &left(mask));
    }
}

/// All bits of a value of so many bytes; of more than 16, those that a `u128` has.
const fn ones(bytes: u8) -> u128 {
    match bytes {
        bytes @ 0..16 => (1u128 << (8 * bytes as u32)) - 1,
        _ => u128::MAX,
    }
}

fn put_wide(out: &mut Writer<'_>, field: Field, value: u128, mask: Option<u128>) {
    let bytes = value_bytes(field, out.context());
    let full = ones(bytes);
    // A mask of all ones is an exact match, except that a field wider than 128 bits goes on to the
    // left of it.
    let mask = mask.filter(|mask| {
        bytes > 16 || *mask & width_mask(field) & full != full.min(width_mask(field))
    });
    let length = if mask.is_some() {
        bytes.saturating_mul(2)
    } else {
        bytes
    };
    put_header(out, field, mask.is_some(), length);
    out.number(value, usize::from(bytes));
    if let Some(mask) = mask {
        out.number(mask, usize::from(bytes));
    }
}

/// A field without a value, as in `copy_field`: its whole width.
#[inline]
pub(crate) fn put_field_id(out: &mut Writer<'_>, field: Field) {
    let length = match field.wire_bytes() {
        Some(bytes) => bytes,
        None => field
            .tun_metadata_index()
            .and_then(|index| out.context().tun_metadata_length(index))
            .unwrap_or(TUN_METADATA_MAX),
    };
    put_header(out, field, false, length);
}

/// A decoded OXM header.
struct OxmHeader<'a> {
    /// The field, if the registry knows it.
    field: Option<Field>,
    masked: bool,
    /// Bytes of value and mask together.
    payload: usize,
    /// The header itself: 4 or 8 bytes.
    bytes: &'a [u8],
}

#[inline]
fn header<'a>(reader: &mut Reader<'a>) -> Result<OxmHeader<'a>, DecodeError> {
    let start = reader.peek();
    let class = reader.u16("OXM header")?;
    let number = reader.u8("OXM header")?;
    let length = usize::from(reader.u8("OXM header")?);
    let masked = number & 1 != 0;
    let (size, payload) = if class == EXPERIMENTER_CLASS {
        reader.skip("OXM experimenter", 4)?;
        match length.checked_sub(4) {
            Some(payload) => (8, payload),
            None => return Err(reader.bad_length("OXM experimenter field", length)),
        }
    } else {
        (4, length)
    };
    Ok(OxmHeader {
        field: Field::from_wire(class, number >> 1),
        masked,
        payload,
        bytes: start.get(..size).unwrap_or_default(),
    })
}

/// A field without a value; `None` if the registry does not know it.
pub(crate) fn read_field_id(reader: &mut Reader<'_>) -> Result<Option<Field>, DecodeError> {
    header(reader).map(|header| header.field)
}

/// A field with value and mask, canonical: no bit of the value outside the mask, no mask that says
/// what no mask would say.
pub(crate) fn read_field(
    reader: &mut Reader<'_>,
    context: &Context,
) -> Result<MatchField, DecodeError> {
    let head = header(reader)?;
    let at = *reader;
    let bytes = if head.masked {
        head.payload / 2
    } else {
        head.payload
    };
    if head.masked && head.payload % 2 != 0 {
        return Err(reader.bad_length("masked OXM field", head.payload));
    }
    let Some(field) = head.field.filter(|_| bytes <= 16) else {
        return raw(reader, &head);
    };
    let known = field.wire_bytes();
    if known.is_some_and(|known| usize::from(known) != bytes) || bytes == 0 {
        return Err(reader.bad_length(field.info().name, head.payload));
    }
    let width = width_mask(field);
    let value = reader.number(field.info().name, bytes)?;
    if value & !width != 0 {
        return Err(reader.bad_value(field.info().name, (value >> 64) as u64 | value as u64));
    }
    let mask = if head.masked {
        Some(reader.number(field.info().name, bytes)? & width)
    } else {
        None
    };
    let room = value_bytes(field, context);
    let all = ones(room) & width;
    if (value | mask.unwrap_or(0)) & !all != 0 {
        // More than this bridge's TLV table has room for.
        *reader = at;
        return raw(reader, &head);
    }
    // A mask that covers all that the field has says nothing.
    let mask = mask.filter(|mask| *mask != all || room > 16);
    Ok(MatchField::Known {
        field,
        value: value & mask.unwrap_or(all),
        mask,
    })
}

fn raw(reader: &mut Reader<'_>, head: &OxmHeader<'_>) -> Result<MatchField, DecodeError> {
    Ok(MatchField::Raw {
        header: Bytes::copy_from_slice(head.bytes),
        payload: Bytes::copy_from_slice(reader.take("OXM payload", head.payload)?),
    })
}

/// The fields of a match.
#[inline]
pub(crate) fn put_fields(out: &mut Writer<'_>, flow_match: &Match) {
    match flow_match.fixed_bytes() {
        Some(bytes) => bytes.put(out),
        None => {
            for known in flow_match.known() {
                put_field(out, known.field, known.value, known.mask);
            }
        }
    }
    for raw in flow_match.others() {
        out.bytes(&raw.header);
        out.bytes(&raw.payload);
        if raw.payload.len() > 255 {
            out.fail(EncodeError::TooLong {
                what: "match field",
                length: raw.payload.len(),
            });
        }
    }
}

/// `ofp_match`: type 1, length, fields, padding to 8 bytes which the length does not count.
#[inline]
pub(crate) fn put_match(out: &mut Writer<'_>, flow_match: &Match) {
    let start = out.position();
    out.u16(OXM_MATCH);
    out.u16(0);
    put_fields(out, flow_match);
    out.set_length("match", start.saturating_add(2), start);
    out.pad8(start);
}

/// `ofp_match`.
#[inline]
pub(crate) fn read_match(reader: &mut Reader<'_>, context: &Context) -> Result<Match, DecodeError> {
    let mut flow_match = Match::any();
    read_match_into(&mut flow_match, reader, context)?;
    Ok(flow_match)
}

/// `ofp_match`, put where it stays: to move a match that was just written costs more than to read
/// it.
#[inline]
pub(crate) fn read_match_into(
    flow_match: &mut Match,
    reader: &mut Reader<'_>,
    context: &Context,
) -> Result<(), DecodeError> {
    let kind = reader.u16("match type")?;
    if kind != OXM_MATCH {
        return Err(reader.bad_value("match type", kind));
    }
    let length = reader.u16("match length")?;
    let mut fields = reader.element("match", length, 4)?;
    read_fields_into(flow_match, &mut fields, context)
}

/// Fields until the end of `fields`.
pub(crate) fn read_fields(
    fields: &mut Reader<'_>,
    context: &Context,
) -> Result<Match, DecodeError> {
    let mut flow_match = Match::any();
    read_fields_into(&mut flow_match, fields, context)?;
    Ok(flow_match)
}

#[inline]
fn read_fields_into(
    flow_match: &mut Match,
    fields: &mut Reader<'_>,
    context: &Context,
) -> Result<(), DecodeError> {
    let (plain, last) = packed::plain_prefix(fields.peek());
    flow_match.set_plain(fields.take("match fields", plain)?, last);
    read_others(flow_match, fields, context)
}

/// Fields until the end of `fields`, one after the other.
fn read_others(
    flow_match: &mut Match,
    fields: &mut Reader<'_>,
    context: &Context,
) -> Result<(), DecodeError> {
    while !fields.is_empty() {
        let at = *fields;
        flow_match
            .insert_new(read_field(fields, context)?)
            .map_err(|kind| at.error(kind))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Header, value and mask, whatever these say.
    fn field_bytes(field: Field, value: u128, mask: Option<u128>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut out = Writer::new(&mut bytes, &Context::UNMAPPED);
        let width = value_bytes(field, &Context::UNMAPPED);
        put_header(
            &mut out,
            field,
            mask.is_some(),
            width << u8::from(mask.is_some()),
        );
        out.number(value, width.into());
        if let Some(mask) = mask {
            out.number(mask, width.into());
        }
        out.keep();
        bytes
    }

    fn one_by_one(bytes: &[u8]) -> Result<Match, DecodeError> {
        let mut flow_match = Match::any();
        let fields = &mut Reader::new(bytes, 0);
        read_others(&mut flow_match, fields, &Context::UNMAPPED)?;
        Ok(flow_match)
    }

    fn at_once(bytes: &[u8]) -> Result<Match, DecodeError> {
        read_fields(&mut Reader::new(bytes, 0), &Context::UNMAPPED)
    }

    #[test]
    fn fields_read_at_once_and_one_by_one_are_the_same_match() {
        let numbers = [0u128, 1, 5, 0x80, 0x1005, 0xffff, 0xffff_ffff, u128::MAX];
        for field in Field::all() {
            // A field that comes before all others, and one that comes after.
            let before = field_bytes(Field::DpHash, 7, None);
            let after = field_bytes(Field::CtTpDst, 7, Some(0xff));
            for value in numbers {
                let masks = numbers.map(Some).into_iter().chain([None]);
                for mask in masks {
                    let bytes = field_bytes(field, value, mask);
                    let cut = bytes.split_at(bytes.len() - 1).0.to_vec();
                    for bytes in [
                        [&before, &bytes, &after].map(Vec::as_slice).concat(),
                        [&after, &bytes, &before].map(Vec::as_slice).concat(),
                        [&bytes, &bytes].map(Vec::as_slice).concat(),
                        [&before, &cut].map(Vec::as_slice).concat(),
                        bytes,
                    ] {
                        let expected = one_by_one(&bytes);
                        assert_eq!(at_once(&bytes), expected, "{bytes:02x?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_canonical_match_is_read_at_once() {
        let bytes = [
            field_bytes(Field::EthType, 0x0800, None),
            field_bytes(Field::Ipv4Dst, 0x0a00_0000, Some(0xff00_0000)),
            field_bytes(Field::IpProto, 6, None),
            field_bytes(Field::TcpFlags, 2, Some(0x12)),
            field_bytes(Field::Reg3, 7, None),
            field_bytes(Field::CtLabel, 1, Some(3)),
        ]
        .concat();
        let (length, last) = packed::plain_prefix(&bytes);
        assert_eq!((length, last), (bytes.len(), Some(Field::CtLabel)));
    }
}
