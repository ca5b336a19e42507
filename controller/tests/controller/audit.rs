// SPDX-License-Identifier: Apache-2.0
//! What somebody changes by hand is found, repaired and reported; what is somebody else's stays.

use api_types::Status;

use crate::cluster::Cluster;
use crate::node::Node;
use crate::process::until;

/// Cookies of a kind that is ours, of a flow that nobody wants.
const STRAY: u64 = 0xc500_0000_0000_0001;

#[test]
fn what_is_changed_by_hand_is_repaired_and_reported() {
    let cluster = Cluster::start_with(&["--audit-interval=1"]);
    let node = Node::start("node-1", cluster.ports);
    cluster.await_programmed("node-1");
    let wanted = node.flows();
    let policy = wanted.keys().find(|cookie| **cookie >> 56 == 0xc5).unwrap();

    node.by_hand("del-flows", &format!("cookie={policy:#x}/-1"));
    until("the deleted flow is back", || {
        node.flows().contains_key(policy).then_some(())
    });
    node.by_hand(
        "add-flow",
        &format!("cookie={STRAY:#x},table=90,priority=3,actions=drop"),
    );
    until("the added flow is gone", || {
        (!node.flows().contains_key(&STRAY)).then_some(())
    });
    let repaired = until("both are counted", || {
        let node = cluster.node("node-1");
        (node.repairs >= 2).then_some(node)
    });
    assert_eq!(repaired.repairs, 2);
    assert_eq!(cluster.metric("culvert_repairs_total"), 2);
    let texts = |node: &Node| -> Vec<(u64, String)> {
        let flows = node.flows().into_iter();
        flows.map(|(cookie, flow)| (cookie, flow.text)).collect()
    };
    let before: Vec<(u64, String)> = wanted
        .into_iter()
        .map(|(cookie, flow)| (cookie, flow.text))
        .collect();
    assert_eq!(texts(&node), before);
}

#[test]
fn flows_and_groups_of_others_are_left_alone_and_counted() {
    let cluster = Cluster::start_with(&["--audit-interval=1"]);
    let node = Node::start("node-1", cluster.ports);
    cluster.await_programmed("node-1");
    node.by_hand("add-flow", "cookie=0x7,table=200,priority=3,actions=drop");
    node.by_hand("add-group", "group_id=7,type=all,bucket=output:1");
    let seen = until("an audit has seen both", || {
        let node = cluster.node("node-1");
        (node.foreign_flows == Some(1) && node.foreign_groups == Some(1)).then_some(node)
    });
    assert_eq!(seen.repairs, 0);
    let status: Status = cluster.fetch("/v1/status");
    assert_eq!((status.foreign.flows, status.foreign.groups), (1, 1));
    assert!(node.flows().contains_key(&7));
    assert!(node.by_hand("dump-groups", "7").contains("group_id=7"));
}
