// SPDX-License-Identifier: Apache-2.0
//! One module for each fuzz target: what it does with an input, and the inputs to start from.
//!
//! A panic is a finding, and so is memory out of proportion to the input ([`memory`]). `./run fuzz`
//! builds and runs all targets; `cargo run --bin seeds` writes `corpus/` anew.

pub mod memory;
pub mod of_frame;
pub mod of_match;
pub mod of_message;
pub mod of_text;
pub mod ovsdb_json;
mod samples;
pub mod session;
mod vectors;

/// An input to start from: file name and contents.
pub type Seed = (String, Vec<u8>);

/// The targets by name, each with the inputs to start from.
pub fn seeds() -> Vec<(&'static str, Vec<Seed>)> {
    vec![
        ("of_frame", of_frame::seeds()),
        ("of_match", of_match::seeds()),
        ("of_message", of_message::seeds()),
        ("of_text", of_text::seeds()),
        ("ovsdb_json", ovsdb_json::seeds()),
        ("session", session::seeds()),
    ]
}
