// SPDX-License-Identifier: Apache-2.0
//! What holds for every value and for every sequence of bytes.

use std::sync::LazyLock;

use openflow_codec::message::flow_mod::FlowMod;
use openflow_codec::message::group_mod::GroupMod;
use openflow_codec::{Context, Flow, Frame, Framer, Group, Header, Message, Xid};
use proptest::prelude::*;

use crate::{generate, messages, sample};

fn decode(bytes: &[u8], context: &Context) -> Message {
    Message::decode(&Frame::from_bytes(bytes).expect("a frame"), context).expect("a message")
}

fn encode(message: &Message, context: &Context) -> Vec<u8> {
    let mut bytes = Vec::new();
    message
        .encode(Xid(0x1234), context, &mut bytes)
        .expect("encodes");
    bytes
}

/// Many messages with flows and groups, and one of each other kind.
static MESSAGES: LazyLock<Vec<Message>> = LazyLock::new(|| {
    let flows = generate::flows(300);
    let groups = generate::groups(50);
    flows
        .iter()
        .map(|flow| Message::FlowMod(FlowMod::add(flow)))
        .chain(
            groups
                .into_iter()
                .map(|group| Message::GroupMod(GroupMod::add(group))),
        )
        .chain(messages::messages().into_iter().map(|(message, _)| message))
        .collect()
});

/// [`MESSAGES`] as bytes.
static BYTES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    MESSAGES
        .iter()
        .map(|message| encode(message, &sample::context()))
        .collect()
});

/// Half of the time a message of the rarer kinds.
fn pick(which: prop::sample::Index) -> &'static [u8] {
    let (many, rare) = BYTES.split_at(350);
    let index = which.index(2 * many.len());
    many.get(index)
        .unwrap_or_else(|| &rare[(index - many.len()) % rare.len()])
}

#[test]
fn a_message_decodes_to_what_was_encoded() {
    let context = sample::context();
    for (message, bytes) in MESSAGES.iter().zip(BYTES.iter()) {
        assert_eq!(decode(bytes, &context), *message);
    }
}

#[test]
fn a_truncated_message_is_an_error_at_every_byte() {
    let context = sample::context();
    for bytes in BYTES.iter() {
        for length in 0..bytes.len() {
            // Cut short, with the length it should have.
            let error = Frame::from_bytes(&bytes[..length])
                .and_then(|frame| Message::decode(&frame, &context));
            assert!(error.is_err(), "{length} of {bytes:02x?}");
            // Cut short, with a length that agrees: an error or another message, no panic.
            let mut short = bytes[..length].to_vec();
            if let Some(slot) = short.get_mut(2..4) {
                slot.copy_from_slice(&(length as u16).to_be_bytes());
                let frame = Frame::from_bytes(&short);
                if length >= Header::LEN {
                    Message::decode(&frame.unwrap(), &context).ok();
                }
            }
        }
    }
}

#[test]
fn text_reads_back_as_the_value_it_was_written_from() {
    for flow in generate::flows(1000) {
        let text = flow.to_string();
        assert_eq!(text.parse::<Flow>().as_ref(), Ok(&flow), "{text}");
    }
    for group in generate::groups(200) {
        let text = group.to_string();
        assert_eq!(text.parse::<Group>().as_ref(), Ok(&group), "{text}");
    }
}

#[test]
fn a_match_field_whose_header_is_all_ones_is_taken_for_no_field_of_ours() {
    // It says that it has a mask, and that both together have an odd length.
    let fields = [0xff; 4 + 255];
    let mut bytes = vec![6, 14, 0, 0, 0, 0, 0, 1];
    bytes.resize(48, 0);
    bytes.extend([0, 1]);
    bytes.extend((fields.len() as u16 + 4).to_be_bytes());
    bytes.extend(fields);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let length = (bytes.len() as u16).to_be_bytes();
    bytes[2..4].copy_from_slice(&length);
    let frame = Frame::from_bytes(&bytes).expect("a frame");
    let error = Message::decode(&frame, &Context::UNMAPPED).expect_err("an odd length");
    assert_eq!(error.offset, 60);
}

#[test]
fn text_that_could_not_be_written_again_is_not_read() {
    let ovs = crate::ovs::Ovs::start();
    for text in [
        "ct_state=0x100/0x100",
        "ct_state=0x10/0x800000993",
        "ip,nw_proto=6,tcp_flags=0x1000/0x1000",
    ] {
        assert!(text.parse::<openflow_codec::Match>().is_err(), "{text}");
        let flow = format!("{text},actions=drop\n");
        let theirs = ovs.try_ofctl(&["parse-flows", "-"], flow.as_bytes());
        assert!(theirs.is_err(), "{text}");
    }
    assert!(
        "ct(commit,nat(dst=:804))"
            .parse::<openflow_codec::Action>()
            .is_err()
    );
    for method in ["commit,table=3", "selection_method", ""] {
        let text = format!("group_id=5,type=select,selection_method({method})");
        assert!(text.parse::<Group>().is_err(), "{text}");
    }
}

#[test]
fn content_tells_flows_apart_by_what_they_do_and_not_by_their_cookie() {
    let content = |flow: &Flow| {
        let mut bytes = Vec::new();
        flow.content(&mut bytes);
        bytes
    };
    let flow = sample::flow();
    let mut other = flow.clone();
    other.cookie = openflow_codec::Cookie(1);
    other.idle_timeout = 5;
    assert_eq!(content(&flow), content(&other));
    other.priority = 1;
    assert_ne!(content(&flow), content(&other));
    let mut seen = std::collections::BTreeMap::new();
    for flow in generate::flows(1000) {
        let what = (flow.table, flow.priority, flow.flow_match.clone());
        assert_eq!(seen.insert(content(&flow), what), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        failure_persistence: None,
        cases: 2048,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_bodies_never_panic(kind in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..512)) {
        let length = (body.len() + 8) as u16;
        let [high, low] = length.to_be_bytes();
        let mut bytes = vec![6, kind % 40, high, low, 0, 0, 0, 1];
        bytes.extend(body);
        let frame = Frame::from_bytes(&bytes).unwrap();
        if let Ok(message) = Message::decode(&frame, &sample::context()) {
            // What was understood can be written again.
            let mut out = Vec::new();
            message.encode(Xid(1), &sample::context(), &mut out).unwrap();
        }
    }

    #[test]
    fn damaged_messages_never_panic(
        which in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = pick(which).to_vec();
        for (at, value) in damage {
            if bytes.len() > 8 {
                let at = at.index(bytes.len() - 8) + 8;
                bytes[at] = value;
            }
        }
        let frame = Frame::from_bytes(&bytes).unwrap();
        if let Ok(message) = Message::decode(&frame, &sample::context()) {
            let mut out = Vec::new();
            message.encode(Xid(1), &sample::context(), &mut out).unwrap();
            let again = decode(&out, &sample::context());
            prop_assert_eq!(again, message);
        }
    }

    #[test]
    fn random_text_never_panics(text in "\\PC{0,80}") {
        text.parse::<Flow>().ok();
        text.parse::<Group>().ok();
        format!("table=1,{text} actions={text}").parse::<Flow>().ok();
    }

    #[test]
    fn a_stream_is_cut_into_the_same_messages_however_it_arrives(
        cuts in prop::collection::vec(1usize..200, 1..50),
    ) {
        let context = sample::context();
        let sent: Vec<_> = MESSAGES.iter().take(20).cloned().collect();
        let stream = BYTES.get(..20).unwrap().concat();
        let mut framer = Framer::new();
        let mut received = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            framer.push(now);
            rest = later;
            while let Some(frame) = framer.next().unwrap() {
                received.push(Message::decode(&frame, &context).unwrap());
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(received, sent);
        prop_assert_eq!(framer.buffered(), 0);
    }
}

#[test]
fn a_packet_in_whose_length_has_wrapped_does_not_break_the_stream() {
    // Experimenter header, PACKET of 65,480 bytes and USERDATA of 112.
    let body = 8 + 65_480 + 112usize;
    let mut message = vec![6, 4];
    message.extend(((body + 8) as u16).to_be_bytes());
    message.extend([0, 0, 0, 1]);
    message.extend([0, 0, 0x23, 0x20, 0, 0, 0, 30]);
    message.extend([0, 0]);
    message.extend(65_480u16.to_be_bytes());
    message.resize(16 + 65_480, 0xab);
    message.extend([0, 7, 0, 112]);
    message.resize(body + 8, 0xcd);
    let mut framer = Framer::new();
    framer.push(&message);
    framer.push(&encode(&Message::BarrierReply, &Context::default()));
    let first = framer.next().unwrap().unwrap();
    assert_eq!(first.body.len(), body);
    let Ok(Message::PacketIn2(packet)) = Message::decode(&first, &Context::default()) else {
        panic!("a packet");
    };
    assert_eq!(packet.packet.len(), 65_476);
    assert_eq!(packet.userdata.len(), 108);
    let second = framer.next().unwrap().unwrap();
    assert_eq!(
        Message::decode(&second, &Context::default()),
        Ok(Message::BarrierReply)
    );
}

#[test]
fn a_length_below_8_is_an_error_and_not_an_endless_wait() {
    let mut framer = Framer::new();
    framer.push(&[6, 0, 0, 7, 0, 0, 0, 1]);
    assert!(framer.next().is_err());
}
