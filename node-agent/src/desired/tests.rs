// SPDX-License-Identifier: Apache-2.0
//! Databases in, operations out.

use std::collections::BTreeMap;
use std::sync::Arc;

use ovsdb_client::{Remote, RowChange};
use serde_json::{Value, json};

use super::*;
use crate::config::Datapath;

const ROOT: u128 = 1;
const BRIDGE: u128 = 2;
const LOCAL_PORT: u128 = 3;
const LOCAL_INTERFACE: u128 = 4;
const TUNNEL_PORT: u128 = 5;
const TUNNEL_INTERFACE: u128 = 6;
const CONTROLLER: u128 = 7;
const MANAGER: u128 = 8;
const OTHER: u128 = 9;
const GATEWAY_PORT: u128 = 10;
const GATEWAY_INTERFACE: u128 = 11;

fn config() -> Config {
    Config {
        node_name: "node-1".to_owned(),
        bridge: "br-int".to_owned(),
        encap_ip: IpAddr::from([10, 98, 0, 11]),
        controllers: ["tcp:10.99.0.1:6653".to_owned()].into(),
        managers: ["tcp:10.99.0.1:6640".to_owned()].into(),
        datapath: Datapath::Netdev,
        underlay_mtu: None,
        not_masqueraded: Vec::new(),
        version: "0.1.0".to_owned(),
        ovsdb: Remote::Unix("/db.sock".into()),
        ovs_rundir: "/".into(),
    }
}

fn observed() -> Observed {
    Observed {
        underlay_mtu: Some(1500),
        resolved: BTreeSet::new(),
        restore_overdue: false,
    }
}

/// Rows by table and number, columns in OVSDB's notation.
type World = BTreeMap<(&'static str, u128), Value>;

fn uuid(bits: u128) -> Value {
    json!(["uuid", Uuid::from_bits(bits).to_string()])
}

fn map(entries: &[(&str, &str)]) -> Value {
    json!(["map", entries])
}

/// A database after `ovs-vsctl init`.
fn fresh() -> World {
    let root = json!({
        "bridges": ["set", []],
        "manager_options": ["set", []],
        "external_ids": map(&[("hostname", "node-1")]),
    });
    World::from([(("Open_vSwitch", ROOT), root)])
}

/// A database as [`config`] and [`observed`] want it.
fn settled() -> World {
    let connection = |target: &str, role: &str| {
        json!({
            "target": target,
            "inactivity_probe": 30000,
            "max_backoff": 1000,
            "external_ids": map(&[(ROLE, role)]),
        })
    };
    World::from([
        (
            ("Open_vSwitch", ROOT),
            json!({
                "bridges": uuid(BRIDGE),
                "manager_options": uuid(MANAGER),
                "external_ids": map(&[("culvert-node", "node-1"), ("hostname", "node-1")]),
            }),
        ),
        (
            ("Bridge", BRIDGE),
            json!({
                "name": "br-int",
                "ports": ["set", [uuid(LOCAL_PORT), uuid(TUNNEL_PORT), uuid(GATEWAY_PORT)]],
                "controller": uuid(CONTROLLER),
                "fail_mode": "secure",
                "protocols": "OpenFlow15",
                "datapath_type": "netdev",
                "other_config": map(&[("disable-in-band", "true"), ("mac-table-size", "9")]),
                "external_ids": map(&[
                    ("culvert-agent", "0.1.0"),
                    ("culvert-encap-ip", "10.98.0.11"),
                    ("culvert-mtu", "1434"),
                    ("culvert-pod-cidrs", "10.10.1.0/24"),
                ]),
            }),
        ),
        (
            ("Port", LOCAL_PORT),
            json!({"name": "br-int", "interfaces": uuid(LOCAL_INTERFACE)}),
        ),
        (
            ("Interface", LOCAL_INTERFACE),
            json!({"name": "br-int", "type": "internal", "options": map(&[]), "external_ids": map(&[])}),
        ),
        (
            ("Port", TUNNEL_PORT),
            json!({"name": TUNNEL, "interfaces": uuid(TUNNEL_INTERFACE)}),
        ),
        (
            ("Interface", TUNNEL_INTERFACE),
            json!({
                "name": TUNNEL,
                "type": "geneve",
                "options": map(&[
                    ("csum", "true"),
                    ("key", "flow"),
                    ("local_ip", "10.98.0.11"),
                    ("remote_ip", "flow"),
                ]),
                "external_ids": map(&[(ROLE, "tunnel")]),
            }),
        ),
        (
            ("Port", GATEWAY_PORT),
            json!({"name": GATEWAY, "interfaces": uuid(GATEWAY_INTERFACE)}),
        ),
        (
            ("Interface", GATEWAY_INTERFACE),
            json!({
                "name": GATEWAY,
                "type": "internal",
                "options": map(&[]),
                "mac": "0a:58:a9:fe:01:02",
                "mtu_request": 1434,
                "external_ids": map(&[(ROLE, "gateway")]),
            }),
        ),
        (
            ("Controller", CONTROLLER),
            connection("tcp:10.99.0.1:6653", "controller"),
        ),
        (
            ("Manager", MANAGER),
            connection("tcp:10.99.0.1:6640", "manager"),
        ),
    ])
}

/// Replaces one column.
fn set(world: &mut World, row: (&'static str, u128), column: &str, value: Value) {
    world.get_mut(&row).unwrap()[column] = value;
}

fn replica(world: &World) -> Replica {
    let mut replica = Replica::default();
    for ((table, bits), columns) in world {
        let (table, uuid) = (Arc::<str>::from(*table), Uuid::from_bits(*bits));
        let mut columns = columns.as_object().unwrap().clone();
        let unset: &[&str] = match &*table {
            "Open_vSwitch" => &["other_config"],
            "Interface" => &["ofport", "ofport_request"],
            _ => &[],
        };
        for column in unset {
            let empty = if *column == "other_config" {
                "map"
            } else {
                "set"
            };
            let value = columns.entry(*column);
            value.or_insert_with(|| json!([empty, []]));
        }
        let columns = columns.iter().map(|(name, value)| {
            (
                Arc::<str>::from(name.as_str()),
                Datum::from_json(value.clone()).unwrap(),
            )
        });
        let row = Arc::new(Row::new(Arc::clone(&table), uuid, columns.collect()));
        replica.apply(&RowChange {
            table,
            uuid,
            old: None,
            new: Some(row),
        });
    }
    replica
}

fn operations(config: &Config, observed: &Observed, world: &World) -> Vec<Value> {
    let plan = desired(config, observed, &replica(world)).unwrap();
    assert_eq!(
        plan.is_empty(),
        plan.changes.is_empty(),
        "{:?}",
        plan.changes
    );
    plan.transaction
        .operations()
        .iter()
        .map(ovsdb_client::Operation::to_json)
        .collect()
}

fn conditions(row: u128) -> Value {
    json!([["_uuid", "==", uuid(row)]])
}

#[test]
fn node_that_is_right_is_left_alone() {
    assert_eq!(
        operations(&config(), &observed(), &settled()),
        [Value::Null; 0]
    );
}

#[test]
fn fresh_node_gets_bridge_controller_and_ports_in_one_transaction() {
    let operations = operations(&config(), &observed(), &fresh());
    let inserts: BTreeMap<_, _> = operations
        .iter()
        .filter(|operation| operation["op"] == "insert")
        .map(|insert| {
            let name = insert["row"].get("name").unwrap_or(&Value::Null);
            (
                (
                    insert["table"].as_str().unwrap(),
                    name.as_str().unwrap_or_default(),
                ),
                insert,
            )
        })
        .collect();
    let named = |key| json!(["named-uuid", inserts[&key]["uuid-name"]]);
    let bridge = &inserts[&("Bridge", "br-int")]["row"];
    assert_eq!(bridge["fail_mode"], "secure");
    assert_eq!(bridge["protocols"], "OpenFlow15");
    assert_eq!(bridge["datapath_type"], "netdev");
    assert_eq!(bridge["other_config"], map(&[("disable-in-band", "true")]));
    assert_eq!(
        bridge["external_ids"],
        map(&[
            ("culvert-agent", "0.1.0"),
            ("culvert-encap-ip", "10.98.0.11"),
            ("culvert-mtu", "1434"),
        ])
    );
    assert_eq!(bridge["controller"], named(("Controller", "")));
    let ports = bridge["ports"][1].as_array().unwrap();
    for port in ["br-int", TUNNEL, GATEWAY] {
        assert!(ports.contains(&named(("Port", port))), "{port}");
    }
    let controller = &inserts[&("Controller", "")]["row"];
    assert_eq!(controller["target"], "tcp:10.99.0.1:6653");
    assert_eq!(controller["inactivity_probe"], 30000);
    assert_eq!(controller["max_backoff"], 1000);
    assert_eq!(
        inserts[&("Manager", "")]["row"]["target"],
        "tcp:10.99.0.1:6640"
    );
    let tunnel = &inserts[&("Interface", TUNNEL)]["row"];
    assert_eq!(tunnel["type"], "geneve");
    let gateway = &inserts[&("Interface", GATEWAY)]["row"];
    assert_eq!(gateway["type"], "internal");
    assert_eq!(gateway["mac"], "0a:58:a9:fe:01:02");
    assert_eq!(gateway["mtu_request"], 1434);
    let attached = json!({
        "op": "mutate",
        "table": "Open_vSwitch",
        "where": conditions(ROOT),
        "mutations": [["bridges", "insert", named(("Bridge", "br-int"))]],
    });
    assert_eq!(operations.last(), Some(&attached));
}

#[test]
fn one_wrong_key_is_corrected_alone() {
    let mut world = settled();
    let ids = map(&[
        ("culvert-agent", "0.0.9"),
        ("culvert-encap-ip", "10.98.0.11"),
        ("culvert-mtu", "1434"),
    ]);
    set(&mut world, ("Bridge", BRIDGE), "external_ids", ids);
    assert_eq!(
        operations(&config(), &observed(), &world),
        [json!({
            "op": "mutate",
            "table": "Bridge",
            "where": conditions(BRIDGE),
            "mutations": [
                ["external_ids", "delete", "culvert-agent"],
                ["external_ids", "insert", map(&[("culvert-agent", "0.1.0")])],
            ],
        })]
    );
}

#[test]
fn new_controller_address_replaces_the_old_one_in_one_mutation() {
    let mut config = config();
    config.controllers = ["tcp:10.99.0.2:6653".to_owned()].into();
    let operations = operations(&config, &observed(), &settled());
    let [insert, mutate] = operations.as_slice() else {
        panic!("{operations:?}")
    };
    assert_eq!(insert["row"]["target"], "tcp:10.99.0.2:6653");
    assert_eq!(
        mutate["mutations"],
        json!([
            ["controller", "delete", uuid(CONTROLLER)],
            ["controller", "insert", ["named-uuid", insert["uuid-name"]]],
        ])
    );
}

#[test]
fn second_controller_is_added_without_touching_the_first() {
    let mut config = config();
    config.controllers.insert("tcp:10.99.0.2:6653".to_owned());
    let operations = operations(&config, &observed(), &settled());
    let [insert, mutate] = operations.as_slice() else {
        panic!("{operations:?}")
    };
    assert_eq!(insert["table"], "Controller");
    let named = json!(["named-uuid", insert["uuid-name"]]);
    assert_eq!(
        mutate["mutations"],
        json!([["controller", "insert", named]])
    );
}

#[test]
fn wrong_probe_interval_is_corrected_in_place() {
    let mut world = settled();
    set(
        &mut world,
        ("Controller", CONTROLLER),
        "inactivity_probe",
        json!(["set", []]),
    );
    assert_eq!(
        operations(&config(), &observed(), &world),
        [json!({
            "op": "update",
            "table": "Controller",
            "where": conditions(CONTROLLER),
            "row": {"inactivity_probe": 30000},
        })]
    );
}

#[test]
fn managers_of_others_stay_and_old_ones_of_ours_go() {
    let mut world = settled();
    set(
        &mut world,
        ("Open_vSwitch", ROOT),
        "manager_options",
        json!(["set", [uuid(MANAGER), uuid(OTHER)]]),
    );
    let foreign = json!({
        "target": "ptcp:6640:127.0.0.1",
        "inactivity_probe": ["set", []],
        "max_backoff": ["set", []],
        "external_ids": map(&[]),
    });
    world.insert(("Manager", OTHER), foreign);
    assert_eq!(operations(&config(), &observed(), &world), [Value::Null; 0]);

    let mut config = config();
    config.managers = ["tcp:10.99.0.2:6640".to_owned()].into();
    let operations = operations(&config, &observed(), &world);
    let mutations = &operations.last().unwrap()["mutations"];
    assert_eq!(
        mutations[0],
        json!(["manager_options", "delete", uuid(MANAGER)])
    );
    assert_eq!(mutations.as_array().unwrap().len(), 2);
}

#[test]
fn bridge_made_by_someone_else_is_put_right_without_new_rows() {
    let mut world = settled();
    for (column, value) in [
        ("fail_mode", json!(["set", []])),
        ("protocols", json!(["set", ["OpenFlow10", "OpenFlow15"]])),
        ("datapath_type", json!("")),
    ] {
        set(&mut world, ("Bridge", BRIDGE), column, value);
    }
    assert_eq!(
        operations(&config(), &observed(), &world),
        [json!({
            "op": "update",
            "table": "Bridge",
            "where": conditions(BRIDGE),
            "row": {
                "fail_mode": "secure",
                "protocols": "OpenFlow15",
                "datapath_type": "netdev",
            },
        })]
    );
}

#[test]
fn empty_datapath_type_is_the_kernel_datapath() {
    let mut world = settled();
    set(&mut world, ("Bridge", BRIDGE), "datapath_type", json!(""));
    let config = Config {
        datapath: Datapath::System,
        ..config()
    };
    assert_eq!(operations(&config, &observed(), &world), [Value::Null; 0]);
}

#[test]
fn tunnel_with_another_endpoint_is_corrected_in_place() {
    let mut config = config();
    config.encap_ip = IpAddr::from([10, 98, 0, 99]);
    let operations = operations(&config, &observed(), &settled());
    let update = operations
        .iter()
        .find(|one| one["table"] == "Interface")
        .unwrap();
    assert_eq!(
        (&update["op"], &update["where"]),
        (&json!("update"), &conditions(TUNNEL_INTERFACE))
    );
    assert!(
        update["row"]["options"].to_string().contains("10.98.0.99"),
        "{update}"
    );
    assert!(
        operations.iter().all(|one| one["op"] != "insert"),
        "{operations:?}"
    );
}

#[test]
fn tunnel_on_another_bridge_is_moved() {
    let mut world = settled();
    let ports = json!(["set", [uuid(LOCAL_PORT), uuid(GATEWAY_PORT)]]);
    set(&mut world, ("Bridge", BRIDGE), "ports", ports);
    let mut other = world[&("Bridge", BRIDGE)].clone();
    other["name"] = json!("br-old");
    other["ports"] = uuid(TUNNEL_PORT);
    world.insert(("Bridge", OTHER), other);
    let mutation = |bridge: u128, mutator: &str| {
        json!({
            "op": "mutate",
            "table": "Bridge",
            "where": conditions(bridge),
            "mutations": [["ports", mutator, uuid(TUNNEL_PORT)]],
        })
    };
    assert_eq!(
        operations(&config(), &observed(), &world),
        [mutation(OTHER, "delete"), mutation(BRIDGE, "insert")]
    );
}

#[test]
fn resolved_peers_are_reported_once_the_controller_has_named_peers() {
    let mut world = settled();
    let peers = [IpAddr::from([10, 98, 0, 13]), IpAddr::from([10, 98, 0, 99])];
    let observed = Observed {
        resolved: peers.into(),
        ..observed()
    };
    assert_eq!(operations(&config(), &observed, &world), [Value::Null; 0]);

    let ids = &mut world.get_mut(&("Bridge", BRIDGE)).unwrap()["external_ids"][1];
    ids.as_array_mut()
        .unwrap()
        .push(json!(["culvert-peers", "10.98.0.12,10.98.0.13"]));
    let operations = operations(&config(), &observed, &world);
    let [mutate] = operations.as_slice() else {
        panic!("{operations:?}")
    };
    assert_eq!(
        mutate["mutations"][1],
        json!([
            "external_ids",
            "insert",
            map(&[("culvert-peers-resolved", "10.98.0.13")])
        ])
    );
}

#[test]
fn unknown_underlay_mtu_leaves_the_pods_mtu_as_it_is() {
    assert_eq!(
        operations(&config(), &Observed::default(), &settled()),
        [Value::Null; 0]
    );
}

#[test]
fn database_without_root_row_is_refused_with_the_cure() {
    let error = desired(&config(), &observed(), &Replica::default()).unwrap_err();
    assert!(
        error.to_string().contains("ovs-vsctl --no-wait init"),
        "{error}"
    );
}

#[test]
fn pods_of_an_ipv6_underlay_have_twenty_bytes_less() {
    let [v4, v6] = ["10.98.0.11", "2001:db8::11"].map(|text| text.parse().unwrap());
    assert_eq!(pod_mtu(1500, v4), 1434);
    assert_eq!(pod_mtu(1500, v6), 1414);
}

#[test]
fn every_port_asks_for_the_number_it_has() {
    let mut world = settled();
    let number = |world: &mut World, row, number: i64| {
        set(world, ("Interface", row), "ofport", json!(number));
    };
    number(&mut world, LOCAL_INTERFACE, 65534);
    number(&mut world, TUNNEL_INTERFACE, 7);
    number(&mut world, GATEWAY_INTERFACE, -1);
    assert_eq!(
        operations(&config(), &observed(), &world),
        [json!({
            "op": "update",
            "table": "Interface",
            "where": conditions(TUNNEL_INTERFACE),
            "row": {"ofport_request": 7},
        })]
    );

    let tunnel = ("Interface", TUNNEL_INTERFACE);
    set(&mut world, tunnel, "ofport_request", json!(9));
    assert_eq!(operations(&config(), &observed(), &world), [Value::Null; 0]);
}

#[test]
fn a_wait_for_a_restore_is_ended_when_it_is_overdue() {
    let mut world = settled();
    let root = ("Open_vSwitch", ROOT);
    let waiting = map(&[
        ("flow-restore-wait", "true"),
        ("n-revalidator-threads", "2"),
    ]);
    set(&mut world, root, "other_config", waiting);
    assert!(waits_for_restore(&replica(&world)).unwrap());
    assert_eq!(operations(&config(), &observed(), &world), [Value::Null; 0]);

    let overdue = Observed {
        restore_overdue: true,
        ..observed()
    };
    assert_eq!(
        operations(&config(), &overdue, &world),
        [json!({
            "op": "mutate",
            "table": "Open_vSwitch",
            "where": conditions(ROOT),
            "mutations": [["other_config", "delete", "flow-restore-wait"]],
        })]
    );
    assert_eq!(
        operations(&config(), &overdue, &settled()),
        [Value::Null; 0]
    );
}
