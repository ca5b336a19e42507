// SPDX-License-Identifier: Apache-2.0
//! The part of a database schema (RFC 7047 section 3.2) that reading rows needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::value::{AtomType, Datum};

/// The tables of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The name of the database.
    pub name: String,
    /// The version of the schema, `x.y.z`.
    pub version: String,
    /// The tables, by name.
    pub tables: BTreeMap<Arc<str>, TableSchema>,
}

/// The columns of a table, by name, without `_uuid` and `_version`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSchema {
    /// The columns.
    pub columns: BTreeMap<Arc<str>, ColumnType>,
}

/// The type of a column (RFC 7047 section 3.2, `<type>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnType {
    /// The type of the elements, or of the keys of a map.
    pub key: AtomType,
    /// The type of the values of a map; `None` for a scalar, an optional value or a set.
    pub value: Option<AtomType>,
    /// The least number of elements, 0 or 1.
    pub min: u64,
    /// The greatest number of elements, [`ColumnType::UNLIMITED`] for no limit.
    pub max: u64,
}

impl ColumnType {
    /// The `max` of a column without limit.
    pub const UNLIMITED: u64 = u64::MAX;

    /// Whether a value may have more than one element. Only then does `update2` send the
    /// difference of two values and not the new value (OVS, lib/ovsdb-types.h,
    /// `ovsdb_type_is_composite`).
    pub const fn is_composite(&self) -> bool {
        self.max > 1
    }

    /// The value of the column in a row that does not name it (RFC 7047 section 5.2.1).
    pub fn default_datum(&self) -> Datum {
        match (self.value, self.min) {
            (None, 0) => Datum::empty_set(),
            (None, _) => Datum::from(self.key.default_atom()),
            (Some(_), 0) => Datum::empty_map(),
            (Some(value), _) => Datum::map([(self.key.default_atom(), value.default_atom())]),
        }
    }
}
