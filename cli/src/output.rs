// SPDX-License-Identifier: Apache-2.0
//! Answers of the API as text for people.

mod flows;
mod lists;
mod policies;
mod status;
mod verdict;

pub(crate) use flows::{explain, flows};
pub(crate) use lists::{nodes, pods, source};
pub(crate) use policies::{policies, policy_rules};
pub(crate) use status::status;
pub(crate) use verdict::verdict;

/// The word that the API uses for a state.
fn word(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "?".to_owned(),
    }
}
