// SPDX-License-Identifier: Apache-2.0
//! From an Interface to `culvert-ready`.

use api_types::{Flows, NodeState, PodState};

use crate::cluster::Cluster;
use crate::node::Node;
use crate::process::until;

#[test]
fn ready_is_written_only_when_all_flows_of_the_pod_are_on_the_switch() {
    let cluster = Cluster::start();
    let node = Node::start("node-1", cluster.ports);
    cluster.await_programmed("node-1");
    node.attach("veth1", "shop/web", "10.10.1.2");
    let flows = until("culvert-ready", || {
        let ready = node.key("veth1", "culvert-ready")?;
        assert_eq!(ready, "true");
        Some(node.flows())
    });
    let cookies = cluster.cookies_of("shop/web");
    assert!(cookies.len() >= 5, "{cookies:x?}");
    for cookie in cookies {
        assert!(
            flows.contains_key(&cookie),
            "{cookie:#x} is missing although the Pod is ready"
        );
    }
    let port = node.vsctl("get interface veth1 ofport");
    let entry = format!("in_port={}", port.trim());
    let open = flows
        .values()
        .any(|flow| flow.text.contains(&entry) && flow.text.ends_with("goto_table:10"));
    assert!(open, "{flows:#?}");
    cluster.await_pod("veth1", PodState::Ready);

    node.detach("veth1");
    until("the Pod's flows are gone", || {
        (!node.flows().values().any(|flow| flow.text.contains(&entry))).then_some(())
    });
}

#[test]
fn every_cookie_of_ours_in_the_dump_is_explained() {
    let cluster = Cluster::start();
    let node = Node::start("node-1", cluster.ports);
    cluster.await_programmed("node-1");
    node.attach("veth1", "shop/web", "10.10.1.2");
    cluster.await_pod("veth1", PodState::Ready);
    let dump = node.flows();
    assert!(dump.len() > 30, "{}", dump.len());
    for (cookie, dumped) in dump {
        let explained: Flows = cluster.fetch(&format!("/v1/explain/{cookie:#x}"));
        assert!(!explained.flows.is_empty(), "{cookie:#x}");
        for flow in explained.flows {
            assert!(!flow.causes.is_empty(), "{flow:?}");
            let comma = if flow.flow_match.is_empty() { "" } else { "," };
            let text = format!(
                "{}{comma}{} actions={}",
                flow.priority, flow.flow_match, flow.actions
            );
            assert_eq!(text, dumped.text, "the API spells flows as ovs-ofctl does");
        }
    }
}

#[test]
fn an_interface_that_contradicts_the_objects_is_told_so() {
    let cluster = Cluster::start();
    let node = Node::start("node-1", cluster.ports);
    cluster.await_programmed("node-1");
    node.attach("veth1", "shop/web", "10.99.1.2");
    let error = until("culvert-error", || node.key("veth1", "culvert-error"));
    assert!(
        error.contains("10.99.1.2 is not in the Pod CIDR of node/node-1"),
        "{error}"
    );
    assert_eq!(node.key("veth1", "culvert-ready"), None);
    cluster.await_pod("veth1", PodState::Refused);
}

#[test]
fn the_machine_learns_its_pod_cidrs_and_its_peers() {
    let cluster = Cluster::start();
    let node = Node::start("node-1", cluster.ports);
    let facts = until("facts are written", || {
        let facts = node.vsctl("get bridge br-int external_ids");
        facts.contains("culvert-peers").then_some(facts)
    });
    assert!(facts.contains("culvert-peers=\"192.0.2.2\""), "{facts}");
    assert!(
        facts.contains("culvert-pod-cidrs=\"10.10.1.0/24\""),
        "{facts}"
    );
}

#[test]
fn a_stranger_is_refused_and_its_switch_is_left_alone() {
    let cluster = Cluster::start();
    let stranger = Node::start("node-9", cluster.ports);
    let reason = until("the stranger is refused", || {
        let nodes: api_types::Nodes = cluster.fetch("/v1/nodes");
        let node = nodes.nodes.into_iter().find(|node| node.name == "node-9")?;
        (node.state == NodeState::Refused).then_some(node.reason.unwrap_or_default())
    });
    assert!(reason.contains("create node/node-9"), "{reason}");
    until("its switch has connected", || {
        let nodes: api_types::Nodes = cluster.fetch("/v1/nodes");
        (nodes.unclaimed_switches.len() == 1).then_some(())
    });
    assert!(stranger.flows().is_empty());
}

#[test]
fn a_pod_of_known_labels_touches_its_own_node_only() {
    let cluster = Cluster::start();
    let (one, two) = (
        Node::start("node-1", cluster.ports),
        Node::start("node-2", cluster.ports),
    );
    cluster.await_programmed("node-1");
    cluster.await_programmed("node-2");
    one.attach("veth1", "shop/web", "10.10.1.2");
    cluster.await_pod("veth1", PodState::Ready);
    let (own, other) = (one.watch(), two.watch());
    one.attach("veth2", "shop/web-2", "10.10.1.3");
    cluster.await_pod("veth2", PodState::Ready);
    one.detach("veth1");
    until("the first Pod is gone", || {
        cluster.cookies_of("shop/web").is_empty().then_some(())
    });
    cluster.await_programmed("node-2");
    assert!(!own.events().is_empty(), "the watch sees changes");
    assert_eq!(other.events(), [""; 0]);
}
