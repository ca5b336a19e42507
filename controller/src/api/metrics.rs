// SPDX-License-Identifier: Apache-2.0
//! The state as metrics, made when they are asked for.

use std::fmt;
use std::sync::atomic::AtomicU64;

use api_types::Status;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use crate::control::Counters;

type States = Family<[(&'static str, &'static str); 1], Gauge<u64, AtomicU64>>;

/// OpenMetrics text.
pub(super) fn encode(status: &Status, counters: Counters) -> Result<String, fmt::Error> {
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
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
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
    use api_types::NodeCounts;

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
}
