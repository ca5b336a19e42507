// SPDX-License-Identifier: Apache-2.0
//! What real switches do with the packets of random clusters, by `ofproto/trace`, is what the API says.

use std::cell::RefCell;
use std::collections::BTreeMap;

use openflow_codec::message::flow_mod::FlowMod;
use openflow_codec::message::group_mod::GroupMod;
use openflow_codec::{Flow, Instruction, Message, PortNo, TlvMapping};
use policy_compiler::Compiler;
use policy_compiler::pipeline::{GENEVE_OPTION_CLASS, GENEVE_OPTION_LEN, GENEVE_OPTION_TYPE};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};
use reference::Outcome;
use vswitchd::{Connection, Vswitchd};

use crate::packets::{Hop, Net};
use crate::verdicts::{CLIENT_PORT, Cluster, cluster, packet};
use crate::world;

/// Clusters of one run.
const CLUSTERS: u32 = 150;

/// The real switch of a node.
struct Switch {
    vswitchd: Vswitchd,
    connection: Connection,
    /// What it was given, by cookie.
    flows: BTreeMap<u64, Deed>,
}

impl Switch {
    fn start() -> Self {
        let uplinks = [world::TUNNEL_PORT.0, world::GATEWAY_PORT.0];
        let vswitchd = Vswitchd::start(uplinks.into_iter().chain(world::POD_PORTS));
        let mut connection = vswitchd.openflow();
        connection.map(TlvMapping {
            class: GENEVE_OPTION_CLASS,
            option_type: GENEVE_OPTION_TYPE,
            length: GENEVE_OPTION_LEN,
            index: 0,
        });
        Self {
            vswitchd,
            connection,
            flows: BTreeMap::new(),
        }
    }

    /// Brings the switch to what `compiler` wants on `node`.
    fn load(&mut self, compiler: &Compiler, node: &str) {
        self.connection.clear();
        let own = compiler.node_groups(node).expect("the node is observed");
        let groups = compiler.cluster_groups().chain(own);
        let groups = groups.map(|group| Message::GroupMod(GroupMod::add((**group).clone())));
        let own = compiler.node_flows(node).expect("the node is observed");
        let flows: Vec<_> = compiler.cluster_flows().chain(own).collect();
        let deed = |flow: &Flow| (flow.priority, flow.instructions.clone());
        self.flows = flows
            .iter()
            .map(|flow| (flow.cookie.0, deed(flow)))
            .collect();
        let flows = flows
            .iter()
            .map(|flow| Message::FlowMod(FlowMod::add(flow)));
        let wanted: Vec<Message> = groups.chain(flows).collect();
        assert_eq!(self.connection.ask(&wanted), [], "the switch takes it all");
    }

    /// Asks what becomes of the packet of a hop, which is to be what the simulator says; the ports that
    /// it leaves by.
    fn follow(&mut self, hop: &Hop) -> Result<Vec<PortNo>, TestCaseError> {
        let (passes, text) = self.vswitchd.trace(&["br0", &hop.packet.to_string()]);
        let found = |(table, cookie): (u8, Option<u64>)| (table, cookie.map(|c| &self.flows[&c]));
        let path = passes.iter().flat_map(|pass| pass.path.iter().copied());
        let path: Vec<_> = path.map(found).collect();
        let simulated = hop.execution.path();
        let simulated = simulated.map(|at| (at.table.0, at.cookie.map(|cookie| cookie.0)));
        let simulated: Vec<_> = simulated.map(found).collect();
        prop_assert_eq!(path, simulated, "what the flows found do; {}", text);
        let ports: Vec<PortNo> = passes.into_iter().flat_map(|pass| pass.ports).collect();
        prop_assert_eq!(&ports, &hop.execution.ports(), "the ports; {}", text);
        Ok(ports)
    }
}

/// Priority and instructions of a flow. Those of one table and priority may be found either: they do the
/// same.
type Deed = (u16, Vec<Instruction>);

/// One for each node.
struct Switches {
    nodes: Vec<Switch>,
    seen: Seen,
}

/// How many packets had which end, and how many of them went through a tunnel.
#[derive(Debug, Default)]
struct Seen {
    passed: usize,
    dropped: usize,
    tunnelled: usize,
}

impl Switches {
    /// The first packet of every connection that two Pods can begin.
    fn check(&mut self, cluster: &Cluster) -> TestCaseResult {
        let compiler = cluster.compile();
        for (switch, node) in self.nodes.iter_mut().zip(world::NODES) {
            switch.load(&compiler, node);
        }
        for pair in cluster.pairs() {
            for protocol in ["TCP", "UDP", "SCTP"] {
                for port in [80, 8080, 81] {
                    let mut net = Net::new(&compiler, &cluster.pods);
                    let first = packet(protocol, (pair.src, CLIENT_PORT), (pair.dst, port));
                    let delivery = net.send(pair.from, first);
                    let passed = self.follow(net.hops(), cluster.pods[pair.to].port())?;
                    prop_assert_eq!(passed, delivery.is_some(), "{:?}", pair);
                    let outcome = match passed {
                        true => Outcome::Passes,
                        false => Outcome::Dropped,
                    };
                    let expected = cluster.judge(pair, protocol, port);
                    prop_assert!(
                        outcome == expected || expected == Outcome::Either,
                        "{pair:?} {protocol} {port}: {outcome:?} and not {expected:?}"
                    );
                }
            }
        }
        Ok(())
    }

    /// Follows a packet from switch to switch; whether it comes to the port of its receiver.
    fn follow(&mut self, hops: &[Hop], receiver: PortNo) -> Result<bool, TestCaseError> {
        let mut left = Vec::new();
        for hop in hops {
            left = self.nodes[hop.node].follow(hop)?;
        }
        let passed = !left.is_empty();
        prop_assert!(!passed || left == [receiver], "it leaves by {left:?}");
        let end = match passed {
            true => &mut self.seen.passed,
            false => &mut self.seen.dropped,
        };
        *end += 1;
        self.seen.tunnelled += usize::from(hops.len() > 1);
        Ok(passed)
    }
}

#[test]
fn real_switches_pass_what_the_api_says_by_the_flows_of_the_simulator() {
    let switches = RefCell::new(Switches {
        nodes: world::NODES.map(|_| Switch::start()).into(),
        seen: Seen::default(),
    });
    let mut runner = TestRunner::new(ProptestConfig {
        cases: CLUSTERS,
        max_shrink_iters: 1_000,
        source_file: Some(file!()),
        test_name: Some(concat!(module_path!(), "::trace")),
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&cluster(), |cluster| switches.borrow_mut().check(&cluster));
    if let Err(error) = outcome {
        panic!("{error}\n{runner}");
    }
    let seen = &switches.borrow().seen;
    println!("{seen:?}");
    let fewest = seen.passed.min(seen.dropped).min(seen.tunnelled);
    assert!(fewest > 1_000, "{seen:?}");
}
