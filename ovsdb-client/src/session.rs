// SPDX-License-Identifier: Apache-2.0
//! One OVSDB connection as a state machine: bytes, commands and `now` in, bytes and events out.
//!
//! The owner of the socket calls [`Session::handle_bytes`] with what it read, the commands with
//! what its users want and [`Session::handle_timeout`] when [`Session::poll_timeout`] has come,
//! and after each of these writes [`Session::poll_transmit`] and hands out
//! [`Session::poll_event`] until both are empty. An error means the connection must be closed.

mod liveness;
mod request;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use crate::config::Config;
use crate::monitor::{Followed, MonitorRequest, Replica, RowChange, UpdateFormat};
use crate::rpc::{FrameError, Framer, Message, MessageError};
use crate::schema::Schema;
use crate::transaction::{Outcome, ResultShape, Transaction};

pub use request::RequestError;

use liveness::Liveness;
use request::Pending;

/// Names one command of the owner in the events that answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(u64);

/// What the owner learns.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The answer to [`Session::transact`].
    Transacted {
        /// The command.
        id: RequestId,
        /// What became of it.
        result: Result<Outcome, RequestError>,
    },
    /// The answer to [`Session::schema`].
    Schema {
        /// The command.
        id: RequestId,
        /// The schema.
        result: Result<Arc<Schema>, RequestError>,
    },
    /// The answer to [`Session::monitor`].
    Monitoring {
        /// The command.
        id: RequestId,
        /// The initial replica.
        result: Result<Replica, RequestError>,
    },
    /// A monitored part of the database went from one committed state to the next.
    Changed {
        /// The command that began the monitor.
        id: RequestId,
        /// The difference, at least one row, at most one change per row.
        changes: Vec<RowChange>,
    },
    /// A monitor has ended because an update made no sense.
    MonitorEnded {
        /// The command that began the monitor.
        id: RequestId,
        /// What was wrong.
        error: RequestError,
    },
}

/// The state of one connection. It has neither socket nor clock.
#[derive(Debug)]
pub struct Session {
    max_requests: usize,
    framer: Framer,
    liveness: Liveness,
    next_id: u64,
    pending: BTreeMap<RequestId, Pending>,
    schemas: BTreeMap<String, Arc<Schema>>,
    monitors: BTreeMap<RequestId, MonitorState>,
    transmit: Vec<u8>,
    events: VecDeque<Event>,
}

#[derive(Debug)]
struct MonitorState {
    followed: Followed,
    format: UpdateFormat,
    replica: Replica,
}

impl Session {
    /// A connection that has just been established.
    pub fn new(config: &Config, now: Instant) -> Self {
        Self {
            max_requests: config.max_requests,
            framer: Framer::new(config.max_message_bytes),
            liveness: Liveness::new(config.probe_interval, now),
            next_id: 0,
            pending: BTreeMap::new(),
            schemas: BTreeMap::new(),
            monitors: BTreeMap::new(),
            transmit: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes what was read from the stream.
    pub fn handle_bytes(&mut self, now: Instant, mut bytes: &[u8]) -> Result<(), SessionError> {
        self.liveness.heard(now);
        while let Some(frame) = self.framer.next_frame(&mut bytes)? {
            match Message::parse(&frame)? {
                Message::Request { id, method, params } => self.answer(id, &method, params),
                Message::Notification { method, params } => self.notified(&method, params),
                Message::Result { id, result } => {
                    if let Some((id, pending)) = self.take_pending(&id) {
                        self.succeeded(id, pending, result);
                    }
                }
                Message::Error { id, error } => {
                    if let Some((id, pending)) = self.take_pending(&id) {
                        self.refused(id, pending, &error);
                    }
                }
            }
        }
        Ok(())
    }

    /// When [`Session::handle_timeout`] must be called; `None` for never.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.liveness.deadline()
    }

    /// Asks a silent server for a sign of life, or gives it up.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), SessionError> {
        match self.liveness.check(now) {
            liveness::Verdict::Fine => {}
            liveness::Verdict::Probe => self.send(Message::Request {
                id: json!("echo"),
                method: "echo".to_owned(),
                params: Vec::new(),
            }),
            liveness::Verdict::Dead => return Err(SessionError::Silent),
        }
        Ok(())
    }

    /// Bytes to write to the stream.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        (!self.transmit.is_empty()).then(|| std::mem::take(&mut self.transmit))
    }

    /// The next thing the owner should know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Runs a transaction; answered by [`Event::Transacted`].
    pub fn transact(
        &mut self,
        database: &str,
        transaction: &Transaction,
    ) -> Result<RequestId, RequestError> {
        let id = self.admit()?;
        let pending = Pending::Transact(ResultShape::of(transaction));
        self.request(id, "transact", transaction.to_json(database), pending);
        Ok(id)
    }

    /// Asks for a schema; answered by [`Event::Schema`].
    pub fn schema(&mut self, database: &str) -> Result<RequestId, RequestError> {
        let id = self.admit()?;
        match self.schemas.get(database) {
            Some(schema) => {
                let result = Ok(Arc::clone(schema));
                self.events.push_back(Event::Schema { id, result });
            }
            None => {
                let pending = Pending::Schema {
                    database: database.to_owned(),
                };
                self.request(id, "get_schema", json!([database]), pending);
            }
        }
        Ok(id)
    }

    /// Follows part of a database; answered by [`Event::Monitoring`], then
    /// [`Event::Changed`] for each transaction that touches it.
    pub fn monitor(
        &mut self,
        database: &str,
        request: MonitorRequest,
    ) -> Result<RequestId, RequestError> {
        let id = self.admit()?;
        match self.schemas.get(database).map(Arc::clone) {
            Some(schema) => self.start_monitor(id, database, &request, &schema),
            None => {
                let pending = Pending::SchemaForMonitor {
                    database: database.to_owned(),
                    request,
                };
                self.request(id, "get_schema", json!([database]), pending);
            }
        }
        Ok(id)
    }

    /// Ends a command early: a transaction that is still open on the server is cancelled, a
    /// monitor ends. No event about the command follows.
    pub fn cancel(&mut self, id: RequestId) {
        if self.monitors.remove(&id).is_some() {
            self.stop_monitor(id);
        }
        match self.pending.remove(&id) {
            Some(Pending::Transact(_)) => self.send(Message::Notification {
                method: "cancel".to_owned(),
                params: vec![json!(id.0)],
            }),
            // The server may be monitoring already.
            Some(Pending::Monitor { .. } | Pending::AbandonedMonitor) => {
                self.pending.insert(id, Pending::AbandonedMonitor);
            }
            Some(Pending::Schema { .. } | Pending::SchemaForMonitor { .. }) | None => {}
        }
        self.events.retain(|event| event.id() != id);
    }

    fn answer(&mut self, id: Value, method: &str, params: Vec<Value>) {
        self.send(match method {
            "echo" => Message::Result {
                id,
                result: Value::Array(params),
            },
            _ => Message::Error {
                id,
                error: json!("unknown method"),
            },
        });
    }

    fn notified(&mut self, method: &str, params: Vec<Value>) {
        let format = match method {
            "update" => UpdateFormat::Update,
            "update2" => UpdateFormat::Update2,
            _ => return,
        };
        let Ok([name, updates]) = <[Value; 2]>::try_from(params) else {
            return;
        };
        let Some(id) = name.as_u64().map(RequestId) else {
            return;
        };
        let Some(monitor) = self
            .monitors
            .get_mut(&id)
            .filter(|monitor| monitor.format == format)
        else {
            return;
        };
        match monitor.followed.changes(&monitor.replica, format, updates) {
            Ok(changes) if changes.is_empty() => {}
            Ok(changes) => {
                for change in &changes {
                    monitor.replica.apply(change);
                }
                self.events.push_back(Event::Changed { id, changes });
            }
            Err(error) => {
                self.monitors.remove(&id);
                self.stop_monitor(id);
                self.events.push_back(Event::MonitorEnded {
                    id,
                    error: error.into(),
                });
            }
        }
    }

    fn succeeded(&mut self, id: RequestId, pending: Pending, result: Value) {
        match pending {
            Pending::Transact(shape) => {
                let result = shape.read(result).map_err(RequestError::from);
                self.events.push_back(Event::Transacted { id, result });
            }
            Pending::Schema { database } => {
                let result = self.learn_schema(database, &result);
                self.events.push_back(Event::Schema { id, result });
            }
            Pending::SchemaForMonitor { database, request } => {
                match self.learn_schema(database.clone(), &result) {
                    Ok(schema) => self.start_monitor(id, &database, &request, &schema),
                    Err(error) => self.monitoring(id, Err(error)),
                }
            }
            Pending::Monitor {
                followed, format, ..
            } => {
                let mut replica = Replica::default();
                match followed.changes(&replica, format, result) {
                    Ok(changes) => {
                        for change in &changes {
                            replica.apply(change);
                        }
                        self.monitoring(id, Ok(replica.clone()));
                        self.monitors.insert(
                            id,
                            MonitorState {
                                followed,
                                format,
                                replica,
                            },
                        );
                    }
                    Err(error) => {
                        self.stop_monitor(id);
                        self.monitoring(id, Err(error.into()));
                    }
                }
            }
            Pending::AbandonedMonitor => self.stop_monitor(id),
        }
    }

    fn refused(&mut self, id: RequestId, pending: Pending, error: &Value) {
        match pending {
            Pending::Transact(_) => {
                let result = Err(RequestError::refused("transact", error));
                self.events.push_back(Event::Transacted { id, result });
            }
            Pending::Schema { .. } => {
                let result = Err(RequestError::refused("get_schema", error));
                self.events.push_back(Event::Schema { id, result });
            }
            Pending::SchemaForMonitor { .. } => {
                self.monitoring(id, Err(RequestError::refused("get_schema", error)));
            }
            // A server older than OVS 2.6 knows `monitor` only, which has no conditions.
            Pending::Monitor {
                database,
                followed,
                format: UpdateFormat::Update2,
            } if error == "unknown method" && !followed.has_conditions() => {
                self.request_monitor(id, database, followed, UpdateFormat::Update);
            }
            Pending::Monitor { format, .. } => {
                let error = RequestError::refused(monitor_method(format), error);
                self.monitoring(id, Err(error));
            }
            Pending::AbandonedMonitor => {}
        }
    }

    fn learn_schema(
        &mut self,
        database: String,
        schema: &Value,
    ) -> Result<Arc<Schema>, RequestError> {
        let schema = Arc::new(Schema::from_json(schema)?);
        self.schemas.insert(database, Arc::clone(&schema));
        Ok(schema)
    }

    fn start_monitor(
        &mut self,
        id: RequestId,
        database: &str,
        request: &MonitorRequest,
        schema: &Schema,
    ) {
        match Followed::resolve(request, schema) {
            Ok(followed) => {
                self.request_monitor(id, database.to_owned(), followed, UpdateFormat::Update2);
            }
            Err(error) => self.monitoring(id, Err(error.into())),
        }
    }

    fn request_monitor(
        &mut self,
        id: RequestId,
        database: String,
        followed: Followed,
        format: UpdateFormat,
    ) {
        let params = json!([database, id.0, followed.to_json()]);
        let pending = Pending::Monitor {
            database,
            followed,
            format,
        };
        self.request(id, monitor_method(format), params, pending);
    }

    /// The reply is of no interest: an update that crosses the request is ignored.
    fn stop_monitor(&mut self, id: RequestId) {
        self.send(Message::Request {
            id: json!("monitor_cancel"),
            method: "monitor_cancel".to_owned(),
            params: vec![json!(id.0)],
        });
    }

    fn monitoring(&mut self, id: RequestId, result: Result<Replica, RequestError>) {
        self.events.push_back(Event::Monitoring { id, result });
    }

    /// A fresh id, unless too many commands are open.
    fn admit(&mut self) -> Result<RequestId, RequestError> {
        if self.pending.len().saturating_add(self.monitors.len()) >= self.max_requests {
            return Err(RequestError::TooMany(self.max_requests));
        }
        self.next_id = self.next_id.saturating_add(1);
        Ok(RequestId(self.next_id))
    }

    fn request(&mut self, id: RequestId, method: &str, params: Value, pending: Pending) {
        let params = match params {
            Value::Array(params) => params,
            single => vec![single],
        };
        self.pending.insert(id, pending);
        self.send(Message::Request {
            id: json!(id.0),
            method: method.to_owned(),
            params,
        });
    }

    fn take_pending(&mut self, id: &Value) -> Option<(RequestId, Pending)> {
        self.pending.remove_entry(&RequestId(id.as_u64()?))
    }

    fn send(&mut self, message: Message) {
        message.write(&mut self.transmit);
    }
}

impl Event {
    const fn id(&self) -> RequestId {
        match self {
            Self::Transacted { id, .. }
            | Self::Schema { id, .. }
            | Self::Monitoring { id, .. }
            | Self::Changed { id, .. }
            | Self::MonitorEnded { id, .. } => *id,
        }
    }
}

/// Why a connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The stream is not a sequence of JSON objects.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// An object is no JSON-RPC message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The server gave no sign of life though asked.
    #[error("the server did not answer the inactivity probe")]
    Silent,
}

const fn monitor_method(format: UpdateFormat) -> &'static str {
    match format {
        UpdateFormat::Update => "monitor",
        UpdateFormat::Update2 => "monitor_cond",
    }
}

#[cfg(test)]
mod tests;
