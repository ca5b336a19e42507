// SPDX-License-Identifier: Apache-2.0
//! Comparing columns with what they shall be.

use std::collections::{BTreeMap, BTreeSet};

use ovsdb_client::{Datum, Mutation, Row, RowError};

/// Whether a column holds something else.
pub(super) fn different(row: &Row, column: &str, wanted: &Datum) -> Result<bool, RowError> {
    Ok(row.datum(column)? != wanted)
}

/// The changes of a map after which it has these entries; other keys are left alone.
pub(super) fn put_keys(
    row: &Row,
    column: &str,
    wanted: &BTreeMap<&'static str, String>,
) -> Result<Vec<Mutation>, RowError> {
    let present = row.map(column)?;
    let wrong: BTreeMap<_, _> = wanted
        .iter()
        .filter(|(key, value)| present.get(**key) != Some(&value.as_str()))
        .map(|(key, value)| (*key, value.clone()))
        .collect();
    if wrong.is_empty() {
        return Ok(Vec::new());
    }
    // An insert keeps the value of a key that is there.
    Ok(vec![
        Mutation::delete(column, Datum::set(wrong.keys().copied())),
        Mutation::insert(column, Datum::map(wrong)),
    ])
}

/// The set of all elements of sets.
pub(super) fn union(sets: impl IntoIterator<Item = Datum>) -> Datum {
    let mut all = BTreeSet::new();
    for set in sets {
        if let Datum::Set(atoms) = set {
            all.extend(atoms);
        }
    }
    Datum::Set(all)
}
