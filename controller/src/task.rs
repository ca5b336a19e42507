// SPDX-License-Identifier: Apache-2.0
//! The control task: owns [`Control`], and is the only one that does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::control::{ConnectionId, Control, Effect, Input};
use crate::machine::Facts;
use crate::rollout::Command;

/// Messages that wait for the control task; who sends more waits.
const MESSAGES: usize = 1_024;

/// Messages that are taken in before the state is settled, so that a burst is one batch.
const BURST: usize = 256;

/// How a connection is told what to do. Dropping it ends the connection.
#[derive(Debug)]
pub(crate) enum Peer {
    /// A machine's OVSDB.
    Machine(mpsc::Sender<Box<Facts>>),
    /// A switch.
    Switch(mpsc::Sender<Command>),
}

/// A question that the control task answers between two inputs.
type Question = Box<dyn FnOnce(&Control) + Send>;

pub(crate) enum Message {
    Connected(ConnectionId, Peer),
    Input(Input),
    Question(Question),
}

/// A way to the control task; cloning it is cheap.
#[derive(Clone)]
pub struct Handle {
    messages: mpsc::Sender<Message>,
    connections: Arc<AtomicU64>,
}

/// The control task has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the controller is shutting down")]
pub struct Ended;

/// Room for one input.
pub(crate) struct Permit<'a>(mpsc::Permit<'a, Message>);

impl Permit<'_> {
    pub(crate) fn send(self, input: Input) {
        self.0.send(Message::Input(input));
    }
}

impl Handle {
    /// A name for a new connection; later connections have greater names.
    pub(crate) fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed))
    }

    /// Introduces a connection; false when the control task has ended.
    pub(crate) async fn connected(&self, connection: ConnectionId, peer: Peer) -> bool {
        self.messages
            .send(Message::Connected(connection, peer))
            .await
            .is_ok()
    }

    /// Hands an input over. When the control task has ended, nobody needs it.
    pub async fn send(&self, input: Input) {
        if let Some(permit) = self.reserve().await {
            permit.send(input);
        }
    }

    /// Room for one input; `None` when the control task has ended.
    pub(crate) async fn reserve(&self) -> Option<Permit<'_>> {
        self.messages.reserve().await.ok().map(Permit)
    }

    /// What `question` finds out.
    ///
    /// # Errors
    /// The control task has ended.
    pub async fn ask<T, F>(&self, question: F) -> Result<T, Ended>
    where
        T: Send + 'static,
        F: FnOnce(&Control) -> T + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let question: Question = Box::new(move |control| {
            // Who asked may have gone.
            drop(reply.send(question(control)));
        });
        self.messages
            .send(Message::Question(question))
            .await
            .map_err(|_| Ended)?;
        answer.await.map_err(|_| Ended)
    }
}

/// A control task that is not running yet, and the way to it.
pub fn new(control: Control) -> (ControlTask, Handle) {
    let (sender, messages) = mpsc::channel(MESSAGES);
    let handle = Handle {
        messages: sender,
        connections: Arc::default(),
    };
    (
        ControlTask {
            control,
            messages,
            peers: BTreeMap::new(),
        },
        handle,
    )
}

/// See the module.
pub struct ControlTask {
    control: Control,
    messages: mpsc::Receiver<Message>,
    peers: BTreeMap<ConnectionId, Peer>,
}

impl ControlTask {
    /// Runs until `shutdown`. Switches are left as they are.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut effects = Vec::new();
        loop {
            let deadline = self.control.poll_timeout();
            tokio::select! {
                message = self.messages.recv() => {
                    let Some(message) = message else { return };
                    let now = Instant::now();
                    self.take(message, now, &mut effects);
                    for _ in 1..BURST {
                        let Ok(message) = self.messages.try_recv() else { break };
                        self.take(message, now, &mut effects);
                    }
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now).into()), if deadline.is_some() => {}
                () = shutdown.cancelled() => return,
            }
            self.control.settle(Instant::now(), &mut effects);
            for effect in effects.drain(..) {
                carry_out(effect, &mut self.peers);
            }
        }
    }

    fn take(&mut self, message: Message, now: Instant, effects: &mut Vec<Effect>) {
        match message {
            Message::Connected(connection, peer) => {
                self.peers.insert(connection, peer);
            }
            Message::Question(question) => question(&self.control),
            Message::Input(input) => {
                if let Input::MachineLost { connection } | Input::SwitchLost { connection } = &input
                {
                    self.peers.remove(connection);
                }
                self.control.take(input, now, effects);
            }
        }
    }
}

fn carry_out(effect: Effect, peers: &mut BTreeMap<ConnectionId, Peer>) {
    let (connection, full) = match effect {
        Effect::Close { connection } => {
            peers.remove(&connection);
            return;
        }
        Effect::Tell {
            connection,
            command,
        } => match peers.get(&connection) {
            Some(Peer::Switch(sender)) => (connection, is_full(sender.try_send(command))),
            _ => return,
        },
        Effect::Write { connection, facts } => match peers.get(&connection) {
            Some(Peer::Machine(sender)) => (connection, is_full(sender.try_send(facts))),
            _ => return,
        },
    };
    if full {
        tracing::warn!(%connection, "a connection does not keep up and is given up");
        peers.remove(&connection);
    }
}

/// A connection that has ended says so itself.
fn is_full<T>(sent: Result<(), TrySendError<T>>) -> bool {
    matches!(sent, Err(TrySendError::Full(_)))
}
