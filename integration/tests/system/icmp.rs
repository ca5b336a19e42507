// SPDX-License-Identifier: Apache-2.0
//! ICMP errors about UDP, written and read by hand.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use anyhow::Result;
use integration::Netns;
use socket2::{Domain, Protocol, Socket, Type};

const UDP: u8 = 17;
const UDP_HEADER: usize = 8;

/// What an error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nobody has the port.
    PortUnreachable,
    /// The packet is larger than this.
    TooBig(u16),
}

/// An error, as its receiver sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Error {
    /// Who sent it.
    pub(crate) from: IpAddr,
    pub(crate) kind: Kind,
    /// Source and destination of the packet that it is about.
    pub(crate) about: (SocketAddr, SocketAddr),
}

/// A raw socket for errors of the family of `like`.
pub(crate) fn socket(netns: &Netns, like: IpAddr) -> Result<UdpSocket> {
    let socket = netns.enter(|| -> io::Result<_> {
        let (domain, protocol) = match like {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    })??;
    Ok(socket.into())
}

/// Every error about UDP that has come.
pub(crate) fn received(socket: &UdpSocket) -> Result<Vec<Error>> {
    let (mut errors, mut packet) = (Vec::new(), [0; 2048]);
    loop {
        match socket.recv_from(&mut packet) {
            Ok((length, from)) => errors.extend(read(from.ip(), &packet[..length])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(errors),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends what a router, or the receiver, on the way of the packet `about` would.
pub(crate) fn send_too_big(
    socket: &UdpSocket,
    about: (SocketAddr, SocketAddr),
    mtu: u16,
) -> Result<()> {
    let (from, to) = about;
    let mut bytes = match from {
        SocketAddr::V4(_) => vec![3, 4, 0, 0, 0, 0],
        SocketAddr::V6(_) => vec![2, 0, 0, 0, 0, 0],
    };
    bytes.extend(mtu.to_be_bytes());
    bytes.extend(ip_header(from.ip(), to.ip()));
    bytes.extend(from.port().to_be_bytes());
    bytes.extend(to.port().to_be_bytes());
    bytes.extend([0, UDP_HEADER as u8, 0, 0]);
    // The kernel fills that of ICMPv6 in.
    if from.is_ipv4() {
        let sum = checksum(&bytes);
        bytes[2..4].copy_from_slice(&sum);
    }
    socket.send_to(&bytes, SocketAddr::new(from.ip(), 0))?;
    Ok(())
}

fn ip_header(from: IpAddr, to: IpAddr) -> Vec<u8> {
    let mut header = Vec::new();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.extend([
                0x45,
                0,
                0,
                20 + UDP_HEADER as u8,
                0,
                1,
                0x40,
                0,
                64,
                UDP,
                0,
                0,
            ]);
            header.extend(from.octets());
            header.extend(to.octets());
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            header.extend([0x60, 0, 0, 0, 0, UDP_HEADER as u8, UDP, 64]);
            header.extend(from.octets());
            header.extend(to.octets());
        }
        _ => panic!("{from} and {to} are of two families"),
    }
    header
}

/// The internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2);
    let sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    (!(folded as u16)).to_be_bytes()
}

/// Of IPv4 a raw socket gives the whole packet, of IPv6 what follows the header.
fn read(from: IpAddr, packet: &[u8]) -> Option<Error> {
    let icmp = match from {
        IpAddr::V4(_) => packet.get(usize::from(packet.first()? & 0x0f) * 4..)?,
        IpAddr::V6(_) => packet,
    };
    let mtu = u16::from_be_bytes(*icmp.get(6..)?.first_chunk()?);
    let kind = match (from, icmp.first()?, icmp.get(1)?) {
        (IpAddr::V4(_), 3, 3) | (IpAddr::V6(_), 1, 4) => Kind::PortUnreachable,
        (IpAddr::V4(_), 3, 4) | (IpAddr::V6(_), 2, 0) => Kind::TooBig(mtu),
        _ => return None,
    };
    let quoted = icmp.get(8..)?;
    let (src, dst, protocol, header): (IpAddr, IpAddr, _, _) = match from {
        IpAddr::V4(_) => {
            let at = |at: usize| Some(Ipv4Addr::from(*quoted.get(at..)?.first_chunk::<4>()?));
            (at(12)?.into(), at(16)?.into(), quoted.get(9)?, 20)
        }
        IpAddr::V6(_) => {
            let at = |at: usize| Some(Ipv6Addr::from(*quoted.get(at..)?.first_chunk::<16>()?));
            (at(8)?.into(), at(24)?.into(), quoted.get(6)?, 40)
        }
    };
    let port = |at: usize| {
        Some(u16::from_be_bytes(
            *quoted.get(header + at..)?.first_chunk()?,
        ))
    };
    (*protocol == UDP).then_some(Error {
        from,
        kind,
        about: (
            SocketAddr::new(src, port(0)?),
            SocketAddr::new(dst, port(2)?),
        ),
    })
}
