// SPDX-License-Identifier: Apache-2.0
//! Services whose endpoints depend on the node: what is in the layer of a node, and what a change touches.

use openflow_codec::{Action, Group, PortNo};
use policy_compiler::model::{Addresses, Kind, MacAddr, ObjectKey};
use policy_compiler::{
    Attachment, AttachmentKey, Change, Compiler, Config, NodeFacts, Object, Output, Scope,
};
use serde_json::{Value, json};

use crate::service_table::read;

const ZONE: &str = "topology.kubernetes.io/zone";

/// A Service, and nodes of which nothing was observed yet.
fn compiler(fields: &Value) -> Compiler {
    let mut compiler = Compiler::new(&Config {
        cluster_secret: [9; 32],
    });
    let mut spec = json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80}]});
    for (field, value) in fields.as_object().expect("fields") {
        spec[field] = value.clone();
    }
    let service = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": spec});
    let nodes = [("node-1", "a"), ("node-2", "b"), ("node-3", "a")];
    let nodes = nodes.map(|(name, zone)| node(name, zone));
    compiler.apply([Change::Apply(Object::Service(read(service)))]);
    compiler.apply(nodes);
    compiler
}

fn node(name: &str, zone: &str) -> Change {
    let number = name.trim_start_matches("node-");
    Change::Apply(Object::Node(read(json!({
        "metadata": {"name": name, "labels": {ZONE: zone}},
        "spec": {"podCIDRs": [format!("10.10.{number}.0/24")]},
    }))))
}

fn observe(name: &str) -> Change {
    Change::ObserveNode {
        node: name.to_owned(),
        facts: NodeFacts {
            tunnel_port: None,
            gateway_port: None,
        },
    }
}

fn observed(fields: &Value) -> Compiler {
    let mut compiler = compiler(fields);
    compiler.apply(["node-1", "node-2", "node-3"].map(observe));
    compiler
}

/// The one slice of the Service has these endpoints, each as `ADDRESS`, node and zone that it is for.
fn set_endpoints(compiler: &mut Compiler, all: &[(&str, &str, Option<&str>)]) -> Output {
    let endpoints = all.iter().map(|(address, node, zone)| {
        let zones = zone.map(|zone| json!([{"name": zone}]));
        json!({"addresses": [address], "nodeName": node, "hints": {"forZones": zones}})
    });
    let slice = json!({
        "metadata": {
            "namespace": "shop", "name": "web-1",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4", "ports": [{"name": "", "port": 8080}],
        "endpoints": endpoints.collect::<Vec<_>>(),
    });
    compiler.apply([Change::Apply(Object::EndpointSlice(read(slice)))])
}

fn destinations<'a>(groups: impl Iterator<Item = &'a std::sync::Arc<Group>>) -> Vec<String> {
    let actions = groups.flat_map(|group| group.buckets.iter().flat_map(|bucket| &bucket.actions));
    let addresses = actions.filter_map(|action| match action {
        Action::Ct(ct) => ct.nat.as_ref()?.addresses,
        _ => None,
    });
    addresses.map(|(first, _)| first.to_string()).collect()
}

/// Where the groups of every switch lead to, and those of the nodes.
fn everywhere(compiler: &Compiler) -> Vec<String> {
    destinations(compiler.cluster_groups())
}

fn on(compiler: &Compiler, node: &str) -> Vec<String> {
    destinations(compiler.node_groups(node).expect("it is observed"))
}

fn touched(output: &Output) -> Vec<&str> {
    output.nodes.keys().map(String::as_str).collect()
}

#[test]
fn endpoints_of_a_node_are_in_its_layer_and_a_change_of_them_touches_no_other() {
    let mut compiler = observed(&json!({"internalTrafficPolicy": "Local"}));
    set_endpoints(&mut compiler, &[("10.10.1.2", "node-1", None)]);
    assert_eq!(on(&compiler, "node-1"), ["10.10.1.2"]);
    assert!(on(&compiler, "node-2").is_empty());
    assert!(everywhere(&compiler).is_empty());
    let both = [("10.10.1.2", "node-1", None), ("10.10.2.2", "node-2", None)];
    let output = set_endpoints(&mut compiler, &both);
    assert!(output.cluster.is_empty(), "{:?}", output.cluster);
    assert_eq!(touched(&output), ["node-2"]);
    let output = set_endpoints(&mut compiler, &both[1..]);
    assert!(output.cluster.is_empty(), "{:?}", output.cluster);
    assert_eq!(touched(&output), ["node-1"]);
    assert_eq!(output.nodes["node-1"].remove_groups.len(), 1);
    assert_eq!(output.nodes["node-1"].remove.len(), 1);
}

#[test]
fn a_node_has_its_own_endpoints_as_soon_as_it_is_observed() {
    let mut compiler = compiler(&json!({"internalTrafficPolicy": "Local"}));
    set_endpoints(&mut compiler, &[("10.10.1.2", "node-1", None)]);
    assert!(compiler.node_groups("node-1").is_none());
    compiler.apply([observe("node-1")]);
    assert_eq!(on(&compiler, "node-1"), ["10.10.1.2"]);
}

#[test]
fn a_node_that_changes_its_zone_gets_the_endpoints_of_the_other() {
    let mut compiler = observed(&json!({}));
    let all = [
        ("10.10.1.2", "node-1", Some("a")),
        ("10.10.2.2", "node-2", Some("b")),
    ];
    set_endpoints(&mut compiler, &all);
    assert_eq!(everywhere(&compiler), ["10.10.1.2", "10.10.2.2"]);
    assert_eq!(on(&compiler, "node-3"), ["10.10.1.2"]);
    let output = compiler.apply([node("node-3", "b")]);
    assert_eq!(touched(&output), ["node-3"]);
    assert_eq!(on(&compiler, "node-3"), ["10.10.2.2"]);
    compiler.apply([node("node-3", "c")]);
    assert!(on(&compiler, "node-3").is_empty());
}

#[test]
fn hints_that_go_leave_every_node_with_the_group_that_it_had_all_the_time() {
    let mut compiler = observed(&json!({}));
    let plain = |zone| {
        [
            ("10.10.1.2", "node-1", Some("a")),
            ("10.10.2.2", "node-2", zone),
        ]
    };
    set_endpoints(&mut compiler, &plain(Some("b")));
    let output = set_endpoints(&mut compiler, &plain(None));
    assert!(output.cluster.is_empty(), "{:?}", output.cluster);
    assert!(on(&compiler, "node-1").is_empty());
    let output = set_endpoints(&mut compiler, &plain(Some("b")));
    assert!(output.cluster.is_empty(), "{:?}", output.cluster);
    assert_eq!(touched(&output), ["node-1", "node-2", "node-3"]);
}

#[test]
fn the_groups_of_one_port_have_a_number_for_each_set_and_the_same_on_every_node() {
    let fields = json!({"type": "NodePort", "externalTrafficPolicy": "Local",
        "ports": [{"port": 80, "nodePort": 30080}]});
    let mut compiler = observed(&fields);
    let all = [
        ("10.10.1.2", "node-1", Some("a")),
        ("10.10.2.2", "node-2", Some("b")),
    ];
    set_endpoints(&mut compiler, &all);
    let ids = |node: &str| -> Vec<_> {
        let groups = compiler.node_groups(node).expect("it is observed");
        groups.map(|group| group.id).collect()
    };
    assert_eq!(compiler.cluster_groups().count(), 1);
    assert_eq!(ids("node-1").len(), 2);
    assert_eq!(ids("node-1"), ids("node-2"));
    let everywhere: Vec<_> = compiler.cluster_groups().map(|group| group.id).collect();
    assert!(!ids("node-1").contains(&everywhere[0]));
    assert!(ids("node-1").contains(&ids("node-3")[0]));
}

#[test]
fn a_flow_of_a_node_says_whose_it_is_and_where() {
    let mut compiler = observed(&json!({"internalTrafficPolicy": "Local"}));
    set_endpoints(&mut compiler, &[("10.10.1.2", "node-1", None)]);
    let web = ObjectKey::new(Kind::Service, "shop", "web");
    let flows = compiler.node_flows("node-1").expect("it is observed");
    let explained: Vec<_> = flows
        .flat_map(|flow| compiler.explain(flow.cookie))
        .filter(|found| {
            found
                .causes
                .iter()
                .any(|cause| cause.object.as_ref() == Some(&web))
        })
        .collect();
    let [found] = explained.as_slice() else {
        panic!("there are {} flows", explained.len());
    };
    assert_eq!(found.scope, Scope::Node("node-1".to_owned()));
    assert_eq!(
        found.causes[0].why,
        "10.96.0.1 tcp/80 goes to one of its endpoints on this node"
    );
}

#[test]
fn a_service_that_is_gone_leaves_nothing_on_any_node() {
    let mut compiler = observed(&json!({"internalTrafficPolicy": "Local"}));
    let flows = |compiler: &Compiler| {
        let flows = compiler.node_flows("node-1").expect("it is observed");
        flows.count()
    };
    let before = flows(&compiler);
    set_endpoints(&mut compiler, &[("10.10.1.2", "node-1", None)]);
    assert_eq!(flows(&compiler), before + 1);
    compiler.apply([Change::Delete(ObjectKey::new(Kind::Service, "shop", "web"))]);
    assert_eq!(flows(&compiler), before);
    assert!(on(&compiler, "node-1").is_empty());
    assert!(everywhere(&compiler).is_empty());
}

/// A Pod that the Service selects, plugged in on the first node.
fn pod(number: u8, is_ready: bool) -> [Change; 2] {
    let name = format!("p{number}");
    let pod = json!({
        "metadata": {"namespace": "shop", "name": name, "labels": {"app": "web"}},
        "spec": {"nodeName": "node-1", "containers": []},
        "status": {"conditions": [
            {"type": "Ready", "status": if is_ready { "True" } else { "False" }},
        ]},
    });
    let attachment = Attachment {
        key: AttachmentKey {
            node: "node-1".to_owned(),
            interface: format!("v-{name}"),
        },
        pod_namespace: "shop".to_owned(),
        pod_name: name,
        pod_uid: None,
        port: PortNo(10 + u32::from(number)),
        addresses: Addresses::One([10, 10, 1, 10 + number].into()),
        mac: MacAddr(0x0a58_0000_0000 | u64::from(number)),
        ready: true,
    };
    [
        Change::Apply(Object::Pod(read(pod))),
        Change::Attach(attachment),
    ]
}

#[test]
fn health_checks_count_the_ready_endpoints_of_the_node_whoever_says_who_they_are() {
    let mut compiler = observed(&json!({"selector": {"app": "web"}}));
    let web = ObjectKey::new(Kind::Service, "shop", "web");
    let pods = [pod(1, true), pod(2, false), pod(3, true)];
    let namespace = json!({"metadata": {"name": "shop"}});
    compiler.apply([Change::Apply(Object::Namespace(read(namespace)))]);
    compiler.apply(pods.into_iter().flatten());
    assert_eq!(compiler.local_endpoints(&web, "node-1"), 2);
    assert_eq!(compiler.local_endpoints(&web, "node-2"), 0);
    compiler.apply(pod(3, false));
    assert_eq!(compiler.local_endpoints(&web, "node-1"), 1);
    set_endpoints(&mut compiler, &[("10.10.2.2", "node-2", None)]);
    assert_eq!(compiler.local_endpoints(&web, "node-1"), 0);
    assert_eq!(compiler.local_endpoints(&web, "node-2"), 1);
}

#[test]
fn pods_are_preferred_by_zone_or_node_as_the_service_says() {
    for distribution in ["PreferSameZone", "PreferClose", "PreferSameNode"] {
        let fields = json!({"selector": {"app": "web"}, "trafficDistribution": distribution});
        let mut compiler = observed(&fields);
        let namespace = json!({"metadata": {"name": "shop"}});
        compiler.apply([Change::Apply(Object::Namespace(read(namespace)))]);
        let [first, second] = [pod(1, true), elsewhere(pod(2, true))];
        compiler.apply(first.into_iter().chain(second));
        let all = ["10.10.1.11", "10.10.2.12"];
        assert_eq!(everywhere(&compiler), all, "{distribution}");
        // Node 3 is in the zone of node 1, and has no endpoint itself.
        for (node, nearest) in [("node-1", 0), ("node-2", 1), ("node-3", 0)] {
            assert_eq!(on(&compiler, node), [all[nearest]], "{distribution} {node}");
        }
    }
}

/// The same Pod on the second node.
fn elsewhere(changes: [Change; 2]) -> [Change; 2] {
    changes.map(|change| match change {
        Change::Apply(Object::Pod(mut pod)) => {
            let spec = pod.spec.get_or_insert_default();
            spec.node_name = Some("node-2".to_owned());
            Change::Apply(Object::Pod(pod))
        }
        Change::Attach(mut attachment) => {
            attachment.key.node = "node-2".to_owned();
            attachment.addresses = Addresses::One([10, 10, 2, 12].into());
            Change::Attach(attachment)
        }
        other => other,
    })
}
