// SPDX-License-Identifier: Apache-2.0
//! Moves bytes, time, commands and events between one socket, one session and the control task.
//!
//! The control task is never waited for while the socket has something to say: an echo is answered
//! whatever else goes on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use openflow_session::{CloseReason, Config, Event, Session};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};

use crate::control::{ConnectionId, Input};
use crate::rollout::Command;
use crate::task::{Handle, Peer};

/// The controller has at most a few commands under way per switch, because each rollout waits for
/// the one before. A switch that lets more pile up is given up.
const COMMANDS: usize = 16;

/// Read from the socket at a time.
const READ_BYTES: usize = 64 << 10;

/// How often a switch is compared with what it should hold.
const AUDIT: Duration = Duration::from_secs(600);

/// How long the last bytes may take.
const LINGER: Duration = Duration::from_millis(200);

/// Drives one connection until it ends.
pub(super) async fn drive<S>(stream: S, remote: String, config: Arc<Config>, control: &Handle)
where
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
        session: Session::new(config, Instant::now()),
        out: Bytes::new(),
        inputs: VecDeque::new(),
        audit_at: Instant::now() + AUDIT,
        closed: None,
    };
    driver.run(stream, commands, control).await;
    control.send(Input::SwitchLost { connection }).await;
}

struct Driver {
    connection: ConnectionId,
    remote: String,
    session: Session,
    /// Bytes that the socket has not taken yet.
    out: Bytes,
    /// What the control task has not taken yet. Bounded: acknowledgements are folded, and the session
    /// limits refusals.
    inputs: VecDeque<Input>,
    audit_at: Instant,
    closed: Option<CloseReason>,
}

impl Driver {
    async fn run<S>(mut self, stream: S, mut commands: mpsc::Receiver<Command>, control: &Handle)
    where
        S: AsyncRead + AsyncWrite + Send,
    {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        let end = loop {
            self.take_events();
            if self.out.is_empty() {
                self.out = self.session.poll_transmit().unwrap_or_default();
            }
            if let Some(reason) = self.closed.take() {
                break reason.to_string();
            }
            let wake = self
                .session
                .poll_timeout()
                .map_or(self.audit_at, |at| at.min(self.audit_at));
            tokio::select! {
                read = reader.read_buf(&mut buffer) => match read {
                    Ok(0) => break "the switch closed the connection".to_owned(),
                    Ok(_) => {
                        self.session.handle_bytes(&buffer, Instant::now());
                        buffer.clear();
                        buffer.reserve(READ_BYTES);
                    }
                    Err(error) => break format!("reading failed: {error}"),
                },
                written = writer.write_buf(&mut self.out), if !self.out.is_empty() => {
                    if let Err(error) = written {
                        break format!("writing failed: {error}");
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
                    for (layer, state) in command.wanted {
                        self.session.set_wanted(layer, state, command.generation, Instant::now());
                    }
                }
                () = sleep_until(wake.into()) => {
                    let now = Instant::now();
                    self.session.handle_timeout(now);
                    if self.audit_at <= now {
                        self.audit_at = now + AUDIT;
                        self.session.audit(now);
                    }
                }
            }
        };
        tracing::info!(connection = %self.connection, remote = self.remote, reason = end, "OpenFlow connection ended");
        if !self.out.is_empty() && timeout(LINGER, writer.write_all(&self.out)).await.is_err() {
            tracing::debug!(connection = %self.connection, "the switch did not take the last message");
        }
    }

    fn take_events(&mut self) {
        let connection = self.connection;
        while let Some(event) = self.session.poll_event() {
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
