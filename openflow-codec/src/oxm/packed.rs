// SPDX-License-Identifier: Apache-2.0
//! Fields of the registry as bytes: header, value and mask of each, as a bridge that maps no
//! `tun_metadata` has them on the wire.

use std::ops::Range;

use super::match_field::{Known, width_mask};
use super::shape::Shape;
use super::{Field, small_bytes::SmallBytes};

const HEADER: usize = 4;
/// Most bytes of a field, and of one whose values are 8 bytes.
const WIDEST: usize = HEADER + 2 * 16;
const NARROW: usize = HEADER + 2 * 8;

/// Reads packed fields one after the other.
#[derive(Clone)]
pub(super) struct Packed<'a> {
    rest: &'a [u8],
}

impl<'a> Packed<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl Iterator for Packed<'_> {
    type Item = Known;

    fn next(&mut self) -> Option<Known> {
        let (shape, masked, payload) = head(self.rest)?;
        let (value, after) = payload.split_at_checked(usize::from(shape.bytes))?;
        let (mask, after) = match masked {
            true => {
                let (mask, after) = after.split_at_checked(usize::from(shape.bytes))?;
                (Some(number(mask)), after)
            }
            false => (None, after),
        };
        self.rest = after;
        Some(Known {
            field: shape.field,
            value: number(value),
            mask,
        })
    }
}

/// The field in front of `bytes`, whether it has a mask, and what follows its header.
#[inline]
fn head(bytes: &[u8]) -> Option<(Shape, bool, &[u8])> {
    let (header, payload) = bytes.split_first_chunk::<HEADER>()?;
    let header = u32::from_be_bytes(*header);
    Some((Shape::of_header(header)?, header & 0x100 != 0, payload))
}

fn number(bytes: &[u8]) -> u128 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// The bytes of `wanted`, none if it is not there: then where it belongs.
pub(super) fn position(bytes: &[u8], wanted: Field) -> Range<usize> {
    let mut rest = bytes;
    while let Some((shape, masked, payload)) = head(rest) {
        let at = bytes.len().saturating_sub(rest.len());
        let after = payload.get(usize::from(shape.bytes) << u8::from(masked)..);
        rest = after.unwrap_or_default();
        if shape.field >= wanted {
            let found = shape.field == wanted;
            let end = bytes.len().saturating_sub(rest.len());
            return at..if found { end } else { at };
        }
    }
    bytes.len()..bytes.len()
}

/// Appends a plain field of at most 8 bytes with those bits of `value` and `mask` that it has; says
/// whether it is such a field and the mask has any bit.
#[inline(always)]
pub(super) fn push(bytes: &mut SmallBytes, field: Field, value: u128, mask: Option<u128>) -> bool {
    let shape = Shape::of(field);
    let full = width_mask(field) as u64;
    let mask = mask.map(|mask| mask as u64 & full);
    if !shape.plain || shape.bytes > 8 || mask == Some(0) {
        return false;
    }
    let left = 64 - 8 * u32::from(shape.bytes);
    match mask.filter(|mask| *mask != full) {
        None => bytes.append(|room: &mut [u8; HEADER + 8]| {
            set(room, 0, shape.header.to_be_bytes());
            set(room, HEADER, ((value as u64 & full) << left).to_be_bytes());
            HEADER as u8 + shape.bytes
        }),
        Some(mask) => bytes.append(|room: &mut [u8; NARROW]| {
            let second = HEADER + usize::from(shape.bytes);
            set(room, 0, shape.masked_header.to_be_bytes());
            set(room, HEADER, ((value as u64 & mask) << left).to_be_bytes());
            set(room, second, (mask << left).to_be_bytes());
            HEADER as u8 + 2 * shape.bytes
        }),
    }
    true
}

/// Puts a field in the place of the bytes in `range`.
pub(super) fn splice(bytes: &mut SmallBytes, range: Range<usize>, new: Known) {
    let shape = Shape::of(new.field);
    let left = 128 - 8 * u32::from(shape.bytes);
    let second = HEADER + usize::from(shape.bytes);
    let mut room = [0; WIDEST];
    let (header, end) = match new.mask {
        None => (shape.header, second),
        Some(_) => (shape.masked_header, second + usize::from(shape.bytes)),
    };
    set(&mut room, 0, header.to_be_bytes());
    set(&mut room, HEADER, (new.value << left).to_be_bytes());
    if let Some(mask) = new.mask {
        set(&mut room, second, (mask << left).to_be_bytes());
    }
    bytes.splice(range, room.get(..end).unwrap_or(&room));
}

#[inline(always)]
fn set<const N: usize>(room: &mut [u8], at: usize, bytes: [u8; N]) {
    if let Some(slot) = room.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *slot = bytes;
    }
}

/// How many of these bytes from a peer are plain fields as this module would write them, and the
/// last of these fields.
///
/// The next field is looked for where the header says, not where the field's width says: that need
/// not wait for the table to be read.
#[inline]
pub(super) fn plain_prefix(bytes: &[u8]) -> (usize, Option<Field>) {
    let mut rest = bytes;
    let mut last = None;
    // One more than the number of `last`.
    let mut least = 0;
    while let Some((header, after)) = rest.split_first_chunk::<HEADER>() {
        let [_, _, _, length] = *header;
        let Some((payload, after)) = after.split_at_checked(length.into()) else {
            break;
        };
        let header = u32::from_be_bytes(*header);
        let shape = Shape::plain_of_header(header);
        let whole = header == shape.header && shape.whole;
        if (shape.field as u8) < least || !(whole || is_canonical(shape, header, payload)) {
            break;
        }
        rest = after;
        least = (shape.field as u8).saturating_add(1);
        last = Some(shape.field);
    }
    (bytes.len().saturating_sub(rest.len()), last)
}

/// Whether header, value and mask are as [`push`] and [`splice`] write them.
#[inline]
fn is_canonical(shape: Shape, header: u32, payload: &[u8]) -> bool {
    if let [a, b, c, d, e, f, g, h] = *payload
        && header == shape.masked_header
        && shape.whole
    {
        let value = u32::from_be_bytes([a, b, c, d]);
        let mask = u32::from_be_bytes([e, f, g, h]);
        return mask != 0 && mask != u32::MAX && value & !mask == 0;
    }
    is_canonical_of_any_width(shape, header, payload)
}

fn is_canonical_of_any_width(shape: Shape, header: u32, payload: &[u8]) -> bool {
    let full = width_mask(shape.field);
    if header == shape.header {
        return number(payload) & !full == 0;
    }
    let (value, mask) = payload.split_at(payload.len() / 2);
    let (value, mask) = (number(value), number(mask));
    let canonical = mask != 0 && mask != full && mask & !full == 0 && value & !mask == 0;
    header == shape.masked_header && canonical
}

/// Header and left-aligned value and mask of a plain field, if these fit 8 bytes. A mask of all bits
/// is an exact match.
#[inline]
pub(crate) fn short(field: Field, value: u128, mask: Option<u128>) -> Option<(u32, u64)> {
    let shape = Shape::of(field);
    let full = width_mask(field) as u64;
    let bits = 8 * u32::from(shape.bytes);
    match mask
        .map(|mask| mask as u64)
        .filter(|mask| mask & full != full)
    {
        None if shape.plain && bits <= 64 => Some((shape.header, (value as u64) << (64 - bits))),
        Some(mask) if shape.plain && bits <= 32 => {
            let low = (1u64 << bits) - 1;
            let both = (value as u64 & low) << bits | mask & low;
            Some((shape.masked_header, both << (64 - 2 * bits)))
        }
        _ => None,
    }
}

/// Reverses [`short`], of a field all of whose bits can be used, where value and mask are canonical.
#[inline]
pub(crate) fn read_short(header: u32, payload: u64) -> Option<(Field, u64, Option<u64>)> {
    let shape = Shape::plain_of_header(header);
    let bits = 8 * u32::from(shape.bytes);
    if !shape.whole {
        return None;
    }
    if header == shape.header && bits <= 64 {
        return Some((shape.field, payload >> (64 - bits), None));
    }
    if header != shape.masked_header || bits > 32 {
        return None;
    }
    let low = (1u64 << bits) - 1;
    let both = payload >> (64 - 2 * bits);
    let (value, mask) = (both >> bits, both & low);
    let canonical = mask != low && value & !mask == 0;
    canonical.then_some((shape.field, value, Some(mask)))
}
