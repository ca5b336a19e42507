// SPDX-License-Identifier: Apache-2.0
//! The state as metrics, made when they are asked for.

use std::fmt;
use std::sync::atomic::AtomicU64;

use api_types::Status;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use crate::control::{Counters, PolicyCount};

type States = Family<[(&'static str, &'static str); 1], Gauge<u64, AtomicU64>>;
type Rules = Family<[(&'static str, String); 9], Counter>;

/// OpenMetrics text.
pub(super) fn encode(
    status: &Status,
    counters: Counters,
    rules: &[PolicyCount],
) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("culvert");
    let Status {
        source,
        nodes,
        pods,
        flows,
        foreign,
        rollout,
        rejected,
        ..
    } = status;
    let nodes = [
        ("programmed", nodes.programmed),
        ("syncing", nodes.syncing),
        ("waiting", nodes.waiting),
        ("disconnected", nodes.disconnected),
        ("refused", nodes.refused),
    ];
    registry.register("nodes", "Nodes by state", by("state", &nodes));
    let pods = [
        ("ready", pods.ready),
        ("admitted", pods.admitted),
        ("programmed", pods.programmed),
        ("pending", pods.pending),
        ("refused", pods.refused),
    ];
    registry.register("pods", "Interfaces of Pods by state", by("state", &pods));
    let layers = [("cluster", flows.cluster), ("node", flows.node)];
    registry.register(
        "flows",
        "Flows that switches should have, by layer",
        by("layer", &layers),
    );
    let foreign = [("flows", foreign.flows), ("groups", foreign.groups)];
    registry.register(
        "foreign_entries",
        "Flows and groups of others on the bridges, left alone, as of the last time each was read back",
        by("kind", &foreign),
    );
    let gauges = [
        (
            "source_loaded",
            "1 when every manifest was read",
            usize::from(source.loaded),
        ),
        ("source_objects", "Objects in force", source.objects),
        (
            "source_problems",
            "Errors and warnings in manifests",
            source.problems,
        ),
        (
            "rejected_objects",
            "Objects that the compiler refused",
            rejected.len(),
        ),
        (
            "groups",
            "Groups that every switch should have",
            flows.cluster_groups,
        ),
        (
            "pending_changes",
            "Changes that wait for the present rollout",
            rollout.pending_changes,
        ),
        (
            "rollout_waiting_nodes",
            "Nodes whose acknowledgement is awaited",
            rollout.waiting_for.len(),
        ),
    ];
    for (name, help, value) in gauges {
        registry.register(name, help, ConstGauge::new(value as u64));
    }
    let Counters {
        batches,
        flows_encoded,
        mods_sent,
        rejections,
        facts_written,
        reconciled_by_digest,
        reconciled_by_dump,
        repairs,
    } = counters;
    let totals = [
        ("batches", "Batches of changes compiled", batches),
        (
            "flows_encoded",
            "Flows encoded, each once for all switches",
            flows_encoded,
        ),
        (
            "mods_sent",
            "Flow and group modifications sent to switches",
            mods_sent,
        ),
        ("rejections", "Entries that switches refused", rejections),
        (
            "facts_written",
            "Transactions written to OVSDB",
            facts_written,
        ),
        (
            "reconciled_by_digest",
            "Switches that held exactly what was wanted",
            reconciled_by_digest,
        ),
        (
            "reconciled_by_dump",
            "Switches that were read back, when they connected or in an audit",
            reconciled_by_dump,
        ),
        (
            "repairs",
            "Entries that somebody else had changed and an audit repaired",
            repairs,
        ),
    ];
    for (name, help, value) in totals {
        registry.register(name, help, ConstCounter::new(value));
    }
    let (packets, bytes) = by_rule(rules);
    registry.register(
        "policy_packets",
        "Packets that a rule decided about, or would have decided about if staged; a packet that \
         several rules decide alike in one flow counts for each. Replies are not decided about",
        packets,
    );
    registry.register(
        "policy_bytes",
        "Bytes of the packets in policy_packets",
        bytes,
    );
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

fn by_rule(rules: &[PolicyCount]) -> (Rules, Rules) {
    let (packets, bytes) = (Rules::default(), Rules::default());
    for PolicyCount {
        policy,
        decision,
        traffic,
    } in rules
    {
        // What no rule allows is denied because the policy isolates.
        let index = decision.rule.map(|index| index.to_string());
        let labels = [
            ("kind", policy.kind.word().to_owned()),
            ("namespace", policy.namespace.to_string()),
            ("policy", policy.name.to_string()),
            ("tier", decision.tier.to_string()),
            ("direction", decision.direction.to_string()),
            ("rule", index.unwrap_or_else(|| "isolation".to_owned())),
            ("rule_name", decision.rule_name.clone().unwrap_or_default()),
            ("action", decision.action.to_string()),
            ("staged", decision.staged.to_string()),
        ];
        packets.get_or_create(&labels).inc_by(traffic.packets);
        bytes.get_or_create(&labels).inc_by(traffic.bytes);
    }
    (packets, bytes)
}

fn by(label: &'static str, counts: &[(&'static str, usize)]) -> States {
    let family = States::default();
    for (value, count) in counts {
        family.get_or_create(&[(label, *value)]).set(*count as u64);
    }
    family
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Traffic;
    use api_types::NodeCounts;
    use policy_compiler::Decision;
    use policy_compiler::model::{Direction, RuleAction, Tier};

    #[test]
    fn every_state_has_a_line() {
        let nodes = NodeCounts {
            total: 2,
            programmed: 2,
            ..NodeCounts::default()
        };
        let status = Status {
            nodes,
            ..Status::default()
        };
        let text = encode(
            &status,
            Counters {
                mods_sent: 7,
                ..Counters::default()
            },
            &[],
        )
        .unwrap();
        for line in [
            "culvert_nodes{state=\"programmed\"} 2",
            "culvert_nodes{state=\"refused\"} 0",
            "culvert_mods_sent_total 7",
            "culvert_source_loaded 0",
            "culvert_foreign_entries{kind=\"flows\"} 0",
            "culvert_repairs_total 0",
        ] {
            assert!(
                text.lines().any(|other| other == line),
                "{line} is not in\n{text}"
            );
        }
    }

    #[test]
    fn a_rule_has_its_place_its_policy_and_what_it_decides_for_labels() {
        let count = |decision| PolicyCount {
            policy: "networkpolicy/shop/api".parse().unwrap(),
            decision,
            traffic: Traffic {
                packets: 7,
                bytes: 700,
            },
        };
        let isolation = Decision {
            tier: Tier::NetworkPolicy,
            direction: Direction::Ingress,
            rule: None,
            rule_name: None,
            action: RuleAction::Deny,
            staged: true,
        };
        let rule = Decision {
            rule: Some(1),
            rule_name: Some("a \"b\"".to_owned()),
            action: RuleAction::Accept,
            staged: false,
            ..isolation
        };
        let rules = [count(isolation), count(rule)];
        let text = encode(&Status::default(), Counters::default(), &rules).unwrap();
        let policy =
            "kind=\"networkpolicy\",namespace=\"shop\",policy=\"api\",tier=\"networkpolicy\"";
        for line in [
            format!(
                "culvert_policy_packets_total{{{policy},direction=\"ingress\",rule=\"isolation\",rule_name=\"\",action=\"deny\",staged=\"true\"}} 7"
            ),
            format!(
                "culvert_policy_bytes_total{{{policy},direction=\"ingress\",rule=\"1\",rule_name=\"a \\\"b\\\"\",action=\"accept\",staged=\"false\"}} 700"
            ),
        ] {
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }
}
