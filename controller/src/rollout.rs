// SPDX-License-Identifier: Apache-2.0
//! Make before break: in which order the switches learn of a change.
//!
//! One rollout at a time, each step acknowledged by all connected switches before the next begins:
//! (1) Pods lose flags that stand for isolation which the rules still say, too; (2) the cluster layer
//! changes, on each switch at once; (3) the layers of nodes change. What is not needed any more after
//! that the compiler takes away in its next stage, which is a rollout of its own.
//!
//! So no switch classifies a Pod by an identity that another connected switch does not know yet, and
//! none forgets an identity that another still uses. Both directions of policy are judged at one
//! switch, whose rules change all at once, so that no connection sees half of a change: rules that
//! were added before others are removed would let pass what neither the old nor the new rules allow.
//!
//! A switch that is not connected holds nobody up, and is brought to the present state when it
//! connects. Until then it fails closed: it learns no new identity, nothing that allows knows one that is
//! new, and where a policy denies by identities, it denies those that it does not know (decision 0020). A
//! connected switch that does not answer is given up by its session.

use std::collections::{BTreeMap, BTreeSet};

use openflow_session::{Delta, Generation, Layer, LayerState};

/// A change of all layers, encoded.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Change of each node's own layer that comes first.
    pub early: BTreeMap<String, Delta>,
    /// Change of the cluster layer.
    pub cluster: Delta,
    /// Change of each node's own layer.
    pub nodes: BTreeMap<String, Delta>,
}

/// What one switch is told: what layers shall hold from now on. The states are handles that all
/// switches share; a session looks only at what differs from the state before.
#[derive(Clone, Debug)]
pub struct Command {
    /// Both layers of a switch that has just connected, one of any other.
    pub wanted: Vec<(Layer, LayerState)>,
    /// What to acknowledge.
    pub generation: Generation,
    /// How many entries differ from the state before; 0 for a switch that has just connected,
    /// because nobody knows that yet.
    pub mods: usize,
}

/// A command and the node whose switch gets it.
#[derive(Clone, Debug)]
pub struct Step {
    /// Node name.
    pub node: String,
    /// The command.
    pub command: Command,
}

/// Steps of a rollout, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Early,
    Cluster,
    Nodes,
}

/// The state machine.
#[derive(Debug)]
pub struct Rollout {
    generation: Generation,
    phase: Phase,
    /// What is left of the plan.
    plan: Plan,
    /// What switches hold, or are being told to hold, in this phase.
    cluster: LayerState,
    nodes: BTreeMap<String, LayerState>,
    /// The last generation sent to each connected switch.
    connected: BTreeMap<String, Generation>,
    /// Connected switches that have not acknowledged what was sent last.
    waiting: BTreeSet<String>,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            generation: Generation::default(),
            phase: Phase::Idle,
            plan: Plan::default(),
            cluster: LayerState::default(),
            nodes: BTreeMap::new(),
            connected: BTreeMap::new(),
            waiting: BTreeSet::new(),
        }
    }
}

impl Rollout {
    /// Whether everything is acknowledged by every connected switch.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Idle && self.waiting.is_empty()
    }

    /// Starts a rollout. The one before must have ended: see [`Rollout::is_idle`].
    pub fn begin(&mut self, plan: Plan) -> Vec<Step> {
        debug_assert!(self.is_idle(), "one rollout at a time");
        self.plan = plan;
        self.phase = Phase::Early;
        let mut steps = Vec::new();
        let early = std::mem::take(&mut self.plan.early);
        self.send_nodes(early, &mut steps);
        self.advance(&mut steps);
        steps
    }

    /// A node's switch may be programmed from now on.
    pub fn connect(&mut self, node: &str) -> Vec<Step> {
        let generation = self.next_generation();
        self.sent(node, generation);
        let own = self.nodes.entry(node.to_owned()).or_default().clone();
        let wanted = vec![(Layer::Cluster, self.cluster.clone()), (Layer::Node, own)];
        let command = Command {
            wanted,
            generation,
            mods: 0,
        };
        vec![Step {
            node: node.to_owned(),
            command,
        }]
    }

    /// A node's switch is gone.
    pub fn disconnect(&mut self, node: &str) -> Vec<Step> {
        self.connected.remove(node);
        self.waiting.remove(node);
        let mut steps = Vec::new();
        self.advance(&mut steps);
        steps
    }

    /// A node's switch has acknowledged everything up to `generation`.
    pub fn acked(&mut self, node: &str, generation: Generation) -> Vec<Step> {
        let mut steps = Vec::new();
        if self
            .connected
            .get(node)
            .is_some_and(|sent| *sent <= generation)
            && self.waiting.remove(node)
        {
            self.advance(&mut steps);
        }
        steps
    }

    /// Whether the node's switch is connected, and has acknowledged what was sent last.
    pub fn is_programmed(&self, node: &str) -> bool {
        self.connected.contains_key(node) && !self.waiting.contains(node)
    }

    /// Whether the node's switch is connected.
    pub fn is_connected(&self, node: &str) -> bool {
        self.connected.contains_key(node)
    }

    /// Nodes whose acknowledgement is awaited.
    pub fn waiting(&self) -> impl Iterator<Item = &str> {
        self.waiting.iter().map(String::as_str)
    }

    /// The last generation that was sent to any switch.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Word for the phase.
    pub fn phase(&self) -> &'static str {
        match self.phase {
            Phase::Idle => "idle",
            Phase::Early => "early",
            Phase::Cluster => "cluster",
            Phase::Nodes => "nodes",
        }
    }

    /// What every switch shall hold in this phase.
    pub fn cluster(&self) -> &LayerState {
        &self.cluster
    }

    /// What the switches shall hold of their own in this phase, by node.
    pub fn nodes(&self) -> &BTreeMap<String, LayerState> {
        &self.nodes
    }

    /// Goes on as long as nobody is waited for.
    fn advance(&mut self, steps: &mut Vec<Step>) {
        while self.waiting.is_empty() {
            self.phase = match self.phase {
                Phase::Idle | Phase::Nodes => {
                    self.phase = Phase::Idle;
                    return;
                }
                Phase::Early => {
                    let delta = std::mem::take(&mut self.plan.cluster);
                    self.send_cluster(&delta, steps);
                    Phase::Cluster
                }
                Phase::Cluster => {
                    let deltas = std::mem::take(&mut self.plan.nodes);
                    self.send_nodes(deltas, steps);
                    Phase::Nodes
                }
            };
        }
    }

    fn send_nodes(&mut self, deltas: BTreeMap<String, Delta>, steps: &mut Vec<Step>) {
        for (node, delta) in deltas {
            self.send_node(node, &delta, steps);
        }
    }

    fn send_cluster(&mut self, delta: &Delta, steps: &mut Vec<Step>) {
        if delta.is_empty() {
            return;
        }
        self.cluster.apply(delta);
        let generation = self.next_generation();
        let nodes: Vec<String> = self.connected.keys().cloned().collect();
        for node in nodes {
            self.sent(&node, generation);
            let wanted = vec![(Layer::Cluster, self.cluster.clone())];
            let command = Command {
                wanted,
                generation,
                mods: size(delta),
            };
            steps.push(Step { node, command });
        }
    }

    fn send_node(&mut self, node: String, delta: &Delta, steps: &mut Vec<Step>) {
        if delta.is_empty() {
            return;
        }
        let own = self.nodes.entry(node.clone()).or_default();
        own.apply(delta);
        let wanted = vec![(Layer::Node, own.clone())];
        if self.is_connected(&node) {
            let generation = self.next_generation();
            self.sent(&node, generation);
            let command = Command {
                wanted,
                generation,
                mods: size(delta),
            };
            steps.push(Step { node, command });
        }
    }

    fn sent(&mut self, node: &str, generation: Generation) {
        self.connected.insert(node.to_owned(), generation);
        self.waiting.insert(node.to_owned());
    }

    fn next_generation(&mut self) -> Generation {
        self.generation = Generation(self.generation.0 + 1);
        self.generation
    }
}

fn size(delta: &Delta) -> usize {
    delta.add_flows.len()
        + delta.remove_cookies.len()
        + delta.set_groups.len()
        + delta.remove_groups.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use openflow_codec::{Context, Cookie, Flow, Match, TableId};
    use openflow_session::EncodedFlow;

    fn flow(cookie: u64) -> Arc<EncodedFlow> {
        let flow = Flow {
            table: TableId(0),
            priority: 1,
            flow_match: Match::any(),
            cookie: Cookie(cookie),
            idle_timeout: 0,
            hard_timeout: 0,
            instructions: Vec::new(),
        };
        Arc::new(EncodedFlow::new(flow, &Context::default()).unwrap())
    }

    fn add(cookies: &[u64]) -> Delta {
        Delta {
            add_flows: cookies.iter().copied().map(flow).collect(),
            ..Delta::default()
        }
    }

    /// The new identity is flow 1 of the cluster layer, the Pod's classification is flow 2 of
    /// node `a`, the old one is flow 9.
    fn plan() -> Plan {
        Plan {
            cluster: add(&[1]),
            nodes: BTreeMap::from([("a".to_owned(), add(&[2]))]),
            ..Plan::default()
        }
    }

    fn connected(nodes: &[&str]) -> Rollout {
        let mut rollout = Rollout::default();
        rollout.begin(Plan {
            cluster: add(&[9]),
            ..Plan::default()
        });
        for node in nodes {
            let steps = rollout.connect(node);
            assert_eq!(steps.len(), 1);
        }
        for node in nodes {
            ack(&mut rollout, node);
        }
        assert!(rollout.is_idle());
        rollout
    }

    fn ack(rollout: &mut Rollout, node: &str) -> Vec<String> {
        let generation = rollout.generation();
        words(&rollout.acked(node, generation))
    }

    fn words(steps: &[Step]) -> Vec<String> {
        let cookies = |state: &LayerState| -> Vec<u64> {
            state.flows().iter().map(|(cookie, _)| cookie.0).collect()
        };
        let word = |step: &Step| {
            let layers = step.command.wanted.iter();
            let layers: Vec<String> = layers
                .map(|(layer, state)| format!("{layer} {:?}", cookies(state)))
                .collect();
            format!("{}: {}", step.node, layers.join(", "))
        };
        steps.iter().map(word).collect()
    }

    #[test]
    fn a_pod_is_classified_only_after_every_connected_node_knows_its_identity() {
        let mut rollout = connected(&["a", "b", "c"]);
        let first = rollout.begin(plan());
        assert_eq!(
            words(&first),
            [
                "a: cluster [1, 9]",
                "b: cluster [1, 9]",
                "c: cluster [1, 9]"
            ]
        );
        assert_eq!(ack(&mut rollout, "a"), [""; 0]);
        assert_eq!(ack(&mut rollout, "c"), [""; 0]);
        assert_eq!(ack(&mut rollout, "b"), ["a: node [2]"]);
    }

    #[test]
    fn the_cluster_layer_gains_and_loses_at_once_after_flags_are_gone() {
        let mut rollout = connected(&["a", "b"]);
        let plan = Plan {
            early: BTreeMap::from([("b".to_owned(), add(&[3]))]),
            cluster: Delta {
                remove_cookies: vec![Cookie(9)],
                ..add(&[1])
            },
            ..Plan::default()
        };
        assert_eq!(words(&rollout.begin(plan)), ["b: node [3]"]);
        assert_eq!(rollout.phase(), "early");
        assert_eq!(ack(&mut rollout, "b"), ["a: cluster [1]", "b: cluster [1]"]);
    }

    #[test]
    fn a_rollout_ends_when_every_node_has_acknowledged_its_own_layer() {
        let mut rollout = connected(&["a", "b"]);
        rollout.begin(plan());
        ack(&mut rollout, "a");
        assert_eq!(ack(&mut rollout, "b"), ["a: node [2]"]);
        assert_eq!(rollout.phase(), "nodes");
        assert!(!rollout.is_idle());
        assert_eq!(ack(&mut rollout, "a"), [""; 0]);
        assert!(rollout.is_idle());
    }

    #[test]
    fn a_node_that_disconnects_holds_nobody_up() {
        let mut rollout = connected(&["a", "b"]);
        rollout.begin(plan());
        ack(&mut rollout, "a");
        assert_eq!(words(&rollout.disconnect("b")), ["a: node [2]"]);
        assert_eq!(ack(&mut rollout, "a"), [""; 0]);
        assert!(rollout.is_idle());
    }

    #[test]
    fn a_node_that_connects_in_the_middle_gets_the_state_of_the_phase_and_is_waited_for() {
        let mut rollout = connected(&["a"]);
        rollout.begin(plan());
        assert_eq!(words(&rollout.connect("b")), ["b: cluster [1, 9], node []"]);
        let first = Generation(rollout.generation().0 - 1);
        assert!(rollout.acked("a", first).is_empty());
        assert_eq!(ack(&mut rollout, "b"), ["a: node [2]"]);
    }

    #[test]
    fn a_node_that_comes_back_is_told_everything_that_it_missed() {
        let mut rollout = connected(&["a", "b"]);
        rollout.disconnect("a");
        rollout.begin(plan());
        ack(&mut rollout, "b");
        ack(&mut rollout, "b");
        assert!(rollout.is_idle());
        assert_eq!(
            words(&rollout.connect("a")),
            ["a: cluster [1, 9], node [2]"]
        );
    }

    #[test]
    fn an_old_acknowledgement_does_not_count() {
        let mut rollout = connected(&["a"]);
        let before = rollout.generation();
        rollout.begin(plan());
        assert!(rollout.acked("a", before).is_empty());
        assert_eq!(rollout.phase(), "cluster");
    }

    #[test]
    fn churn_of_known_identities_touches_one_node_only() {
        let mut rollout = connected(&["a", "b"]);
        let nodes = BTreeMap::from([("b".to_owned(), add(&[3]))]);
        let steps = rollout.begin(Plan {
            nodes,
            ..Plan::default()
        });
        assert_eq!(words(&steps), ["b: node [3]"]);
        assert!(ack(&mut rollout, "b").is_empty());
        assert!(rollout.is_idle());
    }

    #[test]
    fn nobody_connected_is_nobody_waited_for() {
        let mut rollout = Rollout::default();
        assert!(rollout.begin(plan()).is_empty());
        assert!(rollout.is_idle());
        assert_eq!(words(&rollout.connect("a")), ["a: cluster [1], node [2]"]);
    }
}
