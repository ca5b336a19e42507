// SPDX-License-Identifier: Apache-2.0
//! Geneve options: absent is not zero, and is never copied.

use super::*;

const VALID: u128 = 1 << 95;

fn with_option(value: u128) -> Packet {
    let mut packet = request();
    packet.tunnel.options.insert(0, value);
    packet
}

fn copy() -> Action {
    let part = |field| Subfield {
        field,
        offset: 0,
        bits: 96,
    };
    Action::CopyField {
        src: part(Field::TunMetadata0),
        dst: part(Field::Xxreg1),
    }
}

#[test]
fn an_absent_option_matches_neither_zero_nor_masked_zero() {
    let zero = Match::any().with(Field::TunMetadata0, 0_u128);
    let masked = Match::any().with_masked(Field::TunMetadata0, 0_u128, VALID);
    let mut sim = sim([flow(0, 2, zero, output(2)), flow(0, 1, masked, output(3))]);
    assert_eq!(ports(&sim.receive(request(), START)), []);
    assert_eq!(ports(&sim.receive(with_option(0), START)), [2]);
    assert_eq!(ports(&sim.receive(with_option(5), START)), [3]);
}

#[test]
fn copying_an_option_before_it_is_proved_present_is_reported() {
    let mut sim = sim([flow(0, 1, ip(), {
        let mut instructions = apply([copy()]);
        instructions.extend(goto(1));
        instructions
    })]);
    let unproved = || FaultKind::UnprovedOption(Field::TunMetadata0);
    assert_eq!(
        faults(&sim.receive(with_option(VALID), START)),
        [unproved()]
    );
    let absent = FaultKind::AbsentField(Field::TunMetadata0);
    assert_eq!(faults(&sim.receive(request(), START)), [unproved(), absent]);
}

#[test]
fn a_match_on_a_set_bit_proves_the_option() {
    let valid = Match::any().with_masked(Field::TunMetadata0, VALID, VALID);
    let mut sim = sim([
        flow(0, 1, valid, {
            let mut instructions = apply([copy()]);
            instructions.extend(goto(1));
            instructions
        }),
        flow(1, 1, Match::any().with(Field::Reg7, 5_u32), output(2)),
    ]);
    let execution = sim.receive(with_option(VALID | 5), START);
    assert_eq!(faults(&execution), []);
    assert_eq!(ports(&execution), [2]);
}

#[test]
fn an_option_that_was_written_leaves_with_the_packet() {
    let set = Action::set(Field::TunMetadata0, VALID | 7);
    let mut sim = sim([flow(0, 1, ip(), apply([set, Action::output(PortNo(2))]))]);
    let execution = sim.receive(request(), START);
    let sent = execution.single().unwrap().packet.clone();
    let there = sent.arriving_by_tunnel(PortNo(9), CLIENT);
    assert_eq!(there.tunnel.options.get(&0), Some(&(VALID | 7)));
    assert_eq!(there.regs, [0; 16]);
}
