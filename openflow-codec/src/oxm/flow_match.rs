// SPDX-License-Identifier: Apache-2.0
//! A match: fields in canonical order, each at most once.

use bytes::Bytes;

use super::Field;

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
    pub fn with(self, field: Field, value: impl Into<u128>) -> Self {
        let value = value.into() & width_mask(field);
        self.insert(MatchField::Known {
            field,
            value,
            mask: None,
        })
    }

    /// Adds a masked match; a mask of all ones becomes an exact match, a mask of zero no match.
    #[must_use]
    pub fn with_masked(self, field: Field, value: impl Into<u128>, mask: impl Into<u128>) -> Self {
        let full = width_mask(field);
        let mask = mask.into() & full;
        if mask == 0 {
            return self;
        }
        let value = value.into() & mask;
        let mask = (mask != full || field.info().bits > 128).then_some(mask);
        self.insert(MatchField::Known { field, value, mask })
    }

    /// Adds a field in its place in the canonical order.
    #[must_use]
    pub fn insert(mut self, new: MatchField) -> Self {
        let position = match &new {
            MatchField::Known { field, .. } => self.fields.binary_search_by(|old| match old {
                MatchField::Known { field: old, .. } => old.cmp(field),
                MatchField::Raw { .. } => std::cmp::Ordering::Greater,
            }),
            MatchField::Raw { .. } => self.fields.binary_search(&new),
        };
        match position {
            Ok(at) => {
                if let Some(slot) = self.fields.get_mut(at) {
                    *slot = new;
                }
            }
            Err(at) => self.fields.insert(at, new),
        }
        self
    }

    /// The fields, in canonical order.
    pub fn fields(&self) -> &[MatchField] {
        &self.fields
    }

    /// Value and mask of `field`, if it is matched.
    pub fn field(&self, wanted: Field) -> Option<(u128, Option<u128>)> {
        self.fields.iter().find_map(|f| match f {
            MatchField::Known { field, value, mask } if *field == wanted => Some((*value, *mask)),
            _ => None,
        })
    }
}

/// All bits of `field`, right-aligned; all 128 for variable-width fields.
pub(crate) fn width_mask(field: Field) -> u128 {
    match field.info().bits {
        bits @ 0..128 => (1u128 << bits) - 1,
        _ => u128::MAX,
    }
}
