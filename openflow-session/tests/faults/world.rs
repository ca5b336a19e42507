// SPDX-License-Identifier: Apache-2.0
//! One simulated switch, one owner's wishes, and connections between them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_sim::{ConnectionId, Faults, Sim, Switch};
use openflow_codec::message::flow_mod::FlowCommand;
use openflow_codec::{
    Action, Bucket, Cookie, DatapathId, Flow, Framer, Group, GroupId, GroupType, Match, Message,
    TableId,
};
use openflow_session::{
    Config, EntryId, Event, Generation, Layer, LayerState, Reconciled, Rejection, Session,
};

use crate::pipeline;

const FOREIGN: Cookie = Cookie(0xff00_0000_0000_0001);

pub(crate) struct World {
    config: Arc<Config>,
    switch: Switch,
    start: Instant,
    clock: Duration,
    wanted: (LayerState, LayerState),
    generation: u64,
    /// Flows of somebody else.
    foreign: BTreeSet<Flow>,
}

/// Where a stream ends, perhaps in the middle of a message: after so many bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    ToSwitch(usize),
    FromSwitch(usize),
}

/// A connection.
pub(crate) struct Link {
    id: ConnectionId,
    pub(crate) session: Session,
    pub(crate) events: Vec<Event>,
    pub(crate) flow_mods: usize,
    pub(crate) group_mods: usize,
    /// What each flow_mod does.
    pub(crate) flow_log: Vec<String>,
    /// Byte of the switch's stream that is damaged, and how.
    pub(crate) damage: Option<(usize, u8)>,
    pub(crate) cut: Option<Cut>,
    /// What the switch has not read yet.
    unread: Vec<u8>,
    /// Until when the switch neither reads nor says anything.
    stopped_until: Duration,
    told: usize,
    heard: usize,
    /// Comparisons that must end before the connection counts as settled.
    comparisons: usize,
    sent: Framer,
}

impl Link {
    pub(crate) fn rejected(&self) -> impl Iterator<Item = &Rejection> {
        self.events.iter().filter_map(|event| match event {
            Event::Rejected(rejection) => Some(rejection),
            _ => None,
        })
    }

    pub(crate) fn reports(&self) -> impl Iterator<Item = &Reconciled> {
        self.events.iter().filter_map(|event| match event {
            Event::Reconciled(report) => Some(report),
            _ => None,
        })
    }

    fn acked(&self) -> Option<Generation> {
        let acked = self.events.iter().filter_map(|event| match event {
            Event::Acked { generation, .. } => Some(*generation),
            _ => None,
        });
        acked.max()
    }

    fn count(&mut self, bytes: &[u8]) {
        self.sent.push(bytes);
        while let Some(frame) = self.sent.next().expect("framed by the session") {
            let context = pipeline::context();
            let message = Message::decode(&frame, &context).expect("from the session");
            let Message::BundleAdd(add) = &message else {
                assert!(!matches!(
                    message,
                    Message::FlowMod(_) | Message::GroupMod(_)
                ));
                continue;
            };
            match add.decode_message(&context).expect("from the session").1 {
                Message::FlowMod(flow_mod) => {
                    self.flow_mods += 1;
                    self.flow_log.push(match flow_mod.command {
                        FlowCommand::Add => format!("add table {}", flow_mod.flow.table),
                        _ => format!("delete cookie {}", flow_mod.flow.cookie),
                    });
                }
                Message::GroupMod(_) => self.group_mods += 1,
                other => panic!("{other:?} in a bundle"),
            }
        }
    }
}

impl World {
    /// A switch with a foreign flow and a foreign group.
    pub(crate) fn new(mut config: Config) -> Self {
        config.group_ids = 0..=9_999;
        let mut world = Self {
            config: Arc::new(config),
            switch: Switch::new(DatapathId(1)),
            start: Instant::now(),
            clock: Duration::ZERO,
            wanted: (LayerState::default(), LayerState::default()),
            generation: 0,
            foreign: BTreeSet::from([foreign_flow()]),
        };
        world.add_foreign();
        world
    }

    fn add_foreign(&mut self) {
        let sim = self.switch.sim_mut();
        for flow in &self.foreign {
            sim.add_flow(flow.clone()).expect("a sound flow");
        }
        sim.set_group(foreign_group()).expect("a sound group");
    }

    /// Somebody else adds a flow of their own.
    pub(crate) fn add_foreign_flow(&mut self, flow: Flow) {
        self.foreign.insert(flow);
        self.add_foreign();
    }

    /// Somebody changes the switch behind the owner's back.
    pub(crate) fn meddle(&mut self, change: impl FnOnce(&mut Sim)) {
        change(self.switch.sim_mut());
    }

    pub(crate) fn now(&self) -> Instant {
        self.start + self.clock
    }

    pub(crate) fn switch_mut(&mut self) -> &mut Switch {
        &mut self.switch
    }

    /// Changes the owner's wishes; connections are not told.
    pub(crate) fn want(&mut self, wanted: (LayerState, LayerState)) {
        self.wanted = wanted;
        self.generation += 1;
    }

    pub(crate) fn wanted(&self) -> &(LayerState, LayerState) {
        &self.wanted
    }

    /// Tells a connection the owner's wishes.
    pub(crate) fn tell(&self, link: &mut Link) {
        for layer in Layer::ALL {
            self.tell_layer(link, layer);
        }
    }

    /// Tells a connection what one layer shall hold.
    pub(crate) fn tell_layer(&self, link: &mut Link, layer: Layer) {
        let state = match layer {
            Layer::Cluster => self.wanted.0.clone(),
            Layer::Node => self.wanted.1.clone(),
        };
        let generation = Generation(self.generation);
        link.session
            .set_wanted(layer, state, generation, self.now());
    }

    /// Asks for an audit of a settled connection.
    pub(crate) fn audit(&self, link: &mut Link) {
        link.comparisons += 1;
        link.session.audit(self.now());
    }

    pub(crate) fn connect(&mut self, faults: Faults) -> Link {
        let id = self.switch.connect(self.clock);
        if let Some(slot) = self.switch.faults_mut(id) {
            *slot = faults;
        }
        let mut link = Link {
            id,
            session: Session::new(Arc::clone(&self.config), self.now()),
            events: Vec::new(),
            flow_mods: 0,
            group_mods: 0,
            flow_log: Vec::new(),
            damage: None,
            cut: None,
            unread: Vec::new(),
            stopped_until: Duration::ZERO,
            told: 0,
            heard: 0,
            comparisons: 1,
            sent: Framer::new(),
        };
        self.tell(&mut link);
        link
    }

    pub(crate) fn faults(&mut self, link: &Link) -> &mut Faults {
        self.switch.faults_mut(link.id).expect("connected")
    }

    /// The switch neither reads nor says anything for so long.
    pub(crate) fn stop(&self, link: &mut Link, how_long: Duration) {
        link.stopped_until = self.clock + how_long;
    }

    pub(crate) fn disconnect(&mut self, link: Link) {
        // Bytes that have arrived are read before the end of the stream is seen.
        self.switch.receive(link.id, &link.unread, self.clock);
        self.switch.disconnect(link.id);
    }

    /// Ends a connection and makes one without faults.
    pub(crate) fn reconnect(&mut self, link: &mut Link) {
        let next = self.connect(Faults::default());
        self.disconnect(std::mem::replace(link, next));
    }

    pub(crate) fn restart(&mut self) {
        self.switch.restart();
        self.add_foreign();
    }

    /// Moves bytes and time until the switch has acknowledged everything and both sides are
    /// silent; false when the connection is lost before.
    #[must_use]
    pub(crate) fn settle(&mut self, link: &mut Link) -> bool {
        let wanted = Generation(self.generation);
        self.run(link, |_| false) && link.acked() == Some(wanted)
    }

    /// As [`World::settle`], with a new connection if this one is lost.
    pub(crate) fn settle_somehow(&mut self, link: &mut Link) {
        if !self.settle(link) {
            self.reconnect(link);
            assert!(self.settle(link), "no fault is left: {:?}", link.events);
        }
    }

    /// Moves bytes until `enough`.
    pub(crate) fn run_until(&mut self, link: &mut Link, enough: impl Fn(&Link) -> bool) {
        self.run(link, &enough);
        assert!(enough(link));
    }

    /// Moves bytes until the last generation is acknowledged, and not one further.
    pub(crate) fn run_until_acked(&mut self, link: &mut Link) {
        let wanted = Generation(self.generation);
        self.run_until(link, |link| link.acked() == Some(wanted));
    }

    /// True when both sides are silent and nothing is owed, or when there is enough.
    fn run(&mut self, link: &mut Link, enough: impl Fn(&Link) -> bool) -> bool {
        let wanted = Generation(self.generation);
        loop {
            if enough(link) {
                return true;
            }
            let moved = self.exchange(link);
            if link.session.is_closed() || !self.switch.is_connected(link.id) {
                return false;
            }
            if moved {
                continue;
            }
            let settled = link.reports().count() >= link.comparisons;
            if link.acked() == Some(wanted) && settled {
                return true;
            }
            let due = link.session.poll_timeout().expect("not closed");
            let others = [self.switch.next_timeout(), Some(link.stopped_until)];
            let others = others.into_iter().flatten().filter(|at| *at > self.clock);
            let due = others.fold(due.duration_since(self.start), Duration::min);
            self.clock = self.clock.max(due);
            link.session.handle_timeout(self.now());
        }
    }

    /// One chunk to the switch, and all it answers. True if anything moved.
    fn exchange(&mut self, link: &mut Link) -> bool {
        let chunk = link.session.poll_transmit();
        let mut moved = chunk.is_some();
        if let Some(bytes) = chunk {
            link.count(&bytes);
            link.unread.extend_from_slice(&bytes);
            link.told += bytes.len();
        }
        let is_cut = match link.cut {
            Some(Cut::ToSwitch(limit)) => link.told.checked_sub(limit),
            _ => None,
        };
        if let Some(excess) = is_cut {
            let length = link.unread.len().saturating_sub(excess);
            link.unread.truncate(length);
        }
        if self.clock >= link.stopped_until {
            self.switch.receive(link.id, &link.unread, self.clock);
            link.unread.clear();
            if is_cut.is_some() {
                self.switch.disconnect(link.id);
            }
        }
        while self.clock >= link.stopped_until
            && let Some(mut bytes) = self.switch.poll_transmit(link.id, self.clock)
        {
            moved = true;
            if let Some(Cut::FromSwitch(limit)) = link.cut
                && link.heard + bytes.len() > limit
            {
                bytes.truncate(limit.saturating_sub(link.heard));
                self.switch.disconnect(link.id);
            }
            if let Some((at, flip)) = link.damage
                && let Some(byte) = at.checked_sub(link.heard).and_then(|at| bytes.get_mut(at))
            {
                *byte ^= flip;
            }
            link.heard += bytes.len();
            link.session.handle_bytes(&bytes, self.start + self.clock);
        }
        link.events
            .extend(std::iter::from_fn(|| link.session.poll_event()));
        moved
    }

    /// A few exchanges.
    pub(crate) fn exchange_some(&mut self, link: &mut Link, times: usize) {
        for _ in 0..times {
            self.exchange(link);
        }
    }

    /// Takes all that the session sends, without telling the switch.
    pub(crate) fn transmit_without_answers(&self, link: &mut Link) {
        while let Some(bytes) = link.session.poll_transmit() {
            link.count(&bytes);
        }
    }

    /// The switch holds exactly what is wanted, the markers and what is foreign.
    pub(crate) fn check(&self) {
        self.check_without(&[]);
    }

    /// As [`World::check`], but for flows that were refused.
    pub(crate) fn check_without(&self, refused: &[Cookie]) {
        self.check_flows_without(refused);
        let mut groups = vec![foreign_group()];
        for layer in [&self.wanted.0, &self.wanted.1] {
            groups.extend(
                layer
                    .groups()
                    .iter()
                    .map(|(_, group)| group.group().clone()),
            );
        }
        groups.sort();
        let mut held: Vec<_> = self.switch.sim().groups().iter().cloned().collect();
        held.sort();
        assert_eq!(held, groups);
    }

    /// As [`World::check`] for a connection on which flows were refused: these may be missing, and
    /// nothing may be there beyond what is wanted.
    pub(crate) fn check_but_for_refused(&self, link: &Link) {
        let refused = link
            .rejected()
            .filter_map(|rejection| match rejection.entry {
                EntryId::Flow(cookie) => Some(cookie),
                EntryId::Group(_) => None,
            });
        let refused: BTreeSet<_> = refused.collect();
        let held = self.switch.sim().tables().flows().into_iter();
        let held: BTreeSet<_> = held.map(|flow| flow.cookie).collect();
        let missing = refused.into_iter().filter(|cookie| !held.contains(cookie));
        self.check_without(&missing.collect::<Vec<_>>());
    }

    pub(crate) fn check_flows_without(&self, refused: &[Cookie]) {
        let mut wanted = self.foreign.clone();
        for layer in [&self.wanted.0, &self.wanted.1] {
            wanted.extend(layer.flows().iter().map(|(_, flow)| flow.flow().clone()));
        }
        wanted.retain(|flow| !refused.contains(&flow.cookie));
        let held = self.switch.sim().tables().flows();
        let (markers, held): (Vec<_>, Vec<_>) = held
            .into_iter()
            .cloned()
            .partition(|flow| flow.table == pipeline::MARKERS);
        let held: BTreeSet<_> = held.into_iter().collect();
        let missing: Vec<_> = wanted.difference(&held).map(ToString::to_string).collect();
        let extra: Vec<_> = held.difference(&wanted).map(ToString::to_string).collect();
        assert_eq!((missing, extra), Default::default(), "(missing, extra)");
        assert_eq!(markers.len(), 2, "{markers:?}");
        if refused.is_empty() {
            let digests = [self.wanted.0.digest(), self.wanted.1.digest()];
            let markers = markers.iter().map(|flow| flow.cookie.0 << 8 >> 8);
            let mut markers: Vec<_> = markers.collect();
            markers.sort_unstable();
            let mut digests = digests.map(|digest| digest.marker_bits());
            digests.sort_unstable();
            assert_eq!(markers, digests);
        }
    }
}

fn foreign_flow() -> Flow {
    Flow {
        table: TableId(9),
        priority: 5,
        flow_match: Match::any(),
        cookie: FOREIGN,
        idle_timeout: 0,
        hard_timeout: 0,
        instructions: Vec::new(),
    }
}

fn foreign_group() -> Group {
    Group {
        id: GroupId(10_000),
        group_type: GroupType::Select,
        selection: None,
        buckets: vec![Bucket::new(1, 1, vec![Action::DecNwTtl])],
    }
}
