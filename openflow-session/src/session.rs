// SPDX-License-Identifier: Apache-2.0
//! The session itself: bytes, time and wishes in; bytes and events out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use openflow_codec::message::error::{ErrorCode, ErrorMessage};
use openflow_codec::message::hello::Hello;
use openflow_codec::message::message_type;
use openflow_codec::message::multipart::{MultipartReply, ReplyBody};
use openflow_codec::message::port::{PortReason, PortStatus};
use openflow_codec::message::role::Role as WireRole;
use openflow_codec::{Context, Frame, Framer, Message, Xid};

use crate::config::{Config, Role};
use crate::event::{CloseReason, Event, PortChange, Reconciled};
use crate::group_reader::GroupReader;
use crate::handshake::{Handshake, switch_port};
use crate::layer::{Delta, Generation, Layer, LayerState};
use crate::ledger::Ledger;
use crate::liveness::{Due, Liveness};
use crate::outbox::Outbox;
use crate::plan::Plan;
use crate::reconcile::{Cause, Dump, Markers};
use crate::request::{Purpose, Requests, Xids};
use crate::run::{Run, Surroundings};

/// `OFPET_HELLO_FAILED`, in type and code `OFPHFC_INCOMPATIBLE`.
const HELLO_FAILED: u16 = 0;
const INCOMPATIBLE: u16 = 0;

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
    /// The switch's TLV table, for decoding.
    context: Context,
    framer: Framer,
    outbox: Outbox,
    events: VecDeque<Event>,
    xids: Xids,
    requests: Requests,
    handshake: Handshake,
    liveness: Liveness,
    ledger: Ledger,
    stage: Stage,
    /// A comparison whose answers are not complete.
    dump: Option<Dump>,
    /// A comparison that is complete and not yet acted on.
    compared: Option<Dump>,
    audit_wanted: bool,
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
            context: config.context(),
            framer: Framer::new(),
            outbox: Outbox::new(config.limits.max_control_bytes),
            events: VecDeque::new(),
            xids: Xids::new(),
            requests: Requests::default(),
            handshake: Handshake::new(now),
            liveness: Liveness::new(now),
            ledger: Ledger::new(Arc::clone(&config)),
            stage: Stage::Waiting,
            dump: None,
            compared: None,
            audit_wanted: false,
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

    /// Compares the whole switch with what it should hold, in the background, and repairs it.
    /// [`Event::Reconciled`] tells what was found. Entries the switch refused are tried again.
    pub fn audit(&mut self, now: Instant) {
        self.now = now;
        self.audit_wanted = true;
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

    fn handle_frame(&mut self, frame: &Frame) -> Result<(), CloseReason> {
        let message = Message::decode(frame, &self.context)
            .map_err(|error| CloseReason::Malformed(error.to_string()))?;
        let xid = frame.header.xid;
        if self.handshake.awaits_hello() {
            return self.handle_greeting(&message);
        }
        match message {
            Message::EchoRequest(data) => self.send(xid, &Message::EchoReply(data)),
            Message::Error(error) => return self.handle_error(xid, &error),
            Message::BarrierReply => return self.handle_barrier(xid),
            Message::BundleControl(_) => {
                return self.with_run(|run, around| run.handle_bundle_reply(xid, around));
            }
            Message::PortStatus(status) => self.handle_port_status(status),
            Message::MultipartReply(reply) => return self.handle_multipart(xid, reply),
            Message::FeaturesReply(features) if self.finish(xid, Purpose::Features) => {
                self.handshake.features(features.datapath_id);
            }
            Message::TlvTableReply(table) if self.finish(xid, Purpose::TlvTable) => {
                self.handshake.tlv_table(table.mappings);
                self.context = self.handshake.context(&self.config);
            }
            Message::RoleReply(_) => {
                self.finish(xid, Purpose::Role);
            }
            Message::RoleStatus(status) => {
                let master = matches!(self.config.role, Role::Master { .. });
                if master && status.role != WireRole::Master {
                    let error = format!("it made us {:?}", status.role);
                    return Err(CloseReason::StaleMaster { error });
                }
            }
            // Everything else is for others, or from a newer switch.
            _ => {}
        }
        Ok(())
    }

    fn handle_greeting(&mut self, message: &Message) -> Result<(), CloseReason> {
        match message {
            Message::Hello(hello) => match self.handshake.hello(*hello, &self.config) {
                Ok(requests) => {
                    for (purpose, message) in &requests {
                        self.ask(*purpose, message);
                    }
                    Ok(())
                }
                Err(reason) => {
                    let code = ErrorCode::Standard {
                        error_type: HELLO_FAILED,
                        code: INCOMPATIBLE,
                    };
                    let data = Bytes::from(reason.to_string());
                    let xid = self.xids.one();
                    self.send(xid, &Message::Error(ErrorMessage { code, data }));
                    Err(reason)
                }
            },
            Message::Error(error) => Err(CloseReason::Version {
                offered: String::from_utf8_lossy(&error.data).into_owned(),
            }),
            _ => Err(CloseReason::Malformed(
                "it does not begin with HELLO".to_owned(),
            )),
        }
    }

    /// Whether `xid` is a request for `purpose`, which is then answered.
    fn finish(&mut self, xid: Xid, purpose: Purpose) -> bool {
        let ours = self.requests.purpose(xid) == Some(purpose);
        if ours {
            self.requests.finish(xid);
        }
        ours
    }

    fn handle_port_status(&mut self, status: PortStatus) {
        // An earlier one is older than the list of ports that is still to come.
        if !self.handshake.knows_ports() {
            return;
        }
        let change = match status.reason {
            PortReason::Add => PortChange::Added,
            PortReason::Delete => PortChange::Removed,
            PortReason::Modify | PortReason::Unknown(_) => PortChange::Modified,
        };
        let port = switch_port(status.port);
        self.events.push_back(Event::PortStatus { change, port });
    }

    fn handle_error(&mut self, xid: Xid, error: &ErrorMessage) -> Result<(), CloseReason> {
        let mut ours = false;
        self.with_run(|run, around| {
            ours = run.handle_error(xid, error.to_string(), around)?;
            Ok(())
        })?;
        if ours {
            return Ok(());
        }
        let Some(purpose) = self.requests.purpose(xid) else {
            let warning = format!("the switch reported an error nobody asked for: {error}");
            self.events.push_back(Event::Warning(warning));
            return Ok(());
        };
        self.requests.finish(xid);
        match purpose {
            Purpose::Role => Err(CloseReason::StaleMaster {
                error: error.to_string(),
            }),
            Purpose::NameTables => {
                let warning = format!("the switch refused the names of tables: {error}");
                self.events.push_back(Event::Warning(warning));
                Ok(())
            }
            Purpose::CountBuckets => {
                if let Some(dump) = &mut self.dump {
                    dump.groups.choose_blindly();
                }
                Ok(())
            }
            purpose => Err(CloseReason::Refused {
                request: purpose.to_string(),
                error: error.to_string(),
            }),
        }
    }

    fn handle_barrier(&mut self, xid: Xid) -> Result<(), CloseReason> {
        if self.requests.purpose(xid) == Some(Purpose::Fence) {
            self.requests.pass_fence(xid);
        } else if let Some(run) = &mut self.run {
            run.handle_barrier(xid);
        }
        Ok(())
    }

    fn handle_multipart(&mut self, xid: Xid, reply: MultipartReply) -> Result<(), CloseReason> {
        let Some(purpose) = self.requests.purpose(xid) else {
            return Ok(());
        };
        let more = reply.more;
        self.requests.progress(xid, self.now);
        match (purpose, reply.body) {
            (Purpose::Description, ReplyBody::Desc(desc)) => {
                self.handshake.description(desc.manufacturer, desc.software);
            }
            (Purpose::Ports, ReplyBody::PortDesc(ports)) => {
                self.handshake.ports(ports, &self.config)?;
            }
            (Purpose::Markers, ReplyBody::Flow(flows)) => {
                if let Stage::ReadingMarkers { missing, found } = &mut self.stage {
                    for stats in &flows {
                        found.take(&stats.flow, &self.config);
                    }
                    *missing = missing.saturating_sub(u8::from(!more));
                }
            }
            (Purpose::DumpFlows, ReplyBody::Flow(flows)) => {
                if let Some(dump) = &mut self.dump {
                    let flows = flows.into_iter().map(|stats| stats.flow);
                    dump.take_flows(flows, more, &self.config)?;
                }
            }
            (Purpose::CountBuckets, ReplyBody::Unknown { kind, body })
                if GroupReader::is_count(kind) =>
            {
                if let Some(dump) = &mut self.dump {
                    dump.take_counts(body, more, &self.config)?;
                }
            }
            (Purpose::DumpGroups, ReplyBody::GroupDesc(groups)) => {
                let wanted = self.ledger.wanted().unwrap_or_default();
                if let Some(dump) = &mut self.dump {
                    dump.take_groups(&groups, more, &wanted, &self.config)?;
                }
            }
            (Purpose::NameTables, _) => {}
            (purpose, _) => {
                let what = format!("{purpose} got an answer of another kind");
                return Err(CloseReason::Malformed(what));
            }
        }
        if !more {
            self.requests.finish(xid);
        }
        Ok(())
    }

    /// Does what can be done now.
    fn advance(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        while !self.closed {
            match self.step() {
                Ok(true) => {}
                Ok(false) => return,
                Err(reason) => self.end(reason),
            }
        }
    }

    /// One step; false when there is nothing to do.
    fn step(&mut self) -> Result<bool, CloseReason> {
        if !self.handshake.is_done() {
            return self.step_handshake();
        }
        match &self.stage {
            Stage::Waiting => {
                if self.ledger.wanted().is_none() {
                    return Ok(false);
                }
                let questions = Markers::requests(&self.config);
                self.stage = Stage::ReadingMarkers {
                    missing: questions.len() as u8,
                    found: Markers::default(),
                };
                for body in questions {
                    self.ask(Purpose::Markers, &Message::MultipartRequest(body.into()));
                }
                Ok(true)
            }
            Stage::ReadingMarkers { missing: 0, found } => {
                self.ledger.set_marker(Layer::Cluster, found.cluster);
                self.ledger.set_marker(Layer::Node, found.node);
                self.meet();
                Ok(true)
            }
            Stage::ReadingMarkers { .. } => Ok(false),
            Stage::Comparing | Stage::Keeping => self.keep(),
        }
    }

    fn step_handshake(&mut self) -> Result<bool, CloseReason> {
        if self.handshake.awaits_hello() || self.requests.oldest().is_some() {
            return Ok(false);
        }
        if let Some(requests) = self.handshake.step(&self.config)? {
            for (purpose, message) in &requests {
                self.ask(*purpose, message);
            }
        } else {
            let info = self.handshake.switch_info();
            self.events.push_back(Event::Up(info));
        }
        Ok(true)
    }

    /// The markers are known: believes them if they say what is wanted, or reads everything.
    fn meet(&mut self) {
        let Some(wanted) = self.ledger.wanted() else {
            self.stage = Stage::Waiting;
            return;
        };
        let generation = self.ledger.begin();
        if !self.handshake.tlv_added && self.ledger.markers_say(&wanted) {
            self.ledger.installed = wanted;
            self.stage = Stage::Keeping;
            let by_digest = true;
            self.events.push_back(Event::Reconciled(Reconciled {
                by_digest,
                ..Reconciled::default()
            }));
            self.ledger.acknowledge(generation, &mut self.events);
        } else {
            self.stage = Stage::Comparing;
            self.begin_dump(Dump::new(Cause::Connected, wanted, Some(generation)));
        }
    }

    fn begin_dump(&mut self, dump: Dump) {
        self.dump = Some(dump);
        for (purpose, body) in Dump::requests() {
            self.ask(purpose, &Message::MultipartRequest(body.into()));
        }
    }

    /// Keeps the switch as wanted: finishes what runs, then repairs, then changes.
    fn keep(&mut self) -> Result<bool, CloseReason> {
        if let Some(dump) = &mut self.dump {
            let questions = dump.groups.next_questions();
            if dump.is_complete() {
                self.compared = self.dump.take();
            }
            for body in questions {
                self.ask(Purpose::DumpGroups, &Message::MultipartRequest(body.into()));
            }
        }
        if self.run.is_some() {
            self.with_run(|run, around| run.fill(around))?;
            if self.run.as_ref().is_some_and(|run| !run.is_done()) {
                return Ok(false);
            }
            if let Some(run) = self.run.take() {
                run.finish(&mut self.ledger, &mut self.events);
                self.stage = Stage::Keeping;
            }
        }
        if let Some(dump) = self.compared.take() {
            self.run = Some(self.repair(dump));
            return Ok(true);
        }
        if matches!(self.stage, Stage::Comparing) {
            return Ok(false);
        }
        if self.audit_wanted && self.dump.is_none() {
            self.audit_wanted = false;
            let expected = self.ledger.installed.clone();
            self.begin_dump(Dump::new(Cause::Audit, expected, None));
        }
        if !self.ledger.is_pending() {
            return Ok(false);
        }
        let Some(target) = self.ledger.wanted() else {
            return Ok(false);
        };
        let generation = self.ledger.begin();
        self.ledger.rejected.retain(&target);
        let plan = Plan::change(
            self.ledger.installed.clone(),
            target,
            self.config.entry_table,
        );
        self.run = Some(Run::new(plan, Some(generation), None));
        Ok(true)
    }

    fn repair(&mut self, mut dump: Dump) -> Run {
        dump.finish();
        let report = dump.report();
        let generation = dump.generation;
        let target = match dump.cause {
            Cause::Connected => {
                self.ledger.set_marker(Layer::Cluster, dump.markers.cluster);
                self.ledger.set_marker(Layer::Node, dump.markers.node);
                dump.expected.clone()
            }
            Cause::Audit => {
                // Markers may have changed since; what was wrong then is written again now.
                for layer in Layer::ALL {
                    let then = self.ledger.right_marker(layer, dump.expected.of(layer));
                    if dump.markers.of(layer) != Some(then) {
                        self.ledger.set_marker(layer, None);
                    }
                }
                self.ledger.rejected.clear();
                self.ledger.installed.clone()
            }
        };
        let plan = Plan::repair(
            dump.findings,
            dump.expected,
            target,
            self.config.entry_table,
        );
        Run::new(plan, generation, Some(report))
    }

    fn with_run(
        &mut self,
        act: impl FnOnce(&mut Run, &mut Surroundings<'_>) -> Result<(), CloseReason>,
    ) -> Result<(), CloseReason> {
        let Some(run) = &mut self.run else {
            return Ok(());
        };
        let mut around = Surroundings {
            config: &self.config,
            ledger: &mut self.ledger,
            events: &mut self.events,
            xids: &mut self.xids,
            insert_bucket_works: self.handshake.insert_bucket_works(),
        };
        act(run, &mut around)
    }
}
