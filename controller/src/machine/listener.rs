// SPDX-License-Identifier: Apache-2.0
//! Accepts the OVSDB connections that machines dial, and follows each one's database.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use ovsdb_client::{Client, Config, Monitor};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::facts::Facts;
use super::view::{DATABASE, MachineView, monitor_request, read};
use crate::control::{ConnectionId, Input};
use crate::listen::accept_loop;
use crate::task::{Handle, Peer};

/// How long a machine may take to send its database.
const SNAPSHOT_BOUND: Duration = Duration::from_secs(30);

/// How long a machine may take to commit a transaction.
const COMMIT_BOUND: Duration = Duration::from_secs(10);

/// Writes wait here for the one before; the controller sends the next after the answer to the last.
const WRITES: usize = 2;

/// Accepts machines until `shutdown`.
pub async fn serve(
    listener: TcpListener,
    bridge: String,
    control: Handle,
    shutdown: CancellationToken,
) {
    accept_loop(listener, "ovsdb", &shutdown, |stream, remote| {
        let (bridge, control) = (bridge.clone(), control.clone());
        async move { follow(stream, remote, &bridge, &control).await }
    })
    .await;
}

/// Follows one machine until its connection ends.
async fn follow(stream: TcpStream, remote: String, bridge: &str, control: &Handle) {
    let connection = control.next_connection();
    let (sender, writes) = mpsc::channel(WRITES);
    if !control.connected(connection, Peer::Machine(sender)).await {
        return;
    }
    let client = Client::from_stream(stream, Config::default());
    let snapshot = client.monitor(DATABASE, monitor_request());
    match timeout(SNAPSHOT_BOUND, snapshot).await {
        Err(_) => {
            tracing::warn!(%connection, remote, "a machine did not send its database in time")
        }
        Ok(Err(error)) => {
            tracing::warn!(%connection, remote, %error, "a machine's database cannot be followed")
        }
        Ok(Ok(monitor)) => {
            let mut follower = Follower {
                connection,
                remote,
                bridge,
                view: None,
                inputs: VecDeque::new(),
            };
            follower.run(monitor, writes, control).await;
        }
    }
    control.send(Input::MachineLost { connection }).await;
}

struct Follower<'a> {
    connection: ConnectionId,
    remote: String,
    bridge: &'a str,
    /// What was told last.
    view: Option<MachineView>,
    /// What is to be told: at most one view and one outcome of a write.
    inputs: VecDeque<Input>,
}

impl Follower<'_> {
    async fn run(
        &mut self,
        mut monitor: Monitor,
        mut writes: mpsc::Receiver<Box<Facts>>,
        control: &Handle,
    ) {
        self.look(&monitor);
        let client = monitor.client().clone();
        let mut writing: Option<Write> = None;
        loop {
            tokio::select! {
                permit = control.reserve(), if !self.inputs.is_empty() => {
                    let Some(permit) = permit else { return };
                    if let Some(input) = self.inputs.pop_front() {
                        permit.send(input);
                    }
                }
                changes = monitor.changed() => match changes {
                    Ok(_) => self.look(&monitor),
                    Err(error) => {
                        tracing::debug!(connection = %self.connection, %error, "a machine's database is gone");
                        return;
                    }
                },
                facts = writes.recv(), if writing.is_none() => {
                    let Some(facts) = facts else { return };
                    writing = Some(Box::pin(write(client.clone(), facts)));
                }
                (facts, outcome) = finished(&mut writing), if writing.is_some() => {
                    writing = None;
                    let connection = self.connection;
                    self.inputs.push_back(Input::Written { connection, facts, outcome });
                }
            }
        }
    }

    /// Tells what the replica says now, if that is news.
    fn look(&mut self, monitor: &Monitor) {
        match read(monitor.replica(), self.bridge) {
            Ok(view) => {
                if self.view.as_ref() != Some(&view) {
                    // Who has not yet taken the view before needs only this one.
                    self.inputs
                        .retain(|input| !matches!(input, Input::MachineView { .. }));
                    self.inputs.push_back(Input::MachineView {
                        connection: self.connection,
                        remote: self.remote.clone(),
                        view: Box::new(view.clone()),
                    });
                    self.view = Some(view);
                }
            }
            Err(error) => {
                tracing::warn!(connection = %self.connection, %error, "a machine's database is not one of Open vSwitch");
            }
        }
    }
}

type Written = (Box<Facts>, Result<(), String>);
type Write = Pin<Box<dyn Future<Output = Written> + Send>>;

async fn finished(writing: &mut Option<Write>) -> Written {
    match writing {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    }
}

async fn write(client: Client, facts: Box<Facts>) -> Written {
    let committed = timeout(COMMIT_BOUND, client.transact(DATABASE, facts.transaction())).await;
    let outcome = match committed {
        Err(_) => Err("the machine did not answer in time".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(outcome)) => outcome
            .committed()
            .map(|_| ())
            .map_err(|failure| failure.to_string()),
    };
    (facts, outcome)
}
