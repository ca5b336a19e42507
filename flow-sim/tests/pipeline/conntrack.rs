// SPDX-License-Identifier: Apache-2.0
//! Connection tracking through the `ct` action.

use super::*;

const BACKEND: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 7);

fn ct() -> Ct {
    Ct {
        zone: ZONE,
        table: Some(TableId(1)),
        ..Ct::default()
    }
}

fn in_state(state: CtState) -> Match {
    ip().with_masked(Field::CtState, state.0, state.0)
}

fn dnat(address: Ipv4Addr, port: u16) -> Nat {
    let address = IpAddr::from(address);
    Nat {
        kind: Some(NatKind::Dst),
        addresses: Some((address, address)),
        ports: Some((port, port)),
        ..Nat::default()
    }
}

/// Table 0: ct(nat). Table 1: VIP to a group that commits with DNAT; others go on. Table 2:
/// commits with a mark when new, then output to port 2 (original) or 1 (reply).
fn service() -> Sim {
    let lookup = Ct {
        nat: Some(Nat::default()),
        ..ct()
    };
    let translate = Ct {
        commit: true,
        nat: Some(dnat(BACKEND, 8080)),
        table: Some(TableId(2)),
        ..ct()
    };
    let allow = Ct {
        commit: true,
        table: None,
        exec: vec![Action::set_masked(Field::CtMark, 1_u32, 1_u32)],
        ..ct()
    };
    let to_vip = in_state(CtState::TRK | CtState::NEW)
        .with(Field::Ipv4Dst, u32::from(VIP))
        .with(Field::IpProto, 6_u8);
    let reply = in_state(CtState::TRK | CtState::EST | CtState::RPL);
    let marked = in_state(CtState::TRK | CtState::EST).with(Field::CtMark, 1_u32);
    let mut sim = sim([
        flow(0, 1, ip(), apply([Action::Ct(lookup)])),
        flow(1, 20, to_vip, apply([Action::Group(GroupId(1))])),
        flow(1, 10, in_state(CtState::TRK), goto(2)),
        flow(2, 30, reply, output(1)),
        flow(2, 20, marked, output(2)),
        flow(
            2,
            10,
            in_state(CtState::TRK | CtState::NEW),
            apply([Action::Ct(allow), Action::output(PortNo(2))]),
        ),
    ]);
    sim.set_group(group(1, GroupType::Select, [vec![Action::Ct(translate)]]))
        .expect("the group is valid");
    sim
}

fn to_service() -> Packet {
    let mut packet = Packet::tcp((CLIENT, 4000), (VIP, 80));
    packet.in_port = PortNo(1);
    packet
}

fn destination(packet: &Packet) -> (IpAddr, Option<u128>) {
    (
        packet.as_ip().expect("an IP packet").dst,
        packet.get(Field::TcpDst),
    )
}

fn source(packet: &Packet) -> (IpAddr, Option<u128>) {
    (
        packet.as_ip().expect("an IP packet").src,
        packet.get(Field::TcpSrc),
    )
}

fn only_output(execution: &Execution) -> Packet {
    assert_eq!(faults(execution), []);
    execution.single().expect("one output").packet.clone()
}

#[test]
fn a_service_is_translated_both_ways() {
    let mut sim = service();
    let sent = only_output(&sim.receive(to_service(), START));
    assert_eq!(destination(&sent), (BACKEND.into(), Some(8080)));

    let answer = sim.receive(sent.answer().arriving_on(PortNo(2)), START);
    assert_eq!(ports(&answer), [1]);
    assert_eq!(source(&only_output(&answer)), (VIP.into(), Some(80)));

    let next = sim.receive(to_service().with_tcp_flags(tcp::ACK), START);
    assert_eq!(
        destination(&only_output(&next)),
        (BACKEND.into(), Some(8080))
    );
}

#[test]
fn a_second_commit_marks_the_same_connection() {
    let mut sim = service();
    sim.receive(to_service(), START);
    let connections: Vec<_> = sim.conntrack().connections().collect();
    assert_eq!(connections.len(), 1);
    assert_eq!(connections[0].mark, 1);
    assert_eq!(connections[0].original.dst, IpAddr::from(VIP));
}

#[test]
fn a_connection_is_new_until_a_reply() {
    let mut sim = service();
    for _ in 0..3 {
        sim.receive(to_service(), START);
    }
    assert!(!sim.conntrack().connections().next().unwrap().replied);
    let reply = Packet::tcp((BACKEND, 8080), (CLIENT, 4000)).with_tcp_flags(tcp::SYN | tcp::ACK);
    sim.receive(reply, START);
    assert!(sim.conntrack().connections().next().unwrap().replied);
}

#[test]
fn two_clients_of_one_port_are_told_apart_by_their_addresses() {
    let mut sim = service();
    let other = Packet::tcp((Ipv4Addr::new(10, 0, 0, 9), 4000), (VIP, 80));
    let first = only_output(&sim.receive(to_service(), START));
    let second = only_output(&sim.receive(other, START));
    let answer = only_output(&sim.receive(second.answer().arriving_on(PortNo(2)), START));
    assert_eq!(
        answer.as_ip().unwrap().dst,
        IpAddr::from(Ipv4Addr::new(10, 0, 0, 9))
    );
    let answer = only_output(&sim.receive(first.answer().arriving_on(PortNo(2)), START));
    assert_eq!(answer.as_ip().unwrap().dst, IpAddr::from(CLIENT));
}

#[test]
fn an_error_about_a_translated_packet_names_the_service() {
    let mut sim = service();
    let sent = only_output(&sim.receive(to_service(), START));
    let router = IpAddr::from(Ipv4Addr::new(172, 16, 0, 1));
    sim.add_flow(flow(
        1,
        40,
        in_state(CtState::REL | CtState::RPL),
        output(1),
    ))
    .unwrap();
    let error = sent.unreachable(router).unwrap().arriving_on(PortNo(2));
    let error = only_output(&sim.receive(error, START));
    let Transport::Icmp(icmp) = &error.as_ip().unwrap().transport else {
        panic!("{error:?}");
    };
    let about = icmp.about.unwrap();
    assert_eq!((about.src, about.dst), (CLIENT.into(), VIP.into()));
    assert_eq!(error.as_ip().unwrap().src, IpAddr::from(VIP));
}

#[test]
fn an_error_about_nothing_known_is_invalid() {
    let mut sim = service();
    sim.add_flow(flow(1, 50, in_state(CtState::INV), output(7)))
        .unwrap();
    let error = to_service().unreachable(SERVER.into()).unwrap();
    assert_eq!(ports(&sim.receive(error, START)), [7]);
}

#[test]
fn a_syn_ack_opens_no_connection() {
    let mut sim = service();
    sim.add_flow(flow(1, 50, in_state(CtState::INV), output(7)))
        .unwrap();
    let stray = to_service().with_tcp_flags(tcp::SYN | tcp::ACK);
    assert_eq!(ports(&sim.receive(stray, START)), [7]);
}

#[test]
fn the_state_is_gone_after_ct_without_a_table() {
    let commit = Ct {
        commit: true,
        table: None,
        ..ct()
    };
    let mut sim = sim([
        flow(0, 1, ip(), apply([Action::Ct(ct())])),
        flow(1, 1, in_state(CtState::TRK), {
            let mut instructions = apply([Action::Ct(commit)]);
            instructions.extend(goto(2));
            instructions
        }),
        flow(2, 2, in_state(CtState::TRK), output(2)),
        flow(2, 1, ip(), output(3)),
    ]);
    assert_eq!(ports(&sim.receive(request(), START)), [3]);
}

#[test]
fn registers_survive_recirculation() {
    let mut sim = sim([
        flow(
            0,
            1,
            ip(),
            apply([Action::set(Field::Xxreg2, 77_u8), Action::Ct(ct())]),
        ),
        flow(1, 1, ip().with(Field::Reg11, 77_u32), output(2)),
    ]);
    assert_eq!(ports(&sim.receive(request(), START)), [2]);
}

#[test]
fn zones_do_not_see_each_other() {
    let mut sim = service();
    sim.receive(to_service(), START);
    let elsewhere = Ct {
        zone: CtZone::Immediate(7),
        ..ct()
    };
    sim.add_flow(flow(0, 9, ip(), apply([Action::Ct(elsewhere)])))
        .unwrap();
    sim.add_flow(flow(1, 90, in_state(CtState::NEW), output(5)))
        .unwrap();
    let reply = Packet::tcp((BACKEND, 8080), (CLIENT, 4000)).with_tcp_flags(tcp::ACK);
    assert_eq!(ports(&sim.receive(reply, START)), [5]);
}

#[test]
fn force_takes_over_a_connection_seen_from_the_other_side() {
    let committing = |force| Ct {
        commit: true,
        force,
        ..ct()
    };
    let mut sim = sim([flow(0, 1, ip(), apply([Action::Ct(committing(false))]))]);
    sim.receive(request(), START);
    sim.add_flow(flow(0, 1, ip(), apply([Action::Ct(committing(true))])))
        .unwrap();
    let back = Packet::tcp((SERVER, 80), (CLIENT, 4000));
    sim.receive(back, START);
    let connections: Vec<_> = sim.conntrack().connections().collect();
    assert_eq!(connections.len(), 1);
    assert_eq!(connections[0].original.src, IpAddr::from(SERVER));
}

#[test]
fn a_connection_is_forgotten_when_it_is_idle() {
    let mut sim = service();
    sim.receive(to_service(), START);
    let late = START + Duration::from_secs(121);
    let reply = Packet::tcp((BACKEND, 8080), (CLIENT, 4000)).with_tcp_flags(tcp::SYN | tcp::ACK);
    assert_eq!(ports(&sim.receive(reply, late)), []);
}

#[test]
fn a_reset_connection_opens_again_with_a_syn() {
    let mut sim = service();
    let sent = only_output(&sim.receive(to_service(), START));
    sim.receive(sent.answer().arriving_on(PortNo(2)), START);
    sim.receive(to_service().with_tcp_flags(tcp::RST | tcp::ACK), START);
    sim.receive(to_service(), START + Duration::from_secs(1));
    let connections: Vec<_> = sim.conntrack().connections().collect();
    assert_eq!(connections.len(), 1);
    assert!(!connections[0].replied);
}

#[test]
fn source_translation_gives_colliding_senders_different_ports() {
    let masquerade = Ct {
        commit: true,
        nat: Some(Nat {
            kind: Some(NatKind::Src),
            addresses: Some((VIP.into(), VIP.into())),
            ..Nat::default()
        }),
        ..ct()
    };
    let mut sim = sim([
        flow(0, 1, ip(), apply([Action::Ct(masquerade)])),
        flow(1, 1, ip(), output(2)),
    ]);
    let from = |last| Packet::tcp((Ipv4Addr::new(10, 0, 0, last), 4000), (SERVER, 80));
    let first = only_output(&sim.receive(from(1), START));
    let second = only_output(&sim.receive(from(2), START));
    assert_eq!(source(&first), (VIP.into(), Some(4000)));
    assert_eq!(source(&second).0, IpAddr::from(VIP));
    assert_ne!(source(&second).1, Some(4000));
    let answer = only_output(&sim.receive(second.answer(), START));
    assert_eq!(
        destination(&answer),
        (Ipv4Addr::new(10, 0, 0, 2).into(), Some(4000))
    );
}

#[test]
fn a_packet_translated_without_recirculation_leaves_translated() {
    let blind = Ct {
        commit: true,
        nat: Some(dnat(BACKEND, 8080)),
        table: None,
        ..ct()
    };
    let tell = Action::set(Field::EthDst, 7_u8);
    let sent = |more: Option<Action>| {
        let mut actions = vec![Action::Ct(blind.clone()), tell.clone()];
        actions.extend(more);
        actions.push(Action::output(PortNo(2)));
        sim([flow(0, 1, ip(), apply(actions))]).receive(to_service(), START)
    };
    let left = only_output(&sent(None));
    assert_eq!(destination(&left), (BACKEND.into(), Some(8080)));
    assert_eq!(left.get(Field::EthDst), Some(7));

    // OVS would write the address that it knows, in place of the translated one.
    let address = Action::set(Field::Ipv4Src, 7_u8);
    assert_eq!(
        faults(&sent(Some(address))),
        [FaultKind::WriteAfterTranslation(Field::Ipv4Src)]
    );
}

#[test]
fn a_second_zone_after_a_translation_without_ct_clear_is_reported() {
    let other = Ct {
        zone: CtZone::Immediate(9),
        table: Some(TableId(2)),
        ..ct()
    };
    let translate = Ct {
        commit: true,
        nat: Some(dnat(BACKEND, 8080)),
        ..ct()
    };
    let faults_with = |actions: Vec<Action>| {
        let mut sim = sim([
            flow(0, 1, ip(), apply([Action::Ct(translate.clone())])),
            flow(1, 1, ip(), apply(actions)),
            flow(2, 1, ip(), output(2)),
        ]);
        faults(&sim.receive(to_service(), START))
    };
    assert_eq!(
        faults_with(vec![Action::Ct(other.clone())]),
        [FaultKind::TranslatedElsewhere(9)]
    );
    assert_eq!(
        faults_with(vec![Action::CtClear, Action::Ct(other)]),
        Vec::new()
    );
}

#[test]
fn given_states_replace_conntrack_in_a_trace() {
    let sim = service();
    let established = CtState::TRK | CtState::EST | CtState::RPL;
    let packet = to_service().arriving_on(PortNo(2));
    assert_eq!(ports(&sim.trace(packet, [established])), [1]);
    assert_eq!(sim.conntrack().connections().count(), 0);
}

#[test]
fn a_trace_tells_the_walk_and_the_verdict() {
    let mut names = openflow_codec::text::Names::default();
    names.tables.insert(TableId(1), "service".into());
    names.ports.insert(PortNo(2), "pod-b".into());
    let execution = service().receive(to_service(), START);
    let expected = [
        " 0. ip, priority 1, cookie 0x1",
        "    ct(table=service,zone=193,nat)",
        "     -> goes through conntrack and on in table 1: recirc(0x1)",
        "",
        "recirc(0x1) - resume conntrack with ct_state=new|trk, ct_zone=193",
        " 1(service). ct_state=+new+trk,tcp,nw_dst=10.96.0.10, priority 20, cookie 0x10014",
        "    group:1",
        "    group 1: bucket 0",
        "        ct(commit,table=2,zone=193,nat(dst=10.1.0.7:8080))",
        "         -> goes through conntrack and on in table 2: recirc(0x2)",
        "",
        "recirc(0x2) - resume conntrack with ct_state=new|trk|dnat, ct_zone=193",
        " 2. ct_state=+new+trk,ip, priority 10, cookie 0x2000a",
        "    ct(commit,zone=193,exec(set_field:0x1/0x1->ct_mark))",
        "    output:pod-b",
        "Output: pod-b: in_port=1,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,\
         tcp,nw_src=10.0.0.1,nw_dst=10.1.0.7,nw_ttl=64,\
         tcp_src=4000,tcp_dst=8080,tcp_flags=0x2",
        "",
    ];
    assert_eq!(execution.trace(&names).to_string(), expected.join("\n"));
}

#[test]
fn a_trace_says_what_dropped_the_packet() {
    let names = openflow_codec::text::Names::default();
    let sim = sim([flow(0, 7, ip(), goto(3))]);
    let trace = sim.trace(request(), []).trace(&names).to_string();
    let expected = [
        " 0. ip, priority 7, cookie 0x7",
        "    goto_table:3",
        " 3. No match.",
        "    drop",
        "Drop: no flow of table 3 matches",
        "",
    ];
    assert_eq!(trace, expected.join("\n"));
}
