// SPDX-License-Identifier: Apache-2.0
//! Messages of every kind, made from a fixed seed, each with a part of what ovs-ofctl says of it.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use openflow_codec::message::async_config::{AsyncConfig, AsyncKind};
use openflow_codec::message::bundle::{BundleAdd, BundleCommand, BundleControl, BundleFlags};
use openflow_codec::message::config::SwitchConfig;
use openflow_codec::message::ct_flush::{CtFlush, CtTuple};
use openflow_codec::message::error::{ErrorCode, ErrorMessage};
use openflow_codec::message::features::Features;
use openflow_codec::message::flow_mod::{FlowCommand, FlowFlags, FlowMod};
use openflow_codec::message::flow_removed::FlowRemoved;
use openflow_codec::message::group_mod::{BucketPosition, GroupMod};
use openflow_codec::message::hello::Hello;
use openflow_codec::message::meter::{
    Meter, MeterBand, MeterBandKind, MeterCommand, MeterFeatures, MeterFlags, MeterMod, MeterStats,
};
use openflow_codec::message::multipart::desc::SwitchDesc;
use openflow_codec::message::multipart::flow::{FlowCounters, FlowFilter, FlowStats};
use openflow_codec::message::multipart::flow_monitor::{
    FlowEvent, FlowMonitor, FlowUpdate, MonitorCommand, MonitorFlags,
};
use openflow_codec::message::multipart::stats::{
    GroupFeatures, GroupStats, PortStats, QueueDesc, QueueId, QueueStats, TableDesc, TableStats,
};
use openflow_codec::message::multipart::table_features::TableFeatures;
use openflow_codec::message::multipart::{ReplyBody, RequestBody};
use openflow_codec::message::packet_in::{PacketIn, PacketIn2, PacketInFormat};
use openflow_codec::message::packet_out::PacketOut;
use openflow_codec::message::port::{Port, PortConfig, PortMod, PortReason, PortState, PortStatus};
use openflow_codec::message::role::{Role, RoleMessage, RoleStatus};
use openflow_codec::message::table_mod::TableMod;
use openflow_codec::message::table_status::TableStatus;
use openflow_codec::message::tlv_table::{TlvTableCommand, TlvTableMod, TlvTableReply};
use openflow_codec::{
    BundleId, Cookie, DatapathId, Field, Group, GroupId, Match, Message, MeterId, PortNo, TableId,
    TlvMapping, Xid,
};
use proptest::prelude::*;

use crate::{generate, sample};

/// A message, and a part of ovs-ofctl's text.
pub(crate) type Told = (Message, String);

/// `count` messages of each kind.
pub(crate) fn messages(count: usize) -> Vec<Told> {
    let kinds = [
        greetings(),
        configuration(),
        packets(),
        modifications(),
        notices(),
        nicira(),
        bundles(),
        requests(),
        flow_replies(),
        replies(),
    ];
    kinds
        .iter()
        .flatten()
        .flat_map(|kind| generate::values(kind, count))
        .collect()
}

type Kinds = Vec<BoxedStrategy<Told>>;

/// A strategy of one kind of message: what it is made of, the message and its text.
fn kind<S: Strategy + 'static>(
    from: S,
    make: impl Fn(S::Value) -> Told + 'static,
) -> BoxedStrategy<Told> {
    from.prop_map(make).boxed()
}

/// A kind that has nothing to vary.
fn plain(message: Message, told: &'static str) -> BoxedStrategy<Told> {
    Just((message, told.to_owned())).boxed()
}

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 1..most).prop_map(Bytes::from)
}

/// An ARP packet with a sender of its own: its text is about OpenFlow only.
fn packet() -> impl Strategy<Value = Bytes> {
    any::<[u8; 4]>().prop_map(|sender| {
        let mut packet = [vec![0xff; 6], vec![2, 0], sender.into(), vec![8, 6]].concat();
        packet.resize(60, 0);
        packet.into()
    })
}

fn port_number() -> impl Strategy<Value = PortNo> {
    (1u32..0xff00).prop_map(PortNo)
}

fn name(most: usize) -> impl Strategy<Value = String> {
    prop::string::string_regex(&format!("[a-z][a-z0-9-]{{0,{}}}", most - 2)).expect("a pattern")
}

fn duration() -> impl Strategy<Value = Duration> {
    (0u64..100_000, 0u32..1000).prop_map(|(s, ms)| Duration::new(s, ms * 1_000_000))
}

fn role() -> impl Strategy<Value = (Role, &'static str)> {
    prop::sample::select(vec![
        (Role::NoChange, "nochange"),
        (Role::Equal, "equal"),
        (Role::Master, "primary"),
        (Role::Slave, "secondary"),
    ])
}

fn greetings() -> Kinds {
    vec![
        kind(1u32..64, |bits| {
            let versions = bits << 1;
            (Message::Hello(Hello { versions }), "OFPT_HELLO".into())
        }),
        kind(
            (
                prop::sample::select(vec![
                    "OFPFMFC_TABLE_FULL",
                    "OFPBRC_BAD_TYPE",
                    "NXTTMFC_ALREADY_MAPPED",
                    "OFPRRFC_STALE",
                ]),
                any::<u32>(),
            ),
            |(name, xid)| {
                let code = ErrorCode::from_name(name).expect("a name");
                let data = [vec![6, 20, 0, 8], xid.to_be_bytes().into()]
                    .concat()
                    .into();
                let told = format!("{name}\nOFPT_BARRIER_REQUEST (OF1.5) (xid={xid:#x}):");
                (Message::Error(ErrorMessage { code, data }), told)
            },
        ),
        kind(bytes(64), |data| {
            let told = format!("{} bytes of payload", data.len());
            (Message::EchoRequest(data), told)
        }),
        kind(bytes(64), |data| {
            let told = format!("{} bytes of payload", data.len());
            (Message::EchoReply(data), told)
        }),
        plain(Message::FeaturesRequest, "OFPT_FEATURES_REQUEST"),
        kind(
            (1u64.., any::<u32>(), any::<u8>()),
            |(id, n_buffers, n_tables)| {
                let features = Features {
                    datapath_id: DatapathId(id),
                    n_buffers,
                    n_tables,
                    auxiliary_id: 0,
                    capabilities: 0x4f,
                };
                let told = format!("dpid:{id:016x}\nn_tables:{n_tables}, n_buffers:{n_buffers}");
                (Message::FeaturesReply(features), told)
            },
        ),
        plain(Message::BarrierRequest, "OFPT_BARRIER_REQUEST"),
        plain(Message::BarrierReply, "OFPT_BARRIER_REPLY"),
    ]
}

fn configuration() -> Kinds {
    let config = || {
        any::<u16>().prop_map(|miss_send_len| SwitchConfig {
            flags: 0,
            miss_send_len,
        })
    };
    let told = |config: SwitchConfig| format!("miss_send_len={}", config.miss_send_len);
    let masks = || {
        (0u32..8, 0u32..16).prop_map(|(ports, flows)| AsyncConfig {
            masks: vec![
                (AsyncKind::PortStatusSlave, ports),
                (AsyncKind::PortStatusMaster, 7),
                (AsyncKind::FlowRemovedSlave, flows),
            ],
            unknown: Vec::new(),
        })
    };
    let all_masks = Just(AsyncConfig {
        masks: vec![
            (AsyncKind::PacketInSlave, 1),
            (AsyncKind::PacketInMaster, 7),
            (AsyncKind::FlowRemovedMaster, 15),
            (AsyncKind::RoleStatusSlave, 7),
            (AsyncKind::RoleStatusMaster, 7),
            (AsyncKind::TableStatusSlave, 24),
            (AsyncKind::TableStatusMaster, 24),
            (AsyncKind::RequestForwardSlave, 3),
            (AsyncKind::RequestForwardMaster, 3),
        ],
        unknown: Vec::new(),
    });
    let request_forward = "REQUESTFORWARD: group_mod_request meter_mod_request";
    vec![
        plain(Message::GetConfigRequest, "OFPT_GET_CONFIG_REQUEST"),
        kind(config(), move |config| {
            (Message::GetConfigReply(config), told(config))
        }),
        kind(config(), move |config| {
            (Message::SetConfig(config), told(config))
        }),
        plain(Message::GetAsyncRequest, "OFPT_GET_ASYNC_REQUEST"),
        kind(masks(), |masks| {
            (
                Message::GetAsyncReply(masks),
                "PORT_STATUS: add delete modify".into(),
            )
        }),
        kind(masks(), |masks| {
            (
                Message::SetAsync(masks),
                "PORT_STATUS: add delete modify".into(),
            )
        }),
        kind(all_masks, move |masks| {
            (Message::SetAsync(masks), request_forward.into())
        }),
        kind((role(), any::<u64>()), |((role, name), generation_id)| {
            let message = RoleMessage {
                role,
                generation_id,
            };
            let told = match role {
                Role::Master | Role::Slave => format!("role={name} generation_id={generation_id}"),
                _ => format!("role={name}"),
            };
            (Message::RoleRequest(message), told)
        }),
        kind((role(), any::<u64>()), |((role, name), generation_id)| {
            let message = RoleMessage {
                role,
                generation_id,
            };
            (Message::RoleReply(message), format!("role={name}"))
        }),
    ]
}

fn metadata() -> impl Strategy<Value = Match> {
    (1u128..0xff00, any::<u32>(), 1u32..).prop_map(|(port, mark, register)| {
        Match::any()
            .with(Field::InPort, port)
            .with(Field::Metadata, mark)
            .with(Field::Reg1, register)
    })
}

fn packets() -> Kinds {
    let packet_in2 = || {
        (
            packet(),
            prop::option::of(61u32..2000),
            prop::option::of(0u32..1000),
            prop::option::of((0u8..254).prop_map(TableId)),
            prop::option::of(any::<u64>().prop_map(Cookie)),
            metadata(),
            bytes(20),
        )
            .prop_map(
                |(packet, full_len, buffer_id, table, cookie, metadata, userdata)| PacketIn2 {
                    packet,
                    full_len,
                    buffer_id,
                    table,
                    cookie,
                    reason: Some(1),
                    metadata,
                    userdata,
                    ..PacketIn2::default()
                },
            )
    };
    let told = |packet: &PacketIn2| {
        let bytes: Vec<_> = packet
            .userdata
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("userdata={}", bytes.join("."))
    };
    let resume = (packet_in2(), any::<[u8; 16]>()).prop_map(|(packet, bridge)| {
        // Padding, and in it the property that names the bridge.
        let property = [0, 0, 0, 0, 0x80, 0, 0, 20];
        let continuation = [property.as_slice(), &bridge, &[0; 4]].concat();
        PacketIn2 {
            full_len: None,
            continuation: Some(continuation.into()),
            ..packet
        }
    });
    vec![
        kind(
            (packet(), any::<u64>(), 0u8..254, metadata()),
            |(data, cookie, table, metadata)| {
                let packet = PacketIn {
                    buffer_id: u32::MAX,
                    total_len: 60,
                    reason: 1,
                    table: TableId(table),
                    cookie: Cookie(cookie),
                    metadata,
                    data,
                };
                let told = format!("cookie={cookie:#x} total_len=60");
                (Message::PacketIn(packet), told)
            },
        ),
        kind(
            (packet(), metadata(), port_number()),
            |(data, metadata, port)| {
                let packet = PacketOut {
                    buffer_id: u32::MAX,
                    metadata,
                    actions: vec![openflow_codec::Action::output(port)],
                    data,
                };
                (
                    Message::PacketOut(packet),
                    format!("actions=output:{port} data_len=60"),
                )
            },
        ),
        kind(packet_in2(), move |packet| {
            let told = told(&packet);
            (Message::PacketIn2(packet), told)
        }),
        kind(resume, move |packet| {
            let told = told(&packet);
            (Message::Resume(packet), told)
        }),
    ]
}

fn band() -> impl Strategy<Value = MeterBand> {
    (1u32.., 1u32.., prop::option::of(1u8..64)).prop_map(|(rate, burst, level)| MeterBand {
        rate,
        burst,
        kind: level.map_or(MeterBandKind::Drop, MeterBandKind::DscpRemark),
    })
}

fn meter() -> impl Strategy<Value = Meter> {
    (
        1u32..1000,
        any::<bool>(),
        prop::collection::vec(band(), 1..3),
    )
        .prop_map(|(id, kbps, bands)| {
            let rate = if kbps {
                MeterFlags::KBPS
            } else {
                MeterFlags::PKTPS
            };
            Meter {
                id: MeterId(id),
                flags: rate | MeterFlags::BURST | MeterFlags::STATS,
                bands,
            }
        })
}

fn group() -> impl Strategy<Value = Group> {
    (generate::group(), 1u32..1000).prop_map(|(group, id)| Group {
        id: GroupId(id),
        ..group
    })
}

fn modifications() -> Kinds {
    let commands = [
        (FlowCommand::Add, "ADD"),
        (FlowCommand::Modify, "MOD"),
        (FlowCommand::ModifyStrict, "MOD_STRICT"),
        (FlowCommand::Delete, "DEL"),
        (FlowCommand::DeleteStrict, "DEL_STRICT"),
    ];
    let position = prop_oneof![
        (0u32..100).prop_map(BucketPosition::At),
        Just(BucketPosition::First),
        Just(BucketPosition::Last),
    ];
    vec![
        kind(
            (
                generate::flow(),
                prop::sample::select(commands.to_vec()),
                any::<u16>(),
            ),
            |(flow, (command, name), importance)| {
                let adds = command == FlowCommand::Add;
                let flow_mod = FlowMod {
                    command,
                    flags: FlowFlags::SEND_FLOW_REM | FlowFlags::CHECK_OVERLAP,
                    importance: if adds { importance } else { 0 },
                    ..FlowMod::add(&flow)
                };
                (Message::FlowMod(flow_mod), format!(" {name} "))
            },
        ),
        kind(group(), |group| {
            let told = format!("ADD group_id={},type=", group.id);
            (Message::GroupMod(GroupMod::add(group)), told)
        }),
        kind(group(), |group| {
            let told = format!("MOD group_id={},type=", group.id);
            (Message::GroupMod(GroupMod::modify(group)), told)
        }),
        kind(group(), |group| {
            let told = format!("ADD_OR_MOD group_id={},type=", group.id);
            (Message::GroupMod(GroupMod::add_or_modify(group)), told)
        }),
        kind(1u32..1000, |id| {
            (
                Message::GroupMod(GroupMod::delete(GroupId(id))),
                format!("DEL group_id={id}"),
            )
        }),
        kind((group(), position.clone()), |(group, position)| {
            let told = format!("group_id={}", group.id);
            let insert =
                GroupMod::insert_buckets(group.id, group.group_type, group.buckets, position);
            (Message::GroupMod(insert), told)
        }),
        kind((1u32..1000, position), |(id, position)| {
            let remove = GroupMod::remove_bucket(GroupId(id), position);
            (Message::GroupMod(remove), format!("group_id={id}"))
        }),
        kind((meter(), any::<bool>()), |(meter, modify)| {
            let (command, name) = match modify {
                true => (MeterCommand::Modify, "MOD"),
                false => (MeterCommand::Add, "ADD"),
            };
            let told = format!("{name} meter={} ", meter.id);
            (Message::MeterMod(MeterMod { command, meter }), told)
        }),
        kind(1u32..1000, |id| {
            let meter = Meter {
                id: MeterId(id),
                flags: MeterFlags::empty(),
                bands: Vec::new(),
            };
            let command = MeterCommand::Delete;
            (
                Message::MeterMod(MeterMod { command, meter }),
                format!("DEL meter={id}"),
            )
        }),
        kind((port_number(), any::<[u8; 5]>()), |(port, address)| {
            let [a, b, c, d, e] = address;
            let port_mod = PortMod {
                port,
                hw_addr: [2, a, b, c, d, e],
                config: PortConfig::NO_FWD,
                mask: PortConfig::NO_FWD | PortConfig::NO_RECV,
                properties: Bytes::new(),
            };
            let told = format!("port: {port}: addr:02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}");
            (Message::PortMod(port_mod), told)
        }),
        kind((0u8..254, any::<bool>()), |(table, evict)| {
            let table_mod = TableMod {
                table: TableId(table),
                config: if evict { 4 } else { 0 },
                properties: Bytes::new(),
            };
            let told = format!(
                "table_id={table}, eviction={}",
                if evict { "on" } else { "off" }
            );
            (Message::TableMod(table_mod), told)
        }),
    ]
}

fn port() -> impl Strategy<Value = Port> {
    (port_number(), any::<[u8; 6]>(), name(16), any::<bool>()).prop_map(
        |(number, hw_addr, name, down)| Port {
            number,
            hw_addr,
            name,
            config: if down {
                PortConfig::PORT_DOWN
            } else {
                PortConfig::empty()
            },
            state: PortState::LIVE,
            properties: Bytes::new(),
        },
    )
}

/// What a flow, or several, have counted.
fn counters() -> impl Strategy<Value = FlowCounters> {
    (duration(), any::<u32>(), any::<u32>()).prop_map(|(duration, packets, bytes)| FlowCounters {
        duration: Some(duration),
        packets: Some(packets.into()),
        bytes: Some(bytes.into()),
        ..FlowCounters::default()
    })
}

fn table_desc() -> impl Strategy<Value = TableDesc> {
    // The vacancy settings: down, up and now, in percent.
    (0u8..254, 1u8..50, 50u8..99).prop_map(|(table, down, up)| TableDesc {
        table: TableId(table),
        config: 8,
        properties: vec![0, 3, 0, 8, down, up, 100, 0].into(),
    })
}

fn notices() -> Kinds {
    let reasons = vec![
        (PortReason::Add, "ADD"),
        (PortReason::Delete, "DEL"),
        (PortReason::Modify, "MOD"),
    ];
    vec![
        kind(
            (port(), prop::sample::select(reasons)),
            |(port, (reason, name))| {
                let told = format!("{name}: {}({}): addr:", port.number, port.name);
                (Message::PortStatus(PortStatus { reason, port }), told)
            },
        ),
        kind((generate::flow(), counters()), |(flow, counters)| {
            let told = format!(
                "reason=delete table_id={} cookie:{:#x}",
                flow.table, flow.cookie.0
            );
            let removed = FlowRemoved {
                table: flow.table,
                reason: 2,
                priority: flow.priority,
                idle_timeout: flow.idle_timeout,
                hard_timeout: flow.hard_timeout,
                cookie: flow.cookie,
                flow_match: flow.flow_match,
                counters,
            };
            (Message::FlowRemoved(removed), told)
        }),
        kind((any::<u64>(), 0u8..3), |(generation_id, reason)| {
            let reasons = [
                "primary_request",
                "configuration_changed",
                "experimenter_data_changed",
            ];
            let status = RoleStatus {
                role: Role::Slave,
                reason,
                generation_id,
                properties: Bytes::new(),
            };
            let reason = reasons[usize::from(reason)];
            let told = format!("role=secondary generation_id={generation_id} reason={reason}");
            (Message::RoleStatus(status), told)
        }),
        kind((table_desc(), any::<bool>()), |(table, up)| {
            let (reason, name) = if up {
                (4, "VACANCY_UP")
            } else {
                (3, "VACANCY_DOWN")
            };
            let told = format!("reason={name}\ntable_desc:-\n  table {}:", table.table);
            (Message::TableStatus(TableStatus { reason, table }), told)
        }),
        kind(group(), |group| {
            let told = format!("reason=group_mod\n ADD group_id={}", group.id);
            let message = Message::GroupMod(GroupMod::add(group));
            let mut inner = Vec::new();
            let encoded = message.encode(Xid(3), &sample::context(), &mut inner);
            encoded.expect("a small group");
            (Message::RequestForward(inner.into()), told)
        }),
    ]
}

fn mapping() -> impl Strategy<Value = TlvMapping> {
    (any::<u16>(), any::<u8>(), 1u8..32, 0u16..64).prop_map(|(class, option_type, words, index)| {
        TlvMapping {
            class,
            option_type,
            length: words * 4,
            index,
        }
    })
}

fn tuple(v6: bool, icmp: bool) -> impl Strategy<Value = CtTuple> {
    let address = move |bits: u128| -> IpAddr {
        match v6 {
            true => IpAddr::V6((0xfd00 << 112 | bits >> 64).into()),
            false => IpAddr::V4((bits as u32).into()),
        }
    };
    (1u128.., 1u128.., 1u16.., 1u16..).prop_map(move |(src, dst, first, second)| CtTuple {
        src: Some(address(src)),
        dst: Some(address(dst)),
        src_port: (!icmp).then_some(first),
        dst_port: (!icmp).then_some(second),
        icmp: icmp.then_some((first, 8, 0)),
    })
}

fn nicira() -> Kinds {
    let commands = vec![
        (TlvTableCommand::Add, "ADD mapping table:"),
        (TlvTableCommand::Delete, "DEL mapping table:"),
    ];
    let flush = (any::<(bool, bool)>(), prop::option::of(any::<u16>())).prop_flat_map(
        |((v6, icmp), zone)| {
            let protocol = match (v6, icmp) {
                (_, false) => 6,
                (false, true) => 1,
                (true, true) => 58,
            };
            (Just(protocol), tuple(v6, icmp), tuple(v6, icmp), Just(zone))
        },
    );
    vec![
        kind(
            (mapping(), prop::sample::select(commands)),
            |(mapping, (command, told))| {
                let mappings = vec![mapping];
                (
                    Message::TlvTableMod(TlvTableMod { command, mappings }),
                    told.into(),
                )
            },
        ),
        plain(
            Message::TlvTableMod(TlvTableMod {
                command: TlvTableCommand::Clear,
                mappings: Vec::new(),
            }),
            "CLEAR",
        ),
        plain(Message::TlvTableRequest, "NXT_TLV_TABLE_REQUEST"),
        kind(
            (any::<u32>(), any::<u16>(), mapping()),
            |(space, fields, mapping)| {
                let reply = TlvTableReply {
                    max_option_space: space,
                    max_fields: fields,
                    mappings: vec![mapping],
                };
                let told = format!("max option space={space} max fields={fields}");
                (Message::TlvTableReply(reply), told)
            },
        ),
        kind(
            prop::sample::select(vec![
                (PacketInFormat::Standard, "standard"),
                (PacketInFormat::Nxt, "nxt_packet_in"),
                (PacketInFormat::Nxt2, "nxt_packet_in2"),
            ]),
            |(format, name)| (Message::SetPacketInFormat(format), format!("format={name}")),
        ),
        kind(any::<u16>(), |id| {
            (Message::SetControllerId(id), format!("id={id}"))
        }),
        kind(any::<u16>(), |zone| {
            (Message::CtFlushZone(zone), format!("zone_id={zone}"))
        }),
        kind(flush, |(ip_proto, original, reply, zone)| {
            let told = format!("zone={}", zone.unwrap_or(0));
            let flush = CtFlush {
                ip_proto,
                original,
                reply,
                zone,
                ..CtFlush::default()
            };
            (Message::CtFlush(flush), told)
        }),
    ]
}

fn bundles() -> Kinds {
    let commands = vec![
        (BundleCommand::OpenRequest, "OPEN_REQUEST"),
        (BundleCommand::OpenReply, "OPEN_REPLY"),
        (BundleCommand::CloseRequest, "CLOSE_REQUEST"),
        (BundleCommand::CloseReply, "CLOSE_REPLY"),
        (BundleCommand::CommitRequest, "COMMIT_REQUEST"),
        (BundleCommand::CommitReply, "COMMIT_REPLY"),
        (BundleCommand::DiscardRequest, "DISCARD_REQUEST"),
        (BundleCommand::DiscardReply, "DISCARD_REPLY"),
    ];
    let control = commands.into_iter().map(|(command, name)| {
        kind(any::<u32>(), move |id| {
            let control = BundleControl {
                bundle: BundleId(id),
                command,
                flags: BundleFlags::ATOMIC | BundleFlags::ORDERED,
            };
            let told = format!("bundle_id={id:#x} type={name} flags=atomic ordered");
            (Message::BundleControl(control), told)
        })
    });
    let add = kind((any::<u32>(), generate::flow()), |(id, flow)| {
        let flags = BundleFlags::ORDERED;
        let message = Message::FlowMod(FlowMod::add(&flow));
        let add = BundleAdd::new(BundleId(id), flags, &message, &sample::context());
        let told = format!("bundle_id={id:#x} flags=ordered\nOFPT_FLOW_MOD (OF1.5)");
        (Message::BundleAdd(add.expect("a small flow")), told)
    });
    control.chain([add]).collect()
}

fn filter() -> impl Strategy<Value = FlowFilter> {
    (generate::flow(), any::<u64>(), port_number()).prop_map(|(flow, mask, out_port)| FlowFilter {
        table: flow.table,
        out_port,
        out_group: GroupId::ANY,
        cookie: flow.cookie,
        cookie_mask: Cookie(mask),
        flow_match: flow.flow_match,
    })
}

fn monitor() -> impl Strategy<Value = FlowMonitor> {
    let commands = vec![
        MonitorCommand::Add,
        MonitorCommand::Modify,
        MonitorCommand::Delete,
    ];
    (generate::flow(), 1u32.., prop::sample::select(commands)).prop_map(|(flow, id, command)| {
        FlowMonitor {
            id,
            command,
            flags: MonitorFlags::INITIAL | MonitorFlags::ADD | MonitorFlags::INSTRUCTIONS,
            table: flow.table,
            out_port: PortNo::ANY,
            out_group: GroupId::ANY,
            flow_match: flow.flow_match,
        }
    })
}

fn requests() -> Kinds {
    let request = |body: RequestBody| Message::MultipartRequest(body.into());
    let queue = || {
        (port_number(), 0u32..100).prop_map(|(port, queue)| {
            (
                QueueId { port, queue },
                format!("port={port} queue={queue}"),
            )
        })
    };
    vec![
        plain(request(RequestBody::Desc), "OFPST_DESC request"),
        kind(filter(), move |filter| {
            let told = format!("table={}", filter.table);
            (request(RequestBody::Flow(filter)), told)
        }),
        kind(filter(), move |filter| {
            let told = format!("table={}", filter.table);
            (request(RequestBody::Aggregate(filter)), told)
        }),
        plain(request(RequestBody::TableStats), "OFPST_TABLE request"),
        kind(port_number(), move |port| {
            (
                request(RequestBody::PortStats(port)),
                format!("port_no={port}"),
            )
        }),
        kind(queue(), move |(queue, told)| {
            (request(RequestBody::QueueStats(queue)), told)
        }),
        kind(1u32..1000, move |id| {
            (
                request(RequestBody::GroupStats(GroupId(id))),
                format!("group_id={id}"),
            )
        }),
        kind(1u32..1000, move |id| {
            (
                request(RequestBody::GroupDesc(GroupId(id))),
                format!("group_id={id}"),
            )
        }),
        plain(
            request(RequestBody::GroupFeatures),
            "OFPST_GROUP_FEATURES request",
        ),
        kind(1u32..1000, move |id| {
            (
                request(RequestBody::MeterStats(MeterId(id))),
                format!("meter={id}"),
            )
        }),
        kind(1u32..1000, move |id| {
            (
                request(RequestBody::MeterDesc(MeterId(id))),
                format!("meter={id}"),
            )
        }),
        plain(
            request(RequestBody::MeterFeatures),
            "OFPST_METER_FEATURES request",
        ),
        kind((0u8..254, name(32)), move |(table, name)| {
            let told = format!("table {table} (\"{name}\")");
            let features = TableFeatures::set_name(TableId(table), name);
            (request(RequestBody::TableFeatures(vec![features])), told)
        }),
        kind(port_number(), move |port| {
            (request(RequestBody::PortDesc(port)), format!("port={port}"))
        }),
        plain(request(RequestBody::TableDesc), "OFPST_TABLE_DESC request"),
        kind(queue(), move |(queue, _)| {
            (
                request(RequestBody::QueueDesc(queue)),
                format!("port={}", queue.port),
            )
        }),
        kind(monitor(), move |monitor| {
            let told = format!("id={} ", monitor.id);
            (request(RequestBody::FlowMonitor(vec![monitor])), told)
        }),
    ]
}

fn reply(body: ReplyBody) -> Message {
    Message::MultipartReply(body.into())
}

fn flow_replies() -> Kinds {
    let events = vec![
        (FlowEvent::Initial, "event=INITIAL"),
        (FlowEvent::Added, "event=ADDED"),
        (FlowEvent::Removed(2), "event=DELETED reason=delete"),
        (FlowEvent::Modified, "event=MODIFIED"),
    ];
    let mut kinds: Kinds = events
        .into_iter()
        .map(|(event, told)| {
            kind(generate::flow(), move |flow| {
                let flow = Box::new(flow);
                let update = FlowUpdate::Full { event, flow };
                (reply(ReplyBody::FlowMonitor(vec![update])), told.into())
            })
        })
        .collect();
    kinds.extend([
        kind(any::<u32>(), |xid| {
            let update = FlowUpdate::Abbreviated(Xid(xid));
            (
                reply(ReplyBody::FlowMonitor(vec![update])),
                format!("event=ABBREV xid={xid:#x}"),
            )
        }),
        plain(
            reply(ReplyBody::FlowMonitor(vec![FlowUpdate::Paused])),
            "event=PAUSED",
        ),
        plain(
            reply(ReplyBody::FlowMonitor(vec![FlowUpdate::Resumed])),
            "event=RESUMED",
        ),
        kind(
            (generate::flow(), counters(), any::<u16>()),
            |(flow, counters, importance)| {
                let told = format!("cookie={:#x}, duration=", flow.cookie.0);
                let stats = FlowStats {
                    flow,
                    flags: FlowFlags::SEND_FLOW_REM,
                    importance,
                    counters,
                };
                (reply(ReplyBody::Flow(vec![stats])), told)
            },
        ),
        kind(
            (any::<u32>(), any::<u32>(), any::<u32>()),
            |(flows, packets, bytes)| {
                let counters = FlowCounters {
                    flows: Some(flows),
                    packets: Some(packets.into()),
                    bytes: Some(bytes.into()),
                    ..FlowCounters::default()
                };
                let told = format!("packet_count={packets} byte_count={bytes} flow_count={flows}");
                (reply(ReplyBody::Aggregate(counters)), told)
            },
        ),
    ]);
    kinds
}

fn replies() -> Kinds {
    vec![
        kind(
            (name(256), name(256), name(32), name(256)),
            |(manufacturer, hardware, serial, datapath)| {
                let told = format!("Manufacturer: {manufacturer}\nHardware: {hardware}");
                let desc = SwitchDesc {
                    manufacturer,
                    hardware,
                    software: "3.1.0".into(),
                    serial,
                    datapath,
                };
                (reply(ReplyBody::Desc(desc)), told)
            },
        ),
        kind(
            (0u8..254, 0u32..1000, any::<u32>()),
            |(table, active, lookups)| {
                let stats = TableStats {
                    table: TableId(table),
                    active,
                    lookups: lookups.into(),
                    matches: 1,
                };
                let told = format!("active={active}, lookup={lookups}, matched=1");
                (reply(ReplyBody::TableStats(vec![stats])), told)
            },
        ),
        kind(
            (port_number(), any::<[u32; 4]>(), duration()),
            |(port, counted, duration)| {
                let [rx_packets, tx_packets, rx_bytes, tx_bytes] = counted.map(u64::from);
                let stats = PortStats {
                    port,
                    duration: Some(duration),
                    rx_packets,
                    tx_packets,
                    rx_bytes,
                    tx_bytes,
                    rx_dropped: 1,
                    tx_dropped: 2,
                    rx_errors: 3,
                    tx_errors: 4,
                    properties: Bytes::new(),
                };
                let told = format!("rx pkts={rx_packets}, bytes={rx_bytes}, drop=1, errs=3");
                (reply(ReplyBody::PortStats(vec![stats])), told)
            },
        ),
        kind(
            (port_number(), 0u32..100, any::<u32>()),
            |(port, queue, bytes)| {
                let stats = QueueStats {
                    queue: QueueId { port, queue },
                    tx_bytes: bytes.into(),
                    tx_packets: 5,
                    tx_errors: 6,
                    duration: Some(Duration::from_secs(7)),
                    properties: Bytes::new(),
                };
                let told = format!("port {port} queue {queue}: bytes={bytes}, pkts=5, errors=6");
                (reply(ReplyBody::QueueStats(vec![stats])), told)
            },
        ),
        kind(
            (1u32..1000, any::<u32>(), any::<u32>(), duration()),
            |(id, packets, bytes, duration)| {
                let stats = GroupStats {
                    group: GroupId(id),
                    ref_count: 2,
                    packets: packets.into(),
                    bytes: bytes.into(),
                    duration: Some(duration),
                    buckets: vec![(1, 2), (packets.into(), bytes.into())],
                };
                let told = format!("bucket1:packet_count={packets},byte_count={bytes}");
                (reply(ReplyBody::GroupStats(vec![stats])), told)
            },
        ),
        kind(group(), |group| {
            let told = format!("group_id={},type=", group.id);
            (reply(ReplyBody::GroupDesc(vec![group])), told)
        }),
        kind(any::<[u32; 4]>(), |max_groups| {
            let features = GroupFeatures {
                types: 15,
                capabilities: 7,
                max_groups,
                actions: [1 << 22; 4],
            };
            let told = format!("max_groups={:#x}", max_groups[0]);
            (reply(ReplyBody::GroupFeatures(features)), told)
        }),
        kind((1u32..1000, any::<u32>()), |(id, packets)| {
            let stats = MeterStats {
                id: MeterId(id),
                flow_count: 2,
                packets: packets.into(),
                bytes: 100,
                duration: Some(Duration::from_secs(3)),
                bands: vec![(1, 2)],
            };
            let told = format!("meter:{id} flow_count:2 packet_in_count:{packets}");
            (reply(ReplyBody::MeterStats(vec![stats])), told)
        }),
        kind(meter(), |meter| {
            let told = format!("meter={} ", meter.id);
            (reply(ReplyBody::MeterDesc(vec![meter])), told)
        }),
        kind(
            (any::<u32>(), any::<u8>(), any::<u8>()),
            |(max_meter, max_bands, max_color)| {
                let features = MeterFeatures {
                    max_meter,
                    band_types: 6,
                    capabilities: 15,
                    max_bands,
                    max_color,
                    features: None,
                };
                let told =
                    format!("max_meter:{max_meter} max_bands:{max_bands} max_color:{max_color}");
                (reply(ReplyBody::MeterFeatures(features)), told)
            },
        ),
        kind(
            (0u8..254, name(32), 1u32..),
            |(table, name, max_entries)| {
                let told = format!("table {table} (\"{name}\")");
                let features = TableFeatures {
                    max_entries,
                    ..TableFeatures::set_name(TableId(table), name)
                };
                (reply(ReplyBody::TableFeatures(vec![features])), told)
            },
        ),
        kind(port(), |port| {
            let told = format!("{}({}): addr:", port.number, port.name);
            (reply(ReplyBody::PortDesc(vec![port])), told)
        }),
        kind(table_desc(), |table| {
            let told = format!("table {}:", table.table);
            (reply(ReplyBody::TableDesc(vec![table])), told)
        }),
        kind(
            (port_number(), 0u32..100, 1u16..1000),
            |(port, queue, rate)| {
                // The lowest rate.
                let mut properties = vec![0, 1, 0, 8];
                properties.extend(rate.to_be_bytes());
                properties.extend([0, 0]);
                let desc = QueueDesc {
                    queue: QueueId { port, queue },
                    properties: properties.into(),
                };
                let told = format!("queue {queue}:");
                (reply(ReplyBody::QueueDesc(vec![desc])), told)
            },
        ),
    ]
}
