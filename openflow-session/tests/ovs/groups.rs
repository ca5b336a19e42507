// SPDX-License-Identifier: Apache-2.0
//! Groups of many buckets, which take several messages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openflow_codec::{Action, Field, GroupId, Match};
use openflow_session::{EncodedGroup, Generation, Layer, LayerState};

use crate::driver::Driver;
use crate::pipeline;
use crate::vswitchd::Vswitchd;

const GROUP: u32 = 9;
const BUCKETS: u32 = 5_000;
/// Connections that are traced.
const CONNECTIONS: u16 = 100;

/// Every packet goes to the group.
fn layer(group: Arc<EncodedGroup>) -> LayerState {
    let actions = vec![Action::Group(GroupId(GROUP))];
    let flow = pipeline::flow(
        pipeline::KIND_CLUSTER,
        pipeline::ENTRY,
        10,
        Match::any(),
        actions,
    );
    pipeline::layer([flow], [group])
}

/// The bucket that a connection gets, and what it writes to `reg1`.
fn bucket(switch: &Vswitchd, source: u16) -> (u32, String) {
    let trace = switch.trace(&format!(
        "in_port=1,tcp,nw_dst=10.0.0.1,tp_src={source},tp_dst=80"
    ));
    let (_, rest) = trace.split_once("-> using bucket ").expect("a bucket");
    let (number, rest) = rest.split_once('\n').expect("more lines");
    let (_, rest) = rest.split_once("set_field:").expect("the bucket's actions");
    let (value, _) = rest.split_once("->reg1").expect("reg1 is written");
    (number.trim().parse().expect("a number"), value.to_owned())
}

/// How many buckets vswitchd weighs; `ovs-ofctl` cannot read more than 4,092.
fn buckets(switch: &Vswitchd) -> usize {
    let trace = switch.trace("in_port=1,tcp,nw_dst=10.0.0.1");
    trace.matches(": score ").count()
}

#[test]
fn five_thousand_buckets_are_all_used_and_one_of_them_can_change() {
    let switch = Vswitchd::start();
    let group = pipeline::group(GROUP, BUCKETS);
    assert!(group.messages().len() > 1);
    let mut driver = Driver::connect(&switch, pipeline::config());
    driver.want(Layer::Cluster, layer(Arc::clone(&group)), 1);
    driver.want(Layer::Node, LayerState::default(), 1);
    driver.wait_acked();
    assert_eq!(driver.rejected, []);
    assert_eq!(buckets(&switch), BUCKETS as usize);

    let source_of: BTreeMap<u32, u16> = (1..=CONNECTIONS)
        .map(|source| (bucket(&switch, source).0, source))
        .collect();
    let eighths: BTreeSet<u32> = source_of.keys().map(|n| n * 8 / BUCKETS).collect();
    assert_eq!(eighths.len(), 8, "each part of the group gets connections");

    let (chosen, source) = source_of.first_key_value().expect("some bucket");
    let (other, source_of_other) = source_of.last_key_value().expect("some bucket");
    let mut changed = group.group().clone();
    let at = changed
        .buckets
        .iter_mut()
        .find(|bucket| bucket.id == *chosen);
    let actions = &mut at.expect("the bucket").actions;
    actions.remove(0);
    actions.insert(0, Action::set(Field::Reg1, 0xbeefu32));
    let changed = EncodedGroup::new(changed, &pipeline::context()).expect("as large as before");
    let wanted = layer(Arc::new(changed));
    driver.want(Layer::Cluster, wanted.clone(), 2);
    assert_eq!(driver.wait_acked(), Generation(2));
    assert_eq!(driver.rejected, []);
    assert_eq!(buckets(&switch), BUCKETS as usize);
    assert_eq!(bucket(&switch, *source), (*chosen, "0xbeef".to_owned()));
    assert_eq!(
        bucket(&switch, *source_of_other),
        (*other, format!("{other:#x}"))
    );

    let mut again = Driver::connect(&switch, pipeline::config());
    again.want(Layer::Cluster, wanted, 2);
    again.want(Layer::Node, LayerState::default(), 2);
    assert!(again.wait_reconciled().by_digest);
    again.audit();
    let clean = again.wait_reconciled();
    assert_eq!(
        (clean.groups_set, clean.groups_removed),
        (0, 0),
        "{clean:?}"
    );
    assert_eq!((again.sent.flow_mods, again.sent.group_mods), (0, 0));
}

#[test]
fn groups_of_the_node_layer_are_kept_like_those_of_the_cluster_layer() {
    let switch = Vswitchd::start();
    let own = layer(pipeline::group(GROUP, 2));
    let mut driver = Driver::connect(&switch, pipeline::config());
    driver.want(Layer::Cluster, LayerState::default(), 1);
    driver.want(Layer::Node, own.clone(), 1);
    driver.wait_acked();
    assert_eq!(driver.rejected, []);
    let held = || switch.ofctl(&["dump-groups", "br0"]);
    assert!(held().contains("reg1"));
    drop(driver);

    let mut again = Driver::connect(&switch, pipeline::config());
    again.want(Layer::Cluster, LayerState::default(), 2);
    again.want(Layer::Node, own, 2);
    assert!(again.wait_reconciled().by_digest);
    let tampered = format!("group_id={GROUP},type=select,bucket=weight:1,actions=drop");
    switch.ofctl(&["mod-group", "br0", &tampered]);
    assert!(!held().contains("reg1"));
    again.audit();
    let repaired = again.wait_reconciled();
    assert_eq!((repaired.groups_set, repaired.groups_removed), (1, 0));
    assert!(held().contains("reg1"));

    again.want(Layer::Node, LayerState::default(), 3);
    assert_eq!(again.wait_acked(), Generation(3));
    assert_eq!(again.rejected, []);
    assert!(!held().contains("group_id="));
}
