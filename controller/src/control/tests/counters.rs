// SPDX-License-Identifier: Apache-2.0
//! Totals of rules, whatever happens to the flows, switches and policies that they are made of.

use super::*;

/// A second policy about the same Pods, with the same rule.
const SAME: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: again, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {}}]}]}
";

/// Nodes a and b with switches 2 and 4, which hold [`POLICY`].
fn world() -> World {
    let mut world = World::loaded();
    world.machine(1, view("a", 0xa));
    world.switch(2, 0xa);
    world.machine(3, view("b", 0xb));
    world.switch(4, 0xb);
    world.manifest("policy.yaml", Some(POLICY));
    world.acknowledge();
    world
}

impl World {
    /// A flow by which the policy decides by this rule.
    fn cookie(&self, rule: Option<u32>) -> Cookie {
        let key = "networkpolicy/shop/web".parse().unwrap();
        let flows = self.control.compiler.flows_of(&key);
        let decides = |found: &policy_compiler::Explanation| {
            let mut decisions = found
                .causes
                .iter()
                .filter_map(|cause| cause.decision.as_ref());
            decisions.any(|decision| decision.rule == rule)
        };
        flows.into_iter().find(decides).unwrap().flow.cookie
    }

    fn counted(&mut self, connection: u64, flows: &[(Cookie, u64)], complete: bool) {
        let flows = flows.iter().map(|(cookie, packets)| Counted {
            cookie: *cookie,
            packets: *packets,
            bytes: packets * 100,
        });
        self.input(Input::Counted {
            connection: ConnectionId(connection),
            flows: flows.collect(),
            complete,
        });
    }

    /// Packets by policy and rule; each packet has 100 bytes.
    fn counts(&self) -> Vec<(String, Option<u32>, u64)> {
        let counts = self.control.policy_counts().into_iter();
        counts
            .map(|count| {
                let Traffic { packets, bytes } = count.traffic;
                assert_eq!(bytes, packets * 100);
                (count.policy.name.to_string(), count.decision.rule, packets)
            })
            .collect()
    }
}

fn allowed(packets: u64) -> Vec<(String, Option<u32>, u64)> {
    vec![("web".to_owned(), Some(0), packets)]
}

#[test]
fn a_total_adds_up_switches_and_goes_on_when_one_restarts_or_reconnects() {
    let mut world = world();
    let rule = world.cookie(Some(0));
    assert_eq!(world.counts(), []);
    world.counted(2, &[(rule, 10)], true);
    world.counted(4, &[(rule, 5)], true);
    assert_eq!(world.counts(), allowed(15));
    world.counted(2, &[(rule, 12)], true);
    assert_eq!(world.counts(), allowed(17));
    world.counted(2, &[(rule, 12)], true);
    assert_eq!(world.counts(), allowed(17), "nothing has passed");

    // The same switch on a new connection, then on one more after a restart.
    world.switch(5, 0xa);
    world.counted(5, &[(rule, 13)], true);
    assert_eq!(world.counts(), allowed(18));
    world.switch(6, 0xa);
    world.counted(6, &[(rule, 4)], true);
    assert_eq!(world.counts(), allowed(22));
    world.counted(5, &[(rule, 99)], true);
    assert_eq!(world.counts(), allowed(22), "that connection was replaced");
}

#[test]
fn a_flow_that_was_away_counts_from_nothing() {
    let mut world = world();
    let (rule, isolation) = (world.cookie(Some(0)), world.cookie(None));
    world.counted(2, &[(rule, 10), (isolation, 1)], true);
    world.counted(2, &[(isolation, 1)], true);
    world.counted(2, &[(rule, 30), (isolation, 1)], true);
    let expected = [("web".to_owned(), None, 1), ("web".to_owned(), Some(0), 40)];
    assert_eq!(world.counts(), expected);
}

#[test]
fn a_reading_in_parts_counts_once_though_its_connection_is_lost() {
    let mut world = world();
    let (rule, isolation) = (world.cookie(Some(0)), world.cookie(None));
    world.counted(2, &[(rule, 10)], false);
    world.counted(2, &[(isolation, 7)], true);
    world.counted(2, &[(rule, 11)], false);
    world.switch(5, 0xa);
    world.counted(5, &[(isolation, 7)], false);
    world.counted(5, &[(rule, 11)], true);
    let expected = [("web".to_owned(), None, 7), ("web".to_owned(), Some(0), 11)];
    assert_eq!(world.counts(), expected);
}

#[test]
fn a_flow_of_two_policies_counts_for_both_and_a_policy_that_is_gone_for_nobody() {
    let mut world = world();
    let rule = world.cookie(Some(0));
    world.counted(2, &[(rule, 1)], true);
    world.manifest("same.yaml", Some(SAME));
    world.acknowledge();
    world.counted(2, &[(rule, 4), (Cookie(0xc5 << 56), 9)], true);
    let expected = [
        ("again".to_owned(), Some(0), 3),
        ("web".to_owned(), Some(0), 4),
    ];
    assert_eq!(world.counts(), expected);

    world.manifest("same.yaml", None);
    world.acknowledge();
    assert_eq!(world.counts(), allowed(4));
    world.manifest("policy.yaml", None);
    world.acknowledge();
    assert_eq!(world.counts(), []);
    // The switch has not removed it yet.
    world.counted(2, &[(rule, 6)], true);
    assert_eq!(world.counts(), []);
}

#[test]
fn a_staged_policy_counts_as_what_it_would_do() {
    let mut world = world();
    let staged = POLICY.replace(
        "namespace: shop}",
        "namespace: shop, annotations: {culvert.io/staged: \"true\"}}",
    );
    assert_ne!(staged, POLICY);
    world.manifest("policy.yaml", Some(&staged));
    world.acknowledge();
    let isolation = world.cookie(None);
    world.counted(2, &[(isolation, 3)], true);
    let counts = world.control.policy_counts();
    let [count] = counts.as_slice() else {
        panic!("{counts:?}")
    };
    assert!(count.decision.staged);
    assert_eq!(count.traffic.packets, 3);
}

#[test]
fn a_policy_is_listed_with_its_pods_its_rules_and_what_they_have_decided() {
    let mut world = world();
    let rule = world.cookie(Some(0));
    world.counted(2, &[(rule, 10)], true);
    world.manifest(
        "trial.yaml",
        Some(
            "\
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: trial, annotations: {culvert.io/staged: \"true\"}}
spec:
  tier: Admin
  priority: 5
  subject: {namespaces: {}}
  egress:
  - {name: out, action: Deny, to: [{networks: [192.0.2.0/24]}]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: wrong}
spec: {tier: Admin, priority: 1001, subject: {namespaces: {}}}
",
        ),
    );
    world.acknowledge();
    let policies = world.control.policies().policies;
    let lines: Vec<String> = policies
        .iter()
        .flat_map(|policy| {
            let head = format!(
                "{} {:?} {:?} {:?}",
                policy.policy, policy.state, policy.tier, policy.priority
            );
            let rules = policy.rules.iter().map(|rule| {
                let api_types::PolicyRule {
                    direction,
                    rule,
                    action,
                    about,
                    packets,
                    ..
                } = rule;
                format!("  {direction} {rule:?} {action} {about}: {packets}")
            });
            std::iter::once(head).chain(rules).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(
        lines,
        [
            "clusternetworkpolicy/trial Staged Some(\"admin\") Some(5)",
            "  egress Some(0) deny all ports to 192.0.2.0/24: 0",
            "networkpolicy/shop/web InForce Some(\"networkpolicy\") None",
            "  ingress Some(0) accept all ports from all pods of all namespaces: 10",
            "  ingress None deny what no ingress rule of it allows: 0",
            "clusternetworkpolicy/wrong Refused None None",
        ]
    );
    world.control.source.problems.push(api_types::Problem {
        file: "trial.yaml".to_owned(),
        line: 3,
        object: Some("networkpolicy/shop/web".to_owned()),
        severity: api_types::Severity::Error,
        reason: "spec: expected a map".to_owned(),
    });
    let again = world.control.policies().policies;
    assert_eq!(
        again[1].state,
        api_types::PolicyState::InForce,
        "what it said before"
    );
    assert_eq!(again[1].refused.as_deref(), Some("spec: expected a map"));
    let refused = policies[2].refused.as_deref();
    assert!(
        refused.is_some_and(|why| why.contains("1001")),
        "{refused:?}"
    );
    assert_eq!((policies[0].pods, policies[1].pods), (1, 1));
}
