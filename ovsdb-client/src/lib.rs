// SPDX-License-Identifier: Apache-2.0
//! OVSDB (RFC 7047) client: pure protocol core and a thin tokio shell.
//!
//! | part | module |
//! |---|---|
//! | values and rows | [`value`], [`row`], [`schema`] |
//! | requests | [`operation`], [`transaction`], [`monitor`] |
//! | the wire | [`rpc`] |
//! | a connection without socket and clock | [`session`] |
//! | a connection on tokio | [`client`], [`transport`] |
//!
//! Only the last row does IO. A [`Monitor`] keeps a [`Replica`] that always equals one committed
//! state of the database. Reconnecting is left to the owner: a new connection begins with a new
//! replica, because a standalone database cannot tell what was missed.
//!
//! Deliberately absent: locks, `monitor_cond_since` (of use with clustered databases only), TLS
//! (hand [`Client::from_stream`] an encrypted stream).
#![forbid(unsafe_code)]

pub mod client;
mod config;
pub mod monitor;
pub mod operation;
pub mod row;
pub mod rpc;
pub mod schema;
pub mod session;
mod text;
pub mod transaction;
pub mod transport;
pub mod value;

pub use client::{Client, Closed, Error, Monitor};
pub use config::Config;
pub use monitor::{ChangeSet, MonitorRequest, Replica, RowChange, TableMonitor};
pub use operation::{Columns, Condition, Mutation, Operation, Until, Wait};
pub use row::{Row, RowError};
pub use session::RequestError;
pub use transaction::{
    Committed, FailedAt, NamedUuid, OperationIndex, Outcome, Transaction, TransactionFailure,
};
pub use transport::Remote;
pub use value::{Atom, Datum, Real, Uuid};
