// SPDX-License-Identifier: Apache-2.0
//! The JSON notation of atoms and data (RFC 7047 section 5.1).
//!
//! ```text
//! <atom>  = string | number | true | false | ["uuid", text] | ["named-uuid", name]
//! <value> = <atom> | ["set", [<atom>*]] | ["map", [[<atom>, <atom>]*]]
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Number, Value, json};

use crate::text::excerpt;
use crate::value::{Atom, Datum, Real, Uuid};

/// A JSON value that is not an OVSDB value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotationError {
    /// Where an atom must stand there is something else.
    #[error("expected an atom, found {0}")]
    NotAnAtom(String),
    /// A two-element array begins with a word RFC 7047 does not define.
    #[error("unknown notation {0}, expected set, map, uuid or named-uuid")]
    UnknownTag(String),
    /// The text after `"uuid"` is no UUID.
    #[error("{0} is not a UUID")]
    BadUuid(String),
    /// What follows `"set"` is not an array, or what follows `"map"` is not an array of pairs.
    #[error("malformed {tag}: {found}")]
    BadContainer {
        /// `set` or `map`.
        tag: &'static str,
        /// The beginning of what stands there.
        found: String,
    },
    /// A map has two entries with this key.
    #[error("two entries of a map have the key {0}")]
    DuplicateKey(String),
}

impl Datum {
    /// Reads the notation; a bare atom is a set of one element.
    pub fn from_json(value: Value) -> Result<Self, NotationError> {
        match tagged(value) {
            Notation::Tagged("set", Value::Array(atoms)) => {
                let atoms = atoms.into_iter().map(Atom::from_json);
                Ok(Self::Set(atoms.collect::<Result<BTreeSet<_>, _>>()?))
            }
            Notation::Tagged("set", other) => bad_container("set", &other),
            Notation::Tagged("map", Value::Array(pairs)) => map_from_json(pairs),
            Notation::Tagged("map", other) => bad_container("map", &other),
            Notation::Tagged(tag, payload) => Ok(Self::from(tagged_atom(tag, &payload)?)),
            Notation::Plain(value) => Ok(Self::from(plain_atom(value)?)),
        }
    }

    /// Writes the notation; a set of one element is written as the bare atom, as OVS does.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Set(atoms) => match self.scalar() {
                Some(atom) => atom.to_json(),
                None => json!(["set", atoms.iter().map(Atom::to_json).collect::<Vec<_>>()]),
            },
            Self::Map(entries) => {
                let pairs = entries
                    .iter()
                    .map(|(key, value)| json!([key.to_json(), value.to_json()]));
                json!(["map", pairs.collect::<Vec<_>>()])
            }
        }
    }
}

impl Atom {
    /// Reads the notation of one atom. A number without fraction or exponent that fits 64 bits is
    /// an integer, as in OVS.
    pub fn from_json(value: Value) -> Result<Self, NotationError> {
        match tagged(value) {
            Notation::Tagged(tag, payload) => tagged_atom(tag, &payload),
            Notation::Plain(value) => plain_atom(value),
        }
    }

    /// Writes the notation of one atom.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Integer(value) => json!(value),
            Self::Real(value) => Number::from_f64(value.get()).map_or(Value::Null, Value::Number),
            Self::Boolean(value) => json!(value),
            Self::String(value) => json!(value),
            Self::Uuid(value) => json!(["uuid", value.to_string()]),
            Self::NamedUuid(name) => json!(["named-uuid", name]),
        }
    }
}

/// A JSON value, taken apart if it is an array of a known word and something.
enum Notation {
    Tagged(&'static str, Value),
    Plain(Value),
}

fn tagged(value: Value) -> Notation {
    let Value::Array(mut items) = value else {
        return Notation::Plain(value);
    };
    let tag = match items.as_slice() {
        [Value::String(tag), _] => ["set", "map", "uuid", "named-uuid"]
            .into_iter()
            .find(|known| known == tag),
        _ => None,
    };
    match (tag, items.pop()) {
        (Some(tag), Some(payload)) => Notation::Tagged(tag, payload),
        (_, popped) => {
            items.extend(popped);
            Notation::Plain(Value::Array(items))
        }
    }
}

fn tagged_atom(tag: &'static str, payload: &Value) -> Result<Atom, NotationError> {
    match (tag, payload) {
        ("uuid", Value::String(text)) => text
            .parse::<Uuid>()
            .map(Atom::Uuid)
            .map_err(|_| NotationError::BadUuid(excerpt(text))),
        ("uuid", other) => Err(NotationError::BadUuid(excerpt(&other.to_string()))),
        ("named-uuid", Value::String(name)) => Ok(Atom::NamedUuid(name.clone())),
        (tag, other) => Err(NotationError::NotAnAtom(excerpt(
            &json!([tag, other]).to_string(),
        ))),
    }
}

fn plain_atom(value: Value) -> Result<Atom, NotationError> {
    match value {
        Value::String(text) => Ok(Atom::String(text)),
        Value::Bool(value) => Ok(Atom::Boolean(value)),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Ok(Atom::Integer(integer)),
            None => number
                .as_f64()
                .and_then(Real::new)
                .map(Atom::Real)
                .ok_or_else(|| NotationError::NotAnAtom(excerpt(&number.to_string()))),
        },
        Value::Array(items) => match items.as_slice() {
            [Value::String(tag), _] => Err(NotationError::UnknownTag(excerpt(tag))),
            _ => Err(NotationError::NotAnAtom("an array".to_owned())),
        },
        Value::Object(_) => Err(NotationError::NotAnAtom("an object".to_owned())),
        Value::Null => Err(NotationError::NotAnAtom("null".to_owned())),
    }
}

fn map_from_json(pairs: Vec<Value>) -> Result<Datum, NotationError> {
    let mut entries = BTreeMap::new();
    for pair in pairs {
        let Value::Array(pair) = pair else {
            return bad_container("map", &pair);
        };
        let [key, value] = match <[Value; 2]>::try_from(pair) {
            Ok(pair) => pair,
            Err(other) => return bad_container("map", &Value::Array(other)),
        };
        let (key, value) = (Atom::from_json(key)?, Atom::from_json(value)?);
        if entries.contains_key(&key) {
            return Err(NotationError::DuplicateKey(excerpt(
                &key.to_json().to_string(),
            )));
        }
        entries.insert(key, value);
    }
    Ok(Datum::Map(entries))
}

fn bad_container(tag: &'static str, found: &Value) -> Result<Datum, NotationError> {
    Err(NotationError::BadContainer {
        tag,
        found: excerpt(&found.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(notation: Value, datum: &Datum, canonical: &Value) {
        assert_eq!(Datum::from_json(notation).as_ref(), Ok(datum));
        assert_eq!(&datum.to_json(), canonical);
    }

    #[test]
    fn a_set_of_one_element_is_a_scalar() {
        for notation in [json!("br-int"), json!(["set", ["br-int"]])] {
            check(notation, &Datum::from("br-int"), &json!("br-int"));
        }
        let zero = "00000000-0000-0000-0000-000000000000";
        for notation in [json!(["uuid", zero]), json!(["set", [["uuid", zero]]])] {
            check(notation, &Datum::from(Uuid::ZERO), &json!(["uuid", zero]));
        }
        check(json!(["set", []]), &Datum::empty_set(), &json!(["set", []]));
        check(
            json!(["set", [2, 1]]),
            &Datum::set([1, 2]),
            &json!(["set", [1, 2]]),
        );
    }

    #[test]
    fn maps_and_sets_are_told_apart_even_if_empty() {
        check(json!(["map", []]), &Datum::empty_map(), &json!(["map", []]));
        let map = json!(["map", [["b", "2"], ["a", "1"]]]);
        let sorted = json!(["map", [["a", "1"], ["b", "2"]]]);
        check(map, &Datum::map([("a", "1"), ("b", "2")]), &sorted);
    }

    #[test]
    fn a_string_that_looks_like_a_word_of_the_notation_is_a_string() {
        check(json!("set"), &Datum::from("set"), &json!("set"));
        check(
            json!(["set", ["set", "map"]]),
            &Datum::set(["set", "map"]),
            &json!(["set", ["map", "set"]]),
        );
    }

    #[test]
    fn numbers_are_integers_if_they_fit() {
        check(json!(i64::MIN), &Datum::from(i64::MIN), &json!(i64::MIN));
        check(
            json!(1.5),
            &Datum::from(Real::new(1.5).unwrap()),
            &json!(1.5),
        );
        let beyond = Real::new(9_223_372_036_854_775_808.0).unwrap();
        assert_eq!(
            Atom::from_json(json!(i64::MAX as u64 + 1)),
            Ok(Atom::Real(beyond))
        );
    }

    #[test]
    fn what_is_no_value_is_refused_with_its_reason() {
        let zero = "00000000-0000-0000-0000-000000000000";
        for (notation, reason) in [
            (json!(null), "expected an atom, found null"),
            (json!({}), "expected an atom, found an object"),
            (json!([]), "expected an atom, found an array"),
            (
                json!(["bag", []]),
                "unknown notation bag, expected set, map, uuid or named-uuid",
            ),
            (json!(["uuid", "x"]), "x is not a UUID"),
            (json!(["set", 1]), "malformed set: 1"),
            (
                json!(["set", [["set", [1]]]]),
                r#"expected an atom, found ["set",[1]]"#,
            ),
            (json!(["map", [["k"]]]), r#"malformed map: ["k"]"#),
            (
                json!(["map", [["k", ["uuid", zero], 1]]]),
                "malformed map: [\"k\",[\"uuid\",\"",
            ),
            (
                json!(["map", [["k", 1], ["k", 2]]]),
                r#"two entries of a map have the key "k""#,
            ),
        ] {
            let error = Datum::from_json(notation).unwrap_err().to_string();
            assert!(error.starts_with(reason), "{error}");
        }
    }

    #[test]
    fn an_error_quotes_no_more_than_a_line() {
        let error = Datum::from_json(json!(["uuid", "é".repeat(100_000)])).unwrap_err();
        assert!(error.to_string().len() < 250);
    }
}
