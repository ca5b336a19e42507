// SPDX-License-Identifier: Apache-2.0
//! Moves bytes between a session and a socket, and counts messages by type.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openflow_codec::message::multipart::ReplyBody;
use openflow_codec::{Context, Framer, Message};
use openflow_session::{
    CloseReason, Config, Event, Generation, Layer, LayerState, Reconciled, Rejection, Role,
    Session, SwitchInfo,
};

use crate::proxy::{Proxy, Trouble};
use crate::vswitchd::Vswitchd;

const PATIENCE: Duration = Duration::from_secs(60);

/// Messages sent, those in bundles included.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) flow_mods: usize,
    pub(crate) group_mods: usize,
}

/// What was received.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// Flows in dumps.
    pub(crate) flows: usize,
}

pub(crate) struct Driver {
    session: Session,
    proxy: Proxy,
    context: Context,
    outgoing: Framer,
    incoming: Framer,
    events: VecDeque<Event>,
    pub(crate) sent: Sent,
    pub(crate) received: Received,
    pub(crate) rejected: Vec<Rejection>,
    pub(crate) warnings: Vec<String>,
}

impl Driver {
    pub(crate) fn connect(switch: &Vswitchd, config: Config) -> Self {
        Self::connect_through(switch, config, Trouble::default())
    }

    pub(crate) fn connect_through(switch: &Vswitchd, config: Config, trouble: Trouble) -> Self {
        Self {
            proxy: Proxy::new(switch.connect(), trouble),
            context: config.context(),
            session: Session::new(Arc::new(config), Instant::now()),
            outgoing: Framer::new(),
            incoming: Framer::with_wrapped_group_stats(),
            events: VecDeque::new(),
            sent: Sent::default(),
            received: Received::default(),
            rejected: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(crate) fn want(&mut self, layer: Layer, state: LayerState, generation: u64) {
        let generation = Generation(generation);
        self.session
            .set_wanted(layer, state, generation, Instant::now());
    }

    pub(crate) fn set_role(&mut self, role: Role) {
        self.session.set_role(role, Instant::now());
    }

    pub(crate) fn audit(&mut self) {
        self.session.audit(Instant::now());
    }

    pub(crate) fn wait_up(&mut self) -> SwitchInfo {
        self.wait(|event| match event {
            Event::Up(info) => Some(info.clone()),
            _ => None,
        })
    }

    pub(crate) fn wait_acked(&mut self) -> Generation {
        self.wait(|event| match event {
            Event::Acked { generation, .. } => Some(*generation),
            _ => None,
        })
    }

    pub(crate) fn wait_reconciled(&mut self) -> Reconciled {
        self.wait(|event| match event {
            Event::Reconciled(report) => Some(*report),
            _ => None,
        })
    }

    pub(crate) fn wait_closed(&mut self) -> CloseReason {
        self.wait(|event| match event {
            Event::Closed(reason) => Some(reason.clone()),
            _ => None,
        })
    }

    pub(crate) fn wait_disconnect(&mut self) {
        let end = Instant::now() + PATIENCE;
        while !self.proxy.has_ended() {
            assert!(Instant::now() < end, "still connected");
            self.turn();
        }
    }

    /// Drives the session until `generation` is acknowledged; false if the connection ends before.
    pub(crate) fn reaches(&mut self, generation: u64) -> bool {
        let end = Instant::now() + PATIENCE;
        loop {
            while let Some(event) = self.events.pop_front() {
                match event {
                    Event::Acked {
                        generation: acked, ..
                    } if acked.0 == generation => return true,
                    Event::Closed(_) => return false,
                    _ => {}
                }
            }
            if self.proxy.has_ended() {
                return false;
            }
            assert!(Instant::now() < end, "nothing happened");
            self.turn();
        }
    }

    /// Drives the session until `wanted` finds its event; others are passed over.
    pub(crate) fn wait<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            while let Some(event) = self.events.pop_front() {
                if let Some(found) = wanted(&event) {
                    return found;
                }
                assert!(!matches!(event, Event::Closed(_)), "{event:?}");
            }
            assert!(Instant::now() < end, "nothing happened");
            assert!(!self.proxy.has_ended(), "the switch hung up");
            self.turn();
        }
    }

    fn turn(&mut self) {
        while let Some(bytes) = self.session.poll_transmit() {
            self.count_sent(&bytes);
            self.proxy.send(&bytes);
        }
        let heard = self.proxy.turn();
        if !heard.is_empty() {
            self.count_received(&heard);
            self.session.handle_bytes(&heard, Instant::now());
        }
        let now = Instant::now();
        if self.session.poll_timeout().is_some_and(|at| at <= now) {
            self.session.handle_timeout(now);
        }
        while let Some(event) = self.session.poll_event() {
            match &event {
                Event::Rejected(rejection) => self.rejected.push(rejection.clone()),
                Event::Warning(warning) => self.warnings.push(warning.clone()),
                _ => {}
            }
            self.events.push_back(event);
        }
    }

    fn count_sent(&mut self, bytes: &[u8]) {
        self.outgoing.push(bytes);
        while let Some(frame) = self.outgoing.next().expect("we frame our own messages") {
            let mut message = Message::decode(&frame, &self.context).expect("our own message");
            if let Message::BundleAdd(add) = &message {
                message = add
                    .decode_message(&self.context)
                    .expect("our own message")
                    .1;
            }
            match message {
                Message::FlowMod(_) => self.sent.flow_mods += 1,
                Message::GroupMod(_) => self.sent.group_mods += 1,
                _ => {}
            }
        }
    }

    fn count_received(&mut self, bytes: &[u8]) {
        self.incoming.push(bytes);
        while let Some(frame) = self.incoming.next().expect("OVS frames its messages") {
            if let Ok(Message::MultipartReply(reply)) = Message::decode(&frame, &self.context)
                && let ReplyBody::Flow(flows) = reply.body
            {
                self.received.flows += flows.len();
            }
        }
    }
}
