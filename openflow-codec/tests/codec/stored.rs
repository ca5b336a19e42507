// SPDX-License-Identifier: Apache-2.0
//! What a switch stores and reports is what was written.

use openflow_codec::message::bundle::{
    BundleCommand, BundleControl, BundleFlags, encode_bundle_add,
};
use openflow_codec::message::flow_mod::FlowMod;
use openflow_codec::message::group_mod::GroupMod;
use openflow_codec::message::multipart::flow::FlowFilter;
use openflow_codec::message::multipart::table_features::TableFeatures;
use openflow_codec::message::multipart::{ReplyBody, RequestBody};
use openflow_codec::message::tlv_table::{TlvTableCommand, TlvTableMod};
use openflow_codec::{
    Action, Bucket, BundleId, Context, Field, Flow, Frame, Group, GroupId, GroupType, Message,
    PortNo, SelectionMethod, TableId, Xid,
};

use crate::ovs::{Connection, Ovs};
use crate::sample;

/// Maps the identity option, as a session does at its start.
pub(crate) fn map_identity(switch: &mut Connection) {
    switch.apply(&[Message::TlvTableMod(TlvTableMod {
        command: TlvTableCommand::Add,
        mappings: vec![sample::IDENTITY],
    })]);
    let answers = switch.apply(&[Message::TlvTableRequest]);
    let [Message::TlvTableReply(reply)] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    assert_eq!(reply.mappings, [sample::IDENTITY]);
    switch.context = Context::with_tlv_table(&reply.mappings);
}

pub(crate) fn dump(switch: &mut Connection) -> Vec<Flow> {
    let request = RequestBody::Flow(FlowFilter::all());
    switch
        .apply(&[Message::MultipartRequest(request.into())])
        .into_iter()
        .flat_map(|answer| match answer {
            Message::MultipartReply(reply) => match reply.body {
                ReplyBody::Flow(flows) => flows,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        })
        .map(|stats| stats.flow)
        .collect()
}

pub(crate) fn dump_groups(switch: &mut Connection) -> Vec<Group> {
    let request = RequestBody::GroupDesc(GroupId::ALL);
    switch
        .apply(&[Message::MultipartRequest(request.into())])
        .into_iter()
        .flat_map(|answer| match answer {
            Message::MultipartReply(reply) => match reply.body {
                ReplyBody::GroupDesc(groups) => groups,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_flow_reads_back_as_it_was_written() {
    let ovs = Ovs::start();
    let mut switch = ovs.connect();
    map_identity(&mut switch);
    let flow = sample::flow();
    switch.apply(&[Message::FlowMod(FlowMod::add(&flow))]);
    assert_eq!(dump(&mut switch), std::slice::from_ref(&flow));
    switch.apply(&[Message::FlowMod(FlowMod::delete_by_cookie(flow.cookie))]);
    assert_eq!(dump(&mut switch), []);
}

#[test]
fn the_bytes_of_a_flow_can_be_sent_again_in_a_bundle() {
    let flow = sample::flow();
    let context = sample::context();
    let mut cached = Vec::new();
    flow.encode_add(Xid(0), &context, &mut cached).unwrap();
    let flags = BundleFlags::ATOMIC | BundleFlags::ORDERED;
    let mut bytes = Vec::new();
    encode_bundle_add(BundleId(7), flags, &cached, Xid(9), &mut bytes).unwrap();

    let message = Message::decode(&Frame::from_bytes(&bytes).unwrap(), &context).unwrap();
    let Message::BundleAdd(add) = message else {
        panic!("{message:?}");
    };
    let (xid, inner) = add.decode_message(&context).unwrap();
    assert_eq!(xid, Xid(9));
    assert_eq!(inner, Message::FlowMod(FlowMod::add(&flow)));
}

#[test]
fn a_committed_bundle_installs_its_flow() {
    let ovs = Ovs::start();
    let mut switch = ovs.connect();
    map_identity(&mut switch);
    let flow = sample::flow();
    let flags = BundleFlags::ATOMIC | BundleFlags::ORDERED;
    let control = |command| {
        Message::BundleControl(BundleControl {
            bundle: BundleId(1),
            command,
            flags,
        })
    };
    let add = openflow_codec::message::bundle::BundleAdd::new(
        BundleId(1),
        flags,
        &Message::FlowMod(FlowMod::add(&flow)),
        &switch.context,
    )
    .unwrap();
    let answers = switch.apply(&[
        control(BundleCommand::OpenRequest),
        Message::BundleAdd(add),
        control(BundleCommand::CommitRequest),
    ]);
    let opened = BundleControl {
        bundle: BundleId(1),
        command: BundleCommand::OpenReply,
        flags: BundleFlags::empty(),
    };
    let committed = BundleControl {
        command: BundleCommand::CommitReply,
        ..opened
    };
    assert_eq!(
        answers,
        [
            Message::BundleControl(opened),
            Message::BundleControl(committed)
        ]
    );
    assert_eq!(dump(&mut switch), [flow]);
}

#[test]
fn a_group_reads_back_as_it_was_written() {
    let ovs = Ovs::start();
    let mut switch = ovs.connect();
    let group = Group {
        id: GroupId(5),
        group_type: GroupType::Select,
        selection: Some(SelectionMethod {
            method: "hash".to_owned(),
            param: 3,
            fields: vec![(Field::Ipv4Src, 0xffff_ffff), (Field::TcpSrc, 0xff)],
        }),
        buckets: vec![
            Bucket::new(1, 3, vec![Action::output(PortNo(1))]),
            Bucket::new(2, 100, vec![Action::output(PortNo::IN_PORT)]),
        ],
    };
    switch.apply(&[Message::GroupMod(GroupMod::add_or_modify(group.clone()))]);
    assert_eq!(dump_groups(&mut switch), [group]);
}

#[test]
fn a_table_gets_its_name() {
    let ovs = Ovs::start();
    let mut switch = ovs.connect();
    let tables = vec![
        TableFeatures::set_name(TableId(0), "classify"),
        TableFeatures::set_name(TableId(5), "spoof_guard"),
    ];
    let request = RequestBody::TableFeatures(tables);
    switch.apply(&[Message::MultipartRequest(request.into())]);
    let text = ovs.run(
        "ovs-ofctl",
        &["-O", "OpenFlow15", "dump-table-features", &ovs.bridge()],
    );
    assert!(text.contains("table 0 (\"classify\")"), "{text:.300}");
    assert!(text.contains("(\"spoof_guard\")"), "{text:.300}");
}
