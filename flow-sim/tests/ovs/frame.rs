// SPDX-License-Identifier: Apache-2.0
//! IPv4 packets as Ethernet frames and back, as far as conntrack looks.

use std::net::{IpAddr, Ipv4Addr};

use flow_sim::conntrack::{L4, Tuple};
use flow_sim::packet::{Icmp, MacAddr, Packet, Transport, tcp};

/// The frame of an IPv4 packet; `None` for what is not modelled here.
pub(crate) fn encode(packet: &Packet) -> Option<Vec<u8>> {
    let ip = packet.as_ip()?;
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (ip.src, ip.dst) else {
        return None;
    };
    let protocol = ip.transport.protocol(ip.src);
    let mut l4 = match &ip.transport {
        Transport::Tcp { src, dst, flags } => tcp_segment(*src, *dst, *flags),
        Transport::Udp { src, dst } => udp_datagram(*src, *dst),
        Transport::Icmp(icmp) => icmp_message(icmp)?,
        Transport::Sctp { .. } | Transport::Other(_) => return None,
    };
    let checksum_at = match protocol {
        6 => 16,
        17 => 6,
        _ => 2,
    };
    let mut summed = Vec::new();
    if protocol != 1 {
        summed.extend(src.octets());
        summed.extend(dst.octets());
        summed.extend([0, protocol]);
        summed.extend((l4.len() as u16).to_be_bytes());
    }
    summed.extend(&l4);
    l4[checksum_at..checksum_at + 2].copy_from_slice(&checksum(&summed).to_be_bytes());

    let mut frame = Vec::new();
    frame.extend(packet.eth_dst.0);
    frame.extend(packet.eth_src.0);
    frame.extend([0x08, 0x00]);
    frame.extend(ipv4_header(src, dst, protocol, l4.len()));
    frame.extend(l4);
    Some(frame)
}

/// The packet in a frame that [`encode`] could have made, addresses changed or not.
pub(crate) fn decode(frame: &[u8]) -> Option<Packet> {
    let (eth, ip) = frame.split_at_checked(14)?;
    let (src, dst, protocol, l4) = decode_ipv4(ip)?;
    let transport = match protocol {
        6 => Transport::Tcp {
            src: word(l4, 0)?,
            dst: word(l4, 2)?,
            flags: u16::from(*l4.get(13)?),
        },
        17 => Transport::Udp {
            src: word(l4, 0)?,
            dst: word(l4, 2)?,
        },
        1 => {
            let kind = *l4.first()?;
            let about = if kind == 3 {
                Some(decode_quoted(l4.get(8..)?)?)
            } else {
                None
            };
            Transport::Icmp(Icmp {
                kind,
                code: *l4.get(1)?,
                id: if kind == 3 { 0 } else { word(l4, 4)? },
                about,
                ..Icmp::default()
            })
        }
        _ => return None,
    };
    let mac = |at: usize| eth.get(at..)?.first_chunk::<6>().copied().map(MacAddr);
    Some(Packet::ip(src, dst, transport).with_eth(mac(6)?, mac(0)?))
}

/// Sequence numbers that stay in the window as long as no data is sent.
fn tcp_segment(src: u16, dst: u16, flags: u16) -> Vec<u8> {
    let seq: u32 = if flags & tcp::SYN != 0 { 100 } else { 101 };
    let ack: u32 = if flags & tcp::ACK != 0 { 101 } else { 0 };
    let mut segment = Vec::new();
    segment.extend(src.to_be_bytes());
    segment.extend(dst.to_be_bytes());
    segment.extend(seq.to_be_bytes());
    segment.extend(ack.to_be_bytes());
    segment.extend([5 << 4, flags as u8]);
    segment.extend(8192_u16.to_be_bytes());
    segment.extend([0; 4]);
    segment
}

fn udp_datagram(src: u16, dst: u16) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(src.to_be_bytes());
    datagram.extend(dst.to_be_bytes());
    datagram.extend(8_u16.to_be_bytes());
    datagram.extend([0; 2]);
    datagram
}

fn icmp_message(icmp: &Icmp) -> Option<Vec<u8>> {
    let mut message = vec![icmp.kind, icmp.code, 0, 0];
    let Some(about) = icmp.about else {
        message.extend(icmp.id.to_be_bytes());
        message.extend([0, 1]);
        return Some(message);
    };
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (about.src, about.dst) else {
        return None;
    };
    let quoted = match about.l4 {
        L4::Ports { src, dst } if about.protocol == 6 => tcp_segment(src, dst, tcp::ACK),
        L4::Ports { src, dst } => udp_datagram(src, dst),
        L4::Icmp { id, kind, code } => {
            let [high, low] = id.to_be_bytes();
            vec![kind, code, 0, 0, high, low, 0, 1]
        }
        L4::None => return None,
    };
    message.extend([0; 4]);
    message.extend(ipv4_header(src, dst, about.protocol, quoted.len()));
    message.extend(quoted);
    Some(message)
}

fn ipv4_header(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, payload: usize) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend((20 + payload as u16).to_be_bytes());
    header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    header.extend(src.octets());
    header.extend(dst.octets());
    let sum = checksum(&header).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
    header
}

fn decode_ipv4(bytes: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr, u8, &[u8])> {
    let (header, payload) = bytes.split_at_checked(20)?;
    let address = |at: usize| {
        header
            .get(at..)?
            .first_chunk::<4>()
            .map(|a| Ipv4Addr::from(*a))
    };
    assert_eq!(checksum(header), 0, "OVS keeps the header's checksum right");
    Some((address(12)?, address(16)?, header[9], payload))
}

fn decode_quoted(bytes: &[u8]) -> Option<Tuple> {
    let (src, dst, protocol, l4) = decode_ipv4(bytes)?;
    let l4 = match protocol {
        1 => L4::Icmp {
            id: word(l4, 4)?,
            kind: *l4.first()?,
            code: *l4.get(1)?,
        },
        _ => L4::Ports {
            src: word(l4, 0)?,
            dst: word(l4, 2)?,
        },
    };
    Some(Tuple {
        src: src.into(),
        dst: dst.into(),
        protocol,
        l4,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk::<2>()
        .map(|word| u16::from_be_bytes(*word))
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(u16::from_be_bytes([*high, 0])),
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
