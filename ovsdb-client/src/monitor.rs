// SPDX-License-Identifier: Apache-2.0
//! Monitors: which tables and columns to follow, and the replica they keep.

mod change;
mod replica;
mod update;

use std::collections::BTreeMap;

use crate::operation::Condition;

pub use change::{ChangeSet, RowChange};
pub use replica::Replica;
pub use update::{Followed, MonitorRequestError, UpdateError, UpdateFormat};

/// The tables and columns to follow.
///
/// ```
/// use ovsdb_client::MonitorRequest;
///
/// let request = MonitorRequest::new()
///     .table("Bridge", ["name", "ports", "external_ids"])
///     .table("Interface", ["name", "ofport", "external_ids"]);
/// # let _ = request;
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MonitorRequest {
    tables: BTreeMap<String, TableMonitor>,
}

/// What to follow in one table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableMonitor {
    /// The columns, `None` for all.
    pub columns: Option<Vec<String>>,
    /// If not empty, only rows that fulfil at least one of these exist in the replica.
    pub conditions: Vec<Condition>,
}

impl MonitorRequest {
    /// No tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Follows these columns of all rows of a table.
    #[must_use]
    pub fn table(
        self,
        table: impl Into<String>,
        columns: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let columns = Some(columns.into_iter().map(Into::into).collect());
        self.table_monitor(
            table,
            TableMonitor {
                columns,
                conditions: Vec::new(),
            },
        )
    }

    /// Follows a table in the given way.
    #[must_use]
    pub fn table_monitor(mut self, table: impl Into<String>, monitor: TableMonitor) -> Self {
        self.tables.insert(table.into(), monitor);
        self
    }

    /// The tables, by name.
    pub const fn tables(&self) -> &BTreeMap<String, TableMonitor> {
        &self.tables
    }
}
