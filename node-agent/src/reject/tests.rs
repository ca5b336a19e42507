// SPDX-License-Identifier: Apache-2.0
//! Frames in, frames out, field by field.

use proptest::prelude::*;

use super::*;

const POD: [u8; 6] = [0x0a, 0x58, 0, 0, 0, 5];
const GATEWAY: [u8; 6] = [0x0a, 0x58, 0xa9, 0xfe, 1, 1];

/// What a Pod sends to a Service of its family.
fn frame(v6: bool, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = [GATEWAY, POD].concat();
    if v6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend((payload.len() as u16).to_be_bytes());
        frame.extend([protocol, 64]);
        frame.extend("fd00::5".parse::<Ipv6Addr>().unwrap().octets());
        frame.extend("fd96::1".parse::<Ipv6Addr>().unwrap().octets());
    } else {
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((payload.len() as u16 + 20).to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 5, 10, 96, 0, 1]);
    }
    frame.extend(payload);
    frame
}

/// A segment from port 4000 to port 80: sequence number 1000, acknowledges 2000.
fn segment(flags: u8, data: usize) -> Vec<u8> {
    let mut segment = vec![0x0f, 0xa0, 0, 80, 0, 0, 3, 0xe8, 0, 0, 7, 0xd0];
    segment.extend([0x50, flags, 0, 0, 0, 0, 0, 0]);
    segment.resize(20 + data, b'x');
    segment
}

/// Sequence number, what is acknowledged, and flags.
fn answered(v6: bool, segment: &[u8]) -> (u32, u32, u8) {
    let answer = refuse(&frame(v6, TCP, segment)).unwrap();
    let tcp = &answer[if v6 { 54 } else { 34 }..];
    assert_eq!(tcp[..4], [0, 80, 0x0f, 0xa0]);
    let word = |at: usize| u32::from_be_bytes(tcp[at..at + 4].try_into().unwrap());
    (word(4), word(8), tcp[13])
}

/// Whether every checksum of an answer is right, judged by RFC 1071: all words sum up to ones.
fn checksums_are_right(answer: &[u8]) -> bool {
    let ones = |mut total: u64| {
        while total > 0xffff {
            total = (total & 0xffff) + (total >> 16);
        }
        total == 0xffff
    };
    if answer[12] == 8 {
        let (header, payload) = answer[14..].split_at(20);
        let pseudo = sum(&header[12..]) + u64::from(header[9]) + payload.len() as u64;
        let pseudo = if header[9] == ICMP { 0 } else { pseudo };
        ones(sum(header)) && ones(sum(payload) + pseudo)
    } else {
        let (header, payload) = answer[14..].split_at(40);
        let pseudo = sum(&header[8..]) + u64::from(header[6]) + payload.len() as u64;
        ones(sum(payload) + pseudo)
    }
}

#[test]
fn a_connection_is_reset_with_what_it_has_acknowledged() {
    for v6 in [false, true] {
        assert_eq!(answered(v6, &segment(SYN, 0)), (0, 1001, RST | ACK));
        assert_eq!(answered(v6, &segment(SYN, 7)), (0, 1008, RST | ACK));
        assert_eq!(answered(v6, &segment(SYN | FIN, 0)), (0, 1002, RST | ACK));
        assert_eq!(answered(v6, &segment(0, 3)), (0, 1003, RST | ACK));
        assert_eq!(answered(v6, &segment(ACK, 3)), (2000, 0, RST));
    }
}

#[test]
fn an_answer_goes_back_from_the_address_and_link_that_were_asked() {
    let answer = refuse(&frame(false, TCP, &segment(SYN, 0))).unwrap();
    assert_eq!(answer[..14], [&POD[..], &GATEWAY, &[8, 0]].concat());
    assert_eq!(answer[26..34], [10, 96, 0, 1, 10, 0, 0, 5]);
    let asked = frame(true, UDP, &[0; 8]);
    let answer = refuse(&asked).unwrap();
    assert_eq!(answer[22..38], asked[38..54]);
    assert_eq!(answer[38..54], asked[22..38]);
}

#[test]
fn datagrams_get_port_unreachable_with_as_much_of_them_as_an_error_may_hold() {
    for (v6, kind, headers, longest) in [(false, [3, 3], 34, 576), (true, [1, 4], 54, 1280)] {
        for protocol in [UDP, SCTP] {
            for length in [12, 400, 9000] {
                let asked = frame(v6, protocol, &vec![7; length]);
                let answer = refuse(&asked).unwrap();
                assert_eq!(answer[headers..headers + 2], kind);
                let quoted = &answer[headers + 8..];
                assert_eq!(quoted, &asked[14..14 + quoted.len()]);
                let whole = headers + 8 + asked.len() - 14;
                assert_eq!(answer.len(), whole.min(longest + 14), "{v6} {length}");
            }
        }
    }
}

#[test]
fn padding_of_the_link_layer_is_not_quoted() {
    let asked = frame(false, UDP, &[0; 8]);
    let padded = [asked.as_slice(), &[0xee; 18]].concat();
    assert_eq!(refuse(&padded), refuse(&asked));
}

#[test]
fn extension_headers_are_passed_over() {
    let options = [&[TCP, 0, 1, 4, 0, 0, 0, 0][..], &segment(SYN, 0)].concat();
    let answer = refuse(&frame(true, DESTINATION_OPTIONS, &options)).unwrap();
    assert_eq!((answer[20], answer[54 + 13]), (TCP, RST | ACK));
}

#[test]
fn what_must_not_be_answered_is_not() {
    let multicast_link = {
        let mut frame = frame(false, UDP, &[0; 8]);
        frame[0] |= 1;
        frame
    };
    let from = |address: [u8; 4]| {
        let mut frame = frame(false, UDP, &[0; 8]);
        frame[26..30].copy_from_slice(&address);
        frame
    };
    let fragment = |field: u16, protocol| {
        let mut frame = frame(false, protocol, &segment(SYN, 0));
        frame[20..22].copy_from_slice(&field.to_be_bytes());
        frame
    };
    let tagged = {
        let mut frame = frame(false, UDP, &[0; 8]);
        frame[12..14].copy_from_slice(&[0x81, 0]);
        frame
    };
    let later_fragment = [&[UDP, 0, 0, 8, 0, 0, 0, 1][..], &[0; 8]].concat();
    for (what, frame) in [
        ("a reset", frame(false, TCP, &segment(RST, 0))),
        (
            "a reset that acknowledges",
            frame(true, TCP, &segment(RST | ACK, 0)),
        ),
        ("ICMP", frame(false, ICMP, &[8, 0, 0, 0, 0, 0, 0, 0])),
        ("ICMPv6", frame(true, ICMPV6, &[128, 0, 0, 0, 0, 0, 0, 0])),
        ("another protocol", frame(false, 47, &[0; 8])),
        ("a multicast of the link", multicast_link),
        ("from nobody", from([0, 0, 0, 0])),
        ("from this host", from([127, 0, 0, 1])),
        ("from a group", from([224, 0, 0, 1])),
        ("from everybody", from([255, 255, 255, 255])),
        ("a later fragment", fragment(1, UDP)),
        ("the first fragment of a segment", fragment(0x2000, TCP)),
        (
            "a later fragment of IPv6",
            frame(true, FRAGMENT, &later_fragment),
        ),
        ("a tagged frame", tagged),
    ] {
        assert_eq!(refuse(&frame), Err(NotAnswered), "{what}");
    }
    assert!(
        refuse(&fragment(0x2000, UDP)).is_ok(),
        "the first fragment of a datagram"
    );
}

#[test]
fn every_packet_that_is_cut_off_is_malformed() {
    for v6 in [false, true] {
        for (protocol, payload) in [
            (TCP, segment(SYN, 9)),
            (UDP, vec![0; 8]),
            (SCTP, vec![0; 12]),
        ] {
            let whole = frame(v6, protocol, &payload);
            for length in 0..whole.len() {
                assert_eq!(
                    refuse(&whole[..length]),
                    Err(Malformed),
                    "{v6} {protocol} {length}"
                );
            }
            let short = frame(v6, protocol, &payload[..7]);
            assert_eq!(refuse(&short), Err(Malformed), "{v6} {protocol}");
        }
    }
}

/// A frame of a Pod with bytes changed here and there.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let protocol = prop::sample::select(vec![TCP, UDP, SCTP, ICMP, 0, 43, 44, 60]);
    let payload = prop::collection::vec(any::<u8>(), 0..1500);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (any::<bool>(), protocol, payload, changes).prop_map(|(v6, protocol, payload, changes)| {
        let mut frame = frame(v6, protocol, &payload);
        for (index, byte) in changes {
            let at = index.index(frame.len());
            frame[at] = byte;
        }
        frame
    })
}

proptest! {
    #[test]
    fn an_answer_is_sound_and_never_answered_itself(frame in damaged()) {
        if let Ok(answer) = refuse(&frame) {
            prop_assert!(checksums_are_right(&answer));
            prop_assert!(answer.len() <= 14 + ICMPV6_ERROR);
            prop_assert_eq!(refuse(&answer), Err(NotAnswered));
        }
    }

    #[test]
    fn a_segment_of_any_size_is_answered_rightly(v6: bool, data in 0..1400usize) {
        let answer = refuse(&frame(v6, TCP, &segment(SYN, data))).unwrap();
        prop_assert!(checksums_are_right(&answer));
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(refuse(&bytes));
    }
}
