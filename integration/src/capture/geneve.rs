// SPDX-License-Identifier: Apache-2.0
//! Decoding Geneve frames, written apart from the product so that it can judge it.

use std::net::{IpAddr, SocketAddr};

/// Registered UDP port of Geneve (RFC 8926, section 3.3).
pub const PORT: u16 = 6081;

/// A Geneve packet over IPv4 or IPv6 (RFC 8926, section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geneve {
    /// Outer source address.
    pub source: IpAddr,
    /// Outer destination address.
    pub destination: IpAddr,
    /// Virtual network identifier, 24 bits.
    pub vni: u32,
    /// Whether the C bit says that a critical option is present.
    pub critical: bool,
    /// The options in wire order.
    pub options: Vec<GeneveOption>,
    /// The packet inside, from its Ethernet header on.
    pub payload: Vec<u8>,
}

/// One Geneve option (RFC 8926, section 3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneveOption {
    /// Option class.
    pub class: u16,
    /// Type, with the critical bit `0x80`.
    pub kind: u8,
    /// The value, a multiple of 4 bytes.
    pub value: Vec<u8>,
}

/// The ends of the IP packet inside a tunnel packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    /// IP protocol number.
    pub protocol: u8,
    /// Source address and port; port 0 when the protocol has none.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
}

impl Geneve {
    /// Reads an Ethernet frame; `None` when it is not a well-formed Geneve packet.
    pub fn decode(frame: &[u8]) -> Option<Self> {
        let (ip, udp) = ip(frame)?;
        if ip.protocol != 17 || u16_at(udp, 2)? != PORT {
            return None;
        }
        let length = usize::from(u16_at(udp, 4)?);
        let geneve = udp.get(8..length)?;
        // |Ver|  Opt Len  |O|C|    Rsvd.  |          Protocol Type        |
        // |        Virtual Network Identifier (VNI)       |    Reserved   |
        let first = *geneve.first()?;
        if first >> 6 != 0 || u16_at(geneve, 2)? != 0x6558 {
            return None;
        }
        let options_end = 8 + usize::from(first & 0x3f) * 4;
        let &[a, b, c] = geneve.get(4..7)? else {
            return None;
        };
        Some(Self {
            source: ip.source,
            destination: ip.destination,
            vni: u32::from_be_bytes([0, a, b, c]),
            critical: geneve.get(1)? & 0x40 != 0,
            options: options(geneve.get(8..options_end)?)?,
            payload: geneve.get(options_end..)?.to_vec(),
        })
    }

    /// The value of an option.
    pub fn option(&self, class: u16, kind: u8) -> Option<&[u8]> {
        self.options
            .iter()
            .find(|option| option.class == class && option.kind == kind)
            .map(|option| option.value.as_slice())
    }

    /// The ends of the packet inside, if it is an IP packet without extension headers.
    pub fn inner(&self) -> Option<Inner> {
        let (ip, payload) = ip(&self.payload)?;
        let has_ports = matches!(ip.protocol, 6 | 17 | 132);
        let port = |at| {
            if has_ports {
                u16_at(payload, at)
            } else {
                Some(0)
            }
        };
        Some(Inner {
            protocol: ip.protocol,
            source: SocketAddr::new(ip.source, port(0)?),
            destination: SocketAddr::new(ip.destination, port(2)?),
        })
    }
}

struct Ip {
    protocol: u8,
    source: IpAddr,
    destination: IpAddr,
}

/// The IP header of an untagged Ethernet frame, and what follows it within the packet's length.
fn ip(frame: &[u8]) -> Option<(Ip, &[u8])> {
    let packet = frame.get(14..)?;
    let first = *packet.first()?;
    match (u16_at(frame, 12)?, first >> 4) {
        (0x0800, 4) => {
            let header = usize::from(first & 0x0f) * 4;
            if header < 20 {
                return None;
            }
            let ip = Ip {
                protocol: *packet.get(9)?,
                source: address_at::<4>(packet, 12)?,
                destination: address_at::<4>(packet, 16)?,
            };
            Some((ip, packet.get(header..usize::from(u16_at(packet, 2)?))?))
        }
        (0x86dd, 6) => {
            let ip = Ip {
                protocol: *packet.get(6)?,
                source: address_at::<16>(packet, 8)?,
                destination: address_at::<16>(packet, 24)?,
            };
            let end = 40 + usize::from(u16_at(packet, 4)?);
            Some((ip, packet.get(40..end)?))
        }
        _ => None,
    }
}

fn options(mut bytes: &[u8]) -> Option<Vec<GeneveOption>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        // |          Option Class         |      Type     |R|R|R| Length  |
        let length = usize::from(bytes.get(3)? & 0x1f) * 4;
        found.push(GeneveOption {
            class: u16_at(bytes, 0)?,
            kind: *bytes.get(2)?,
            value: bytes.get(4..4 + length)?.to_vec(),
        });
        bytes = bytes.get(4 + length..)?;
    }
    Some(found)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..at + 2)?
        .try_into()
        .ok()
        .map(u16::from_be_bytes)
}

fn address_at<const N: usize>(bytes: &[u8], at: usize) -> Option<IpAddr>
where
    IpAddr: From<[u8; N]>,
{
    let octets: [u8; N] = bytes.get(at..at + N)?.try_into().ok()?;
    Some(octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ethernet, IPv4, UDP, Geneve with one 12-byte option, and an inner UDP packet.
    fn frame() -> Vec<u8> {
        let inner_ip = [
            0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 10, 1, 2, 10, 10, 2, 3, 0x30, 0x39, 0,
            53, 0, 8, 0, 0,
        ];
        let mut inner = vec![0; 12];
        inner.extend([0x08, 0x00]);
        inner.extend(inner_ip);
        let mut geneve = vec![0x04, 0x00, 0x65, 0x58, 0x00, 0x00, 0xc1, 0x00];
        geneve.extend([
            0xff, 0x51, 0x01, 0x03, 0x80, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
        ]);
        geneve.extend(inner);
        let udp_length = u16::try_from(8 + geneve.len()).unwrap();
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00, 0x45, 0]);
        frame.extend((20 + udp_length).to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 98, 0, 11, 10, 98, 0, 12]);
        frame.extend([0xc0, 0, 0x17, 0xc1]);
        frame.extend(udp_length.to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(geneve);
        frame
    }

    #[test]
    fn vni_option_and_inner_ends_are_read() {
        let packet = Geneve::decode(&frame()).unwrap();
        assert_eq!(packet.vni, 0xc1);
        assert_eq!(packet.source, IpAddr::from([10, 98, 0, 11]));
        assert_eq!(
            packet.option(0xff51, 1),
            Some(&[0x80, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11][..])
        );
        assert_eq!(packet.option(0xff51, 2), None);
        let inner = packet.inner().unwrap();
        assert_eq!(inner.source.to_string(), "10.10.1.2:12345");
        assert_eq!(inner.destination.to_string(), "10.10.2.3:53");
    }

    #[test]
    fn a_frame_cut_anywhere_is_refused() {
        let frame = frame();
        for length in 0..frame.len() {
            assert_eq!(Geneve::decode(&frame[..length]), None, "cut at {length}");
        }
    }

    #[test]
    fn an_option_longer_than_the_option_space_is_refused() {
        let mut frame = frame();
        let length_byte = 14 + 20 + 8 + 8 + 3;
        frame[length_byte] = 0x1f;
        assert_eq!(Geneve::decode(&frame), None);
    }
}
