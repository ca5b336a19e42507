// SPDX-License-Identifier: Apache-2.0
//! Every kind of message: Open vSwitch's bytes are understood and written again as they were, and
//! ours are understood by Open vSwitch.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use openflow_codec::action::OtherAction;
use openflow_codec::action::other::Controller;
use openflow_codec::message::async_config::{AsyncConfig, AsyncKind};
use openflow_codec::message::config::SwitchConfig;
use openflow_codec::message::ct_flush::{CtFlush, CtTuple};
use openflow_codec::message::error::{ErrorCode, ErrorMessage};
use openflow_codec::message::features::Features;
use openflow_codec::message::flow_mod::{FlowFlags, FlowMod};
use openflow_codec::message::flow_removed::FlowRemoved;
use openflow_codec::message::group_mod::{BucketPosition, GroupMod};
use openflow_codec::message::hello::Hello;
use openflow_codec::message::meter::{
    Meter, MeterBand, MeterBandKind, MeterCommand, MeterFlags, MeterMod, MeterStats,
};
use openflow_codec::message::multipart::desc::SwitchDesc;
use openflow_codec::message::multipart::flow::{FlowCounters, FlowFilter, FlowStats};
use openflow_codec::message::multipart::flow_monitor::{
    FlowEvent, FlowMonitor, FlowUpdate, MonitorCommand, MonitorFlags,
};
use openflow_codec::message::multipart::stats::{GroupStats, QueueId};
use openflow_codec::message::multipart::table_features::TableFeatures;
use openflow_codec::message::multipart::{ReplyBody, RequestBody};
use openflow_codec::message::packet_in::{PacketIn, PacketIn2, PacketInFormat};
use openflow_codec::message::packet_out::PacketOut;
use openflow_codec::message::port::{Port, PortConfig, PortMod, PortReason, PortState, PortStatus};
use openflow_codec::message::role::{Role, RoleMessage, RoleStatus};
use openflow_codec::message::table_mod::TableMod;
use openflow_codec::message::tlv_table::{TlvTableCommand, TlvTableMod, TlvTableReply};
use openflow_codec::{
    Action, Bucket, Cookie, DatapathId, Field, Flow, Frame, GroupId, GroupType, Instruction, Match,
    Message, MeterId, PortNo, TableId, Xid,
};

use crate::ovs::{Connection, Ovs};
use crate::sample;

/// An ARP request, the smallest packet that OVS does not pad.
fn packet() -> Vec<u8> {
    let mut packet = vec![0xff; 6];
    packet.extend([0x0a, 0x58, 0x0a, 0, 0, 1, 8, 6]);
    packet.resize(60, 0);
    packet
}

/// Everything that a switch can be asked.
fn requests() -> Vec<RequestBody> {
    let queue = QueueId {
        port: PortNo::ANY,
        queue: QueueId::ALL,
    };
    vec![
        RequestBody::Desc,
        RequestBody::Aggregate(FlowFilter::all()),
        RequestBody::TableStats,
        RequestBody::PortStats(PortNo::ANY),
        RequestBody::QueueStats(queue),
        RequestBody::GroupStats(GroupId::ALL),
        RequestBody::GroupDesc(GroupId::ALL),
        RequestBody::GroupFeatures,
        RequestBody::MeterStats(MeterId::ALL),
        RequestBody::MeterDesc(MeterId::ALL),
        RequestBody::MeterFeatures,
        RequestBody::TableFeatures(Vec::new()),
        RequestBody::PortDesc(PortNo::ANY),
        RequestBody::TableDesc,
        RequestBody::QueueDesc(queue),
    ]
}

fn meter() -> Meter {
    Meter {
        id: MeterId(7),
        flags: MeterFlags::KBPS | MeterFlags::BURST | MeterFlags::STATS,
        bands: vec![MeterBand {
            rate: 1000,
            burst: 500,
            kind: MeterBandKind::Drop,
        }],
    }
}

fn group() -> openflow_codec::Group {
    openflow_codec::Group {
        id: GroupId(5),
        group_type: GroupType::Select,
        selection: None,
        buckets: vec![
            Bucket::new(1, 10, vec![Action::output(PortNo(1))]),
            Bucket::new(2, 20, vec![]),
        ],
    }
}

/// Sends a request and gives the answers, each of which must be understood in full: encoding what
/// was decoded gives the same bytes.
fn ask(switch: &mut Connection, request: &Message) -> Vec<Message> {
    switch.send(Xid(77), request);
    switch.send(Xid(78), &Message::BarrierRequest);
    let mut answers = Vec::new();
    loop {
        let frame = switch.receive_frame();
        let message = Message::decode(&frame, &switch.context).expect("decodes");
        if message == Message::BarrierReply {
            return answers;
        }
        let mut again = Vec::new();
        message
            .encode(frame.header.xid, &switch.context, &mut again)
            .expect("encodes");
        assert_eq!(again[8..], frame.body, "{message:?}");
        answers.push(message);
    }
}

#[test]
fn every_answer_of_a_switch_is_understood_and_written_again_as_it_was() {
    let ovs = Ovs::start();
    let mut switch = ovs.connect();
    switch.apply(&[
        Message::MeterMod(MeterMod {
            command: MeterCommand::Add,
            meter: meter(),
        }),
        Message::GroupMod(GroupMod::add(group())),
    ]);
    for request in requests() {
        let answers = ask(
            &mut switch,
            &Message::MultipartRequest(request.clone().into()),
        );
        assert!(!answers.is_empty(), "{request:?}");
        for answer in answers {
            match answer {
                Message::MultipartReply(reply) => assert!(
                    !matches!(reply.body, ReplyBody::Unknown { .. }),
                    "{request:?}"
                ),
                other => panic!("{request:?}: {other:?}"),
            }
        }
    }
    let descriptions = ask(
        &mut switch,
        &Message::MultipartRequest(RequestBody::MeterDesc(MeterId(7)).into()),
    );
    assert_eq!(
        descriptions,
        [Message::MultipartReply(
            ReplyBody::MeterDesc(vec![meter()]).into()
        )]
    );

    assert!(matches!(
        ask(&mut switch, &Message::FeaturesRequest).as_slice(),
        [Message::FeaturesReply(features)] if features.n_tables == 254
    ));
    assert!(matches!(
        ask(&mut switch, &Message::GetConfigRequest).as_slice(),
        [Message::GetConfigReply(_)]
    ));
    assert!(matches!(
        ask(&mut switch, &Message::GetAsyncRequest).as_slice(),
        [Message::GetAsyncReply(config)] if !config.masks.is_empty()
    ));
    let role = RoleMessage {
        role: Role::Master,
        generation_id: 42,
    };
    assert_eq!(
        ask(&mut switch, &Message::RoleRequest(role)),
        [Message::RoleReply(role)]
    );
    let stale = RoleMessage {
        role: Role::Master,
        generation_id: 41,
    };
    let answers = ask(&mut switch, &Message::RoleRequest(stale));
    assert!(matches!(
        answers.as_slice(),
        [Message::Error(error)] if error.code.name() == Some("OFPRRFC_STALE")
    ));
    let data = bytes::Bytes::from_static(b"hello");
    assert_eq!(
        ask(&mut switch, &Message::EchoRequest(data.clone())),
        [Message::EchoReply(data)]
    );
}

#[test]
fn a_flow_monitor_tells_what_happens_to_flows() {
    let ovs = Ovs::start();
    let mut switch = ovs.connect();
    let monitor = FlowMonitor {
        id: 1,
        command: MonitorCommand::Add,
        flags: MonitorFlags::INITIAL
            | MonitorFlags::ADD
            | MonitorFlags::REMOVED
            | MonitorFlags::MODIFY
            | MonitorFlags::INSTRUCTIONS,
        table: TableId::ALL,
        out_port: PortNo::ANY,
        out_group: GroupId::ANY,
        flow_match: Match::any(),
    };
    let request = RequestBody::FlowMonitor(vec![monitor]);
    switch.apply(&[Message::MultipartRequest(request.into())]);
    let flow = Flow {
        table: TableId(3),
        priority: 7,
        flow_match: Match::any().with(Field::EthType, 0x0806u128),
        cookie: Cookie(9),
        idle_timeout: 0,
        hard_timeout: 0,
        instructions: vec![Instruction::GotoTable(TableId(4))],
    };
    // A change of its own would be told by transaction id only.
    let mut other = ovs.connect();
    other.apply(&[Message::FlowMod(FlowMod::add(&flow))]);
    let added = ReplyBody::FlowMonitor(vec![FlowUpdate::Full {
        event: FlowEvent::Added,
        flow: Box::new(flow.clone()),
    }]);
    let told = |message: &Message| matches!(message, Message::MultipartReply(_));
    assert_eq!(switch.wait_for(told), Message::MultipartReply(added.into()));
    other.apply(&[Message::FlowMod(FlowMod::delete_by_cookie(flow.cookie))]);
    let Message::MultipartReply(reply) = switch.wait_for(told) else {
        panic!("a reply");
    };
    let ReplyBody::FlowMonitor(updates) = reply.body else {
        panic!("{reply:?}");
    };
    let [FlowUpdate::Full { event, flow: gone }] = updates.as_slice() else {
        panic!("{updates:?}");
    };
    assert!(matches!(event, FlowEvent::Removed(_)));
    assert_eq!(gone.cookie, flow.cookie);
}

#[test]
fn packets_come_in_both_formats_and_go_on_when_resumed() {
    let ovs = Ovs::start();
    let mut switch = ovs.connect();
    let all_packets = SwitchConfig {
        flags: 0,
        miss_send_len: 0xffff,
    };
    let packet_out = |action: Action| {
        Message::PacketOut(PacketOut {
            buffer_id: 0xffff_ffff,
            metadata: Match::any().with(Field::InPort, PortNo::LOCAL.0),
            actions: vec![action],
            data: packet().into(),
        })
    };
    switch.apply(&[Message::SetConfig(all_packets)]);
    // Packets come before or after the answer to a barrier, so there is none from here on.
    let to_controller = Action::Output {
        port: PortNo::CONTROLLER,
        max_len: 0xffff,
    };
    switch.send(Xid(5), &packet_out(to_controller));
    let Message::PacketIn(standard) =
        switch.wait_for(|message| matches!(message, Message::PacketIn(_)))
    else {
        panic!("a packet");
    };
    assert_eq!(standard.data, packet());
    assert_eq!(
        standard.metadata,
        Match::any().with(Field::InPort, PortNo::LOCAL.0)
    );

    // The packet stops in table 0 and, once resumed, goes on to the second controller action.
    let pause = Controller {
        userdata: bytes::Bytes::from_static(&[1, 2, 3]),
        pause: true,
        ..Controller::default()
    };
    let after = Controller {
        userdata: bytes::Bytes::from_static(&[4]),
        ..Controller::default()
    };
    let flow = Flow {
        table: TableId(0),
        priority: 1,
        flow_match: Match::any(),
        cookie: Cookie(5),
        idle_timeout: 0,
        hard_timeout: 0,
        instructions: vec![Instruction::ApplyActions(vec![
            Action::set(Field::Reg1, 17u128),
            OtherAction::Controller(pause).into(),
            OtherAction::Controller(after).into(),
        ])],
    };
    switch.apply(&[
        Message::SetPacketInFormat(PacketInFormat::Nxt2),
        Message::FlowMod(FlowMod::add(&flow)),
    ]);
    let through_table_0 = Action::Output {
        port: PortNo(0xffff_fff9),
        max_len: 0,
    };
    switch.send(Xid(6), &packet_out(through_table_0));
    let is_packet = |message: &Message| matches!(message, Message::PacketIn2(_));
    let Message::PacketIn2(paused) = switch.wait_for(is_packet) else {
        panic!("a packet");
    };
    assert_eq!(paused.packet, packet());
    assert_eq!(paused.userdata, [1, 2, 3].as_slice());
    assert_eq!(paused.metadata.field(Field::Reg1), Some((17, None)));
    assert!(paused.continuation.is_some());
    switch.send(Xid(7), &Message::Resume(paused));
    let Message::PacketIn2(resumed) = switch.wait_for(is_packet) else {
        panic!("a packet");
    };
    assert_eq!(resumed.userdata, [4].as_slice());
}

#[test]
fn a_removed_flow_is_reported_with_its_counters() {
    let ovs = Ovs::start();
    let mut switch = ovs.connect();
    let mut add = FlowMod::add(&sample_flow());
    add.flags = FlowFlags::SEND_FLOW_REM;
    let all = AsyncConfig {
        masks: vec![(AsyncKind::FlowRemovedMaster, 0x0f)],
        unknown: Vec::new(),
    };
    switch.apply(&[Message::SetAsync(all), Message::FlowMod(add)]);
    let delete = FlowMod::delete_strict(&sample_flow());
    switch.send(Xid(9), &Message::FlowMod(delete));
    let Message::FlowRemoved(removed) =
        switch.wait_for(|message| matches!(message, Message::FlowRemoved(_)))
    else {
        panic!("a removed flow");
    };
    assert_eq!(removed.cookie, sample_flow().cookie);
    assert_eq!(removed.flow_match, sample_flow().flow_match);
    assert_eq!(removed.counters.packets, Some(0));
}

fn sample_flow() -> Flow {
    Flow {
        table: TableId(3),
        priority: 7,
        flow_match: Match::any().with(Field::Reg4, 1u128),
        cookie: Cookie(0x1234),
        idle_timeout: 10,
        hard_timeout: 20,
        instructions: vec![Instruction::GotoTable(TableId(4))],
    }
}

fn port() -> Port {
    Port {
        number: PortNo(3),
        hw_addr: [2, 0, 0, 0, 0, 3],
        name: "veth3".to_owned(),
        config: PortConfig::PORT_DOWN,
        state: PortState::LIVE,
        properties: bytes::Bytes::new(),
    }
}

/// A message of each kind, and a part of what ovs-ofctl says of it.
pub(crate) fn messages() -> Vec<(Message, &'static str)> {
    let counters = FlowCounters {
        duration: Some(Duration::from_millis(1500)),
        idle: Some(Duration::from_secs(2)),
        flows: None,
        packets: Some(3),
        bytes: Some(400),
    };
    let tuple = CtTuple {
        src: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))),
        dst_port: Some(80),
        ..CtTuple::default()
    };
    let vendor = ErrorCode::from_name("NXTTMFC_ALREADY_MAPPED").expect("a name");
    let request = |body: RequestBody| Message::MultipartRequest(body.into());
    let reply = |body: ReplyBody| Message::MultipartReply(body.into());
    let mut all = vec![
        (Message::Hello(Hello::OURS), "OFPT_HELLO"),
        (
            Message::Error(ErrorMessage {
                code: vendor,
                data: bytes::Bytes::from_static(&[6, 20, 0, 8, 0, 0, 0, 1]),
            }),
            "NXTTMFC_ALREADY_MAPPED",
        ),
        (
            Message::EchoRequest(bytes::Bytes::new()),
            "OFPT_ECHO_REQUEST",
        ),
        (Message::EchoReply(bytes::Bytes::new()), "OFPT_ECHO_REPLY"),
        (Message::FeaturesRequest, "OFPT_FEATURES_REQUEST"),
        (
            Message::FeaturesReply(Features {
                datapath_id: DatapathId(0xabcd),
                n_buffers: 0,
                n_tables: 254,
                auxiliary_id: 0,
                capabilities: 0x4f,
            }),
            "dpid:000000000000abcd",
        ),
        (Message::GetConfigRequest, "OFPT_GET_CONFIG_REQUEST"),
        (
            Message::GetConfigReply(SwitchConfig {
                flags: 0,
                miss_send_len: 128,
            }),
            "miss_send_len=128",
        ),
        (
            Message::SetConfig(SwitchConfig::default()),
            "OFPT_SET_CONFIG",
        ),
        (
            Message::PacketIn(PacketIn {
                buffer_id: 0xffff_ffff,
                total_len: 60,
                reason: 1,
                table: TableId(7),
                cookie: Cookie(0x55),
                metadata: Match::any().with(Field::InPort, 3u128),
                data: packet().into(),
            }),
            "table_id=7 cookie=0x55 total_len=60 in_port=3 (via action)",
        ),
        (
            Message::PacketOut(PacketOut {
                buffer_id: 0xffff_ffff,
                metadata: Match::any().with(Field::InPort, 3u128),
                actions: vec![Action::output(PortNo(4))],
                data: packet().into(),
            }),
            "in_port=3 actions=output:4",
        ),
        (
            Message::FlowRemoved(FlowRemoved {
                table: TableId(3),
                reason: 2,
                priority: 7,
                idle_timeout: 1,
                hard_timeout: 2,
                cookie: Cookie(5),
                flow_match: Match::any().with(Field::Reg0, 1u128),
                counters,
            }),
            "priority=7,reg0=0x1 reason=delete table_id=3 cookie:0x5 duration1.500s idle1 hard2 \
             pkts3 bytes400",
        ),
        (
            Message::PortStatus(PortStatus {
                reason: PortReason::Add,
                port: port(),
            }),
            "ADD: 3(veth3): addr:02:00:00:00:00:03",
        ),
        (
            Message::FlowMod(FlowMod::delete_by_cookie(Cookie(0x77))),
            "cookie:0x77/0xffffffffffffffff",
        ),
        (
            Message::FlowMod(FlowMod::modify_strict(&sample_flow())),
            "MOD_STRICT table:3 priority=7,reg4=0x1",
        ),
        (
            Message::FlowMod(FlowMod::delete_strict(&sample_flow())),
            "DEL_STRICT table:3 priority=7,reg4=0x1",
        ),
        (
            Message::GroupMod(GroupMod::delete(GroupId(9))),
            "DEL group_id=9",
        ),
        (
            Message::GroupMod(GroupMod::modify(group())),
            "MOD group_id=5,type=select",
        ),
        (
            Message::GroupMod(GroupMod::insert_buckets(
                GroupId(5),
                GroupType::Select,
                group().buckets,
                BucketPosition::Last,
            )),
            "INSERT_BUCKET command_bucket_id:last,group_id=5",
        ),
        (
            Message::GroupMod(GroupMod::remove_bucket(GroupId(5), BucketPosition::At(1))),
            "REMOVE_BUCKET command_bucket_id:1,group_id=5",
        ),
        (
            Message::PortMod(PortMod {
                port: PortNo(3),
                hw_addr: [2, 0, 0, 0, 0, 3],
                config: PortConfig::PORT_DOWN,
                mask: PortConfig::PORT_DOWN,
                properties: bytes::Bytes::new(),
            }),
            "config: PORT_DOWN",
        ),
        (
            Message::TableMod(TableMod {
                table: TableId(2),
                config: 4,
                properties: bytes::Bytes::new(),
            }),
            "table_id=2",
        ),
        (
            Message::MeterMod(MeterMod {
                command: MeterCommand::Add,
                meter: meter(),
            }),
            "ADD meter=7 kbps burst stats bands=",
        ),
        (Message::BarrierRequest, "OFPT_BARRIER_REQUEST"),
        (Message::BarrierReply, "OFPT_BARRIER_REPLY"),
        (
            Message::RoleRequest(RoleMessage {
                role: Role::Master,
                generation_id: 3,
            }),
            "role=primary generation_id=3",
        ),
        (
            Message::RoleReply(RoleMessage {
                role: Role::Slave,
                generation_id: 3,
            }),
            "role=secondary",
        ),
        (
            Message::RoleStatus(RoleStatus {
                role: Role::Slave,
                reason: 0,
                generation_id: 3,
                properties: bytes::Bytes::new(),
            }),
            "role=secondary generation_id=3 reason=primary_request",
        ),
        (Message::GetAsyncRequest, "OFPT_GET_ASYNC_REQUEST"),
        (
            Message::SetAsync(AsyncConfig {
                masks: vec![(AsyncKind::PortStatusMaster, 7)],
                unknown: Vec::new(),
            }),
            "PORT_STATUS: add delete modify",
        ),
        (
            Message::TlvTableMod(TlvTableMod {
                command: TlvTableCommand::Add,
                mappings: vec![sample::IDENTITY],
            }),
            "0xff51   0x1      12  tun_metadata0",
        ),
        (Message::TlvTableRequest, "NXT_TLV_TABLE_REQUEST"),
        (
            Message::TlvTableReply(TlvTableReply {
                max_option_space: 256,
                max_fields: 64,
                mappings: vec![sample::IDENTITY],
            }),
            "max option space=256 max fields=64",
        ),
        (
            Message::SetPacketInFormat(PacketInFormat::Nxt2),
            "format=nxt_packet_in2",
        ),
        (Message::SetControllerId(17), "id=17"),
        (
            Message::PacketIn2(PacketIn2 {
                packet: packet().into(),
                table: Some(TableId(7)),
                cookie: Some(Cookie(0x55)),
                reason: Some(1),
                metadata: Match::any()
                    .with(Field::InPort, 3u128)
                    .with(Field::Reg1, 9u128),
                userdata: bytes::Bytes::from_static(&[1, 2]),
                ..PacketIn2::default()
            }),
            "table_id=7 cookie=0x55 total_len=60 reg1=0x9,in_port=3 (via action)",
        ),
        (Message::CtFlushZone(13), "zone_id=13"),
        (
            Message::CtFlush(CtFlush {
                ip_proto: 6,
                original: tuple,
                zone: Some(13),
                ..CtFlush::default()
            }),
            "ct_tp_dst=80,ct_nw_proto=6'",
        ),
        (
            request(RequestBody::Flow(FlowFilter::with_cookie(
                Cookie(1),
                Cookie(0xff),
            ))),
            "OFPST_FLOW request",
        ),
        (
            request(RequestBody::TableFeatures(vec![TableFeatures::set_name(
                TableId(5),
                "policy",
            )])),
            "policy",
        ),
        (
            request(RequestBody::FlowMonitor(vec![FlowMonitor {
                id: 3,
                command: MonitorCommand::Delete,
                flags: MonitorFlags::ADD,
                table: TableId(1),
                out_port: PortNo::ANY,
                out_group: GroupId::ANY,
                flow_match: Match::any(),
            }])),
            "id=3",
        ),
        (
            reply(ReplyBody::Desc(SwitchDesc {
                manufacturer: "someone".to_owned(),
                ..SwitchDesc::default()
            })),
            "Manufacturer: someone",
        ),
        (
            reply(ReplyBody::Flow(vec![FlowStats {
                flow: sample_flow(),
                flags: FlowFlags::SEND_FLOW_REM,
                importance: 4,
                counters,
            }])),
            "cookie=0x1234, duration=1.500s, table=3, n_packets=3, n_bytes=400, idle_timeout=10, \
             hard_timeout=20, send_flow_rem importance=4, idle_age=2, priority=7,reg4=0x1 \
             actions=goto_table:4",
        ),
        (
            reply(ReplyBody::Aggregate(FlowCounters {
                flows: Some(5),
                packets: Some(6),
                bytes: Some(7),
                ..FlowCounters::default()
            })),
            "packet_count=6 byte_count=7 flow_count=5",
        ),
        (
            reply(ReplyBody::GroupStats(vec![GroupStats {
                group: GroupId(5),
                ref_count: 2,
                packets: 10,
                bytes: 100,
                duration: Some(Duration::from_secs(3)),
                buckets: vec![(4, 40), (6, 60)],
            }])),
            "packet_count=6,byte_count=60",
        ),
        (
            reply(ReplyBody::MeterStats(vec![MeterStats {
                id: MeterId(7),
                flow_count: 2,
                packets: 10,
                bytes: 100,
                duration: Some(Duration::from_secs(3)),
                bands: vec![(1, 2)],
            }])),
            "meter:7 flow_count:2 packet_in_count:10 byte_in_count:100",
        ),
        (reply(ReplyBody::PortDesc(vec![port()])), "3(veth3)"),
        (
            reply(ReplyBody::FlowMonitor(vec![
                FlowUpdate::Full {
                    event: FlowEvent::Added,
                    flow: Box::new(sample_flow()),
                },
                FlowUpdate::Abbreviated(Xid(0x99)),
            ])),
            "event=ABBREV xid=0x99",
        ),
    ];
    all.extend(
        requests()
            .into_iter()
            .map(|body| (request(body), "request")),
    );
    all
}

#[test]
fn a_message_of_each_kind_is_what_ovs_ofctl_says_it_is() {
    let ovs = Ovs::start();
    let context = sample::context();
    for (message, wanted) in messages() {
        let mut bytes = Vec::new();
        message.encode(Xid(0x1234), &context, &mut bytes).unwrap();
        let again = Message::decode(&Frame::from_bytes(&bytes).unwrap(), &context);
        assert_eq!(again.as_ref(), Ok(&message));
        let text = ovs.ofctl_with_input(&["ofp-parse", "-"], &bytes);
        assert!(!text.contains("***"), "{message:?}: {text}");
        assert!(text.contains(wanted), "{wanted:?} is not in {text:?}");
        for length in 0..bytes.len() {
            let cut = Frame::from_bytes(&bytes[..length])
                .and_then(|frame| Message::decode(&frame, &context));
            assert!(cut.is_err(), "{length} bytes of {message:?}");
        }
    }
}

#[test]
fn an_error_has_the_name_that_ovs_gives_it() {
    for name in [
        "OFPFMFC_TABLE_FULL",
        "OFPBFC_MSG_FAILED",
        "OFPGMFC_GROUP_EXISTS",
    ] {
        let code = ErrorCode::from_name(name).unwrap();
        assert_eq!(code.to_string(), name);
    }
    assert_eq!(
        ErrorCode::Standard {
            error_type: 5,
            code: 1
        }
        .name(),
        Some("OFPFMFC_TABLE_FULL")
    );
    let unknown = ErrorCode::Vendor {
        vendor: 1,
        error_type: 2,
    };
    assert_eq!(unknown.to_string(), "error type 2 of vendor 0x1");
}
