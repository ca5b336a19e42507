// SPDX-License-Identifier: Apache-2.0
//! Matches: canonical whatever the order of their fields was.
//!
//! An input is a byte (whether the switch has a TLV table) and the fields of an `ofp_match`.

use openflow_codec::message::flow_mod::FlowMod;
use openflow_codec::{Context, Field, Frame, Match, Message, Xid};

use crate::memory::{Limit, limited};
use crate::{Seed, samples};

/// Decodes the fields and builds the same match in other ways.
pub fn run(input: &[u8]) {
    let Some((&mapped, fields)) = input.split_first() else {
        return;
    };
    let context = match mapped & 1 {
        0 => Context::UNMAPPED,
        _ => samples::context(),
    };
    if fields.len() > 60_000 {
        return;
    }
    let bytes = flow_mod_with(fields);
    let decoded = limited(Limit::DECODER, bytes.len(), || {
        Message::decode(&Frame::from_bytes(&bytes).expect("a frame"), &context)
    });
    let Ok(Message::FlowMod(FlowMod { flow, .. })) = decoded else {
        return;
    };
    let decoded = flow.flow_match;
    let fields: Vec<_> = decoded.fields().collect();
    let backwards = fields.into_iter().rev().fold(Match::any(), Match::insert);
    assert_eq!(backwards, decoded, "another order makes another match");
    for field in Field::all() {
        let said = decoded.fields().any(|one| {
            matches!(one, openflow_codec::MatchField::Known { field: one, .. } if one == field)
        });
        assert!(!said || decoded.field(field).is_some(), "{field:?} is lost");
    }
    // Text cannot say everything that bytes can, but it can be written and read.
    drop(decoded.to_string().parse::<Match>());
}

/// A flow_mod whose match has these fields.
fn flow_mod_with(fields: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Message::FlowMod(FlowMod::delete_by_cookie(openflow_codec::Cookie(1)))
        .encode(Xid(1), &Context::UNMAPPED, &mut bytes)
        .expect("a small message");
    // In the place of the empty match at its end.
    bytes.truncate(bytes.len() - 8);
    let length = fields.len() as u16 + 4;
    bytes.extend([0, 1]);
    bytes.extend(length.to_be_bytes());
    bytes.extend(fields);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let length = bytes.len() as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// Each field with all bits set, with and without a mask.
pub fn seeds() -> Vec<Seed> {
    const MATCH: usize = 48;
    let encoded = |flow_match: Match| {
        let mut bytes = Vec::new();
        let flow = openflow_codec::Flow {
            flow_match,
            ..samples::drop_all()
        };
        flow.encode_add(Xid(1), &samples::context(), &mut bytes)
            .expect("a small flow");
        let length = usize::from(u16::from_be_bytes([bytes[MATCH + 2], bytes[MATCH + 3]]));
        let fields = &bytes[MATCH + 4..MATCH + length];
        [&[1], fields].concat()
    };
    let exact = Field::all().map(|field| (field, Match::any().with(field, u128::MAX)));
    let masked = Field::all()
        .filter(|field| field.info().maskable)
        .map(|field| (field, Match::any().with_masked(field, 5u8, 7u8)));
    let mut seeds: Vec<Seed> = Vec::new();
    for (kind, matches) in [
        ("exact", exact.collect::<Vec<_>>()),
        ("masked", masked.collect()),
    ] {
        for (part, matches) in matches.chunks(12).enumerate() {
            let together: Vec<u8> = matches
                .iter()
                .flat_map(|(_, flow_match)| encoded(flow_match.clone()).split_off(1))
                .collect();
            seeds.push((
                format!("{kind}_{part}"),
                [&[1], together.as_slice()].concat(),
            ));
        }
    }
    seeds.push(("pipeline".into(), encoded(samples::flow().flow_match)));
    seeds
}
