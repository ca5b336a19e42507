// SPDX-License-Identifier: Apache-2.0
//! Flows and their causes.

use api_types::{Cause, Flow, Flows};

/// One paragraph per flow: the flow as `ovs-ofctl` prints it, then why it exists.
pub(crate) fn explain(answer: &Flows) -> String {
    let paragraphs: Vec<String> = answer.flows.iter().map(paragraph).collect();
    paragraphs.join("\n")
}

/// As [`explain`], with a count in front.
pub(crate) fn flows(answer: &Flows) -> String {
    let count = answer.flows.len();
    let noun = if count == 1 { "flow" } else { "flows" };
    let text = explain(answer);
    if text.is_empty() {
        format!("{count} {noun}\n")
    } else {
        format!("{count} {noun}\n\n{text}")
    }
}

fn paragraph(flow: &Flow) -> String {
    let Flow {
        scope,
        table,
        table_id,
        priority,
        flow_match,
        actions,
        cookie,
        causes,
    } = flow;
    let comma = if flow_match.is_empty() { "" } else { "," };
    let mut text = format!(
        "cookie={cookie}, table={table_id}({table}), priority={priority}{comma}{flow_match} actions={actions}\n"
    );
    text.push_str(&format!("  on   {}\n", place(scope)));
    for cause in causes {
        text.push_str(&format!("  why  {}\n", sentence(cause)));
    }
    text
}

fn place(scope: &str) -> String {
    match scope.strip_prefix("node/") {
        Some(node) => format!("the switch of node {node}"),
        None => "every switch".to_owned(),
    }
}

fn sentence(cause: &Cause) -> String {
    let object = cause.object.as_deref().unwrap_or("the pipeline itself");
    match (&cause.interface, &cause.node) {
        (Some(interface), Some(node)) => {
            format!(
                "{object} (interface {interface} on node {node}): {}",
                cause.why
            )
        }
        _ => format!("{object}: {}", cause.why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_printed_as_ovs_ofctl_prints_it_and_names_the_object() {
        let flow = Flow {
            scope: "cluster".into(),
            table: "ingress".into(),
            table_id: 90,
            priority: 100,
            flow_match: "tcp,tp_dst=80".into(),
            actions: "resubmit(,95)".into(),
            cookie: "0x2f".into(),
            causes: vec![Cause {
                object: Some("networkpolicy/shop/web".into()),
                node: None,
                interface: None,
                why: "allows tcp/80 (ingress rule 1)".into(),
            }],
        };
        let expected = "1 flow\n\n\
            cookie=0x2f, table=90(ingress), priority=100,tcp,tp_dst=80 actions=resubmit(,95)\n  \
            on   every switch\n  \
            why  networkpolicy/shop/web: allows tcp/80 (ingress rule 1)\n";
        assert_eq!(flows(&Flows { flows: vec![flow] }), expected);
    }
}
