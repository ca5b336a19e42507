// SPDX-License-Identifier: Apache-2.0
//! Whatever the changes and their order, the flows are those that a fresh compiler gives.

use std::collections::{BTreeMap, BTreeSet};

use openflow_codec::{Cookie, Flow, Group, GroupId};
use policy_compiler::model::{Families, Family};
use policy_compiler::{Change, Compiler, Config, Kind, LayerDelta, Object, ObjectKey};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::service_table::read;
use crate::world;

/// Something that happens to a cluster.
#[derive(Clone, Debug)]
enum Step {
    ApplyPod(world::PodSpecimen),
    DeletePod(world::PodSpecimen),
    Attach(world::PodSpecimen, bool),
    Detach(world::PodSpecimen),
    Admit(world::PodSpecimen),
    ApplyPolicy(Box<k8s_openapi::api::networking::v1::NetworkPolicy>),
    DeletePolicy(usize, u8),
    ApplyClusterPolicy(Value),
    DeleteClusterPolicy(u8),
    ApplyNamespace(usize, BTreeMap<String, String>),
    DeleteNamespace(usize),
    /// With its selector and other fields.
    ApplyService(&'static str, BTreeMap<String, String>, Value),
    DeleteService(&'static str),
    /// A slice of the first Service, with its endpoints.
    ApplySlice(u8, Vec<Value>),
    DeleteSlice(u8),
    /// With the zones of the nodes.
    ReapplyNodes(Families, Family, [Option<&'static str>; 2]),
    DeleteNode(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => world::pod().prop_map(Step::ApplyPod),
        2 => world::pod().prop_map(Step::DeletePod),
        4 => (world::pod(), any::<bool>()).prop_map(|(pod, ready)| Step::Attach(pod, ready)),
        2 => world::pod().prop_map(Step::Detach),
        2 => world::pod().prop_map(Step::Admit),
        4 => world::policy().prop_map(|policy| Step::ApplyPolicy(Box::new(policy))),
        2 => (0..3usize, 0..2u8).prop_map(|(namespace, n)| Step::DeletePolicy(namespace, n)),
        4 => world::cluster_policy().prop_map(Step::ApplyClusterPolicy),
        2 => (0..3u8).prop_map(Step::DeleteClusterPolicy),
        2 => (0..3usize, world::labels()).prop_map(|(n, labels)| Step::ApplyNamespace(n, labels)),
        1 => (0..3usize).prop_map(Step::DeleteNamespace),
        3 => (service_name(), world::labels(), service_fields())
            .prop_map(|(name, labels, fields)| Step::ApplyService(name, labels, fields)),
        1 => service_name().prop_map(Step::DeleteService),
        2 => (0..2u8, prop::collection::vec(endpoint(), 0..4))
            .prop_map(|(n, endpoints)| Step::ApplySlice(n, endpoints)),
        1 => (0..2u8).prop_map(Step::DeleteSlice),
        1 => (world::families(), world::family(), [zone(), zone()])
            .prop_map(|(f, u, zones)| Step::ReapplyNodes(f, u, zones)),
        1 => (0..2usize).prop_map(Step::DeleteNode),
    ]
}

/// Two Services claim one address.
fn service_name() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("front"), Just("rival")]
}

/// Fields on which the endpoints depend, and other ways to the Service.
fn service_fields() -> impl Strategy<Value = Value> {
    let policy = || prop::sample::select(vec!["Cluster", "Local"]);
    let distribution = prop::sample::select(vec!["PreferSameZone", "PreferSameNode"]);
    (
        policy(),
        policy(),
        prop::option::of(distribution),
        any::<bool>(),
        any::<bool>(),
        prop::option::of(prop::sample::select(vec!["203.0.113.0/24", "10.10.0.0/16"])),
    )
        .prop_map(
            |(internal, external, distribution, publish, outside, range)| {
                json!({
                    "internalTrafficPolicy": internal, "externalTrafficPolicy": external,
                    "trafficDistribution": distribution, "publishNotReadyAddresses": publish,
                    "type": if outside { "LoadBalancer" } else { "ClusterIP" },
                    "loadBalancerSourceRanges": range.map(|range| vec![range]),
                })
            },
        )
}

fn zone() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::of(prop::sample::select(vec!["a", "b"]))
}

fn endpoint() -> impl Strategy<Value = Value> {
    let node = prop::sample::select(vec!["node-1", "node-2", "node-3"]);
    let hinted = || prop::option::weighted(0.8, prop::sample::select(vec!["node-1", "node-2"]));
    (1..5u8, node, any::<bool>(), zone(), hinted()).prop_map(
        |(last, node, is_ready, zone, for_node)| {
            json!({
                "addresses": [format!("10.10.9.{last}")], "nodeName": node,
                "conditions": {"ready": is_ready, "serving": true, "terminating": !is_ready},
                "hints": {
                    "forZones": zone.map(|zone| vec![json!({"name": zone})]),
                    "forNodes": for_node.map(|node| vec![json!({"name": node})]),
                },
            })
        },
    )
}

fn slice(n: u8, endpoints: &[Value]) -> Object {
    let ports = ["TCP", "UDP"].map(|protocol| {
        json!({"name": protocol.to_lowercase(), "protocol": protocol, "port": world::TARGET_PORT})
    });
    Object::EndpointSlice(read(json!({
        "metadata": {
            "namespace": world::NAMESPACES[0], "name": format!("slice-{n}"),
            "labels": {"kubernetes.io/service-name": "front"},
        },
        "addressType": "IPv4", "ports": ports, "endpoints": endpoints,
    })))
}

/// A Service with these fields; where it is a load balancer's, with an address and node ports.
fn service(name: &str, selector: &BTreeMap<String, String>, fields: &Value) -> Object {
    let Object::Service(mut service) = world::service(name, selector) else {
        panic!("a Service is no Service");
    };
    let mut spec = serde_json::to_value(&service.spec).expect("a Service is JSON");
    for (field, value) in fields.as_object().expect("fields") {
        spec[field] = value.clone();
    }
    if fields["type"] == "LoadBalancer" {
        spec["ports"][0]["nodePort"] = 30_080.into();
        let status = json!({"loadBalancer": {"ingress": [{"ip": "198.51.100.10"}]}});
        service.status = Some(*read(status));
    }
    service.spec = Some(*read(spec));
    Object::Service(service)
}

/// Nodes that are in these zones.
fn nodes(families: Families, underlay: Family, zones: [Option<&str>; 2]) -> Vec<Change> {
    let mut changes = world::nodes(families, underlay);
    let mut zones = zones.into_iter();
    for change in &mut changes {
        if let Change::Apply(Object::Node(node)) = change {
            let zone = zones.next().flatten();
            let labels = node.metadata.labels.get_or_insert_default();
            let key = "topology.kubernetes.io/zone".to_owned();
            labels.extend(zone.map(|zone| (key, zone.to_owned())));
        }
    }
    changes
}

fn changes(step: &Step) -> Vec<Change> {
    let key = |kind, namespace: usize, name: String| {
        ObjectKey::new(kind, world::NAMESPACES[namespace], name)
    };
    let one = match step {
        Step::ApplyPod(pod) => Change::Apply(pod.object()),
        Step::DeletePod(pod) => Change::Delete(key(Kind::Pod, pod.namespace, pod.name())),
        Step::Attach(pod, ready) => Change::Attach(pod.attachment(*ready)),
        Step::Detach(pod) => Change::Detach(pod.attachment_key()),
        Step::Admit(pod) => Change::Admit(pod.attachment_key()),
        Step::ApplyPolicy(policy) => Change::Apply(Object::NetworkPolicy(policy.clone())),
        Step::DeletePolicy(namespace, n) => {
            Change::Delete(key(Kind::NetworkPolicy, *namespace, format!("policy-{n}")))
        }
        Step::ApplyClusterPolicy(written) => Change::Apply(world::cluster_policy_object(written)),
        Step::DeleteClusterPolicy(n) => Change::Delete(ObjectKey::new(
            Kind::ClusterNetworkPolicy,
            "",
            format!("cluster-{n}"),
        )),
        Step::ApplyNamespace(n, labels) => Change::Apply(world::namespace(*n, labels)),
        Step::DeleteNamespace(n) => {
            Change::Delete(ObjectKey::new(Kind::Namespace, "", world::NAMESPACES[*n]))
        }
        Step::ApplyService(name, selector, fields) => {
            Change::Apply(service(name, selector, fields))
        }
        Step::DeleteService(name) => Change::Delete(key(Kind::Service, 0, (*name).to_owned())),
        Step::ApplySlice(n, endpoints) => Change::Apply(slice(*n, endpoints)),
        Step::DeleteSlice(n) => Change::Delete(key(Kind::EndpointSlice, 0, format!("slice-{n}"))),
        Step::ReapplyNodes(families, underlay, zones) => {
            return nodes(*families, *underlay, *zones);
        }
        Step::DeleteNode(n) => Change::Delete(ObjectKey::new(Kind::Node, "", world::NODES[*n])),
    };
    vec![one]
}

/// What a switch would hold: layers fed by deltas alone.
#[derive(Default)]
struct Fed {
    flows: BTreeMap<Cookie, Flow>,
    groups: BTreeMap<GroupId, Group>,
}

impl Fed {
    fn feed(&mut self, delta: &LayerDelta) {
        for flow in &delta.add {
            assert!(
                self.flows.insert(flow.cookie, (**flow).clone()).is_none(),
                "added twice"
            );
        }
        for cookie in &delta.remove {
            assert!(
                self.flows.remove(cookie).is_some(),
                "removed what was not there"
            );
        }
        for group in &delta.set_groups {
            assert_ne!(
                self.groups.insert(group.id, (**group).clone()).as_ref(),
                Some(&**group)
            );
        }
        for id in &delta.remove_groups {
            assert!(
                self.groups.remove(id).is_some(),
                "removed a group that was not there"
            );
        }
    }
}

type Flows = BTreeMap<String, BTreeSet<Flow>>;
type Groups = BTreeMap<String, BTreeSet<Group>>;

/// Flows and groups by layer.
fn everything(compiler: &Compiler) -> (Flows, Groups) {
    let flows = compiler.cluster_flows().map(|flow| (**flow).clone());
    let groups = compiler.cluster_groups().map(|group| (**group).clone());
    let mut all_flows = Flows::from([(String::new(), flows.collect())]);
    let mut all_groups = Groups::from([(String::new(), groups.collect())]);
    for node in world::NODES {
        if let (Some(flows), Some(groups)) = (compiler.node_flows(node), compiler.node_groups(node))
        {
            let flows = flows.map(|flow| (**flow).clone());
            all_flows.insert(node.to_owned(), flows.collect());
            let groups = groups.map(|group| (**group).clone());
            all_groups.insert(node.to_owned(), groups.collect());
        }
    }
    (all_flows, all_groups)
}

fn compiler() -> Compiler {
    Compiler::new(&Config {
        cluster_secret: [9; 32],
    })
}

/// The state that `steps` lead to, as one batch: for each object and attachment, its last word.
///
/// Which ports are open is history (they were admitted once), so it is taken from `history`.
fn last_words(steps: &[Step], history: &Compiler) -> Vec<Change> {
    let mut last: BTreeMap<String, Vec<Change>> = node_slots(first_nodes()).collect();
    for step in steps {
        let made = changes(step);
        let slot = match step {
            Step::ApplyPod(pod) | Step::DeletePod(pod) => {
                format!("pod {} {}", pod.namespace, pod.name())
            }
            Step::Attach(pod, _) | Step::Detach(pod) | Step::Admit(pod) => {
                format!("attachment {}", pod.attachment_key())
            }
            Step::ApplyPolicy(policy) => {
                let name = policy
                    .metadata
                    .name
                    .clone()
                    .expect("generated policies have a name");
                format!(
                    "policy {} {name}",
                    policy
                        .metadata
                        .namespace
                        .clone()
                        .expect("generated policies have a namespace")
                )
            }
            Step::DeletePolicy(n, name) => {
                format!("policy {} policy-{name}", world::NAMESPACES[*n])
            }
            Step::ApplyClusterPolicy(written) => {
                let name = written["metadata"]["name"].as_str();
                format!(
                    "cluster policy {}",
                    name.expect("generated policies have a name")
                )
            }
            Step::DeleteClusterPolicy(n) => format!("cluster policy cluster-{n}"),
            Step::ApplyNamespace(n, _) | Step::DeleteNamespace(n) => format!("namespace {n}"),
            Step::ApplyService(name, ..) | Step::DeleteService(name) => format!("service {name}"),
            Step::ApplySlice(n, _) | Step::DeleteSlice(n) => format!("slice {n}"),
            Step::ReapplyNodes(..) => {
                last.extend(node_slots(made));
                continue;
            }
            Step::DeleteNode(n) => {
                // What was observed of the node stays when its object goes.
                let slot = last.entry(format!("node {n}")).or_default();
                slot.retain(|change| matches!(change, Change::ObserveNode { .. }));
                continue;
            }
        };
        if matches!(step, Step::Admit(_)) {
            continue;
        }
        last.insert(slot, made);
    }
    let mut batch = Vec::new();
    for change in last.into_values().flatten() {
        batch.push(match change {
            Change::Attach(mut attachment) => {
                attachment.ready = history.is_open(&attachment.key);
                Change::Attach(attachment)
            }
            other => other,
        });
    }
    batch
}

fn first_nodes() -> Vec<Change> {
    world::nodes(world::V4, Family::V4)
}

fn node_slots(nodes: Vec<Change>) -> impl Iterator<Item = (String, Vec<Change>)> {
    let slots: Vec<_> = nodes
        .chunks(2)
        .map(<[Change]>::to_vec)
        .enumerate()
        .collect();
    slots
        .into_iter()
        .map(|(n, changes)| (format!("node {n}"), changes))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn incremental_equals_from_scratch_in_any_order(
        steps in prop::collection::vec(step(), 1..40),
        batch_size in 1..6usize,
        in_stages: bool,
    ) {
        let mut step_by_step = compiler();
        let mut cluster = Fed::default();
        let mut nodes: BTreeMap<String, Fed> = BTreeMap::new();
        let first = [first_nodes()];
        let batches = steps.chunks(batch_size).map(|c| c.iter().flat_map(changes).collect());
        for batch in first.into_iter().chain(batches) {
            let mut outputs = Vec::new();
            if in_stages {
                step_by_step.submit(batch);
                while step_by_step.has_stages() {
                    outputs.push(step_by_step.advance());
                }
            } else {
                outputs.push(step_by_step.apply(batch));
            }
            for output in outputs {
                cluster.feed(&output.cluster);
                for (node, delta) in output.early.iter().chain(&output.nodes) {
                    nodes.entry(node.clone()).or_default().feed(delta);
                }
            }
        }
        let expected = everything(&step_by_step);

        // Deltas add up to the state.
        let fed: BTreeSet<Flow> = cluster.flows.into_values().collect();
        prop_assert_eq!(&fed, &expected.0[""]);
        let groups: BTreeSet<Group> = cluster.groups.into_values().collect();
        prop_assert_eq!(&groups, &expected.1[""]);
        for (node, fed) in nodes {
            let flows: BTreeSet<Flow> = fed.flows.into_values().collect();
            prop_assert_eq!(&flows, &expected.0[&node]);
            let groups: BTreeSet<Group> = fed.groups.into_values().collect();
            prop_assert_eq!(&groups, &expected.1[&node]);
        }

        // No flow hides another.
        for flows in expected.0.values() {
            let keys: BTreeSet<_> = flows.iter().map(|f| (f.table, f.priority, &f.flow_match)).collect();
            prop_assert_eq!(keys.len(), flows.len(), "two flows of one match");
        }

        // A fresh compiler agrees, in either order.
        let mut batch = last_words(&steps, &step_by_step);
        for _ in 0..2 {
            let mut fresh = compiler();
            fresh.apply(batch.clone());
            let got = everything(&fresh);
            prop_assert_eq!(&got.1, &expected.1);
            for (layer, flows) in &expected.0 {
                let missing: Vec<_> = flows.difference(&got.0[layer]).collect();
                let extra: Vec<_> = got.0[layer].difference(flows).collect();
                prop_assert!(
                    missing.is_empty() && extra.is_empty(),
                    "layer {:?}: only incremental {:#?}, only fresh {:#?}", layer, missing, extra
                );
            }
            batch.reverse();
        }
    }
}
