// SPDX-License-Identifier: Apache-2.0
//! A row, and typed readers of its columns whose errors name table, row and column.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::value::{Atom, Datum, Uuid};

/// One row of one table: its identity and the columns that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    table: Arc<str>,
    uuid: Uuid,
    columns: BTreeMap<Arc<str>, Datum>,
}

impl Row {
    /// A row with these columns.
    pub fn new(table: Arc<str>, uuid: Uuid, columns: BTreeMap<Arc<str>, Datum>) -> Self {
        Self {
            table,
            uuid,
            columns,
        }
    }

    /// The name of the table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The identity of the row.
    pub const fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// All known columns, by name.
    pub const fn columns(&self) -> &BTreeMap<Arc<str>, Datum> {
        &self.columns
    }

    /// The value of a column; an error if the column was not asked for.
    pub fn datum(&self, column: &str) -> Result<&Datum, RowError> {
        self.columns
            .get(column)
            .ok_or_else(|| self.error(column, RowProblem::Missing))
    }

    /// The string of a column that holds exactly one.
    pub fn string(&self, column: &str) -> Result<&str, RowError> {
        self.one(column, "one string", as_string)
    }

    /// The string of a column that holds at most one.
    pub fn optional_string(&self, column: &str) -> Result<Option<&str>, RowError> {
        self.at_most_one(column, "at most one string", as_string)
    }

    /// The integer of a column that holds exactly one.
    pub fn integer(&self, column: &str) -> Result<i64, RowError> {
        self.one(column, "one integer", as_integer)
    }

    /// The integer of a column that holds at most one, such as `ofport`.
    pub fn optional_integer(&self, column: &str) -> Result<Option<i64>, RowError> {
        self.at_most_one(column, "at most one integer", as_integer)
    }

    /// The boolean of a column that holds exactly one.
    pub fn boolean(&self, column: &str) -> Result<bool, RowError> {
        self.one(column, "one boolean", as_boolean)
    }

    /// The boolean of a column that holds at most one.
    pub fn optional_boolean(&self, column: &str) -> Result<Option<bool>, RowError> {
        self.at_most_one(column, "at most one boolean", as_boolean)
    }

    /// The reference of a column that holds exactly one.
    pub fn reference(&self, column: &str) -> Result<Uuid, RowError> {
        self.one(column, "one uuid", as_uuid)
    }

    /// The reference of a column that holds at most one.
    pub fn optional_reference(&self, column: &str) -> Result<Option<Uuid>, RowError> {
        self.at_most_one(column, "at most one uuid", as_uuid)
    }

    /// The strings of a set column.
    pub fn string_set(&self, column: &str) -> Result<BTreeSet<&str>, RowError> {
        self.all(column, "a set of strings", as_string)
    }

    /// The references of a set column, such as `ports`.
    pub fn uuid_set(&self, column: &str) -> Result<BTreeSet<Uuid>, RowError> {
        self.all(column, "a set of uuids", as_uuid)
    }

    /// The entries of a map from strings to strings, such as `external_ids`.
    pub fn map(&self, column: &str) -> Result<BTreeMap<&str, &str>, RowError> {
        let expected = "a map from strings to strings";
        let entries = self.entries(column, expected)?;
        let strings = entries
            .iter()
            .map(|(key, value)| Some((as_string(key)?, as_string(value)?)));
        strings
            .collect::<Option<_>>()
            .ok_or_else(|| self.wrong(column, expected))
    }

    /// The value of one key of a map from strings to strings.
    pub fn map_value(&self, column: &str, key: &str) -> Result<Option<&str>, RowError> {
        let expected = "a map from strings to strings";
        match self.entries(column, expected)?.get(&Atom::from(key)) {
            None => Ok(None),
            Some(Atom::String(value)) => Ok(Some(value)),
            Some(_) => Err(self.wrong(column, expected)),
        }
    }

    fn one<'a, T>(
        &'a self,
        column: &str,
        expected: &'static str,
        read: fn(&'a Atom) -> Option<T>,
    ) -> Result<T, RowError> {
        let value = self.datum(column)?.scalar().and_then(read);
        value.ok_or_else(|| self.wrong(column, expected))
    }

    fn at_most_one<'a, T>(
        &'a self,
        column: &str,
        expected: &'static str,
        read: fn(&'a Atom) -> Option<T>,
    ) -> Result<Option<T>, RowError> {
        match self.datum(column)? {
            Datum::Set(atoms) if atoms.is_empty() => Ok(None),
            Datum::Set(_) | Datum::Map(_) => self.one(column, expected, read).map(Some),
        }
    }

    fn all<'a, T: Ord>(
        &'a self,
        column: &str,
        expected: &'static str,
        read: fn(&'a Atom) -> Option<T>,
    ) -> Result<BTreeSet<T>, RowError> {
        let values = match self.datum(column)? {
            Datum::Set(atoms) => atoms.iter().map(read).collect(),
            Datum::Map(_) => None,
        };
        values.ok_or_else(|| self.wrong(column, expected))
    }

    fn entries(
        &self,
        column: &str,
        expected: &'static str,
    ) -> Result<&BTreeMap<Atom, Atom>, RowError> {
        match self.datum(column)? {
            Datum::Map(entries) => Ok(entries),
            Datum::Set(_) => Err(self.wrong(column, expected)),
        }
    }

    fn wrong(&self, column: &str, expected: &'static str) -> RowError {
        self.error(column, RowProblem::WrongType { expected })
    }

    fn error(&self, column: &str, problem: RowProblem) -> RowError {
        RowError {
            table: Arc::clone(&self.table),
            row: self.uuid,
            column: column.to_owned(),
            problem,
        }
    }
}

/// A column could not be read as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table {table}, row {row}, column {column}: {problem}")]
pub struct RowError {
    /// The table of the row.
    pub table: Arc<str>,
    /// The row.
    pub row: Uuid,
    /// The column asked for.
    pub column: String,
    /// What is wrong with it.
    pub problem: RowProblem,
}

/// What is wrong with a column.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowProblem {
    /// The row does not have the column.
    #[error("not known; name the column in the monitor or select")]
    Missing,
    /// The column holds something else.
    #[error("expected {expected}")]
    WrongType {
        /// The shape asked for.
        expected: &'static str,
    },
}

const fn as_string(atom: &Atom) -> Option<&str> {
    let Atom::String(value) = atom else {
        return None;
    };
    Some(value.as_str())
}

const fn as_integer(atom: &Atom) -> Option<i64> {
    let Atom::Integer(value) = atom else {
        return None;
    };
    Some(*value)
}

const fn as_boolean(atom: &Atom) -> Option<bool> {
    let Atom::Boolean(value) = atom else {
        return None;
    };
    Some(*value)
}

const fn as_uuid(atom: &Atom) -> Option<Uuid> {
    let Atom::Uuid(value) = atom else { return None };
    Some(*value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface() -> Row {
        let columns = [
            ("name", Datum::from("veth0")),
            ("ofport", Datum::empty_set()),
            ("external_ids", Datum::map([("iface-id", "default/web")])),
            ("statistics", Datum::map([("rx_bytes", 5)])),
        ];
        let columns = columns
            .into_iter()
            .map(|(name, datum)| (Arc::from(name), datum))
            .collect();
        Row::new(Arc::from("Interface"), Uuid::from_bits(7), columns)
    }

    #[test]
    fn columns_are_read_by_type() {
        let row = interface();
        assert_eq!(row.string("name"), Ok("veth0"));
        assert_eq!(row.optional_integer("ofport"), Ok(None));
        assert_eq!(
            row.map("external_ids"),
            Ok(BTreeMap::from([("iface-id", "default/web")]))
        );
        assert_eq!(
            row.map_value("external_ids", "iface-id"),
            Ok(Some("default/web"))
        );
        assert_eq!(row.map_value("external_ids", "culvert-ip"), Ok(None));
        assert_eq!(row.string_set("name"), Ok(BTreeSet::from(["veth0"])));
    }

    #[test]
    fn an_error_names_table_row_column_and_cure() {
        let row = interface();
        assert_eq!(
            row.integer("ofport").unwrap_err().to_string(),
            "table Interface, row 00000000-0000-0000-0000-000000000007, column ofport: \
             expected one integer"
        );
        assert_eq!(
            row.string("error").unwrap_err().to_string(),
            "table Interface, row 00000000-0000-0000-0000-000000000007, column error: \
             not known; name the column in the monitor or select"
        );
        assert!(row.map("statistics").is_err());
        assert!(row.map("name").is_err());
        assert!(row.uuid_set("name").is_err());
        assert!(row.optional_string("external_ids").is_err());
    }
}
