// SPDX-License-Identifier: Apache-2.0
//! OVSDB (RFC 7047) client: pure protocol core and a thin tokio shell.
#![forbid(unsafe_code)]

pub mod client;
pub mod monitor;
pub mod operation;
pub mod row;
pub mod schema;
mod text;
pub mod transaction;
pub mod transport;
pub mod value;

pub use client::{Client, Closed, Config, Error, Monitor};
pub use monitor::{ChangeSet, MonitorRequest, Replica, RowChange, TableMonitor};
pub use operation::{Columns, Condition, Mutation, Operation, Until, Wait};
pub use row::{Row, RowError};
pub use transaction::{
    Committed, FailedAt, NamedUuid, OperationIndex, Outcome, Transaction, TransactionFailure,
};
pub use transport::Remote;
pub use value::{Atom, Datum, Real, Uuid};
