// SPDX-License-Identifier: Apache-2.0
//! What is answered to a packet for a Service that has no endpoint: a reset, or port unreachable.

pub mod connection;
mod conversation;
mod counts;
mod endpoints;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use counts::Counts;

/// EtherTypes.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// Protocol numbers.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

/// IPv6 extension headers that may stand before the ports (RFC 8200 section 4).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// Lengths of headers.
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const ICMP_HEADER: usize = 8;
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const SCTP_HEADER: usize = 12;

/// Longest ICMP error (RFC 1812 section 4.3.2.3).
const ICMP_ERROR: usize = 576;

/// Longest ICMPv6 error (RFC 4443 section 2.4 (c)).
const ICMPV6_ERROR: usize = 1280;

/// Flags of TCP.
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Hops that an answer may take.
const HOPS: u8 = 64;

/// Where the checksum is in the headers that an answer can have.
const IPV4_CHECKSUM: usize = 10;
const ICMP_CHECKSUM: usize = 2;
const TCP_CHECKSUM: usize = 16;

/// Why a packet gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It is shorter than it says, or contradicts itself.
    #[error("it is malformed")]
    Malformed,
    /// It is well-formed, and of a kind that must not be answered, or is none of ours.
    #[error("packets of its kind are not answered")]
    NotAnswered,
}

use NoAnswer::{Malformed, NotAnswered};

/// An IP packet, as far as an answer depends on it.
struct Received<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    /// There are more fragments to come.
    is_fragment: bool,
    /// From the IP header to its end, without padding of the link layer.
    packet: &'a [u8],
    payload: &'a [u8],
}

/// The frame that refuses what is in `frame`, for the port that it came from.
///
/// The checksums of `frame` are not looked at: what a Pod sends may leave them to hardware.
///
/// # Errors
/// When it gets no answer.
pub fn refuse(frame: &[u8]) -> Result<Vec<u8>, NoAnswer> {
    let (ethernet, packet) = frame.split_first_chunk::<14>().ok_or(Malformed)?;
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *ethernet;
    // RFC 1122 section 3.2.2: no error about a link-layer multicast.
    if (d0 | s0) & 1 != 0 {
        return Err(NotAnswered);
    }
    let received = match u16::from_be_bytes([t0, t1]) {
        IPV4 => read_ipv4(packet)?,
        IPV6 => read_ipv6(packet)?,
        _ => return Err(NotAnswered),
    };
    let (protocol, payload) = respond(&received)?;
    let mut answer = vec![s0, s1, s2, s3, s4, s5, d0, d1, d2, d3, d4, d5, t0, t1];
    put_ip(&mut answer, &received, protocol, &payload)?;
    Ok(answer)
}

/// The header of RFC 791 section 3.1.
fn read_ipv4(packet: &[u8]) -> Result<Received<'_>, NoAnswer> {
    let header = packet.first_chunk::<IPV4_HEADER>().ok_or(Malformed)?;
    let [first, _, l0, l1, _, _, f0, f1, _, protocol, _, _, rest @ ..] = *header;
    let [s0, s1, s2, s3, d0, d1, d2, d3] = rest;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let header_length = usize::from(first & 0x0f).saturating_mul(4);
    let packet = packet.get(..length).ok_or(Malformed)?;
    let payload = packet.get(header_length..).ok_or(Malformed)?;
    if first >> 4 != 4 || header_length < IPV4_HEADER {
        return Err(Malformed);
    }
    let fragment = u16::from_be_bytes([f0, f1]);
    if fragment & 0x1fff != 0 {
        return Err(NotAnswered);
    }
    Ok(Received {
        source: Ipv4Addr::new(s0, s1, s2, s3).into(),
        destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
        protocol,
        is_fragment: fragment & 0x2000 != 0,
        packet,
        payload,
    })
}

/// The headers of RFC 8200 sections 3 and 4.
fn read_ipv6(packet: &[u8]) -> Result<Received<'_>, NoAnswer> {
    let (header, rest) = packet.split_first_chunk::<IPV6_HEADER>().ok_or(Malformed)?;
    let [first, _, _, _, l0, l1, mut next, _, addresses @ ..] = *header;
    let (source, destination) = addresses.split_first_chunk::<16>().ok_or(Malformed)?;
    let destination = destination.first_chunk::<16>().ok_or(Malformed)?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let mut payload = rest.get(..length).ok_or(Malformed)?;
    let packet = packet
        .get(..IPV6_HEADER.saturating_add(length))
        .ok_or(Malformed)?;
    if first >> 4 != 6 {
        return Err(Malformed);
    }
    let mut is_fragment = false;
    while let HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS = next {
        let [after, units, f0, f1, ..] = *payload.first_chunk::<8>().ok_or(Malformed)?;
        let mut length = usize::from(units).saturating_add(1).saturating_mul(8);
        if next == FRAGMENT {
            let fragment = u16::from_be_bytes([f0, f1]);
            if fragment & 0xfff8 != 0 {
                return Err(NotAnswered);
            }
            is_fragment |= fragment & 1 != 0;
            length = 8;
        }
        payload = payload.get(length..).ok_or(Malformed)?;
        next = after;
    }
    Ok(Received {
        source: Ipv6Addr::from(*source).into(),
        destination: Ipv6Addr::from(*destination).into(),
        protocol: next,
        is_fragment,
        packet,
        payload,
    })
}

/// Protocol and contents of the answer.
fn respond(received: &Received<'_>) -> Result<(u8, Vec<u8>), NoAnswer> {
    if !is_one_host(received.source) || !is_one_host(received.destination) {
        return Err(NotAnswered);
    }
    let needed = match received.protocol {
        TCP => return Ok((TCP, reset(received)?)),
        UDP => UDP_HEADER,
        SCTP => SCTP_HEADER,
        _ => return Err(NotAnswered),
    };
    if received.payload.len() < needed {
        return Err(Malformed);
    }
    Ok(port_unreachable(received))
}

/// Whether this is an address that one host can have on a network.
fn is_one_host(address: IpAddr) -> bool {
    let class_e = matches!(address, IpAddr::V4(v4) if v4.octets() >= [240, 0, 0, 0]);
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || class_e)
}

/// RFC 9293 section 3.10.7.1: "If the state is CLOSED ... An incoming segment not containing a RST
/// causes a RST to be sent in response."
fn reset(received: &Received<'_>) -> Result<Vec<u8>, NoAnswer> {
    let segment = received.payload;
    let header = segment.first_chunk::<TCP_HEADER>().ok_or(Malformed)?;
    let [
        s0,
        s1,
        d0,
        d1,
        q0,
        q1,
        q2,
        q3,
        a0,
        a1,
        a2,
        a3,
        offset,
        flags,
        ..,
    ] = *header;
    let header_length = usize::from(offset >> 4).saturating_mul(4);
    let data = segment.get(header_length..).ok_or(Malformed)?;
    if header_length < TCP_HEADER {
        return Err(Malformed);
    }
    // What a fragment acknowledges is not known before all have come.
    if flags & RST != 0 || received.is_fragment {
        return Err(NotAnswered);
    }
    let (sequence, acknowledged, flags) = if flags & ACK != 0 {
        ([a0, a1, a2, a3], [0; 4], RST)
    } else {
        let controls = (flags & SYN)
            .count_ones()
            .wrapping_add((flags & FIN).count_ones());
        let length = u32::try_from(data.len()).map_err(|_| Malformed)?;
        let next = u32::from_be_bytes([q0, q1, q2, q3])
            .wrapping_add(length)
            .wrapping_add(controls);
        ([0; 4], next.to_be_bytes(), RST | ACK)
    };
    let mut answer = vec![d0, d1, s0, s1];
    answer.extend(sequence);
    answer.extend(acknowledged);
    answer.extend([0x50, flags, 0, 0, 0, 0, 0, 0]);
    let pseudo = pseudo_header(received, TCP, answer.len());
    put_checksum(&mut answer, TCP_CHECKSUM, pseudo);
    Ok(answer)
}

/// RFC 792 (type 3, code 3) or RFC 4443 section 3.1 (type 1, code 4), with as much of the packet as
/// an error may hold.
fn port_unreachable(received: &Received<'_>) -> (u8, Vec<u8>) {
    let (protocol, kind, longest, header) = match received.source {
        IpAddr::V4(_) => (ICMP, [3, 3], ICMP_ERROR, IPV4_HEADER),
        IpAddr::V6(_) => (ICMPV6, [1, 4], ICMPV6_ERROR, IPV6_HEADER),
    };
    let room = longest.saturating_sub(header).saturating_sub(ICMP_HEADER);
    let mut answer = Vec::from(kind);
    answer.extend([0; 6]);
    answer.extend(received.packet.iter().take(room));
    let pseudo = match protocol {
        ICMP => 0,
        _ => pseudo_header(received, protocol, answer.len()),
    };
    put_checksum(&mut answer, ICMP_CHECKSUM, pseudo);
    (protocol, answer)
}

/// Appends the answer's IP packet: from the Service's address to who asked.
fn put_ip(
    answer: &mut Vec<u8>,
    received: &Received<'_>,
    protocol: u8,
    payload: &[u8],
) -> Result<(), NoAnswer> {
    let length = |bytes: usize| {
        u16::try_from(bytes)
            .map(u16::to_be_bytes)
            .map_err(|_| Malformed)
    };
    match (received.destination, received.source) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let [l0, l1] = length(payload.len().saturating_add(IPV4_HEADER))?;
            // Never fragmented, so that it needs no identification (RFC 6864 section 4.1).
            let mut header = vec![0x45, 0, l0, l1, 0, 0, 0x40, 0, HOPS, protocol, 0, 0];
            header.extend(from.octets());
            header.extend(to.octets());
            put_checksum(&mut header, IPV4_CHECKSUM, 0);
            answer.append(&mut header);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let [l0, l1] = length(payload.len())?;
            answer.extend([0x60, 0, 0, 0, l0, l1, protocol, HOPS]);
            answer.extend(from.octets());
            answer.extend(to.octets());
        }
        _ => return Err(Malformed),
    }
    answer.extend(payload);
    Ok(())
}

/// What the pseudo-header of an answer adds to its checksum (RFC 9293 section 3.1, RFC 8200 section 8.1).
fn pseudo_header(received: &Received<'_>, protocol: u8, length: usize) -> u64 {
    let address = |address| match address {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    };
    address(received.source)
        .saturating_add(address(received.destination))
        .saturating_add(u64::from(protocol))
        .saturating_add(length as u64)
}

/// Writes the checksum of RFC 1071 over `bytes`, and what `more` stands for, to its place.
fn put_checksum(bytes: &mut [u8], place: usize, more: u64) {
    let mut total = sum(bytes).saturating_add(more);
    while total > 0xffff {
        total = (total & 0xffff).saturating_add(total >> 16);
    }
    let checksum = !(total as u16);
    if let Some(field) = bytes
        .get_mut(place..)
        .and_then(<[u8]>::first_chunk_mut::<2>)
    {
        *field = checksum.to_be_bytes();
    }
}

/// The sum of all 16-bit words; an odd byte is the first of its word.
fn sum(bytes: &[u8]) -> u64 {
    let word = |pair: &[u8]| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(u16::from_be_bytes([high, 0])),
        _ => 0,
    };
    bytes.chunks(2).map(word).sum()
}

#[cfg(test)]
mod tests;
