// SPDX-License-Identifier: Apache-2.0
//! OVSDB: a stream of JSON from a server, read by parts and by a whole session.
//!
//! An input is a stream. The session it goes to has asked for a monitor (request 0) and a
//! transaction (request 1) before.

use std::time::Instant;

use ovsdb_client::rpc::{Frame, Framer, Message};
use ovsdb_client::schema::Schema;
use ovsdb_client::session::Session;
use ovsdb_client::{Config, Datum, MonitorRequest, Transaction};
use serde_json::{Value, json};

use crate::Seed;
use crate::memory::{Limit, limited};

/// A JSON value takes 32 bytes in memory and 2 in the stream, as in `[0,0,0]`; the array grows by
/// doubling, and for a moment the value exists as JSON and as what it means.
const LIMIT: Limit = Limit {
    largest: 64,
    in_use: 192,
    constant: 64 * 1024,
};
const CHUNK: usize = 61;

/// Reads the stream.
pub fn run(input: &[u8]) {
    let whole = frames(input.chunks(input.len().max(1)), input.len());
    let chunked = frames(input.chunks(CHUNK), input.len());
    assert_eq!(whole, chunked, "chunks make other messages");
    for frame in &whole.0 {
        limited(LIMIT, frame.bytes.len(), || check_message(frame));
    }
    limited(LIMIT, input.len(), || converse(input));
}

type Frames = (Vec<Frame>, bool);

/// The messages of a stream, and whether it went wrong after them.
fn frames<'a>(chunks: impl Iterator<Item = &'a [u8]>, length: usize) -> Frames {
    let mut framer = Framer::new(length);
    let mut frames = Vec::new();
    for mut chunk in chunks {
        loop {
            match framer.next_frame(&mut chunk) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}

fn check_message(frame: &Frame) {
    let Ok(message) = Message::parse(frame) else {
        return;
    };
    let mut written = Vec::new();
    message.clone().write(&mut written);
    let again = Message::parse(&Frame {
        offset: 0,
        bytes: written,
    });
    assert_eq!(again.as_ref(), Ok(&message), "it reads as another message");
    match message {
        Message::Request { params, .. } | Message::Notification { params, .. } => {
            params.into_iter().for_each(check_value);
        }
        Message::Result { result, .. } => {
            drop(Schema::from_json(&result));
            check_value(result);
        }
        Message::Error { .. } => {}
    }
}

/// The value, and every value in it, as a datum.
fn check_value(value: Value) {
    if let Ok(datum) = Datum::from_json(value.clone()) {
        let again = Datum::from_json(datum.to_json());
        assert_eq!(again.as_ref(), Ok(&datum), "it reads as another datum");
    }
    match value {
        Value::Array(items) => items.into_iter().for_each(check_value),
        Value::Object(members) => members.into_iter().for_each(|(_, item)| check_value(item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn converse(input: &[u8]) {
    let config = Config {
        max_message_bytes: 64 * 1024,
        ..Config::default()
    };
    let now = Instant::now();
    let mut session = Session::new(&config, now);
    let followed = MonitorRequest::new().table("Bridge", ["name", "ports", "external_ids"]);
    drop(session.monitor("D", followed));
    drop(session.transact("D", &transaction()));
    for chunk in input.chunks(CHUNK) {
        let result = session.handle_bytes(now, chunk);
        while let Some(event) = session.poll_event() {
            drop(format!("{event:?}"));
        }
        drop(session.poll_transmit());
        if result.is_err() {
            return;
        }
    }
}

fn transaction() -> Transaction {
    let mut transaction = Transaction::new();
    transaction.insert("Bridge", [("name", Datum::from("br-int"))]);
    transaction.comment("from fuzzing");
    transaction
}

/// Conversations, and the notations of values.
pub fn seeds() -> Vec<Seed> {
    const UUID: &str = "550e8400-e29b-41d4-a716-446655440000";
    let strings = json!({"key": "string", "value": "string", "min": 0, "max": "unlimited"});
    let uuids = json!({"key": {"type": "uuid", "refTable": "Port"}, "min": 0, "max": "unlimited"});
    let columns = json!({
        "name": {"type": "string"},
        "ports": {"type": uuids},
        "external_ids": {"type": strings},
    });
    let schema = json!({"id": 0, "error": null, "result":
        {"name": "D", "version": "1.0.0", "tables": {"Bridge": {"columns": columns}}}});
    let row = json!({"name": "br-int", "ports": ["set", [["uuid", UUID]]],
        "external_ids": ["map", [["a", "b"]]]});
    let initial = json!({"id": 0, "error": null, "result": {"Bridge": {UUID: {"initial": row}}}});
    let modify = json!({"id": null, "method": "update2", "params":
        [0, {"Bridge": {UUID: {"modify": {"ports": ["uuid", UUID]}}}}]});
    let delete = json!({"id": null, "method": "update2", "params":
        [0, {"Bridge": {UUID: {"delete": null}}}]});
    let update = json!({"id": null, "method": "update", "params":
        [0, {"Bridge": {UUID: {"old": row, "new": row}}}]});
    let committed = json!({"id": 1, "error": null, "result": [{"uuid": ["uuid", UUID]}, {}]});
    let refused = json!({"id": 1, "error": null, "result":
        [{"error": "constraint violation", "details": "no"}, null]});
    let error = json!({"id": 0, "error": "unknown method", "result": null});
    let echo = json!({"id": "echo", "method": "echo", "params": [1, 2.5, true, "\u{1f600}"]});
    let values = json!({"id": 9, "error": null, "result": [
        1, -1.5, 1e300, true, "text", ["uuid", UUID], ["named-uuid", "row1"], ["set", []],
        ["set", [1, 2]], ["map", [["k", 1], ["l", 2]]], ["map", []], ["set", [["uuid", UUID]]]]});
    let stream = |messages: &[&Value]| -> Vec<u8> {
        messages
            .iter()
            .flat_map(|message| message.to_string().into_bytes())
            .collect()
    };
    let seeds: [(&str, &[&Value]); 7] = [
        ("monitor", &[&schema, &initial, &modify, &modify, &delete]),
        ("update", &[&schema, &initial, &update]),
        ("monitor_with_error", &[&schema, &error, &schema]),
        ("committed", &[&committed]),
        ("refused", &[&refused]),
        ("echo", &[&echo, &echo]),
        ("values", &[&values]),
    ];
    seeds
        .into_iter()
        .map(|(name, messages)| (name.to_owned(), stream(messages)))
        .collect()
}
