// SPDX-License-Identifier: Apache-2.0
//! `ClusterNetworkPolicy` at the edge: what is refused, what fails closed, and what flows say of it.

use policy_compiler::crd::ClusterNetworkPolicy;
use policy_compiler::{Change, Compiler, Config, Kind, Object, ObjectKey};

const SPEC: &str = "\
metadata: {name: rules}
spec:
  tier: Admin
  priority: 7
  subject: {namespaces: {}}
  egress:
  - name: web
    action: Deny
    to: [{namespaces: {matchLabels: {team: b}}}]
    protocols: [{tcp: {destinationPort: {number: 80}}}]
";

fn compiler() -> Compiler {
    let mut compiler = Compiler::new(&Config {
        cluster_secret: [9; 32],
    });
    let namespace = "metadata: {name: b, labels: {team: b}}";
    let namespace = serde_yaml_ng::from_str(namespace).expect("a namespace");
    compiler.apply([Change::Apply(Object::Namespace(Box::new(namespace)))]);
    compiler
}

fn object(text: &str) -> Object {
    let policy: ClusterNetworkPolicy = serde_yaml_ng::from_str(text).expect("a policy");
    Object::ClusterNetworkPolicy(Box::new(policy))
}

/// What is wrong with `SPEC` after a replacement.
fn refusal(from: &str, to: &str) -> String {
    assert!(SPEC.contains(from), "{from:?} is not there");
    let output = compiler().apply([Change::Apply(object(&SPEC.replace(from, to)))]);
    let [(key, rejected)] = output.rejected.as_slice() else {
        panic!("{to:?} is not refused: {:?}", output.rejected);
    };
    assert_eq!(key.to_string(), "clusternetworkpolicy/rules");
    rejected.to_string()
}

/// What the flows of `SPEC` do after a replacement, in words.
fn words(from: &str, to: &str) -> Vec<String> {
    assert!(SPEC.contains(from), "{from:?} is not there");
    let mut compiler = compiler();
    let output = compiler.apply([Change::Apply(object(&SPEC.replace(from, to)))]);
    assert!(output.rejected.is_empty(), "{:?}", output.rejected);
    let key = ObjectKey::new(Kind::ClusterNetworkPolicy, "", "rules");
    let flows = compiler.flows_of(&key).into_iter();
    flows
        .map(|found| format!("{}; {}", found.causes[0].why, found.flow.flow_match))
        .collect()
}

#[test]
fn what_is_beyond_the_limits_is_refused_by_the_name_of_its_field() {
    let long = format!("name: {}", "n".repeat(101));
    let many = format!("to: [{}]", ["{namespaces: {}}"; 26].join(", "));
    let networks = format!("to: [{{networks: [{}]}}]", ["10.0.0.0/8"; 26].join(", "));
    let cases = [
        (
            "tier: Admin",
            "tier: NetworkPolicy",
            "spec.tier: \"NetworkPolicy\" is not one of Admin, Baseline",
        ),
        (
            "priority: 7",
            "priority: 1001",
            "spec.priority: 1001 is not within 0..1000",
        ),
        (
            "priority: 7",
            "priority: -1",
            "spec.priority: -1 is not within 0..1000",
        ),
        (
            "{namespaces: {}}\n",
            "{}\n",
            "spec.subject: is empty; name namespaces or pods",
        ),
        (
            "{namespaces: {}}\n",
            "{namespaces: {}, pods: {podSelector: {}}}\n",
            "spec.subject: has both namespaces and pods; keep one",
        ),
        (
            "name: web",
            &long,
            "spec.egress[0].name: is longer than 100 characters",
        ),
        (
            "action: Deny",
            "action: Allow",
            "spec.egress[0].action: \"Allow\" is not one of Accept, Deny, Pass",
        ),
        (
            "to: [{namespaces: {matchLabels: {team: b}}}]",
            "to: []",
            "spec.egress[0].to: is empty; it must have an item at least",
        ),
        (
            "to: [{namespaces: {matchLabels: {team: b}}}]",
            &many,
            "spec.egress[0].to: has 26 items, more than 25",
        ),
        (
            "to: [{namespaces: {matchLabels: {team: b}}}]",
            &networks,
            "spec.egress[0].to[0].networks: has 26 items, more than 25",
        ),
        (
            "to: [{namespaces: {matchLabels: {team: b}}}]",
            "to: [{networks: [10.0.0.0]}]",
            "spec.egress[0].to[0].networks[0]: \"10.0.0.0\" is not a CIDR; write it as 10.0.0.0/8",
        ),
        (
            "to: [{namespaces: {matchLabels: {team: b}}}]",
            "to: [{namespaces: {}, nodes: {}}]",
            "spec.egress[0].to[0]: has more than one field; make a peer of each",
        ),
        (
            "protocols: [{tcp: {destinationPort: {number: 80}}}]",
            "protocols: []",
            "spec.egress[0].protocols: is empty; leave it out to match all traffic",
        ),
        (
            "{number: 80}",
            "{number: 0}",
            "spec.egress[0].protocols[0].tcp.destinationPort.number: 0 is not a port (1..65535)",
        ),
        (
            "{number: 80}",
            "{range: {start: 9, end: 9}}",
            "spec.egress[0].protocols[0].tcp.destinationPort.range: start 9 is not below end 9",
        ),
        (
            "{number: 80}",
            "{number: 1, range: {start: 1, end: 2}}",
            "spec.egress[0].protocols[0].tcp.destinationPort: has both number and range; keep one",
        ),
        (
            "{tcp: {destinationPort: {number: 80}}}",
            "{tcp: {destinationPort: {number: 80}}, destinationNamedPort: http}",
            "spec.egress[0].protocols[0]: has more than one field; make a protocol of each",
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(refusal(from, to), expected);
    }
}

#[test]
fn too_many_rules_are_refused() {
    let rule = SPEC.split_once("egress:\n").expect("rules").1;
    let text = format!("{SPEC}{}", rule.repeat(25));
    let output = compiler().apply([Change::Apply(object(&text))]);
    let refused: Vec<String> = output.rejected.iter().map(|(_, r)| r.to_string()).collect();
    assert_eq!(refused, ["spec.egress: has 26 items, more than 25"]);
}

#[test]
fn networks_and_nodes_have_no_named_ports() {
    let to = "[{tcp: {destinationPort: {number: 80}}}]";
    let named = SPEC.replace(to, "[{destinationNamedPort: http}]");
    for peer in ["{networks: [10.0.0.0/8]}", "{nodes: {}}"] {
        let text = named.replace("{namespaces: {matchLabels: {team: b}}}", peer);
        let output = compiler().apply([Change::Apply(object(&text))]);
        let (_, rejected) = output.rejected.first().expect("it is refused");
        assert_eq!(rejected.field, "spec.egress[0].protocols");
    }
}

#[test]
fn a_flow_names_tier_direction_rule_and_what_the_rule_says() {
    let found = words("name: web", "name: web");
    assert_eq!(found.len(), 1, "{found:?}");
    let expected = "admin egress rule 0 \"web\" denies tcp/80 from";
    let expected = expected.replace("from", "to all pods of namespaces team=b; ");
    assert!(found[0].starts_with(&expected), "{found:?}");
}

/// "If an implementation sees no fields are set then it can infer that the deployed CRD is of an
/// incompatible version with an unknown field. In that case it should fail closed."
#[test]
fn a_rule_that_says_more_than_we_know_accepts_nothing_and_else_denies_all() {
    let unknown_peers = [
        "{}",
        "{domainNames: [example.com]}",
        "{namespaces: {}, sameLabels: [x]}",
    ];
    let peers = unknown_peers.map(|peer| {
        let known = "to: [{namespaces: {matchLabels: {team: b}}}";
        (
            known.to_owned(),
            format!("{known}, {peer}"),
            "spec.egress[0].to[1]",
        )
    });
    let protocols = [
        "{}",
        "{icmp: {}}",
        "{tcp: {}}",
        "{tcp: {destinationPort: {}}}",
        "{tcp: {sourcePort: 1}}",
    ];
    let protocols = protocols.map(|protocol| {
        let known = "protocols: [{tcp: {destinationPort: {number: 80}}}";
        (
            known.to_owned(),
            format!("{known}, {protocol}"),
            "spec.egress[0].protocols[1]",
        )
    });
    for (from, to, field) in peers.into_iter().chain(protocols) {
        for action in ["Deny", "Pass"] {
            let spec = SPEC.replace("action: Deny", &format!("action: {action}"));
            let text = spec.replace(&from, &to);
            let found = words(SPEC, &text);
            let [only] = found.as_slice() else {
                panic!("{to}: {found:?}");
            };
            let expected = format!(
                "admin egress rule 0 \"web\" denies everything: {field} is not known to this version; "
            );
            let matched = only
                .strip_prefix(&expected)
                .unwrap_or_else(|| panic!("{only}"));
            let everything = !["nw_proto", "tcp", "nw_dst", "reg8", "reg9"]
                .iter()
                .any(|word| matched.contains(word));
            assert!(everything, "{matched}");
        }
        let spec = SPEC.replace("action: Deny", "action: Accept");
        let found = words(SPEC, &spec.replace(&from, &to));
        assert!(found.is_empty(), "{to}: {found:?}");
    }
}
