// SPDX-License-Identifier: Apache-2.0
//! What switches cost in memory beyond one copy of each flow.
//!
//! Flows go the controller's way: encoder, rollout, a session for each switch. Simulated switches
//! take them, and are gone when memory is counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use controller::encoder::Encoder;
use controller::rollout::{Rollout, Step};
use controller::switch::config::session_config;
use flow_sim::Switch;
use openflow_codec::message::flow_mod::FlowMod;
use openflow_codec::message::hello::Hello;
use openflow_codec::{DatapathId, Flow, Match, Message, Xid};
use openflow_session::{Config, EncodedFlow, Event, Layer, LayerState, Session};
use policy_compiler::{LayerDelta, Output};

use crate::figure::Figures;
use crate::{memory, sample};

const SWITCHES: usize = 1_000;
const FEW: u32 = 1_000;
const MANY: u32 = 10_000;
const OWN_SWITCHES: usize = 50;
const OWN_FLOWS: u32 = 2_000;

pub(crate) fn report(figures: &mut Figures) {
    let [few, many] = [FEW, MANY].map(shared_by_all);
    let growth = (many - few) / f64::from(MANY - FEW);
    println!(
        "\nmemory of {SWITCHES} switches that share a cluster layer, each: {few:.0} bytes with {FEW} flows, {many:.0} with {MANY}"
    );
    figures.at_most(
        "sync_memory_cluster_layer",
        growth,
        "bytes/flow/switch",
        0.1,
    );

    let (each, flow) = own_flows();
    println!(
        "memory of {OWN_SWITCHES} switches with {OWN_FLOWS} flows of their own: {each:.1} bytes for each flow beyond the {flow:.0} of the flow"
    );
    figures.at_most("sync_memory_node_layer", each, "bytes/flow", 32.0);
}

/// Bytes for each switch when the cluster layer has so many flows, after a change of it.
fn shared_by_all(flows: u32) -> f64 {
    let config = Arc::new(session_config());
    let (mut encoder, mut rollout) = (Encoder::default(), Rollout::default());
    let cluster = |flows| Output {
        cluster: LayerDelta {
            add: flows,
            ..LayerDelta::default()
        },
        ..Output::default()
    };
    let first = (0..flows).map(|n| Arc::new(sample::policy(n))).collect();
    rollout.begin(encoder.plan(&cluster(first)));
    let before = memory::live();
    let mut switches = BTreeMap::new();
    for n in 0..SWITCHES {
        let name = format!("node-{n}");
        // It holds markers that say it has everything.
        let layers = [rollout.cluster().clone(), LayerState::default()];
        let mut pair = Pair::new(&config, n, &layers);
        for step in rollout.connect(&name) {
            pair.tell(step);
        }
        switches.insert(name, pair);
    }
    settle(&mut rollout, &mut switches);
    let encoded = encoder.encoded();
    let steps = rollout.begin(encoder.plan(&cluster(vec![Arc::new(sample::policy(flows))])));
    assert_eq!(encoder.encoded(), encoded + 1);
    steps.into_iter().for_each(|step| tell(&mut switches, step));
    settle(&mut rollout, &mut switches);
    let sessions: Vec<Session> = switches.into_values().map(|pair| pair.session).collect();
    let bytes = memory::live() - before;
    drop(sessions);
    bytes as f64 / SWITCHES as f64
}

/// Bytes for each flow beyond the flow itself when every switch has flows of its own, and those of the
/// flow.
fn own_flows() -> (f64, f64) {
    let count = OWN_SWITCHES * OWN_FLOWS as usize;
    let flow = |n: usize| Arc::new(sample::pod(n as u32));
    let config = Arc::new(session_config());
    let context = config.context();
    let mut copies = Vec::with_capacity(count);
    let before = memory::live();
    copies.extend(
        (0..count).map(|n| Arc::new(EncodedFlow::new(flow(n), &context).expect("a small flow"))),
    );
    let of_flows = memory::live() - before;
    drop(copies);

    let before = memory::live();
    let (mut encoder, mut rollout) = (Encoder::default(), Rollout::default());
    let mut switches = BTreeMap::new();
    for n in 0..OWN_SWITCHES {
        let name = format!("node-{n}");
        let own = n * OWN_FLOWS as usize..(n + 1) * OWN_FLOWS as usize;
        let delta = LayerDelta {
            add: own.map(flow).collect(),
            ..LayerDelta::default()
        };
        let output = Output {
            nodes: BTreeMap::from([(name.clone(), delta)]),
            ..Output::default()
        };
        rollout.begin(encoder.plan(&output));
        let mut pair = Pair::new(&config, n, &[]);
        for step in rollout.connect(&name) {
            pair.tell(step);
        }
        switches.insert(name, pair);
        settle(&mut rollout, &mut switches);
    }
    let sessions: Vec<Session> = switches.into_values().map(|pair| pair.session).collect();
    let bytes = memory::live() - before - of_flows;
    drop((encoder, rollout, sessions));
    let each = |bytes: i64| bytes as f64 / count as f64;
    (each(bytes), each(of_flows))
}

/// A session and the switch at its other end.
struct Pair {
    session: Session,
    switch: Switch,
    connection: flow_sim::ConnectionId,
    now: Instant,
}

impl Pair {
    /// A switch that holds the markers of `layers`.
    fn new(config: &Arc<Config>, number: usize, layers: &[LayerState]) -> Self {
        let mut switch = Switch::new(DatapathId(number as u64 + 1));
        for (layer, state) in Layer::ALL.into_iter().zip(layers) {
            mark(&mut switch, config, layer, state);
        }
        let now = Instant::now();
        Self {
            session: Session::new(Arc::clone(config), now),
            connection: switch.connect(Duration::ZERO),
            switch,
            now,
        }
    }

    fn tell(&mut self, step: Step) {
        let command = step.command;
        for (layer, state) in command.wanted {
            let session = &mut self.session;
            session.set_wanted(layer, state, command.generation, self.now);
        }
    }

    /// Lets both talk until neither has anything to say; what was acknowledged.
    fn talk(&mut self) -> Option<openflow_session::Generation> {
        let mut acked = None;
        loop {
            let mut quiet = true;
            while let Some(bytes) = self.session.poll_transmit() {
                quiet = false;
                self.switch.receive(self.connection, &bytes, Duration::ZERO);
            }
            while let Some(bytes) = self.switch.poll_transmit(self.connection, Duration::ZERO) {
                quiet = false;
                self.session.handle_bytes(&bytes, self.now);
            }
            while let Some(event) = self.session.poll_event() {
                match event {
                    Event::Acked { generation, .. } => acked = Some(generation),
                    Event::Closed(reason) => panic!("{reason}"),
                    _ => {}
                }
            }
            if quiet {
                return acked;
            }
        }
    }
}

/// Writes a marker by a connection of its own.
fn mark(switch: &mut Switch, config: &Config, layer: Layer, state: &LayerState) {
    let marker = config.marker(layer);
    let flow = Flow {
        table: marker.table,
        priority: marker.priority,
        flow_match: Match::any(),
        cookie: marker.cookie(state.digest()),
        idle_timeout: 0,
        hard_timeout: 0,
        instructions: Vec::new(),
    };
    let mut tlv = openflow_codec::message::tlv_table::TlvTableMod {
        command: openflow_codec::message::tlv_table::TlvTableCommand::Add,
        mappings: Vec::new(),
    };
    tlv.mappings.extend(config.tlv);
    let connection = switch.connect(Duration::ZERO);
    for message in [
        Message::Hello(Hello::OURS),
        Message::TlvTableMod(tlv),
        Message::FlowMod(FlowMod::add(&flow)),
    ] {
        let mut bytes = Vec::new();
        message
            .encode(Xid(1), &config.context(), &mut bytes)
            .expect("a small message");
        switch.receive(connection, &bytes, Duration::ZERO);
    }
    switch.disconnect(connection);
}

fn tell(switches: &mut BTreeMap<String, Pair>, step: Step) {
    if let Some(pair) = switches.get_mut(&step.node) {
        pair.tell(step);
    }
}

/// Until every switch has acknowledged everything.
fn settle(rollout: &mut Rollout, switches: &mut BTreeMap<String, Pair>) {
    while !rollout.is_idle() {
        let waiting: Vec<String> = rollout.waiting().map(str::to_owned).collect();
        for node in waiting {
            let acked = switches.get_mut(&node).and_then(Pair::talk);
            let acked = acked.expect("a simulated switch acknowledges");
            for step in rollout.acked(&node, acked) {
                tell(switches, step);
            }
        }
    }
}
