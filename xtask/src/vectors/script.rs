// SPDX-License-Identifier: Apache-2.0
//! What ovs-ofctl and our codec say to the switch, so that as much as possible is said.

use anyhow::Result;
use openflow_codec::message::async_config::{AsyncConfig, AsyncKind};
use openflow_codec::message::bundle::{BundleAdd, BundleCommand, BundleControl, BundleFlags};
use openflow_codec::message::config::SwitchConfig;
use openflow_codec::message::flow_mod::{FlowFlags, FlowMod};
use openflow_codec::message::group_mod::GroupMod;
use openflow_codec::message::message_type as of;
use openflow_codec::message::multipart::RequestBody;
use openflow_codec::message::multipart::flow_monitor::{FlowMonitor, MonitorCommand, MonitorFlags};
use openflow_codec::message::packet_in::PacketInFormat;
use openflow_codec::message::packet_out::PacketOut;
use openflow_codec::message::role::{Role, RoleMessage};
use openflow_codec::{
    Action, Bucket, BundleId, Cookie, Field, Flow, Group, GroupId, GroupType, Instruction, Match,
    Message, PortNo, TableId, Xid,
};

use super::flows;
use super::stage::Stage;
use crate::ovs::Connection;

/// A file's name, and what is said for it.
pub(crate) type Play = (&'static str, fn(&Stage) -> Result<()>);

/// Everything that is said, by file.
pub(crate) const PLAYS: &[Play] = &[
    ("switch.txt", switch),
    ("flows.txt", flows::flows),
    ("matches.txt", flows::matches),
    ("actions.txt", flows::actions),
    ("groups.txt", groups),
    ("meters.txt", meters),
    ("tunnels.txt", tunnels),
    ("bundles.txt", bundles),
    ("packets.txt", packets),
    ("monitors.txt", monitors),
    ("notices.txt", notices),
    ("errors.txt", errors),
];

fn is(kind: u8) -> impl Fn(&[u8]) -> bool {
    move |message| message.get(1) == Some(&kind)
}

fn is_nicira(subtype: u8) -> impl Fn(&[u8]) -> bool {
    move |message| message.get(8..16) == Some(&[0, 0, 0x23, 0x20, 0, 0, 0, subtype])
}

/// Says it, and hears whatever the switch answers.
fn say(connection: &mut Connection, messages: &[Message]) {
    connection.transact(messages);
}

fn switch(stage: &Stage) -> Result<()> {
    for line in [
        ["show", "BR"],
        ["dump-desc", "BR"],
        ["dump-tables", "BR"],
        ["dump-table-features", "BR"],
        ["dump-table-desc", "BR"],
        ["dump-ports", "BR"],
        ["dump-ports-desc", "BR"],
        ["queue-stats", "BR"],
        ["queue-get-config", "BR"],
        ["get-frags", "BR"],
        ["probe", "BR"],
    ] {
        stage.ofctl(&line)?;
    }
    stage.each(&["dump-ports", "BR"], &["1", "LOCAL"])?;
    stage.each(&["dump-ports-desc", "BR"], &["2"])?;
    stage.each(&["set-frags", "BR"], &["drop", "normal"])?;
    stage.each(&["mod-port", "BR", "p1"], &["no-flood", "no-forward", "up"])?;
    let tables = ["evict", "noevict", "vacancy:20,80", "novacancy"];
    stage.each(&["mod-table", "BR", "3"], &tables)?;
    stage.ofctl(&["mod-table", "BR", "4", "name:policy"])?;
    let mut connection = stage.connect();
    let role = |role, generation_id| {
        Message::RoleRequest(RoleMessage {
            role,
            generation_id,
        })
    };
    say(
        &mut connection,
        &[
            Message::EchoRequest(bytes::Bytes::from_static(b"culvert")),
            Message::EchoReply(bytes::Bytes::from_static(b"culvert")),
            Message::FeaturesRequest,
            Message::GetConfigRequest,
            Message::SetConfig(SwitchConfig {
                flags: 0,
                miss_send_len: 128,
            }),
            Message::GetConfigRequest,
            Message::SetControllerId(7),
            Message::SetPacketInFormat(PacketInFormat::Standard),
            Message::GetAsyncRequest,
            Message::SetAsync(asynchronous()),
            Message::GetAsyncRequest,
            role(Role::NoChange, 0),
            role(Role::Equal, 0),
            role(Role::Slave, 5),
            role(Role::Master, 6),
        ],
    );
    Ok(())
}

/// Everything that a switch can tell by itself.
fn asynchronous() -> AsyncConfig {
    let all = |kind, mask| (kind, mask);
    AsyncConfig {
        masks: vec![
            all(AsyncKind::PacketInSlave, 0),
            all(AsyncKind::PacketInMaster, 0x3f),
            all(AsyncKind::PortStatusSlave, 7),
            all(AsyncKind::PortStatusMaster, 7),
            all(AsyncKind::FlowRemovedSlave, 0xf),
            all(AsyncKind::FlowRemovedMaster, 0xf),
            all(AsyncKind::RoleStatusSlave, 7),
            all(AsyncKind::RoleStatusMaster, 7),
            all(AsyncKind::TableStatusSlave, 0x18),
            all(AsyncKind::TableStatusMaster, 0x18),
            all(AsyncKind::RequestForwardSlave, 3),
            all(AsyncKind::RequestForwardMaster, 3),
        ],
        unknown: Vec::new(),
    }
}

fn groups(stage: &Stage) -> Result<()> {
    stage.each(
        &["add-group", "BR"],
        &[
            "group_id=1,type=all,bucket=actions=output:1,bucket=actions=output:2",
            "group_id=2,type=select,selection_method=hash,selection_method_param=7,\
             fields(ip_src=255.255.255.0,tcp_dst),bucket=bucket_id:1,weight:10,actions=output:1,\
             bucket=bucket_id:2,weight:20,actions=set_field:1->reg0,resubmit(,7)",
            "group_id=3,type=select,selection_method=dp_hash,bucket=weight:1,actions=output:1",
            "group_id=4,type=indirect,bucket=actions=output:2",
            "group_id=5,type=ff,bucket=watch_port:1,actions=output:1,bucket=watch_group:1,actions=group:1",
            "group_id=6,type=select,bucket=bucket_id:1,actions=drop",
        ],
    )?;
    stage.ofctl(&[
        "mod-group",
        "BR",
        "group_id=4,type=indirect,bucket=actions=output:1",
    ])?;
    stage.ofctl(&[
        "--may-create",
        "mod-group",
        "BR",
        "group_id=7,type=all,bucket=actions=drop",
    ])?;
    stage.each(
        &["insert-buckets", "BR"],
        &[
            "group_id=2,command_bucket_id=last,bucket=bucket_id:3,weight:1,actions=output:2",
            "group_id=2,command_bucket_id=first,bucket=bucket_id:4,weight:1,actions=output:2",
            "group_id=2,command_bucket_id=3,bucket=bucket_id:5,weight:1,actions=output:2",
        ],
    )?;
    stage.ofctl(&["dump-groups", "BR"])?;
    stage.each(&["dump-groups", "BR"], &["2"])?;
    stage.ofctl(&["dump-group-stats", "BR"])?;
    stage.each(&["dump-group-stats", "BR"], &["group_id=1"])?;
    stage.ofctl(&["dump-group-features", "BR"])?;
    stage.each(
        &["remove-buckets", "BR"],
        &[
            "group_id=2,command_bucket_id=first",
            "group_id=2,command_bucket_id=2",
            "group_id=2,command_bucket_id=all",
        ],
    )?;
    stage.each(&["del-groups", "BR"], &["group_id=3"])?;
    stage.ofctl(&["del-groups", "BR"])
}

fn meters(stage: &Stage) -> Result<()> {
    stage.each(
        &["add-meter", "BR"],
        &[
            "meter=1,kbps,burst,stats,band=type=drop,rate=1000,burst_size=100",
            "meter=2,pktps,band=type=drop,rate=5",
        ],
    )?;
    // The dummy datapath refuses it; the message is what counts.
    stage.refused(&[
        "add-meter",
        "BR",
        "meter=3,kbps,band=type=dscp_remark,rate=9,prec_level=1",
    ])?;
    stage.ofctl(&["mod-meter", "BR", "meter=2,pktps,band=type=drop,rate=6"])?;
    for dump in ["dump-meters", "meter-stats"] {
        stage.ofctl(&[dump, "BR"])?;
        stage.ofctl(&[dump, "BR", "meter=1"])?;
    }
    stage.ofctl(&["meter-features", "BR"])?;
    stage.ofctl(&["del-meter", "BR", "meter=1"])?;
    stage.ofctl(&["del-meters", "BR"])
}

fn tunnels(stage: &Stage) -> Result<()> {
    stage.ofctl(&[
        "add-tlv-map",
        "BR",
        "{class=0xff51,type=1,len=12}->tun_metadata0,{class=0xffff,type=2,len=4}->tun_metadata1",
    ])?;
    stage.ofctl(&["dump-tlv-map", "BR"])?;
    let field = "tun_metadata0=0x800000000000000000000000/0x800000000000000000000000";
    stage.each(
        &["add-flow", "BR"],
        &[
            &format!("{field},actions=drop"),
            "tun_metadata1=0x5,actions=set_field:0x7->tun_metadata0,output:1",
            "reg1=1,actions=delete_field:tun_metadata0",
            "reg0=1,actions=move:NXM_NX_TUN_METADATA0[0..95]->NXM_NX_XXREG1[0..95]",
        ],
    )?;
    stage.ofctl(&["dump-flows", "BR"])?;
    stage.ofctl(&["del-flows", "BR"])?;
    stage.ofctl(&[
        "del-tlv-map",
        "BR",
        "{class=0xffff,type=2,len=4}->tun_metadata1",
    ])?;
    stage.ofctl(&["del-tlv-map", "BR"])?;
    stage.ofctl(&["ct-flush-zone", "BR", "5"])?;
    stage.ofctl(&["ct-flush", "BR", "zone=5"])?;
    stage.ofctl(&[
        "ct-flush",
        "BR",
        "zone=5",
        "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=6,ct_tp_src=1,ct_tp_dst=2",
        "ct_nw_src=10.0.0.2,ct_nw_dst=10.0.0.1,ct_nw_proto=6,ct_tp_src=2,ct_tp_dst=1",
    ])?;
    stage.ofctl(&[
        "ct-flush",
        "BR",
        "ct_ipv6_src=fd00::1,ct_nw_proto=58,icmp_type=128,icmp_code=0,icmp_id=7",
    ])
}

fn bundles(stage: &Stage) -> Result<()> {
    stage.ofctl(&["--bundle", "add-flow", "BR", "table=1,actions=drop"])?;
    stage.ofctl(&[
        "--bundle",
        "add-group",
        "BR",
        "group_id=1,type=all,bucket=actions=output:1",
    ])?;
    stage.ofctl(&["--bundle", "del-flows", "BR", "table=1"])?;
    let flags = BundleFlags::ATOMIC | BundleFlags::ORDERED;
    let control = |command| {
        Message::BundleControl(BundleControl {
            bundle: BundleId(5),
            command,
            flags,
        })
    };
    let mut connection = stage.connect();
    let flow = Message::FlowMod(FlowMod::add(&flow(3)));
    let add = BundleAdd::new(BundleId(5), flags, &flow, &connection.context)?;
    say(
        &mut connection,
        &[
            control(BundleCommand::OpenRequest),
            Message::BundleAdd(add),
            control(BundleCommand::CloseRequest),
            control(BundleCommand::CommitRequest),
            control(BundleCommand::OpenRequest),
            control(BundleCommand::DiscardRequest),
        ],
    );
    Ok(())
}

/// A flow that sends everything of port 1 to port 2.
fn flow(table: u8) -> Flow {
    Flow {
        table: TableId(table),
        priority: 7,
        flow_match: Match::any().with(Field::InPort, 1u8),
        cookie: Cookie(0xc1),
        idle_timeout: 0,
        hard_timeout: 0,
        instructions: vec![Instruction::ApplyActions(vec![Action::output(PortNo(2))])],
    }
}

/// An ARP request of 60 bytes in hex.
fn packet() -> String {
    format!(
        "ffffffffffff020000000001080600010800060400010200000000010a0000010000000000000a000002{}",
        "00".repeat(18)
    )
}

fn packets(stage: &Stage) -> Result<()> {
    let out = |actions: &str| format!("in_port=1,packet={},actions={actions}", packet());
    stage.ofctl(&["packet-out", "BR", &out("output:2")])?;
    stage.ofctl(&["packet-out", "BR", &out("set_field:1->reg0,resubmit(,0)")])?;
    let mut connection = stage.connect();
    say(
        &mut connection,
        &[Message::SetConfig(SwitchConfig {
            flags: 0,
            miss_send_len: 0xffff,
        })],
    );
    let from = stage.said();
    stage.ofctl(&["packet-out", "BR", &out("CONTROLLER:65535")])?;
    stage.wait(from, 1, is(of::PACKET_IN))?;

    say(
        &mut connection,
        &[Message::SetPacketInFormat(PacketInFormat::Nxt2)],
    );
    stage.ofctl(&[
        "add-flow",
        "BR",
        "cookie=0x5,actions=set_field:0x11->reg1,controller(userdata=01.02.03,pause),\
         controller(max_len=20,userdata=04)",
    ])?;
    let from = stage.said();
    connection.send(
        Xid(9),
        &Message::PacketOut(PacketOut {
            buffer_id: u32::MAX,
            metadata: Match::any().with(Field::InPort, 1u8),
            // OFPP_TABLE.
            actions: vec![Action::output(PortNo(0xffff_fff9))],
            data: vec![0xff; 60].into(),
        }),
    );
    let Message::PacketIn2(paused) = connection.wait_for(|m| matches!(m, Message::PacketIn2(_)))
    else {
        return Ok(());
    };
    connection.send(Xid(10), &Message::Resume(paused));
    stage.wait(from, 2, is_nicira(30))?;

    let from = stage.said();
    let monitor = stage.start(&["monitor", "BR", "65535", "-P", "nxt_packet_in2"], 3)?;
    stage.ofctl(&["packet-out", "BR", &out("controller(userdata=05)")])?;
    stage.wait(from, 1, is_nicira(30))?;
    drop(monitor);
    Ok(())
}

fn monitors(stage: &Stage) -> Result<()> {
    stage.ofctl(&["add-flow", "BR", "table=1,cookie=0x1,actions=drop"])?;
    let is_event = |message: &[u8]| is(of::MULTIPART_REPLY)(message);
    let from = stage.said();
    let watching = stage.start(&["monitor", "BR", "watch:"], 2)?;
    stage.wait(from, 1, is_event)?;
    for (number, line) in [
        [
            "add-flow",
            "BR",
            "table=2,cookie=0x2,idle_timeout=9,actions=output:1",
        ],
        ["mod-flows", "BR", "table=2,actions=output:2"],
        ["del-flows", "BR", "table=2"],
    ]
    .iter()
    .enumerate()
    {
        stage.ofctl(line)?;
        stage.wait(from, number + 2, is_event)?;
    }
    drop(watching);

    let mut connection = stage.connect();
    let monitor = |command| FlowMonitor {
        id: 3,
        command,
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
    let request = |command| {
        Message::MultipartRequest(RequestBody::FlowMonitor(vec![monitor(command)]).into())
    };
    // A change of its own is told in short.
    say(
        &mut connection,
        &[
            request(MonitorCommand::Add),
            Message::FlowMod(FlowMod::add(&flow(5))),
            request(MonitorCommand::Modify),
            request(MonitorCommand::Delete),
        ],
    );
    Ok(())
}

fn notices(stage: &Stage) -> Result<()> {
    let mut hears = stage.connect();
    let master = |generation_id| {
        Message::RoleRequest(RoleMessage {
            role: Role::Master,
            generation_id,
        })
    };
    say(&mut hears, &[Message::SetAsync(asynchronous()), master(1)]);
    let from = stage.said();
    stage.ofctl(&["mod-port", "BR", "p2", "down"])?;
    stage.wait(from, 1, is(of::PORT_STATUS))?;

    let mut removed = FlowMod::add(&flow(6));
    removed.flags = FlowFlags::SEND_FLOW_REM;
    say(
        &mut hears,
        &[
            Message::FlowMod(removed),
            Message::FlowMod(FlowMod::delete_strict(&flow(6))),
        ],
    );
    stage.wait(from, 1, is(of::FLOW_REMOVED))?;

    stage.ovs.vsctl(&[
        "--id=@limit",
        "create",
        "Flow_Table",
        "flow_limit=10",
        "--",
        "set",
        "bridge",
        "br0",
        "flow_tables:8=@limit",
    ]);
    stage.ofctl(&["mod-table", "BR", "8", "vacancy:20,80"])?;
    for number in 1..=9 {
        stage.ofctl(&[
            "add-flow",
            "BR",
            &format!("table=8,reg0={number},actions=drop"),
        ])?;
    }
    stage.wait(from, 1, is(of::TABLE_STATUS))?;
    stage.ofctl(&["del-flows", "BR", "table=8"])?;
    stage.wait(from, 2, is(of::TABLE_STATUS))?;

    let mut other = stage.connect();
    let group = Group {
        id: GroupId(9),
        group_type: GroupType::Indirect,
        selection: None,
        buckets: vec![Bucket::new(0, 0, vec![Action::output(PortNo(1))])],
    };
    say(&mut other, &[Message::GroupMod(GroupMod::add(group))]);
    stage.wait(from, 1, is(of::REQUESTFORWARD))?;
    say(&mut other, &[master(2)]);
    stage.wait(from, 1, is(of::ROLE_STATUS))
}

fn errors(stage: &Stage) -> Result<()> {
    stage.refused(&["add-flow", "BR", "actions=group:99"])?;
    stage.refused(&["add-flow", "BR", "actions=meter:99"])?;
    stage.refused(&[
        "add-group",
        "BR",
        "group_id=1,type=ff,bucket=actions=group:1",
    ])?;
    stage.refused(&[
        "mod-group",
        "BR",
        "group_id=77,type=all,bucket=actions=drop",
    ])?;
    stage.refused(&["mod-meter", "BR", "meter=77,kbps,band=type=drop,rate=1"])?;
    stage.refused(&["add-tlv-map", "BR", "{class=1,type=1,len=3}->tun_metadata0"])?;
    stage.refused(&["--bundle", "add-flow", "BR", "actions=group:99"])?;
    let mut connection = stage.connect();
    let unknown = |message_type, body: &'static [u8]| Message::Unknown {
        message_type,
        body: bytes::Bytes::from_static(body),
    };
    let stale = |generation_id| {
        Message::RoleRequest(RoleMessage {
            role: Role::Slave,
            generation_id,
        })
    };
    // NXAST_WRITE_METADATA, which is an instruction in OpenFlow 1.5.
    let write_metadata = [
        [0xff, 0xff, 0, 32, 0, 0, 0x23, 0x20],
        [0, 22, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 0, 0xff],
    ];
    let mut flow = flow(1);
    flow.instructions = vec![Instruction::ApplyActions(vec![Action::Unknown(
        write_metadata.concat().into(),
    )])];
    say(
        &mut connection,
        &[
            unknown(40, &[]),
            unknown(of::EXPERIMENTER, &[0, 0, 0x23, 0x20, 0, 0, 0, 99]),
            unknown(of::EXPERIMENTER, &[0, 0, 0, 1, 0, 0, 0, 2]),
            unknown(of::MULTIPART_REQUEST, &[0, 17, 0, 0, 0, 0, 0, 0]),
            stale(9),
            stale(8),
            Message::FlowMod(FlowMod::add(&flow)),
            Message::BundleControl(BundleControl {
                bundle: BundleId(1),
                command: BundleCommand::CommitRequest,
                flags: BundleFlags::empty(),
            }),
        ],
    );
    Ok(())
}
