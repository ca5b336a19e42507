// SPDX-License-Identifier: Apache-2.0
//! The connection task on a stream in memory: how it ends, and that it is bounded.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

fn connected(config: Config) -> (Client, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1024);
    (Client::from_stream(ours, config), theirs)
}

/// Reads one message and answers it with `result`.
async fn answer(server: &mut DuplexStream, result: serde_json::Value) {
    let mut framer = crate::rpc::Framer::new(1 << 20);
    let mut buffer = [0; 1024];
    loop {
        let count = server.read(&mut buffer).await.unwrap();
        assert_ne!(count, 0, "the client has gone");
        let mut input = &buffer[..count];
        if let Some(frame) = framer.next_frame(&mut input).unwrap() {
            let request: serde_json::Value = serde_json::from_slice(&frame.bytes).unwrap();
            let id = &request["id"];
            let reply = serde_json::json!({"id": id, "result": result, "error": null});
            return server
                .write_all(reply.to_string().as_bytes())
                .await
                .unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_closes_the_stream() {
    let (client, mut server) = connected(Config::default());
    let schema = serde_json::json!({"tables": {}});
    let serving = async {
        answer(&mut server, schema).await;
        answer(&mut server, serde_json::json!({})).await;
    };
    let request = client.monitor("D", MonitorRequest::new());
    let (monitor, ()) = tokio::join!(request, serving);
    let monitor = monitor.unwrap();
    drop(client);

    let mut buffer = [0; 1024];
    let quiet = tokio::time::timeout(Duration::from_secs(5), server.read(&mut buffer)).await;
    assert!(quiet.is_err(), "the monitor holds the connection");
    drop(monitor);
    while server.read(&mut buffer).await.unwrap() > 0 {}
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up() {
    let interval = Duration::from_secs(5);
    let config = Config {
        probe_interval: Some(interval),
        ..Config::default()
    };
    let (client, _server) = connected(config);
    let start = tokio::time::Instant::now();
    let request = client.transact("D", Transaction::new()).await;
    assert!(matches!(
        request,
        Err(Error::Closed(Closed::Session(SessionError::Silent)))
    ));
    assert!(start.elapsed() >= interval * 2);
    assert!(matches!(
        client.closed().await,
        Closed::Session(SessionError::Silent)
    ));
}

#[tokio::test]
async fn a_server_that_leaves_fails_what_is_open_and_what_comes_later() {
    let (client, mut server) = connected(Config::default());
    let leave = async {
        server.read_u8().await.unwrap();
        drop(server);
    };
    let (open, ()) = tokio::join!(client.transact("D", Transaction::new()), leave);
    assert!(matches!(open, Err(Error::Closed(Closed::ByServer))));
    let later = client.transact("D", Transaction::new()).await;
    assert!(matches!(later, Err(Error::Closed(Closed::ByServer))));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_without_reading_answers_is_not_read_further() {
    let (client, mut server) = connected(Config {
        probe_interval: None,
        ..Config::default()
    });
    let echo = br#"{"id":0,"method":"echo","params":["0123456789012345678901234567890123456789"]}"#;
    let mut accepted = 0;
    while let Ok(written) =
        tokio::time::timeout(Duration::from_secs(60), server.write_all(echo)).await
    {
        written.unwrap();
        accepted += echo.len();
        assert!(accepted < 4 << 20, "answers nobody reads pile up");
    }
    // Even so, the last handle ends it.
    drop(client);
    let mut rest = Vec::new();
    server.read_to_end(&mut rest).await.unwrap();
}
