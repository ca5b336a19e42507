// SPDX-License-Identifier: Apache-2.0
//! The tokio shell: one task per connection, and handles to it.
#![expect(
    clippy::unused_async,
    clippy::drop_non_drop,
    reason = "the connection task follows these signatures"
)]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::monitor::{MonitorRequest, Replica, RowChange};
use crate::schema::Schema;
use crate::transaction::{Outcome, OutcomeError, Transaction};
use crate::transport::Remote;

/// Limits of a connection.
#[derive(Clone, Debug)]
pub struct Config {
    /// The longest silence of the server before it is asked for a sign of life, and then again
    /// before the connection is given up; `None` never asks.
    pub probe_interval: Option<Duration>,
    /// The largest message accepted, in bytes.
    pub max_message_bytes: usize,
    /// How many requests may wait for their reply at a time.
    pub max_requests: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            probe_interval: Some(Duration::from_secs(10)),
            max_message_bytes: 64 * 1024 * 1024,
            max_requests: 1024,
        }
    }
}

/// A handle to one connection; cloning it is cheap. The connection ends with its last handle;
/// a [`Monitor`] holds one.
#[derive(Clone, Debug)]
pub struct Client {}

impl Client {
    /// Connects to a server with the default [`Config`].
    pub async fn connect(remote: &Remote) -> Result<Self, Error> {
        Self::connect_with(remote, Config::default()).await
    }

    /// Connects to a server.
    pub async fn connect_with(remote: &Remote, config: Config) -> Result<Self, Error> {
        drop((remote, config));
        todo!()
    }

    /// Speaks as a client on a stream that is connected already, whoever dialled. Must be called
    /// in a tokio runtime.
    pub fn from_stream<S>(stream: S, config: Config) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        drop((stream, config));
        todo!()
    }

    /// Runs a transaction. Dropping the future asks the server to cancel the transaction, which
    /// may nevertheless have been committed.
    pub async fn transact(&self, db: &str, transaction: Transaction) -> Result<Outcome, Error> {
        drop((db, transaction));
        todo!()
    }

    /// Follows part of a database. Returns when the initial replica is complete.
    pub async fn monitor(&self, db: &str, request: MonitorRequest) -> Result<Monitor, Error> {
        drop((db, request));
        todo!()
    }

    /// The schema of a database.
    pub async fn schema(&self, db: &str) -> Result<Arc<Schema>, Error> {
        let _: &str = db;
        todo!()
    }

    /// Waits until the connection has ended, and says why.
    pub async fn closed(&self) -> Closed {
        todo!()
    }
}

/// A replica of part of a database, kept current by the connection it belongs to.
#[derive(Debug)]
pub struct Monitor {}

impl Monitor {
    /// The state after the last batch that [`Monitor::changed`] returned.
    pub fn replica(&self) -> &Replica {
        todo!()
    }

    /// Waits for changes, applies them to the replica and returns them: at most one per row, the
    /// difference of two committed states, ordered by table and row. A reader that is slow gets
    /// fewer and larger batches. Cancel safe. An error means the connection has ended.
    pub async fn changed(&mut self) -> Result<Vec<RowChange>, Error> {
        todo!()
    }

    /// The connection this monitor belongs to.
    pub fn client(&self) -> &Client {
        todo!()
    }
}

/// A request that got no usable answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The server could not be reached.
    #[error("cannot connect to {remote}: {source}")]
    Connect {
        /// The server.
        remote: Remote,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The connection has ended; the request may or may not have taken effect.
    #[error("OVSDB connection ended: {0}")]
    Closed(#[from] Closed),
    /// The server refused the request.
    #[error("OVSDB server refused {method}: {error}")]
    Refused {
        /// The method.
        method: &'static str,
        /// The server's words.
        error: String,
    },
    /// The answer to a transaction does not fit it.
    #[error("answer to transact: {0}")]
    Outcome(#[from] OutcomeError),
}

/// Why a connection has ended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Closed {
    /// The server closed it.
    #[error("closed by the server")]
    ByServer,
    /// Reading or writing failed.
    #[error("{0}")]
    Io(Arc<io::Error>),
}
