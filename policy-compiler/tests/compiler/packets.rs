// SPDX-License-Identifier: Apache-2.0
//! A cluster of simulated switches, loaded with what the compiler says, that carries packets.

use std::time::Duration;

use flow_sim::{Execution, MacAddr, Output, Packet, Place, Sim};
use openflow_codec::{Cookie, TableId};
use policy_compiler::Compiler;
use policy_compiler::model::Family;
use policy_compiler::pipeline::{GATEWAY_MAC, Table};

use crate::world::{self, PodSpecimen};

/// Two nodes and the tunnel between them.
pub(crate) struct Net<'a> {
    switches: Vec<Sim>,
    pods: &'a [PodSpecimen],
    underlay: Family,
    now: Duration,
    denied_by: Option<Cookie>,
    staged: Vec<Cookie>,
    hops: Vec<Hop>,
}

/// What the switch of a node did with a packet.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    pub(crate) node: usize,
    /// As it came in.
    pub(crate) packet: Packet,
    pub(crate) execution: Execution,
}

/// A packet that reached a Pod.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// Index of the Pod.
    pub(crate) pod: usize,
    /// As the Pod sees it.
    pub(crate) packet: Packet,
}

impl<'a> Net<'a> {
    /// Switches that hold exactly what `compiler` wants.
    pub(crate) fn new(compiler: &Compiler, pods: &'a [PodSpecimen]) -> Self {
        let mut net = Self {
            switches: Vec::new(),
            pods,
            underlay: compiler.underlay(),
            now: Duration::ZERO,
            denied_by: None,
            staged: Vec::new(),
            hops: Vec::new(),
        };
        net.switches.resize_with(world::NODES.len(), Sim::new);
        net.load(compiler);
        net
    }

    /// Brings the switches to what `compiler` wants now; connections stay.
    pub(crate) fn load(&mut self, compiler: &Compiler) {
        for node in 0..world::NODES.len() {
            self.load_at(compiler, node);
        }
    }

    /// The same for the switch of one node; the others are not told.
    pub(crate) fn load_at(&mut self, compiler: &Compiler, node: usize) {
        let switch = &mut self.switches[node];
        *switch.tables_mut() = flow_sim::Tables::default();
        let own = compiler.node_groups(world::NODES[node]);
        let own = own.expect("the node is observed");
        for group in compiler.cluster_groups().chain(own) {
            switch
                .set_group((**group).clone())
                .expect("groups are well formed");
        }
        let own = compiler.node_flows(world::NODES[node]);
        let own = own.expect("the node is observed");
        for flow in compiler.cluster_flows().chain(own) {
            let replaced = switch
                .add_flow((**flow).clone())
                .expect("matches are well formed");
            assert!(replaced.is_none(), "two flows of one match: {flow:?}");
        }
    }

    /// A switch forgets its connections, as a restarted vswitchd does.
    pub(crate) fn forget(&mut self, node: usize) {
        self.switches[node].conntrack_mut().flush();
    }

    /// Sends `packet` from a Pod's port, with its own link-layer addresses; where it arrives.
    pub(crate) fn send(&mut self, from: usize, packet: Packet) -> Option<Delivery> {
        let node = self.pods[from].node;
        let packet = self.sent(from, packet);
        self.inject(node, packet)
    }

    /// What the switch does with `packet` from a Pod's port.
    pub(crate) fn execute(&mut self, from: usize, packet: Packet) -> Execution {
        let node = self.pods[from].node;
        let packet = self.sent(from, packet);
        self.switches[node].receive(packet, self.now)
    }

    fn sent(&self, from: usize, packet: Packet) -> Packet {
        let pod = &self.pods[from];
        packet
            .with_eth(mac(pod.mac().0), mac(GATEWAY_MAC.0))
            .arriving_on(pod.port())
    }

    /// A packet enters the switch of `node`; where it arrives.
    pub(crate) fn inject(&mut self, node: usize, packet: Packet) -> Option<Delivery> {
        let (node, output) = self.carry(node, packet)?;
        Some(self.delivery(node, output))
    }

    /// A packet enters the switch of `node`; of which node it leaves the switch, and how.
    pub(crate) fn carry(&mut self, node: usize, packet: Packet) -> Option<(usize, Output)> {
        self.hops.clear();
        let output = self.pass(node, packet)?;
        if output.port != world::TUNNEL_PORT {
            return Some((node, output));
        }
        let sender = world::node_address(node, self.underlay);
        let ends_at = |peer: usize| Some(world::node_address(peer, self.underlay));
        let peer = (0..world::NODES.len())
            .find(|peer| ends_at(*peer) == output.packet.tunnel.destination())
            .expect("tunnels lead to nodes");
        let packet = output.packet.arriving_by_tunnel(world::TUNNEL_PORT, sender);
        let output = self.pass(peer, packet)?;
        assert_ne!(output.port, world::TUNNEL_PORT, "no transit");
        Some((peer, output))
    }

    /// The flow by which policy denied the last packet.
    pub(crate) fn denied_by(&self) -> Option<Cookie> {
        self.denied_by
    }

    /// The flows of staged tables that the last packet was counted by.
    pub(crate) fn staged(&self) -> &[Cookie] {
        &self.staged
    }

    /// What became of the last packet on each switch that it came to.
    pub(crate) fn hops(&self) -> &[Hop] {
        &self.hops
    }

    fn pass(&mut self, node: usize, packet: Packet) -> Option<Output> {
        self.now += Duration::from_millis(1);
        let execution = self.switches[node].receive(packet.clone(), self.now);
        assert!(execution.faults.is_empty(), "{:?}", execution.faults);
        assert!(
            execution.outputs.len() <= 1,
            "one packet in, {:?} out",
            execution.ports()
        );
        for drop in &execution.drops {
            assert!(
                drop.by.cookie.is_some(),
                "dropped by no flow in table {}",
                drop.by.table
            );
        }
        let lookups: Vec<Place> = execution.path().collect();
        let staged = lookups.iter().filter(|found| is_staged(found.table));
        self.staged = staged.filter_map(|found| found.cookie).collect();
        let denied = |pair: &&[Place]| pair[1].table == Table::Denied.id();
        self.denied_by = lookups
            .windows(2)
            .find(denied)
            .and_then(|pair| pair[0].cookie);
        let output = execution.outputs.first().cloned();
        self.hops.push(Hop {
            node,
            packet,
            execution,
        });
        output
    }

    fn delivery(&self, node: usize, output: Output) -> Delivery {
        let at = |pod: &PodSpecimen| pod.node == node && pod.port() == output.port;
        let pod = self.pods.iter().position(at).expect("ports are of Pods");
        let packet = output.packet;
        assert_eq!(packet.eth_dst, mac(self.pods[pod].mac().0));
        assert_eq!(packet.eth_src, mac(GATEWAY_MAC.0));
        Delivery { pod, packet }
    }
}

pub(crate) fn mac(number: u64) -> MacAddr {
    let [_, _, bytes @ ..] = number.to_be_bytes();
    MacAddr(bytes)
}

fn is_staged(table: TableId) -> bool {
    Table::from_id(table).is_some_and(|table| table.name().starts_with("staged_"))
}
