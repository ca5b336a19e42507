// SPDX-License-Identifier: Apache-2.0
//! Every action and every field: our bytes are what ovs-ofctl says they are.

use openflow_codec::message::flow_mod::FlowMod;
use openflow_codec::text::{Names, actions_from_str};
use openflow_codec::{Action, Field, Flow, Frame, Instruction, Message, Subfield, Xid};

use crate::ovs::Ovs;
use crate::sample;

/// Actions as ovs-ofctl prints them.
pub(crate) const ACTIONS: &[&str] = &[
    "output:1",
    "IN_PORT",
    "LOCAL",
    "CONTROLLER:128",
    "group:5",
    "set_queue:7",
    "pop_queue",
    "meter:3",
    "dec_ttl",
    "dec_ttl(32768,12345,90)",
    "mod_nw_ttl:64",
    "push_vlan:0x8100",
    "push_vlan:0x88a8",
    "pop_vlan",
    "push_mpls:0x8847",
    "pop_mpls:0x0800",
    "set_mpls_ttl(10)",
    "dec_mpls_ttl",
    "resubmit:5",
    "resubmit(6,7)",
    "resubmit(,7)",
    "resubmit(,7,ct)",
    "resubmit(,8,ct)",
    "output:NXM_NX_REG1[5..10]",
    "output(port=123,max_len=100)",
    "controller(max_len=12345,id=1)",
    "controller(reason=invalid_ttl,id=1)",
    "controller(userdata=01.02.03.04.05.06.07.08.09.0a)",
    "controller(max_len=128,userdata=00.ff,pause,meter_id=9)",
    "note:11.e9.9a.ad.67.f3",
    "note:11.e9.9a.ad.67.f3.01.02.03.04.05.06.07.08",
    "exit",
    "fin_timeout(idle_timeout=10,hard_timeout=20)",
    "push:NXM_NX_REG2[1..5]",
    "pop:NXM_NX_REG2[]",
    "conjunction(1,2/3)",
    "clone(set_field:0x1->reg1,output:1,clone(output:2))",
    "sample(probability=12345,collector_set_id=23456,obs_domain_id=34567,obs_point_id=45678)",
    "sample(probability=1,collector_set_id=2,obs_domain_id=3,obs_point_id=4,sampling_port=56)",
    "sample(probability=1,collector_set_id=2,obs_domain_id=3,obs_point_id=4,sampling_port=5,egress)",
    "multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[])",
    "multipath(symmetric_l3l4+udp,60,iter_hash,8,33,OXM_OF_PKT_REG2[8..15])",
    "bundle(symmetric_l4,60,hrw,ofport,members:2,3)",
    "bundle(nw_src,0,active_backup,ofport,members:4,5,6,7,8)",
    "bundle_load(eth_src,0,hrw,ofport,NXM_NX_REG0[],members:4,8)",
    "learn(table=10,hard_timeout=10,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],\
     load:NXM_OF_IN_PORT[]->NXM_NX_REG1[16..31])",
    "learn(table=2,idle_timeout=10,hard_timeout=20,fin_idle_timeout=2,fin_hard_timeout=4,priority=10,\
     send_flow_rem,delete_learned,cookie=0x5678,limit=1,result_dst=NXM_NX_REG0[8],in_port=99,\
     NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],NXM_OF_VLAN_TCI[0..11],load:0x10->NXM_NX_REG0[0..5],\
     output:NXM_OF_IN_PORT[])",
    "learn(table=1,eth_type=0x800,nw_proto=6,ip_src=1.2.3.4,NXM_NX_REG3[4..7]=0x5)",
    "learn(table=1,load:0x112233445566778899aabbccddeeff->NXM_NX_XXREG0[])",
    "encap(nsh(md_type=1))",
    "encap(ethernet)",
    "encap(mpls)",
    "decap()",
    "decap(packet_type(ns=1,type=0x894f))",
    "dec_nsh_ttl",
    "check_pkt_larger(1500)->NXM_NX_REG0[0]",
    "delete_field:tun_metadata0",
    "ct()",
    "ct(commit)",
    "ct(commit,force)",
    "ct(table=10)",
    "ct(zone=10)",
    "ct(zone=NXM_NX_REG0[0..15])",
    "ct(commit,exec(set_field:0xf009->ct_mark))",
    "ct(commit,exec(set_field:0xfac300000001d->ct_label))",
    "ct(commit,exec(move:NXM_NX_XXREG0[]->NXM_NX_CT_LABEL[]))",
    "ct(commit,alg=ftp)",
    "ct(nat)",
    "ct(commit,nat(src))",
    "ct(commit,nat(dst))",
    "ct(commit,nat(src=10.0.0.240,random))",
    "ct(commit,nat(src=10.0.0.240-10.0.0.254:32768-65535,persistent))",
    "ct(commit,nat(src=[fe80::20c:29ff:fe88:1]-[fe80::20c:29ff:fe88:a18b]:255-4096,random))",
    "ct(commit,nat(dst=fe80::20c:29ff:fe88:a18b,hash))",
    "ct(force,commit,table=3,zone=4,nat,exec(set_field:0x1/0x1->ct_mark),alg=tftp)",
    "ct_clear",
    "move:NXM_OF_IN_PORT[]->NXM_OF_VLAN_TCI[]",
    "move:NXM_NX_TUN_METADATA0[0..95]->NXM_NX_XXREG1[0..95]",
    "set_field:0x1234/0xffff->xxreg1",
    "set_field:00:01:02:03:04:05/ff:ff:00:00:00:00->eth_src",
    "set_field:10.0.0.0/8->ip_src",
    "set_field:fd00::/16->ipv6_dst",
    "set_field:0x5/0xf->tun_metadata0",
];

/// Fields that cannot be written.
pub(crate) const READ_ONLY: &[Field] = &[
    Field::PacketType,
    Field::DpHash,
    Field::RecircId,
    Field::ConjId,
    Field::ActsetOutput,
    Field::InPort,
    Field::EthType,
    Field::MplsBos,
    Field::IpFrag,
    Field::IpProto,
    Field::TcpFlags,
    Field::CtState,
    Field::CtZone,
    Field::CtMark,
    Field::CtLabel,
    Field::CtIpv4Src,
    Field::CtIpv4Dst,
    Field::CtIpv6Src,
    Field::CtIpv6Dst,
    Field::CtIpProto,
    Field::CtTpSrc,
    Field::CtTpDst,
];

/// Actions on the wire that we read and never write, and what both sides say of them.
pub(crate) const FOREIGN: &[(&str, &str)] = &[
    ("ffff0010000023200001000500000000", "resubmit:5"),
    (
        "ffff0018000023200020001fffff00010004000000000000",
        "output:NXM_NX_REG0[]",
    ),
];

/// A flow_mod that applies the actions of some bytes.
pub(crate) fn flow_mod_with(actions: &[u8]) -> Vec<u8> {
    let flow = Flow {
        instructions: vec![Instruction::ApplyActions(Vec::new())],
        ..sample::drop_all()
    };
    let mut bytes = Vec::new();
    flow.encode_add(Xid(0), &sample::context(), &mut bytes)
        .expect("encodes");
    let instruction = bytes.len() - 8;
    bytes.extend(actions);
    let length = (bytes.len() as u16).to_be_bytes();
    bytes[2..4].copy_from_slice(&length);
    let length = (actions.len() as u16 + 8).to_be_bytes();
    bytes[instruction + 2..instruction + 4].copy_from_slice(&length);
    bytes
}

/// The bytes of some actions, cut out of a flow.
pub(crate) fn encode(actions: &[Action]) -> Vec<u8> {
    let flow = Flow {
        instructions: vec![Instruction::ApplyActions(actions.to_vec())],
        ..sample::drop_all()
    };
    let mut bytes = Vec::new();
    flow.encode_add(Xid(0), &sample::context(), &mut bytes)
        .expect("encodes");
    let message = Message::decode(
        &Frame::from_bytes(&bytes).expect("a frame"),
        &sample::context(),
    );
    assert_eq!(message, Ok(Message::FlowMod(FlowMod::add(&flow))));
    // Header, flow_mod, empty match, instruction header.
    bytes.split_off(8 + 40 + 8 + 8)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(byte).collect()
}

/// What ovs-ofctl makes of the bytes of each list of actions.
fn printed(ovs: &Ovs, lists: impl Iterator<Item = Vec<u8>>) -> Vec<String> {
    let lists: Vec<String> = lists.map(|actions| hex(&actions) + "\n").collect();
    let input = lists.concat();
    let output = ovs.ofctl_with_input(&["parse-actions", "OpenFlow15"], input.as_bytes());
    let lines: Vec<String> = output
        .lines()
        // Other lines are differences to what OVS would have written.
        .filter(|line| line.starts_with("actions=") || line.starts_with("bad "))
        .map(|line| line.strip_prefix("actions=").unwrap_or(line).to_owned())
        .collect();
    assert_eq!(lines.len(), lists.len(), "{output}");
    lines
}

/// [`ACTIONS`] as values.
pub(crate) fn every_action() -> Vec<Vec<Action>> {
    let read = |text: &&str| {
        actions_from_str(text, &Names::default()).unwrap_or_else(|e| panic!("{e}: {text}"))
    };
    ACTIONS.iter().map(read).collect()
}

/// Each field copied, and if it can be, written whole and in part.
pub(crate) fn every_field() -> Vec<Vec<Action>> {
    let moves = Field::all().map(|field| {
        vec![Action::CopyField {
            src: Subfield::new(field, 0, 1),
            dst: Subfield::new(Field::Reg0, 0, 1),
        }]
    });
    let sets = Field::all()
        .filter(|field| !READ_ONLY.contains(field))
        .filter(|field| field.tun_metadata_index().is_none_or(|index| index == 0))
        .map(|field| {
            let value: u128 = if field == Field::VlanVid { 0x1001 } else { 1 };
            vec![Action::set(field, value)]
        });
    let masked = Field::all()
        .filter(|field| !READ_ONLY.contains(field) && field.info().maskable)
        .filter(|field| field.info().bits > 1 && field.tun_metadata_index().is_none())
        // A mask of a VLAN id must leave a tag.
        .filter(|field| *field != Field::VlanVid)
        .map(|field| vec![Action::set_masked(field, 1u128, 1u128)]);
    moves.chain(sets).chain(masked).collect()
}

#[test]
fn ovs_ofctl_prints_each_action_as_we_do() {
    let ovs = Ovs::start();
    let lists = every_action();
    let printed = printed(&ovs, lists.iter().map(|actions| encode(actions)));
    let mut different = Vec::new();
    for ((text, actions), theirs) in ACTIONS.iter().zip(&lists).zip(printed) {
        let [action] = actions.as_slice() else {
            panic!("{text}");
        };
        assert!(!action.to_string().starts_with("unknown"), "{text}");
        if theirs != action.to_string() {
            different.push((theirs, action.to_string()));
        }
    }
    assert!(different.is_empty(), "{different:#?}");
}

#[test]
fn actions_that_we_never_write_are_what_ovs_ofctl_says_they_are() {
    let ovs = Ovs::start();
    let printed = printed(&ovs, FOREIGN.iter().map(|(bytes, _)| unhex(bytes)));
    for ((bytes, text), theirs) in FOREIGN.iter().zip(printed) {
        assert_eq!(theirs, *text);
        let frame = Frame::from_bytes(&flow_mod_with(&unhex(bytes))).expect("a frame");
        let message = Message::decode(&frame, &sample::context());
        let Ok(Message::FlowMod(flow_mod)) = message else {
            panic!("{message:?}");
        };
        let [Instruction::ApplyActions(actions)] = flow_mod.flow.instructions.as_slice() else {
            panic!("{flow_mod:?}");
        };
        let ours: Vec<String> = actions.iter().map(ToString::to_string).collect();
        assert_eq!(ours.concat(), *text);
    }
}

#[test]
fn ovs_ofctl_knows_every_field_by_the_name_we_give_it() {
    let ovs = Ovs::start();
    let lists = every_field();
    let mut different = Vec::new();
    let printed = printed(&ovs, lists.iter().map(|actions| encode(actions)));
    for (actions, theirs) in lists.iter().zip(printed) {
        let ours: Vec<String> = actions.iter().map(ToString::to_string).collect();
        let again = actions_from_str(&theirs, &Names::default());
        if theirs != ours.concat() || again.as_ref() != Ok(actions) {
            different.push((theirs, ours.concat(), again));
        }
    }
    assert!(different.is_empty(), "{different:#?}");
}
