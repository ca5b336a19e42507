// SPDX-License-Identifier: Apache-2.0
//! Small pipelines whose behaviour on Open vSwitch is known.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use flow_sim::packet::{Packet, Transport, tcp};
use flow_sim::{CtState, DropReason, Execution, FaultKind, Sim};
use openflow_codec::action::{CtZone, NatKind};
use openflow_codec::{
    Action, Bucket, Cookie, Ct, Field, Flow, Group, GroupId, GroupType, Instruction, Match, Nat,
    PortNo, Subfield, TableId,
};

#[path = "pipeline/conntrack.rs"]
mod conntrack;
#[path = "pipeline/options.rs"]
mod options;

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const VIP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
const ZONE: CtZone = CtZone::Immediate(0xc1);
const START: Duration = Duration::ZERO;

fn flow(table: u8, priority: u16, flow_match: Match, instructions: Vec<Instruction>) -> Flow {
    Flow {
        table: TableId(table),
        priority,
        flow_match,
        cookie: Cookie(u64::from(table) << 16 | u64::from(priority)),
        idle_timeout: 0,
        hard_timeout: 0,
        instructions,
    }
}

fn apply(actions: impl Into<Vec<Action>>) -> Vec<Instruction> {
    vec![Instruction::ApplyActions(actions.into())]
}

fn goto(table: u8) -> Vec<Instruction> {
    vec![Instruction::GotoTable(TableId(table))]
}

fn output(port: u32) -> Vec<Instruction> {
    apply([Action::output(PortNo(port))])
}

fn ip() -> Match {
    Match::any().with(Field::EthType, 0x0800_u16)
}

fn sim(flows: impl IntoIterator<Item = Flow>) -> Sim {
    let mut sim = Sim::new();
    for flow in flows {
        sim.add_flow(flow).expect("the flow is valid");
    }
    sim
}

fn request() -> Packet {
    let mut packet = Packet::tcp((CLIENT, 4000), (SERVER, 80));
    packet.in_port = PortNo(1);
    packet
}

fn ports(execution: &Execution) -> Vec<u32> {
    execution.ports().iter().map(|port| port.0).collect()
}

fn faults(execution: &Execution) -> Vec<FaultKind> {
    execution
        .faults
        .iter()
        .map(|fault| fault.kind.clone())
        .collect()
}

#[test]
fn the_highest_priority_wins_whatever_the_mask() {
    let mut sim = sim([
        flow(0, 1, Match::any(), output(2)),
        flow(
            0,
            5,
            ip().with_masked(Field::Ipv4Dst, 0x0a00_0000_u32, 0xff00_0000_u32),
            output(3),
        ),
        flow(
            0,
            3,
            ip().with(Field::Ipv4Dst, u32::from(SERVER)),
            output(4),
        ),
    ]);
    assert_eq!(ports(&sim.receive(request(), START)), [3]);
}

#[test]
fn a_packet_that_no_flow_matches_is_a_table_miss() {
    let mut sim = sim([flow(0, 1, ip(), goto(4))]);
    let execution = sim.receive(request(), START);
    assert_eq!(execution.drops.len(), 1);
    assert_eq!(execution.drops[0].reason, DropReason::TableMiss);
    assert_eq!(execution.drops[0].by.table, TableId(4));
    assert_eq!(execution.drops[0].by.cookie, None);
}

#[test]
fn a_drop_names_the_flow() {
    let mut sim = sim([flow(0, 7, ip(), vec![])]);
    let execution = sim.receive(request(), START);
    assert_eq!(execution.drops[0].reason, DropReason::Flow);
    assert_eq!(execution.drops[0].by.cookie, Some(Cookie(7)));
}

#[test]
fn adding_an_equal_match_replaces_the_flow_and_its_cookie() {
    let mut sim = Sim::new();
    let wide = ip().with(Field::Xxreg0, 5_u8);
    let narrow = ip().with(Field::Xreg0, 0_u8).with(Field::Xreg1, 5_u8);
    sim.add_flow(flow(0, 7, wide, output(2))).unwrap();
    let mut second = flow(0, 7, narrow, output(3));
    second.cookie = Cookie(99);
    assert!(sim.add_flow(second).unwrap().is_some());
    assert_eq!(sim.tables().len(), 1);
    assert_eq!(sim.remove_cookie(Cookie(7)), 0);
    assert_eq!(sim.remove_cookie(Cookie(99)), 1);
    assert!(sim.tables().is_empty());
}

#[test]
fn flows_of_equal_priority_that_disagree_are_reported() {
    let mut sim = sim([
        flow(0, 5, ip(), output(2)),
        flow(0, 5, Match::any().with(Field::InPort, 1_u32), output(3)),
    ]);
    let execution = sim.receive(request(), START);
    assert!(matches!(
        faults(&execution)[..],
        [FaultKind::AmbiguousFlows(_)]
    ));
}

#[test]
fn output_to_the_input_port_is_skipped_unless_asked_for_by_name() {
    let mut sim = sim([flow(0, 1, ip(), output(1))]);
    let execution = sim.receive(request(), START);
    assert_eq!(execution.drops[0].reason, DropReason::InputPort);
    sim.add_flow(flow(0, 1, ip(), apply([Action::output(PortNo::IN_PORT)])))
        .unwrap();
    assert_eq!(ports(&sim.receive(request(), START)), [1]);
}

#[test]
fn output_reads_the_port_from_a_register() {
    let reg0 = Subfield {
        field: Field::Reg0,
        offset: 0,
        bits: 32,
    };
    let by_register = Action::OutputReg {
        src: reg0,
        max_len: 0,
    };
    let mut sim = sim([flow(
        0,
        1,
        ip(),
        apply([Action::set(Field::Reg0, 9_u32), by_register]),
    )]);
    assert_eq!(ports(&sim.receive(request(), START)), [9]);
}

#[test]
fn a_resubmit_loop_is_reported_and_drops_all() {
    let again = Action::Resubmit {
        port: PortNo::IN_PORT,
        table: TableId(0),
        ct: false,
    };
    let mut sim = sim([flow(0, 1, ip(), apply([Action::output(PortNo(2)), again]))]);
    let execution = sim.receive(request(), START);
    assert!(faults(&execution).contains(&FaultKind::TooDeep));
    assert_eq!(ports(&execution), []);
    assert_eq!(execution.drops[0].reason, DropReason::Fault);
}

#[test]
fn a_recirculation_loop_is_reported() {
    let again = Action::Ct(Ct {
        table: Some(TableId(0)),
        ..Ct::default()
    });
    let mut sim = sim([flow(0, 1, ip(), apply([again]))]);
    let execution = sim.receive(request(), START);
    assert_eq!(faults(&execution), [FaultKind::TooManyRecirculations]);
}

#[test]
fn a_missing_group_is_reported() {
    let mut sim = sim([flow(0, 1, ip(), apply([Action::Group(GroupId(5))]))]);
    let execution = sim.receive(request(), START);
    assert_eq!(faults(&execution), [FaultKind::MissingGroup(GroupId(5))]);
}

#[test]
fn what_a_bucket_does_to_the_packet_ends_with_the_bucket() {
    let mut sim = sim([
        flow(0, 1, ip(), {
            let mut instructions = apply([Action::Group(GroupId(1))]);
            instructions.extend(goto(1));
            instructions
        }),
        flow(1, 1, ip().with(Field::Reg0, 0_u32), output(3)),
    ]);
    let change = vec![Action::set(Field::Reg0, 1_u32), Action::output(PortNo(2))];
    sim.set_group(group(1, GroupType::Select, [change]))
        .expect("the group is valid");
    let execution = sim.receive(request(), START);
    assert_eq!(ports(&execution), [2, 3]);
    assert_eq!(execution.outputs[0].packet.regs[0], 1);
    assert_eq!(execution.outputs[1].packet.regs[0], 0);
}

#[test]
fn every_weighted_bucket_gets_its_share() {
    let mut sim = sim([flow(0, 1, ip(), apply([Action::Group(GroupId(1))]))]);
    let mut group = group(
        1,
        GroupType::Select,
        [2, 3, 4].map(|p| vec![Action::output(PortNo(p))]),
    );
    group.buckets[0].weight = 0;
    group.buckets[1].weight = 100;
    group.buckets[2].weight = 300;
    sim.set_group(group).expect("the group is valid");
    let mut counts = [0; 5];
    for port in 0..4000 {
        let packet = Packet::tcp((CLIENT, port), (SERVER, 80));
        let execution = sim.receive(packet, START);
        counts[ports(&execution)[0] as usize] += 1;
    }
    assert_eq!(counts[2], 0);
    assert!((800..1200).contains(&counts[3]), "{counts:?}");
}

#[test]
fn an_expired_ttl_goes_to_the_controller_and_no_further() {
    let mut sim = sim([flow(0, 1, ip(), {
        let mut instructions = apply([Action::DecNwTtl]);
        instructions.extend(goto(1));
        instructions
    })]);
    let mut packet = request();
    packet.set(Field::IpTtl, 1, u128::MAX).unwrap();
    let execution = sim.receive(packet, START);
    assert_eq!(execution.controller.len(), 1);
    assert_eq!(execution.path().count(), 1);
}

#[test]
fn ten_thousand_flows_are_searched_quickly() {
    let mut sim = Sim::new();
    for index in 0..10_000_u32 {
        let flow_match = ip()
            .with(Field::Ipv4Src, index)
            .with(Field::Ipv4Dst, u32::from(SERVER));
        sim.add_flow(flow(0, 10, flow_match, goto(1))).unwrap();
    }
    sim.add_flow(flow(0, 1, Match::any(), goto(1))).unwrap();
    for table in 1..20 {
        sim.add_flow(flow(table, 1, Match::any(), goto(table + 1)))
            .unwrap();
    }
    let started = std::time::Instant::now();
    for _ in 0..1000 {
        sim.receive(request(), START);
    }
    // A scan of the flows would take hundreds of milliseconds even in a release build.
    let each = started.elapsed() / 1000;
    assert!(each < Duration::from_micros(500), "{each:?}");
}

fn group<const N: usize>(id: u32, group_type: GroupType, buckets: [Vec<Action>; N]) -> Group {
    let buckets = buckets.into_iter().zip(0..).map(|(actions, id)| Bucket {
        id,
        weight: 100,
        watch_port: PortNo::ANY,
        watch_group: GroupId::ANY,
        actions,
    });
    Group {
        id: GroupId(id),
        group_type,
        selection: None,
        buckets: buckets.collect(),
    }
}
