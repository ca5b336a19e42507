// SPDX-License-Identifier: Apache-2.0
//! Transactions on a real server: the outcome of each kind of operation, and of each failure.

use std::time::Duration;

use ovsdb_client::value::Atom;
use ovsdb_client::{
    Client, Condition, Config, Datum, Error, FailedAt, Mutation, NamedUuid, Operation,
    OperationIndex, Outcome, Remote, RequestError, Transaction, TransactionFailure, Until, Wait,
};

use crate::fixture::{DB, Server, bump, create_bridge, select, soon};

/// What CNI ADD does: one port whose address no other Interface of the node has.
struct AddPod {
    transaction: Transaction,
    interface: NamedUuid,
    attached: OperationIndex,
    next_cfg: OperationIndex,
}

impl AddPod {
    fn new(name: &str, ip: &str) -> Self {
        let mut transaction = Transaction::new();
        let address = Datum::map([("culvert-ip", ip)]);
        transaction.wait(Wait {
            table: "Interface".to_owned(),
            conditions: vec![Condition::includes("external_ids", address)],
            columns: vec!["name".to_owned()],
            until: Until::Equal,
            rows: Vec::new(),
            timeout: Some(Duration::ZERO),
        });
        let ids = [("culvert-ip", ip), ("iface-id", "default/web")];
        let interface = transaction.insert(
            "Interface",
            [
                ("name", Datum::from(name)),
                ("external_ids", Datum::map(ids)),
            ],
        );
        let port = transaction.insert(
            "Port",
            [
                ("name", Datum::from(name)),
                ("interfaces", Datum::from(&interface)),
            ],
        );
        let attached = transaction.mutate(
            "Bridge",
            [Condition::equal("name", "br-int")],
            [Mutation::insert("ports", &port)],
        );
        bump(&mut transaction);
        let next_cfg = transaction.select("Open_vSwitch", [], ["next_cfg"]);
        Self {
            transaction,
            interface,
            attached,
            next_cfg,
        }
    }

    async fn run(&self, client: &Client) -> Outcome {
        soon(client.transact(DB, self.transaction.clone()))
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn an_address_is_given_to_one_interface_only() {
    let server = Server::start(&[]).await;
    let client = server.client().await;
    create_bridge(&client, "br-int").await;

    let first = AddPod::new("veth1", "10.10.1.2");
    let committed = first.run(&client).await.committed().unwrap();
    assert_eq!(committed.count(first.attached), 1);
    assert_eq!(committed.rows(first.next_cfg)[0].integer("next_cfg"), Ok(1));
    let interface = committed.uuid(&first.interface).unwrap();

    let failure = AddPod::new("veth2", "10.10.1.2")
        .run(&client)
        .await
        .committed()
        .unwrap_err();
    assert!(failure.is_timed_out(), "{failure}");
    assert_eq!(failure.at, FailedAt::Operation(OperationIndex(0)));
    let interfaces = select(&client, "Interface", &["external_ids"]).await;
    assert_eq!(interfaces.len(), 1);
    assert_eq!(interfaces[0].uuid(), interface);
    assert_eq!(
        interfaces[0].map_value("external_ids", "culvert-ip"),
        Ok(Some("10.10.1.2"))
    );

    AddPod::new("veth2", "10.10.1.3")
        .run(&client)
        .await
        .committed()
        .unwrap();
    let bridges = select(&client, "Bridge", &["ports"]).await;
    assert_eq!(bridges[0].uuid_set("ports").unwrap().len(), 2);
    assert_eq!(
        select(&client, "Open_vSwitch", &["next_cfg"]).await[0].integer("next_cfg"),
        Ok(2)
    );
}

#[tokio::test]
async fn a_name_taken_fails_at_commit_and_nothing_is_inserted() {
    let server = Server::start(&[]).await;
    let client = server.client().await;
    create_bridge(&client, "br-int").await;
    AddPod::new("veth1", "10.10.1.2")
        .run(&client)
        .await
        .committed()
        .unwrap();

    let failure = AddPod::new("veth1", "10.10.1.3")
        .run(&client)
        .await
        .committed()
        .unwrap_err();
    assert_eq!(failure.at, FailedAt::Commit);
    assert!(failure.is_constraint_violation());
    let text = failure.to_string();
    assert!(
        text.starts_with("commit of the transaction failed: constraint violation: "),
        "{text}"
    );
    assert!(text.contains("veth1"), "{text}");
    assert_eq!(select(&client, "Interface", &["name"]).await.len(), 1);
}

#[tokio::test]
async fn a_failed_operation_is_named_by_its_index() {
    let server = Server::start(&[]).await;
    let client = server.client().await;
    create_bridge(&client, "br-int").await;

    let mut divide = Transaction::new();
    divide.comment("about to fail");
    divide.mutate("Open_vSwitch", [], [Mutation::divide("next_cfg", 0)]);
    divide.insert("Interface", [("name", Datum::from("veth1"))]);
    divide.delete("Bridge", []);
    let outcome = client.transact(DB, divide).await.unwrap();
    let Outcome::Failed(TransactionFailure { at, error, details }) = outcome else {
        panic!("committed")
    };
    assert_eq!(at, FailedAt::Operation(OperationIndex(1)));
    assert_eq!(error, "domain error");
    assert!(details.is_some());
    assert_eq!(select(&client, "Bridge", &["name"]).await.len(), 1);
}

#[tokio::test]
async fn every_operation_has_its_result() {
    let server = Server::start(&[]).await;
    let client = server.client().await;
    create_bridge(&client, "br-int").await;

    let mut change = Transaction::new();
    let by_name = || [Condition::equal("name", "br-int")];
    let updated = change.update(
        "Bridge",
        by_name(),
        [("external_ids", Datum::map([("a", "1"), ("b", "2")]))],
    );
    change.mutate(
        "Bridge",
        by_name(),
        [
            Mutation::delete("external_ids", Datum::set(["a"])),
            Mutation::insert("external_ids", Datum::map([("c", "3")])),
        ],
    );
    let read = change.push(Operation::Select {
        table: "Bridge".to_owned(),
        conditions: vec![Condition::excludes(
            "external_ids",
            Datum::map([("a", "1")]),
        )],
        columns: None,
    });
    let absent = change.delete("Bridge", [Condition::not_equal("name", "br-int")]);
    change.push(Operation::Commit { durable: false });
    let committed = client
        .transact(DB, change)
        .await
        .unwrap()
        .committed()
        .unwrap();
    assert_eq!(committed.count(updated), 1);
    assert_eq!(committed.count(absent), 0);
    let bridge = &committed.rows(read)[0];
    assert_eq!(
        bridge
            .map("external_ids")
            .unwrap()
            .into_iter()
            .collect::<Vec<_>>(),
        [("b", "2"), ("c", "3")]
    );
    assert_eq!(bridge.optional_string("fail_mode"), Ok(Some("secure")));
    assert_eq!(bridge.boolean("stp_enable"), Ok(false));

    let mut delete = Transaction::new();
    let deleted = delete.delete("Open_vSwitch", []);
    let committed = client
        .transact(DB, delete)
        .await
        .unwrap()
        .committed()
        .unwrap();
    assert_eq!(committed.count(deleted), 1);

    let mut abort = Transaction::new();
    abort.push(Operation::Abort);
    let failure = client
        .transact(DB, abort)
        .await
        .unwrap()
        .committed()
        .unwrap_err();
    assert_eq!(failure.error, "aborted");

    let mut assert = Transaction::new();
    assert.push(Operation::Assert("mine".to_owned()));
    let failure = client
        .transact(DB, assert)
        .await
        .unwrap()
        .committed()
        .unwrap_err();
    assert_eq!(failure.error, "not owner");
}

#[tokio::test]
async fn a_blocked_wait_does_not_hold_up_other_requests() {
    let server = Server::start(&[]).await;
    let client = server.client().await;
    create_bridge(&client, "br-int").await;
    let added = AddPod::new("veth1", "10.10.1.2");
    let committed = added.run(&client).await.committed().unwrap();
    let by_uuid = || {
        [Condition::equal(
            "_uuid",
            committed.uuid(&added.interface).unwrap(),
        )]
    };

    let mut until_port = Transaction::new();
    until_port.wait(Wait {
        table: "Interface".to_owned(),
        conditions: by_uuid().to_vec(),
        columns: vec!["ofport".to_owned()],
        until: Until::NotEqual,
        rows: vec![[("ofport".to_owned(), Datum::empty_set())].into()],
        timeout: None,
    });
    let ofport = until_port.select("Interface", by_uuid(), ["ofport"]);
    let blocked = client.transact(DB, until_port);
    tokio::pin!(blocked);

    let others = async {
        for _ in 0..10 {
            assert_eq!(select(&client, "Interface", &["name"]).await.len(), 1);
        }
    };
    tokio::select! {
        biased;
        outcome = &mut blocked => panic!("the wait was not blocked: {outcome:?}"),
        () = soon(others) => {}
    }

    let mut assign = Transaction::new();
    assign.update("Interface", by_uuid(), [("ofport", Datum::from(7))]);
    client
        .transact(DB, assign)
        .await
        .unwrap()
        .committed()
        .unwrap();
    let committed = soon(blocked).await.unwrap().committed().unwrap();
    assert_eq!(
        committed.rows(ofport)[0].optional_integer("ofport"),
        Ok(Some(7))
    );
}

#[tokio::test]
async fn a_transaction_nobody_waits_for_is_cancelled() {
    let server = Server::start(&[]).await;
    let config = Config {
        max_requests: 1,
        ..Config::default()
    };
    let client = Client::connect_with(&Remote::Unix(server.socket()), config)
        .await
        .unwrap();
    create_bridge(&client, "br-int").await;

    // Would remove every bridge as soon as one is called br-ext.
    let mut trap = Transaction::new();
    let by_name = || [Condition::equal("name", Atom::from("br-ext"))];
    trap.wait(Wait {
        table: "Bridge".to_owned(),
        conditions: by_name().to_vec(),
        columns: vec!["name".to_owned()],
        until: Until::NotEqual,
        rows: Vec::new(),
        timeout: None,
    });
    trap.update("Open_vSwitch", [], [("bridges", Datum::empty_set())]);
    {
        let blocked = client.transact(DB, trap);
        tokio::pin!(blocked);
        let refused = async {
            loop {
                match client.transact(DB, Transaction::new()).await {
                    Err(Error::Request(RequestError::TooMany(1))) => return,
                    other => drop(other.unwrap()),
                }
            }
        };
        tokio::select! {
            biased;
            outcome = &mut blocked => panic!("the wait was not blocked: {outcome:?}"),
            () = soon(refused) => {}
        }
    }

    let mut spring = Transaction::new();
    let bridge = spring.insert("Bridge", [("name", Datum::from("br-ext"))]);
    spring.mutate("Open_vSwitch", [], [Mutation::insert("bridges", &bridge)]);
    let sprung = async {
        loop {
            match client.transact(DB, spring.clone()).await {
                Err(Error::Request(RequestError::TooMany(1))) => tokio::task::yield_now().await,
                outcome => return outcome.unwrap().committed().unwrap(),
            }
        }
    };
    soon(sprung).await;
    assert_eq!(select(&client, "Bridge", &["name"]).await.len(), 2);
}
