// SPDX-License-Identifier: Apache-2.0
//! The task that owns a stream and its session.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::client::Closed;
use crate::client::monitor::{Batch, Feed};
use crate::config::Config;
use crate::monitor::{ChangeSet, MonitorRequest, Replica};
use crate::schema::Schema;
use crate::session::{Event, RequestError, RequestId, Session};
use crate::transaction::{Outcome, Transaction};

/// With this many bytes unsent the task neither reads nor takes commands: a server that does not
/// read our answers is not asked for more.
const MAX_UNSENT_BYTES: usize = 1024 * 1024;

/// How much is read at once; a controller has thousands of connections.
const READ_BYTES: usize = 16 * 1024;

/// Where the answer of a command goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, RequestError>>;

/// What a handle asks of the task.
#[derive(Debug)]
pub(super) enum Command {
    Transact {
        database: String,
        transaction: Transaction,
        reply: Reply<Outcome>,
    },
    Schema {
        database: String,
        reply: Reply<Arc<Schema>>,
    },
    Monitor {
        database: String,
        request: MonitorRequest,
        reply: Reply<Feed>,
    },
}

/// One connection: the session, and who waits for what.
#[derive(Debug)]
pub(super) struct Connection {
    session: Session,
    commands: mpsc::Receiver<Command>,
    alive: mpsc::Receiver<Infallible>,
    attention: Arc<Notify>,
    waiting: BTreeMap<RequestId, Waiting>,
    monitors: BTreeMap<RequestId, MonitorFeed>,
}

#[derive(Debug)]
enum Waiting {
    Transact(Reply<Outcome>),
    Schema(Reply<Arc<Schema>>),
    Monitor(Reply<Feed>),
}

/// The writer's end of a monitor. While the reader has not taken a batch, changes are folded.
#[derive(Debug)]
struct MonitorFeed {
    batches: mpsc::Sender<Batch>,
    folded: ChangeSet,
    ended: Option<RequestError>,
}

impl Connection {
    pub(super) fn new(
        config: &Config,
        commands: mpsc::Receiver<Command>,
        alive: mpsc::Receiver<Infallible>,
        attention: Arc<Notify>,
    ) -> Self {
        Self {
            session: Session::new(config, now()),
            commands,
            alive,
            attention,
            waiting: BTreeMap::new(),
            monitors: BTreeMap::new(),
        }
    }

    /// Serves the connection to its end. The reason is published before any waiter is let go.
    pub(super) async fn run<S>(mut self, stream: S, closed: watch::Sender<Option<Closed>>)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let reason = match self.serve(stream).await {
            Ok(()) => Closed::Stopped,
            Err(reason) => reason,
        };
        tracing::debug!(%reason, "OVSDB connection has ended");
        closed.send_replace(Some(reason));
    }

    /// `Ok` when no handle is left.
    async fn serve<S>(&mut self, stream: S) -> Result<(), Closed>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut buffer = vec![0; READ_BYTES];
        let mut unsent = VecDeque::new();
        let mut unflushed = false;
        loop {
            while let Some(event) = self.session.poll_event() {
                self.deliver(event);
            }
            self.feed_monitors();
            while let Some(bytes) = self.session.poll_transmit() {
                unsent.extend(bytes);
            }
            let congested = unsent.len() >= MAX_UNSENT_BYTES;
            tokio::select! {
                read = reader.read(&mut buffer), if !congested => match read? {
                    0 => return Err(Closed::ByServer),
                    count => {
                        let bytes = buffer.get(..count).unwrap_or_default();
                        self.session.handle_bytes(now(), bytes)?;
                    }
                },
                written = write(&mut writer, &unsent), if unflushed || !unsent.is_empty() => {
                    let count = written?;
                    unflushed = count > 0;
                    unsent.drain(..count.min(unsent.len()));
                }
                Some(command) = self.commands.recv(), if !congested => self.start(command),
                None = self.alive.recv() => return Ok(()),
                () = self.attention.notified() => self.drop_abandoned(),
                () = until(self.session.poll_timeout()) => self.session.handle_timeout(now())?,
            }
        }
    }

    fn start(&mut self, command: Command) {
        match command {
            Command::Transact {
                database,
                transaction,
                reply,
            } if !reply.is_closed() => match self.session.transact(&database, &transaction) {
                Ok(id) => self.wait_for(id, Waiting::Transact(reply)),
                Err(error) => answer(reply, Err(error)),
            },
            Command::Schema { database, reply } if !reply.is_closed() => {
                match self.session.schema(&database) {
                    Ok(id) => self.wait_for(id, Waiting::Schema(reply)),
                    Err(error) => answer(reply, Err(error)),
                }
            }
            Command::Monitor {
                database,
                request,
                reply,
            } if !reply.is_closed() => match self.session.monitor(&database, request) {
                Ok(id) => self.wait_for(id, Waiting::Monitor(reply)),
                Err(error) => answer(reply, Err(error)),
            },
            Command::Transact { .. } | Command::Schema { .. } | Command::Monitor { .. } => {}
        }
    }

    fn wait_for(&mut self, id: RequestId, waiting: Waiting) {
        self.waiting.insert(id, waiting);
    }

    fn deliver(&mut self, event: Event) {
        match event {
            Event::Transacted { id, result } => {
                if let Some(Waiting::Transact(reply)) = self.waiting.remove(&id) {
                    answer(reply, result);
                }
            }
            Event::Schema { id, result } => {
                if let Some(Waiting::Schema(reply)) = self.waiting.remove(&id) {
                    answer(reply, result);
                }
            }
            Event::Monitoring { id, result } => {
                if let Some(Waiting::Monitor(reply)) = self.waiting.remove(&id) {
                    self.begin_feed(id, reply, result);
                }
            }
            Event::Changed { id, changes } => {
                if let Some(feed) = self.monitors.get_mut(&id) {
                    for change in changes {
                        feed.folded.fold(change);
                    }
                }
            }
            Event::MonitorEnded { id, error } => {
                if let Some(feed) = self.monitors.get_mut(&id) {
                    feed.ended = Some(error);
                }
            }
        }
    }

    fn begin_feed(
        &mut self,
        id: RequestId,
        reply: Reply<Feed>,
        result: Result<Replica, RequestError>,
    ) {
        let result = result.map(|replica| {
            let (batches, receiver) = mpsc::channel(1);
            let feed = MonitorFeed {
                batches,
                folded: ChangeSet::default(),
                ended: None,
            };
            self.monitors.insert(id, feed);
            (replica, receiver)
        });
        // If nobody waits, the receiver is dropped here and the next look finds the feed closed.
        answer(reply, result);
    }

    /// Hands each monitor what was folded for it, if its reader has taken the last batch.
    fn feed_monitors(&mut self) {
        let session = &mut self.session;
        self.monitors.retain(|id, feed| {
            if feed.batches.is_closed() {
                session.cancel(*id);
                return false;
            }
            if !feed.folded.is_empty() {
                match feed.batches.try_reserve() {
                    Ok(room) => room.send(Ok(std::mem::take(&mut feed.folded).into_changes())),
                    Err(TrySendError::Full(()) | TrySendError::Closed(())) => return true,
                }
            }
            let Some(error) = feed.ended.take() else {
                return true;
            };
            match feed.batches.try_send(Err(error)) {
                Err(TrySendError::Full(Err(error))) => {
                    feed.ended = Some(error);
                    true
                }
                Ok(()) | Err(TrySendError::Full(Ok(_)) | TrySendError::Closed(_)) => false,
            }
        });
    }

    fn drop_abandoned(&mut self) {
        let session = &mut self.session;
        self.waiting.retain(|id, waiting| {
            let abandoned = match waiting {
                Waiting::Transact(reply) => reply.is_closed(),
                Waiting::Schema(reply) => reply.is_closed(),
                Waiting::Monitor(reply) => reply.is_closed(),
            };
            if abandoned {
                session.cancel(*id);
            }
            !abandoned
        });
    }
}

/// A reader that has gone needs no answer.
fn answer<T>(reply: Reply<T>, result: Result<T, RequestError>) {
    drop(reply.send(result));
}

/// Writes some bytes, or flushes if there are none.
async fn write<W>(writer: &mut W, unsent: &VecDeque<u8>) -> io::Result<usize>
where
    W: AsyncWrite + Unpin,
{
    match unsent.as_slices().0 {
        [] => writer.flush().await.map(|()| 0),
        bytes => match writer.write(bytes).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            count => Ok(count),
        },
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
