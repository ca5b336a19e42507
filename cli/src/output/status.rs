// SPDX-License-Identifier: Apache-2.0
//! The controller at a glance.

use api_types::Status;

/// A few lines, most important first; what is zero and should be zero is left out.
pub(crate) fn status(answer: &Status) -> String {
    let Status {
        version,
        source,
        nodes,
        pods,
        flows,
        foreign,
        rollout,
        rejected,
    } = answer;
    let mut text = format!("controller  {version}\n");
    let loaded = if source.loaded {
        "loaded"
    } else {
        "not loaded yet: no switch is touched"
    };
    text.push_str(&format!(
        "source      {}, {loaded}, {} objects",
        source.location, source.objects
    ));
    if source.problems > 0 {
        text.push_str(&format!(
            ", {} problems (see `culvert source`)",
            source.problems
        ));
    }
    text.push_str(&format!(
        "\nnodes       {} of {} programmed",
        nodes.programmed, nodes.total
    ));
    text.push_str(&others(&[
        ("syncing", nodes.syncing),
        ("waiting", nodes.waiting),
        ("disconnected", nodes.disconnected),
        ("refused", nodes.refused),
    ]));
    text.push_str(&format!(
        "\npods        {} of {} ready",
        pods.ready, pods.total
    ));
    text.push_str(&others(&[
        ("admitted", pods.admitted),
        ("programmed", pods.programmed),
        ("pending", pods.pending),
        ("refused", pods.refused),
    ]));
    text.push_str(&format!(
        "\nflows       {} on every switch (and {} groups), {} on single switches\n",
        flows.cluster, flows.cluster_groups, flows.node
    ));
    if foreign.flows + foreign.groups > 0 {
        text.push_str(&format!(
            "foreign     {} flows and {} groups of others, left alone\n",
            foreign.flows, foreign.groups
        ));
    }
    text.push_str(&format!(
        "rollout     {}, step {}",
        rollout.phase, rollout.generation
    ));
    if !rollout.waiting_for.is_empty() {
        text.push_str(&format!(", waiting for {}", rollout.waiting_for.join(", ")));
    }
    if rollout.pending_changes > 0 {
        text.push_str(&format!(", {} changes wait", rollout.pending_changes));
    }
    text.push('\n');
    for object in rejected {
        text.push_str(&format!(
            "rejected    {}: {}\n",
            object.object, object.reason
        ));
    }
    text
}

fn others(counts: &[(&str, usize)]) -> String {
    let present = counts.iter().filter(|(_, count)| *count > 0);
    present
        .map(|(word, count)| format!(", {count} {word}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api_types::{ForeignCounts, NodeCounts, RolloutStatus};

    #[test]
    fn only_states_that_occur_are_named() {
        let answer = Status {
            nodes: NodeCounts {
                total: 3,
                programmed: 2,
                refused: 1,
                ..NodeCounts::default()
            },
            rollout: RolloutStatus {
                phase: "idle".into(),
                ..RolloutStatus::default()
            },
            ..Status::default()
        };
        let text = status(&answer);
        assert!(
            text.contains("nodes       2 of 3 programmed, 1 refused\n"),
            "{text}"
        );
        assert!(!text.contains("foreign"), "{text}");
    }

    #[test]
    fn what_others_have_on_the_bridges_is_counted() {
        let answer = Status {
            foreign: ForeignCounts {
                flows: 3,
                groups: 1,
            },
            ..Status::default()
        };
        let text = status(&answer);
        assert!(
            text.contains("foreign     3 flows and 1 groups of others, left alone\n"),
            "{text}"
        );
    }
}
