// SPDX-License-Identifier: Apache-2.0
//! Policies: a line for each, or one for each rule.

use api_types::{Policies, Policy, PolicyRule, PolicyState};

use super::word;
use crate::table::Table;

/// A line for each policy, then what is refused.
pub(crate) fn policies(answer: &Policies) -> String {
    let mut table = Table::new([
        "POLICY",
        "TIER",
        "PRIORITY",
        "STATE",
        "PODS",
        "ALLOWED",
        "DENIED",
        "PASSED",
        "WOULD-DROP",
    ]);
    for policy in &answer.policies {
        let [allowed, denied, passed, would_drop] = totals(policy);
        table.row([
            policy.policy.clone(),
            policy.tier.clone().unwrap_or_default(),
            policy
                .priority
                .map(|one| one.to_string())
                .unwrap_or_default(),
            word(policy.state),
            policy.pods.to_string(),
            allowed,
            denied,
            passed,
            would_drop,
        ]);
    }
    table.render() + &refused(answer)
}

/// A line for each rule, then what is refused.
pub(crate) fn policy_rules(answer: &Policies) -> String {
    let mut table = Table::new([
        "POLICY",
        "STATE",
        "DIRECTION",
        "RULE",
        "ACTION",
        "PACKETS",
        "BYTES",
        "ABOUT",
    ]);
    for policy in &answer.policies {
        for rule in &policy.rules {
            let PolicyRule {
                direction,
                rule,
                rule_name,
                action,
                about,
                packets,
                bytes,
            } = rule;
            let name = rule_name.as_ref().map(|name| format!(" {name:?}"));
            // What no rule allows is denied because the policy isolates.
            let rule = rule.map_or("isolation".to_owned(), |index| index.to_string());
            table.row([
                policy.policy.clone(),
                word(policy.state),
                direction.clone(),
                rule + &name.unwrap_or_default(),
                action.clone(),
                packets.to_string(),
                bytes.to_string(),
                about.clone(),
            ]);
        }
    }
    table.render() + &refused(answer)
}

/// Packets that its rules have allowed, denied and passed on, and that they would drop; empty where there
/// is no such number.
fn totals(policy: &Policy) -> [String; 4] {
    let of = |action: &str| {
        let rules = policy.rules.iter().filter(|rule| rule.action == action);
        let sum = rules.fold(0_u64, |sum, rule| sum.saturating_add(rule.packets));
        sum.to_string()
    };
    let none = String::new;
    match policy.state {
        PolicyState::InForce => [of("accept"), of("deny"), of("pass"), none()],
        PolicyState::Staged => [none(), none(), none(), of("deny")],
        PolicyState::Refused => [none(), none(), none(), none()],
    }
}

fn refused(answer: &Policies) -> String {
    let policies = answer.policies.iter();
    let sentence = |policy: &Policy| {
        let reason = policy.refused.as_ref()?;
        let instead = match policy.state {
            PolicyState::Refused => "nothing of it is in force",
            _ => "what it said before stays in force",
        };
        Some(format!("refused: {}: {reason}; {instead}\n", policy.policy))
    };
    policies.filter_map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(rule: Option<u32>, action: &str, packets: u64) -> PolicyRule {
        PolicyRule {
            direction: "ingress".into(),
            rule,
            rule_name: rule.map(|_| "web".into()),
            action: action.into(),
            about: "tcp/80 from anybody".into(),
            packets,
            bytes: packets * 100,
        }
    }

    fn policy(name: &str, state: PolicyState, refused: Option<&str>) -> Policy {
        Policy {
            policy: name.into(),
            state,
            refused: refused.map(str::to_owned),
            tier: Some("networkpolicy".into()),
            priority: None,
            pods: 3,
            rules: vec![rule(Some(0), "accept", 7), rule(None, "deny", 2)],
        }
    }

    fn answer() -> Policies {
        let never = Policy {
            tier: None,
            pods: 0,
            rules: Vec::new(),
            ..policy("c", PolicyState::Refused, Some("spec.x: is bad"))
        };
        Policies {
            policies: vec![
                policy("a", PolicyState::InForce, Some("spec.y: is bad")),
                policy("b", PolicyState::Staged, None),
                never,
            ],
        }
    }

    #[test]
    fn a_policy_has_what_it_decided_a_staged_one_what_it_would_and_a_refused_one_nothing() {
        let expected = "\
POLICY  TIER           PRIORITY  STATE     PODS  ALLOWED  DENIED  PASSED  WOULD-DROP
a       networkpolicy  -         in-force  3     7        2       0       -
b       networkpolicy  -         staged    3     -        -       -       2
c       -              -         refused   0     -        -       -       -
refused: a: spec.y: is bad; what it said before stays in force
refused: c: spec.x: is bad; nothing of it is in force
";
        assert_eq!(policies(&answer()), expected);
    }

    #[test]
    fn a_rule_has_its_place_its_name_and_its_packets() {
        let text = policy_rules(&answer());
        for line in [
            "a       in-force  ingress    0 \"web\"    accept  7        700    tcp/80 from anybody",
            "b       staged    ingress    isolation  deny    2        200    tcp/80 from anybody",
        ] {
            assert!(
                text.lines().any(|other| other == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
