// SPDX-License-Identifier: Apache-2.0
//! Text: what is read can be written, and that can be read and is written the same again.
//!
//! Two values may have one spelling, as in OVS: an output to the controller and a `controller` action
//! that says nothing special are both `CONTROLLER:65535`.
//!
//! An input says in its first byte what the text is.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use openflow_codec::text::{Names, actions_from_str, instructions_from_str};
use openflow_codec::{Action, Flow, Group, Match};

use crate::memory::{Limit, limited};
use crate::{Seed, samples};

/// A word of text is 72 bytes and then a value of 80. Whatever is written has to be read again beside
/// them.
const LIMIT: Limit = Limit {
    largest: 16,
    in_use: 64,
    constant: 16_384,
};

/// Reads, writes and reads a text.
pub fn run(input: &[u8]) {
    let Some((kind, text)) = input.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let names = Names::default();
    limited(LIMIT, input.len(), || match kind {
        b'f' => check::<Flow>(text),
        b'm' => check::<Match>(text),
        b'g' => check::<Group>(text),
        b'a' => check::<Action>(text),
        b'A' => drop(actions_from_str(text, &names)),
        _ => drop(instructions_from_str(text, &names)),
    });
}

fn check<T: FromStr<Err: Debug> + Display>(text: &str) {
    let Ok(value) = text.parse::<T>() else {
        return;
    };
    let written = value.to_string();
    match written.parse::<T>() {
        Ok(again) => assert_eq!(again.to_string(), written),
        Err(error) => panic!("written as {written:?}, which is not read: {error:?}"),
    }
}

/// A text of every kind.
pub fn seeds() -> Vec<Seed> {
    let flows = samples::flows();
    let mut seeds: Vec<Seed> = flows
        .iter()
        .enumerate()
        .flat_map(|(number, flow)| {
            [
                (format!("flow_{number}"), format!("f{flow}")),
                (format!("match_{number}"), format!("m{}", flow.flow_match)),
            ]
        })
        .map(|(name, text)| (name, text.into_bytes()))
        .collect();
    for (number, group) in samples::groups().iter().enumerate() {
        seeds.push((format!("group_{number}"), format!("g{group}").into_bytes()));
    }
    for (number, action) in samples::actions().iter().enumerate() {
        seeds.push((
            format!("action_{number}"),
            format!("a{action}").into_bytes(),
        ));
    }
    for (name, text) in [
        (
            "actions",
            "Aset_field:1->reg0,ct(commit,zone=1,nat(src=10.0.0.1-10.0.0.9:1-9)),drop",
        ),
        (
            "instructions",
            "iclear_actions,write_metadata:0x1/0xff,goto_table:7",
        ),
        ("flags_without_names", "mct_state=0x10/0x800000993"),
        (
            "method_with_commas",
            "ggroup_id=5,type=select,selection_method(commit,table=3),bucket=actions=drop",
        ),
        (
            "add_flow",
            "ftable=1,priority=5,ip,nw_src=10.0.0.0/8,idle_timeout=3 actions=NORMAL",
        ),
    ] {
        seeds.push((name.into(), text.into()));
    }
    seeds
}
