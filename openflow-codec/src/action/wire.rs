// SPDX-License-Identifier: Apache-2.0
//! Actions as bytes (OpenFlow 1.5.1 section 7.2.6, OVS `lib/ofp-actions.c`).
//!
//! ```text
//!  0                 2                 4                 8                 10
//!  +-----------------+-----------------+-----------------+-----------------+---
//!  |      type       |     length      | vendor (0xffff) |     subtype     | ...
//!  +-----------------+-----------------+-----------------+-----------------+---
//! ```

use bytes::Bytes;

use super::conntrack::{put_ct, read_ct};
use super::other::{put_other, read_nicira, read_standard};
use super::{Action, Subfield, frequent};
use crate::context::Context;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::ids::{GroupId, MeterId, PortNo, TableId};
use crate::numbers::{nxast, ofpat};
use crate::oxm::{self, Field, MatchField};
use crate::reader::Reader;
use crate::writer::Writer;

pub(super) const VENDOR: u16 = 0xffff;
pub(super) const NICIRA: u32 = 0x0000_2320;
/// Bytes of actions that are worth counting.
const MANY: usize = 512;
/// Actions nest in `ct` and `clone`; OVS itself stops at far fewer.
const MAX_DEPTH: usize = 16;

/// Appends actions, one after the other.
#[inline]
pub(crate) fn put_actions(out: &mut Writer<'_>, actions: &[Action]) {
    for action in actions {
        if !frequent::put(out, action) {
            put_action(out, action);
        }
    }
}

/// A standard action of 8 bytes with a 32-bit argument.
pub(super) fn put_number(out: &mut Writer<'_>, kind: u16, argument: u32) {
    out.words([u64::from(kind) << 48 | 8 << 32 | u64::from(argument)]);
}

/// Starts a Nicira action; [`finish`] ends it.
#[inline]
pub(super) fn put_nicira(out: &mut Writer<'_>, subtype: u16) -> usize {
    let start = out.position();
    out.words([u64::from(VENDOR) << 48 | u64::from(NICIRA)]);
    out.u16(subtype);
    start
}

/// Pads an action to 8 bytes and fills in its length.
#[inline]
pub(super) fn finish(out: &mut Writer<'_>, start: usize) {
    out.pad8(start);
    out.set_length("action", start.saturating_add(2), start);
}

pub(super) fn put_action(out: &mut Writer<'_>, action: &Action) {
    match action {
        Action::Output { port, max_len } => {
            out.u16(ofpat::OUTPUT);
            out.u16(16);
            out.u32(port.0);
            out.u16(*max_len);
            out.zeros(6);
        }
        Action::Group(group) => put_number(out, ofpat::GROUP, group.0),
        Action::SetField { field, value, mask } => {
            let start = out.position();
            out.u16(ofpat::SET_FIELD);
            out.u16(0);
            oxm::put_field(out, *field, *value, *mask);
            finish(out, start);
        }
        Action::CopyField { src, dst } => {
            let start = out.position();
            out.u16(ofpat::COPY_FIELD);
            out.u16(0);
            out.u16(src.bits);
            out.u16(src.offset);
            out.u16(dst.offset);
            out.u16(0);
            oxm::put_field_id(out, src.field);
            oxm::put_field_id(out, dst.field);
            finish(out, start);
        }
        Action::DecNwTtl => put_number(out, ofpat::DEC_NW_TTL, 0),
        Action::SetQueue(queue) => put_number(out, ofpat::SET_QUEUE, *queue),
        Action::Meter(meter) => put_number(out, ofpat::METER, meter.0),
        Action::Resubmit { port, table, ct } => {
            let subtype = if *ct {
                nxast::RESUBMIT_TABLE_CT
            } else {
                nxast::RESUBMIT_TABLE
            };
            let start = put_nicira(out, subtype);
            out.u16(port_to_16(*port));
            out.u8(table.0);
            finish(out, start);
        }
        Action::OutputReg { src, max_len } => {
            let start = put_nicira(out, nxast::OUTPUT_REG);
            out.u16(offset_and_bits(*src));
            oxm::put_field_id(out, src.field);
            out.u16(*max_len);
            finish(out, start);
        }
        Action::Ct(ct) => {
            let start = put_nicira(out, nxast::CT);
            put_ct(out, ct);
            finish(out, start);
        }
        Action::CtClear => {
            let start = put_nicira(out, nxast::CT_CLEAR);
            finish(out, start);
        }
        Action::Other(action) => put_other(out, action),
        Action::Unknown(bytes) => out.bytes(bytes),
    }
}

/// Reads actions until the end of `reader`.
#[inline]
pub(crate) fn read_actions(
    reader: &mut Reader<'_>,
    context: &Context,
) -> Result<Vec<Action>, DecodeError> {
    read_nested(reader, context, 0)
}

pub(super) fn read_nested(
    reader: &mut Reader<'_>,
    context: &Context,
    depth: usize,
) -> Result<Vec<Action>, DecodeError> {
    if depth > MAX_DEPTH {
        return Err(reader.error(DecodeErrorKind::TooDeep(MAX_DEPTH)));
    }
    let mut actions = Vec::with_capacity(match reader.remaining() {
        // Most actions take 16 or 24 bytes.
        few @ 0..=MANY if depth == 0 => few / 16,
        // An estimate would be far too much for a nested list that has just one long element.
        _ => reader.elements(2, 8),
    });
    while !reader.is_empty() {
        if !frequent::read(&mut actions, reader, depth < MAX_DEPTH) {
            actions.push(read_action(reader, context, depth)?);
        }
    }
    Ok(actions)
}

pub(super) fn read_action(
    reader: &mut Reader<'_>,
    context: &Context,
    depth: usize,
) -> Result<Action, DecodeError> {
    let start = *reader;
    let kind = reader.u16("action type")?;
    let length = reader.u16("action length")?;
    if length < 8 || length % 8 != 0 {
        return Err(start.bad_length("action", usize::from(length)));
    }
    let mut body = reader.sub("action", usize::from(length).saturating_sub(4))?;
    let known = match kind {
        ofpat::OUTPUT => {
            let port = PortNo(body.u32("output port")?);
            let max_len = body.u16("output max_len")?;
            Some(Action::Output { port, max_len })
        }
        ofpat::GROUP => Some(Action::Group(GroupId(body.u32("group")?))),
        ofpat::SET_FIELD => read_set_field(&mut body, context)?,
        ofpat::COPY_FIELD => read_copy_field(&mut body)?,
        ofpat::DEC_NW_TTL => Some(Action::DecNwTtl),
        ofpat::SET_QUEUE => Some(Action::SetQueue(body.u32("queue")?)),
        ofpat::METER => Some(Action::Meter(MeterId(body.u32("meter")?))),
        VENDOR => read_vendor(&mut body, context, depth)?,
        kind => read_standard(kind, &mut body)?.map(Action::from),
    };
    match known {
        Some(action) => Ok(action),
        None => {
            let mut whole = start;
            let bytes = whole.take("action", usize::from(length))?;
            Ok(Action::Unknown(Bytes::copy_from_slice(bytes)))
        }
    }
}

fn read_set_field(body: &mut Reader<'_>, context: &Context) -> Result<Option<Action>, DecodeError> {
    let field = match oxm::read_field(body, context)? {
        MatchField::Known { field, value, mask } => Some(Action::SetField { field, value, mask }),
        MatchField::Raw { .. } => None,
    };
    Ok(field)
}

fn read_copy_field(body: &mut Reader<'_>) -> Result<Option<Action>, DecodeError> {
    let bits = body.u16("copy_field bits")?;
    let from = body.u16("copy_field offset")?;
    let to = body.u16("copy_field offset")?;
    body.skip("copy_field padding", 2)?;
    let src = oxm::read_field_id(body)?;
    let dst = oxm::read_field_id(body)?;
    let (Some(src), Some(dst)) = (src, dst) else {
        return Ok(None);
    };
    Ok(Some(Action::CopyField {
        src: subfield(body, src, from, bits)?,
        dst: subfield(body, dst, to, bits)?,
    }))
}

fn read_vendor(
    body: &mut Reader<'_>,
    context: &Context,
    depth: usize,
) -> Result<Option<Action>, DecodeError> {
    if body.u32("vendor")? != NICIRA {
        return Ok(None);
    }
    let subtype = body.u16("subtype")?;
    let action = match subtype {
        nxast::RESUBMIT_TABLE | nxast::RESUBMIT_TABLE_CT => Action::Resubmit {
            port: port_from_16(body.u16("resubmit port")?),
            table: TableId(body.u8("resubmit table")?),
            ct: subtype == nxast::RESUBMIT_TABLE_CT,
        },
        nxast::RESUBMIT => Action::Resubmit {
            port: port_from_16(body.u16("resubmit port")?),
            table: TableId(0xff),
            ct: false,
        },
        nxast::OUTPUT_REG => {
            let bits = body.u16("output_reg bits")?;
            let Some(field) = oxm::read_field_id(body)? else {
                return Ok(None);
            };
            let src = subfield_from_16(body, field, bits)?;
            let max_len = body.u16("output_reg max_len")?;
            Action::OutputReg { src, max_len }
        }
        nxast::OUTPUT_REG2 => {
            let bits = body.u16("output_reg bits")?;
            let max_len = body.u16("output_reg max_len")?;
            let Some(field) = oxm::read_field_id(body)? else {
                return Ok(None);
            };
            let src = subfield_from_16(body, field, bits)?;
            Action::OutputReg { src, max_len }
        }
        nxast::CT => return read_ct(body, context, depth),
        nxast::CT_CLEAR => Action::CtClear,
        _ => return Ok(read_nicira(subtype, body, context, depth)?.map(Action::from)),
    };
    Ok(Some(action))
}

/// Checks that a subfield lies within its field.
pub(super) fn subfield(
    reader: &Reader<'_>,
    field: Field,
    offset: u16,
    bits: u16,
) -> Result<Subfield, DecodeError> {
    if bits == 0
        || offset
            .checked_add(bits)
            .is_none_or(|end| end > field.info().bits)
    {
        return Err(reader.bad_value(field.info().name, u32::from(offset) << 16 | u32::from(bits)));
    }
    Ok(Subfield {
        field,
        offset,
        bits,
    })
}

/// `ofs_nbits`: offset in the upper 10 bits, number of bits less one in the lower 6.
#[inline]
pub(super) fn offset_and_bits(subfield: Subfield) -> u16 {
    subfield.offset << 6 | subfield.bits.saturating_sub(1) & 0x3f
}

/// Reverses [`offset_and_bits`].
pub(super) fn subfield_from_16(
    reader: &Reader<'_>,
    field: Field,
    offset_and_bits: u16,
) -> Result<Subfield, DecodeError> {
    subfield(
        reader,
        field,
        offset_and_bits >> 6,
        (offset_and_bits & 0x3f).saturating_add(1),
    )
}

/// Nicira actions have 16-bit ports; the reserved ones are the low halves of the 32-bit ones.
#[inline]
pub(super) const fn port_to_16(port: PortNo) -> u16 {
    port.0 as u16
}

/// Reverses [`port_to_16`].
#[inline]
pub(crate) const fn port_from_16(port: u16) -> PortNo {
    if port >= 0xff00 {
        PortNo(0xffff_0000 | port as u32)
    } else {
        PortNo(port as u32)
    }
}
