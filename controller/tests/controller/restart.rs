// SPDX-License-Identifier: Apache-2.0
//! Restart of anything is not an event.

use api_types::PodState;

use crate::cluster::Cluster;
use crate::node::Node;
use crate::process::until;

/// ARP of the Pod for its gateway.
const ARP: &str = "in_port(1),eth(src=0a:58:0a:0a:01:02,dst=ff:ff:ff:ff:ff:ff),eth_type(0x0806),\
     arp(sip=10.10.1.2,tip=169.254.1.1,op=1,sha=0a:58:0a:0a:01:02,tha=00:00:00:00:00:00)";

#[test]
fn a_killed_controller_sends_nothing_when_it_returns_and_nothing_changed() {
    let mut cluster = Cluster::start();
    let node = Node::start("node-1", cluster.ports);
    node.attach("veth1", "shop/web", "10.10.1.2");
    cluster.await_pod("veth1", PodState::Ready);
    node.inject("veth1", ARP);
    let before = until("the packet is counted", || {
        let flows = node.flows();
        flows.values().any(|flow| flow.packets > 0).then_some(flows)
    });
    let watch = node.watch();

    cluster.kill_controller();
    assert_eq!(cookies(&node), before.keys().copied().collect::<Vec<_>>());
    cluster.start_controller();
    let status = cluster.await_programmed("node-1");

    assert_eq!(watch.events(), [""; 0]);
    assert_eq!(status.mods_sent, 0);
    assert_eq!(cluster.metric("culvert_reconciled_by_digest_total"), 1);
    assert_eq!(cluster.metric("culvert_facts_written_total"), 0);
    let after = node.flows();
    for (cookie, old) in &before {
        let new = after
            .get(cookie)
            .unwrap_or_else(|| panic!("{cookie:#x} is gone"));
        assert_eq!(new.text, old.text);
        assert!(
            new.packets >= old.packets && new.seconds >= old.seconds,
            "{old:?} became {new:?}"
        );
    }
    assert_eq!(after.len(), before.len());
    cluster.await_pod("veth1", PodState::Ready);
}

#[test]
fn a_change_during_the_controllers_absence_is_all_that_is_sent() {
    let mut cluster = Cluster::start();
    let node = Node::start("node-1", cluster.ports);
    node.attach("veth1", "shop/web", "10.10.1.2");
    cluster.await_pod("veth1", PodState::Ready);
    let before = node.flows();
    cluster.kill_controller();
    node.attach("veth2", "shop/web-2", "10.10.1.3");
    cluster.start_controller();
    cluster.await_pod("veth2", PodState::Ready);
    let after = node.flows();
    let markers = |cookie: &u64| matches!(cookie >> 56, 0xc0 | 0xcf);
    for (cookie, old) in before.iter().filter(|(cookie, _)| !markers(cookie)) {
        let new = after
            .get(cookie)
            .unwrap_or_else(|| panic!("{cookie:#x} is gone"));
        assert!(
            new.seconds >= old.seconds,
            "{old:?} was sent again: {new:?}"
        );
    }
    assert!(after.len() > before.len());
}

#[test]
fn a_restarted_vswitchd_is_programmed_again_without_asking_the_pods() {
    let cluster = Cluster::start();
    let mut node = Node::start("node-1", cluster.ports);
    node.attach("veth1", "shop/web", "10.10.1.2");
    cluster.await_pod("veth1", PodState::Ready);
    let before = cookies(&node);
    node.restart_vswitchd();
    until("the flows are back", || {
        let dump = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cookies(&node)));
        (dump.ok()? == before).then_some(())
    });
    assert_eq!(node.key("veth1", "culvert-ready").as_deref(), Some("true"));
}

#[test]
fn a_terminated_controller_ends_well_and_leaves_the_switches_as_they_are() {
    let mut cluster = Cluster::start();
    let node = Node::start("node-1", cluster.ports);
    cluster.await_programmed("node-1");
    let before = cookies(&node);
    let watch = node.watch();
    assert_eq!(cluster.terminate_controller(), Some(0));
    assert!(!cluster.socket().exists());
    assert_eq!(cookies(&node), before);
    assert_eq!(watch.events(), [""; 0]);
}

fn cookies(node: &Node) -> Vec<u64> {
    node.flows().into_keys().collect()
}
