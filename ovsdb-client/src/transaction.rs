// SPDX-License-Identifier: Apache-2.0
//! Building a transaction, and reading what became of it (RFC 7047 section 4.1.3).

mod outcome;

use serde_json::{Value, json};

use crate::operation::{Columns, Condition, Mutation, Operation, Wait};
use crate::value::Datum;

pub use outcome::{Committed, FailedAt, Outcome, OutcomeError, ResultShape, TransactionFailure};

/// Operations that the server applies all or not at all, in order.
///
/// ```
/// use ovsdb_client::{Condition, Datum, Mutation, Transaction};
///
/// let mut add_port = Transaction::new();
/// let interface = add_port.insert("Interface", [("name", Datum::from("veth0"))]);
/// let port = add_port.insert(
///     "Port",
///     [("name", Datum::from("veth0")), ("interfaces", Datum::from(&interface))],
/// );
/// let attached = add_port.mutate(
///     "Bridge",
///     [Condition::equal("name", "br-int")],
///     [Mutation::insert("ports", &port)],
/// );
/// // After the commit: outcome.uuid(&interface), outcome.count(attached) == 1
/// # let _ = attached;
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transaction {
    operations: Vec<Operation>,
}

/// The position of an operation in its transaction: the key to its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationIndex(pub usize);

/// The row an `insert` of this transaction will add; usable as a value in later operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedUuid {
    name: String,
    index: OperationIndex,
}

impl NamedUuid {
    /// The name, an `<id>` of RFC 7047 section 3.1.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The `insert` that adds the row.
    pub const fn index(&self) -> OperationIndex {
        self.index
    }
}

impl Transaction {
    /// No operations.
    pub fn new() -> Self {
        Self::default()
    }

    /// The operations, in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Adds any operation.
    pub fn push(&mut self, operation: Operation) -> OperationIndex {
        self.operations.push(operation);
        OperationIndex(self.operations.len() - 1)
    }

    /// Adds a row; columns not named get their default.
    pub fn insert(
        &mut self,
        table: impl Into<String>,
        row: impl IntoIterator<Item = (impl Into<String>, Datum)>,
    ) -> NamedUuid {
        let name = format!("row{}", self.operations.len());
        let index = self.push(Operation::Insert {
            table: table.into(),
            row: columns(row),
            uuid_name: Some(name.clone()),
        });
        NamedUuid { name, index }
    }

    /// Reads columns of the rows that fulfil all conditions; the result is
    /// [`Committed::rows`].
    pub fn select(
        &mut self,
        table: impl Into<String>,
        conditions: impl IntoIterator<Item = Condition>,
        columns: impl IntoIterator<Item = impl Into<String>>,
    ) -> OperationIndex {
        self.push(Operation::Select {
            table: table.into(),
            conditions: conditions.into_iter().collect(),
            columns: Some(columns.into_iter().map(Into::into).collect()),
        })
    }

    /// Overwrites columns of the rows that fulfil all conditions; the result is
    /// [`Committed::count`].
    pub fn update(
        &mut self,
        table: impl Into<String>,
        conditions: impl IntoIterator<Item = Condition>,
        row: impl IntoIterator<Item = (impl Into<String>, Datum)>,
    ) -> OperationIndex {
        self.push(Operation::Update {
            table: table.into(),
            conditions: conditions.into_iter().collect(),
            row: columns(row),
        })
    }

    /// Changes columns in place in the rows that fulfil all conditions; the result is
    /// [`Committed::count`].
    pub fn mutate(
        &mut self,
        table: impl Into<String>,
        conditions: impl IntoIterator<Item = Condition>,
        mutations: impl IntoIterator<Item = Mutation>,
    ) -> OperationIndex {
        self.push(Operation::Mutate {
            table: table.into(),
            conditions: conditions.into_iter().collect(),
            mutations: mutations.into_iter().collect(),
        })
    }

    /// Removes the rows that fulfil all conditions; the result is [`Committed::count`].
    pub fn delete(
        &mut self,
        table: impl Into<String>,
        conditions: impl IntoIterator<Item = Condition>,
    ) -> OperationIndex {
        self.push(Operation::Delete {
            table: table.into(),
            conditions: conditions.into_iter().collect(),
        })
    }

    /// Holds the transaction back until a query gives certain rows.
    pub fn wait(&mut self, wait: Wait) -> OperationIndex {
        self.push(Operation::Wait(wait))
    }

    /// Writes to the server's log.
    pub fn comment(&mut self, text: impl Into<String>) -> OperationIndex {
        self.push(Operation::Comment(text.into()))
    }

    /// The parameters of `transact`.
    pub fn to_json(&self, database: &str) -> Value {
        let operations = self.operations.iter().map(Operation::to_json);
        Value::Array(std::iter::once(json!(database)).chain(operations).collect())
    }
}

fn columns(row: impl IntoIterator<Item = (impl Into<String>, Datum)>) -> Columns {
    row.into_iter()
        .map(|(name, datum)| (name.into(), datum))
        .collect()
}
