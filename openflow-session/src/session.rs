// SPDX-License-Identifier: Apache-2.0
//! The session itself: bytes, time and wishes in; bytes and events out.

mod decide;
mod receive;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use openflow_codec::message::hello::Hello;
use openflow_codec::message::message_type;
use openflow_codec::{Context, Framer, Message, Xid};

use crate::config::{Config, Role};
use crate::counters::CounterReader;
use crate::event::{CloseReason, Event};
use crate::handshake::Handshake;
use crate::layer::{Delta, Generation, Layer, LayerState};
use crate::ledger::Ledger;
use crate::liveness::{Due, Liveness};
use crate::meters::Meters;
use crate::outbox::Outbox;
use crate::reconcile::{Dump, Markers};
use crate::request::{Purpose, Requests, Xids};
use crate::run::Run;

/// The messages a conversation may begin with.
const GREETINGS: [u8; 2] = [message_type::HELLO, message_type::ERROR];

/// One connection to a switch.
///
/// After each call that takes `now`, or several of them, the owner takes everything from
/// [`Session::poll_event`] and what the socket accepts from [`Session::poll_transmit`], in any
/// order, and arms its timer with [`Session::poll_timeout`]. Nothing is decided before: all that is
/// wanted between two polls is one change.
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    role: Role,
    /// The switch has not been asked for the role yet.
    role_changed: bool,
    /// The switch's TLV table, for decoding.
    context: Context,
    framer: Framer,
    outbox: Outbox,
    events: VecDeque<Event>,
    xids: Xids,
    requests: Requests,
    handshake: Handshake,
    liveness: Liveness,
    meters: Meters,
    ledger: Ledger,
    stage: Stage,
    /// A comparison whose answers are not complete.
    dump: Option<Dump>,
    /// A comparison that is complete and not yet acted on.
    compared: Option<Dump>,
    audit_wanted: bool,
    counters: CounterReader,
    run: Option<Run>,
    /// Something has come in since the session last decided what to do.
    changed: bool,
    closed: bool,
    now: Instant,
}

/// What a session does about flows.
#[derive(Debug)]
enum Stage {
    /// Nothing: the handshake is not done, or the owner has not yet said what it wants.
    Waiting,
    /// Reads the marker flows; so many answers are missing.
    ReadingMarkers { missing: u8, found: Markers },
    /// Reads everything, because the markers do not say what is wanted.
    Comparing,
    /// Keeps the switch as wanted.
    Keeping,
}

impl Session {
    /// A session on a connection that was just made, by either side.
    pub fn new(config: Arc<Config>, now: Instant) -> Self {
        let mut session = Self {
            role: config.role,
            role_changed: false,
            context: config.context(),
            framer: Framer::with_wrapped_group_stats(),
            outbox: Outbox::new(config.limits.max_control_bytes),
            events: VecDeque::new(),
            xids: Xids::new(),
            requests: Requests::default(),
            handshake: Handshake::new(now),
            liveness: Liveness::new(now),
            meters: Meters::default(),
            ledger: Ledger::new(Arc::clone(&config)),
            stage: Stage::Waiting,
            dump: None,
            compared: None,
            audit_wanted: false,
            counters: CounterReader::default(),
            run: None,
            changed: false,
            closed: false,
            now,
            config,
        };
        let xid = session.xids.one();
        session.send(xid, &Message::Hello(Hello::OURS));
        session
    }

    /// Says what a layer shall hold, as a whole. Cheap: `state` is a handle, and what it shares
    /// with the state before is not looked at again.
    ///
    /// `generation` may not be lower than in any call before. [`Event::Acked`] names it when the
    /// switch has acknowledged everything that was wanted under it.
    pub fn set_wanted(
        &mut self,
        layer: Layer,
        state: LayerState,
        generation: Generation,
        now: Instant,
    ) {
        self.now = now;
        self.ledger.set_wanted(layer, state, generation);
        self.changed = true;
    }

    /// Changes what a layer shall hold. For the cluster layer prefer [`Session::set_wanted`] with
    /// the owner's handle, so that all sessions go on sharing one copy.
    ///
    /// A layer that was not set before begins empty.
    pub fn apply(&mut self, layer: Layer, delta: &Delta, generation: Generation, now: Instant) {
        let before = self.ledger.wanted_layer(layer);
        let mut state = before.cloned().unwrap_or_default();
        state.apply(delta);
        self.set_wanted(layer, state, generation, now);
    }

    /// Asks the switch for another role. A slave that becomes master, or equal, programs the switch
    /// from then on. A session that is to become a slave ends, because what is under way could not be
    /// finished: its owner connects anew.
    pub fn set_role(&mut self, role: Role, now: Instant) {
        self.now = now;
        let slave = |role| matches!(role, Role::Slave { .. });
        if slave(role) && !slave(self.role) {
            return self.close();
        }
        self.role_changed |= self.role != role;
        self.role = role;
        self.changed = true;
    }

    /// Compares the whole switch with what it should hold, in the background, and repairs it.
    /// [`Event::Reconciled`] tells what was found. Entries the switch refused are tried again.
    pub fn audit(&mut self, now: Instant) {
        self.now = now;
        self.audit_wanted = true;
        self.changed = true;
    }

    /// Reads what flows of [`Config::counted_kind`] have counted, in the background: asks when nothing
    /// is being changed or compared. [`Event::Counted`] tells, part by part. Until the last part, asking
    /// again changes nothing.
    pub fn read_counters(&mut self, now: Instant) {
        self.now = now;
        self.counters.want();
        self.changed = true;
    }

    /// Ends the session.
    pub fn close(&mut self) {
        self.end(CloseReason::Owner);
    }

    /// Whether the session has ended; the connection is to be dropped.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes bytes from the switch.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        self.now = now;
        self.changed = true;
        if self.closed {
            return;
        }
        self.liveness.heard(now);
        // Another protocol's length field could keep us waiting for the rest of a message.
        if self.handshake.awaits_hello()
            && self.framer.buffered() == 0
            && bytes.get(1).is_some_and(|kind| !GREETINGS.contains(kind))
        {
            let what = "it does not begin with HELLO".to_owned();
            return self.end(CloseReason::Malformed(what));
        }
        self.framer.push(bytes);
        loop {
            match self.framer.next() {
                Ok(Some(frame)) => {
                    if let Err(reason) = self.handle_frame(&frame) {
                        self.end(reason);
                    }
                    if self.closed {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => return self.end(CloseReason::Malformed(error.to_string())),
            }
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if self.closed {
            return;
        }
        if let Some(reason) = self.overdue() {
            return self.end(reason);
        }
        match self.liveness.due(now, &self.config.timing) {
            Due::Nothing => {}
            Due::Probe => {
                let xid = self.xids.one();
                self.send(xid, &Message::EchoRequest(Bytes::new()));
            }
            Due::Dead => self.end(CloseReason::ProbeTimeout),
        }
    }

    /// Bytes for the switch: answers first, so that an echo never waits behind flows. Ask again
    /// only when the last chunk is on its way; nothing is encoded before it is asked for.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.advance();
        if let Some(bytes) = self.outbox.pop() {
            return Some(bytes);
        }
        let run = self.run.as_mut().filter(|_| !self.closed)?;
        let limit = self.config.limits.chunk_bytes.max(1);
        let mut out = Vec::with_capacity(limit.saturating_add(4_096));
        // Bundle control messages are of fixed size: they can always be encoded.
        run.transmit(&mut out, limit, &self.context, self.now)
            .ok()?;
        (!out.is_empty()).then(|| out.into())
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.advance();
        self.events.pop_front()
    }

    /// When to call [`Session::handle_timeout`]; `None` after the end. To be asked last.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        let timing = &self.config.timing;
        let mut next = self.liveness.deadline(timing);
        if !self.handshake.is_done() {
            next = next.min(self.handshake.started + timing.handshake);
        }
        if let Some((_, asked)) = self.requests.oldest() {
            next = next.min(asked + timing.request);
        }
        if let Some(asked) = self.run.as_ref().and_then(Run::asked) {
            next = next.min(asked + timing.request);
        }
        Some(next)
    }

    fn overdue(&self) -> Option<CloseReason> {
        let timing = &self.config.timing;
        if !self.handshake.is_done() && self.now >= self.handshake.started + timing.handshake {
            let waiting_for = if self.handshake.awaits_hello() {
                "HELLO".to_owned()
            } else {
                self.requests.waiting_for()
            };
            return Some(CloseReason::HandshakeTimeout { waiting_for });
        }
        if let Some((purpose, asked)) = self.requests.oldest()
            && self.now >= asked + timing.request
        {
            let request = purpose.to_string();
            return Some(CloseReason::RequestTimeout { request });
        }
        let asked = self.run.as_ref().and_then(Run::asked)?;
        (self.now >= asked + timing.request).then(|| CloseReason::RequestTimeout {
            request: "a bundle of flows".to_owned(),
        })
    }

    fn end(&mut self, reason: CloseReason) {
        if !self.closed {
            self.closed = true;
            self.run = None;
            self.dump = None;
            self.compared = None;
            self.events.push_back(Event::Closed(reason));
        }
    }

    fn send(&mut self, xid: Xid, message: &Message) {
        if let Err(reason) = self.outbox.push(xid, message, &self.context) {
            self.end(reason);
        }
    }

    fn ask(&mut self, purpose: Purpose, message: &Message) {
        let xid = self.xids.one();
        self.requests.insert(xid, purpose, self.now);
        self.send(xid, message);
    }
}
