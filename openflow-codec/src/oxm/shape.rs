// SPDX-License-Identifier: Apache-2.0
//! What reading and writing needs to know of a field, in one small record.

use super::registry::{FIELDS, Field};

/// Bytes of a `tun_metadata` where nothing says how wide it is.
pub(super) const UNMAPPED_BYTES: u8 = 16;

/// How the values of a field stand on the wire.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// OXM header of an exact match, with its length.
    pub(super) header: u32,
    /// OXM header of a masked match.
    pub(super) masked_header: u32,
    pub(super) field: Field,
    /// Bytes of a value; 16 of a `tun_metadata`.
    pub(super) bytes: u8,
    /// Whether all bits of these bytes are bits of the field.
    pub(super) whole: bool,
    /// Whether these bytes are the same on every bridge, and no exact match on the field says
    /// nothing, or what other fields say.
    pub(super) plain: bool,
}

impl Shape {
    #[inline]
    pub(super) const fn of(field: Field) -> Self {
        #[expect(
            clippy::indexing_slicing,
            reason = "the index is a discriminant of Field"
        )]
        SHAPES[field as usize]
    }

    /// The field that this header, masked or not, is of.
    #[inline]
    pub(super) fn of_header(header: u32) -> Option<Self> {
        Field::from_wire((header >> 16) as u16, (header >> 9) as u8 & 0x7f).map(Self::of)
    }

    /// The only plain field whose `header` or `masked_header` this can be; it may be neither.
    #[inline]
    pub(super) const fn plain_of_header(header: u32) -> Self {
        #[expect(
            clippy::indexing_slicing,
            reason = "the index has as many bits as the table needs"
        )]
        PLAIN[plain_index(header)]
    }
}

/// Two bits tell the classes of plain fields apart, which the table itself asserts; numbers are seven.
const fn plain_index(header: u32) -> usize {
    (header >> 31 << 8 | (header >> 16 & 1) << 7 | header >> 9 & 0x7f) as usize
}

/// Separate from the registry because it is read for every field of every message; a constant and
/// no static so that what builds a match of certain fields knows their records.
const SHAPES: &[Shape; FIELDS.len()] = &shapes();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where a wrong index does not compile"
)]
const fn shapes() -> [Shape; FIELDS.len()] {
    let mut shapes = [shape(Field::PacketType); FIELDS.len()];
    let mut index = 0;
    while index < FIELDS.len() {
        shapes[index] = shape(FIELDS[index].field);
        index += 1;
    }
    shapes
}

/// Plain fields by header, so that one look says all.
static PLAIN: [Shape; 512] = plain();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where a wrong index does not compile"
)]
const fn plain() -> [Shape; 512] {
    let none = Shape {
        header: u32::MAX,
        masked_header: u32::MAX,
        ..shape(Field::PacketType)
    };
    let mut plain = [none; 512];
    // A peer can send that header too; where it is looked up stands one that is looked up elsewhere.
    plain[plain_index(u32::MAX)].header = 0;
    plain[plain_index(u32::MAX)].masked_header = 0;
    let mut index = 0;
    while index < SHAPES.len() {
        let shape = shape(FIELDS[index].field);
        if shape.plain {
            let free = plain[plain_index(shape.header)].header;
            assert!(free == u32::MAX || free == 0);
            plain[plain_index(shape.header)] = shape;
        }
        index += 1;
    }
    plain
}

const fn shape(field: Field) -> Shape {
    let info = field.info();
    let bytes = match field.wire_bytes() {
        Some(bytes) => bytes,
        None => UNMAPPED_BYTES,
    };
    let header = (info.class.number() as u32) << 16 | (info.number as u32) << 9 | bytes as u32;
    Shape {
        header,
        masked_header: header + 0x100 + bytes as u32,
        field,
        bytes,
        whole: info.bits == 8 * bytes as u16,
        plain: field.register_parts() == 1
            && field.tun_metadata_index().is_none()
            && !matches!(field, Field::PacketType | Field::NxmInPort | Field::VlanTci),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_header_is_that_of_a_place_where_no_field_is() {
        let fields: Vec<u32> = Field::all().map(|field| shape(field).header).collect();
        for index in 0..512u32 {
            // Every header that is looked up there, as far as that depends on these bits.
            let header = (index >> 8) << 31 | (index >> 7 & 1) << 16 | (index & 0x7f) << 9;
            let found = Shape::plain_of_header(header);
            let empty = !fields.contains(&found.header);
            assert!(
                !empty || plain_index(found.header) != index as usize,
                "{index}"
            );
        }
    }
}
