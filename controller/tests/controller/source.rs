// SPDX-License-Identifier: Apache-2.0
//! Manifests that change, and manifests with errors.

use api_types::{FileState, Flows, PodState, Severity, Source};

use crate::cluster::{Cluster, POLICY};
use crate::node::Node;
use crate::process::until;

#[test]
fn a_manifest_with_an_error_keeps_what_it_said_before() {
    let cluster = Cluster::start();
    let node = Node::start("node-1", cluster.ports);
    node.attach("veth1", "shop/web", "10.10.1.2");
    cluster.await_pod("veth1", PodState::Ready);
    let policy = "/v1/flows?object=networkpolicy/shop/web";
    let before: Flows = cluster.fetch(policy);
    assert!(!before.flows.is_empty());
    let watch = node.watch();

    cluster.write("policy.yaml", &POLICY.replace("port: 80", "port: [eighty"));
    let problem = until("the error is reported", || {
        let source: Source = cluster.fetch("/v1/source");
        let file = source
            .files
            .into_iter()
            .find(|file| file.path == "policy.yaml")?;
        (file.state == FileState::LastGood).then_some(())?;
        source.problems.into_iter().next()
    });
    assert_eq!(
        (problem.file.as_str(), problem.severity),
        ("policy.yaml", Severity::Error)
    );
    assert!(problem.line >= 7, "{problem:?}");
    assert_eq!(cluster.fetch::<Flows>(policy), before);
    assert_eq!(watch.events(), [""; 0]);

    cluster.write("policy.yaml", &POLICY.replace("port: 80", "port: 8080"));
    until("the corrected text is on the switch", || {
        let flows = node.flows();
        flows
            .values()
            .any(|flow| flow.text.contains("tp_dst=8080"))
            .then_some(())
    });
    let source: Source = cluster.fetch("/v1/source");
    assert_eq!(source.problems, []);
}

#[test]
fn a_controller_that_starts_over_a_broken_manifest_touches_no_switch() {
    let mut cluster = Cluster::start();
    let node = Node::start("node-1", cluster.ports);
    node.attach("veth1", "shop/web", "10.10.1.2");
    cluster.await_pod("veth1", PodState::Ready);
    let watch = node.watch();
    cluster.kill_controller();
    cluster.write("policy.yaml", "kind: {");
    cluster.start_controller_unready();
    let reason = until("the machine is seen", || {
        let nodes: api_types::Nodes = cluster.fetch("/v1/nodes");
        nodes
            .nodes
            .into_iter()
            .find(|node| node.name == "node-1")?
            .reason
    });
    assert!(reason.contains("the source is not loaded"), "{reason}");
    assert_eq!(watch.events(), [""; 0]);
    cluster.write("policy.yaml", POLICY);
    cluster.await_programmed("node-1");
    assert_eq!(watch.events(), [""; 0]);
    assert_eq!(cluster.metric("culvert_reconciled_by_digest_total"), 1);
}

#[test]
fn a_policy_that_makes_no_sense_is_refused_by_name() {
    let cluster = Cluster::start();
    cluster.write("policy.yaml", &POLICY.replace("port: 80", "port: 99999"));
    let problem = until("the policy is refused", || {
        let source: Source = cluster.fetch("/v1/source");
        source.problems.into_iter().next()
    });
    assert_eq!(problem.object.as_deref(), Some("networkpolicy/shop/web"));
    assert_eq!((problem.file.as_str(), problem.line), ("policy.yaml", 2));
    assert!(problem.reason.contains("99999"), "{}", problem.reason);
    let flows: Flows = cluster.fetch("/v1/flows?object=networkpolicy/shop/web");
    assert!(
        !flows.flows.is_empty(),
        "what it said before stays in force"
    );
}
