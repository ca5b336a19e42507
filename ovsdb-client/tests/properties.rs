// SPDX-License-Identifier: Apache-2.0
//! What holds for every value, every stream and every history.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use ovsdb_client::monitor::{Followed, UpdateFormat};
use ovsdb_client::schema::Schema;
use ovsdb_client::session::{Event, Session, SessionError};
use ovsdb_client::{
    Atom, ChangeSet, Config, Datum, MonitorRequest, Mutation, Real, Replica, Row, RowChange,
    Transaction, Uuid,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

proptest! {
    #[test]
    fn a_datum_survives_its_notation(datum in datum()) {
        let text = datum.to_json().to_string();
        let parsed: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(Datum::from_json(parsed), Ok(datum));
    }

    #[test]
    fn any_json_is_a_datum_or_an_error(value in any_json()) {
        if let Ok(datum) = Datum::from_json(value) {
            prop_assert_eq!(Datum::from_json(datum.to_json()), Ok(datum));
        }
    }

    #[test]
    fn random_bytes_end_a_session_or_are_ignored(bytes in vec(any::<u8>(), 0..300)) {
        drop(converse(&[&bytes]));
    }

    #[test]
    fn random_edits_of_a_conversation_never_panic(
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = conversation();
        for (at, byte) in edits {
            *at.get_mut(&mut bytes) = byte;
        }
        drop(converse(&[&bytes]));
    }

    #[test]
    fn any_json_may_stand_for_any_result(results in vec(any_json(), 4), update in any_json()) {
        let mut bytes = Vec::new();
        for (id, result) in (1..).zip(results) {
            bytes.extend(json!({"id": id, "result": result, "error": null}).to_string().bytes());
        }
        for method in ["update", "update2"] {
            let update = json!({"id": null, "method": method, "params": [3, update]});
            bytes.extend(update.to_string().bytes());
        }
        converse(&[&bytes]).unwrap();
    }

    #[test]
    fn any_json_may_stand_for_any_row(row in any_row_update()) {
        let update = json!([3, {"Bridge": {UUID: row}}]);
        let update = json!({"id": null, "method": "update2", "params": update}).to_string();
        converse(&[&conversation(), update.as_bytes()]).unwrap();
    }

    #[test]
    fn a_stream_means_the_same_however_it_is_cut(cuts in vec(any::<prop::sample::Index>(), 0..9)) {
        let bytes = conversation();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.sort_unstable();
        let mut parts = Vec::new();
        let mut rest = bytes.as_slice();
        for cut in cuts.into_iter().rev() {
            let (head, tail) = rest.split_at(cut);
            parts.insert(0, tail);
            rest = head;
        }
        parts.insert(0, rest);
        prop_assert_eq!(converse(&parts), converse(&[&bytes]));
    }

    #[test]
    fn a_difference_makes_the_new_row_of_the_old(old in columns(), new in columns()) {
        let schema = Schema::from_json(&schema()).unwrap();
        let request = MonitorRequest::new().table("Bridge", ["ids", "name", "ports", "tag"]);
        let followed = Followed::resolve(&request, &schema).unwrap();
        let uuid: Uuid = UUID.parse().unwrap();
        let mut replica = Replica::default();
        for update in [json!({"insert": row_json(&old)}), json!({"modify": difference(&old, &new)})] {
            let updates = json!({"Bridge": {UUID: update}});
            let changes = followed.changes(&replica, UpdateFormat::Update2, updates).unwrap();
            changes.iter().for_each(|change| replica.apply(change));
        }
        let row = replica.row("Bridge", uuid).unwrap();
        prop_assert_eq!(row.columns(), &new);
    }

    #[test]
    fn folded_changes_lead_to_the_same_state(steps in vec((0u128..4, 0i64..4), 0..30)) {
        let mut replica = Replica::default();
        replica.apply(&step(&replica, 0, 1));
        replica.apply(&step(&replica, 1, 1));
        let mut reader = replica.clone();
        let mut folded = ChangeSet::default();
        for (row, value) in steps {
            let change = step(&replica, row, value);
            replica.apply(&change);
            folded.fold(change);
        }
        let changes = folded.into_changes();
        for change in &changes {
            prop_assert_eq!(reader.row("T", change.uuid), change.old.as_ref());
            prop_assert_ne!(&change.old, &change.new);
            reader.apply(change);
        }
        prop_assert_eq!(reader, replica);
    }
}

#[test]
fn a_conversation_cut_short_at_any_byte_is_a_prefix_of_the_whole() {
    let bytes = conversation();
    let whole = converse(&[&bytes]).unwrap();
    assert_eq!(whole.len(), 5);
    for cut in 0..bytes.len() {
        let events = converse(&[&bytes[..cut]]).unwrap();
        assert_eq!(events, whole[..events.len()], "cut at {cut}");
        assert_eq!(
            converse(&[&bytes[..cut], &bytes[cut..]]).unwrap(),
            whole,
            "cut at {cut}"
        );
    }
}

const UUID: &str = "00000000-0000-0000-0000-000000000007";

/// Events of a session with a transaction (1), a schema (2) and a monitor (3) open.
fn converse(parts: &[&[u8]]) -> Result<Vec<Event>, SessionError> {
    let now = Instant::now();
    let mut session = Session::new(&Config::default(), now);
    let mut transaction = Transaction::new();
    let port = transaction.insert("Port", [("name", Datum::from("veth0"))]);
    transaction.mutate("Bridge", [], [Mutation::insert("ports", &port)]);
    transaction.select("Bridge", [], ["ports"]);
    session.transact("D", &transaction).unwrap();
    session.schema("D").unwrap();
    session
        .monitor(
            "D",
            MonitorRequest::new().table("Bridge", ["name", "ids", "ports", "tag"]),
        )
        .unwrap();
    for part in parts {
        session.handle_bytes(now, part)?;
    }
    Ok(std::iter::from_fn(|| session.poll_event()).collect())
}

/// What a server may say to these.
fn conversation() -> Vec<u8> {
    let rows = json!({"rows": [{"_uuid": ["uuid", UUID], "ports": ["set", []]}]});
    let row = json!({"name": "br-\"\\}int", "ids": ["map", [["a", "{"]]], "ports": ["uuid", UUID]});
    let change = json!({"modify": {"ids": ["map", [["a", "b"], ["c", "d"]]], "tag": 5}});
    let messages = [
        json!({"id": 2, "result": schema(), "error": null}),
        json!({"id": 1, "error": null, "result": [{"uuid": ["uuid", UUID]}, {"count": 1}, rows]}),
        json!({"id": "echo", "method": "echo", "params": []}),
        json!({"id": 3, "result": schema(), "error": null}),
        json!({"id": 3, "result": {"Bridge": {UUID: {"initial": row}}}, "error": null}),
        json!({"id": null, "method": "update2", "params": [3, {"Bridge": {UUID: change}}]}),
        json!({"id": null, "method": "update2", "params": [3, {"Bridge": {UUID: {"delete": null}}}]}),
    ];
    messages
        .iter()
        .flat_map(|message| message.to_string().into_bytes())
        .collect()
}

fn schema() -> Value {
    let text = json!({"type": "string"});
    let ids = json!({"key": "string", "value": "string", "min": 0, "max": "unlimited"});
    let ports = json!({"key": "uuid", "min": 0, "max": "unlimited"});
    let tag = json!({"key": {"type": "integer", "minInteger": 0}, "min": 0});
    let columns =
        json!({"name": text, "ids": {"type": ids}, "ports": {"type": ports}, "tag": {"type": tag}});
    json!({"name": "D", "version": "1.0.0", "tables": {"Bridge": {"columns": columns}}})
}

fn row_json(columns: &BTreeMap<Arc<str>, Datum>) -> Value {
    columns
        .iter()
        .map(|(name, datum)| (name.to_string(), datum.to_json()))
        .collect()
}

/// What a server sends for a change from `old` to `new`, written from the text of ovsdb-server(7):
/// element by element for sets and maps, the new value for all else.
fn difference(old: &BTreeMap<Arc<str>, Datum>, new: &BTreeMap<Arc<str>, Datum>) -> Value {
    let mut differences = serde_json::Map::new();
    for (name, new) in new {
        let old = &old[name];
        if old == new {
            continue;
        }
        let difference = match (name.as_ref(), old, new) {
            ("ports", Datum::Set(old), Datum::Set(new)) => {
                Datum::Set(old.symmetric_difference(new).cloned().collect())
            }
            ("ids", Datum::Map(old), Datum::Map(new)) => {
                let gone = old.iter().filter(|(key, _)| !new.contains_key(key));
                let come = new
                    .iter()
                    .filter(|(key, value)| old.get(key) != Some(value));
                Datum::Map(
                    gone.chain(come)
                        .map(|(k, v)| (k.clone(), v.clone()))
                        .collect(),
                )
            }
            _ => new.clone(),
        };
        differences.insert(name.to_string(), difference.to_json());
    }
    Value::Object(differences)
}

/// Row `row` gets `value`, or goes if that is zero.
fn step(replica: &Replica, row: u128, value: i64) -> RowChange {
    let (table, uuid): (Arc<str>, _) = (Arc::from("T"), Uuid::from_bits(row));
    let columns = BTreeMap::from([(Arc::from("value"), Datum::from(value))]);
    let new = (value != 0).then(|| Arc::new(Row::new(Arc::clone(&table), uuid, columns)));
    RowChange {
        old: replica.row("T", uuid).cloned(),
        table,
        uuid,
        new,
    }
}

fn columns() -> impl Strategy<Value = BTreeMap<Arc<str>, Datum>> {
    let ids = btree_map("[a-c]", "[a-b]?", 0..4).prop_map(Datum::map);
    let ports = btree_set(0u128..6, 0..5)
        .prop_map(|bits| Datum::set(bits.into_iter().map(Uuid::from_bits)));
    let tag = btree_set(0i64..3, 0..2).prop_map(Datum::set);
    ("[a-b]?", ids, ports, tag).prop_map(|(name, ids, ports, tag)| {
        let columns = [
            ("ids", ids),
            ("name", Datum::from(name)),
            ("ports", ports),
            ("tag", tag),
        ];
        columns
            .into_iter()
            .map(|(name, datum)| (Arc::from(name), datum))
            .collect()
    })
}

fn datum() -> impl Strategy<Value = Datum> {
    prop_oneof![
        btree_set(atom(), 0..5).prop_map(Datum::Set),
        btree_map(atom(), atom(), 0..5).prop_map(Datum::Map),
    ]
}

fn atom() -> impl Strategy<Value = Atom> {
    prop_oneof![
        any::<i64>().prop_map(Atom::Integer),
        any::<f64>()
            .prop_filter_map("finite", Real::new)
            .prop_map(Atom::Real),
        any::<bool>().prop_map(Atom::Boolean),
        any::<String>().prop_map(Atom::String),
        prop_oneof![Just("set"), Just("map"), Just("uuid")].prop_map(Atom::from),
        any::<u128>().prop_map(|bits| Atom::Uuid(Uuid::from_bits(bits))),
        "[a-z_][a-z0-9_]{0,8}".prop_map(Atom::NamedUuid),
    ]
}

/// JSON made of the words of the protocol, so that it is nearly right.
fn any_json() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "set",
        "map",
        "uuid",
        "named-uuid",
        UUID,
        "rows",
        "count",
        "error",
        "details",
        "tables",
        "columns",
        "type",
        "key",
        "value",
        "min",
        "max",
        "string",
        "unlimited",
        "Bridge",
        "name",
        "_uuid",
        "initial",
        "insert",
        "modify",
        "delete",
        "old",
        "new",
        "",
    ]);
    let word = words.clone().prop_map(Value::from);
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from)
    ];
    let leaf = prop_oneof![4 => word, 1 => number, 1 => Just(Value::Null), 1 => Just(json!(true))];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let member = (words.clone().prop_map(str::to_owned), inner.clone());
        prop_oneof![
            vec(inner, 0..5).prop_map(Value::Array),
            vec(member, 0..5).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn any_row_update() -> impl Strategy<Value = Value> {
    let columns = vec(
        (
            prop::sample::select(vec!["name", "ids", "ports", "tag", "x"]),
            any_json(),
        ),
        0..4,
    );
    (
        prop::sample::select(vec!["insert", "modify", "delete", "initial", "x"]),
        columns,
    )
        .prop_map(|(kind, columns)| {
            let columns: Value = columns
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            json!({kind: columns})
        })
}
