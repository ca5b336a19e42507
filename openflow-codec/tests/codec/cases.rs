// SPDX-License-Identifier: Apache-2.0
//! Messages that are laid before ovs-ofctl: generated ones of every kind, and matches on every field.

use openflow_codec::message::flow_mod::FlowMod;
use openflow_codec::message::group_mod::GroupMod;
use openflow_codec::oxm::Prerequisite;
use openflow_codec::{Field, Flow, Frame, Match, Message, Xid};

use crate::ovs::Ovs;
use crate::{actions, generate, generate_messages, messages, sample};

/// A message and a part of what ovs-ofctl says of it.
pub(crate) struct Case {
    pub(crate) bytes: Vec<u8>,
    pub(crate) told: String,
}

const FLOWS: usize = 1500;
const GROUPS: usize = 200;
/// Of each kind of message.
const MESSAGES: usize = 12;

/// All of them, each with a transaction id of its own: its place, counted from 1.
pub(crate) fn all() -> Vec<Case> {
    let flows = generate::flows(FLOWS).into_iter().map(|flow| {
        let told = "OFPT_FLOW_MOD (OF1.5) (xid=".to_owned();
        (Message::FlowMod(FlowMod::add(&flow)), told)
    });
    let groups = generate::groups(GROUPS).into_iter().map(|group| {
        let told = format!("group_id={}", group.id);
        (Message::GroupMod(GroupMod::add_or_modify(group)), told)
    });
    let fixed = messages::messages()
        .into_iter()
        .map(|(message, told)| (message, told.to_owned()));
    flows
        .chain(groups)
        .chain(fixed)
        .chain(generate_messages::messages(MESSAGES))
        .chain(matches())
        .zip(1..)
        .map(|((message, told), number)| {
            let mut bytes = Vec::new();
            message
                .encode(Xid(number), &sample::context(), &mut bytes)
                .expect("encodes");
            Case { bytes, told }
        })
        .collect()
}

/// A flow for every field that can be matched, with all that must be matched before it.
fn matches() -> impl Iterator<Item = (Message, String)> {
    let exact = Field::all().map(|field| before(field).with(field, value(field)));
    let masked = Field::all()
        .filter(|field| field.info().maskable && field.info().bits > 8)
        // Of a VLAN the mask must leave a tag; of these flags OVS prints no mask.
        .filter(|field| !matches!(field, Field::VlanVid | Field::VlanTci | Field::CtState))
        .map(|field| before(field).with_masked(field, value(field), 0x7fu8));
    exact.chain(masked).map(|flow_match| {
        let told = match flow_match.is_any() {
            true => "priority=1 actions=drop".to_owned(),
            false => format!("priority=1,{flow_match} actions=drop"),
        };
        let flow = Flow {
            flow_match,
            ..sample::drop_all()
        };
        (Message::FlowMod(FlowMod::add(&flow)), told)
    })
}

/// A value that a field can have.
fn value(field: Field) -> u128 {
    match field {
        Field::EthType => 0x88cc,
        Field::VlanVid => 0x1005,
        Field::VlanTci => 0x3005,
        Field::CtState => 0x21,
        Field::TunGbpFlags => 8,
        Field::PacketType => 0x1_0800,
        Field::MplsBos | Field::TunFlags => 1,
        Field::IpFrag => 3,
        _ => 2,
    }
}

/// What must be matched before `field`.
fn before(field: Field) -> Match {
    let ethernet = |number: u16| Match::any().with(Field::EthType, number);
    let ip = |ethertype: u16, number: u8| ethernet(ethertype).with(Field::IpProto, number);
    let tracked = |ethertype: u16| ethernet(ethertype).with_masked(Field::CtState, 0x22u8, 0x22u8);
    match (field, field.info().prerequisite) {
        (Field::NdTarget | Field::NdSll | Field::NdReserved, _) => {
            ip(0x86dd, 58).with(Field::Icmpv6Type, 135u8)
        }
        (Field::NdTll | Field::NdOptionsType, _) => ip(0x86dd, 58).with(Field::Icmpv6Type, 136u8),
        (Field::CtIpv6Src | Field::CtIpv6Dst, _) => tracked(0x86dd),
        (Field::CtTpSrc | Field::CtTpDst, _) => tracked(0x0800).with(Field::CtIpProto, 6u8),
        (_, Prerequisite::None) => Match::any(),
        (_, Prerequisite::VlanVid) => Match::any().with(Field::VlanVid, 0x1005u16),
        (_, Prerequisite::Mpls) => ethernet(0x8847),
        (_, Prerequisite::Ipv4 | Prerequisite::Ip) => ethernet(0x0800),
        (_, Prerequisite::Ipv6) => ethernet(0x86dd),
        (_, Prerequisite::Arp) => ethernet(0x0806),
        (_, Prerequisite::Tcp) => ip(0x0800, 6),
        (_, Prerequisite::Udp) => ip(0x0800, 17),
        (_, Prerequisite::Sctp) => ip(0x0800, 132),
        (_, Prerequisite::Icmpv4) => ip(0x0800, 1),
        (_, Prerequisite::Icmpv6) => ip(0x86dd, 58),
        (_, Prerequisite::CtState) => tracked(0x0800),
    }
}

/// Fields on the wire that we read in a match and never write there.
const FOREIGN: &[&str] = &[
    "000000020005",
    "000008021005",
    "0000090410001000",
    "0001de1000000001000000020000000300000004",
    "0001e01000000001000000020000000300000004",
    "0001e21000000001000000020000000300000004",
    "0001e41000000001000000020000000300000004",
];

/// A flow_mod with each of [`FOREIGN`].
pub(crate) fn foreign() -> Vec<Vec<u8>> {
    const MATCH: usize = 48;
    let flow_mod = |fields: &&str| {
        let fields = actions::unhex(fields);
        let mut bytes = actions::flow_mod_with(&[]);
        bytes.truncate(MATCH);
        bytes.extend([0, 1, 0, 4 + fields.len() as u8]);
        bytes.extend(fields);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let length = (bytes.len() as u16).to_be_bytes();
        bytes[2..4].copy_from_slice(&length);
        bytes
    };
    FOREIGN.iter().map(flow_mod).collect()
}

#[test]
fn matches_that_we_never_write_are_what_ovs_ofctl_says_they_are() {
    let ovs = Ovs::start();
    for bytes in foreign() {
        let frame = Frame::from_bytes(&bytes).expect("a frame");
        let message = Message::decode(&frame, &sample::context());
        let Ok(Message::FlowMod(flow_mod)) = message else {
            panic!("{message:?}");
        };
        let text = ovs.ofctl(&["ofp-print", &actions::hex(&bytes)]);
        let told = format!("priority=1,{} actions=drop", flow_mod.flow.flow_match);
        assert!(text.contains(&told), "{told}: {text}");
    }
}

#[test]
fn ovs_ofctl_says_of_every_case_what_we_meant() {
    let ovs = Ovs::start();
    let cases = all();
    let bytes: Vec<u8> = cases.iter().flat_map(|case| case.bytes.clone()).collect();
    let printed = ovs.ofctl_with_input(&["ofp-parse", "-"], &bytes);
    let mut rest = printed.as_str();
    let mut wrong = Vec::new();
    for (case, number) in cases.iter().zip(1..) {
        // Up to the next case; a message can have others in it.
        let next = format!("(xid={:#x}):", number + 1);
        let end = rest
            .find(&next)
            .and_then(|end| rest.get(..end)?.rfind('\n'))
            .map_or(rest.len(), |end| end + 1);
        let (text, after) = rest.split_at(end);
        if text.contains("***decode error") || !text.contains(&case.told) {
            wrong.push((case.told.clone(), text.to_owned()));
        }
        rest = after;
    }
    wrong.truncate(20);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_case_decodes_to_what_encodes_to_it_again() {
    let context = sample::context();
    for case in all() {
        let frame = Frame::from_bytes(&case.bytes).expect("a frame");
        let message = Message::decode(&frame, &context).expect("a message");
        let mut again = Vec::new();
        message
            .encode(frame.header.xid, &context, &mut again)
            .expect("encodes");
        assert_eq!(again, case.bytes, "{message:?}");
    }
}
