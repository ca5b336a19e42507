// SPDX-License-Identifier: Apache-2.0
//! A session against a real ovs-vswitchd with the dummy datapath.

mod chaos;
mod driver;
mod groups;
mod meters;
#[path = "../fixture/pipeline.rs"]
mod pipeline;
mod proxy;
mod roles;
mod vswitchd;

use std::collections::BTreeSet;
use std::sync::Arc;

use openflow_codec::action::{CtZone, NatKind};
use openflow_codec::{
    Action, Cookie, Ct, Field, GroupId, Match, Nat, PortNo, SelectionMethod, Subfield, TableId,
};
use openflow_session::{
    CloseReason, EntryId, Event, Generation, Layer, LayerState, Rejection, SwitchInfo, TlvMapping,
};

use driver::Driver;
use vswitchd::Vswitchd;

fn wanted_cookies(layers: &[&LayerState]) -> BTreeSet<Cookie> {
    let flows = layers.iter().flat_map(|layer| layer.flows().iter());
    flows.map(|(cookie, _)| cookie).collect()
}

fn our_cookies(switch: &Vswitchd) -> BTreeSet<Cookie> {
    let all = switch.cookies().into_iter();
    all.filter(|cookie| (0x10..=0x6f).contains(&(cookie.0 >> 56)))
        .collect()
}

#[test]
fn handshake_finds_the_switch_and_its_ports_and_names_tables() {
    let switch = Vswitchd::start();
    switch.vsctl(&[
        "add-port",
        "br0",
        "p1",
        "--",
        "set",
        "interface",
        "p1",
        "type=dummy",
    ]);
    let mut driver = Driver::connect(&switch, pipeline::config());
    let info: SwitchInfo = driver.wait_up();
    assert_eq!(info.manufacturer, "Nicira, Inc.");
    assert!(
        info.software.starts_with(char::is_numeric),
        "{}",
        info.software
    );
    let names: Vec<_> = info.ports.iter().map(|port| port.name.as_str()).collect();
    assert_eq!(names, ["p1", "br0"]);

    switch.vsctl(&[
        "add-port",
        "br0",
        "p2",
        "--",
        "set",
        "interface",
        "p2",
        "type=dummy",
    ]);
    let port = driver.wait(|event| match event {
        Event::PortStatus { port, .. } => Some(port.name.clone()),
        _ => None,
    });
    assert_eq!(port, "p2");
    assert!(
        switch
            .ofctl(&["dump-table-features", "br0"])
            .contains("table 50 (\"policy\")")
    );
    assert!(switch.ofctl(&["dump-tlv-map", "br0"]).contains("0xff51"));

    // A second connection finds the mapping and the names in place.
    let mut second = Driver::connect(&switch, pipeline::config());
    second.wait_up();
    assert_eq!(second.warnings, Vec::<String>::new());
}

#[test]
fn a_taken_tunnel_field_is_refused_with_a_reason() {
    let switch = Vswitchd::start();
    switch.ofctl(&[
        "add-tlv-map",
        "br0",
        "{class=0x102,type=0x80,len=4}->tun_metadata0",
    ]);
    let mut driver = Driver::connect(&switch, pipeline::config());
    let reason = driver.wait_closed();
    assert!(
        matches!(reason, CloseReason::TlvTaken { index: 0, .. }),
        "{reason}"
    );
}

#[test]
fn a_switch_without_our_version_is_refused_with_a_reason() {
    let switch = Vswitchd::start();
    switch.vsctl(&["set", "bridge", "br0", "protocols=OpenFlow13,OpenFlow14"]);
    let mut driver = Driver::connect(&switch, pipeline::config());
    let reason = driver.wait_closed();
    assert!(matches!(reason, CloseReason::Version { .. }), "{reason}");
}

#[test]
fn twenty_thousand_flows_are_synced_and_a_reconnect_sends_none() {
    let switch = Vswitchd::start();
    switch.ofctl(&[
        "add-flow",
        "br0",
        "table=9,cookie=0xff00000000000001,priority=7,actions=drop",
    ]);
    let cluster = pipeline::layer((0..20_000).map(pipeline::policy), [pipeline::group(7, 3)]);
    let node = pipeline::layer((1..100).map(pipeline::entry), []);

    let mut driver = Driver::connect(&switch, pipeline::config());
    driver.want(Layer::Cluster, cluster.clone(), 1);
    driver.want(Layer::Node, node.clone(), 2);
    let report = driver.wait_reconciled();
    assert!(!report.by_digest);
    assert_eq!((report.flows_added, report.groups_set), (20_099, 1));
    assert_eq!((report.flows_removed, report.foreign_flows), (0, 1));
    assert_eq!(driver.wait_acked(), Generation(2));
    assert_eq!(our_cookies(&switch), wanted_cookies(&[&cluster, &node]));
    assert!(driver.sent.flow_mods >= 20_099);

    let mut again = Driver::connect(&switch, pipeline::config());
    again.want(Layer::Cluster, cluster.clone(), 1);
    again.want(Layer::Node, node.clone(), 2);
    assert!(again.wait_reconciled().by_digest);
    assert_eq!(again.wait_acked(), Generation(2));
    assert_eq!((again.sent.flow_mods, again.sent.group_mods), (0, 0));
    assert_eq!(again.received.flows, 2, "only the markers were read");

    // One change is one flow and one marker.
    let mut smaller = cluster;
    smaller.remove_flow(pipeline::policy(17).cookie());
    again.want(Layer::Cluster, smaller.clone(), 3);
    assert_eq!(again.wait_acked(), Generation(3));
    assert_eq!(again.sent.flow_mods, 2);
    assert_eq!(our_cookies(&switch), wanted_cookies(&[&smaller, &node]));
}

#[test]
fn an_audit_repairs_exactly_what_was_changed_behind_our_back() {
    let switch = Vswitchd::start();
    let cluster = pipeline::layer((0..500).map(pipeline::policy), [pipeline::group(7, 3)]);
    let node = pipeline::layer((1..10).map(pipeline::entry), []);
    let mut driver = Driver::connect(&switch, pipeline::config());
    driver.want(Layer::Cluster, cluster.clone(), 1);
    driver.want(Layer::Node, node.clone(), 1);
    driver.wait_acked();

    driver.audit();
    let clean = driver.wait_reconciled();
    assert_eq!(
        (clean.flows_added, clean.flows_removed, clean.groups_set),
        (0, 0, 0)
    );

    switch.ofctl(&["del-flows", "br0", "table=50,tcp,tp_dst=17"]);
    let cookie = format!("0x{:x}", pipeline::policy(18).cookie().0);
    switch.ofctl(&[
        "mod-flows",
        "br0",
        &format!("cookie={cookie}/-1,table=50,tcp,actions=drop"),
    ]);
    switch.ofctl(&[
        "add-flow",
        "br0",
        &format!("table=51,cookie={cookie},actions=drop"),
    ]);
    switch.ofctl(&[
        "add-flow",
        "br0",
        "table=51,cookie=0x1000000000000001,priority=3,actions=drop",
    ]);
    switch.ofctl(&["mod-group", "br0", "group_id=7,type=select,bucket=output:9"]);
    switch.ofctl(&["add-group", "br0", "group_id=8,type=all,bucket=output:9"]);
    let sent = driver.sent.flow_mods;
    driver.audit();
    let report = driver.wait_reconciled();
    assert_eq!(
        (report.flows_added, report.flows_removed),
        (2, 2),
        "{report:?}"
    );
    assert_eq!(
        (report.groups_set, report.groups_removed),
        (1, 1),
        "{report:?}"
    );
    assert_eq!(driver.sent.flow_mods - sent, 4);
    assert_eq!(our_cookies(&switch), wanted_cookies(&[&cluster, &node]));
    assert!(
        !switch
            .ofctl(&["dump-flows", "br0", "table=51"])
            .contains("actions=")
    );

    driver.audit();
    let clean = driver.wait_reconciled();
    assert_eq!(
        (clean.flows_added, clean.flows_removed, clean.groups_set),
        (0, 0, 0)
    );
}

#[test]
fn a_restarted_vswitchd_is_replayed() {
    let mut switch = Vswitchd::start();
    let cluster = pipeline::layer((0..2_000).map(pipeline::policy), [pipeline::group(7, 3)]);
    let node = pipeline::layer((1..10).map(pipeline::entry), []);
    let mut driver = Driver::connect(&switch, pipeline::config());
    driver.want(Layer::Cluster, cluster.clone(), 1);
    driver.want(Layer::Node, node.clone(), 1);
    driver.wait_acked();

    switch.restart_vswitchd();
    driver.wait_disconnect();
    assert_eq!(our_cookies(&switch), BTreeSet::new());
    let mut driver = Driver::connect(&switch, pipeline::config());
    driver.want(Layer::Cluster, cluster.clone(), 1);
    driver.want(Layer::Node, node.clone(), 1);
    driver.wait_acked();
    assert_eq!(our_cookies(&switch), wanted_cookies(&[&cluster, &node]));
}

#[test]
fn groups_and_the_flows_that_use_them_come_and_go_in_one_change() {
    let switch = Vswitchd::start();
    let mut driver = Driver::connect(&switch, pipeline::config());
    let full = pipeline::layer(
        (0..50).map(|n| pipeline::to_group(n, 100 + n % 5)),
        (0..5).map(|n| pipeline::group(100 + n, 4)),
    );
    driver.want(Layer::Cluster, full.clone(), 1);
    driver.want(Layer::Node, LayerState::default(), 1);
    driver.wait_acked();
    assert_eq!(our_cookies(&switch), wanted_cookies(&[&full]));
    driver.want(Layer::Cluster, LayerState::default(), 2);
    driver.wait_acked();
    assert_eq!(our_cookies(&switch), BTreeSet::new());
    assert!(!switch.ofctl(&["dump-groups", "br0"]).contains("group_id="));
}

#[test]
fn a_refused_flow_is_named_and_left_out_and_the_rest_goes_on() {
    let switch = Vswitchd::start();
    let mut driver = Driver::connect(&switch, pipeline::config());
    let good = pipeline::layer((0..300).map(pipeline::policy), []);
    let mut wanted = good.clone();
    // Its group does not exist: refused when the bundle is committed.
    let orphan = pipeline::to_group(1, 999);
    wanted.insert_flow(Arc::clone(&orphan));
    // Table 254 is not ours to write: refused when it is added to the bundle.
    let forbidden = pipeline::flow(
        pipeline::KIND_CLUSTER,
        TableId(254),
        1,
        Match::any(),
        vec![],
    );
    wanted.insert_flow(Arc::clone(&forbidden));
    driver.want(Layer::Cluster, wanted.clone(), 1);
    driver.want(Layer::Node, LayerState::default(), 1);
    assert_eq!(driver.wait_acked(), Generation(1));
    let named: BTreeSet<_> = driver.rejected.iter().map(|r| r.entry).collect();
    assert_eq!(named.len(), 2, "{:?}", driver.rejected);
    let text = |rejection: &Rejection| (rejection.text.clone(), rejection.error.clone());
    let orphaned = driver
        .rejected
        .iter()
        .map(text)
        .find(|(text, _)| text.contains("group:999"));
    let (text, error) = orphaned.expect("the flow is named as ovs-ofctl spells it");
    assert!(text.contains("table=50"), "{text}");
    assert_eq!(error, "OFPBAC_BAD_OUT_GROUP");
    assert_eq!(our_cookies(&switch), wanted_cookies(&[&good]));

    // Nothing is tried again by an unrelated change.
    let sent = driver.sent.flow_mods;
    wanted.insert_flow(pipeline::policy(5_000));
    driver.want(Layer::Cluster, wanted.clone(), 2);
    assert_eq!(driver.wait_acked(), Generation(2));
    assert_eq!(driver.sent.flow_mods - sent, 2);
    assert_eq!(driver.rejected.len(), 2);

    // The markers tell the truth: a new connection does not believe that all is well.
    let mut again = Driver::connect(&switch, pipeline::config());
    again.want(Layer::Cluster, wanted.clone(), 2);
    again.want(Layer::Node, LayerState::default(), 2);
    assert!(!again.wait_reconciled().by_digest);
}

#[test]
fn an_existing_mapping_is_adopted() {
    let switch = Vswitchd::start();
    let TlvMapping { class, .. } = pipeline::TLV;
    switch.ofctl(&[
        "add-tlv-map",
        "br0",
        &format!("{{class={class:#x},type=1,len=12}}->tun_metadata0"),
    ]);
    let mut driver = Driver::connect(&switch, pipeline::config());
    driver.wait_up();
}

#[test]
fn a_dump_of_every_action_we_use_reads_as_it_was_written() {
    let switch = Vswitchd::start();
    let ct_out = Ct {
        commit: true,
        zone: CtZone::Immediate(0xc1),
        table: Some(TableId(60)),
        nat: Some(Nat {
            kind: Some(NatKind::Dst),
            addresses: Some(("10.0.0.1".parse().unwrap(), "10.0.0.1".parse().unwrap())),
            ports: Some((8080, 8080)),
            ..Nat::default()
        }),
        exec: vec![Action::set_masked(Field::CtMark, 1u8, 1u8)],
        ..Ct::default()
    };
    let ct_in = Ct {
        zone: CtZone::Immediate(0xc1),
        table: Some(TableId(60)),
        nat: Some(Nat::default()),
        ..Ct::default()
    };
    let whole = |field, bits| Subfield {
        field,
        offset: 0,
        bits,
    };
    let actions = vec![
        Action::set(Field::Reg0, 7u8),
        Action::set_masked(Field::Reg1, 1u8, 1u8),
        Action::set_masked(Field::Xxreg1, 0x1234u16, u128::from(u64::MAX)),
        Action::CopyField {
            src: whole(Field::TunMetadata0, 96),
            dst: whole(Field::Xxreg1, 96),
        },
        Action::set(Field::TunId, 0xc1u8),
        Action::set(Field::TunDst, 0xc0a8_0001u32),
        Action::set(Field::EthDst, 0x0a58_a9fe_0101u64),
        Action::DecNwTtl,
        Action::Ct(ct_out),
        Action::Ct(ct_in),
        Action::CtClear,
        Action::Resubmit {
            port: PortNo::IN_PORT,
            table: TableId(61),
            ct: false,
        },
        Action::OutputReg {
            src: whole(Field::Reg0, 32),
            max_len: 0,
        },
        Action::output(PortNo::IN_PORT),
        Action::Group(GroupId(7)),
    ];
    let ip = Match::any().with(Field::EthType, 0x0800u16);
    let arp = Match::any().with(Field::EthType, 0x0806u16);
    let matches = [
        ip.clone().with_masked(Field::CtState, 0x21u8, 0x23u8),
        ip.clone()
            .with_masked(Field::Ipv4Dst, 0x0a00_0000u32, 0xff00_0000u32),
        ip.clone()
            .with(Field::IpProto, 17u8)
            .with_masked(Field::UdpDst, 0x1000u16, 0xf000u16),
        ip.clone().with_masked(Field::Xxreg1, 5u8, u128::MAX >> 32),
        ip.clone()
            .with_masked(Field::TunMetadata0, 1u128 << 95, 1u128 << 95)
            .with(Field::TunId, 0xc1u8),
        ip.with_masked(Field::CtMark, 1u8, 1u8)
            .with(Field::Reg2, 9u8),
        arp.with(Field::ArpOp, 1u8)
            .with(Field::ArpTpa, 0xa9fe_0101u32),
        Match::any().with(Field::EthType, 0x86ddu16).with_masked(
            Field::Ipv6Dst,
            0xfe80u128 << 112,
            0xffc0u128 << 112,
        ),
        Match::any(),
    ];
    let kind = pipeline::KIND_CLUSTER;
    // `ct` and TTL need IP.
    let flows = matches.into_iter().enumerate().map(|(n, flow_match)| {
        let actions = if n < 6 { actions.clone() } else { Vec::new() };
        pipeline::flow(kind, pipeline::POLICY, 100 + n as u16, flow_match, actions)
    });
    let cluster = pipeline::layer(flows, [pipeline::group(7, 2)]);
    let mut driver = Driver::connect(&switch, pipeline::config());
    driver.want(Layer::Cluster, cluster, 1);
    driver.want(Layer::Node, LayerState::default(), 1);
    driver.wait_acked();
    assert_eq!(driver.rejected, []);
    driver.audit();
    let clean = driver.wait_reconciled();
    assert_eq!(
        (clean.flows_added, clean.flows_removed),
        (0, 0),
        "{clean:?}"
    );
}

#[test]
fn a_group_of_several_messages_is_complete_or_refused_by_name() {
    let switch = Vswitchd::start();
    let hash = SelectionMethod {
        method: "hash".to_owned(),
        param: 0,
        fields: vec![(Field::Ipv4Src, u128::from(u32::MAX))],
    };
    let hashed = pipeline::group_with(9, 3_000, Some(hash));
    assert!(hashed.messages().len() > 1);
    let small = pipeline::group(11, 3);
    let wanted = pipeline::layer([pipeline::to_group(1, 9)], [hashed, small]);
    let mut driver = Driver::connect(&switch, pipeline::config());
    driver.want(Layer::Cluster, wanted.clone(), 1);
    driver.want(Layer::Node, LayerState::default(), 1);
    driver.wait_acked();
    driver.audit();
    let clean = driver.wait_reconciled();
    assert_eq!((clean.groups_set, clean.flows_added), (0, 0), "{clean:?}");

    // Its own description would not fit in a message, so it is known by its number of buckets.
    switch.ofctl(&[
        "remove-buckets",
        "br0",
        "group_id=9,command_bucket_id=first",
    ]);
    switch.ofctl(&[
        "mod-group",
        "br0",
        "group_id=11,type=select,bucket=output:9",
    ]);
    driver.audit();
    let repaired = driver.wait_reconciled();
    assert_eq!(
        (
            repaired.groups_set,
            repaired.groups_removed,
            repaired.flows_added
        ),
        (2, 0, 0),
        "{repaired:?}"
    );
    driver.audit();
    assert_eq!(driver.wait_reconciled().groups_set, 0);

    let mut with_default = wanted;
    with_default.set_group(pipeline::large_group(10, 3));
    driver.want(Layer::Cluster, with_default, 2);
    driver.wait_acked();
    let refused = driver.rejected.iter().map(|r| r.entry).collect::<Vec<_>>();
    if switch.ofctl(&["--version"]).contains(" 3.1.") {
        assert_eq!(refused, [EntryId::Group(GroupId(10))]);
    } else {
        assert_eq!(refused, []);
    }

    let mut second = Driver::connect(&switch, pipeline::config());
    second.want(Layer::Cluster, LayerState::default(), 1);
    second.want(Layer::Node, LayerState::default(), 1);
    assert!(second.wait_reconciled().groups_removed >= 2);
    assert!(!switch.ofctl(&["dump-groups", "br0"]).contains("group_id="));
}
