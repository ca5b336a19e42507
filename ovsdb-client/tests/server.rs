// SPDX-License-Identifier: Apache-2.0
//! The client against a real ovsdb-server: transactions, waits, monitors, both ways of connecting.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "server/fixture.rs"]
mod fixture;
#[path = "server/replica.rs"]
mod replica;
#[path = "server/transactions.rs"]
mod transactions;

use std::time::Duration;

use ovsdb_client::{Client, Closed, Config, Error, MonitorRequest, Remote, RequestError};
use tokio::net::TcpListener;

use fixture::{DB, Server, create_bridge, select, soon};

#[tokio::test]
async fn a_server_that_dials_us_is_served_as_a_client() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = Server::start(&[format!("tcp:127.0.0.1:{port}")]).await;
    let (stream, _) = soon(listener.accept()).await.unwrap();
    stream.set_nodelay(true).unwrap();

    let client = Client::from_stream(stream, Config::default());
    create_bridge(&client, "br-int").await;
    let request = MonitorRequest::new().table("Bridge", ["name"]);
    let mut monitor = client.monitor(DB, request).await.unwrap();
    let names: Vec<_> = monitor
        .replica()
        .rows("Bridge")
        .map(|row| row.string("name").unwrap())
        .collect();
    assert_eq!(names, ["br-int"]);

    server.kill();
    let closed = soon(client.closed()).await;
    assert!(
        matches!(closed, Closed::ByServer | Closed::Io(_)),
        "{closed}"
    );
    assert!(matches!(
        soon(monitor.changed()).await,
        Err(Error::Closed(_))
    ));
    assert!(matches!(
        soon(client.schema(DB)).await,
        Err(Error::Closed(_))
    ));
}

#[tokio::test]
async fn a_server_is_reached_over_tcp() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let _server = Server::start(&[format!("ptcp:{port}:127.0.0.1")]).await;
    let remote = Remote::Tcp {
        host: "127.0.0.1".to_owned(),
        port,
    };
    // The server opens its sockets one by one; the unix socket does not wait for this one.
    let connected = async {
        loop {
            match Client::connect(&remote).await {
                Ok(client) => return client,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let client = soon(connected).await;
    create_bridge(&client, "br-int").await;
    assert_eq!(select(&client, "Bridge", &["name"]).await.len(), 1);
}

#[tokio::test]
async fn a_missing_server_is_named_in_the_error() {
    let error = Client::connect(&Remote::Unix("/nonexistent/db.sock".into()))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot connect to unix:/nonexistent/db.sock: ")
    );
}

#[tokio::test]
async fn an_unknown_database_or_column_fails_the_request_and_not_the_connection() {
    let server = Server::start(&[]).await;
    let client = server.client().await;

    let error = client.schema("nosuch").await.unwrap_err();
    assert!(matches!(
        &error,
        Error::Request(RequestError::Refused {
            method: "get_schema",
            ..
        })
    ));
    let error = client
        .transact("nosuch", Default::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("unknown database"), "{error}");
    let request = MonitorRequest::new().table("Bridge", ["nane"]);
    let error = client.monitor(DB, request).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("table Bridge of database Open_vSwitch (schema 8.")
            && error.to_string().ends_with("has no column nane"),
        "{error}"
    );
    assert_eq!(client.schema(DB).await.unwrap().name, DB);
}
