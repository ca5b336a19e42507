// SPDX-License-Identifier: Apache-2.0
//! The tokio shell: one task per connection, and handles to it.
//!
//! ```text
//!   Client --commands (bounded)--> task <--> stream
//!          <--one reply each------
//!   Monitor <--batches (one)------ task folds changes while a batch is not taken
//! ```

mod monitor;
mod task;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::config::Config;
use crate::monitor::MonitorRequest;
use crate::schema::Schema;
use crate::session::{RequestError, SessionError};
use crate::transaction::{Outcome, Transaction};
use crate::transport::Remote;

pub use monitor::Monitor;

use task::{Command, Connection, Reply};

/// How many commands may wait for the task; more make their senders wait.
const COMMANDS: usize = 32;

/// A handle to one connection; cloning it is cheap. The connection ends with its last handle;
/// a [`Monitor`] holds one.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    attention: Arc<Notify>,
    closed: watch::Receiver<Option<Closed>>,
    _alive: mpsc::Sender<Infallible>,
}

impl Client {
    /// Connects to a server with the default [`Config`].
    pub async fn connect(remote: &Remote) -> Result<Self, Error> {
        Self::connect_with(remote, Config::default()).await
    }

    /// Connects to a server. Waits as long as the system does.
    pub async fn connect_with(remote: &Remote, config: Config) -> Result<Self, Error> {
        let connected = match remote {
            Remote::Unix(path) => UnixStream::connect(path)
                .await
                .map(|stream| Self::from_stream(stream, config)),
            Remote::Tcp { host, port } => connect_tcp(host, *port)
                .await
                .map(|stream| Self::from_stream(stream, config)),
        };
        connected.map_err(|source| Error::Connect {
            remote: remote.clone(),
            source: Arc::new(source),
        })
    }

    /// Speaks as a client on a stream that is connected already, whoever dialled. On TCP the
    /// caller should have set `TCP_NODELAY`. Must be called in a tokio runtime.
    pub fn from_stream<S>(stream: S, config: Config) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (command_sender, commands) = mpsc::channel(COMMANDS);
        let (closed_sender, closed) = watch::channel(None);
        let (alive_sender, alive) = mpsc::channel(1);
        let attention = Arc::new(Notify::new());
        let connection = Connection::new(&config, commands, alive, Arc::clone(&attention));
        tokio::spawn(connection.run(stream, closed_sender));
        Self {
            commands: command_sender,
            attention,
            closed,
            _alive: alive_sender,
        }
    }

    /// Runs a transaction. Dropping the future asks the server to cancel the transaction, which
    /// may nevertheless have been committed.
    pub async fn transact(&self, db: &str, transaction: Transaction) -> Result<Outcome, Error> {
        let database = db.to_owned();
        self.request(|reply| Command::Transact {
            database,
            transaction,
            reply,
        })
        .await
    }

    /// Follows part of a database. Returns when the initial replica is complete.
    pub async fn monitor(&self, db: &str, request: MonitorRequest) -> Result<Monitor, Error> {
        let database = db.to_owned();
        let feed = self
            .request(|reply| Command::Monitor {
                database,
                request,
                reply,
            })
            .await?;
        Ok(Monitor::new(self.clone(), feed))
    }

    /// The schema of a database.
    pub async fn schema(&self, db: &str) -> Result<Arc<Schema>, Error> {
        let database = db.to_owned();
        self.request(|reply| Command::Schema { database, reply })
            .await
    }

    /// Waits until the connection has ended, and says why.
    pub async fn closed(&self) -> Closed {
        let mut closed = self.closed.clone();
        let reason = closed.wait_for(Option::is_some).await;
        reason
            .ok()
            .and_then(|reason| reason.clone())
            .unwrap_or(Closed::Stopped)
    }

    async fn request<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        // Dropped after the receiver, so that the task finds the reply unwanted.
        let mut abandoned = Abandoned {
            attention: Some(&self.attention),
        };
        let (reply, answer) = oneshot::channel();
        if self.commands.send(command(reply)).await.is_err() {
            return Err(self.closed().await.into());
        }
        let answer = answer.await;
        abandoned.attention = None;
        match answer {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(self.closed().await.into()),
        }
    }
}

/// Tells the task to look for replies and monitors nobody waits for any more.
struct Abandoned<'a> {
    attention: Option<&'a Notify>,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if let Some(attention) = self.attention {
            attention.notify_one();
        }
    }
}

async fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A request that got no usable answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The server could not be reached.
    #[error("cannot connect to {remote}: {source}; is ovsdb-server running there?")]
    Connect {
        /// The server.
        remote: Remote,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The connection has ended; a transaction may or may not have taken effect.
    #[error("the OVSDB connection has ended: {0}")]
    Closed(#[from] Closed),
    /// The request failed; the connection goes on.
    #[error(transparent)]
    Request(#[from] RequestError),
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
    /// The server does not follow the protocol, or does not answer.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// No handle is left, or the runtime has shut down.
    #[error("the connection task has stopped")]
    Stopped,
}

impl From<io::Error> for Closed {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

#[cfg(test)]
mod tests;
