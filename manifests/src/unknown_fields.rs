// SPDX-License-Identifier: Apache-2.0
//! Finds fields of a manifest that its kind does not have: mostly typing errors.

use serde_json::Value;

/// Enough to see what is wrong, whatever a manifest holds.
const MAX_REPORTED: usize = 8;

/// Paths of fields in `written` that did not survive reading into the kind and writing it again.
pub(super) fn unknown_fields(written: &Value, understood: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(written, understood, &mut String::new(), &mut found);
    found
}

fn compare(written: &Value, understood: &Value, path: &mut String, found: &mut Vec<String>) {
    match (written, understood) {
        (Value::Object(written), Value::Object(understood)) => {
            for (key, value) in written {
                let length = path.len();
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
                match understood.get(key) {
                    Some(understood) => compare(value, understood, path, found),
                    None if says_nothing(value) => {}
                    None if found.len() < MAX_REPORTED => found.push(path.clone()),
                    None => {}
                }
                path.truncate(length);
            }
        }
        (Value::Array(written), Value::Array(understood)) => {
            for (index, (written, understood)) in written.iter().zip(understood).enumerate() {
                let length = path.len();
                path.push_str(&format!("[{index}]"));
                compare(written, understood, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// `null` and empty collections may be left out when a kind is written again.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
