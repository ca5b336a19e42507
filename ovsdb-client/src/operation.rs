// SPDX-License-Identifier: Apache-2.0
//! The operations of a transaction, with their conditions and mutations (RFC 7047 section 5).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::value::Datum;

/// Columns to write, by name.
pub type Columns = BTreeMap<String, Datum>;

/// One operation (RFC 7047 section 5.2).
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Adds a row; columns not named get their default.
    Insert {
        /// The table.
        table: String,
        /// The columns.
        row: Columns,
        /// A name for the row, valid inside the transaction.
        uuid_name: Option<String>,
    },
    /// Reads the rows that fulfil all conditions.
    Select {
        /// The table.
        table: String,
        /// The conditions, all of which must hold.
        conditions: Vec<Condition>,
        /// The columns to read, `None` for all. `_uuid` is always read too.
        columns: Option<Vec<String>>,
    },
    /// Overwrites columns in the rows that fulfil all conditions.
    Update {
        /// The table.
        table: String,
        /// The conditions, all of which must hold.
        conditions: Vec<Condition>,
        /// The columns to overwrite.
        row: Columns,
    },
    /// Changes columns in place in the rows that fulfil all conditions.
    Mutate {
        /// The table.
        table: String,
        /// The conditions, all of which must hold.
        conditions: Vec<Condition>,
        /// What to change.
        mutations: Vec<Mutation>,
    },
    /// Removes the rows that fulfil all conditions.
    Delete {
        /// The table.
        table: String,
        /// The conditions, all of which must hold.
        conditions: Vec<Condition>,
    },
    /// Holds the transaction back until a query gives, or no longer gives, certain rows.
    Wait(Wait),
    /// Text for the server's log.
    Comment(String),
    /// Fails unless the connection holds this lock.
    Assert(String),
    /// Asks for a commit, durable on disk if `durable`.
    Commit {
        /// Whether the reply waits for the disk.
        durable: bool,
    },
    /// Fails, for dry runs.
    Abort,
}

/// The operation `wait` (RFC 7047 section 5.2.6).
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    /// The table.
    pub table: String,
    /// The conditions, all of which must hold.
    pub conditions: Vec<Condition>,
    /// The columns to compare.
    pub columns: Vec<String>,
    /// Whether the rows found must equal `rows` or differ from them.
    pub until: Until,
    /// The rows to compare with.
    pub rows: Vec<Columns>,
    /// How long to wait, in whole milliseconds; zero checks once, `None` waits forever. When it
    /// expires the transaction fails with `timed out`.
    pub timeout: Option<Duration>,
}

/// What a [`Wait`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The rows found are the rows given.
    Equal,
    /// The rows found are not the rows given.
    NotEqual,
}

/// A test on one column (RFC 7047 section 5.1, `<condition>`).
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    column: String,
    function: &'static str,
    value: Datum,
}

impl Condition {
    /// The column equals the value.
    pub fn equal(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, "==", value)
    }

    /// The column differs from the value.
    pub fn not_equal(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, "!=", value)
    }

    /// The column contains every element or entry of the value.
    pub fn includes(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, "includes", value)
    }

    /// The column contains no element or entry of the value.
    pub fn excludes(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, "excludes", value)
    }

    /// The number is less than the value.
    pub fn less(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, "<", value)
    }

    /// The number is less than or equal to the value.
    pub fn less_or_equal(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, "<=", value)
    }

    /// The number is greater than the value.
    pub fn greater(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, ">", value)
    }

    /// The number is greater than or equal to the value.
    pub fn greater_or_equal(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, ">=", value)
    }

    /// `[column, function, value]`
    pub fn to_json(&self) -> Value {
        json!([self.column, self.function, self.value.to_json()])
    }

    fn new(column: impl Into<String>, function: &'static str, value: impl Into<Datum>) -> Self {
        Self {
            column: column.into(),
            function,
            value: value.into(),
        }
    }
}

/// A change of one column in place (RFC 7047 section 5.1, `<mutation>`).
#[derive(Clone, Debug, PartialEq)]
pub struct Mutation {
    column: String,
    mutator: &'static str,
    value: Datum,
}

impl Mutation {
    /// Adds elements to a set, or entries with new keys to a map (a present key keeps its value).
    pub fn insert(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, "insert", value)
    }

    /// Removes elements from a set; from a map, entries equal to those of a map or those whose
    /// key is in a set.
    pub fn delete(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, "delete", value)
    }

    /// Adds a number.
    pub fn add(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, "+=", value)
    }

    /// Subtracts a number.
    pub fn subtract(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, "-=", value)
    }

    /// Multiplies by a number.
    pub fn multiply(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, "*=", value)
    }

    /// Divides by a number.
    pub fn divide(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, "/=", value)
    }

    /// Keeps the remainder of a division by an integer.
    pub fn remainder(column: impl Into<String>, value: impl Into<Datum>) -> Self {
        Self::new(column, "%=", value)
    }

    /// `[column, mutator, value]`
    pub fn to_json(&self) -> Value {
        json!([self.column, self.mutator, self.value.to_json()])
    }

    fn new(column: impl Into<String>, mutator: &'static str, value: impl Into<Datum>) -> Self {
        Self {
            column: column.into(),
            mutator,
            value: value.into(),
        }
    }
}

impl Operation {
    /// The object that stands for this operation in `transact`.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Insert {
                table,
                row,
                uuid_name,
            } => {
                let mut insert = json!({"op": "insert", "table": table, "row": row_json(row)});
                if let (Some(name), Value::Object(members)) = (uuid_name, &mut insert) {
                    members.insert("uuid-name".to_owned(), json!(name));
                }
                insert
            }
            Self::Select {
                table,
                conditions,
                columns,
            } => {
                let conditions = conditions_json(conditions);
                match columns {
                    None => json!({"op": "select", "table": table, "where": conditions}),
                    Some(columns) => {
                        let identity = (!columns.iter().any(|name| name == "_uuid"))
                            .then(|| "_uuid".to_owned());
                        let columns: Vec<_> = columns.iter().chain(&identity).collect();
                        json!({
                            "op": "select",
                            "table": table,
                            "where": conditions,
                            "columns": columns,
                        })
                    }
                }
            }
            Self::Update {
                table,
                conditions,
                row,
            } => json!({
                "op": "update",
                "table": table,
                "where": conditions_json(conditions),
                "row": row_json(row),
            }),
            Self::Mutate {
                table,
                conditions,
                mutations,
            } => json!({
                "op": "mutate",
                "table": table,
                "where": conditions_json(conditions),
                "mutations": mutations.iter().map(Mutation::to_json).collect::<Vec<_>>(),
            }),
            Self::Delete { table, conditions } => json!({
                "op": "delete",
                "table": table,
                "where": conditions_json(conditions),
            }),
            Self::Wait(wait) => wait.to_json(),
            Self::Comment(text) => json!({"op": "comment", "comment": text}),
            Self::Assert(lock) => json!({"op": "assert", "lock": lock}),
            Self::Commit { durable } => json!({"op": "commit", "durable": durable}),
            Self::Abort => json!({"op": "abort"}),
        }
    }
}

impl Wait {
    fn to_json(&self) -> Value {
        let until = match self.until {
            Until::Equal => "==",
            Until::NotEqual => "!=",
        };
        let mut wait = json!({
            "op": "wait",
            "table": self.table,
            "where": conditions_json(&self.conditions),
            "columns": self.columns,
            "until": until,
            "rows": self.rows.iter().map(row_json).collect::<Vec<_>>(),
        });
        if let (Some(timeout), Value::Object(members)) = (self.timeout, &mut wait) {
            let milliseconds = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
            members.insert("timeout".to_owned(), json!(milliseconds));
        }
        wait
    }
}

fn conditions_json(conditions: &[Condition]) -> Value {
    Value::Array(conditions.iter().map(Condition::to_json).collect())
}

fn row_json(row: &Columns) -> Value {
    Value::Object(
        row.iter()
            .map(|(name, datum)| (name.clone(), datum.to_json()))
            .collect(),
    )
}
