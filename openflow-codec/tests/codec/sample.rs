// SPDX-License-Identifier: Apache-2.0
//! Values that several tests use.

use openflow_codec::{
    Action, Context, Cookie, Ct, Field, Flow, Instruction, Match, Nat, PortNo, Subfield, TableId,
    TlvMapping,
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

/// A flow like those of the pipeline: registers of every width, tunnel metadata, conntrack.
pub(crate) fn flow() -> Flow {
    Flow {
        table: TableId(20),
        priority: 100,
        flow_match: Match::any()
            .with(Field::EthType, 0x0800u128)
            .with(Field::IpProto, 6u128)
            .with_masked(Field::TcpDst, 0x1f90u128, 0xfff0u128)
            .with_masked(Field::Ipv4Dst, 0x0a00_0000u128, 0xff00_0000u128)
            .with_masked(Field::TunMetadata0, 0x80u128 << 88, 0x80u128 << 88)
            .with_masked(Field::Xxreg1, 5u128 << 48, ((1u128 << 40) - 1) << 48)
            .with(Field::Xreg0, 7u128)
            .with_masked(Field::CtState, 0x21u128, 0x23u128),
        cookie: Cookie(0x0112_3456_789a_bcde),
        idle_timeout: 0,
        hard_timeout: 0,
        instructions: vec![
            Instruction::ApplyActions(vec![
                Action::set(Field::Reg1, 1u128),
                Action::set_masked(Field::Xxreg2, 0x1u128 << 40, 0xffu128 << 40),
                Action::CopyField {
                    src: Subfield::new(Field::TunMetadata0, 0, 96),
                    dst: Subfield::new(Field::Xxreg2, 0, 96),
                },
                Action::Ct(Ct {
                    commit: true,
                    zone: openflow_codec::action::CtZone::Immediate(0xc1),
                    table: Some(TableId(30)),
                    nat: Some(Nat::default()),
                    exec: vec![Action::set_masked(Field::CtMark, 1u128, 1u128)],
                    ..Ct::default()
                }),
                Action::Resubmit {
                    port: PortNo::IN_PORT,
                    table: TableId(40),
                    ct: false,
                },
                Action::OutputReg {
                    src: Subfield::whole(Field::Reg0),
                    max_len: 0xffff,
                },
            ]),
            Instruction::GotoTable(TableId(50)),
        ],
    }
}

/// A flow that matches everything and does nothing.
pub(crate) fn drop_all() -> Flow {
    Flow {
        table: TableId(0),
        priority: 1,
        flow_match: Match::any(),
        cookie: Cookie(0),
        idle_timeout: 0,
        hard_timeout: 0,
        instructions: Vec::new(),
    }
}
