// SPDX-License-Identifier: Apache-2.0
//! Every flow keeps the promises of its table, and costs nothing where it has no business.

use std::collections::BTreeMap;
use std::sync::Arc;

use flow_sim::tables::overlap;
use openflow_codec::{Action, Cookie, Field, Flow, Instruction, MatchField};
use policy_compiler::model::{Families, Family};
use policy_compiler::pipeline::register::ct_state;
use policy_compiler::pipeline::{CookieKind, Table};
use policy_compiler::{Change, Compiler, Config, Object};
use proptest::prelude::*;

use crate::world;

fn check(flow: &Flow) {
    let table = Table::from_id(flow.table).expect("flows are in declared tables");
    let declared = table.declaration();
    assert_ne!(
        table,
        Table::Marker,
        "nobody but the session writes markers"
    );
    for field in flow.flow_match.fields() {
        let MatchField::Known { field, .. } = field else {
            panic!("{field:?} is unknown")
        };
        assert!(
            declared.matches.contains(&whole(field)),
            "{} matches {field:?}",
            declared.name
        );
    }
    let goes_to = |id| {
        let next = Table::from_id(id).expect("flows lead to declared tables");
        assert!(
            declared.next.contains(&next),
            "{} leads to {next:?}",
            declared.name
        );
    };
    for instruction in &flow.instructions {
        match instruction {
            Instruction::GotoTable(next) => goes_to(*next),
            Instruction::ApplyActions(actions) => {
                for action in actions {
                    match action {
                        Action::SetField { field, .. } => {
                            assert!(declared.writes.contains(field), "{table:?} sets {field:?}");
                        }
                        Action::CopyField { dst, .. } => {
                            assert!(declared.writes.contains(&dst.field), "{table:?} {dst:?}");
                        }
                        Action::Ct(ct) => ct.table.into_iter().for_each(goes_to),
                        // A table that asks another one is searched again.
                        Action::Resubmit { table, .. } if *table == flow.table => {}
                        Action::Resubmit { table, .. } => goes_to(*table),
                        _ => {}
                    }
                }
            }
            other => panic!("{other:?} is not an instruction of this pipeline"),
        }
    }
}

/// No packet may find two flows of a table and priority that differ in what they do: OVS would take
/// either. Which bits conntrack sets together is not the same on every datapath.
fn one_flow_at_most<'a>(flows: impl Iterator<Item = &'a Arc<Flow>>) -> Result<(), TestCaseError> {
    let mut places: BTreeMap<_, Vec<&Arc<Flow>>> = BTreeMap::new();
    for flow in flows {
        let others = places.entry((flow.table, flow.priority)).or_default();
        for other in others.iter() {
            let different = other.instructions != flow.instructions;
            let both = overlap(&other.flow_match, &flow.flow_match);
            let possible =
                both != Ok(false) && !is_impossible(conntrack_bits(other) | conntrack_bits(flow));
            prop_assert!(!different || !possible, "{other:?} or {flow:?}");
        }
        others.push(flow);
    }
    Ok(())
}

/// The bits of conntrack's state that a flow wants to be set.
fn conntrack_bits(flow: &Flow) -> u128 {
    let fields = flow.flow_match.fields();
    let bits = fields.filter_map(|field| match field {
        MatchField::Known {
            field: Field::CtState,
            value,
            mask,
        } => Some(value & mask.unwrap_or(u128::MAX)),
        _ => None,
    });
    bits.fold(0, |all, bits| all | bits)
}

/// A connection is new or established; what is invalid is neither (ovs-fields(7), `ct_state`).
fn is_impossible(bits: u128) -> bool {
    let states = [ct_state::NEW, ct_state::EST, ct_state::INV];
    states.iter().filter(|state| bits & **state != 0).count() > 1
}

/// Whether it is of a `ClusterNetworkPolicy`.
fn is_tiered(flow: &Flow) -> bool {
    let tiers = [
        Table::AdminEgress,
        Table::BaselineEgress,
        Table::AdminIngress,
        Table::BaselineIngress,
        Table::StagedAdminEgress,
        Table::StagedBaselineEgress,
        Table::StagedAdminIngress,
        Table::StagedBaselineIngress,
    ];
    tiers.iter().any(|table| table.id() == flow.table)
}

/// Matches on identities are stored as matches on the 32-bit registers they consist of.
fn whole(field: Field) -> Field {
    match field {
        Field::Reg4 | Field::Reg5 | Field::Reg6 | Field::Reg7 => Field::Xxreg1,
        Field::Reg8 | Field::Reg9 | Field::Reg10 | Field::Reg11 => Field::Xxreg2,
        other => other,
    }
}

fn compiler() -> Compiler {
    Compiler::new(&Config {
        cluster_secret: [9; 32],
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn flows_obey_their_tables_and_explain_themselves(
        pods in world::pods(Families::Both),
        policies in world::policies(),
        cluster_policies in world::cluster_policies(),
        labels in world::labels(),
    ) {
        let mut compiler = compiler();
        compiler.apply(world::nodes(Families::Both, Family::V6));
        let objects = pods.iter().map(|pod| Change::Apply(pod.object()));
        let plugged = pods.iter().map(|pod| Change::Attach(pod.attachment(true)));
        let policies = policies.into_iter();
        let policies = policies.map(|p| Change::Apply(Object::NetworkPolicy(Box::new(p))));
        let cluster_policies = cluster_policies.iter();
        let cluster_policies =
            cluster_policies.map(|written| Change::Apply(world::cluster_policy_object(written)));
        compiler.apply(objects.chain(plugged).chain(policies).chain(cluster_policies));
        compiler.apply([Change::Apply(world::service("front", &labels))]);
        for node in world::NODES {
            let flows = compiler.cluster_flows().chain(compiler.node_flows(node).unwrap());
            one_flow_at_most(flows)?;
        }
        let own = world::NODES.iter().flat_map(|node| compiler.node_flows(node).unwrap());
        for flow in compiler.cluster_flows().chain(own) {
            check(flow);
            let explained = compiler.explain(flow.cookie);
            prop_assert!(!explained.is_empty());
            for explanation in explained {
                prop_assert!(!explanation.causes.is_empty());
                let kind = CookieKind::of(flow.cookie);
                let nameless = explanation.causes.iter().all(|cause| cause.object.is_none());
                prop_assert_eq!(nameless, kind == Some(CookieKind::Pipeline), "{:?}", kind);
            }
        }
        prop_assert!(compiler.explain(Cookie(1)).is_empty());
        // Which of two policies of equal priority a switch asks first makes no difference.
        let mut places = BTreeMap::new();
        for flow in compiler.cluster_flows().filter(|flow| is_tiered(flow)) {
            let place = (flow.table, flow.priority);
            let instructions = places.entry(place).or_insert(&flow.instructions);
            prop_assert_eq!(*instructions, &flow.instructions, "{:?}", place);
        }
    }
}

#[test]
fn a_pod_with_known_labels_changes_nothing_but_its_own_node() {
    let labels = [("app".to_owned(), "a".to_owned())].into();
    let pod = |number, node| world::PodSpecimen {
        namespace: 0,
        number,
        node,
        labels: Clone::clone(&labels),
        http: None,
        families: world::V4,
    };
    let mut compiler = compiler();
    compiler.apply(world::nodes(world::V4, Family::V4));
    let selecting_all = world_policy_for(&labels);
    compiler.apply([
        Change::Apply(Object::NetworkPolicy(Box::new(selecting_all))),
        Change::Apply(pod(0, 0).object()),
        Change::Attach(pod(0, 0).attachment(true)),
    ]);
    let output = compiler.apply([
        Change::Apply(pod(1, 1).object()),
        Change::Attach(pod(1, 1).attachment(true)),
    ]);
    assert!(output.cluster.is_empty(), "{:?}", output.cluster);
    assert_eq!(output.nodes.keys().collect::<Vec<_>>(), [world::NODES[1]]);
}

fn world_policy_for(
    labels: &BTreeMap<String, String>,
) -> k8s_openapi::api::networking::v1::NetworkPolicy {
    use k8s_openapi::api::networking::v1::{
        NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicySpec,
    };
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
    let selector = LabelSelector {
        match_labels: Some(labels.clone()),
        match_expressions: None,
    };
    let peer = NetworkPolicyPeer {
        pod_selector: Some(selector.clone()),
        ..Default::default()
    };
    NetworkPolicy {
        metadata: ObjectMeta {
            namespace: Some(world::NAMESPACES[0].to_owned()),
            name: Some("same".to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: Some(vec![peer]),
                ports: None,
            }]),
            ..NetworkPolicySpec::default()
        }),
    }
}
