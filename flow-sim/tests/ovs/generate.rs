// SPDX-License-Identifier: Apache-2.0
//! Random small pipelines and packets over few values, so that packets meet flows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow_sim::packet::{Arp, Ip, Payload, Transport};
use flow_sim::{CtState, MacAddr, Packet};
use openflow_codec::action::{CtZone, NatKind};
use openflow_codec::{
    Action, Bucket, Cookie, Ct, Field, Flow, Group, GroupId, GroupType, Instruction, Match, Nat,
    PortNo, SelectionMethod, Subfield, TableId,
};

use crate::PORTS;

const ZONE_FROM_REGISTER: CtZone = CtZone::Field(Subfield {
    field: Field::Reg1,
    offset: 0,
    bits: 16,
});
const TABLES: u8 = 6;
const FLOWS: usize = 40;
const PACKETS: usize = 12;
pub(crate) const GROUPS: u32 = 3;

/// A pipeline and what to send through it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) groups: Vec<Group>,
    pub(crate) flows: Vec<Flow>,
    pub(crate) packets: Vec<(Packet, Vec<CtState>)>,
}

/// A source of cases: xorshift64*.
pub(crate) struct Random {
    state: u64,
    /// Whether flows write action sets rather than use `ct`: vswitchd 3.1 aborts when `ct` forks a
    /// packet that has an action set (an assertion in `recirc_alloc_id__`).
    action_sets: bool,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let action_sets = seed.is_multiple_of(4);
        Self { state, action_sets }
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    pub(crate) fn case(&mut self) -> Case {
        let mut priority = 0;
        let flows = (1..=FLOWS as u64).map(|cookie| {
            // Every priority once: which of two equal flows wins is undefined.
            priority += 1;
            self.flow(cookie, priority)
        });
        Case {
            flows: flows.collect(),
            groups: (1..=GROUPS).map(|id| self.group(id)).collect(),
            packets: (0..PACKETS)
                .map(|_| (self.packet(), self.states()))
                .collect(),
        }
    }

    fn states(&mut self) -> Vec<CtState> {
        let states = [
            CtState::NEW,
            CtState::EST,
            CtState::EST | CtState::RPL,
            CtState::INV,
            CtState::NEW | CtState::REL,
            CtState::EST | CtState::DNAT,
        ];
        (0..self.below(4))
            .map(|_| self.pick(&states) | CtState::TRK)
            .collect()
    }

    fn flow(&mut self, cookie: u64, priority: u16) -> Flow {
        let table = TableId(if self.one_in(3) {
            0
        } else {
            self.below(TABLES.into()) as u8
        });
        let kind = self.kind();
        Flow {
            table,
            priority,
            flow_match: self.flow_match(kind),
            cookie: Cookie(cookie),
            idle_timeout: 0,
            hard_timeout: 0,
            instructions: self.instructions(table, kind),
        }
    }

    fn kind(&mut self) -> Kind {
        self.pick(&[
            Kind::Any,
            Kind::Any,
            Kind::Ipv4,
            Kind::Ipv4,
            Kind::Ipv4,
            Kind::Tcp,
            Kind::Tcp,
            Kind::Udp,
            Kind::Ipv6,
            Kind::Arp,
        ])
    }

    fn flow_match(&mut self, kind: Kind) -> Match {
        let mut flow_match = Match::any();
        for (field, value) in kind.fields() {
            flow_match = flow_match.with(*field, *value);
        }
        for _ in 0..self.below(3) {
            let fields = [kind.own_fields(), ANY_FIELDS].concat();
            let field = self.pick(&fields);
            let (value, mask) = self.value(field);
            flow_match = match mask {
                Some(mask) => flow_match.with_masked(field, value, mask),
                None => flow_match.with(field, value),
            };
        }
        flow_match
    }

    /// A value that packets may have, sometimes masked.
    fn value(&mut self, field: Field) -> (u128, Option<u128>) {
        let value = match field {
            Field::InPort => u128::from(self.below(u64::from(PORTS)) + 1),
            Field::EthSrc | Field::EthDst => u128::from(self.below(3)),
            Field::Ipv4Src | Field::Ipv4Dst | Field::ArpSpa | Field::ArpTpa => {
                u128::from(self.address4().to_bits())
            }
            Field::Ipv6Src | Field::Ipv6Dst => self.address6().to_bits(),
            Field::CtState => {
                let states = [CtState::NEW, CtState::EST, CtState::RPL, CtState::INV];
                let wanted = (self.pick(&states) | CtState::TRK).0;
                let mask = if self.one_in(2) {
                    wanted
                } else {
                    wanted | self.pick(&states).0
                };
                return (wanted.into(), Some(mask.into()));
            }
            Field::CtZone => u128::from(self.below(2)),
            Field::TcpFlags => u128::from(self.pick(&[2_u8, 16, 18])),
            Field::IpTtl => u128::from(self.pick(&[1_u8, 64])),
            Field::TunMetadata0 => (u128::from(self.below(2)) << 95) | u128::from(self.below(3)),
            _ => {
                // Few bits at few places, so that masks and views meet them.
                let width = field.info().bits.min(128);
                let at = self.pick(&[0, width / 2, width.saturating_sub(2)]);
                u128::from(self.below(4)) << at
            }
        };
        let value = value & (u128::MAX >> (128 - field.info().bits.min(128)));
        let maskable = field.info().maskable && self.one_in(2);
        let masks = [
            0xff,
            u128::from(u32::MAX),
            u128::MAX << 32,
            3 << 94,
            !0xff,
            1,
        ];
        let mask = maskable.then(|| self.pick(&masks));
        (value, mask)
    }

    fn address4(&mut self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, self.below(2) as u8, self.below(3) as u8)
    }

    fn address6(&mut self) -> Ipv6Addr {
        Ipv6Addr::new(
            0xfd00,
            0,
            0,
            self.below(2) as u16,
            0,
            0,
            0,
            self.below(3) as u16,
        )
    }

    fn instructions(&mut self, table: TableId, kind: Kind) -> Vec<Instruction> {
        let mut instructions = Vec::new();
        if !self.one_in(4) {
            let count = self.below(4) + 1;
            let actions = (0..count).map(|_| self.action(table, kind)).collect();
            instructions.push(Instruction::ApplyActions(actions));
        }
        if self.one_in(12) {
            instructions.push(Instruction::ClearActions);
        }
        if self.action_sets && self.one_in(4) {
            let set = self.set_field(kind);
            let last = match self.below(3) {
                0 => Action::Group(self.group_id()),
                _ => Action::output(self.port()),
            };
            instructions.push(Instruction::WriteActions(vec![set, last]));
        }
        if self.one_in(8) {
            instructions.push(Instruction::WriteMetadata {
                metadata: self.below(4),
                mask: self.pick(&[1, 3, u64::MAX]),
            });
        }
        if !self.one_in(3) {
            let step = self.below(3) + u64::from(!self.one_in(20));
            let next = TableId(table.0.saturating_add(step as u8));
            instructions.push(Instruction::GotoTable(next));
        }
        instructions
    }

    fn action(&mut self, table: TableId, kind: Kind) -> Action {
        match self.below(24) {
            0..=6 => self.set_field(kind),
            7..=9 => self.copy_field(),
            10..=12 => Action::output(self.port()),
            13 => Action::OutputReg {
                src: Subfield {
                    field: self.pick(&[Field::Reg0, Field::Xreg1, Field::Xxreg2]),
                    offset: self.pick(&[0, 16]),
                    bits: 16,
                },
                max_len: 0,
            },
            14..=17 if !self.action_sets => Action::Ct(self.ct(table)),
            18 => Action::CtClear,
            19 | 20 => Action::Group(self.group_id()),
            21 => Action::DecNwTtl,
            22 => Action::Resubmit {
                port: self.pick(&[PortNo::IN_PORT, PortNo::IN_PORT, PortNo(2)]),
                table: TableId(self.pick(&[table.0 + 1, table.0 + 1, table.0 + 2, 0, 255])),
                ct: false,
            },
            _ => Action::output(PortNo::IN_PORT),
        }
    }

    fn port(&mut self) -> PortNo {
        PortNo(self.below(u64::from(PORTS)) as u32 + 1)
    }

    fn group_id(&mut self) -> GroupId {
        GroupId(self.below(u64::from(GROUPS)) as u32 + 1)
    }

    fn set_field(&mut self, kind: Kind) -> Action {
        let fields = [kind.own_fields(), SET_FIELDS, SET_FIELDS].concat();
        let field = self.pick(&fields);
        let (value, mask) = self.value(field);
        let full = u128::MAX >> (128 - field.info().bits.min(128));
        // A mask of zero bits is no action at all; a full mask is none.
        let mask = mask
            .map(|mask| mask & full)
            .filter(|mask| *mask != 0 && *mask != full);
        Action::SetField {
            field,
            value: value & mask.unwrap_or(u128::MAX),
            mask,
        }
    }

    fn copy_field(&mut self) -> Action {
        let registers = [
            (Field::Reg0, 32),
            (Field::Reg7, 32),
            (Field::Xreg1, 64),
            (Field::Xxreg0, 128),
            (Field::Xxreg1, 128),
            (Field::Xxreg2, 128),
            (Field::Metadata, 64),
            (Field::TunId, 64),
            (Field::TunMetadata0, 96),
        ];
        let (src, src_bits) = self.pick(&registers);
        let (dst, dst_bits) = self.pick(&registers);
        let bits = self.pick(&[1, 8, 32, 96]).min(src_bits).min(dst_bits);
        let mut place = |field, width: u16| Subfield {
            field,
            offset: self.pick(&[0, (width - bits) / 2, width - bits]),
            bits,
        };
        Action::CopyField {
            src: place(src, src_bits),
            dst: place(dst, dst_bits),
        }
    }

    fn ct(&mut self, table: TableId) -> Ct {
        let commit = self.one_in(2);
        let zone = match self.below(3) {
            0 => ZONE_FROM_REGISTER,
            zone => CtZone::Immediate(zone as u16),
        };
        let next = TableId(table.0 + 1 + self.below(2) as u8);
        let exec = Action::SetField {
            field: Field::CtMark,
            value: 1,
            mask: Some(1),
        };
        Ct {
            commit: commit || self.one_in(20),
            force: commit && self.one_in(4),
            zone,
            table: (!self.one_in(3)).then_some(next),
            // With a zone from a field OVS 3.1 forgets to check nat, and fails on packets.
            nat: (self.one_in(2) && zone != ZONE_FROM_REGISTER).then(|| self.nat(commit)),
            alg: 0,
            exec: if self.one_in(2) && commit {
                vec![exec]
            } else {
                vec![]
            },
        }
    }

    fn nat(&mut self, commit: bool) -> Nat {
        if !commit {
            return Nat::default();
        }
        let low = self.address4();
        let high = if self.one_in(2) {
            low
        } else {
            Ipv4Addr::from_bits(low.to_bits() + 1)
        };
        Nat {
            kind: Some(self.pick(&[NatKind::Src, NatKind::Dst])),
            addresses: Some((low.into(), high.into())),
            ports: self.one_in(2).then_some((8080, 8081)),
            ..Nat::default()
        }
    }

    fn group(&mut self, id: u32) -> Group {
        let group_type = self.pick(&[GroupType::All, GroupType::Select, GroupType::Indirect]);
        let count = if group_type == GroupType::All {
            self.below(3)
        } else {
            1
        };
        let weight = u16::from(group_type == GroupType::Select);
        let buckets = (0..count as u32).map(|bucket| {
            let mut actions: Vec<_> = (0..self.below(3))
                .map(|_| self.set_field(Kind::Any))
                .collect();
            actions.push(match self.below(4) {
                0 if !self.action_sets => Action::Ct(Ct {
                    // The trace of OVS 3.1 reads a bucket's nat after it was freed.
                    nat: None,
                    ..self.ct(TableId(2))
                }),
                1 => Action::Resubmit {
                    port: PortNo::IN_PORT,
                    table: TableId(TABLES - 1),
                    ct: false,
                },
                _ => Action::output(self.port()),
            });
            Bucket::new(bucket, weight, actions)
        });
        Group {
            id: GroupId(id),
            group_type,
            buckets: buckets.collect(),
            // The default method recirculates to compute its hash.
            selection: (group_type == GroupType::Select).then(|| SelectionMethod {
                method: "hash".into(),
                param: 0,
                fields: vec![(Field::Ipv4Src, u32::MAX.into())],
            }),
        }
    }

    fn packet(&mut self) -> Packet {
        let payload = match self.below(10) {
            0 => Payload::Arp(Arp {
                op: self.below(2) as u16 + 1,
                spa: self.address4(),
                tpa: self.address4(),
                sha: self.mac(),
                tha: self.mac(),
            }),
            1 => Payload::Other(0x88b5),
            n => {
                let v4 = n > 3;
                let (src, dst): (IpAddr, IpAddr) = if v4 {
                    (self.address4().into(), self.address4().into())
                } else {
                    (self.address6().into(), self.address6().into())
                };
                Payload::Ip(Ip {
                    src,
                    dst,
                    dscp: 0,
                    ecn: 0,
                    ttl: self.pick(&[1, 64, 64]),
                    flow_label: 0,
                    transport: self.transport(),
                })
            }
        };
        let mut packet = Packet::new(payload).with_eth(self.mac(), self.mac());
        packet.in_port = self.port();
        if self.one_in(3) {
            packet.tunnel.id = self.below(4);
            packet.tunnel.src = Ipv4Addr::new(192, 0, 2, 1);
            packet.tunnel.dst = Ipv4Addr::new(192, 0, 2, 2);
            if !self.one_in(3) {
                let (value, _) = self.value(Field::TunMetadata0);
                packet.tunnel.options.insert(0, value);
            }
        }
        packet
    }

    fn transport(&mut self) -> Transport {
        let (src, dst) = (self.below(4) as u16, self.below(4) as u16);
        match self.below(5) {
            0 => Transport::Udp { src, dst },
            1 => Transport::Other(47),
            _ => Transport::Tcp {
                src,
                dst,
                flags: self.pick(&[2, 16, 18]),
            },
        }
    }

    fn mac(&mut self) -> MacAddr {
        MacAddr([0, 0, 0, 0, 0, self.below(3) as u8])
    }
}

/// What a flow's match says of the packet's headers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Any,
    Arp,
    Ipv4,
    Ipv6,
    Tcp,
    Udp,
}

const ANY_FIELDS: &[Field] = &[
    Field::InPort,
    Field::EthSrc,
    Field::EthDst,
    Field::TunId,
    Field::TunMetadata0,
    Field::TunMetadata0,
    Field::Metadata,
    Field::Reg0,
    Field::Reg1,
    Field::Reg7,
    Field::Xreg1,
    Field::Xxreg0,
    Field::Xxreg1,
    Field::Xxreg2,
    Field::CtState,
    Field::CtState,
    Field::CtZone,
    Field::CtMark,
    Field::IpTtl,
    Field::TcpDst,
];

const SET_FIELDS: &[Field] = &[
    Field::EthDst,
    Field::TunId,
    Field::TunDst,
    Field::TunMetadata0,
    Field::Metadata,
    Field::PktMark,
    Field::Reg0,
    Field::Reg1,
    Field::Reg7,
    Field::Xreg1,
    Field::Xxreg0,
    Field::Xxreg1,
    Field::Xxreg2,
];

impl Kind {
    fn fields(self) -> &'static [(Field, u16)] {
        match self {
            Self::Any => &[],
            Self::Arp => &[(Field::EthType, 0x0806)],
            Self::Ipv4 => &[(Field::EthType, 0x0800)],
            Self::Ipv6 => &[(Field::EthType, 0x86dd)],
            Self::Tcp => &[(Field::EthType, 0x0800), (Field::IpProto, 6)],
            Self::Udp => &[(Field::EthType, 0x0800), (Field::IpProto, 17)],
        }
    }

    fn own_fields(self) -> &'static [Field] {
        match self {
            Self::Any => &[Field::InPort],
            Self::Arp => &[Field::ArpOp, Field::ArpSpa, Field::ArpTpa, Field::ArpSha],
            Self::Ipv4 => &[Field::Ipv4Src, Field::Ipv4Dst, Field::IpTtl, Field::CtState],
            Self::Ipv6 => &[Field::Ipv6Src, Field::Ipv6Dst, Field::CtState],
            Self::Tcp => &[
                Field::TcpSrc,
                Field::TcpDst,
                Field::TcpFlags,
                Field::Ipv4Dst,
            ],
            Self::Udp => &[Field::UdpSrc, Field::UdpDst, Field::Ipv4Src],
        }
    }
}
