// SPDX-License-Identifier: Apache-2.0
//! A session with a switch: whatever the switch sends and whenever, memory stays within limits.
//!
//! An input is a byte of [`flag`]s, then chunks: a length (one byte) and so many bytes from the
//! switch. Length 0 lets 5 seconds pass instead.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_sim::{ConnectionId, Switch};
use openflow_codec::{
    Action, DatapathId, Field, Flow, Group, GroupId, Instruction, Match, PortNo, TableId,
};
use openflow_session::{
    Config, EncodedFlow, EncodedGroup, Event, Generation, Layer, LayerState, Marker, Session,
};

use crate::memory::{Limit, limited};
use crate::{Seed, samples};

mod flag {
    /// The session knows what the switch shall hold.
    pub(super) const WANTED: u8 = 1;
    /// The handshake was made by a real peer before the input begins.
    pub(super) const UP: u8 = 2;
    /// The switch does not read what we send.
    pub(super) const DEAF: u8 = 4;
    /// Everything was compared and put right before the input begins.
    pub(super) const IN_STEP: u8 = 8;
}

/// A flow in a dump is kept as a value until the dump is complete.
const LIMIT: Limit = Limit {
    largest: 64,
    in_use: 128,
    constant: 512 * 1024,
};
const TICK: Duration = Duration::from_secs(5);

/// Feeds the chunks to a session.
pub fn run(input: &[u8]) {
    let Some((&flags, mut chunks)) = input.split_first() else {
        return;
    };
    let mut now = Instant::now();
    let mut peer = Peer::new(flags, now);
    limited(LIMIT, input.len(), || {
        while let Some((&length, rest)) = chunks.split_first() {
            let (chunk, rest) = rest.split_at(rest.len().min(usize::from(length)));
            chunks = rest;
            if chunk.is_empty() {
                now += TICK;
                peer.session.handle_timeout(now);
            } else {
                peer.session.handle_bytes(chunk, now);
            }
            peer.drain(flags & flag::DEAF == 0);
        }
    });
}

/// A session, and what happened in it.
struct Peer {
    session: Session,
    closed: bool,
}

impl Peer {
    fn new(flags: u8, now: Instant) -> Self {
        let session = Session::new(Arc::new(config()), now);
        let mut peer = Self {
            session,
            closed: false,
        };
        if flags & flag::WANTED != 0 {
            for layer in Layer::ALL {
                peer.session
                    .set_wanted(layer, wanted(layer), Generation(1), now);
            }
        }
        if flags & (flag::UP | flag::IN_STEP) != 0 {
            let until = if flags & flag::IN_STEP == 0 {
                |event: &Event| matches!(event, Event::Up(_))
            } else {
                |event: &Event| matches!(event, Event::Acked { .. })
            };
            peer.talk_to_switch(now, until);
        }
        peer
    }

    /// Takes what the session gives; after its end it gives nothing.
    fn drain(&mut self, read: bool) {
        while let Some(event) = self.session.poll_event() {
            assert!(!self.closed, "{event:?} after the end");
            self.closed = matches!(event, Event::Closed(_));
            drop(format!("{event:?}"));
        }
        assert_eq!(self.closed, self.session.is_closed());
        assert_eq!(self.closed, self.session.poll_timeout().is_none());
        while read && self.session.poll_transmit().is_some() {}
    }

    /// Lets a switch answer until something happens or nothing is left to say. Returns what the
    /// switch sent.
    fn talk_to_switch(&mut self, now: Instant, until: fn(&Event) -> bool) -> Vec<Vec<u8>> {
        let mut switch = Switch::new(DatapathId(1));
        let connection = switch.connect(Duration::ZERO);
        let mut sent = Vec::new();
        while self.pass_on(&mut switch, connection, now, &mut sent) {
            while let Some(event) = self.session.poll_event() {
                if until(&event) {
                    return sent;
                }
            }
        }
        sent
    }

    /// Whether anything was said.
    fn pass_on(
        &mut self,
        switch: &mut Switch,
        connection: ConnectionId,
        now: Instant,
        sent: &mut Vec<Vec<u8>>,
    ) -> bool {
        let mut spoke = false;
        while let Some(bytes) = self.session.poll_transmit() {
            switch.receive(connection, &bytes, Duration::ZERO);
            spoke = true;
        }
        if let Some(message) = switch.poll_transmit(connection, Duration::ZERO) {
            self.session.handle_bytes(&message, now);
            sent.push(message);
            spoke = true;
        }
        spoke
    }
}

const ENTRY: TableId = TableId(0);
const POLICY: TableId = TableId(50);

fn config() -> Config {
    let marker = |priority, cookie_kind| Marker {
        table: TableId(250),
        priority,
        cookie_kind,
    };
    let mut config = Config::new(0x10..=0x7f, ENTRY, marker(1, 0x71), marker(2, 0x72));
    config.tlv = Some(samples::IDENTITY);
    config.table_names = BTreeMap::from([(POLICY, "policy".to_owned())]);
    config.limits.max_bundle = 4;
    config.limits.max_rejected = 8;
    config.limits.max_control_bytes = 16 * 1024;
    config.limits.chunk_bytes = 1024;
    config
}

fn wanted(layer: Layer) -> LayerState {
    let mut state = LayerState::default();
    let (kind, table) = match layer {
        Layer::Cluster => (0x10, POLICY),
        Layer::Node => (0x20, ENTRY),
    };
    for number in 1..=6u64 {
        let flow = Flow {
            table,
            priority: 10,
            flow_match: Match::any().with(Field::InPort, number),
            cookie: openflow_codec::Cookie(kind << 56 | number),
            idle_timeout: 0,
            hard_timeout: 0,
            instructions: vec![Instruction::ApplyActions(vec![Action::set(
                Field::Reg0,
                number,
            )])],
        };
        let flow = EncodedFlow::new(flow, &samples::context()).expect("a small flow");
        state.insert_flow(Arc::new(flow));
    }
    if layer == Layer::Cluster {
        let group = Group {
            id: GroupId(1),
            group_type: openflow_codec::GroupType::Select,
            selection: None,
            buckets: vec![openflow_codec::Bucket::new(
                1,
                100,
                vec![Action::output(PortNo(1))],
            )],
        };
        let group = EncodedGroup::new(group, &samples::context()).expect("a small group");
        state.set_group(Arc::new(group));
    }
    state
}

/// What a switch says in a whole conversation, and messages that are out of place.
pub fn seeds() -> Vec<Seed> {
    let now = Instant::now();
    let mut seeds = Vec::new();
    for (name, flags) in [("handshake", 0), ("whole", flag::WANTED)] {
        let sent = Peer::new(flags, now).talk_to_switch(now, |_| false);
        seeds.push((name.to_owned(), chunked(flags, &sent)));
    }
    let known = samples::messages();
    let message = |name: &str| -> Vec<u8> {
        let found = known.iter().find(|(known, _)| known == name);
        found
            .map(|(_, message)| message.clone())
            .unwrap_or_default()
    };
    let unasked: Vec<_> = [
        "port_status",
        "role_status",
        "echo_request",
        "flow_removed",
        "error",
    ]
    .map(message)
    .into();
    for (name, flags) in [
        ("unasked_when_up", flag::WANTED | flag::UP),
        ("unasked_in_step", flag::WANTED | flag::IN_STEP),
        ("unasked_deaf", flag::WANTED | flag::UP | flag::DEAF),
    ] {
        seeds.push((name.to_owned(), chunked(flags, &unasked)));
    }
    let replies: Vec<_> = ["flow_reply", "group_reply", "port_reply", "tlv_table_reply"]
        .map(message)
        .into();
    seeds.push(("replies".into(), chunked(flag::WANTED | flag::UP, &replies)));
    seeds.push((
        "silence".into(),
        vec![flag::WANTED | flag::UP, 0, 0, 0, 0, 0, 0],
    ));
    seeds
}

fn chunked(flags: u8, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut input = vec![flags];
    for chunk in messages.iter().flat_map(|message| message.chunks(255)) {
        input.push(chunk.len() as u8);
        input.extend_from_slice(chunk);
    }
    input
}
