// SPDX-License-Identifier: Apache-2.0
//! Messages full of the smallest elements: decoding them takes no more memory than fuzzing allows.

#[expect(unreachable_pub, reason = "the fuzz targets use it too")]
#[path = "../../fuzz/src/memory.rs"]
mod memory;

use openflow_codec::{Context, DecodeErrorKind, Frame, Message};

use crate::memory::{Limit, limited};

/// A message of this type and size, with `head` in front of as many elements as fit.
fn bomb(size: usize, kind: u8, head: &[u8], mut element: impl FnMut(usize) -> Vec<u8>) -> Vec<u8> {
    let mut message = vec![6, kind, 0, 0, 0, 0, 0, 1];
    message.extend(head);
    for number in 0.. {
        let next = element(number);
        if message.len() + next.len() > size {
            break;
        }
        message.extend(next);
    }
    let length = message.len().next_multiple_of(8);
    message.resize(length, 0);
    message[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    message
}

fn with_length(mut message: Vec<u8>, at: usize, from: usize) -> Vec<u8> {
    let length = (message.len() - from) as u16;
    message[at..at + 2].copy_from_slice(&length.to_be_bytes());
    message
}

fn reply(size: usize, kind: u8, element: &[u8]) -> Vec<u8> {
    bomb(size, 19, &[0, kind, 0, 0, 0, 0, 0, 0], |_| element.to_vec())
}

/// A flow_mod up to its match.
const FLOW_MOD: [u8; 40] = [0; 40];
const NO_MATCH: [u8; 8] = [0, 1, 0, 4, 0, 0, 0, 0];

fn actions(size: usize, element: &[u8]) -> Vec<u8> {
    let head = [FLOW_MOD.as_slice(), &NO_MATCH, &[0, 4, 0, 0, 0, 0, 0, 0]].concat();
    with_length(bomb(size, 14, &head, |_| element.to_vec()), 58, 56)
}

/// Match fields of a class that nobody has.
fn unknown_field(number: usize) -> [u8; 4] {
    let [high, low] = (0x2000 + (number / 128) as u16).to_be_bytes();
    [high, low, (number % 128) as u8 * 2, 0]
}

fn too_many_unknown_fields() -> Vec<u8> {
    let head = [FLOW_MOD.as_slice(), &[0, 1, 0, 0]].concat();
    let message = bomb(65_000, 14, &head, |number| unknown_field(number).to_vec());
    with_length(message, 50, 48)
}

/// The messages by name.
fn bombs(size: usize) -> Vec<(&'static str, Vec<u8>)> {
    let nested = |subtype: u8, head: usize| {
        // As deep as may be, with small actions at the bottom.
        let mut inner = [0, 24, 0, 8, 0, 0, 0, 0].repeat((size - 2048) / 8);
        for _ in 0..8 {
            let mut outer = vec![0xff, 0xff, 0, 0, 0, 0, 0x23, 0x20, 0, subtype];
            outer.resize(head, 0);
            outer.extend(&inner);
            inner = with_length(outer, 2, 0);
        }
        let head = [FLOW_MOD.as_slice(), &NO_MATCH, &[0, 4, 0, 0, 0, 0, 0, 0]].concat();
        let mut first = Some(inner);
        let message = bomb(size, 14, &head, |_| {
            first.take().unwrap_or_else(|| vec![0; size])
        });
        with_length(message, 58, 56)
    };
    let learn = {
        let mut specs = vec![0xff, 0xff, 0, 0, 0, 0, 0x23, 0x20, 0, 16];
        specs.resize(32, 0);
        while specs.len() < size - 1024 {
            // One bit of a number into a register.
            specs.extend([0x28, 1, 0, 1, 0, 1, 0, 4, 0, 0]);
        }
        specs.resize(specs.len().next_multiple_of(8), 0);
        let mut first = Some(with_length(specs, 2, 0));
        let head = [FLOW_MOD.as_slice(), &NO_MATCH, &[0, 4, 0, 0, 0, 0, 0, 0]].concat();
        let message = bomb(size, 14, &head, |_| {
            first.take().unwrap_or_else(|| vec![0; size])
        });
        with_length(message, 58, 56)
    };
    let mut group = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
    group[2] = 1;
    let buckets = bomb(size, 15, &group, |_| vec![0, 8, 0, 0, 0, 0, 0, 0]);
    let hashed_fields = {
        let mut property = vec![0xff, 0xff, 0, 0, 0, 0, 0x15, 0x4d, 0, 0, 0, 1];
        property.resize(40, 0);
        property.extend([0x80, 0, 0x14, 1, 6].repeat(size / 5 - 20));
        let property = with_length(property, 2, 0);
        let mut first = Some(property);
        bomb(size, 15, &group, |_| {
            first.take().unwrap_or_else(|| vec![0; size])
        })
    };
    let empty_flow = {
        let mut flow = vec![0; 24];
        flow.extend(NO_MATCH);
        // No counters.
        flow.extend([0, 0, 0, 4, 0, 0, 0, 0]);
        with_length(flow, 0, 0)
    };
    let unknown_flow = {
        let mut flow = vec![0; 24];
        flow.extend([0, 1, 1, 4]);
        flow.extend((0..64).flat_map(unknown_field));
        flow.extend([0, 0, 0, 0]);
        flow.extend([0, 0, 0, 4, 0, 0, 0, 0]);
        with_length(flow, 0, 0)
    };
    let update = {
        let mut update = vec![0; 24];
        update[3] = 1;
        update.extend(NO_MATCH);
        with_length(update, 0, 0)
    };
    let packet_in2 = bomb(size, 4, &[0, 0, 0x23, 0x20, 0, 0, 0, 30], |_| {
        vec![0x55, 0x55, 0, 4, 0, 0, 0, 0]
    });
    vec![
        ("small actions", actions(size, &[0, 24, 0, 8, 0, 0, 0, 0])),
        ("unknown actions", actions(size, &[0, 99, 0, 8, 0, 0, 0, 0])),
        ("unknown instructions", {
            let head = [FLOW_MOD.as_slice(), &NO_MATCH].concat();
            bomb(size, 14, &head, |_| vec![0, 99, 0, 8, 0, 0, 0, 0])
        }),
        ("empty lists of actions", {
            let head = [FLOW_MOD.as_slice(), &NO_MATCH].concat();
            bomb(size, 14, &head, |_| vec![0, 4, 0, 8, 0, 0, 0, 0])
        }),
        ("actions in clones", nested(42, 16)),
        ("actions in ct", nested(35, 24)),
        ("learned fields", learn),
        ("hashed fields", hashed_fields),
        ("empty buckets", with_length(buckets, 16, 24)),
        ("flows of unknown fields", reply(size, 1, &unknown_flow)),
        ("empty flows", reply(size, 1, &empty_flow)),
        (
            "empty groups",
            reply(size, 7, &[0, 16, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        ),
        (
            "paused flow monitors",
            reply(size, 16, &[0, 8, 0, 5, 0, 0, 0, 0]),
        ),
        ("flow updates", reply(size, 16, &update)),
        (
            "meter bands",
            bomb(size, 29, &[0; 8], |_| {
                [0, 9, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0].repeat(2)
            }),
        ),
        ("empty meters", reply(size, 10, &[0, 8, 0, 0, 0, 0, 0, 1])),
        (
            "queues",
            reply(size, 15, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0]),
        ),
        ("unknown properties", packet_in2),
        (
            "unknown asynchronous messages",
            bomb(size, 28, &[], |_| vec![0x55, 0, 0, 4, 0, 0, 0, 0]),
        ),
    ]
}

#[test]
fn messages_of_many_small_elements_stay_within_the_limit_of_fuzzing() {
    // A vector that doubles has most to spare just after that, so one size is not enough.
    for size in [5_000, 9_000, 17_000, 25_000, 33_000, 48_000, 65_000] {
        for (name, message) in bombs(size) {
            let frame = Frame::from_bytes(&message).expect("a frame");
            let decoded = limited(Limit::DECODER, message.len(), || {
                Message::decode(&frame, &Context::UNMAPPED)
            });
            assert!(decoded.is_ok(), "{name}: {decoded:?}");
        }
    }
    let message = too_many_unknown_fields();
    let frame = Frame::from_bytes(&message).expect("a frame");
    let decoded = Message::decode(&frame, &Context::UNMAPPED);
    let error = decoded.expect_err("too many");
    assert_eq!(error.kind, DecodeErrorKind::TooManyUnknown(64));
}
