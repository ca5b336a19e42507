// SPDX-License-Identifier: Apache-2.0
//! Verdicts by every door of a Service are what simulated switches do with the packets.

use std::net::IpAddr;

use flow_sim::Packet;
use policy_compiler::model::Family;
use policy_compiler::{Question, QuestionError, Verdict};

use crate::gateway::from_kernel;
use crate::packets::Net;
use crate::town::{Town, index, packet};
use crate::world;

/// A Service whose only endpoint is `web` on `node-1`, and one whose only endpoint is `db` on `node-2`.
const SERVICES: &str = "\
kind: Service
metadata: {namespace: x, name: front}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.50
  selector: {app: web}
  ports: [{port: 80, targetPort: http, nodePort: 30080}]
  loadBalancerSourceRanges: [203.0.113.0/24, 10.10.1.0/24]
status: {loadBalancer: {ingress: [{ip: 198.51.100.7}]}}
---
kind: Service
metadata: {namespace: y, name: back}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.51
  selector: {app: db}
  ports: [{port: 80, targetPort: http, nodePort: 30081}]
status: {loadBalancer: {ingress: [{ip: 198.51.100.8}]}}
";

/// Specs of a policy of namespace `x` and of one of namespace `y`, by turns.
const POLICIES: [(&str, &str); 7] = [
    ("x", "{podSelector: {}, egress: []}"),
    (
        "x",
        "{ingress: [{from: [{ipBlock: {cidr: 10.10.1.0/24}}]}]}",
    ),
    (
        "y",
        "{ingress: [{from: [{ipBlock: {cidr: 10.10.1.0/24}}]}]}",
    ),
    (
        "y",
        "{ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}]}",
    ),
    (
        "y",
        "{ingress: [{from: [{ipBlock: {cidr: 192.0.2.1/32}}]}]}",
    ),
    (
        "y",
        "{ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: client}}}]}]}",
    ),
    (
        "x",
        "{policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.10.2.0/24}}]}]}",
    ),
];

const WORLD: &str = "203.0.113.7";
const PODS: [&str; 3] = ["friend", "far", "lone"];

fn ask(town: &Town, from: &str, to: &str) -> Result<Verdict, QuestionError> {
    let question = Question::parse(from, to).expect("a question");
    town.compiler.verdict(&question)
}

/// `x/friend`.
fn named(pod: &str) -> String {
    let at = index(pod).expect("a Pod");
    let namespace = [0, 0, 1, 1, 2][at];
    format!("{}/{pod}", world::NAMESPACES[namespace])
}

fn node_address(node: usize) -> String {
    format!("192.0.2.{}", node + 1)
}

/// Where a node's kernel sends what comes to its node ports.
fn at_node_port(node: usize) -> IpAddr {
    world::in_pod_cidr(node as u8 + 1, Family::V4, 0)
}

/// Whether the Pod behind the door gets what comes from the kernel of `node`.
fn enters(net: &mut Net<'_>, node: usize, packet: Packet) -> bool {
    from_kernel(net, node, packet).is_some_and(|(_, output)| output.port != world::GATEWAY_PORT)
}

#[test]
fn a_verdict_by_any_door_is_what_switches_do() {
    let mut answers = [0, 0];
    for (namespace, spec) in POLICIES {
        let policy = format!(
            "---\nkind: NetworkPolicy\nmetadata: {{namespace: {namespace}, name: one}}\nspec: {spec}\n"
        );
        let town = Town::new(&format!("{SERVICES}{policy}"));
        let mut net = town.net();
        let mut check = |what: String, verdict: Verdict, passes: bool| {
            assert_eq!(verdict.allowed, passes, "{what} with {spec}: {verdict:#?}");
            answers[usize::from(passes)] += 1;
        };
        for (cluster, balancer, node_port) in [
            ("10.96.0.50", "198.51.100.7", 30080),
            ("10.96.0.51", "198.51.100.8", 30081),
        ] {
            let at_node = format!("tcp/{node_port}");
            for address in [cluster, balancer] {
                let door = format!("{address}:80");
                let to: IpAddr = address.parse().expect("an address");
                for from in PODS {
                    let sent = packet(town.address(from), to, "tcp/80");
                    let passes = net.send(index(from).expect("a Pod"), sent).is_some();
                    let verdict = ask(&town, &named(from), &door).expect("an answer");
                    check(format!("{from} -> {door}"), verdict, passes);
                }
                for node in 0..world::NODES.len() {
                    let from = town.address(&node_address(node));
                    let passes = enters(&mut net, node, packet(from, to, "tcp/80"));
                    let asked = format!("node/{}", world::NODES[node]);
                    let verdict = ask(&town, &asked, &door).expect("an answer");
                    check(format!("{asked} -> {door}"), verdict, passes);
                    let verdict = ask(&town, WORLD, &door).expect("an answer");
                    let certain = verdict
                        .endpoints
                        .iter()
                        .all(|one| one.verdict.depends.is_empty());
                    if certain {
                        let passes =
                            enters(&mut net, node, packet(town.address(WORLD), to, "tcp/80"));
                        check(
                            format!("the world -> {door} by node {node}"),
                            verdict,
                            passes,
                        );
                    }
                }
            }
            for node in 0..world::NODES.len() {
                let door = format!("node/{}:{node_port}", world::NODES[node]);
                let by_address = format!("{}:{node_port}", node_address(node));
                for from in PODS {
                    let to = town.address(&node_address(node));
                    let sent = packet(town.address(from), to, &at_node);
                    let passes = net.send(index(from).expect("a Pod"), sent).is_some();
                    let verdict = ask(&town, &named(from), &door).expect("an answer");
                    assert_eq!(ask(&town, &named(from), &by_address), Ok(verdict.clone()));
                    check(format!("{from} -> {door}"), verdict, passes);
                }
                for other in 0..world::NODES.len() {
                    let from = town.address(&node_address(other));
                    let passes = enters(&mut net, node, packet(from, at_node_port(node), &at_node));
                    let asked = format!("node/{}", world::NODES[other]);
                    let verdict = ask(&town, &asked, &door).expect("an answer");
                    check(format!("{asked} -> {door}"), verdict, passes);
                }
                let sent = packet(town.address(WORLD), at_node_port(node), &at_node);
                let passes = enters(&mut net, node, sent);
                let verdict = ask(&town, WORLD, &door).expect("an answer");
                check(format!("the world -> {door}"), verdict, passes);
            }
        }
    }
    assert!(answers.iter().all(|answers| *answers > 40), "{answers:?}");
}

#[test]
fn an_address_that_only_a_service_could_have_leads_nowhere() {
    let town = Town::new(SERVICES);
    let verdict = ask(&town, "x/friend", "10.96.0.50:81").expect("an answer");
    assert!(!verdict.allowed);
    let note = "10.96.0.50 is an address of service/x/front, which has no port 81/tcp";
    assert_eq!(verdict.note.as_deref(), Some(note));
    let verdict = ask(&town, "x/friend", "node/node-1:22").expect("an answer");
    assert!(
        verdict.allowed && verdict.endpoints.is_empty(),
        "the node itself: {verdict:?}"
    );
}

#[test]
fn a_load_balancer_says_whom_its_source_ranges_leave_out() {
    let town = Town::new(SERVICES);
    let verdict = ask(&town, "198.51.100.99", "198.51.100.7:80").expect("an answer");
    assert!(!verdict.allowed);
    let note = "service/x/front: its loadBalancerSourceRanges leave the client out";
    assert_eq!(verdict.note.as_deref(), Some(note));
}

#[test]
fn a_node_that_is_not_there_is_an_error_that_names_those_like_it() {
    let town = Town::new(SERVICES);
    for (from, to) in [("node/node-3", "x/web:80"), ("x/friend", "node/node-3:22")] {
        let error = ask(&town, from, to).expect_err("no such node").to_string();
        assert!(
            error.contains("there is no node node-3; did you mean node-1 or node-2?"),
            "{error}"
        );
    }
}
