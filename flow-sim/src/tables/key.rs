// SPDX-License-Identifier: Apache-2.0
//! A match split into its shape (fields and masks) and its values.

use std::collections::BTreeMap;

use openflow_codec::{Field, Match, MatchField};

use crate::packet::{Packet, low_bits, registers};

/// Fields and masks of a match, sorted by field.
pub(super) type Shape = Box<[(Field, u128)]>;

/// A match in a form in which equal matches are equal: `xreg` and `xxreg` are written as `reg`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MatchKey {
    pub(super) shape: Shape,
    pub(super) values: Box<[u128]>,
}

/// Why a match cannot be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatchError {
    /// A field that is not in the registry or wider than 128 bits (`OFPBMC_BAD_FIELD`).
    #[error("the match holds a field that is not known; use fields of ovs-fields(7)")]
    UnknownField,
    /// Two fields want different values of the same bits (`OFPBMC_DUP_FIELD`).
    #[error("the match wants two values of {}; match each bit once", .0.info().name)]
    Contradiction(Field),
}

impl MatchKey {
    pub(super) fn new(flow_match: &Match) -> Result<Self, MatchError> {
        let mut fields: BTreeMap<Field, (u128, u128)> = BTreeMap::new();
        for field in flow_match.fields() {
            let MatchField::Known { field, value, mask } = field else {
                return Err(MatchError::UnknownField);
            };
            let full = low_bits(field.info().bits);
            let mask = mask.unwrap_or(full) & full;
            let Some((first, count)) = registers(field) else {
                merge(&mut fields, field, value, mask)?;
                continue;
            };
            for (index, register) in (first..first + count).rev().enumerate() {
                let part = |bits: u128| (bits >> (32 * index)) & u128::from(u32::MAX);
                let register = u8::try_from(register).ok().and_then(register_field);
                if let Some(register) = register
                    && part(mask) != 0
                {
                    merge(&mut fields, register, part(value), part(mask))?;
                }
            }
        }
        Ok(Self {
            shape: fields
                .iter()
                .map(|(field, (_, mask))| (*field, *mask))
                .collect(),
            values: fields.values().map(|(value, mask)| value & mask).collect(),
        })
    }

    /// Whether every packet of `other` is a packet of this match.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.shape
            .iter()
            .zip(&self.values)
            .all(|((field, mask), value)| {
                let mut theirs = other.shape.iter().zip(&other.values);
                theirs.any(|((other_field, other_mask), other_value)| {
                    field == other_field && mask & !other_mask == 0 && other_value & mask == *value
                })
            })
    }
}

impl MatchKey {
    /// Whether some packet is a packet of both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let both = |(field, mask): &(Field, u128), value: &u128| {
            let mut theirs = other.shape.iter().zip(&other.values);
            theirs.all(|((other_field, other_mask), other_value)| {
                field != other_field || (value ^ other_value) & mask & other_mask == 0
            })
        };
        self.shape
            .iter()
            .zip(&self.values)
            .all(|(shape, value)| both(shape, value))
    }
}

/// The packet's values under `shape`, written to `values`; false when it lacks a field.
pub(super) fn project(packet: &Packet, shape: &Shape, values: &mut Vec<u128>) -> bool {
    values.clear();
    for (field, mask) in shape {
        let Some(value) = packet.get(*field) else {
            return false;
        };
        values.push(value & mask);
    }
    true
}

fn merge(
    fields: &mut BTreeMap<Field, (u128, u128)>,
    field: Field,
    value: u128,
    mask: u128,
) -> Result<(), MatchError> {
    let (old_value, old_mask) = fields.entry(field).or_default();
    if (*old_value ^ value) & *old_mask & mask != 0 {
        return Err(MatchError::Contradiction(field));
    }
    *old_value |= value & mask;
    *old_mask |= mask;
    Ok(())
}

fn register_field(index: u8) -> Option<Field> {
    const REGISTERS: [Field; 16] = [
        Field::Reg0,
        Field::Reg1,
        Field::Reg2,
        Field::Reg3,
        Field::Reg4,
        Field::Reg5,
        Field::Reg6,
        Field::Reg7,
        Field::Reg8,
        Field::Reg9,
        Field::Reg10,
        Field::Reg11,
        Field::Reg12,
        Field::Reg13,
        Field::Reg14,
        Field::Reg15,
    ];
    REGISTERS.get(usize::from(index)).copied()
}
