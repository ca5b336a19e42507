// SPDX-License-Identifier: Apache-2.0
//! Conntrack against that of a real ovs-vswitchd: packets are sent through both, and what leaves
//! tells addresses, ports, `ct_state` and `ct_mark`.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use flow_sim::packet::{Packet, Transport, tcp};
use flow_sim::{CtState, Event, MacAddr, Sim};
use openflow_codec::action::{CtZone, NatKind};
use openflow_codec::message::flow_mod::FlowMod;
use openflow_codec::{
    Action, Cookie, Ct, Field, Flow, Instruction, Match, Message, Nat, PortNo, Subfield, TableId,
};
use vswitchd::{Connection, Vswitchd};

use crate::frame;
use crate::generate::Random;
use crate::number;

const STEPS: usize = 24;
const ZONE: u16 = 7;
/// Packets come in here and leave there, or the other way.
const CLIENTS: u32 = 1;
const SERVERS: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(5);

fn address(last: u64) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last as u8)
}

/// Copies `ct_state` and `ct_mark` to the link-layer addresses and sends the packet across.
fn tell(from: u32, to: u32) -> Flow {
    let copy = |src, dst| Action::CopyField {
        src: Subfield::new(src, 0, 32),
        dst: Subfield::new(dst, 0, 32),
    };
    let actions = vec![
        copy(Field::CtState, Field::EthSrc),
        copy(Field::CtMark, Field::EthDst),
        Action::output(PortNo(to)),
    ];
    let here = Match::any().with(Field::InPort, from);
    flow(9, 1, here, vec![Instruction::ApplyActions(actions)])
}

fn flow(table: u8, priority: u16, flow_match: Match, instructions: Vec<Instruction>) -> Flow {
    Flow {
        table: TableId(table),
        priority,
        flow_match,
        cookie: Cookie(1),
        idle_timeout: 0,
        hard_timeout: 0,
        instructions,
    }
}

fn apply(actions: Vec<Action>) -> Vec<Instruction> {
    vec![Instruction::ApplyActions(actions)]
}

fn ip() -> Match {
    Match::any().with(Field::EthType, 0x0800_u16)
}

fn in_state(state: CtState) -> Match {
    let state = state | CtState::TRK;
    ip().with_masked(Field::CtState, state.0, state.0)
}

/// A pipeline of one to three passes through conntrack.
fn pipeline(random: &mut Random) -> Vec<Flow> {
    let zone = CtZone::Immediate(ZONE);
    let lookup = Ct {
        zone,
        table: Some(TableId(1)),
        nat: (!random.one_in(4)).then(Nat::default),
        ..Ct::default()
    };
    let mark = Action::set(Field::CtMark, random.below(3) as u32 + 1);
    let commit = |random: &mut Random, nat: Option<Nat>| Ct {
        commit: true,
        zone,
        table: Some(TableId(2)),
        nat,
        exec: if random.one_in(2) {
            vec![mark.clone()]
        } else {
            vec![]
        },
        ..Ct::default()
    };
    let to = |kind, last, ports| Nat {
        kind: Some(kind),
        addresses: Some((address(last).into(), address(last).into())),
        ports,
        ..Nat::default()
    };
    let service = random.pick(&[None, Some((8080, 8080))]);
    let service = commit(random, Some(to(NatKind::Dst, 20, service)));
    // With commit and a nat without arguments, the userspace conntrack of OVS 3.1 loses replies.
    let others = random.one_in(2).then(|| to(NatKind::Src, 99, None));
    let others = commit(random, others);
    let again = Ct {
        commit: random.one_in(2),
        zone: if random.one_in(3) {
            CtZone::Immediate(8)
        } else {
            zone
        },
        table: Some(TableId(9)),
        ..Ct::default()
    };
    let again = Ct {
        exec: if again.commit {
            vec![Action::set_masked(Field::CtMark, 4_u8, 4_u8)]
        } else {
            vec![]
        },
        ..again
    };
    let last = match random.below(3) {
        0 => vec![Instruction::GotoTable(TableId(9))],
        _ => apply(vec![Action::Ct(again)]),
    };
    let to_vip = in_state(CtState::NEW).with(Field::Ipv4Dst, address(10).to_bits());
    vec![
        flow(0, 1, ip(), apply(vec![Action::Ct(lookup)])),
        flow(1, 3, to_vip, apply(vec![Action::Ct(service)])),
        flow(
            1,
            2,
            in_state(CtState::NEW),
            apply(vec![Action::Ct(others)]),
        ),
        flow(1, 1, ip(), vec![Instruction::GotoTable(TableId(2))]),
        flow(
            2,
            2,
            in_state(CtState::INV),
            vec![Instruction::GotoTable(TableId(9))],
        ),
        flow(2, 1, ip(), last),
        tell(CLIENTS, SERVERS),
        tell(SERVERS, CLIENTS),
    ]
}

/// What is sent next: something new, or an answer to what was sent before.
fn next_packet(random: &mut Random, before: &[Packet]) -> Packet {
    let previous = (!before.is_empty() && !random.one_in(3)).then(|| {
        let index = random.below(before.len() as u64) as usize;
        &before[index]
    });
    let (packet, port) = match previous {
        None => {
            let (src, dst) = (
                address(random.below(2) + 1),
                address(random.pick(&[10, 20, 30])),
            );
            let port = random.below(2) as u16 + 4000;
            let packet = match random.below(3) {
                0 => Packet::echo_request(src, dst, port),
                1 => Packet::udp((src, port), (dst, 53)),
                _ => Packet::tcp((src, port), (dst, 80)),
            };
            (packet, CLIENTS)
        }
        Some(sent) => {
            let other = if sent.in_port == PortNo(CLIENTS) {
                SERVERS
            } else {
                CLIENTS
            };
            match random.below(6) {
                0 => {
                    let router = address(50).into();
                    (
                        sent.unreachable(router).unwrap_or_else(|| sent.answer()),
                        other,
                    )
                }
                // Reopened after a reset, a translated connection gets another port in userspace.
                1 if !is_translated(sent) => {
                    (sent.answer().with_tcp_flags(tcp::RST | tcp::ACK), other)
                }
                _ => (sent.answer(), other),
            }
        }
    };
    packet
        .with_eth(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]))
        .arriving_on(PortNo(port))
}

/// A real switch whose ports write what they send to files.
struct Real {
    vswitchd: Vswitchd,
    connection: Connection,
    seen: [usize; 2],
}

impl Real {
    fn load(&mut self, flows: &[Flow]) {
        let mut messages = vec![Message::FlowMod(FlowMod::delete_by_cookie(Cookie(1)))];
        messages.extend(
            flows
                .iter()
                .map(|flow| Message::FlowMod(FlowMod::add(flow))),
        );
        assert_eq!(self.connection.ask(&messages), []);
        self.vswitchd.appctl("dpctl/flush-conntrack", &[]);
        self.vswitchd.appctl("revalidator/purge", &[]);
    }

    /// Sends a packet and waits for the one that leaves.
    fn send(&mut self, packet: &Packet) -> Option<(u32, Packet)> {
        let frame = frame::encode(packet).expect("an IPv4 packet");
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        let port = format!("p{}", packet.in_port);
        self.vswitchd.appctl("netdev-dummy/receive", &[&port, &hex]);
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            for (port, seen) in [CLIENTS, SERVERS].into_iter().zip(&mut self.seen) {
                let sent = self.vswitchd.sent(port);
                if let Some(frame) = sent.get(*seen) {
                    *seen += 1;
                    return Some((port, frame::decode(frame).expect("a frame like ours")));
                }
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        None
    }
}

/// Whether the two conntracks of OVS differ; that of Linux is modelled, the userspace one runs.
///
/// A TCP segment without SYN that meets no connection, or one without reply, is `est` at once in
/// userspace; in Linux RST is then invalid and others are `new` until a reply. A translated error that
/// goes through one zone twice has lost its connection in userspace.
fn datapaths_differ(left: &Packet, twice: bool) -> bool {
    let state = state(left);
    match left.as_ip().map(|ip| &ip.transport) {
        Some(Transport::Tcp { flags, .. }) if flags & tcp::SYN == 0 => {
            let reset = flags & tcp::RST != 0;
            state.contains(CtState::NEW) || (reset && state.contains(CtState::INV))
        }
        Some(Transport::Icmp(icmp)) => icmp.about.is_some() && is_translated(left) && twice,
        _ => false,
    }
}

fn is_translated(left: &Packet) -> bool {
    let state = state(left);
    state.contains(CtState::SNAT) || state.contains(CtState::DNAT)
}

/// The `ct_state` that the pipeline copied.
fn state(packet: &Packet) -> CtState {
    let [.., a, b, c, d] = packet.eth_src.0;
    CtState(u32::from_be_bytes([a, b, c, d]))
}

/// Where a packet left, its headers, state and mark, in words.
fn told(port: u32, packet: &Packet) -> String {
    let state = state(packet);
    let about = packet.as_ip().and_then(|ip| match &ip.transport {
        Transport::Icmp(icmp) => icmp.about,
        _ => None,
    });
    format!("port {port}, {state}, {packet}, about {about:?}")
}

#[test]
fn conntrack_does_the_same_in_both() {
    let vswitchd = Vswitchd::start(1..=crate::PORTS);
    let connection = vswitchd.openflow();
    let mut real = Real {
        vswitchd,
        connection,
        seen: [0; 2],
    };
    let first = number("FLOW_SIM_SEED", 1);
    let cases = number("FLOW_SIM_CASES", 150).min(400);
    for seed in first..first + cases {
        let mut random = Random::new(seed);
        let flows = pipeline(&mut random);
        real.load(&flows);
        let mut sim = Sim::new();
        for flow in &flows {
            sim.add_flow(flow.clone()).expect("the real switch took it");
        }
        let mut history = Vec::new();
        let mut sent = Vec::new();
        for _ in 0..STEPS {
            let packet = next_packet(&mut random, &sent);
            let execution = sim.receive(packet.clone(), Duration::ZERO);
            let ours = execution.single().map(|output| {
                let wire = frame::encode(&output.packet).and_then(|f| frame::decode(&f));
                (output.port.0, wire.expect("an IPv4 packet"))
            });
            let zones = execution.walk.iter().filter_map(|step| match step.event {
                Event::Recirculate { zone, .. } => Some(zone),
                _ => None,
            });
            let twice = zones.filter(|zone| *zone == ZONE).count() > 1;
            if ours
                .as_ref()
                .is_some_and(|(_, left)| datapaths_differ(left, twice))
            {
                break;
            }
            let theirs = real.send(&packet);
            let [ours, theirs] =
                [ours, theirs].map(|side| side.map(|(port, p)| (told(port, &p), p)));
            history.push(format!(
                "{packet} -> {:?}",
                theirs.as_ref().map(|(told, _)| told)
            ));
            assert_eq!(
                ours.as_ref().map(|(told, _)| told),
                theirs.as_ref().map(|(told, _)| told),
                "seed {seed}, after {history:#?} with {}",
                flows
                    .iter()
                    .map(|flow| format!("{flow}\n"))
                    .collect::<String>()
            );
            sent.extend(ours.map(|(_, left)| Packet {
                in_port: packet.in_port,
                ..left
            }));
        }
    }
}
