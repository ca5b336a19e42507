// SPDX-License-Identifier: Apache-2.0
//! OVSDB values (RFC 7047 section 5.1): UUIDs, atoms and data.
//!
//! A [`Datum`] is always a set or a map. A scalar column holds a set of exactly one atom, an
//! optional column a set of at most one, so the two notations of a one-element set compare equal.

mod atom;
mod notation;
mod uuid;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use atom::{Atom, AtomType, Real};
pub use notation::NotationError;
pub use uuid::{InvalidUuid, Uuid};

/// The value of one column of one row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Datum {
    /// A scalar (one atom), an optional value (at most one) or a set.
    Set(BTreeSet<Atom>),
    /// A map from atoms to atoms.
    Map(BTreeMap<Atom, Atom>),
}

impl Datum {
    /// The set without elements: also the absent value of an optional column.
    pub const fn empty_set() -> Self {
        Self::Set(BTreeSet::new())
    }

    /// The map without entries.
    pub const fn empty_map() -> Self {
        Self::Map(BTreeMap::new())
    }

    /// A set of the given atoms.
    pub fn set<A: Into<Atom>>(atoms: impl IntoIterator<Item = A>) -> Self {
        Self::Set(atoms.into_iter().map(Into::into).collect())
    }

    /// A map of the given entries; of two entries with one key the last wins.
    pub fn map<K: Into<Atom>, V: Into<Atom>>(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::Map(
            entries
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }

    /// Whether the set or map has no elements.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Set(atoms) => atoms.is_empty(),
            Self::Map(entries) => entries.is_empty(),
        }
    }

    /// The atom of a set of exactly one element.
    pub fn scalar(&self) -> Option<&Atom> {
        match self {
            Self::Set(atoms) if atoms.len() == 1 => atoms.first(),
            Self::Set(_) | Self::Map(_) => None,
        }
    }
}

impl<A: Into<Atom>> From<A> for Datum {
    fn from(atom: A) -> Self {
        Self::Set(BTreeSet::from([atom.into()]))
    }
}

/// The JSON notation of RFC 7047 section 5.1.
impl fmt::Display for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_json().fmt(f)
    }
}
