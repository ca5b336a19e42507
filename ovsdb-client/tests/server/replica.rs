// SPDX-License-Identifier: Apache-2.0
//! Monitors of a real server: the replica equals `ovsdb-client dump` and is consistent throughout.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use ovsdb_client::rpc::{Framer, Message};
use ovsdb_client::session::{Event, Session};
use ovsdb_client::value::{Atom, Uuid};
use ovsdb_client::{
    Client, Condition, Config, Datum, MonitorRequest, Mutation, Replica, TableMonitor, Transaction,
};
use serde_json::json;

use crate::fixture::{DB, PATIENCE, Server, bump, create_bridge, soon};

const TABLES: [(&str, &[&str]); 4] = [
    (
        "Bridge",
        &[
            "name",
            "ports",
            "external_ids",
            "flood_vlans",
            "datapath_id",
        ],
    ),
    (
        "Interface",
        &["name", "ofport", "external_ids", "options", "mac_in_use"],
    ),
    ("Open_vSwitch", &["bridges", "next_cfg", "external_ids"]),
    (
        "Port",
        &["name", "interfaces", "tag", "trunks", "external_ids"],
    ),
];

#[tokio::test]
async fn a_replica_equals_the_dump_after_random_transactions() {
    let server = Server::start(&[]).await;
    let writer = server.client().await;
    create_bridge(&writer, "br-int").await;
    let reader = server.client().await;
    let mut monitor = reader.monitor(DB, request()).await.unwrap();
    let mut own = monitor.replica().clone();

    let writing = tokio::spawn(async move { mutate_randomly(&writer, 300).await });
    let mut batches = 0;
    while next_cfg(monitor.replica()) < 300 {
        for change in soon(monitor.changed()).await.unwrap() {
            assert_eq!(own.row(&change.table, change.uuid), change.old.as_ref());
            assert_ne!(change.old, change.new);
            own.apply(&change);
        }
        batches += 1;
        assert_eq!(&own, monitor.replica());
        assert_consistent(monitor.replica());
    }
    writing.await.unwrap();
    assert!(batches > 1);
    assert_equals_dump(&server, monitor.replica());
}

#[tokio::test]
async fn a_slow_reader_gets_the_difference_and_not_the_history() {
    let server = Server::start(&[]).await;
    let client = server.client().await;
    create_bridge(&client, "br-int").await;
    let mut monitor = client.monitor(DB, request()).await.unwrap();

    mutate_randomly(&client, 100).await;
    let mut batches = 0;
    while next_cfg(monitor.replica()) < 100 {
        soon(monitor.changed()).await.unwrap();
        batches += 1;
    }
    assert_eq!(batches, 2, "the first transaction, then all others at once");
    assert_equals_dump(&server, monitor.replica());
}

#[tokio::test]
async fn a_monitor_with_conditions_keeps_only_rows_that_fulfil_one() {
    let server = Server::start(&[]).await;
    let client = server.client().await;
    create_bridge(&client, "br-int").await;
    let bridges = TableMonitor {
        columns: Some(vec!["name".to_owned()]),
        conditions: vec![
            Condition::equal("name", "br-a"),
            Condition::equal("name", "br-b"),
        ],
    };
    let request = MonitorRequest::new().table_monitor("Bridge", bridges);
    let mut monitor = client.monitor(DB, request).await.unwrap();
    assert_eq!(monitor.replica().rows("Bridge").count(), 0);

    let mut add = Transaction::new();
    for name in ["br-a", "br-b", "br-c"] {
        let bridge = add.insert("Bridge", [("name", Datum::from(name))]);
        add.mutate("Open_vSwitch", [], [Mutation::insert("bridges", &bridge)]);
    }
    client.transact(DB, add).await.unwrap().committed().unwrap();
    let mut names: Vec<_> = soon(monitor.changed())
        .await
        .unwrap()
        .into_iter()
        .map(|change| change.new.unwrap().string("name").unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["br-a", "br-b"]);
}

/// The server here knows `monitor_cond`; its place is taken by an older one that does not.
#[tokio::test]
async fn a_server_without_monitor_cond_is_monitored_the_old_way() {
    let server = Server::start(&[]).await;
    let writer = server.client().await;
    create_bridge(&writer, "br-int").await;

    let socket = server.socket();
    let reading = tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut session = Session::new(&Config::default(), Instant::now());
        session.monitor(DB, request()).unwrap();
        let mut replica = Replica::default();
        let mut buffer = [0; 4096];
        while next_cfg(&replica) < 100 {
            while let Some(bytes) = session.poll_transmit() {
                forward_as_old_server(&bytes, &mut session, &mut stream);
            }
            let count = stream.read(&mut buffer).unwrap();
            assert_ne!(count, 0);
            session
                .handle_bytes(Instant::now(), &buffer[..count])
                .unwrap();
            while let Some(event) = session.poll_event() {
                match event {
                    Event::Monitoring { result, .. } => replica = result.unwrap(),
                    Event::Changed { changes, .. } => {
                        changes.iter().for_each(|change| replica.apply(change));
                        assert_consistent(&replica);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        replica
    });
    mutate_randomly(&writer, 100).await;
    assert_equals_dump(&server, &soon(reading).await.unwrap());
}

fn forward_as_old_server(bytes: &[u8], session: &mut Session, stream: &mut UnixStream) {
    let mut input = bytes;
    let mut framer = Framer::new(bytes.len());
    while let Some(frame) = framer.next_frame(&mut input).unwrap() {
        match Message::parse(&frame).unwrap() {
            Message::Request { id, method, .. } if method == "monitor_cond" => {
                let mut refusal = Vec::new();
                Message::Error {
                    id,
                    error: json!("unknown method"),
                }
                .write(&mut refusal);
                session.handle_bytes(Instant::now(), &refusal).unwrap();
            }
            _ => stream.write_all(&frame.bytes).unwrap(),
        }
    }
    if let Some(answer) = session.poll_transmit() {
        stream.write_all(&answer).unwrap();
    }
}

fn request() -> MonitorRequest {
    TABLES
        .into_iter()
        .fold(MonitorRequest::new(), |request, (table, columns)| {
            request.table(table, columns.iter().copied())
        })
}

fn next_cfg(replica: &Replica) -> i64 {
    replica
        .rows("Open_vSwitch")
        .next()
        .map_or(-1, |root| root.integer("next_cfg").unwrap())
}

/// Every port of a bridge and every interface of a port is there, and nothing else is.
fn assert_consistent(replica: &Replica) {
    for (parents, column, children) in [
        ("Bridge", "ports", "Port"),
        ("Port", "interfaces", "Interface"),
    ] {
        let mut referred: Vec<Uuid> = replica
            .rows(parents)
            .flat_map(|row| row.uuid_set(column).unwrap())
            .collect();
        referred.sort();
        let present: Vec<Uuid> = replica.rows(children).map(|row| row.uuid()).collect();
        assert_eq!(referred, present, "{parents}.{column}");
    }
}

fn assert_equals_dump(server: &Server, replica: &Replica) {
    for (table, columns) in TABLES {
        let ours: BTreeMap<_, _> = replica
            .rows(table)
            .map(|row| (row.uuid(), row.columns().clone()))
            .collect();
        assert_eq!(ours, server.dump(table, columns), "{table}");
        assert!(!ours.is_empty(), "{table}");
    }
}

/// Runs transactions that come, change and go in every kind of column, each counting `next_cfg`.
async fn mutate_randomly(client: &Client, count: usize) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut ports: Vec<(Uuid, Uuid)> = Vec::new();
    for step in 0..count {
        let mut transaction = Transaction::new();
        let mut added = None;
        let port = (!ports.is_empty()).then(|| ports[random.below(ports.len())]);
        match (random.below(10), port) {
            (0..=2, _) | (_, None) => added = Some(add_port(&mut transaction, step)),
            (3, Some((port, _))) => {
                ports.retain(|(other, _)| *other != port);
                transaction.mutate("Bridge", [], [Mutation::delete("ports", port)]);
            }
            (4, Some((port, _))) => {
                let trunks = Datum::set((0..random.below(4)).map(|_| random.number(9)));
                let mutation = match random.below(2) {
                    0 => Mutation::insert("trunks", trunks),
                    _ => Mutation::delete("trunks", trunks),
                };
                transaction.mutate("Port", [Condition::equal("_uuid", port)], [mutation]);
            }
            (5, Some((port, interface))) => {
                let tag = Datum::set((0..random.below(2)).map(|_| random.number(4095)));
                transaction.update("Port", [Condition::equal("_uuid", port)], [("tag", tag)]);
                let ofport = Datum::set((0..random.below(2)).map(|_| random.number(60000)));
                let by_uuid = [Condition::equal("_uuid", interface)];
                transaction.update("Interface", by_uuid, [("ofport", ofport)]);
            }
            (6 | 7, Some((_, interface))) => {
                let ids = Datum::map([(random.key(), random.key()), (random.key(), random.key())]);
                let by_uuid = [Condition::equal("_uuid", interface)];
                transaction.update("Interface", by_uuid, [("external_ids", ids)]);
            }
            (8, Some((_, interface))) => {
                let mutations = [
                    Mutation::delete("external_ids", Datum::set([random.key()])),
                    Mutation::insert("external_ids", Datum::map([(random.key(), random.key())])),
                    Mutation::insert("options", Datum::map([(random.key(), "\"\\\n\u{1F980}")])),
                ];
                let by_uuid = [Condition::equal("_uuid", interface)];
                transaction.mutate("Interface", by_uuid, mutations);
            }
            (_, Some(_)) => {
                let vlans = Datum::set((0..random.below(4)).map(|_| random.number(9)));
                transaction.update("Bridge", [], [("flood_vlans", vlans)]);
            }
        }
        bump(&mut transaction);
        let committed = client
            .transact(DB, transaction)
            .await
            .unwrap()
            .committed()
            .unwrap();
        if let Some((port, interface)) = added {
            ports.push((
                committed.uuid(&port).unwrap(),
                committed.uuid(&interface).unwrap(),
            ));
        }
    }
}

fn add_port(
    transaction: &mut Transaction,
    step: usize,
) -> (ovsdb_client::NamedUuid, ovsdb_client::NamedUuid) {
    let name = format!("veth{step}");
    let ids = Datum::map([("culvert-ip", format!("10.0.0.{step}"))]);
    let interface = transaction.insert(
        "Interface",
        [("name", Datum::from(&name)), ("external_ids", ids)],
    );
    let port = transaction.insert(
        "Port",
        [
            ("name", Datum::from(&name)),
            ("interfaces", Datum::from(&interface)),
        ],
    );
    transaction.mutate("Bridge", [], [Mutation::insert("ports", &port)]);
    (port, interface)
}

/// xorshift64: the same transactions in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    fn number(&mut self, limit: usize) -> Atom {
        Atom::Integer(i64::try_from(self.below(limit)).unwrap())
    }

    fn key(&mut self) -> &'static str {
        ["a", "b", "c", "d", ""][self.below(5)]
    }
}
