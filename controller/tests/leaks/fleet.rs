// SPDX-License-Identifier: Apache-2.0
//! The controller with simulated switches, each of which acts when it is told to act.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use api_types::Source;
use controller::control::{ConnectionId, Control, Effect, Input};
use controller::machine::MachineView;
use controller::machine::view::{Bridge, Claim, PodInterface};
use controller::rollout::Command;
use controller::source::Update;
use flow_sim::{MacAddr, Output, Packet, Sim};
use openflow_codec::{DatapathId, PortNo};
use openflow_session::shared_map::Change as Difference;
use openflow_session::{Generation, Layer, LayerState, SwitchInfo};
use ovsdb_client::Uuid;
use policy_compiler::model::{Addresses, Family};
use policy_compiler::pipeline::{GATEWAY_MAC, HOST_MAC};
use policy_compiler::{Change, Config};

use crate::end::End;
use crate::state::{self, NODES, PodRef, State};

const TUNNEL_PORT: PortNo = PortNo(1);
const GATEWAY_PORT: PortNo = PortNo(2);

/// The controller and its nodes.
pub(crate) struct Fleet {
    control: Control,
    effects: Vec<Effect>,
    nodes: Vec<Node>,
    /// The way of the last packet.
    way: Vec<String>,
    next_connection: u64,
    now: Instant,
    clock: Duration,
}

/// What can happen next at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happening {
    /// The switch carries out the next thing that it was told, in one bundle.
    Apply(usize),
    /// Its acknowledgement arrives.
    Ack(usize),
}

impl Happening {
    pub(crate) fn node(self) -> usize {
        match self {
            Self::Apply(node) | Self::Ack(node) => node,
        }
    }
}

struct Node {
    sim: Sim,
    cluster: LayerState,
    own: LayerState,
    view: MachineView,
    connection: Option<ConnectionId>,
    inbox: VecDeque<Command>,
    acks: VecDeque<Generation>,
    /// Has carried out what it was told when it connected.
    met: bool,
}

/// A packet that reached somebody.
pub(crate) struct Delivery {
    pub(crate) to: End,
    pub(crate) packet: Packet,
}

impl Fleet {
    /// A controller that has read the Node objects and `state`; no switch is connected yet.
    pub(crate) fn new(state: &State) -> Self {
        let config = Config {
            cluster_secret: [7; 32],
        };
        let node = |node: usize| Node {
            sim: Sim::new(),
            cluster: LayerState::default(),
            own: LayerState::default(),
            view: view(node),
            connection: None,
            inbox: VecDeque::new(),
            acks: VecDeque::new(),
            met: false,
        };
        let mut fleet = Self {
            control: Control::new(&config, "br-int", "dir:test"),
            effects: Vec::new(),
            nodes: (0..NODES).map(node).collect(),
            way: Vec::new(),
            next_connection: 100,
            now: Instant::now(),
            clock: Duration::ZERO,
        };
        let mut objects: Vec<Change> = state::nodes().collect();
        objects.extend(State::empty().objects_changed(state));
        fleet.take(source(objects));
        for node in 0..NODES {
            fleet.take_view(node);
        }
        fleet.settle();
        fleet
    }

    /// Objects and Interfaces change from `old` to `new`, all before the controller acts.
    pub(crate) fn change(&mut self, old: &State, new: &State) {
        let (before, after): (BTreeSet<PodRef>, BTreeSet<PodRef>) =
            (old.pods().collect(), new.pods().collect());
        let mut touched = BTreeSet::new();
        for pod in before.difference(&after) {
            self.nodes[pod.node]
                .view
                .interfaces
                .remove(&interface_name(*pod));
            touched.insert(pod.node);
        }
        for pod in after.difference(&before) {
            let name = interface_name(*pod);
            self.nodes[pod.node]
                .view
                .interfaces
                .insert(name, interface(*pod));
            touched.insert(pod.node);
        }
        self.take(source(old.objects_changed(new)));
        for node in touched {
            self.take_view(node);
        }
        self.settle();
    }

    /// The switch of a node connects, or its connection ends; what it was told and has not carried
    /// out by then is lost.
    pub(crate) fn toggle_connection(&mut self, node: usize) {
        let datapath_id = datapath_id(node);
        if let Some(connection) = self.nodes[node].connection.take() {
            self.nodes[node].inbox.clear();
            self.nodes[node].acks.clear();
            self.nodes[node].met = false;
            self.take(Input::SwitchLost { connection });
        } else {
            let connection = self.new_connection();
            self.nodes[node].connection = Some(connection);
            let info = SwitchInfo {
                datapath_id,
                manufacturer: String::new(),
                software: "3.1.0".to_owned(),
                ports: Vec::new(),
            };
            self.take(Input::SwitchUp {
                connection,
                remote: "switch".to_owned(),
                info: Box::new(info),
            });
        }
        self.settle();
    }

    /// Whether the node has carried out what it was told when it connected, and is connected.
    pub(crate) fn is_fresh(&self, node: usize) -> bool {
        self.nodes[node].connection.is_some() && self.nodes[node].met
    }

    pub(crate) fn is_connected(&self, node: usize) -> bool {
        self.nodes[node].connection.is_some()
    }

    /// What can happen next.
    pub(crate) fn happenings(&self) -> Vec<Happening> {
        let mut happenings = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            if !node.inbox.is_empty() {
                happenings.push(Happening::Apply(index));
            }
            if !node.acks.is_empty() {
                happenings.push(Happening::Ack(index));
            }
        }
        happenings
    }

    /// Makes it happen.
    pub(crate) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Apply(node) => {
                let node = &mut self.nodes[node];
                if let Some(command) = node.inbox.pop_front() {
                    node.carry_out(command);
                }
            }
            Happening::Ack(node) => {
                let node = &mut self.nodes[node];
                if let (Some(generation), Some(connection)) =
                    (node.acks.pop_front(), node.connection)
                {
                    self.take(Input::Acked {
                        connection,
                        generation,
                        rejected: 0,
                    });
                    self.settle();
                }
            }
        }
    }

    /// Whether the controller has said that the Pod is ready; who is no Pod always is.
    pub(crate) fn is_ready(&self, end: End) -> bool {
        let End::Pod(pod) = end else { return true };
        let interfaces = &self.nodes[pod.node].view.interfaces;
        interfaces
            .get(&interface_name(pod))
            .is_some_and(PodInterface::is_ready)
    }

    /// Where the last packet was dropped, in words.
    pub(crate) fn way(&self) -> String {
        self.way.join(", ")
    }

    /// What the controller waits for, in words.
    pub(crate) fn waiting(&self) -> String {
        format!("{:?}", self.control.status().rollout)
    }

    /// The Pods forget their connections.
    pub(crate) fn forget_connections(&mut self) {
        for node in &mut self.nodes {
            node.sim.conntrack_mut().flush();
        }
    }

    /// Sends `packet` from a Pod or a node's kernel; where it arrives.
    pub(crate) fn send(&mut self, state: &State, from: End, packet: Packet) -> Option<Delivery> {
        let packet = match from {
            End::Pod(pod) => packet
                .with_eth(pod_mac(pod), mac(GATEWAY_MAC.0))
                .arriving_on(pod_port(pod)),
            End::Kernel(_) | End::World(..) => packet
                .with_eth(mac(HOST_MAC.0), mac(GATEWAY_MAC.0))
                .arriving_on(GATEWAY_PORT),
        };
        self.way.clear();
        let mut at = from.node();
        let mut output = self.pass(at, packet)?;
        if output.port == TUNNEL_PORT {
            let sender = state::node_address(at);
            at = (0..NODES).find(|node| state::node_address(*node) == output.packet.tunnel.dst)?;
            let packet = output.packet.arriving_by_tunnel(TUNNEL_PORT, sender);
            output = self.pass(at, packet)?;
            assert_ne!(output.port, TUNNEL_PORT, "no transit");
        }
        Some(Delivery {
            to: receiver(state, at, &output)?,
            packet: output.packet,
        })
    }

    fn pass(&mut self, node: usize, packet: Packet) -> Option<Output> {
        self.clock += Duration::from_micros(1);
        let execution = self.nodes[node].sim.receive(packet, self.clock);
        assert!(execution.faults.is_empty(), "{:?}", execution.faults);
        assert!(execution.outputs.len() <= 1, "{:?}", execution.ports());
        for drop in &execution.drops {
            let flow = drop.by.cookie.and_then(|cookie| {
                let flows = self.nodes[node].sim.tables().flows();
                let found = flows.iter().find(|flow| flow.cookie == cookie);
                found.map(|flow| format!("{flow:?}"))
            });
            self.way
                .push(format!("node {node}: {:?} {flow:?}", drop.by.table));
        }
        execution.outputs.into_iter().next()
    }

    fn take(&mut self, input: Input) {
        self.control.take(input, self.now, &mut self.effects);
    }

    fn take_view(&mut self, node: usize) {
        let view = Box::new(self.nodes[node].view.clone());
        self.take(Input::MachineView {
            connection: ConnectionId(node as u64),
            remote: state::node_name(node),
            view,
        });
    }

    /// Lets the controller act until it has nothing more to say.
    fn settle(&mut self) {
        self.control.settle(self.now, &mut self.effects);
        while !self.effects.is_empty() {
            for effect in std::mem::take(&mut self.effects) {
                match effect {
                    Effect::Tell {
                        connection,
                        command,
                    } => {
                        let told = |node: &&mut Node| node.connection == Some(connection);
                        if let Some(node) = self.nodes.iter_mut().find(told) {
                            node.inbox.push_back(command);
                        }
                    }
                    Effect::Write { connection, facts } => {
                        let node = &mut self.nodes[connection.0 as usize];
                        facts.apply(&mut node.view);
                        self.take(Input::Written {
                            connection,
                            facts,
                            outcome: Ok(()),
                        });
                    }
                    Effect::Close { connection } => panic!("{connection} is closed"),
                }
            }
            self.control.settle(self.now, &mut self.effects);
        }
    }

    fn new_connection(&mut self) -> ConnectionId {
        self.next_connection += 1;
        ConnectionId(self.next_connection)
    }
}

impl Node {
    fn carry_out(&mut self, command: Command) {
        for (layer, wanted) in command.wanted {
            let held = match layer {
                Layer::Cluster => &mut self.cluster,
                Layer::Node => &mut self.own,
            };
            install(&mut self.sim, held, &wanted);
            *held = wanted;
        }
        self.met = true;
        self.acks.push_back(command.generation);
    }
}

/// One atomic bundle, in the order of real ones: groups, added flows, removed flows, removed groups.
fn install(sim: &mut Sim, held: &LayerState, wanted: &LayerState) {
    for (_, group) in wanted.groups().iter() {
        sim.set_group(group.group().clone()).unwrap();
    }
    let mut gone = Vec::new();
    for difference in held.flows().diff(wanted.flows(), None) {
        match difference {
            Difference::Added(_, flow) => {
                sim.add_flow(flow.flow().clone()).unwrap();
            }
            Difference::Removed(cookie, _) => gone.push(cookie),
            Difference::Kept(..) => {}
        }
    }
    for cookie in gone {
        sim.remove_cookie(cookie);
    }
    for (id, _) in held.groups().iter() {
        if wanted.groups().get(id).is_none() {
            sim.remove_group(id);
        }
    }
}

/// Who is at the port of this node that a packet left by.
fn receiver(state: &State, node: usize, output: &Output) -> Option<End> {
    if output.port == GATEWAY_PORT {
        let address = output.packet.as_ip()?.dst;
        // No Service has it at this moment; nobody in the world does.
        if Family::ALL.map(state::vip).contains(&address) {
            return None;
        }
        let world = Family::ALL.map(|family| End::World(node, family));
        let mut outsiders = std::iter::once(End::Kernel(node)).chain(world);
        let found = outsiders.find(|end| end.address() == address);
        return Some(found.unwrap_or_else(|| panic!("{address} is not behind node {node}")));
    }
    let here = |pod: &PodRef| pod.node == node && pod_port(*pod) == output.port;
    state.pods().find(here).map(End::Pod)
}

fn source(changes: Vec<Change>) -> Input {
    let status = Source {
        loaded: true,
        ..Source::default()
    };
    Input::Source(Box::new(Update {
        changes,
        status,
        places: Vec::new(),
    }))
}

fn view(node: usize) -> MachineView {
    MachineView {
        node: Some(state::node_name(node)),
        bridge: Some(Bridge {
            row: Uuid::from_bits(node as u128),
            datapath_id: Some(datapath_id(node)),
            controllers: BTreeSet::from(["tcp:127.0.0.1:6653".to_owned()]),
            agent: None,
            pod_cidrs: None,
            encap: None,
            cluster_cidrs: None,
            services: Default::default(),
            peers: None,
            peers_resolved: BTreeSet::new(),
        }),
        tunnel_port: Some(TUNNEL_PORT),
        gateway_port: Some(GATEWAY_PORT),
        interfaces: BTreeMap::new(),
    }
}

fn datapath_id(node: usize) -> DatapathId {
    DatapathId(0xa0 + node as u64)
}

fn interface_name(pod: PodRef) -> String {
    format!("veth-{}-{}", pod.slot(), pod.uid)
}

fn interface(pod: PodRef) -> PodInterface {
    PodInterface {
        row: Uuid::from_bits(0x1000 + u128::from(pod.uid)),
        claim: Claim::Pod {
            namespace: pod.namespace().to_owned(),
            name: pod.name(),
            uid: Some(pod.uid.to_string()),
            port: pod_port(pod),
            addresses: Addresses::One(pod.address()),
            mac: policy_compiler::model::MacAddr(mac_number(pod)),
        },
        ready: None,
        error: None,
    }
}

fn pod_port(pod: PodRef) -> PortNo {
    PortNo(10 + u32::from(pod.slot()))
}

fn pod_mac(pod: PodRef) -> MacAddr {
    mac(mac_number(pod))
}

fn mac_number(pod: PodRef) -> u64 {
    0x0a58_0000_0000 | (pod.node as u64) << 8 | u64::from(pod.slot())
}

fn mac(number: u64) -> MacAddr {
    let [_, _, bytes @ ..] = number.to_be_bytes();
    MacAddr(bytes)
}
