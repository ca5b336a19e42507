// SPDX-License-Identifier: Apache-2.0
//! A copy of part of a database, always equal to some committed state of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::monitor::RowChange;
use crate::row::Row;
use crate::value::Uuid;

/// The monitored rows, by table and identity. Between two calls it always is one committed state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replica {
    tables: BTreeMap<Arc<str>, BTreeMap<Uuid, Arc<Row>>>,
}

impl Replica {
    /// The rows of a table, by identity.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = &Arc<Row>> {
        self.tables
            .get(table)
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    /// One row.
    pub fn row(&self, table: &str, uuid: Uuid) -> Option<&Arc<Row>> {
        self.tables.get(table)?.get(&uuid)
    }

    /// The names of the tables with rows.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(AsRef::as_ref)
    }

    /// Puts the new row of a change in the place of the old one.
    pub fn apply(&mut self, change: &RowChange) {
        match &change.new {
            Some(row) => {
                let table = self.tables.entry(Arc::clone(&change.table)).or_default();
                table.insert(change.uuid, Arc::clone(row));
            }
            None => {
                if let Some(table) = self.tables.get_mut(&change.table) {
                    table.remove(&change.uuid);
                    if table.is_empty() {
                        self.tables.remove(&change.table);
                    }
                }
            }
        }
    }
}
