// SPDX-License-Identifier: Apache-2.0
//! What the server answers to `transact`: one result per operation, or where it failed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::operation::Operation;
use crate::row::Row;
use crate::text::excerpt;
use crate::transaction::{NamedUuid, OperationIndex, Transaction};
use crate::value::{Atom, Datum, NotationError, Uuid};

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Every operation took effect.
    Committed(Committed),
    /// Nothing took effect.
    Failed(TransactionFailure),
}

impl Outcome {
    /// The results, or the failure as an error.
    pub fn committed(self) -> Result<Committed, TransactionFailure> {
        match self {
            Self::Committed(committed) => Ok(committed),
            Self::Failed(failure) => Err(failure),
        }
    }
}

/// The results of a transaction that took effect, one per operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    results: Vec<OperationResult>,
}

#[derive(Clone, Debug, PartialEq)]
enum OperationResult {
    Inserted(Uuid),
    Rows(Vec<Row>),
    Count(u64),
    Done,
}

impl Committed {
    /// The identity of an inserted row. `None` if `row` is of another transaction.
    pub fn uuid(&self, row: &NamedUuid) -> Option<Uuid> {
        let OperationResult::Inserted(uuid) = self.results.get(row.index().0)? else {
            return None;
        };
        Some(*uuid)
    }

    /// The rows a `select` read. Empty if the operation is no `select`.
    pub fn rows(&self, select: OperationIndex) -> &[Row] {
        let Some(OperationResult::Rows(rows)) = self.results.get(select.0) else {
            return &[];
        };
        rows
    }

    /// How many rows an `update`, `mutate` or `delete` met. Zero if the operation is another.
    pub fn count(&self, operation: OperationIndex) -> u64 {
        let Some(OperationResult::Count(count)) = self.results.get(operation.0) else {
            return 0;
        };
        *count
    }
}

/// A transaction that the server refused; nothing took effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at} failed: {error}{}", DetailsText(.details.as_deref()))]
pub struct TransactionFailure {
    /// Where it failed.
    pub at: FailedAt,
    /// The error word of RFC 7047, such as `timed out` or `constraint violation`.
    pub error: String,
    /// The server's explanation.
    pub details: Option<String>,
}

impl TransactionFailure {
    /// Whether a `wait` did not come true in its time.
    pub fn is_timed_out(&self) -> bool {
        self.error == "timed out"
    }

    /// Whether a constraint of the schema forbids the result, such as an index of unique names.
    pub fn is_constraint_violation(&self) -> bool {
        self.error == "constraint violation"
    }
}

/// Where a transaction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedAt {
    /// At one operation; those after it were not tried.
    Operation(OperationIndex),
    /// After all operations, when their result was to be committed.
    Commit,
}

impl fmt::Display for FailedAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation(index) => write!(f, "operation {} of the transaction", index.0),
            Self::Commit => f.write_str("commit of the transaction"),
        }
    }
}

struct DetailsText<'a>(Option<&'a str>);

impl fmt::Display for DetailsText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(details) => write!(f, ": {details}"),
            None => Ok(()),
        }
    }
}

/// A result of `transact` that does not fit the transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutcomeError {
    /// The result is not an array of one element per operation.
    #[error("expected an array of {expected} results, found {found}")]
    Shape {
        /// The number of operations.
        expected: usize,
        /// The beginning of what was found.
        found: String,
    },
    /// One result does not fit its operation.
    #[error("result of operation {index} does not fit {operation}: {found}")]
    Result {
        /// The position of the operation.
        index: usize,
        /// The operation.
        operation: &'static str,
        /// The beginning of what was found.
        found: String,
    },
    /// A selected column is no OVSDB value.
    #[error("result of operation {index}, column {column}: {source}")]
    Column {
        /// The position of the operation.
        index: usize,
        /// The column.
        column: String,
        /// What is wrong with it.
        source: NotationError,
    },
}

/// The part of each operation that is needed to read its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultShape {
    operations: Vec<OperationShape>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OperationShape {
    Insert,
    Select(Arc<str>),
    Count(&'static str),
    Empty(&'static str),
}

impl ResultShape {
    /// What the result of `transaction` must look like.
    pub fn of(transaction: &Transaction) -> Self {
        let shape = |operation: &Operation| match operation {
            Operation::Insert { .. } => OperationShape::Insert,
            Operation::Select { table, .. } => OperationShape::Select(Arc::from(table.as_str())),
            Operation::Update { .. } => OperationShape::Count("update"),
            Operation::Mutate { .. } => OperationShape::Count("mutate"),
            Operation::Delete { .. } => OperationShape::Count("delete"),
            Operation::Wait(_) => OperationShape::Empty("wait"),
            Operation::Comment(_) => OperationShape::Empty("comment"),
            Operation::Assert(_) => OperationShape::Empty("assert"),
            Operation::Commit { .. } => OperationShape::Empty("commit"),
            Operation::Abort => OperationShape::Empty("abort"),
        };
        Self {
            operations: transaction.operations().iter().map(shape).collect(),
        }
    }

    /// Reads the `result` of the reply. An operation that failed has an error in its place and
    /// `null` in the place of each later one; a commit that failed adds one more element.
    pub fn read(&self, result: Value) -> Result<Outcome, OutcomeError> {
        let expected = self.operations.len();
        let Value::Array(elements) = result else {
            return Err(OutcomeError::Shape {
                expected,
                found: excerpt(&result.to_string()),
            });
        };
        let count = elements.len();
        let mut elements = elements.into_iter();
        let mut results = Vec::with_capacity(expected);
        for (index, shape) in self.operations.iter().enumerate() {
            let Some(element) = elements.next() else {
                return Err(OutcomeError::Shape {
                    expected,
                    found: format!("{count} results"),
                });
            };
            if let Some(failure) = failure(&element, FailedAt::Operation(OperationIndex(index))) {
                return Ok(Outcome::Failed(failure));
            }
            results.push(shape.read(index, element)?);
        }
        match elements.next() {
            None => Ok(Outcome::Committed(Committed { results })),
            Some(element) => failure(&element, FailedAt::Commit)
                .map(Outcome::Failed)
                .ok_or_else(|| OutcomeError::Shape {
                    expected,
                    found: format!("{count} results"),
                }),
        }
    }
}

impl OperationShape {
    const fn name(&self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Select(_) => "select",
            Self::Count(name) | Self::Empty(name) => name,
        }
    }

    fn read(&self, index: usize, element: Value) -> Result<OperationResult, OutcomeError> {
        let misfit = |found: String| OutcomeError::Result {
            index,
            operation: self.name(),
            found: excerpt(&found),
        };
        let Value::Object(mut members) = element else {
            return Err(misfit(element.to_string()));
        };
        match self {
            Self::Insert => {
                let uuid = members.remove("uuid").map(Datum::from_json);
                match uuid.and_then(Result::ok).as_ref().and_then(Datum::scalar) {
                    Some(Atom::Uuid(uuid)) => Ok(OperationResult::Inserted(*uuid)),
                    _ => Err(misfit("no uuid".to_owned())),
                }
            }
            Self::Select(table) => match members.remove("rows") {
                Some(Value::Array(rows)) => rows
                    .into_iter()
                    .map(|row| select_row(index, table, row))
                    .collect::<Result<_, _>>()
                    .map(OperationResult::Rows),
                _ => Err(misfit("no rows".to_owned())),
            },
            Self::Count(_) => match members.get("count").and_then(Value::as_u64) {
                Some(count) => Ok(OperationResult::Count(count)),
                None => Err(misfit("no count".to_owned())),
            },
            Self::Empty(_) => Ok(OperationResult::Done),
        }
    }
}

fn select_row(index: usize, table: &Arc<str>, row: Value) -> Result<Row, OutcomeError> {
    let misfit = |found: &str| OutcomeError::Result {
        index,
        operation: "select",
        found: found.to_owned(),
    };
    let Value::Object(members) = row else {
        return Err(misfit("a row that is no object"));
    };
    let mut columns = BTreeMap::new();
    for (column, value) in members {
        let datum = Datum::from_json(value).map_err(|source| OutcomeError::Column {
            index,
            column: excerpt(&column),
            source,
        })?;
        columns.insert(Arc::from(column), datum);
    }
    match columns.get("_uuid").and_then(Datum::scalar) {
        Some(Atom::Uuid(uuid)) => Ok(Row::new(Arc::clone(table), *uuid, columns)),
        _ => Err(misfit("a row without _uuid")),
    }
}

/// `{"error": <string>, "details": <string>}`, RFC 7047 section 3.1, `<error>`.
fn failure(element: &Value, at: FailedAt) -> Option<TransactionFailure> {
    let error = element.get("error")?.as_str()?.to_owned();
    let details = element
        .get("details")
        .and_then(Value::as_str)
        .map(str::to_owned);
    Some(TransactionFailure { at, error, details })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operation::{Condition, Mutation};

    const UUID: &str = "632072e1-5bc2-4f0e-bfaf-450d43b61217";

    /// insert, mutate, select
    fn shape() -> (ResultShape, NamedUuid) {
        let mut transaction = Transaction::new();
        let row = transaction.insert("Port", [("name", Datum::from("veth0"))]);
        let bridge = [Condition::equal("name", "br-int")];
        transaction.mutate("Bridge", bridge, [Mutation::insert("ports", &row)]);
        transaction.select("Port", [], ["name"]);
        (ResultShape::of(&transaction), row)
    }

    #[test]
    fn each_result_is_read_by_its_operation() {
        let (shape, inserted) = shape();
        let rows = json!([{"_uuid": ["uuid", UUID], "name": "veth0"}]);
        let result = json!([{"uuid": ["uuid", UUID]}, {"count": 1}, {"rows": rows}]);
        let committed = shape.read(result).unwrap().committed().unwrap();
        assert_eq!(committed.uuid(&inserted), UUID.parse().ok());
        assert_eq!(committed.count(OperationIndex(1)), 1);
        assert_eq!(
            committed.rows(OperationIndex(2))[0].string("name"),
            Ok("veth0")
        );
        assert!(committed.rows(OperationIndex(9)).is_empty());
    }

    #[test]
    fn nulls_follow_the_operation_that_failed() {
        let (shape, _) = shape();
        let error = json!({"error": "timed out", "details": "\"wait\" timed out"});
        let result = json!([{"uuid": ["uuid", UUID]}, error, null]);
        let failure = shape.read(result).unwrap().committed().unwrap_err();
        assert!(failure.is_timed_out());
        assert_eq!(
            failure.to_string(),
            "operation 1 of the transaction failed: timed out: \"wait\" timed out"
        );
    }

    #[test]
    fn a_commit_that_failed_is_one_more_element() {
        let (shape, _) = shape();
        let done = json!({"uuid": ["uuid", UUID]});
        let result = json!([done, {"count": 1}, {"rows": []}, {"error": "constraint violation"}]);
        let failure = shape.read(result).unwrap().committed().unwrap_err();
        assert_eq!(failure.at, FailedAt::Commit);
        assert!(failure.is_constraint_violation());
    }

    #[test]
    fn a_result_that_does_not_fit_is_an_error() {
        let (shape, _) = shape();
        let uuid = json!({"uuid": ["uuid", UUID]});
        for result in [
            json!(null),
            json!([]),
            json!([uuid, {"count": 1}]),
            json!([null, null, null]),
            json!([{"count": 1}, {"count": 1}, {"rows": []}]),
            json!([uuid, {"count": -1}, {"rows": []}]),
            json!([uuid, {"count": 1}, {"rows": {}}]),
            json!([uuid, {"count": 1}, {"rows": [{"name": "veth0"}]}]),
            json!([uuid, {"count": 1}, {"rows": [{"name": null}]}]),
            json!([uuid, {"count": 1}, {"rows": []}, {}]),
        ] {
            assert!(shape.read(result.clone()).is_err(), "{result}");
        }
    }
}
