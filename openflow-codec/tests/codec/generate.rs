// SPDX-License-Identifier: Apache-2.0
//! Flows and groups as a switch would take them, made from a fixed seed.

use std::net::IpAddr;

use openflow_codec::action::{CtZone, NatKind};
use openflow_codec::oxm::{Class, Form};
use openflow_codec::{
    Action, Bucket, Cookie, Ct, Field, Flow, Group, GroupId, GroupType, Instruction, Match,
    MeterId, Nat, PortNo, SelectionMethod, Subfield, TableId,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// A group and a meter that flows may refer to.
pub(crate) const GROUP: GroupId = GroupId(5);
pub(crate) const METER: MeterId = MeterId(7);

/// `count` values of a strategy, the same at each run.
pub(crate) fn values<S: Strategy>(strategy: &S, count: usize) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..count)
        .map(|_| strategy.new_tree(&mut runner).expect("a value").current())
        .collect()
}

/// What a packet is, and so which fields can be matched and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protocol {
    eth_type: u16,
    ip_proto: u8,
    /// Of neighbour discovery: `icmpv6_type`.
    discovery: Option<u8>,
    fields: &'static [Field],
    writable: &'static [Field],
}

const TCP4: &[Field] = &[
    Field::Ipv4Src,
    Field::Ipv4Dst,
    Field::IpDscp,
    Field::IpEcn,
    Field::IpTtl,
    Field::TcpSrc,
    Field::TcpDst,
    Field::TcpFlags,
];
const PROTOCOLS: &[Protocol] = &[
    protocol(0, 0, &[], &[]),
    protocol(
        0x0800,
        0,
        &[Field::Ipv4Src, Field::Ipv4Dst, Field::IpFrag],
        &[Field::Ipv4Src, Field::IpTtl, Field::IpDscp, Field::IpEcn],
    ),
    protocol(
        0x0800,
        6,
        TCP4,
        &[Field::Ipv4Dst, Field::TcpSrc, Field::TcpDst],
    ),
    protocol(
        0x0800,
        17,
        &[Field::UdpSrc, Field::UdpDst],
        &[Field::UdpSrc, Field::UdpDst],
    ),
    protocol(
        0x0800,
        132,
        &[Field::SctpSrc, Field::SctpDst],
        &[Field::SctpSrc, Field::SctpDst],
    ),
    protocol(0x0800, 1, &[Field::Icmpv4Type, Field::Icmpv4Code], &[]),
    protocol(0x0800, 47, &[Field::Ipv4Src], &[]),
    protocol(
        0x86dd,
        0,
        &[Field::Ipv6Src, Field::Ipv6Dst, Field::Ipv6Flabel],
        &[Field::Ipv6Src, Field::Ipv6Dst, Field::Ipv6Flabel],
    ),
    protocol(
        0x86dd,
        6,
        &[Field::Ipv6Src, Field::TcpDst, Field::TcpFlags],
        &[Field::TcpDst],
    ),
    protocol(0x86dd, 17, &[Field::UdpSrc], &[Field::UdpSrc]),
    protocol(0x86dd, 132, &[Field::SctpDst], &[]),
    protocol(0x86dd, 58, &[Field::Icmpv6Type, Field::Icmpv6Code], &[]),
    Protocol {
        discovery: Some(135),
        ..protocol(
            0x86dd,
            58,
            &[
                Field::NdReserved,
                Field::NdTarget,
                Field::NdOptionsType,
                Field::NdSll,
            ],
            &[Field::NdReserved, Field::NdTarget, Field::NdSll],
        )
    },
    Protocol {
        discovery: Some(136),
        ..protocol(
            0x86dd,
            58,
            &[Field::NdTarget, Field::NdTll],
            &[Field::NdOptionsType, Field::NdTll],
        )
    },
    protocol(0x86dd, 89, &[Field::Ipv6Dst, Field::IpTtl], &[]),
    protocol(
        0x0806,
        0,
        &[
            Field::ArpOp,
            Field::ArpSpa,
            Field::ArpTpa,
            Field::ArpSha,
            Field::ArpTha,
        ],
        &[Field::ArpSpa, Field::ArpTha],
    ),
    protocol(0x8035, 0, &[Field::ArpSpa], &[]),
    protocol(
        0x8847,
        0,
        &[
            Field::MplsLabel,
            Field::MplsTc,
            Field::MplsBos,
            Field::MplsTtl,
        ],
        &[Field::MplsLabel],
    ),
    protocol(0x88cc, 0, &[], &[]),
];

const fn protocol(
    eth_type: u16,
    ip_proto: u8,
    fields: &'static [Field],
    writable: &'static [Field],
) -> Protocol {
    Protocol {
        eth_type,
        ip_proto,
        discovery: None,
        fields,
        writable,
    }
}

impl Protocol {
    fn is_ip(self) -> bool {
        matches!(self.eth_type, 0x0800 | 0x86dd)
    }
}

/// Fields that every packet has and that can be matched.
fn general() -> Vec<Field> {
    let mut fields = vec![
        Field::ConjId,
        Field::ActsetOutput,
        Field::EthSrc,
        Field::EthDst,
        Field::TunId,
        Field::TunSrc,
        Field::TunDst,
        Field::TunIpv6Src,
        Field::TunIpv6Dst,
        Field::TunFlags,
        Field::TunGbpId,
        Field::TunGbpFlags,
        Field::TunMetadata0,
        Field::Metadata,
        Field::PktMark,
        Field::CtZone,
        Field::CtMark,
        Field::CtLabel,
        Field::InPort,
    ];
    fields.extend(registers());
    fields
}

fn registers() -> Vec<Field> {
    Field::all()
        .filter(|field| {
            field.info().name.starts_with("reg") || field.info().class == Class::PacketRegs
        })
        .chain([Field::Xxreg0, Field::Xxreg1, Field::Xxreg2, Field::Xxreg3])
        .collect()
}

fn writable() -> Vec<Field> {
    let mut fields = vec![
        Field::EthSrc,
        Field::EthDst,
        Field::TunId,
        Field::TunSrc,
        Field::TunDst,
        Field::TunIpv6Src,
        Field::TunMetadata0,
        Field::Metadata,
        Field::PktMark,
    ];
    fields.extend(registers());
    fields
}

/// All bits of a field on the test's bridge.
pub(crate) fn width(field: Field) -> u128 {
    match field.info().bits {
        // The identity option.
        992 => (1 << 96) - 1,
        128 => u128::MAX,
        bits => (1 << bits) - 1,
    }
}

/// A mask and a value within it; fields that take no mask get none.
fn value(field: Field) -> BoxedStrategy<(u128, Option<u128>)> {
    let full = width(field);
    let value = match field {
        Field::InPort => prop_oneof![1u128..0xff00, Just(0xffff_fffeu128)].boxed(),
        Field::ActsetOutput => (1u128..0xff00).boxed(),
        // Of the fragment bits only these four are possible.
        Field::IpFrag => {
            return prop_oneof![
                Just((0, None)),
                Just((1, None)),
                Just((3, None)),
                Just((1, Some(1))),
                Just((0, Some(2)))
            ]
            .boxed();
        }
        // OVS keeps an opcode in 8 bits.
        Field::ArpOp => (1u128..256).boxed(),
        _ => (any::<u128>().prop_map(move |bits| bits & full)).boxed(),
    };
    let prefix = (0..field.info().bits.min(128)).prop_map(move |bits| Some(full & full << bits));
    let any_mask = any::<u128>().prop_map(move |mask| Some(mask & full));
    let mask = match field.info().form {
        // OVS prints no mask of these flags.
        _ if !field.info().maskable || field == Field::TunGbpFlags => Just(None).boxed(),
        // ovs-ofctl prints other masks of IPv6 addresses, but cannot read them.
        Form::Ipv6 => prop_oneof![Just(None), prefix].boxed(),
        _ => prop_oneof![Just(None), any_mask, prefix].boxed(),
    };
    (value, mask)
        .prop_map(
            move |(value, mask)| match mask.filter(|mask| *mask != full && *mask != 0) {
                None => (value, None),
                Some(mask) => (value & mask, Some(mask)),
            },
        )
        .boxed()
}

type Value = (u128, Option<u128>);

fn pick(fields: Vec<Field>, most: usize) -> BoxedStrategy<Vec<(Field, Value)>> {
    if fields.is_empty() {
        return Just(Vec::new()).boxed();
    }
    let most = most.min(fields.len());
    prop::sample::subsequence(fields, 0..=most)
        .prop_flat_map(|fields| {
            fields
                .into_iter()
                .map(|field| value(field).prop_map(move |value| (field, value)))
                .collect::<Vec<_>>()
        })
        .boxed()
}

fn add(flow_match: Match, fields: Vec<(Field, Value)>) -> Match {
    fields.into_iter().fold(
        flow_match,
        |flow_match, (field, (value, mask))| match mask {
            None => flow_match.with(field, value),
            Some(mask) => flow_match.with_masked(field, value, mask),
        },
    )
}

fn flow_match(protocol: Protocol) -> BoxedStrategy<Match> {
    let vlan = prop_oneof![
        4 => Just(Match::any()),
        1 => Just(Match::any().with(Field::VlanVid, 0u128)),
        1 => Just(Match::any().with_masked(Field::VlanVid, 0x1000u128, 0x1000u128)),
        1 => (0u128..4096).prop_map(|vid| Match::any().with(Field::VlanVid, vid | 0x1000)),
        1 => (0u128..4096, 0u128..8).prop_map(|(vid, pcp)| {
            Match::any().with(Field::VlanVid, vid | 0x1000).with(Field::VlanPcp, pcp)
        }),
        1 => (0u128..4096, 1u128..4096).prop_map(|(vid, mask)| {
            Match::any().with_masked(Field::VlanVid, vid | 0x1000, mask | 0x1000)
        }),
    ];
    let conntrack = prop_oneof![
        3 => Just(Match::any()),
        // Nothing can be committed of an invalid packet.
        3 => (0u128..256, 1u128..256).prop_map(|(state, mask)| {
            Match::any().with_masked(Field::CtState, state & !0x10, mask)
        }),
        1 => pick(vec![Field::CtIpv4Src, Field::CtIpv4Dst], 2).prop_map(|fields| {
            let tracked = Match::any()
                .with(Field::EthType, 0x0800u128)
                .with_masked(Field::CtState, 0x22u128, 0x22u128);
            add(tracked, fields)
        }),
    ];
    (
        vlan,
        conntrack,
        pick(general(), 5),
        pick(protocol.fields.to_vec(), 9),
    )
        .prop_map(move |(vlan, conntrack, general, specific)| {
            let mut flow_match = vlan;
            if protocol.eth_type != 0 {
                flow_match = flow_match.with(Field::EthType, protocol.eth_type);
            }
            if protocol.ip_proto != 0 {
                flow_match = flow_match.with(Field::IpProto, protocol.ip_proto);
            }
            if let Some(kind) = protocol.discovery {
                flow_match = flow_match.with(Field::Icmpv6Type, kind);
            }
            let original = conntrack.field(Field::EthType).is_some();
            if !original || protocol.eth_type == 0x0800 {
                for field in conntrack.fields() {
                    flow_match = flow_match.insert(field);
                }
            }
            add(add(flow_match, general), specific)
        })
        .boxed()
}

fn subfield(fields: Vec<Field>, bits: u16) -> BoxedStrategy<Subfield> {
    let wide: Vec<_> = fields
        .into_iter()
        .filter(|field| width(*field).count_ones() as u16 >= bits)
        .collect();
    (prop::sample::select(wide), any::<prop::sample::Index>())
        .prop_map(move |(field, index)| {
            let room = width(field).count_ones() as u16 - bits;
            let offset = index.index(usize::from(room) + 1) as u16;
            Subfield::new(field, offset, bits)
        })
        .boxed()
}

fn nat(protocol: Protocol) -> BoxedStrategy<Nat> {
    let ports = prop_oneof![
        Just(None),
        (1u16..=9, 9u16..=99).prop_map(Some),
        (1u16..).prop_map(|port| Some((port, port)))
    ];
    let v4 = prop_oneof![
        (any::<u16>(), any::<u16>()).prop_map(|(low, more)| {
            let low = 0x0a00_0000 + u32::from(low);
            (
                IpAddr::V4(low.into()),
                IpAddr::V4((low + u32::from(more)).into()),
            )
        }),
        any::<u16>().prop_map(|low| {
            let address = IpAddr::V4((0x0a00_0000 + u32::from(low)).into());
            (address, address)
        }),
    ];
    let v6 = (any::<u16>(), any::<u16>()).prop_map(|(low, more)| {
        let low = 0xfd00u128 << 112 | u128::from(low);
        (
            IpAddr::V6(low.into()),
            IpAddr::V6((low + u128::from(more)).into()),
        )
    });
    let kind = prop_oneof![Just(NatKind::Src), Just(NatKind::Dst)];
    prop_oneof![
        1 => Just(Nat::default()),
        1 => kind.clone().prop_map(|kind| Nat { kind: Some(kind), ..Nat::default() }),
        4 => (kind, if protocol.eth_type == 0x0800 { v4.boxed() } else { v6.boxed() }, ports, any::<bool>(), 0..3).prop_map(
            |(kind, addresses, ports, persistent, choice)| Nat {
                kind: Some(kind),
                addresses: Some(addresses),
                ports,
                persistent,
                hash: choice == 1,
                random: choice == 2,
            }
        ),
    ]
    .boxed()
}

fn set_field(fields: Vec<Field>) -> BoxedStrategy<Action> {
    prop::sample::select(fields)
        .prop_flat_map(|field| value(field).prop_map(move |value| (field, value)))
        .prop_map(|(field, (value, mask))| Action::SetField { field, value, mask })
        .boxed()
}

fn ct(protocol: Protocol) -> BoxedStrategy<Action> {
    let alg = match protocol.ip_proto {
        6 => 21,
        17 => 69,
        _ => 0,
    };
    let zone = prop_oneof![
        any::<u16>().prop_map(CtZone::Immediate),
        subfield(vec![Field::Reg0, Field::Xxreg1], 16).prop_map(CtZone::Field),
    ];
    let exec = prop::collection::vec(
        prop_oneof![
            set_field(vec![Field::CtMark, Field::CtLabel]),
            (1u16..=32)
                .prop_flat_map(|bits| {
                    (
                        subfield(vec![Field::Reg1, Field::Xxreg1], bits),
                        subfield(vec![Field::CtMark, Field::CtLabel], bits),
                    )
                })
                .prop_map(|(src, dst)| Action::CopyField { src, dst }),
        ],
        0..3,
    );
    (
        any::<(bool, bool)>(),
        zone,
        prop::option::of((0u8..254).prop_map(TableId)),
        prop::option::of(nat(protocol)),
        exec,
        prop_oneof![2 => Just(0u16), 1 => Just(alg)],
    )
        .prop_map(|((commit, force), zone, table, nat, exec, alg)| {
            let translates = nat.as_ref().is_some_and(|nat| nat.kind.is_some());
            let commit = commit || translates || !exec.is_empty();
            Action::Ct(Ct {
                commit,
                force: force && commit,
                zone,
                table,
                alg: if commit { alg } else { 0 },
                nat,
                exec,
            })
        })
        .boxed()
}

fn port() -> BoxedStrategy<PortNo> {
    prop_oneof![
        (1u32..0xff00).prop_map(PortNo),
        Just(PortNo::LOCAL),
        Just(PortNo::IN_PORT)
    ]
    .boxed()
}

/// An action that may stand in a flow for `protocol`.
fn action(protocol: Protocol) -> BoxedStrategy<Action> {
    let mut fields = writable();
    fields.extend(protocol.writable);
    let copy = (1u16..=128).prop_flat_map({
        let fields = fields.clone();
        move |bits| {
            (
                subfield(fields.clone(), bits),
                subfield(fields.clone(), bits),
            )
        }
    });
    let mut choices = vec![
        port()
            .prop_map(|port| Action::Output { port, max_len: 0 })
            .boxed(),
        any::<u16>()
            .prop_map(|max_len| Action::Output {
                port: PortNo::CONTROLLER,
                max_len,
            })
            .boxed(),
        Just(Action::Group(GROUP)).boxed(),
        Just(Action::Meter(METER)).boxed(),
        any::<u32>().prop_map(Action::SetQueue).boxed(),
        set_field(fields.clone()),
        set_field(fields),
        copy.prop_filter("not onto itself", |(src, dst)| src.field != dst.field)
            .prop_map(|(src, dst)| Action::CopyField { src, dst })
            .boxed(),
        (port(), any::<u8>())
            .prop_map(|(port, table)| Action::Resubmit {
                port,
                table: TableId(table),
                ct: false,
            })
            .boxed(),
        (1u16..=32)
            .prop_flat_map(|bits| subfield(registers(), bits))
            .prop_map(|src| Action::OutputReg {
                src,
                max_len: 0xffff,
            })
            .boxed(),
        Just(Action::CtClear).boxed(),
    ];
    if protocol.is_ip() {
        choices.push(ct(protocol));
        choices.push(Just(Action::DecNwTtl).boxed());
    }
    prop::strategy::Union::new(choices).boxed()
}

/// Instructions of a flow in `table`.
fn instructions(protocol: Protocol, table: u8) -> BoxedStrategy<Vec<Instruction>> {
    let written = prop_oneof![
        port().prop_map(|port| Action::Output { port, max_len: 0 }),
        Just(Action::Group(GROUP)),
        set_field(vec![Field::EthSrc, Field::TunId]),
    ];
    (
        prop::collection::vec(action(protocol), 0..6),
        prop::option::weighted(0.1, Just(Instruction::ClearActions)),
        prop::option::weighted(0.2, prop::collection::vec(written, 1..2)),
        prop::option::weighted(0.2, any::<(u64, u64)>()),
        prop::option::weighted(0.5, (table + 1)..254),
    )
        .prop_map(|(mut applied, clear, written, metadata, goto)| {
            // ovs-ofctl takes one meter, and it first.
            if let Some(at) = applied.iter().position(|a| matches!(a, Action::Meter(_))) {
                let meter = applied.remove(at);
                applied.retain(|action| !matches!(action, Action::Meter(_)));
                applied.insert(0, meter);
            }
            let mut instructions = Vec::new();
            if !applied.is_empty() {
                instructions.push(Instruction::ApplyActions(applied));
            }
            instructions.extend(clear);
            instructions.extend(written.map(Instruction::WriteActions));
            instructions.extend(metadata.map(|(metadata, mask)| Instruction::WriteMetadata {
                metadata: metadata & mask,
                mask,
            }));
            instructions.extend(goto.map(|table| Instruction::GotoTable(TableId(table))));
            instructions
        })
        .boxed()
}

/// A flow that a switch takes.
pub(crate) fn flow() -> BoxedStrategy<Flow> {
    (prop::sample::select(PROTOCOLS), 0u8..250)
        .prop_flat_map(|(protocol, table)| {
            (
                flow_match(protocol),
                instructions(protocol, table),
                Just(table),
                any::<u16>(),
                any::<u64>(),
                prop_oneof![Just((0, 0)), (any::<u16>(), any::<u16>())],
            )
        })
        .prop_map(
            |(flow_match, instructions, table, priority, cookie, timeouts)| Flow {
                table: TableId(table),
                priority,
                flow_match,
                cookie: Cookie(cookie),
                idle_timeout: timeouts.0,
                hard_timeout: timeouts.1,
                instructions,
            },
        )
        .boxed()
}

/// Flows that can all be on one switch: their cookies are 1, 2, 3, ... and so are their priorities.
pub(crate) fn flows(count: usize) -> Vec<Flow> {
    values(&flow(), count)
        .into_iter()
        .zip(1u16..)
        .map(|(flow, number)| Flow {
            priority: number,
            cookie: Cookie(number.into()),
            ..flow
        })
        .collect()
}

/// A group that a switch takes.
pub(crate) fn group() -> BoxedStrategy<Group> {
    let any_group_type = prop_oneof![
        Just(GroupType::All),
        Just(GroupType::Select),
        Just(GroupType::Indirect),
        Just(GroupType::FastFailover)
    ];
    let hash_fields = prop_oneof![
        Just(vec![]),
        Just(vec![(Field::Ipv4Src, 0xffff_ffff)]),
        Just(vec![(Field::Ipv4Src, 0xffff_ff00), (Field::TcpDst, 0xffff)]),
        Just(vec![
            (Field::EthSrc, 0xff),
            (Field::EthDst, width(Field::EthDst))
        ]),
    ];
    let selection = (any::<u64>(), hash_fields, any::<bool>()).prop_map(|(param, fields, dp)| {
        SelectionMethod {
            method: if dp { "dp_hash" } else { "hash" }.to_owned(),
            param,
            fields: if dp { vec![] } else { fields },
        }
    });
    (
        any_group_type,
        prop::option::of(selection),
        prop::collection::vec(
            (
                any::<u16>(),
                prop::collection::vec(action(PROTOCOLS[0]), 0..4),
                prop::option::of((1u32..100).prop_map(PortNo)),
            ),
            1..6,
        ),
    )
        .prop_map(|(group_type, selection, buckets)| Group {
            id: GroupId(0),
            group_type,
            selection: selection.filter(|_| group_type == GroupType::Select),
            buckets: buckets
                .into_iter()
                .take(if group_type == GroupType::Indirect {
                    1
                } else {
                    6
                })
                .zip(0u32..)
                .map(|((weight, actions, watch), id)| {
                    let mut bucket = Bucket::new(id * 3, 0, actions);
                    match group_type {
                        GroupType::Select => bucket.weight = weight,
                        GroupType::FastFailover => {
                            bucket.watch_port = watch.unwrap_or(PortNo(1));
                        }
                        _ => {}
                    }
                    bucket
                })
                .collect(),
        })
        .boxed()
}

/// Groups that can all be on one switch.
pub(crate) fn groups(count: usize) -> Vec<Group> {
    values(&group(), count)
        .into_iter()
        .zip(100u32..)
        .map(|(group, number)| Group {
            id: GroupId(number),
            ..group
        })
        .collect()
}
