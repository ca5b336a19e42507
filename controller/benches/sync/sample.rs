// SPDX-License-Identifier: Apache-2.0
//! Flows as the pipeline has them, in any number.

use std::sync::Arc;

use openflow_codec::{Action, Field, Flow, Instruction, Match};
use openflow_session::{EncodedFlow, LayerState};
use policy_compiler::pipeline::{CookieKind, ENTRY_TABLE, GATEWAY_MAC, Table, priority, register};

/// The `n`-th flow of the cluster layer: a policy lets an identity at some addresses talk to another
/// on a range of ports.
pub(crate) fn policy(n: u32) -> Flow {
    let identity = |n: u32| {
        let spread = u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060);
        register::VALID | spread & register::IDENTITY_MASK
    };
    let mask = register::VALID | register::IDENTITY_MASK;
    let flow_match = Match::any()
        .with(Field::EthType, 0x0800u16)
        .with(Field::IpProto, 6u8)
        .with_masked(Field::TcpDst, ((n % 4_096) << 4) as u16, 0xfff0_u16)
        .with_masked(Field::Ipv4Src, 0x0a0a_0000 + (n << 8), 0xffff_ff00_u32)
        .with_masked(register::SOURCE, identity(n), mask)
        .with_masked(register::DESTINATION, identity(n / 50 + 1), mask);
    flow(
        CookieKind::Policy,
        u64::from(n),
        Table::Ingress,
        priority::ALLOW,
        flow_match,
        vec![],
    )
}

/// The `n`-th flow of a node's layer: one in eight lets a Pod in, the others route to it.
pub(crate) fn pod(n: u32) -> Flow {
    let (port, address) = (1 + n / 8, 0x0a0a_0000 + n);
    let (table, flow_match, actions) = if n.is_multiple_of(8) {
        let from_port = Match::any().with(Field::InPort, port);
        (Table::Classify, from_port, vec![])
    } else {
        let to_pod = Match::any()
            .with(Field::EthType, 0x0800u16)
            .with(Field::Ipv4Dst, address);
        let actions = vec![
            Action::set(Field::EthSrc, GATEWAY_MAC.0),
            Action::set(Field::EthDst, 0x0a58_0000_0000 + u64::from(address)),
            Action::set(register::OUT_PORT, port),
            Action::set_masked(
                register::DESTINATION,
                register::VALID | u128::from(n),
                register::WIRE_MASK,
            ),
        ];
        (Table::Route, to_pod, actions)
    };
    debug_assert_eq!(Table::Classify.id(), ENTRY_TABLE);
    flow(
        CookieKind::Pod,
        u64::from(n),
        table,
        priority::NORMAL,
        flow_match,
        actions,
    )
}

fn flow(
    kind: CookieKind,
    hash: u64,
    table: Table,
    priority: u16,
    flow_match: Match,
    actions: Vec<Action>,
) -> Flow {
    let mut instructions = Vec::new();
    if !actions.is_empty() {
        instructions.push(Instruction::ApplyActions(actions));
    }
    instructions.push(Instruction::GotoTable(Table::Commit.id()));
    Flow {
        table: table.id(),
        priority,
        flow_match,
        // As scattered as a hash.
        cookie: kind.cookie(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        idle_timeout: 0,
        hard_timeout: 0,
        instructions,
    }
}

/// Flows as a layer.
pub(crate) fn layer(flows: impl IntoIterator<Item = Flow>) -> LayerState {
    let context = controller::switch::config::session_config().context();
    let mut layer = LayerState::default();
    for flow in flows {
        let flow = EncodedFlow::new(flow, &context).expect("a small flow");
        layer.insert_flow(Arc::new(flow));
    }
    layer
}
