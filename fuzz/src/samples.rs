// SPDX-License-Identifier: Apache-2.0
//! Values that the inputs to start from are made of.

use openflow_codec::message::async_config::{AsyncConfig, AsyncKind};
use openflow_codec::message::bundle::{BundleAdd, BundleCommand, BundleControl, BundleFlags};
use openflow_codec::message::config::SwitchConfig;
use openflow_codec::message::error::{ErrorCode, ErrorMessage};
use openflow_codec::message::features::Features;
use openflow_codec::message::flow_mod::{FlowFlags, FlowMod};
use openflow_codec::message::flow_removed::FlowRemoved;
use openflow_codec::message::group_mod::{BucketPosition, GroupCommand, GroupMod};
use openflow_codec::message::hello::Hello;
use openflow_codec::message::multipart::desc::SwitchDesc;
use openflow_codec::message::multipart::flow::{FlowCounters, FlowFilter, FlowStats};
use openflow_codec::message::multipart::table_features::TableFeatures;
use openflow_codec::message::multipart::{ReplyBody, RequestBody};
use openflow_codec::message::packet_out::PacketOut;
use openflow_codec::message::port::{Port, PortConfig, PortReason, PortState, PortStatus};
use openflow_codec::message::role::{Role, RoleMessage, RoleStatus};
use openflow_codec::message::tlv_table::{TlvTableCommand, TlvTableMod, TlvTableReply};
use openflow_codec::{
    Action, BundleId, Context, Cookie, DatapathId, Flow, Group, GroupId, Message, PortNo, TableId,
    TlvMapping, Xid,
};

use crate::memory::Limit;

/// Printing with `{:?}` writes every byte of what is kept as bytes in up to four characters, and
/// every field of a value with its name: an empty bucket of 8 bytes in 107. The text grows by half
/// or doubles, and both are in use meanwhile.
pub(crate) const PRINTED: Limit = Limit {
    largest: 48,
    in_use: 72,
    constant: 16_384,
};

/// The identity option of our tunnels.
pub(crate) const IDENTITY: TlvMapping = TlvMapping {
    class: 0xff51,
    option_type: 1,
    length: 12,
    index: 0,
};

pub(crate) fn context() -> Context {
    Context::with_tlv_table([&IDENTITY])
}

const FLOWS: &[&str] = &[
    "cookie=0x100000000000001, table=20, priority=100,ct_state=+est+trk,tcp,reg0=0x10/0xf0,\
     nw_dst=10.0.0.1,tp_dst=443 \
     actions=set_field:0x1->reg1,ct(commit,zone=193,table=30),resubmit(,20)",
    "table=1, priority=5,tun_metadata0=0x800000000000000000000000/0x800000000000000000000000,\
     ipv6,ipv6_src=fd00::/64,idle_timeout=3,hard_timeout=9 \
     actions=move:NXM_NX_TUN_METADATA0[0..95]->NXM_NX_XXREG1[0..95],dec_ttl,goto_table:7",
    "priority=3,arp,arp_op=1,arp_tpa=169.254.1.1,dl_vlan=7 actions=group:5,output:NXM_NX_REG0[]",
    "table=250,priority=0 actions=drop",
    "icmp6,icmp_type=135,nd_target=fd00::1,in_port=LOCAL \
     actions=write_metadata:0x1/0xff,clear_actions,goto_table:9",
];

const ACTIONS: &[&str] = &[
    "output:1",
    "IN_PORT",
    "LOCAL",
    "controller(reason=no_match,max_len=128,id=7,userdata=01.02.03,pause)",
    "output(port=3,max_len=100)",
    "output:NXM_NX_REG0[0..15]",
    "group:5",
    "set_field:0x1/0xff->xxreg2",
    "set_field:10.0.0.1->nw_dst",
    "set_field:0x5->tun_metadata0",
    "move:NXM_NX_REG1[0..7]->NXM_NX_REG2[8..15]",
    "dec_ttl",
    "dec_ttl(1,2)",
    "set_queue:7",
    "pop_queue",
    "meter:7",
    "resubmit(1,20)",
    "resubmit(,20,ct)",
    "ct_clear",
    "ct(commit,force,table=3,zone=NXM_NX_REG1[0..15],alg=ftp,\
     nat(src=10.0.0.1-10.0.0.9:10-99,persistent,random),\
     exec(set_field:0x1/0x1->ct_mark,set_field:0x5->ct_label))",
    "ct(nat)",
    "ct(commit,nat(dst=[fd00::1]:80))",
    "push_vlan:0x8100",
    "pop_vlan",
    "push_mpls:0x8847",
    "pop_mpls:0x0800",
    "set_mpls_ttl(9)",
    "dec_mpls_ttl",
    "note:00.01.02.03.04.05",
    "multipath(symmetric_l4,1024,hrw,7,0,NXM_NX_REG0[0..7])",
    "bundle(eth_src,0,hrw,ofport,members:1,2,3)",
    "bundle_load(eth_src,0,active_backup,ofport,NXM_NX_REG0[],members:1,2)",
    "learn(table=1,idle_timeout=5,priority=7,cookie=0x1,delete_learned,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],\
     load:0x1->NXM_NX_REG0[],output:NXM_OF_IN_PORT[])",
    "exit",
    "fin_timeout(idle_timeout=3,hard_timeout=9)",
    "push:NXM_NX_REG0[]",
    "pop:NXM_NX_REG0[0..7]",
    "sample(probability=10,collector_set_id=1,obs_domain_id=2,obs_point_id=3,sampling_port=4)",
    "conjunction(1234,1/2)",
    "clone(set_field:0x1->reg0,clone(output:2))",
    "encap(nsh(md_type=1))",
    "encap(ethernet)",
    "decap()",
    "dec_nsh_ttl",
    "check_pkt_larger(1500)->NXM_NX_REG0[0]",
    "delete_field:tun_metadata0",
];

const GROUPS: &[&str] = &[
    "group_id=5,type=select,selection_method=hash,fields(ip_src,tcp_src),\
     bucket=bucket_id:1,weight:100,actions=ct(commit,table=3,nat(dst=10.0.0.1:80)),\
     bucket=bucket_id:2,weight:100,actions=set_field:1->reg0,resubmit(,7)",
    "group_id=6,type=ff,bucket=bucket_id:1,watch_port:1,watch_group:7,actions=output:1",
    "group_id=7,type=all,bucket=bucket_id:0,actions=output:1,bucket=bucket_id:1,actions=drop",
    "group_id=8,type=indirect,bucket=bucket_id:0,actions=output:1",
];

/// Texts that are read as they should be; a test says that all are.
fn read<T: std::str::FromStr>(texts: &[&str]) -> Vec<T> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

pub(crate) fn flows() -> Vec<Flow> {
    read(FLOWS)
}

pub(crate) fn actions() -> Vec<Action> {
    read(ACTIONS)
}

pub(crate) fn groups() -> Vec<Group> {
    read(GROUPS)
}

/// A flow with an interesting match.
pub(crate) fn flow() -> Flow {
    flows().into_iter().next().unwrap_or_else(drop_all)
}

pub(crate) fn drop_all() -> Flow {
    Flow {
        table: TableId(0),
        priority: 0,
        flow_match: openflow_codec::Match::any(),
        cookie: Cookie(1),
        idle_timeout: 0,
        hard_timeout: 0,
        instructions: Vec::new(),
    }
}

/// A message of every kind, encoded, with a name.
pub(crate) fn messages() -> Vec<(String, Vec<u8>)> {
    let mut named: Vec<(String, Message)> = plain_messages()
        .into_iter()
        .map(|(name, message)| (name.to_owned(), message))
        .collect();
    for (number, flow) in flows().iter().enumerate() {
        let message = Message::FlowMod(FlowMod::add(flow));
        named.push((format!("flow_mod_{number}"), message));
    }
    for (number, action) in actions().into_iter().enumerate() {
        let mut flow = drop_all();
        flow.instructions = vec![openflow_codec::Instruction::ApplyActions(vec![action])];
        let message = Message::FlowMod(FlowMod::add(&flow));
        named.push((format!("action_{number}"), message));
    }
    for (number, group) in groups().into_iter().enumerate() {
        let message = Message::GroupMod(GroupMod::add(group));
        named.push((format!("group_mod_{number}"), message));
    }
    named
        .into_iter()
        .filter_map(|(name, message)| {
            let mut bytes = Vec::new();
            let encoded = message.encode(Xid(7), &context(), &mut bytes);
            encoded.ok().map(|()| (name, bytes))
        })
        .collect()
}

fn plain_messages() -> Vec<(&'static str, Message)> {
    let standard = ErrorCode::Standard {
        error_type: 5,
        code: 4,
    };
    let vendor = ErrorCode::Vendor {
        vendor: 0x2320,
        error_type: 43,
    };
    let error = |code| {
        let data = vec![6, 14, 0, 8, 0, 0, 0, 7].into();
        Message::Error(ErrorMessage { code, data })
    };
    let role = RoleMessage {
        role: Role::Master,
        generation_id: 7,
    };
    let asynchronous = AsyncConfig {
        masks: vec![(AsyncKind::PortStatusMaster, 7)],
        unknown: vec![(0xfffe, vec![1, 2, 3, 4].into())],
    };
    let remove_bucket = GroupMod {
        command: GroupCommand::RemoveBucket(BucketPosition::At(3)),
        ..GroupMod::delete(GroupId(5))
    };
    let control = BundleControl {
        bundle: BundleId(1),
        command: BundleCommand::OpenRequest,
        flags: BundleFlags::ATOMIC,
    };
    let request = |body: RequestBody| Message::MultipartRequest(body.into());
    let reply = |body: ReplyBody| Message::MultipartReply(body.into());
    let mut messages = vec![
        ("hello", Message::Hello(Hello::OURS)),
        ("error", error(standard)),
        ("error_of_vendor", error(vendor)),
        ("echo_request", Message::EchoRequest(vec![1, 2, 3].into())),
        ("features_request", Message::FeaturesRequest),
        ("features_reply", Message::FeaturesReply(features())),
        ("set_config", Message::SetConfig(SwitchConfig::default())),
        ("packet_out", Message::PacketOut(packet_out())),
        ("flow_removed", Message::FlowRemoved(flow_removed())),
        ("port_status", Message::PortStatus(port_status())),
        ("remove_bucket", Message::GroupMod(remove_bucket)),
        ("role_request", Message::RoleRequest(role)),
        ("role_status", Message::RoleStatus(role_status())),
        ("set_async", Message::SetAsync(asynchronous)),
        ("bundle_control", Message::BundleControl(control)),
        ("tlv_table_mod", Message::TlvTableMod(tlv_table_mod())),
        ("tlv_table_reply", Message::TlvTableReply(tlv_table())),
        ("desc_request", request(RequestBody::Desc)),
        (
            "flow_request",
            request(RequestBody::Flow(FlowFilter::all())),
        ),
        (
            "group_request",
            request(RequestBody::GroupDesc(GroupId::ALL)),
        ),
        ("name_table", request(RequestBody::TableFeatures(tables()))),
        ("desc_reply", reply(ReplyBody::Desc(desc()))),
        ("flow_reply", reply(ReplyBody::Flow(flow_stats()))),
        ("aggregate_reply", reply(ReplyBody::Aggregate(counters()))),
        ("group_reply", reply(ReplyBody::GroupDesc(groups()))),
        ("table_reply", reply(ReplyBody::TableFeatures(tables()))),
        (
            "port_reply",
            reply(ReplyBody::PortDesc(vec![port(), port()])),
        ),
    ];
    let flow_mod = Message::FlowMod(FlowMod::delete_by_cookie(Cookie(5)));
    let flags = BundleFlags::ATOMIC | BundleFlags::ORDERED;
    if let Ok(add) = BundleAdd::new(BundleId(1), flags, &flow_mod, &context()) {
        messages.push(("bundle_add", Message::BundleAdd(add)));
    }
    messages
}

fn features() -> Features {
    Features {
        datapath_id: DatapathId(1),
        n_buffers: 0,
        n_tables: 254,
        auxiliary_id: 0,
        capabilities: 0x4f,
    }
}

fn packet_out() -> PacketOut {
    PacketOut {
        buffer_id: u32::MAX,
        metadata: openflow_codec::Match::any().with(openflow_codec::Field::InPort, 1u8),
        actions: vec![Action::output(PortNo(2))],
        data: vec![0xff; 14].into(),
    }
}

fn flow_removed() -> FlowRemoved {
    let flow = flow();
    FlowRemoved {
        table: flow.table,
        reason: 2,
        priority: flow.priority,
        idle_timeout: 0,
        hard_timeout: 0,
        cookie: flow.cookie,
        flow_match: flow.flow_match,
        counters: counters(),
    }
}

fn counters() -> FlowCounters {
    FlowCounters::default()
}

fn port() -> Port {
    Port {
        number: PortNo(3),
        hw_addr: [2, 0, 0, 0, 0, 3],
        name: "veth3".into(),
        config: PortConfig::empty(),
        state: PortState::empty(),
        properties: vec![0, 0, 0, 8, 0, 0, 0, 0].into(),
    }
}

fn port_status() -> PortStatus {
    PortStatus {
        reason: PortReason::Add,
        port: port(),
    }
}

fn role_status() -> RoleStatus {
    RoleStatus {
        role: Role::Slave,
        reason: 0,
        generation_id: 8,
        properties: Vec::new().into(),
    }
}

fn tlv_table_mod() -> TlvTableMod {
    TlvTableMod {
        command: TlvTableCommand::Add,
        mappings: vec![IDENTITY],
    }
}

fn tlv_table() -> TlvTableReply {
    TlvTableReply {
        max_option_space: 248,
        max_fields: 64,
        mappings: vec![IDENTITY],
    }
}

fn tables() -> Vec<TableFeatures> {
    vec![TableFeatures::set_name(TableId(7), "ingress")]
}

fn desc() -> SwitchDesc {
    SwitchDesc {
        manufacturer: "Nicira, Inc.".into(),
        hardware: "Open vSwitch".into(),
        software: "3.1.0".into(),
        serial: "None".into(),
        datapath: "br-int".into(),
    }
}

fn flow_stats() -> Vec<FlowStats> {
    flows()
        .into_iter()
        .map(|flow| FlowStats {
            flow,
            flags: FlowFlags::empty(),
            importance: 0,
            counters: counters(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_read() {
        for text in FLOWS {
            assert!(text.parse::<Flow>().is_ok(), "{text}");
        }
        for text in ACTIONS {
            assert!(text.parse::<Action>().is_ok(), "{text}");
        }
        for text in GROUPS {
            assert!(text.parse::<Group>().is_ok(), "{text}");
        }
    }
}
