// SPDX-License-Identifier: Apache-2.0
//! The part of a database schema (RFC 7047 section 3.2) that reading rows needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::text::excerpt;
use crate::value::{Atom, AtomType, Datum, Real};

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

impl Schema {
    /// Reads the result of `get_schema`.
    pub fn from_json(schema: &Value) -> Result<Self, SchemaError> {
        let mut tables = BTreeMap::new();
        for (name, table) in members(schema, "tables").ok_or(SchemaError::NoTables)? {
            let mut columns = BTreeMap::new();
            let no_columns = || SchemaError::NoColumns {
                table: excerpt(name),
            };
            for (column, definition) in members(table, "columns").ok_or_else(no_columns)? {
                let kind = definition.get("type").and_then(ColumnType::from_json);
                let kind = kind.ok_or_else(|| SchemaError::ColumnType {
                    table: excerpt(name),
                    column: excerpt(column),
                    found: excerpt(&definition.to_string()),
                })?;
                columns.insert(Arc::from(column.as_str()), kind);
            }
            tables.insert(Arc::from(name.as_str()), TableSchema { columns });
        }
        let text = |name| {
            schema
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Ok(Self {
            name: text("name"),
            version: text("version"),
            tables,
        })
    }
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

    /// Reads `<type>`: the name of an atomic type, or an object.
    fn from_json(kind: &Value) -> Option<Self> {
        if kind.is_string() {
            return Some(Self {
                key: base_type(kind)?,
                value: None,
                min: 1,
                max: 1,
            });
        }
        let value = match kind.get("value") {
            None => None,
            Some(value) => Some(base_type(value)?),
        };
        let min = kind.get("min").map_or(Some(1), Value::as_u64)?;
        let max = match kind.get("max") {
            None => 1,
            Some(Value::String(word)) if word == "unlimited" => Self::UNLIMITED,
            Some(max) => max.as_u64()?,
        };
        Some(Self {
            key: base_type(kind.get("key")?)?,
            value,
            min,
            max,
        })
    }

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

    /// The datum if it is of this type, with two liberties of the notation undone: a real that
    /// is written without fraction, and an empty map that is written as an empty set.
    pub fn conform(&self, datum: Datum) -> Option<Datum> {
        let has_reals = self.key == AtomType::Real || self.value == Some(AtomType::Real);
        match (self.value, datum) {
            (None, Datum::Set(atoms)) if has_reals => atoms
                .into_iter()
                .map(real_atom)
                .collect::<Option<_>>()
                .map(Datum::Set),
            (None, Datum::Set(atoms)) => atoms
                .iter()
                .all(|atom| fits(self.key, atom))
                .then_some(Datum::Set(atoms)),
            (Some(_), Datum::Set(atoms)) => atoms.is_empty().then_some(Datum::empty_map()),
            (Some(value), Datum::Map(entries)) if has_reals => {
                let entries = entries.into_iter().map(|(entry_key, entry_value)| {
                    Some((
                        conform_atom(self.key, entry_key)?,
                        conform_atom(value, entry_value)?,
                    ))
                });
                entries.collect::<Option<_>>().map(Datum::Map)
            }
            (Some(value), Datum::Map(entries)) => entries
                .iter()
                .all(|entry| fits(self.key, entry.0) && fits(value, entry.1))
                .then_some(Datum::Map(entries)),
            (None, Datum::Map(_)) => None,
        }
    }
}

/// A schema that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// There is no object `tables`.
    #[error("the schema has no tables")]
    NoTables,
    /// A table has no object `columns`.
    #[error("the schema of table {table} has no columns")]
    NoColumns {
        /// The table.
        table: String,
    },
    /// A column has no type RFC 7047 knows.
    #[error("the schema of table {table}, column {column} has no known type: {found}")]
    ColumnType {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The beginning of its definition.
        found: String,
    },
}

fn members<'a>(object: &'a Value, name: &str) -> Option<&'a serde_json::Map<String, Value>> {
    object.get(name)?.as_object()
}

/// `<base-type>`: the name of an atomic type, alone or as `type` of an object.
fn base_type(base: &Value) -> Option<AtomType> {
    AtomType::from_name(base.as_str().or_else(|| base.get("type")?.as_str())?)
}

fn fits(kind: AtomType, atom: &Atom) -> bool {
    atom.atom_type() == kind && !matches!(atom, Atom::NamedUuid(_))
}

fn conform_atom(kind: AtomType, atom: Atom) -> Option<Atom> {
    match kind {
        AtomType::Real => real_atom(atom),
        _ => fits(kind, &atom).then_some(atom),
    }
}

fn real_atom(atom: Atom) -> Option<Atom> {
    match atom {
        Atom::Real(_) => Some(atom),
        #[expect(
            clippy::cast_precision_loss,
            reason = "the column holds floating-point numbers"
        )]
        Atom::Integer(value) => Real::new(value as f64).map(Atom::Real),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::value::Uuid;

    fn column(kind: Value) -> Result<ColumnType, SchemaError> {
        let schema = json!({
            "name": "D",
            "version": "1.2.3",
            "tables": {"T": {"columns": {"c": {"type": kind}}, "maxRows": 1}},
        });
        Schema::from_json(&schema).map(|schema| schema.tables["T"].columns["c"])
    }

    #[test]
    fn every_notation_of_a_type_is_read() {
        let scalar = ColumnType {
            key: AtomType::String,
            value: None,
            min: 1,
            max: 1,
        };
        assert_eq!(column(json!("string")), Ok(scalar));
        assert_eq!(
            column(json!({"key": {"type": "string", "enum": "x"}})),
            Ok(scalar)
        );
        assert_eq!(
            column(json!({"key": "integer", "min": 0})),
            Ok(ColumnType {
                key: AtomType::Integer,
                value: None,
                min: 0,
                max: 1
            })
        );
        assert_eq!(
            column(json!({"key": {"type": "uuid", "refTable": "Port"}, "min": 0, "max": 7})),
            Ok(ColumnType {
                key: AtomType::Uuid,
                value: None,
                min: 0,
                max: 7
            })
        );
        let map = json!({"key": "string", "value": "string", "min": 0, "max": "unlimited"});
        let unlimited = ColumnType::UNLIMITED;
        assert_eq!(
            column(map),
            Ok(ColumnType {
                key: AtomType::String,
                value: Some(AtomType::String),
                min: 0,
                max: unlimited
            })
        );
    }

    #[test]
    fn an_unknown_type_is_refused_with_its_column() {
        for kind in [
            json!("text"),
            json!({}),
            json!({"key": "string", "max": "many"}),
            json!(7),
        ] {
            let error = column(kind).unwrap_err().to_string();
            assert!(error.starts_with("the schema of table T, column c has no known type"));
        }
        assert_eq!(Schema::from_json(&json!([])), Err(SchemaError::NoTables));
    }

    #[test]
    fn a_datum_must_be_of_the_column_type() {
        let real = ColumnType {
            key: AtomType::Real,
            value: None,
            min: 1,
            max: 1,
        };
        assert_eq!(
            real.conform(Datum::from(5)),
            Real::new(5.0).map(Datum::from)
        );
        assert_eq!(real.conform(Datum::from("5")), None);
        let map = ColumnType {
            key: AtomType::String,
            value: Some(AtomType::Uuid),
            min: 0,
            max: 9,
        };
        assert_eq!(map.conform(Datum::empty_set()), Some(Datum::empty_map()));
        let entry = Datum::map([("k", Uuid::ZERO)]);
        assert_eq!(map.conform(entry.clone()), Some(entry));
        assert_eq!(map.conform(Datum::map([("k", 1)])), None);
        assert_eq!(map.conform(Datum::from("k")), None);
    }
}
