// SPDX-License-Identifier: Apache-2.0
//! Flows and groups that a Service costs a switch, by the number of nodes and namespaces.

use openflow_codec::PortNo;
use policy_compiler::{Change, Compiler, Config, NodeFacts};

use crate::SERVICES;
use crate::figure::Figures;
use crate::pods;

/// Nodes and namespaces.
const SHAPES: [(u32, u32); 4] = [(1, 1), (1, 1_000), (100, 1), (100, 1_000)];

/// What a switch holds.
#[derive(Clone, Copy)]
struct Held {
    flows: usize,
    groups: usize,
}

pub(crate) fn report(figures: &mut Figures) {
    println!(
        "\n{SERVICES} Services of three endpoints, compiled; flows and groups for each of them:"
    );
    let (mut flows, mut groups) = (0, 0);
    for (nodes, namespaces) in SHAPES {
        let without = held(nodes, namespaces, 0);
        let with = held(nodes, namespaces, SERVICES);
        let more = without.iter().zip(&with).map(|(without, with)| Held {
            flows: with.flows - without.flows,
            groups: with.groups - without.groups,
        });
        let more: Vec<Held> = more.collect();
        let most = |of: fn(&Held) -> usize| more.iter().map(of).max().unwrap_or_default();
        let (most_flows, most_groups) = (most(|held| held.flows), most(|held| held.groups));
        println!(
            "  {nodes:>5} nodes, {namespaces:>5} namespaces: {:.2} and {:.2} on the node that has most",
            each(most_flows),
            each(most_groups)
        );
        (flows, groups) = (flows.max(most_flows), groups.max(most_groups));
    }
    figures.at_most("service_flows_each", each(flows), "flows", 2.0);
    figures.at_most("service_groups_each", each(groups), "groups", 1.0);
}

fn each(count: usize) -> f64 {
    count as f64 / f64::from(SERVICES)
}

/// What every node's switch holds.
fn held(nodes: u32, namespaces: u32, services: u32) -> Vec<Held> {
    let mut compiler = Compiler::new(&Config {
        cluster_secret: [7; 32],
    });
    let mut changes: Vec<Change> = pods::nodes(nodes).collect();
    changes.extend((0..nodes).map(|number| Change::ObserveNode {
        node: pods::node_name(number),
        facts: NodeFacts {
            tunnel_port: Some(PortNo(1)),
            gateway_port: Some(PortNo(2)),
        },
    }));
    for number in 0..services {
        let namespace = format!("space-{}", number % namespaces);
        changes.push(pods::service(&namespace, number));
        changes.push(pods::slice(&namespace, number, 0));
    }
    compiler.apply(changes);
    let cluster = Held {
        flows: compiler.cluster_flows().count(),
        groups: compiler.cluster_groups().count(),
    };
    let held = (0..nodes).map(|number| {
        let name = pods::node_name(number);
        let own = compiler.node_flows(&name).map_or(0, Iterator::count);
        Held {
            flows: cluster.flows + own,
            ..cluster
        }
    });
    held.collect()
}
