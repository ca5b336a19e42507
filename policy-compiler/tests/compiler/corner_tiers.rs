// SPDX-License-Identifier: Apache-2.0
//! What a `ClusterNetworkPolicy` says in its corners: each test quotes the sentence of the API it obeys.

use flow_sim::Packet;

use crate::town::Town;

const ALL: [&str; 4] = ["friend", "far", "db", "lone"];
const NONE: [&str; 0] = [];
const EVERYBODY: &str = "{namespaces: {}}";

/// An isolating `NetworkPolicy` of the namespace of `web`.
const ISOLATE: &str = "\
kind: NetworkPolicy
metadata: {namespace: x, name: isolate}
spec: {policyTypes: [Ingress]}
";

/// The town with these policies: name, tier, priority, rules.
fn town(policies: &[(&str, &str, u16, &str)], more: &[&str]) -> Town {
    let policies = policies.iter().map(|(name, tier, priority, rules)| {
        format!(
            "kind: ClusterNetworkPolicy\nmetadata: {{name: {name}}}\n\
             spec: {{tier: {tier}, priority: {priority}, subject: {EVERYBODY}, {rules}}}\n"
        )
    });
    let more = more.iter().map(|text| (*text).to_owned());
    let objects: Vec<String> = policies.chain(more).collect();
    Town::new(&objects.join("---\n"))
}

/// An ingress rule about everybody.
fn ingress(action: &str) -> String {
    format!("{{action: {action}, from: [{EVERYBODY}]}}")
}

/// "If Admin tier has made a final decision (Accept or Deny) on a connection, then no further
/// evaluation is done."
#[test]
fn what_the_admin_tier_decides_no_network_policy_and_no_baseline_changes() {
    let allow = ISOLATE.replace("{policyTypes: [Ingress]}", "{ingress: [{}]}");
    let rules = |action| format!("ingress: [{}]", ingress(action));
    let denied = town(&[("one", "Admin", 5, &rules("Deny"))], &[&allow]);
    assert_eq!(denied.clients_of("web", "tcp/80"), NONE);
    let (accept, deny) = (rules("Accept"), rules("Deny"));
    let policies = [
        ("one", "Admin", 5, &*accept),
        ("two", "Baseline", 5, &*deny),
    ];
    let accepted = town(&policies, &[ISOLATE]);
    assert_eq!(accepted.clients_of("web", "tcp/80"), ALL);
}

/// "Policies with lower priority values have higher precedence, and are checked before policies with
/// higher priority values in the same tier."
#[test]
fn of_two_policies_of_a_tier_the_one_with_the_lower_number_decides() {
    for tier in ["Admin", "Baseline"] {
        let (accept, deny) = (ingress("Accept"), ingress("Deny"));
        let (accept, deny) = (format!("ingress: [{accept}]"), format!("ingress: [{deny}]"));
        for (first, second, wanted) in [(0, 1000, ALL.as_slice()), (1000, 0, &NONE)] {
            let policies = [
                ("one", tier, first, &*accept),
                ("two", tier, second, &*deny),
            ];
            let town = town(&policies, &[]);
            assert_eq!(town.clients_of("web", "tcp/80"), wanted, "{tier} {first}");
        }
    }
}

/// "...a rule that appears at the top of the ingress rules would take the highest precedence."
#[test]
fn of_two_rules_the_one_above_decides() {
    let except_clients =
        "{action: Accept, from: [{pods: {podSelector: {matchLabels: {app: client}}}}]}";
    let rules = format!("ingress: [{except_clients}, {}]", ingress("Deny"));
    let town_above = town(&[("one", "Admin", 1, &rules)], &[]);
    assert_eq!(
        town_above.clients_of("web", "tcp/80"),
        ["friend", "far", "lone"]
    );
    let rules = format!("ingress: [{}, {except_clients}]", ingress("Deny"));
    let town_below = town(&[("one", "Admin", 1, &rules)], &[]);
    assert_eq!(town_below.clients_of("web", "tcp/80"), NONE);
}

/// "Pass: Skips all further ClusterNetworkPolicy rules in the current tier for the selected traffic, and
/// passes evaluation to the next tier."
#[test]
fn what_a_rule_passes_on_skips_its_tier_and_no_more() {
    let pass_then_deny = format!("ingress: [{}, {}]", ingress("Pass"), ingress("Deny"));
    let passed = town(&[("one", "Admin", 1, &pass_then_deny)], &[]);
    assert_eq!(passed.clients_of("web", "tcp/80"), ALL);
    let isolated = town(&[("one", "Admin", 1, &pass_then_deny)], &[ISOLATE]);
    assert_eq!(isolated.clients_of("web", "tcp/80"), NONE, "the next tier");
    let deny = format!("ingress: [{}]", ingress("Deny"));
    let policies = [
        ("one", "Admin", 1, &*pass_then_deny),
        ("two", "Baseline", 1, &deny),
    ];
    assert_eq!(
        town(&policies, &[]).clients_of("web", "tcp/80"),
        NONE,
        "the last"
    );
    let last = town(&[("one", "Baseline", 1, &pass_then_deny)], &[]);
    assert_eq!(
        last.clients_of("web", "tcp/80"),
        ALL,
        "the default after the last"
    );
}

/// "CNPs with no ingress rules do not affect ingress traffic." and "CNPs with no egress rules do not
/// affect egress traffic.": no `ClusterNetworkPolicy` isolates.
#[test]
fn a_policy_without_rules_changes_nothing() {
    let accept_one =
        "egress: [{action: Accept, to: [{pods: {podSelector: {matchLabels: {app: db}}}}]}]";
    for rules in ["ingress: []", "egress: []", accept_one] {
        let town = town(&[("one", "Admin", 1, rules)], &[]);
        assert_eq!(town.clients_of("web", "tcp/80"), ALL, "{rules}");
        assert_eq!(town.servers_of("web", "tcp/80"), ALL, "{rules}");
    }
}

/// "Note that host-networked pods are not included in this type of peer.": nor is a node's own kernel,
/// nor the world.
#[test]
fn namespaces_select_pods_and_neither_nodes_nor_the_world() {
    let deny = format!("ingress: [{}]", ingress("Deny"));
    let town = town(&[("one", "Admin", 1, &deny)], &[]);
    for outside in ["192.0.2.2", "203.0.113.7"] {
        assert!(town.passes(outside, "web", "tcp/80"), "{outside}");
    }
}

/// "So if you Accept or Deny traffic to "0.0.0.0/0", that will allow or deny all IPv4 pod-to-pod traffic
/// as well. If you don't want that, add a rule that Passes all pod traffic before the Networks rule."
#[test]
fn networks_are_for_pods_too_unless_a_rule_before_passes_them() {
    let everything = "{action: Deny, to: [{networks: [0.0.0.0/0]}]}";
    let denied = town(
        &[("one", "Admin", 1, &format!("egress: [{everything}]"))],
        &[],
    );
    assert_eq!(denied.servers_of("web", "tcp/80"), NONE);
    assert!(!denied.passes("web", "203.0.113.7", "tcp/80"));
    let pods = "{action: Pass, to: [{namespaces: {}}]}";
    let passed = town(
        &[(
            "one",
            "Admin",
            1,
            &format!("egress: [{pods}, {everything}]"),
        )],
        &[],
    );
    assert_eq!(passed.servers_of("web", "tcp/80"), ALL);
    assert!(!passed.passes("web", "203.0.113.7", "tcp/80"));
}

/// "Networks matches both regular IP traffic and ICMP traffic to/from the specified CIDRs."
#[test]
fn networks_are_for_icmp_too() {
    for (network, passes) in [("10.10.2.0/24", false), ("10.10.3.0/24", true)] {
        let rules = format!("egress: [{{action: Deny, to: [{{networks: [{network}]}}]}}]");
        let town = town(&[("one", "Admin", 1, &rules)], &[]);
        let echo = Packet::echo_request(town.address("web"), town.address("db"), 1);
        assert_eq!(
            town.carries(&mut town.net(), "web", "db", echo),
            passes,
            "{network}"
        );
    }
}

/// "Accepts the selected traffic, including replies to that traffic": the one who answers may be denied
/// everything himself.
#[test]
fn answers_to_what_is_accepted_pass_whatever_denies_their_sender() {
    let rules = "egress: [{action: Deny, to: [{namespaces: {}}]}]";
    let deny_db = format!(
        "kind: ClusterNetworkPolicy\nmetadata: {{name: db}}\nspec: {{tier: Admin, priority: 1, \
         subject: {{pods: {{podSelector: {{matchLabels: {{app: db}}}}}}}}, {rules}}}\n"
    );
    let town = Town::new(&deny_db);
    let mut net = town.net();
    let sent = crate::town::packet(town.address("web"), town.address("db"), "tcp/80");
    let answer = sent.answer();
    assert!(!town.passes("db", "web", "tcp/80"));
    assert!(town.carries(&mut net, "web", "db", sent));
    assert!(town.carries(&mut net, "db", "web", answer));
}

/// "It selects the nodeIPs as the peer type by matching on the IPs present in the node.Status.Addresses
/// field of the node. [...] if present but empty, it selects all Nodes."
#[test]
fn nodes_are_selected_by_their_labels_and_matched_by_their_addresses() {
    for (nodes, passes) in [("{}", false), ("{matchLabels: {none: has}}", true)] {
        let rules = format!("egress: [{{action: Deny, to: [{{nodes: {nodes}}}]}}]");
        let town = town(&[("one", "Admin", 1, &rules)], &[]);
        assert_eq!(town.passes("web", "192.0.2.2", "tcp/80"), passes, "{nodes}");
        assert_eq!(town.servers_of("web", "tcp/80"), ALL, "{nodes}");
    }
}
