// SPDX-License-Identifier: Apache-2.0
//! The flow that is measured.

use openflow_codec::action::CtZone;
use openflow_codec::{Action, Cookie, Ct, Field, Flow, Instruction, Match, PortNo, TableId};

/// A flow of 168 bytes as a pipeline has them: a TCP service address, connection state and a masked
/// register; sets a register, commits the connection, goes on in another table.
pub(crate) fn flow(number: u32) -> Flow {
    Flow {
        table: TableId(10),
        priority: 100,
        flow_match: Match::any()
            .with(Field::EthType, 0x0800u16)
            .with(Field::Ipv4Dst, 0x0a00_0000 + (number & 0xff_ffff))
            .with(Field::IpProto, 6u8)
            .with(Field::TcpDst, 443u16)
            .with_masked(Field::Reg0, 0x10u32, 0xf0u32)
            .with_masked(Field::CtState, 0x22u32, 0x22u32),
        cookie: Cookie(0x0100_0000_0000_0000 + u64::from(number)),
        idle_timeout: 0,
        hard_timeout: 0,
        instructions: vec![Instruction::ApplyActions(vec![
            Action::set(Field::Reg1, number),
            Action::Ct(Ct {
                commit: true,
                zone: CtZone::Immediate(0xc1),
                ..Ct::default()
            }),
            Action::Resubmit {
                port: PortNo::IN_PORT,
                table: TableId(20),
                ct: false,
            },
        ])],
    }
}
