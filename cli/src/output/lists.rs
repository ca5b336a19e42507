// SPDX-License-Identifier: Apache-2.0
//! Nodes, Pods and manifests as tables.

use api_types::{Node, Nodes, Pod, Pods, Problem, Source};

use super::word;
use crate::table::Table;

/// Nodes, then switches that nobody has named.
pub(crate) fn nodes(answer: &Nodes) -> String {
    let mut table = Table::new([
        "NAME", "STATE", "ADDRESS", "DATAPATH", "PODS", "FLOWS", "AGENT", "REASON",
    ]);
    for node in &answer.nodes {
        let Node {
            name,
            state,
            reason,
            address,
            datapath_id,
            pods,
            flows,
            agent,
            ..
        } = node;
        table.row([
            name.clone(),
            word(state),
            address.clone().unwrap_or_default(),
            datapath_id.clone().unwrap_or_default(),
            pods.to_string(),
            flows.to_string(),
            agent.clone().unwrap_or_default(),
            reason.clone().unwrap_or_default(),
        ]);
    }
    let mut text = table.render();
    for datapath_id in &answer.unclaimed_switches {
        text.push_str(&format!(
            "switch {datapath_id} is connected by OpenFlow, but no node's OVSDB names it: run \
             `ovs-vsctl set-manager` on that machine\n"
        ));
    }
    text
}

/// Interfaces of Pods.
pub(crate) fn pods(answer: &Pods) -> String {
    let mut table = Table::new([
        "NAMESPACE",
        "NAME",
        "STATE",
        "NODE",
        "INTERFACE",
        "PORT",
        "ADDRESSES",
        "IDENTITY",
        "REASON",
    ]);
    for pod in &answer.pods {
        let Pod {
            namespace,
            name,
            state,
            node,
            interface,
            port,
            addresses,
            identity,
            reason,
            ..
        } = pod;
        table.row([
            namespace.clone(),
            name.clone(),
            word(state),
            node.clone(),
            interface.clone(),
            port.map(|port| port.to_string()).unwrap_or_default(),
            addresses.join(","),
            identity.clone().unwrap_or_default(),
            reason.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}

/// Files, then what is wrong.
pub(crate) fn source(answer: &Source) -> String {
    let loaded = if answer.loaded {
        "loaded"
    } else {
        "not loaded yet"
    };
    let mut text = format!(
        "{}: {loaded}, {} objects\n\n",
        answer.location, answer.objects
    );
    let mut table = Table::new(["FILE", "STATE", "OBJECTS", "IGNORED"]);
    for file in &answer.files {
        let ignored = if file.ignored == 0 {
            String::new()
        } else {
            file.ignored.to_string()
        };
        table.row([
            file.path.clone(),
            word(file.state),
            file.objects.to_string(),
            ignored,
        ]);
    }
    text.push_str(&table.render());
    if !answer.problems.is_empty() {
        text.push('\n');
    }
    for Problem {
        file,
        line,
        object,
        severity,
        reason,
    } in &answer.problems
    {
        let object = object
            .as_ref()
            .map(|object| format!("{object}: "))
            .unwrap_or_default();
        let place = match (file.as_str(), line) {
            ("", _) => answer.location.clone(),
            (file, 0) => file.to_owned(),
            (file, line) => format!("{file}:{line}"),
        };
        text.push_str(&format!("{}: {place}: {object}{reason}\n", word(severity)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use api_types::{FileState, PodState, Severity, SourceFile};

    #[test]
    fn a_problem_is_printed_with_file_line_and_object() {
        let answer = Source {
            location: "dir:/etc/culvert".into(),
            loaded: true,
            objects: 1,
            files: vec![SourceFile {
                path: "a.yaml".into(),
                state: FileState::LastGood,
                objects: 1,
                ignored: 0,
            }],
            problems: vec![Problem {
                file: "a.yaml".into(),
                line: 7,
                object: Some("pod/shop/web".into()),
                severity: Severity::Error,
                reason: "spec: expected a map".into(),
            }],
        };
        let text = source(&answer);
        assert!(text.contains("a.yaml  last-good  1"), "{text}");
        assert!(
            text.ends_with("error: a.yaml:7: pod/shop/web: spec: expected a map\n"),
            "{text}"
        );
    }

    #[test]
    fn a_waiting_pod_says_what_it_waits_for() {
        let answer = Pods {
            pods: vec![Pod {
                namespace: "shop".into(),
                name: "web".into(),
                node: "node-1".into(),
                interface: "veth1".into(),
                state: PodState::Pending,
                reason: Some("the Pod is not known yet".into()),
                address: None,
                addresses: Vec::new(),
                mac: None,
                identity: None,
                port: None,
            }],
        };
        let text = pods(&answer);
        assert!(text.contains("shop       web   pending"), "{text}");
        assert!(text.ends_with("the Pod is not known yet\n"), "{text}");
    }
}
