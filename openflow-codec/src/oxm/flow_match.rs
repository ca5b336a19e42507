// SPDX-License-Identifier: Apache-2.0
//! A match: fields in canonical order, each at most once.
//!
//! `reg0`..`reg15` also exist as eight 64-bit `xreg`s and four 128-bit `xxreg`s. A match holds them
//! as 32-bit registers only: whoever says `xxreg1` gets `reg4`..`reg7`, of those the ones whose mask
//! is not zero. OVS prints them so, and sends them as `xreg`s, so a match that was written and the
//! same match read back are equal.

use std::cmp::Ordering;
use std::iter;

use bytes::Bytes;

use super::Field;
use crate::action::port_from_16;

/// One field of a match.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchField {
    /// A field of the registry whose value fits 128 bits.
    ///
    /// `value` and `mask` are right-aligned numbers in host order; `mask: None` is an exact match.
    /// Invariant: no bit of `value` is set outside the mask and the field's width.
    Known {
        /// Which field.
        field: Field,
        /// What it must be.
        value: u128,
        /// Which bits count.
        mask: Option<u128>,
    },
    /// A field that is not in the registry, or wider than 128 bits: kept byte for byte.
    Raw {
        /// The OXM header: 4 bytes, or 8 for an experimenter field.
        header: Bytes,
        /// Value, then mask if the header says so.
        payload: Bytes,
    },
}

/// A flow match (`ofp_match`): sorted by [`Field`], each field at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    fields: Vec<MatchField>,
}

impl Match {
    /// Matches every packet.
    pub const fn any() -> Self {
        Self { fields: Vec::new() }
    }

    /// Adds an exact match on `field`; a second match on the same field replaces the first.
    /// Bits beyond the field's width are cut off.
    #[must_use]
    #[inline]
    pub fn with(mut self, field: Field, value: impl Into<u128>) -> Self {
        let value = value.into() & width_mask(field);
        if self.push(field, value, None) {
            return self;
        }
        self.insert(MatchField::Known {
            field,
            value,
            mask: None,
        })
    }

    /// Adds a masked match; a mask of all ones becomes an exact match, a mask of zero no match.
    #[must_use]
    #[inline]
    pub fn with_masked(
        mut self,
        field: Field,
        value: impl Into<u128>,
        mask: impl Into<u128>,
    ) -> Self {
        let full = width_mask(field);
        let mask = mask.into() & full;
        if mask == 0 {
            return self;
        }
        let value = value.into() & mask;
        let mask = (mask != full || field.info().bits > 128).then_some(mask);
        if self.push(field, value, mask) {
            return self;
        }
        self.insert(MatchField::Known { field, value, mask })
    }

    /// Adds a field in its place in the canonical order; a second match on the same field (or
    /// register) replaces the first.
    #[must_use]
    pub fn insert(mut self, new: MatchField) -> Self {
        for part in canonical(new) {
            self.place(part);
        }
        self
    }

    /// Adds a plain field that comes after all the others, or says that it is not that simple. Most
    /// fields of most matches come in order.
    ///
    /// `once_with` makes the field where it stays: a `push` makes it elsewhere and copies it, and
    /// waiting for what was just written costs more than everything else here.
    #[inline]
    pub(super) fn push(&mut self, field: Field, value: u128, mask: Option<u128>) -> bool {
        let after_last = match self.fields.last() {
            None => true,
            Some(MatchField::Known { field: last, .. }) => (*last as u8) < field as u8,
            Some(MatchField::Raw { .. }) => false,
        };
        let simple = after_last && mask != Some(0) && is_canonical(field);
        if simple {
            let new = || MatchField::Known { field, value, mask };
            self.fields.extend(iter::once_with(new));
        }
        simple
    }

    fn place(&mut self, new: MatchField) {
        if says_nothing(&new) {
            return;
        }
        match self.position(&new) {
            Ok(at) => {
                if let Some(slot) = self.fields.get_mut(at) {
                    *slot = new;
                }
            }
            Err(at) => self.fields.insert(at, new),
        }
    }

    fn position(&self, new: &MatchField) -> Result<usize, usize> {
        if self
            .fields
            .last()
            .is_none_or(|last| order(last, new).is_lt())
        {
            return Err(self.fields.len());
        }
        self.fields.binary_search_by(|old| order(old, new))
    }

    /// Adds a field that came from a peer: refused if it is already there.
    pub(crate) fn insert_new(&mut self, new: MatchField) -> Result<(), &'static str> {
        canonical(new).try_for_each(|part| self.place_new(part))
    }

    fn place_new(&mut self, new: MatchField) -> Result<(), &'static str> {
        if says_nothing(&new) {
            return Ok(());
        }
        match self.position(&new) {
            Ok(_) => Err(match new {
                MatchField::Known { field, .. } => field.info().name,
                MatchField::Raw { .. } => "unknown",
            }),
            Err(at) => {
                self.fields.insert(at, new);
                Ok(())
            }
        }
    }

    /// The fields, in canonical order.
    pub fn fields(&self) -> &[MatchField] {
        &self.fields
    }

    /// Whether every packet matches.
    pub const fn is_any(&self) -> bool {
        self.fields.is_empty()
    }

    /// Room for `count` fields.
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self {
            fields: Vec::with_capacity(count),
        }
    }

    /// Value and mask of `field`, if it is matched. An `xreg` or `xxreg` is put together from its
    /// registers.
    pub fn field(&self, wanted: Field) -> Option<(u128, Option<u128>)> {
        let parts = wanted.register_parts();
        if parts <= 1 {
            return self.fields.iter().find_map(|f| match f {
                MatchField::Known { field, value, mask } if *field == wanted => {
                    Some((*value, *mask))
                }
                _ => None,
            });
        }
        let (value, mask) = (0..parts).fold((0, 0), |(value, mask), part| {
            let (new, new_mask) = wanted
                .register_part(part)
                .and_then(|register| self.field(register))
                .map_or((0, 0), |(v, m)| (v, m.unwrap_or(ALL_OF_A_REGISTER)));
            (value << 32 | new, mask << 32 | new_mask)
        });
        (mask != 0).then(|| (value, (mask != width_mask(wanted)).then_some(mask)))
    }
}

/// A mask of no bits, or `packet_type=(0,0)`: Ethernet, which is all that a bridge without
/// packet-type-aware ports has. OVS leaves the one out, and adds or leaves out the other as it sees
/// fit, so neither is part of a canonical match.
fn says_nothing(field: &MatchField) -> bool {
    matches!(
        field,
        MatchField::Known { mask: Some(0), .. }
            | MatchField::Known {
                field: Field::PacketType,
                value: 0,
                mask: None,
            }
    )
}

const ALL_OF_A_REGISTER: u128 = 0xffff_ffff;

/// The canonical order: known fields in the order of the registry, then the others by their bytes.
fn order(left: &MatchField, right: &MatchField) -> Ordering {
    match (left, right) {
        (MatchField::Known { field: left, .. }, MatchField::Known { field: right, .. }) => {
            left.cmp(right)
        }
        (MatchField::Known { .. }, MatchField::Raw { .. }) => Ordering::Less,
        (MatchField::Raw { .. }, MatchField::Known { .. }) => Ordering::Greater,
        (MatchField::Raw { header: left, .. }, MatchField::Raw { header: right, .. }) => {
            // The `has mask` bit does not make it another field.
            let key = |header: &Bytes| {
                let mut key = header.to_vec();
                if let Some(byte) = key.get_mut(2) {
                    *byte &= 0xfe;
                }
                if let Some(length) = key.get_mut(3) {
                    *length = 0;
                }
                key
            };
            key(left).cmp(&key(right))
        }
    }
}

/// Whether [`canonical`] and [`says_nothing`] leave every exact or masked match on `field` alone.
const fn is_canonical(field: Field) -> bool {
    field.register_parts() == 1
        && !matches!(field, Field::PacketType | Field::NxmInPort | Field::VlanTci)
}

/// The canonical fields that say the same: `xreg` and `xxreg` become registers, the two fields that
/// only NXM has become the ones that OXM has.
fn canonical(new: MatchField) -> impl Iterator<Item = MatchField> {
    let parts = match new {
        MatchField::Known {
            field: Field::NxmInPort,
            value,
            ..
        } => {
            let port = port_from_16(value as u16);
            [Some(exact(Field::InPort, port.0.into())), None, None, None]
        }
        MatchField::Known {
            field: Field::VlanTci,
            value,
            mask,
        } => {
            let mask = mask.unwrap_or(0xffff);
            let vid = MatchField::Known {
                field: Field::VlanVid,
                value: value & 0x1fff,
                mask: (mask & 0x1fff != 0x1fff).then_some(mask & 0x1fff),
            };
            // A priority can be matched whole, and only of a packet with a tag.
            let tagged = mask & value & 0x1000 != 0 && mask & 0xe000 == 0xe000;
            let pcp = tagged.then(|| exact(Field::VlanPcp, value >> 13));
            [Some(vid), pcp, None, None]
        }
        MatchField::Known { field, value, mask } if field.register_parts() > 1 => {
            [0, 1, 2, 3].map(|part| register_part(field, part, value, mask))
        }
        new => [Some(new), None, None, None],
    };
    parts.into_iter().flatten()
}

const fn exact(field: Field, value: u128) -> MatchField {
    MatchField::Known {
        field,
        value,
        mask: None,
    }
}

/// What a match on a wide register says of its 32-bit register number `part`, the most significant
/// one first; `None` if it says nothing.
fn register_part(field: Field, part: u8, value: u128, mask: Option<u128>) -> Option<MatchField> {
    let shift = 32 * u32::from(field.register_parts().checked_sub(part.checked_add(1)?)?);
    let bits = |number: u128| (number >> shift) as u32;
    let mask = bits(mask.unwrap_or(u128::MAX));
    (mask != 0).then_some(MatchField::Known {
        field: field.register_part(part)?,
        value: u128::from(bits(value) & mask),
        mask: (mask != u32::MAX).then_some(u128::from(mask)),
    })
}

/// All bits of `field`, right-aligned; all 128 for variable-width fields.
pub(crate) fn width_mask(field: Field) -> u128 {
    match field.info().bits {
        bits @ 0..128 => (1u128 << bits) - 1,
        _ => u128::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn building_a_match_in_order_makes_the_fields_that_inserting_makes() {
        for field in Field::all() {
            for value in [0u128, 1, 0x1005, u128::MAX] {
                let value = value & width_mask(field);
                let mask = None;
                let inserted = Match::any().insert(MatchField::Known { field, value, mask });
                assert_eq!(Match::any().with(field, value), inserted, "{field:?}");
            }
        }
    }

    #[test]
    fn wide_registers_are_the_registers_they_are_made_of() {
        let wide = Match::any().with_masked(Field::Xxreg1, 5u128 << 32 | 7, 0xff_u128 << 32 | 7);
        let narrow = Match::any()
            .with_masked(Field::Reg7, 7u128, 7u128)
            .with_masked(Field::Reg6, 5u128, 0xffu128);
        assert_eq!(wide, narrow);
        assert_eq!(
            wide.field(Field::Xxreg1),
            Some((5 << 32 | 7, Some(0xff << 32 | 7)))
        );
        assert_eq!(wide.field(Field::Xreg2), None);
    }

    #[test]
    fn fields_that_only_nxm_has_become_the_ones_that_oxm_has() {
        let match_of = |field: Field, value: u128| Match::any().with(field, value);
        assert_eq!(
            match_of(Field::NxmInPort, 0xfffe),
            match_of(Field::InPort, 0xffff_fffe)
        );
        assert_eq!(
            match_of(Field::VlanTci, 0x7005),
            match_of(Field::VlanVid, 0x1005).with(Field::VlanPcp, 3u128)
        );
        assert_eq!(match_of(Field::VlanTci, 0), match_of(Field::VlanVid, 0));
    }
}
