// SPDX-License-Identifier: Apache-2.0
//! One field of a match, and the canonical fields that say the same.

use std::cmp::Ordering;

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

/// [`MatchField::Known`].
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) field: Field,
    pub(super) value: u128,
    pub(super) mask: Option<u128>,
}

impl From<Known> for MatchField {
    fn from(Known { field, value, mask }: Known) -> Self {
        Self::Known { field, value, mask }
    }
}

/// [`MatchField::Raw`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Raw {
    pub(super) header: Bytes,
    pub(super) payload: Bytes,
}

impl From<&Raw> for MatchField {
    fn from(raw: &Raw) -> Self {
        Self::Raw {
            header: raw.header.clone(),
            payload: raw.payload.clone(),
        }
    }
}

impl Raw {
    /// Which field this is, as far as one can tell.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }

    /// The `has mask` bit and the length do not make it another field.
    fn key(&self) -> Vec<u8> {
        let mut key = self.header.to_vec();
        if let Some(byte) = key.get_mut(2) {
            *byte &= 0xfe;
        }
        if let Some(length) = key.get_mut(3) {
            *length = 0;
        }
        key
    }
}

/// The canonical fields that say the same: `xreg` and `xxreg` become registers, the two fields that
/// only NXM has become the ones that OXM has, and what says nothing is left out.
pub(super) fn canonical(new: Known) -> impl Iterator<Item = Known> {
    let parts = match new.field {
        Field::NxmInPort => {
            let port = port_from_16(new.value as u16);
            [Some(exact(Field::InPort, port.0.into())), None, None, None]
        }
        Field::VlanTci => {
            let (value, mask) = (new.value, new.mask.unwrap_or(0xffff));
            let vid = Known {
                field: Field::VlanVid,
                value: value & 0x1fff,
                mask: Some(mask & 0x1fff),
            };
            // A priority can be matched whole, and only of a packet with a tag.
            let tagged = mask & value & 0x1000 != 0 && mask & 0xe000 == 0xe000;
            let pcp = tagged.then(|| exact(Field::VlanPcp, value >> 13));
            [Some(vid), pcp, None, None]
        }
        field if field.register_parts() > 1 => [0, 1, 2, 3].map(|part| register_part(new, part)),
        _ => [Some(new), None, None, None],
    };
    parts
        .into_iter()
        .flatten()
        .map(normal)
        .filter(|part| !says_nothing(part))
}

const fn exact(field: Field, value: u128) -> Known {
    Known {
        field,
        value,
        mask: None,
    }
}

/// What a match on a wide register says of its 32-bit register number `part`, the most significant
/// one first.
fn register_part(wide: Known, part: u8) -> Option<Known> {
    let parts = wide.field.register_parts();
    let shift = 32 * u32::from(parts.checked_sub(part.checked_add(1)?)?);
    let mask = wide.mask.unwrap_or(u128::MAX);
    Some(Known {
        field: wide.field.register_part(part)?,
        value: wide.value >> shift,
        mask: Some(mask >> shift),
    })
}

/// No bit outside the field's width, none of the value outside the mask, no mask of all bits. How
/// wide a `tun_metadata` is shows only on a bridge.
fn normal(Known { field, value, mask }: Known) -> Known {
    let full = width_mask(field);
    let bits = mask.unwrap_or(full) & full;
    Known {
        field,
        value: value & bits,
        mask: mask
            .map(|_| bits)
            .filter(|_| bits != full || field.tun_metadata_index().is_some()),
    }
}

/// A mask of no bits, or `packet_type=(0,0)`: Ethernet, which is all that a bridge without
/// packet-type-aware ports has. OVS leaves the one out, and adds or leaves out the other as it sees
/// fit, so neither is part of a canonical match.
const fn says_nothing(known: &Known) -> bool {
    matches!(
        known,
        Known { mask: Some(0), .. }
            | Known {
                field: Field::PacketType,
                value: 0,
                mask: None,
            }
    )
}

/// All bits of `field`, right-aligned; all 128 for variable-width fields.
#[inline]
pub(crate) const fn width_mask(field: Field) -> u128 {
    match field.info().bits {
        bits @ 0..128 => (1u128 << bits) - 1,
        _ => u128::MAX,
    }
}
