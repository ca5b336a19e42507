// SPDX-License-Identifier: Apache-2.0
//! What the controller decides: a state machine without IO.
//!
//! The owner hands [`Input`]s to [`Control::take`] and then lets [`Control::settle`] say what to do.
//! Several inputs may be taken before one settling, so that a burst is one batch.
//!
//! ```text
//! manifests --+                                    +--> commands for switches
//! machines ---+--> pending --> compiler --> rollout+
//! switches ---+       (one rollout at a time)      +--> facts for machines, once acknowledged
//! ```
//!
//! Invariants:
//! * Nothing is compiled before the source is loaded, and no switch is programmed before its machine's
//!   OVSDB was read and compiled. What a switch holds until then stays.
//! * A Pod is admitted when everything that was sent before is acknowledged by every connected switch,
//!   and it is ready when its own flows are, too.

mod attachments;
mod claims;
mod pending;
mod policy_counters;
mod query;
mod services;
#[cfg(test)]
mod tests;
mod warm;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use api_types::Source;
use openflow_codec::{Cookie, DatapathId};
use openflow_session::{Counted, EntryId, Generation, Reconciled, Rejection, SwitchInfo};
use policy_compiler::model::Family;
use policy_compiler::{Change, Compiler, Config, Kind, Object, ObjectKey};

use self::attachments::Attachments;
use self::pending::{Batch, Pending};
use self::policy_counters::PolicyCounters;
use self::services::ServiceTexts;
use crate::encoder::Encoder;
use crate::machine::{Facts, MachineView};
use crate::rollout::{Command, Rollout, Step};
use crate::source::Update;

pub use self::policy_counters::{PolicyCount, Traffic};
pub(crate) use self::query::pod_key;
pub use self::query::{FlowQuery, QueryError};

/// How long a machine that refused a write is left alone.
const RETRY: Duration = Duration::from_secs(1);

/// Names one accepted connection, OVSDB or OpenFlow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The manifests changed.
    Source(Box<Update>),
    /// A machine's OVSDB was read.
    MachineView {
        /// Its connection.
        connection: ConnectionId,
        /// Where it comes from.
        remote: String,
        /// What it says.
        view: Box<MachineView>,
    },
    /// A machine's OVSDB is gone.
    MachineLost {
        /// Its connection.
        connection: ConnectionId,
    },
    /// Facts were written, or not.
    Written {
        /// The machine's connection.
        connection: ConnectionId,
        /// Which facts.
        facts: Box<Facts>,
        /// Why not.
        outcome: Result<(), String>,
    },
    /// A switch has finished the handshake.
    SwitchUp {
        /// Its connection.
        connection: ConnectionId,
        /// Where it comes from.
        remote: String,
        /// What it says of itself.
        info: Box<SwitchInfo>,
    },
    /// A switch has acknowledged.
    Acked {
        /// Its connection.
        connection: ConnectionId,
        /// Up to here.
        generation: Generation,
        /// How many wanted entries it has refused and so does not hold.
        rejected: usize,
    },
    /// A switch was compared with what was wanted.
    Reconciled {
        /// Its connection.
        connection: ConnectionId,
        /// What was different.
        found: Reconciled,
    },
    /// A switch refused an entry.
    Rejected {
        /// Its connection.
        connection: ConnectionId,
        /// Which, and why.
        rejection: Box<Rejection>,
    },
    /// A part of what a switch's policy flows have counted.
    Counted {
        /// Its connection.
        connection: ConnectionId,
        /// The flows that have counted something.
        flows: Vec<Counted>,
        /// The last part.
        complete: bool,
    },
    /// A switch is gone.
    SwitchLost {
        /// Its connection.
        connection: ConnectionId,
    },
}

/// What to do.
#[derive(Debug)]
pub enum Effect {
    /// Tell a switch.
    Tell {
        /// Its connection.
        connection: ConnectionId,
        /// What.
        command: Command,
    },
    /// Write facts to a machine's OVSDB.
    Write {
        /// Its connection.
        connection: ConnectionId,
        /// Which.
        facts: Box<Facts>,
    },
    /// End a connection that was replaced by a newer one of the same machine.
    Close {
        /// The connection.
        connection: ConnectionId,
    },
}

/// Counts for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Batches that the compiler worked off.
    pub batches: u64,
    /// Flows that were encoded, each once for all switches.
    pub flows_encoded: u64,
    /// Flow and group modifications that were sent.
    pub mods_sent: u64,
    /// Entries that switches refused.
    pub rejections: u64,
    /// Writes to machines.
    pub facts_written: u64,
    /// Switches that held exactly what was wanted when they connected.
    pub reconciled_by_digest: u64,
    /// Switches that were read back, when they connected or in an audit.
    pub reconciled_by_dump: u64,
    /// Entries that an audit found missing, changed or added, and repaired.
    pub repairs: u64,
}

/// A machine that dialled the OVSDB port.
#[derive(Debug)]
struct Machine {
    remote: String,
    view: MachineView,
    standing: Standing,
    /// A write is under way.
    writing: bool,
    /// Not before this time.
    retry_at: Option<Instant>,
}

/// What a machine is, as far as the objects confirm it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    Waiting(String),
    Refused(String),
    Accepted(String),
}

/// A node of which some machine's OVSDB was read; stays when the machine disconnects.
#[derive(Debug, Default)]
struct NodeRecord {
    /// Its OVSDB connection, while there is one.
    machine: Option<ConnectionId>,
    /// What its OVSDB said last.
    view: MachineView,
    /// The compiler knows it.
    compiled: bool,
}

/// A switch that has finished the handshake.
#[derive(Debug)]
struct Switch {
    remote: String,
    datapath_id: DatapathId,
    software: String,
    /// The node it belongs to, and whose layers it was given.
    joined: Option<String>,
    /// Wanted entries that it refused.
    rejected: usize,
    mods_sent: u64,
    /// Flows and groups of others, when it was last read back.
    foreign: Option<(usize, usize)>,
    /// Entries that audits repaired.
    repairs: u64,
}

/// The state machine.
pub struct Control {
    bridge: String,
    compiler: Compiler,
    encoder: Encoder,
    rollout: Rollout,
    pending: Pending,
    source: Source,
    places: BTreeMap<ObjectKey, (String, usize)>,
    /// Names of Node objects.
    node_objects: BTreeSet<String>,
    /// Family of the tunnels, once Node objects were read.
    underlay: Option<Family>,
    /// What the compiler has read of them: where tunnels end, and Pod CIDRs.
    addresses: BTreeMap<String, IpAddr>,
    pod_cidrs: BTreeMap<String, String>,
    /// The Pod CIDRs of all nodes, comma-separated.
    cluster_cidrs: String,
    /// What all machines are told of Services, and whether something may have changed in it.
    services: ServiceTexts,
    rejected: BTreeMap<ObjectKey, String>,
    machines: BTreeMap<ConnectionId, Machine>,
    /// Machines whose standing must be looked at again.
    unjudged: BTreeSet<ConnectionId>,
    nodes: BTreeMap<String, NodeRecord>,
    node_of_datapath: BTreeMap<DatapathId, String>,
    switches: BTreeMap<ConnectionId, Switch>,
    switch_of_datapath: BTreeMap<DatapathId, ConnectionId>,
    /// Switches that may have to be joined with their node.
    unjoined: BTreeSet<ConnectionId>,
    attachments: Attachments,
    /// Nodes whose OVSDB may have to be told something.
    unwritten: BTreeSet<String>,
    counters: Counters,
    policy_counters: PolicyCounters,
}

impl Control {
    /// A controller that knows nothing; `bridge` is the name of the bridge on every machine.
    pub fn new(config: &Config, bridge: impl Into<String>, location: impl Into<String>) -> Self {
        Self::with_compiler(Compiler::new(config), bridge, location)
    }

    /// The same with a compiler that knows no object yet.
    pub fn with_compiler(
        compiler: Compiler,
        bridge: impl Into<String>,
        location: impl Into<String>,
    ) -> Self {
        Self {
            bridge: bridge.into(),
            compiler,
            encoder: Encoder::default(),
            rollout: Rollout::default(),
            pending: Pending::default(),
            source: Source {
                location: location.into(),
                ..Source::default()
            },
            places: BTreeMap::new(),
            node_objects: BTreeSet::new(),
            underlay: None,
            addresses: BTreeMap::new(),
            pod_cidrs: BTreeMap::new(),
            cluster_cidrs: String::new(),
            services: ServiceTexts::default(),
            rejected: BTreeMap::new(),
            machines: BTreeMap::new(),
            unjudged: BTreeSet::new(),
            nodes: BTreeMap::new(),
            node_of_datapath: BTreeMap::new(),
            switches: BTreeMap::new(),
            switch_of_datapath: BTreeMap::new(),
            unjoined: BTreeSet::new(),
            attachments: Attachments::default(),
            unwritten: BTreeSet::new(),
            counters: Counters::default(),
            policy_counters: PolicyCounters::default(),
        }
    }

    /// Whether nothing is under way: all that was taken in is acknowledged by every connected switch.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty() && self.rollout.is_idle()
    }

    /// Takes an input in.
    pub fn take(&mut self, input: Input, now: Instant, effects: &mut Vec<Effect>) {
        match input {
            Input::Source(update) => self.take_source(*update),
            Input::MachineView {
                connection,
                remote,
                view,
            } => {
                self.take_view(connection, remote, *view);
            }
            Input::MachineLost { connection } => self.lose_machine(connection),
            Input::Written {
                connection,
                facts,
                outcome,
            } => {
                self.take_written(connection, &facts, outcome, now);
            }
            Input::SwitchUp {
                connection,
                remote,
                info,
            } => {
                self.take_switch(connection, remote, *info, effects);
            }
            Input::Acked {
                connection,
                generation,
                rejected,
            } => {
                self.take_acked(connection, generation, rejected, effects);
            }
            Input::Reconciled { connection, found } => self.take_reconciled(connection, found),
            Input::Rejected {
                connection,
                rejection,
            } => self.take_rejected(connection, *rejection),
            Input::Counted {
                connection,
                flows,
                complete,
            } => self.take_counted(connection, &flows, complete),
            Input::SwitchLost { connection } => self.lose_switch(connection, effects),
        }
    }

    /// Works off what was taken in.
    pub fn settle(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if !self.source.loaded {
            return;
        }
        loop {
            // What is compiled may say more of machines, and the other way round.
            self.judge_machines(effects);
            if !self.rollout.is_idle() {
                break;
            }
            self.note_acknowledged(now);
            let admissions = self
                .attachments
                .admissible(|node| self.rollout.is_programmed(node));
            if self.pending.is_empty() && admissions.is_empty() && !self.compiler.has_stages() {
                break;
            }
            let steps = self.compile(admissions);
            self.carry_out(steps, effects);
        }
        self.join_switches(effects);
        self.write_facts(now, effects);
    }

    /// When to settle again, if nothing happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let retries = self
            .machines
            .values()
            .filter_map(|machine| machine.retry_at);
        retries.chain(self.attachments.deadline()).min()
    }

    /// Counts for metrics.
    pub fn counters(&self) -> Counters {
        Counters {
            flows_encoded: self.encoder.encoded(),
            ..self.counters
        }
    }

    /// What every rule in force, or staged, has decided.
    pub fn policy_counts(&self) -> Vec<PolicyCount> {
        self.policy_counters.counts(&self.compiler)
    }

    fn take_counted(&mut self, connection: ConnectionId, flows: &[Counted], complete: bool) {
        // A node's counters go on after a reconnect, if its switch's do.
        let switch = self.switches.get(&connection);
        if let Some(node) = switch.and_then(|switch| switch.joined.as_deref()) {
            self.policy_counters
                .take(node, connection, flows, complete, &self.compiler);
        }
    }

    fn take_source(&mut self, update: Update) {
        self.source = update.status;
        for change in update.changes {
            match &change {
                Change::Apply(Object::Node(node)) => {
                    self.node_objects.extend(node.metadata.name.clone());
                }
                Change::Delete(key) => {
                    self.rejected.remove(key);
                    self.places.remove(key);
                    if key.kind == Kind::Node && self.node_objects.remove(&*key.name) {
                        let record = self.nodes.get(&*key.name);
                        self.unjudged
                            .extend(record.and_then(|record| record.machine));
                    }
                }
                _ => {}
            }
            self.pending.push(change);
        }
        for (key, file, line) in update.places {
            self.rejected.remove(&key);
            self.places.insert(key, (file, line));
        }
        // Before the first load nobody could be judged, and a Node object may be new.
        self.unjudged
            .extend(self.machines.iter().filter_map(|(connection, machine)| {
                (!matches!(machine.standing, Standing::Accepted(_))).then_some(*connection)
            }));
    }

    fn take_switch(
        &mut self,
        connection: ConnectionId,
        remote: String,
        info: SwitchInfo,
        effects: &mut Vec<Effect>,
    ) {
        let datapath_id = info.datapath_id;
        tracing::info!(%connection, remote, %datapath_id, software = info.software, "switch connected");
        if let Some(old) = self.switch_of_datapath.get(&datapath_id).copied() {
            // The newest connection of a switch is the one it listens to.
            effects.push(Effect::Close { connection: old });
            self.lose_switch(old, effects);
        }
        let switch = Switch {
            remote,
            datapath_id,
            software: info.software,
            joined: None,
            rejected: 0,
            mods_sent: 0,
            foreign: None,
            repairs: 0,
        };
        self.switches.insert(connection, switch);
        self.switch_of_datapath.insert(datapath_id, connection);
        self.unjoined.insert(connection);
    }

    fn lose_switch(&mut self, connection: ConnectionId, effects: &mut Vec<Effect>) {
        self.unjoined.remove(&connection);
        let Some(switch) = self.switches.remove(&connection) else {
            return;
        };
        let datapath_id = switch.datapath_id;
        tracing::info!(%connection, %datapath_id, node = switch.joined, "switch disconnected");
        if self.switch_of_datapath.get(&datapath_id) == Some(&connection) {
            self.switch_of_datapath.remove(&datapath_id);
        }
        if let Some(node) = switch.joined {
            let steps = self.rollout.disconnect(&node);
            self.carry_out(steps, effects);
            // Whoever waited for this node's neighbour entries waits no more.
            self.unwritten.extend(self.attachments.unready_nodes());
        }
    }

    /// Gives switches the layers of their nodes, as soon as both are known.
    fn join_switches(&mut self, effects: &mut Vec<Effect>) {
        for connection in std::mem::take(&mut self.unjoined) {
            let Some(switch) = self.switches.get_mut(&connection) else {
                continue;
            };
            let node = self
                .node_of_datapath
                .get(&switch.datapath_id)
                .filter(|node| {
                    self.nodes
                        .get(*node)
                        .is_some_and(|record| record.compiled && record.machine.is_some())
                });
            let Some(node) = node.cloned() else {
                self.unjoined.insert(connection);
                continue;
            };
            tracing::info!(%connection, node, "switch belongs to node");
            switch.joined = Some(node.clone());
            let steps = self.rollout.connect(&node);
            self.carry_out(steps, effects);
        }
    }

    fn take_acked(
        &mut self,
        connection: ConnectionId,
        generation: Generation,
        rejected: usize,
        effects: &mut Vec<Effect>,
    ) {
        let Some(switch) = self.switches.get_mut(&connection) else {
            return;
        };
        let Some(node) = switch.joined.clone() else {
            return;
        };
        switch.rejected = rejected;
        if rejected == 0 && self.attachments.unblock(&node) {
            self.unwritten.insert(node.clone());
        }
        let steps = self.rollout.acked(&node, generation);
        self.carry_out(steps, effects);
    }

    fn take_reconciled(&mut self, connection: ConnectionId, found: Reconciled) {
        let Some(switch) = self.switches.get_mut(&connection) else {
            return;
        };
        let Reconciled {
            by_digest,
            audit,
            flows_added,
            flows_removed,
            groups_set,
            groups_removed,
            foreign_flows,
            foreign_groups,
        } = found;
        let node = switch.joined.as_deref();
        let changed = (flows_added + flows_removed + groups_set + groups_removed) as u64;
        switch.mods_sent += changed;
        self.counters.mods_sent += changed;
        if by_digest {
            self.counters.reconciled_by_digest += 1;
            tracing::info!(%connection, node, "switch holds exactly what is wanted");
            return;
        }
        self.counters.reconciled_by_dump += 1;
        switch.foreign = Some((foreign_flows, foreign_groups));
        if changed == 0 {
            tracing::info!(
                %connection, node, foreign_flows, foreign_groups,
                "switch was read back and holds what is wanted"
            );
        } else if audit {
            switch.repairs += changed;
            self.counters.repairs += changed;
            tracing::warn!(
                %connection, node, flows_added, flows_removed, groups_set, groups_removed, foreign_flows,
                foreign_groups, "somebody else had changed the switch; it was repaired"
            );
        } else {
            tracing::info!(
                %connection, node, flows_added, flows_removed, groups_set, groups_removed, foreign_flows,
                foreign_groups, "switch was brought to what is wanted"
            );
        }
    }

    fn take_rejected(&mut self, connection: ConnectionId, rejection: Rejection) {
        self.counters.rejections += 1;
        let Some(switch) = self.switches.get(&connection) else {
            return;
        };
        let Rejection {
            layer,
            entry,
            text,
            error,
        } = rejection;
        tracing::error!(%connection, node = switch.joined, %layer, text, error, "switch refused an entry");
        let (EntryId::Flow(cookie), Some(node)) = (entry, switch.joined.clone()) else {
            return;
        };
        self.block_pods(&node, cookie, &error);
    }

    /// A Pod one of whose own flows was refused is not going to be ready.
    fn block_pods(&mut self, node: &str, cookie: Cookie, error: &str) {
        for explanation in self.compiler.explain(cookie) {
            for cause in explanation.causes {
                if let Some(key) = cause.attachment.filter(|key| key.node == node) {
                    self.attachments.block(
                        &key,
                        format!("the switch refused flow {cookie} of this Pod ({error}); see `culvert explain {cookie}`"),
                    );
                }
            }
        }
        self.unwritten.insert(node.to_owned());
    }

    /// Hands the pending changes to the compiler, unless it has not finished those before, and starts
    /// the rollout of what its next stage says.
    fn compile(&mut self, admissions: Vec<Change>) -> Vec<Step> {
        let batch = match self.compiler.has_stages() {
            true => Batch::default(),
            false => self.pending.take(),
        };
        let admitted = admissions.len();
        let changes = batch.changes.len();
        self.compiler
            .submit(batch.changes.into_iter().chain(admissions));
        let output = self.compiler.advance();
        self.counters.batches += 1;
        for node in batch.observed {
            self.unwritten.insert(node.clone());
            if let Some(record) = self.nodes.get_mut(&node) {
                record.compiled = true;
            }
        }
        if batch.node_objects {
            self.read_node_objects();
        }
        self.services.unread |= output.services;
        self.services.uncounted |= output.local_endpoints;
        if !self.compiler.has_stages() {
            self.read_services();
        }
        for (key, rejected) in &output.rejected {
            let (file, line) = self.places.get(key).cloned().unwrap_or_default();
            tracing::warn!(object = %key, file, line, reason = %rejected, "object is refused; what it said before stays in force");
            self.rejected.insert(key.clone(), rejected.to_string());
        }
        for (key, status) in &output.attachments {
            self.unwritten.insert(key.node.clone());
            self.attachments.set(key, status.clone());
        }
        for key in &batch.attached {
            self.unwritten.insert(key.node.clone());
            self.attachments.reattached(key);
        }
        let plan = self.encoder.plan(&output);
        tracing::debug!(
            changes,
            admitted,
            cluster_add = plan.cluster.add_flows.len(),
            cluster_remove = plan.cluster.remove_cookies.len(),
            nodes = plan.nodes.len(),
            "compiled"
        );
        self.rollout.begin(plan)
    }

    /// Takes over what the compiler has read of Node objects; machines learn what is different.
    fn read_node_objects(&mut self) {
        let (mut addresses, mut pod_cidrs) = (BTreeMap::new(), BTreeMap::new());
        let mut all_cidrs = BTreeSet::new();
        let underlay = self.compiler.underlay();
        for node in self.compiler.nodes() {
            let address = node.addresses.and_then(|addresses| addresses.of(underlay));
            addresses.extend(address.map(|address| (node.name.clone(), address)));
            let cidrs: Vec<String> = node.pod_cidrs.iter().map(ToString::to_string).collect();
            pod_cidrs.insert(node.name.clone(), cidrs.join(","));
            all_cidrs.extend(cidrs);
        }
        let cluster_cidrs = Vec::from_iter(all_cidrs).join(",");
        if addresses != self.addresses || cluster_cidrs != self.cluster_cidrs {
            self.unwritten.extend(self.nodes.keys().cloned());
        }
        if addresses != self.addresses || self.underlay != Some(underlay) {
            self.unjudged.extend(self.machines.keys().copied());
        }
        for (node, cidrs) in &pod_cidrs {
            if self.pod_cidrs.get(node) != Some(cidrs) {
                self.unwritten.insert(node.clone());
            }
        }
        self.underlay = Some(underlay);
        self.addresses = addresses;
        self.pod_cidrs = pod_cidrs;
        self.cluster_cidrs = cluster_cidrs;
    }

    /// Everything that was sent is acknowledged by every connected switch.
    fn note_acknowledged(&mut self, now: Instant) {
        for node in self
            .attachments
            .acknowledge(now, |node| self.rollout.is_programmed(node))
        {
            self.unwritten.insert(node);
        }
    }

    fn carry_out(&mut self, steps: Vec<Step>, effects: &mut Vec<Effect>) {
        for Step { node, command } in steps {
            let connection = self
                .nodes
                .get(&node)
                .and_then(|record| record.view.bridge.as_ref()?.datapath_id)
                .and_then(|datapath_id| self.switch_of_datapath.get(&datapath_id));
            let Some(connection) = connection.copied() else {
                continue;
            };
            if let Some(switch) = self.switches.get_mut(&connection) {
                switch.mods_sent += command.mods as u64;
                self.counters.mods_sent += command.mods as u64;
            }
            effects.push(Effect::Tell {
                connection,
                command,
            });
        }
    }
}
