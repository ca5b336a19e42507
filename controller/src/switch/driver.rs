// SPDX-License-Identifier: Apache-2.0
//! Moves bytes, time, commands and events between one socket, one session and the control task.
//!
//! The control task is never waited for while the socket has something to say: an echo is answered
//! whatever else goes on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openflow_session::{CloseReason, Config, Event};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::audit::Audits;
use super::link::Link;
use crate::control::{ConnectionId, Input};
use crate::rollout::Command;
use crate::task::{Handle, Peer};

/// The controller has at most a few commands under way per switch, because each rollout waits for
/// the one before. A switch that lets more pile up is given up.
const COMMANDS: usize = 16;

/// Drives one connection until it ends.
pub(super) async fn drive<S>(
    stream: S,
    remote: String,
    config: Arc<Config>,
    audit_interval: Duration,
    counter_interval: Option<Duration>,
    control: &Handle,
) where
    S: AsyncRead + AsyncWrite + Send,
{
    let connection = control.next_connection();
    let (sender, commands) = mpsc::channel(COMMANDS);
    if !control.connected(connection, Peer::Switch(sender)).await {
        return;
    }
    let driver = Driver {
        connection,
        remote,
        link: Link::new(stream, config),
        inputs: VecDeque::new(),
        audits: Audits::new(audit_interval, connection, Instant::now()),
        readings: counter_interval
            .map(|interval| Audits::new(interval, connection, Instant::now())),
        closed: None,
    };
    driver.run(commands, control).await;
    control.send(Input::SwitchLost { connection }).await;
}

struct Driver<S> {
    connection: ConnectionId,
    remote: String,
    link: Link<S>,
    /// What the control task has not taken yet. Bounded: acknowledgements are folded, and the session
    /// limits refusals. Of counters there is one reading at most, whose length it limits, too.
    inputs: VecDeque<Input>,
    audits: Audits,
    /// Of counters; `None`: there are none.
    readings: Option<Audits>,
    closed: Option<CloseReason>,
}

impl<S: AsyncRead + AsyncWrite + Send> Driver<S> {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>, control: &Handle) {
        let end = loop {
            self.take_events();
            if let Some(reason) = self.closed.take() {
                break reason.to_string();
            }
            let readings = self.readings.as_ref().map(Audits::next);
            let wake = self.audits.next();
            let wake = readings.map_or(wake, |reading| reading.min(wake));
            tokio::select! {
                turned = self.link.turn() => {
                    if let Err(error) = turned {
                        break error.to_string();
                    }
                }
                permit = control.reserve(), if !self.inputs.is_empty() => {
                    let Some(permit) = permit else { break "the controller ends".to_owned() };
                    if let Some(input) = self.inputs.pop_front() {
                        permit.send(input);
                    }
                }
                command = commands.recv() => {
                    let Some(command) = command else {
                        break "the controller has given this connection up".to_owned();
                    };
                    let now = Instant::now();
                    for (layer, state) in command.wanted {
                        self.link.session().set_wanted(layer, state, command.generation, now);
                    }
                }
                () = sleep_until(wake.into()) => {
                    let now = Instant::now();
                    if self.audits.begin(now) {
                        self.link.session().audit(now);
                    }
                    self.read_counters(now);
                }
            }
        };
        let connection = self.connection;
        tracing::info!(%connection, remote = self.remote, reason = end, "OpenFlow connection ended");
        if !self.link.linger().await {
            tracing::debug!(%connection, "the switch did not take the last message");
        }
    }

    /// Asks for counters when it is time, unless the control task has not yet taken what came last.
    fn read_counters(&mut self, now: Instant) {
        let due = self.readings.as_mut().is_some_and(|all| all.begin(now));
        let behind = |input: &Input| matches!(input, Input::Counted { .. });
        if due && !self.inputs.iter().any(behind) {
            self.link.session().read_counters(now);
        }
    }

    fn take_events(&mut self) {
        let connection = self.connection;
        while let Some(event) = self.link.session().poll_event() {
            match event {
                Event::Up(info) => self.inputs.push_back(Input::SwitchUp {
                    connection,
                    remote: self.remote.clone(),
                    info: Box::new(info),
                }),
                Event::Acked {
                    generation,
                    rejected,
                } => {
                    let acked = Input::Acked {
                        connection,
                        generation,
                        rejected,
                    };
                    // A later acknowledgement says all that an earlier one does.
                    match self.inputs.back_mut() {
                        Some(last @ Input::Acked { .. }) => *last = acked,
                        _ => self.inputs.push_back(acked),
                    }
                }
                Event::Reconciled(found) => {
                    self.inputs
                        .push_back(Input::Reconciled { connection, found });
                }
                Event::Counted { flows, complete } => self.inputs.push_back(Input::Counted {
                    connection,
                    flows,
                    complete,
                }),
                Event::Rejected(rejection) => {
                    let rejection = Box::new(rejection);
                    self.inputs.push_back(Input::Rejected {
                        connection,
                        rejection,
                    });
                }
                Event::Warning(warning) => {
                    tracing::warn!(%connection, remote = self.remote, %warning, "switch");
                }
                // OVSDB tells which port is whose; the session alone sees links go up and down.
                Event::PortStatus { .. } => {}
                Event::Closed(reason) => self.closed = Some(reason),
            }
        }
    }
}
