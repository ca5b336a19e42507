// SPDX-License-Identifier: Apache-2.0
//! Reading updates: `update` of RFC 7047 section 4.1.6 and `update2` of ovsdb-server(7) 4.1.14.
//!
//! ```text
//! update   {<table>: {<uuid>: {"old": <row>, "new": <row>}}}
//! update2  {<table>: {<uuid>: {"initial" | "insert": <row>}      columns at default left out
//!                           | {"modify": <difference>}
//!                           | {"delete": null}}}
//! ```
//!
//! A `<difference>` of a column that may hold several elements lists what to add and what to
//! remove; of any other column it is the new value (OVS, lib/ovsdb-data.c, `ovsdb_datum_diff`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::monitor::{MonitorRequest, Replica, RowChange};
use crate::operation::Condition;
use crate::row::Row;
use crate::schema::{ColumnType, Schema};
use crate::text::excerpt;
use crate::value::{Atom, Datum, NotationError, Uuid};

/// The two ways a server reports changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateFormat {
    /// Method `monitor`, notification `update`: old and new rows.
    Update,
    /// Method `monitor_cond`, notification `update2`: differences.
    Update2,
}

/// A [`MonitorRequest`] checked against the schema: the columns to follow with their types.
#[derive(Clone, Debug, PartialEq)]
pub struct Followed {
    tables: BTreeMap<Arc<str>, FollowedTable>,
}

#[derive(Clone, Debug, PartialEq)]
struct FollowedTable {
    columns: BTreeMap<Arc<str>, ColumnType>,
    conditions: Vec<Condition>,
}

/// A request for something the schema does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MonitorRequestError {
    /// There is no such table.
    #[error("database {database} (schema {version}) has no table {table}")]
    UnknownTable {
        /// The database.
        database: String,
        /// The version of its schema.
        version: String,
        /// The table asked for.
        table: String,
    },
    /// There is no such column.
    #[error("table {table} of database {database} (schema {version}) has no column {column}")]
    UnknownColumn {
        /// The database.
        database: String,
        /// The version of its schema.
        version: String,
        /// The table.
        table: String,
        /// The column asked for.
        column: String,
    },
}

impl Followed {
    /// Looks up what `request` names.
    pub fn resolve(request: &MonitorRequest, schema: &Schema) -> Result<Self, MonitorRequestError> {
        let mut tables = BTreeMap::new();
        for (name, wanted) in request.tables() {
            let Some((table, definition)) = schema.tables.get_key_value(name.as_str()) else {
                return Err(MonitorRequestError::UnknownTable {
                    database: schema.name.clone(),
                    version: schema.version.clone(),
                    table: name.clone(),
                });
            };
            let mut columns = BTreeMap::new();
            for column in wanted.columns.iter().flatten() {
                let Some((column, kind)) = definition.columns.get_key_value(column.as_str()) else {
                    return Err(MonitorRequestError::UnknownColumn {
                        database: schema.name.clone(),
                        version: schema.version.clone(),
                        table: name.clone(),
                        column: column.clone(),
                    });
                };
                columns.insert(Arc::clone(column), *kind);
            }
            if wanted.columns.is_none() {
                columns.clone_from(&definition.columns);
            }
            let conditions = wanted.conditions.clone();
            tables.insert(
                Arc::clone(table),
                FollowedTable {
                    columns,
                    conditions,
                },
            );
        }
        Ok(Self { tables })
    }

    /// Whether some table is restricted to certain rows, which only `monitor_cond` can do.
    pub fn has_conditions(&self) -> bool {
        self.tables
            .values()
            .any(|table| !table.conditions.is_empty())
    }

    /// `<monitor-requests>`, or `<monitor-cond-requests>` if there are conditions.
    pub fn to_json(&self) -> Value {
        let tables = self.tables.iter().map(|(name, table)| {
            let columns: Vec<&str> = table.columns.keys().map(AsRef::as_ref).collect();
            let request = if table.conditions.is_empty() {
                json!({"columns": columns})
            } else {
                let conditions = table.conditions.iter().map(Condition::to_json);
                json!({"columns": columns, "where": conditions.collect::<Vec<_>>()})
            };
            (name.to_string(), json!([request]))
        });
        Value::Object(tables.collect())
    }

    /// Reads `<table-updates>` or `<table-updates2>` as changes of `replica`, which is not
    /// touched: either all of an update fits or none of it is used.
    pub fn changes(
        &self,
        replica: &Replica,
        format: UpdateFormat,
        updates: Value,
    ) -> Result<Vec<RowChange>, UpdateError> {
        let Value::Object(tables) = updates else {
            return Err(UpdateError::Shape);
        };
        let mut changes = Vec::new();
        for (name, rows) in tables {
            let Some((table, followed)) = self.tables.get_key_value(name.as_str()) else {
                return Err(UpdateError::UnknownTable(excerpt(&name)));
            };
            let Value::Object(rows) = rows else {
                return Err(UpdateError::Shape);
            };
            for (uuid, update) in rows {
                let uuid: Uuid = uuid.parse().map_err(|_| UpdateError::Shape)?;
                let Value::Object(update) = update else {
                    return Err(UpdateError::Shape);
                };
                let reader = RowReader {
                    table,
                    followed,
                    uuid,
                };
                let old = replica.row(table, uuid);
                let new = match format {
                    UpdateFormat::Update => reader.update(old, update)?,
                    UpdateFormat::Update2 => reader.update2(old, update)?,
                };
                let new = new.map(Arc::new);
                if old != new.as_ref() {
                    let old = old.cloned();
                    changes.push(RowChange {
                        table: Arc::clone(table),
                        uuid,
                        old,
                        new,
                    });
                }
            }
        }
        Ok(changes)
    }
}

/// An update that cannot be read or does not fit the replica.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// It has not the shape of an update.
    #[error("an update is malformed")]
    Shape,
    /// It speaks of a table that is not followed.
    #[error("an update of table {0}, which is not monitored")]
    UnknownTable(String),
    /// It inserts a row that exists, or changes or deletes one that does not.
    #[error("an update does not fit row {row} of table {table}: {problem}")]
    Unfit {
        /// The table.
        table: Arc<str>,
        /// The row.
        row: Uuid,
        /// Why.
        problem: &'static str,
    },
    /// A column is no OVSDB value.
    #[error("an update of table {table}, row {row}, column {column}: {source}")]
    Notation {
        /// The table.
        table: Arc<str>,
        /// The row.
        row: Uuid,
        /// The column.
        column: Arc<str>,
        /// What is wrong.
        source: NotationError,
    },
    /// A column has a value of another type than the schema says.
    #[error("an update of table {table}, row {row}, column {column} is not of its type")]
    ColumnType {
        /// The table.
        table: Arc<str>,
        /// The row.
        row: Uuid,
        /// The column.
        column: Arc<str>,
    },
}

struct RowReader<'a> {
    table: &'a Arc<str>,
    followed: &'a FollowedTable,
    uuid: Uuid,
}

type ColumnValues = BTreeMap<Arc<str>, Datum>;

impl RowReader<'_> {
    fn update(
        &self,
        old: Option<&Arc<Row>>,
        mut update: Map<String, Value>,
    ) -> Result<Option<Row>, UpdateError> {
        match (update.remove("new"), update.remove("old"), old) {
            (Some(Value::Object(row)), _, Some(old)) => {
                self.overlay(old.columns().clone(), row).map(Some)
            }
            (Some(Value::Object(row)), None, None) => self.overlay(self.defaults(), row).map(Some),
            (None, Some(_), Some(_)) => Ok(None),
            (Some(Value::Object(_)) | None, Some(_), None) => Err(self.unfit("it is not known")),
            _ => Err(UpdateError::Shape),
        }
    }

    fn update2(
        &self,
        old: Option<&Arc<Row>>,
        update: Map<String, Value>,
    ) -> Result<Option<Row>, UpdateError> {
        // Kinds of a newer server may stand beside the one we know.
        let known = ["initial", "insert", "modify", "delete"];
        let mut members = update
            .into_iter()
            .filter(|(kind, _)| known.contains(&kind.as_str()));
        let (Some((kind, value)), None) = (members.next(), members.next()) else {
            return Err(UpdateError::Shape);
        };
        match (kind.as_str(), value, old) {
            ("initial" | "insert", Value::Object(row), None) => {
                self.overlay(self.defaults(), row).map(Some)
            }
            ("initial" | "insert", Value::Object(_), Some(_)) => {
                Err(self.unfit("it is known already"))
            }
            ("modify", Value::Object(difference), Some(old)) => {
                self.patch(old.columns().clone(), difference).map(Some)
            }
            ("delete", _, Some(_)) => Ok(None),
            ("modify" | "delete", _, None) => Err(self.unfit("it is not known")),
            _ => Err(UpdateError::Shape),
        }
    }

    fn defaults(&self) -> ColumnValues {
        let columns = self.followed.columns.iter();
        columns
            .map(|(name, kind)| (Arc::clone(name), kind.default_datum()))
            .collect()
    }

    fn overlay(
        &self,
        mut columns: ColumnValues,
        row: Map<String, Value>,
    ) -> Result<Row, UpdateError> {
        for (name, value) in row {
            if let Some((name, _, datum)) = self.column(&name, value)? {
                columns.insert(name, datum);
            }
        }
        Ok(Row::new(Arc::clone(self.table), self.uuid, columns))
    }

    fn patch(
        &self,
        mut columns: ColumnValues,
        difference: Map<String, Value>,
    ) -> Result<Row, UpdateError> {
        for (name, value) in difference {
            let Some((name, kind, datum)) = self.column(&name, value)? else {
                continue;
            };
            match (columns.get_mut(&name), datum) {
                (Some(Datum::Set(atoms)), Datum::Set(toggled)) if kind.is_composite() => {
                    toggle_atoms(atoms, toggled);
                }
                (Some(Datum::Map(entries)), Datum::Map(changed)) if kind.is_composite() => {
                    toggle_entries(entries, changed);
                }
                (_, datum) => {
                    columns.insert(name, datum);
                }
            }
        }
        Ok(Row::new(Arc::clone(self.table), self.uuid, columns))
    }

    /// `None` if the column is not followed.
    fn column(
        &self,
        name: &str,
        value: Value,
    ) -> Result<Option<(Arc<str>, ColumnType, Datum)>, UpdateError> {
        let Some((name, kind)) = self.followed.columns.get_key_value(name) else {
            return Ok(None);
        };
        let datum = Datum::from_json(value).map_err(|source| UpdateError::Notation {
            table: Arc::clone(self.table),
            row: self.uuid,
            column: Arc::clone(name),
            source,
        })?;
        match kind.conform(datum) {
            Some(datum) => Ok(Some((Arc::clone(name), *kind, datum))),
            None => Err(UpdateError::ColumnType {
                table: Arc::clone(self.table),
                row: self.uuid,
                column: Arc::clone(name),
            }),
        }
    }

    fn unfit(&self, problem: &'static str) -> UpdateError {
        UpdateError::Unfit {
            table: Arc::clone(self.table),
            row: self.uuid,
            problem,
        }
    }
}

/// Elements of the difference that are present go, the others come.
fn toggle_atoms(atoms: &mut BTreeSet<Atom>, toggled: BTreeSet<Atom>) {
    for atom in toggled {
        if !atoms.remove(&atom) {
            atoms.insert(atom);
        }
    }
}

/// Entries of the difference that are present go; the others come, or replace the entry of their
/// key.
fn toggle_entries(entries: &mut BTreeMap<Atom, Atom>, changed: BTreeMap<Atom, Atom>) {
    for (key, value) in changed {
        if entries.get(&key) == Some(&value) {
            entries.remove(&key);
        } else {
            entries.insert(key, value);
        }
    }
}
