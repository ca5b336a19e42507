// SPDX-License-Identifier: Apache-2.0
//! Conversations with the session, in text: what it sends, what it reports.

use std::time::Duration;

use super::*;

const UUID: &str = "00000000-0000-0000-0000-000000000007";

/// A session, a clock that stands still, and the server's side of the conversation.
struct Conversation {
    session: Session,
    now: Instant,
}

impl Conversation {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        Self {
            session: Session::new(&config, now),
            now,
        }
    }

    /// What the session has sent since the last call.
    fn sent(&mut self) -> Vec<Value> {
        let bytes = self.session.poll_transmit().unwrap_or_default();
        let messages = serde_json::Deserializer::from_slice(&bytes).into_iter();
        messages.collect::<Result<_, _>>().unwrap()
    }

    fn receive(&mut self, message: &Value) {
        self.session
            .handle_bytes(self.now, message.to_string().as_bytes())
            .unwrap();
    }

    /// Answers a `monitor` of column `name` and `ports` of `Bridge` with one row, `br-int`.
    fn start_monitor(&mut self) -> RequestId {
        let request = MonitorRequest::new().table("Bridge", ["name", "ports"]);
        let id = self.session.monitor("D", request).unwrap();
        self.receive(&json!({"id": id.0, "result": schema(), "error": null}));
        let rows = json!({"Bridge": {UUID: {"initial": {"name": "br-int"}}}});
        self.receive(&json!({"id": id.0, "result": rows, "error": null}));
        let Some(Event::Monitoring { result, .. }) = self.session.poll_event() else {
            panic!("no initial replica")
        };
        assert_eq!(names(&result.unwrap()), ["br-int"]);
        self.sent();
        id
    }

    fn update(&mut self, id: RequestId, rows: &Value) {
        let params = json!([id.0, {"Bridge": rows}]);
        self.receive(&json!({"id": null, "method": "update2", "params": params}));
    }
}

fn schema() -> Value {
    let ports = json!({"key": {"type": "uuid"}, "min": 0, "max": "unlimited"});
    let columns = json!({"name": {"type": "string"}, "ports": {"type": ports}});
    json!({"name": "D", "version": "1.0.0", "tables": {"Bridge": {"columns": columns}}})
}

fn names(replica: &Replica) -> Vec<&str> {
    replica
        .rows("Bridge")
        .map(|row| row.string("name").unwrap())
        .collect()
}

#[test]
fn an_echo_request_is_answered_with_its_own_parameters() {
    let mut conversation = Conversation::new(Config::default());
    conversation.receive(&json!({"id": "echo", "method": "echo", "params": [1, "a"]}));
    assert_eq!(
        conversation.sent(),
        [json!({"id": "echo", "result": [1, "a"], "error": null})]
    );
}

#[test]
fn what_is_unknown_does_not_end_the_connection() {
    let mut conversation = Conversation::new(Config::default());
    for message in [
        json!({"id": 77, "result": [], "error": null}),
        json!({"id": "x", "result": null, "error": "what?"}),
        json!({"id": null, "method": "update3", "params": [1, {}]}),
        json!({"id": null, "method": "update2", "params": [1, {}]}),
        json!({"id": null, "method": "update2", "params": []}),
        json!({"id": null, "method": "stolen", "params": ["lock"]}),
    ] {
        conversation.receive(&message);
        assert_eq!(conversation.sent(), [] as [Value; 0]);
        assert_eq!(conversation.session.poll_event(), None);
    }
    conversation.receive(&json!({"id": 5, "method": "list_dbs", "params": []}));
    assert_eq!(
        conversation.sent(),
        [json!({"id": 5, "result": null, "error": "unknown method"})]
    );
}

#[test]
fn replies_out_of_order_reach_their_requests() {
    let mut conversation = Conversation::new(Config::default());
    let mut wait = Transaction::new();
    wait.comment("slow");
    let slow = conversation.session.transact("D", &wait).unwrap();
    let fast = conversation
        .session
        .transact("D", &Transaction::new())
        .unwrap();
    assert_eq!(
        conversation.sent(),
        [
            json!({"id": slow.0, "method": "transact",
                   "params": ["D", {"op": "comment", "comment": "slow"}]}),
            json!({"id": fast.0, "method": "transact", "params": ["D"]}),
        ]
    );
    conversation.receive(&json!({"id": fast.0, "result": [], "error": null}));
    conversation.receive(&json!({"id": slow.0, "error": {"error": "not allowed"}}));
    let Some(Event::Transacted {
        id,
        result: Ok(Outcome::Committed(_)),
    }) = conversation.session.poll_event()
    else {
        panic!("the fast one is not committed")
    };
    assert_eq!(id, fast);
    let error = "not allowed".to_owned();
    let result = Err(RequestError::Refused {
        method: "transact",
        error,
    });
    assert_eq!(
        conversation.session.poll_event(),
        Some(Event::Transacted { id: slow, result })
    );
}

#[test]
fn open_requests_are_limited_and_a_reply_makes_room() {
    let mut conversation = Conversation::new(Config {
        max_requests: 2,
        ..Config::default()
    });
    conversation.start_monitor();
    let open = conversation
        .session
        .transact("D", &Transaction::new())
        .unwrap();
    let refused = conversation.session.transact("D", &Transaction::new());
    assert_eq!(refused, Err(RequestError::TooMany(2)));
    conversation.receive(&json!({"id": open.0, "result": [], "error": null}));
    assert!(
        conversation
            .session
            .transact("D", &Transaction::new())
            .is_ok()
    );
}

#[test]
fn a_silent_server_is_asked_once_and_then_given_up() {
    let interval = Duration::from_secs(5);
    let config = Config {
        probe_interval: Some(interval),
        ..Config::default()
    };
    let mut conversation = Conversation::new(config);
    let start = conversation.now;
    assert_eq!(conversation.session.poll_timeout(), Some(start + interval));
    assert_eq!(
        conversation.session.handle_timeout(start + interval / 2),
        Ok(())
    );
    assert_eq!(conversation.sent(), [] as [Value; 0]);

    conversation
        .session
        .handle_timeout(start + interval)
        .unwrap();
    let probe = json!({"id": "echo", "method": "echo", "params": []});
    assert_eq!(conversation.sent(), std::slice::from_ref(&probe));
    conversation.now = start + interval + interval / 2;
    conversation.receive(&json!({"id": "echo", "result": [], "error": null}));

    let quiet = conversation.now + interval;
    assert_eq!(conversation.session.poll_timeout(), Some(quiet));
    conversation.session.handle_timeout(quiet).unwrap();
    assert_eq!(conversation.sent(), [probe]);
    let end = conversation.session.handle_timeout(quiet + interval);
    assert_eq!(end, Err(SessionError::Silent));
}

#[test]
fn a_sleeping_machine_gives_its_server_a_full_interval_to_answer() {
    let interval = Duration::from_secs(5);
    let config = Config {
        probe_interval: Some(interval),
        ..Config::default()
    };
    let mut conversation = Conversation::new(config);
    let woken = conversation.now + interval * 1000;
    assert_eq!(conversation.session.handle_timeout(woken), Ok(()));
    assert_eq!(conversation.session.poll_timeout(), Some(woken + interval));
}

#[test]
fn a_schema_is_fetched_once() {
    let mut conversation = Conversation::new(Config::default());
    conversation.start_monitor();
    let id = conversation.session.schema("D").unwrap();
    assert_eq!(conversation.sent(), [] as [Value; 0]);
    let Some(Event::Schema {
        id: answered,
        result: Ok(schema),
    }) = conversation.session.poll_event()
    else {
        panic!("no schema")
    };
    assert_eq!((answered, schema.version.as_str()), (id, "1.0.0"));
}

#[test]
fn one_update_is_one_event_with_old_and_new_rows() {
    let mut conversation = Conversation::new(Config::default());
    let id = conversation.start_monitor();
    let other = "00000000-0000-0000-0000-000000000008";
    let renamed = json!({"modify": {"name": "br-ext"}});
    conversation.update(id, &json!({UUID: renamed, other: {"insert": {}}}));
    let Some(Event::Changed { changes, .. }) = conversation.session.poll_event() else {
        panic!("no change")
    };
    let name = |row: &Option<Arc<crate::row::Row>>| {
        row.as_ref()
            .map(|row| row.string("name").unwrap().to_owned())
    };
    let seen: Vec<_> = changes
        .iter()
        .map(|change| (name(&change.old), name(&change.new)))
        .collect();
    let text = |name: &str| Some(name.to_owned());
    assert_eq!(seen, [(text("br-int"), text("br-ext")), (None, text(""))]);
    assert_eq!(conversation.session.poll_event(), None);
}

#[test]
fn an_update_that_makes_no_sense_ends_its_monitor_only() {
    for rows in [
        json!({"00000000-0000-0000-0000-000000000009": {"modify": {}}}),
        json!({UUID: {"insert": {"name": "again"}}}),
        json!({UUID: {"modify": {"name": 5}}}),
        json!({UUID: {"modify": {"name": null}}}),
        json!({UUID: {"modify": {}, "delete": null}}),
        json!({UUID: {}}),
        json!({"no uuid": {"delete": null}}),
        json!([]),
    ] {
        let mut conversation = Conversation::new(Config::default());
        let id = conversation.start_monitor();
        conversation.update(id, &rows);
        let event = conversation.session.poll_event();
        let ended = matches!(&event, Some(Event::MonitorEnded { id: ended, .. }) if *ended == id);
        assert!(ended, "{rows}: {event:?}");
        assert_eq!(conversation.sent()[0]["method"], "monitor_cancel");

        conversation.update(id, &json!({UUID: {"delete": null}}));
        assert_eq!(conversation.session.poll_event(), None);
        assert!(
            conversation
                .session
                .transact("D", &Transaction::new())
                .is_ok()
        );
    }
}

#[test]
fn a_cancelled_monitor_reports_no_more() {
    let mut conversation = Conversation::new(Config::default());
    let id = conversation.start_monitor();
    conversation.update(id, &json!({UUID: {"delete": null}}));
    conversation.session.cancel(id);
    assert_eq!(conversation.session.poll_event(), None);
    let sent = conversation.sent();
    assert_eq!(
        (&sent[0]["method"], &sent[0]["params"]),
        (&json!("monitor_cancel"), &json!([id.0]))
    );
}

#[test]
fn a_monitor_cancelled_before_its_reply_is_cancelled_on_the_server() {
    let mut conversation = Conversation::new(Config::default());
    conversation.start_monitor();
    let request = MonitorRequest::new().table("Bridge", ["name"]);
    let id = conversation.session.monitor("D", request).unwrap();
    conversation.session.cancel(id);
    conversation.sent();
    conversation.receive(&json!({"id": id.0, "result": {}, "error": null}));
    assert_eq!(conversation.session.poll_event(), None);
    assert_eq!(conversation.sent()[0]["method"], "monitor_cancel");
}

#[test]
fn a_cancelled_transaction_is_cancelled_on_the_server() {
    let mut conversation = Conversation::new(Config::default());
    let id = conversation
        .session
        .transact("D", &Transaction::new())
        .unwrap();
    conversation.session.cancel(id);
    let cancel = json!({"id": null, "method": "cancel", "params": [id.0]});
    assert_eq!(conversation.sent()[1], cancel);
    conversation.receive(&json!({"id": id.0, "result": null, "error": "canceled"}));
    assert_eq!(conversation.session.poll_event(), None);
}

#[test]
fn conditions_are_not_dropped_for_a_server_without_monitor_cond() {
    let mut conversation = Conversation::new(Config::default());
    conversation.start_monitor();
    let conditions = vec![crate::operation::Condition::equal("name", "br-int")];
    let bridge = crate::monitor::TableMonitor {
        columns: None,
        conditions,
    };
    let request = MonitorRequest::new().table_monitor("Bridge", bridge);
    let id = conversation.session.monitor("D", request).unwrap();
    conversation.receive(&json!({"id": id.0, "error": "unknown method"}));
    let error = "unknown method".to_owned();
    let result = Err(RequestError::Refused {
        method: "monitor_cond",
        error,
    });
    assert_eq!(
        conversation.session.poll_event(),
        Some(Event::Monitoring { id, result })
    );
}

#[test]
fn another_protocol_ends_the_connection() {
    let mut conversation = Conversation::new(Config::default());
    let hello = [0x06, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x01];
    let error = conversation
        .session
        .handle_bytes(conversation.now, &hello)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "byte 0 of the stream: expected a JSON object, found byte 0x06; is the peer an OVSDB server?"
    );
}
