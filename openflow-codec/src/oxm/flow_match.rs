// SPDX-License-Identifier: Apache-2.0
//! A match: fields in canonical order, each at most once.
//!
//! `reg0`..`reg15` also exist as eight 64-bit `xreg`s and four 128-bit `xxreg`s. A match holds them
//! as 32-bit registers only: whoever says `xxreg1` gets `reg4`..`reg7`, of those the ones whose mask
//! is not zero. OVS prints them so, and sends them as `xreg`s, so a match that was written and the
//! same match read back are equal.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::match_field::{Known, MatchField, Raw, canonical, width_mask};
use super::packed::{self, Packed};
use super::{Field, small_bytes::SmallBytes};
use crate::error::DecodeErrorKind;

/// A flow match (`ofp_match`): sorted by [`Field`], each field at most once.
///
/// The fields are kept as the bytes they are on the wire, in canonical form, so that most matches
/// take no memory of their own and are written and compared in one piece.
#[derive(Clone)]
pub struct Match {
    /// The fields of the registry, see [`super::packed`].
    known: SmallBytes,
    /// The last of these.
    last: Option<Field>,
    /// Whether there is a `tun_metadata` among them, whose bytes on the wire depend on the bridge.
    variable: bool,
    others: Option<Box<Others>>,
}

/// Most fields of a peer's match that are not known: OVS 4.0 has about 30. Each takes 16 times what
/// it has on the wire at least.
const MOST_UNKNOWN: usize = 64;

/// The other fields, in the order of their headers. Hardly a match has any.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Others(Vec<Raw>);

impl Match {
    /// Matches every packet.
    #[inline]
    pub const fn any() -> Self {
        Self {
            known: SmallBytes::new(),
            last: None,
            variable: false,
            others: None,
        }
    }

    /// Makes this a match of nothing but `known`, which are the bytes of plain fields in order up to
    /// `last`.
    #[inline]
    pub(super) fn set_plain(&mut self, known: &[u8], last: Option<Field>) {
        self.known.set(known);
        self.last = last;
        self.variable = false;
        self.others = None;
    }

    /// Adds an exact match on `field`; a second match on the same field replaces the first.
    /// Bits beyond the field's width are cut off.
    #[must_use]
    #[inline(always)]
    pub fn with(mut self, field: Field, value: impl Into<u128>) -> Self {
        self.add(field, value.into(), None);
        self
    }

    /// Adds a masked match; a mask of all ones becomes an exact match, a mask of zero no match.
    #[must_use]
    #[inline(always)]
    pub fn with_masked(
        mut self,
        field: Field,
        value: impl Into<u128>,
        mask: impl Into<u128>,
    ) -> Self {
        self.add(field, value.into(), Some(mask.into()));
        self
    }

    /// Adds a field in its place in the canonical order; a second match on the same field (or
    /// register) replaces the first.
    #[must_use]
    pub fn insert(mut self, new: MatchField) -> Self {
        match new {
            MatchField::Known { field, value, mask } => self.add(field, value, mask),
            MatchField::Raw { header, payload } => {
                let new = Raw { header, payload };
                let others = &mut self.others.get_or_insert_with(Others::none).0;
                match others.binary_search_by(|old| old.order(&new)) {
                    Ok(at) => {
                        if let Some(slot) = others.get_mut(at) {
                            *slot = new;
                        }
                    }
                    Err(at) => others.insert(at, new),
                }
            }
        }
        self
    }

    /// Adds a field that came from a peer: refused if it is already there, or too much.
    pub(super) fn insert_new(&mut self, new: MatchField) -> Result<(), DecodeErrorKind> {
        match new {
            MatchField::Known { field, value, mask } => {
                if self.push(field, value, mask) {
                    return Ok(());
                }
                canonical(Known { field, value, mask }).try_for_each(|part| {
                    if !self.position(part.field).is_empty() {
                        return Err(DecodeErrorKind::DuplicateField(part.field.info().name));
                    }
                    self.place(part);
                    Ok(())
                })
            }
            MatchField::Raw { header, payload } => {
                let new = Raw { header, payload };
                let others = &mut self.others.get_or_insert_with(Others::none).0;
                match others.binary_search_by(|old| old.order(&new)) {
                    Ok(_) => Err(DecodeErrorKind::DuplicateField("unknown")),
                    Err(_) if others.len() == MOST_UNKNOWN => {
                        Err(DecodeErrorKind::TooManyUnknown(MOST_UNKNOWN))
                    }
                    Err(at) => {
                        others.insert(at, new);
                        Ok(())
                    }
                }
            }
        }
    }

    /// Always inlined where matches are built: a call would get the match by way of memory, and to
    /// move a match that was just written costs more than to write it.
    #[inline(always)]
    fn add(&mut self, field: Field, value: u128, mask: Option<u128>) {
        if !self.push(field, value, mask) {
            self.add_canonical(Known { field, value, mask });
        }
    }

    #[cold]
    fn add_canonical(&mut self, new: Known) {
        for part in canonical(new) {
            self.place(part);
        }
    }

    /// Adds a plain field that comes after all the others, or says that it is not that simple. Most
    /// fields of most matches come in order.
    #[inline(always)]
    fn push(&mut self, field: Field, value: u128, mask: Option<u128>) -> bool {
        let simple = self.last < Some(field) && packed::push(&mut self.known, field, value, mask);
        if simple {
            self.last = Some(field);
        }
        simple
    }

    /// Puts a canonical field where it belongs.
    fn place(&mut self, new: Known) {
        let position = self.position(new.field);
        packed::splice(&mut self.known, position, new);
        self.last = self.last.max(Some(new.field));
        self.variable |= new.field.tun_metadata_index().is_some();
    }

    /// The bytes that `field` has, none if it is not there: then where it belongs.
    fn position(&self, field: Field) -> std::ops::Range<usize> {
        let known = self.known.as_slice();
        match self.last < Some(field) {
            true => known.len()..known.len(),
            false => packed::position(known, field),
        }
    }

    /// The fields, in canonical order.
    pub fn fields(&self) -> Fields<'_> {
        Fields {
            known: Packed::new(self.known.as_slice()),
            others: self.others().iter(),
        }
    }

    /// Whether every packet matches.
    pub fn is_any(&self) -> bool {
        self.last.is_none() && self.others.is_none()
    }

    /// The bytes of all fields of the registry, unless they depend on the bridge.
    #[inline]
    pub(super) fn fixed_bytes(&self) -> Option<&SmallBytes> {
        (!self.variable).then_some(&self.known)
    }

    /// The fields of the registry.
    pub(super) fn known(&self) -> Packed<'_> {
        Packed::new(self.known.as_slice())
    }

    /// The fields that are not in the registry.
    #[inline]
    pub(super) fn others(&self) -> &[Raw] {
        match &self.others {
            Some(others) => &others.0,
            None => &[],
        }
    }

    /// Value and mask of `field`, if it is matched. An `xreg` or `xxreg` is put together from its
    /// registers.
    pub fn field(&self, wanted: Field) -> Option<(u128, Option<u128>)> {
        let parts = wanted.register_parts();
        if parts <= 1 {
            let bytes = self.known.as_slice().get(self.position(wanted))?;
            return Packed::new(bytes)
                .next()
                .map(|known| (known.value, known.mask));
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

const ALL_OF_A_REGISTER: u128 = 0xffff_ffff;

impl Others {
    fn none() -> Box<Self> {
        Box::new(Self(Vec::new()))
    }
}

/// The fields of a [`Match`], in canonical order.
#[derive(Clone)]
pub struct Fields<'a> {
    known: Packed<'a>,
    others: std::slice::Iter<'a, Raw>,
}

impl Iterator for Fields<'_> {
    type Item = MatchField;

    fn next(&mut self) -> Option<MatchField> {
        match self.known.next() {
            Some(known) => Some(known.into()),
            None => self.others.next().map(MatchField::from),
        }
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl fmt::Debug for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Match").field(&self.fields()).finish()
    }
}

impl Default for Match {
    fn default() -> Self {
        Self::any()
    }
}

// What a match says is in its bytes; `last` and `variable` follow from them.
impl PartialEq for Match {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.known == other.known && self.others == other.others
    }
}

impl Eq for Match {}

impl Hash for Match {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.known.hash(state);
        self.others.hash(state);
    }
}

impl Ord for Match {
    fn cmp(&self, other: &Self) -> Ordering {
        self.fields().cmp(other.fields())
    }
}

impl PartialOrd for Match {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
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
