// SPDX-License-Identifier: Apache-2.0
//! Changes of rows, and the folding of many changes of one row into one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::row::Row;
use crate::value::Uuid;

/// What happened to one row between two snapshots of a [`crate::Replica`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// The table.
    pub table: Arc<str>,
    /// The row.
    pub uuid: Uuid,
    /// The row in the older snapshot; `None` if it was inserted since.
    pub old: Option<Arc<Row>>,
    /// The row in the newer snapshot; `None` if it was deleted since.
    pub new: Option<Arc<Row>>,
}

/// Changes folded to at most one per row, so that a reader who comes late gets the difference and
/// not the history. Its size is bounded by the rows of the two snapshots it lies between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeSet {
    changes: BTreeMap<(Arc<str>, Uuid), RowChange>,
}

impl ChangeSet {
    /// Whether the two snapshots are equal.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Appends a later change.
    pub fn fold(&mut self, change: RowChange) {
        match self.changes.entry((Arc::clone(&change.table), change.uuid)) {
            Entry::Vacant(_) if change.old == change.new => {}
            Entry::Vacant(entry) => {
                entry.insert(change);
            }
            Entry::Occupied(mut entry) => {
                entry.get_mut().new = change.new;
                if entry.get().old == entry.get().new {
                    entry.remove();
                }
            }
        }
    }

    /// The changes, ordered by table and row.
    pub fn into_changes(self) -> Vec<RowChange> {
        self.changes.into_values().collect()
    }
}
