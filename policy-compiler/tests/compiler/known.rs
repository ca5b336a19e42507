// SPDX-License-Identifier: Apache-2.0
//! A switch that is not told who somebody is does not let him pass where policies deny by who sends;
//! clusters without such policies have not a flow for it.

use std::collections::BTreeSet;

use openflow_codec::Cookie;
use policy_compiler::pipeline::Table;
use policy_compiler::{Change, Compiler, Kind, Object, ObjectKey};

use crate::packets::Net;
use crate::town::{Town, packet};

/// A `ClusterNetworkPolicy` with one rule.
fn cluster_policy(tier: &str, subject: &str, rule: &str) -> String {
    format!(
        "kind: ClusterNetworkPolicy\nmetadata: {{name: rules}}\n\
         spec: {{tier: {tier}, priority: 7, subject: {subject}, {rule}}}\n"
    )
}

const EVERYBODY: &str = "{namespaces: {}}";
const DENY_SUSPECTS: &str =
    "ingress: [{action: Deny, from: [{pods: {podSelector: {matchLabels: {app: suspect}}}}]}]";

/// `friend` on `node-1` becomes somebody whom no switch knows.
const SUSPECT: &str = "\
kind: Pod
metadata: {namespace: x, name: friend, labels: {app: suspect}}
spec: {nodeName: node-1, containers: [{name: c}]}
";

/// The Pods whom `friend` reaches as a suspect while `node-2`, which has `far` and `db`, is not told.
fn reached_unknown(policies: &str) -> Vec<&'static str> {
    let mut town = Town::new(policies);
    let pods = town.pods.clone();
    let mut net = Net::new(&town.compiler, &pods);
    town.apply(SUSPECT);
    net.load_at(&town.compiler, 0);
    let reached = ["web", "far", "db", "lone"].into_iter().filter(|to| {
        let packet = packet(town.address("friend"), town.address(to), "tcp/80");
        town.carries(&mut net, "friend", to, packet)
    });
    reached.collect()
}

/// How many flows of the table `known` there are.
fn listed(compiler: &Compiler) -> usize {
    let flows = compiler.cluster_flows();
    flows.filter(|flow| flow.table == Table::Known.id()).count()
}

#[test]
fn whoever_is_denied_by_his_labels_is_denied_where_they_are_not_known_yet() {
    for tier in ["Admin", "Baseline"] {
        let policy = cluster_policy(tier, EVERYBODY, DENY_SUSPECTS);
        assert_eq!(reached_unknown(&policy), [""; 0], "{tier} ingress");
        let subject = "{pods: {podSelector: {matchLabels: {app: suspect}}}}";
        let policy = cluster_policy(
            tier,
            subject,
            "egress: [{action: Deny, to: [{namespaces: {}}]}]",
        );
        assert_eq!(reached_unknown(&policy), [""; 0], "{tier} egress");
    }
}

#[test]
fn a_switch_that_is_told_judges_him_like_everybody() {
    let deny_from_db = DENY_SUSPECTS.replace("suspect", "db");
    let mut town = Town::new(&cluster_policy("Admin", EVERYBODY, &deny_from_db));
    town.apply(SUSPECT);
    assert_eq!(
        town.servers_of("friend", "tcp/80"),
        ["web", "far", "db", "lone"]
    );
    assert_eq!(town.servers_of("db", "tcp/80"), [""; 0]);
    for outside in ["203.0.113.7", "192.0.2.1"] {
        assert!(town.passes(outside, "db", "tcp/80"), "{outside} is no Pod");
    }
}

/// Whom a rule passes on is left to later tiers, which may deny: an `Accept` for everybody after that rule
/// is not for him.
#[test]
fn whom_a_rule_passes_on_by_his_labels_is_not_accepted_where_they_are_not_known_yet() {
    let rules = "ingress: [\
        {action: Pass, from: [{pods: {podSelector: {matchLabels: {app: suspect}}}}]}, \
        {action: Accept, from: [{namespaces: {}}]}]";
    let isolated = "---\nkind: NetworkPolicy\nmetadata: {namespace: y, name: none}\nspec: {}\n";
    let policies = cluster_policy("Admin", EVERYBODY, rules) + isolated;
    assert_eq!(reached_unknown(&policies), ["web", "lone"]);
}

#[test]
fn whoever_comes_in_a_new_namespace_is_not_known_either() {
    let rule = "ingress: [{action: Deny, from: [{namespaces: {matchLabels: {team: new}}}]}]";
    let policy = cluster_policy("Admin", EVERYBODY, rule);
    assert_eq!(reached_unknown(&policy), ["web", "lone"]);
}

#[test]
fn policies_that_do_not_deny_by_who_sends_need_no_list() {
    let selecting = "{pods: {podSelector: {matchLabels: {app: web}}}}";
    let (into, out) = (
        "ingress: [{action: Deny, from:",
        "egress: [{action: Deny, to:",
    );
    for (subject, rule) in [
        (EVERYBODY, DENY_SUSPECTS.replace("Deny", "Accept")),
        (selecting, format!("{into} [{{namespaces: {{}}}}]}}]")),
        (
            EVERYBODY,
            format!("{out} [{{pods: {{podSelector: {{matchLabels: {{app: db}}}}}}}}]}}]"),
        ),
        (EVERYBODY, format!("{out} [{{networks: [10.0.0.0/8]}}]}}]")),
    ] {
        let town = Town::new(&cluster_policy("Admin", subject, &rule));
        assert_eq!(listed(&town.compiler), 0, "{subject} {rule}");
    }
    let staged = cluster_policy("Admin", EVERYBODY, DENY_SUSPECTS).replace(
        "name: rules",
        "name: rules, annotations: {culvert.io/staged: 'true'}",
    );
    assert_eq!(listed(&Town::new(&staged).compiler), 0, "staged");
}

#[test]
fn the_list_has_one_flow_for_each_identity_and_names_its_labels() {
    let town = Town::new(&cluster_policy("Admin", EVERYBODY, DENY_SUSPECTS));
    assert_eq!(
        listed(&town.compiler),
        5 + 1,
        "five Pods, and who is not known"
    );
    let namespace = ObjectKey::new(Kind::Namespace, "", "y");
    let found = town.compiler.flows_of(&namespace);
    let mut words: Vec<&str> = found
        .iter()
        .map(|found| found.causes[0].why.as_str())
        .collect();
    words.sort_unstable();
    let [client, db] = words.as_slice() else {
        panic!("two identities in y: {words:?}");
    };
    assert!(
        client.contains("its Pods with labels {app=client} send"),
        "{client}"
    );
    assert!(db.contains("its Pods with labels {app=db} send"), "{db}");
}

#[test]
fn who_is_not_known_is_denied_by_a_flow_that_names_the_policies() {
    let mut town = Town::new(&cluster_policy("Admin", EVERYBODY, DENY_SUSPECTS));
    let pods = town.pods.clone();
    let mut net = Net::new(&town.compiler, &pods);
    town.apply(SUSPECT);
    net.load_at(&town.compiler, 0);
    let packet = packet(town.address("friend"), town.address("db"), "tcp/80");
    assert!(!town.carries(&mut net, "friend", "db", packet));
    let denied_by = net.denied_by().expect("policy denies");
    let causes = town.compiler.explain(denied_by).remove(0).causes;
    assert_eq!(
        causes[0].to_string(),
        "clusternetworkpolicy/rules: denies by who sends: denies Pods whose identity this switch does not know"
    );
}

/// What the stages of a change add to the cluster layer, and what they remove from it: of the list, and
/// beside it.
fn stages(compiler: &mut Compiler, change: Change) -> Vec<[usize; 4]> {
    let list = |compiler: &Compiler| -> BTreeSet<Cookie> {
        let flows = compiler.cluster_flows();
        let known = flows.filter(|flow| flow.table == Table::Known.id() && flow.priority > 0);
        known.map(|flow| flow.cookie).collect()
    };
    let mut stages = Vec::new();
    compiler.submit([change]);
    while compiler.has_stages() {
        let before = list(compiler);
        let delta = compiler.advance().cluster;
        let after = list(compiler);
        let (added, removed) = (
            after.difference(&before).count(),
            before.difference(&after).count(),
        );
        stages.push([
            added,
            delta.add.len() - added,
            removed,
            delta.remove.len() - removed,
        ]);
    }
    stages
}

#[test]
fn the_list_is_complete_before_the_first_policy_asks_for_it_and_goes_after_the_last() {
    let mut town = Town::unplugged();
    town.plug(true);
    let mut compiler = town.compiler;
    let policy = cluster_policy(
        "Admin",
        EVERYBODY,
        &DENY_SUSPECTS.replace("suspect", "client"),
    );
    let policy = serde_yaml_ng::from_str(&policy).expect("a policy");
    let apply = Change::Apply(Object::ClusterNetworkPolicy(Box::new(policy)));
    let delete = Change::Delete(ObjectKey::new(Kind::ClusterNetworkPolicy, "", "rules"));
    // `client` is an identity in each of three namespaces.
    assert_eq!(
        stages(&mut compiler, apply),
        [[5, 0, 0, 0], [0, 2 + 3, 0, 0]]
    );
    assert_eq!(
        stages(&mut compiler, delete),
        [[0, 0, 0, 2 + 3], [0, 0, 5, 0]]
    );
}

#[test]
fn an_identity_is_listed_when_a_pod_gets_it_and_struck_out_when_no_switch_uses_it_any_more() {
    let mut compiler = Town::new(&cluster_policy("Admin", EVERYBODY, DENY_SUSPECTS)).compiler;
    let suspect = serde_yaml_ng::from_str(SUSPECT).expect("a Pod");
    let become_suspect = Change::Apply(Object::Pod(Box::new(suspect)));
    assert_eq!(
        stages(&mut compiler, become_suspect),
        [[1, 1, 0, 0], [0, 0, 1, 0]]
    );
}
