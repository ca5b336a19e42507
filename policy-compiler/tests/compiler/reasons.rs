// SPDX-License-Identifier: Apache-2.0
//! Every flow of a policy leads to the rules that want it, and every policy to its flows.

use policy_compiler::model::Direction;
use policy_compiler::{Cause, Change, Compiler, Config, Explanation, Kind, Object, ObjectKey};

fn policy(name: &str, ports: &str) -> Change {
    let text = format!(
        "metadata: {{namespace: shop, name: {name}}}\n\
         spec:\n  podSelector: {{}}\n  ingress:\n\
         \x20 - {{from: [{{ipBlock: {{cidr: 10.0.0.0/8}}}}], ports: [{{port: 53, protocol: UDP}}]}}\n\
         \x20 - {{from: [{{namespaceSelector: {{}}}}, {{podSelector: {{}}}}], ports: [{ports}]}}\n"
    );
    let policy = serde_yaml_ng::from_str(&text).expect("a policy");
    Change::Apply(Object::NetworkPolicy(Box::new(policy)))
}

/// Flows of the rules of a policy.
fn flows(compiler: &Compiler, name: &str) -> Vec<Explanation> {
    let all = compiler.flows_of(&ObjectKey::new(Kind::NetworkPolicy, "shop", name));
    let of_rules = all.into_iter().filter(|found| !rules(found).is_empty());
    of_rules.collect()
}

/// Policy and rule of every cause, sorted.
fn rules(explanation: &Explanation) -> Vec<(String, Direction, u32)> {
    let rule = |cause: &Cause| {
        let (object, decision) = (cause.object.as_ref()?, cause.decision.as_ref()?);
        Some((object.name.to_string(), decision.direction, decision.rule?))
    };
    explanation.causes.iter().filter_map(rule).collect()
}

#[test]
fn a_flow_that_two_policies_want_names_both_until_one_is_gone() {
    let mut compiler = Compiler::new(&Config {
        cluster_secret: [9; 32],
    });
    compiler.apply([
        policy("one", "{port: 80}"),
        policy("two", "{port: 443}, {port: 80}"),
    ]);
    let of_one = flows(&compiler, "one");
    assert_eq!(of_one.len(), 3);
    for found in &of_one {
        let both: Vec<_> = rules(found).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(both, ["one", "two"]);
    }
    let words = |text: &str| {
        let mut causes = of_one.iter().flat_map(|found| &found.causes);
        causes.any(|cause| cause.why == text)
    };
    assert!(words("ingress rule 0 allows udp/53 from 10.0.0.0/8"));
    assert!(words(
        "ingress rule 1 allows tcp/80 from all pods of all namespaces"
    ));
    assert!(words(
        "ingress rule 1 allows tcp/80 from all pods of its namespace"
    ));

    // The port moved within the list of `two`, and `one` is gone.
    let gone = Change::Delete(ObjectKey::new(Kind::NetworkPolicy, "shop", "one"));
    let output = compiler.apply([gone, policy("two", "{port: 80}, {port: 443}")]);
    assert!(output.cluster.is_empty(), "{:?}", output.cluster);
    assert!(flows(&compiler, "one").is_empty());
    let of_two = flows(&compiler, "two");
    assert_eq!(of_two.len(), 5);
    for found in of_two {
        let only = rules(&found);
        assert!(
            matches!(only.as_slice(), [(name, Direction::Ingress, 0 | 1)] if name == "two"),
            "{found:?}"
        );
        assert!(compiler.explain(found.flow.cookie).contains(&found));
    }
}

#[test]
fn what_no_rule_allows_is_denied_by_a_flow_that_names_who_isolates() {
    let mut compiler = Compiler::new(&Config {
        cluster_secret: [9; 32],
    });
    compiler.apply([policy("one", "{port: 80}"), policy("two", "{port: 443}")]);
    let of_one = compiler.flows_of(&ObjectKey::new(Kind::NetworkPolicy, "shop", "one"));
    let mut denying = of_one.iter().filter(|found| rules(found).is_empty());
    let found = denying.next().expect("one policy isolates by one flow");
    let words: Vec<String> = found.causes.iter().map(ToString::to_string).collect();
    let isolates = "isolates for ingress; no ingress rule of it allows this";
    assert_eq!(
        words,
        [
            format!("networkpolicy/shop/one: {isolates}"),
            format!("networkpolicy/shop/two: {isolates}"),
        ]
    );
    assert_eq!(denying.count(), 0, "the number of peers does not matter");
}

#[test]
fn a_cookie_leads_to_decisions_that_hold_until_the_policy_no_longer_says_so() {
    let mut compiler = Compiler::new(&Config {
        cluster_secret: [9; 32],
    });
    compiler.apply([policy("one", "{port: 80}"), policy("two", "{port: 443}")]);
    let all = compiler.flows_of(&ObjectKey::new(Kind::NetworkPolicy, "shop", "one"));
    for found in &all {
        let told = found.causes.iter().filter_map(|cause| {
            let decision = cause.decision.clone()?;
            Some((cause.object.clone()?, decision))
        });
        let decisions = compiler.decisions(found.flow.cookie).unwrap();
        assert_eq!(decisions, told.collect(), "{found:?}");
        assert!(
            decisions
                .iter()
                .all(|(key, said)| compiler.decides(key, said))
        );
    }
    let said = |rule| {
        let mut all = all.iter().flat_map(|found| &found.causes);
        let cause = all.find(|cause| cause.decision.as_ref().is_some_and(|d| d.rule == rule));
        let cause = cause.unwrap();
        (
            cause.object.clone().unwrap(),
            cause.decision.clone().unwrap(),
        )
    };
    let [first, second, isolation] = [Some(0), Some(1), None].map(said);
    let text = "metadata: {namespace: shop, name: one}\nspec: {podSelector: {}, ingress: [{}]}";
    let shorter = serde_yaml_ng::from_str(text).expect("a policy");
    compiler.apply([Change::Apply(Object::NetworkPolicy(Box::new(shorter)))]);
    let decides = |(key, decision): &(ObjectKey, _)| compiler.decides(key, decision);
    assert!(decides(&first) && decides(&isolation) && !decides(&second));
    compiler.apply([Change::Delete(first.0.clone())]);
    assert!(!compiler.decides(&first.0, &first.1));
    assert_eq!(compiler.decisions(openflow_codec::Cookie(1)), None);
}
