// SPDX-License-Identifier: Apache-2.0
//! The first two packets of an SCTP association, written and read by hand: there need be no SCTP in
//! this machine's kernel.

use std::io;

use socket2::{Domain, Protocol, Socket, Type};

const IPPROTO_SCTP: i32 = 132;

/// A raw socket for SCTP packets of one family.
pub fn socket(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(IPPROTO_SCTP)))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// What the only chunk of a packet is (RFC 9260, 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// INIT.
    Init = 1,
    /// INIT ACK.
    InitAck = 2,
}

/// A packet with one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source port.
    pub from: u16,
    /// Destination port.
    pub to: u16,
    /// What it is.
    pub chunk: Chunk,
    /// The initiate tag of the question, which the answer repeats.
    pub nonce: u32,
    /// Who answers.
    pub text: String,
}

impl Packet {
    /// Reads what a raw socket gives: an IPv4 packet with its header, an IPv6 packet without.
    pub fn read(packet: &[u8], domain: Domain) -> Option<Self> {
        let header = match domain {
            Domain::IPV4 => usize::from(packet.first()? & 0x0f) * 4,
            _ => 0,
        };
        let sctp = packet.get(header..)?;
        let u16_at = |at: usize| Some(u16::from_be_bytes(*sctp.get(at..)?.first_chunk()?));
        let chunk = match sctp.get(12)? {
            1 => Chunk::Init,
            2 => Chunk::InitAck,
            _ => return None,
        };
        let chunk_length = usize::from(u16_at(14)?);
        let text = sctp
            .get(32..(12 + chunk_length).max(32))
            .unwrap_or_default();
        Some(Self {
            from: u16_at(0)?,
            to: u16_at(2)?,
            chunk,
            nonce: u32::from_be_bytes(*sctp.get(16..)?.first_chunk()?),
            text: String::from_utf8_lossy(text).into_owned(),
        })
    }

    /// Ports, verification tag, checksum; then the chunk: type, flags, length, tag, window, streams,
    /// TSN, and the name of who answers.
    pub fn bytes(&self) -> Vec<u8> {
        let mut packet = Vec::new();
        packet.extend(self.from.to_be_bytes());
        packet.extend(self.to.to_be_bytes());
        let tag = match self.chunk {
            Chunk::Init => 0,
            Chunk::InitAck => self.nonce,
        };
        packet.extend(tag.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend([self.chunk as u8, 0]);
        let length = u16::try_from(20 + self.text.len()).unwrap_or(20);
        packet.extend(length.to_be_bytes());
        packet.extend(self.nonce.to_be_bytes());
        packet.extend(65_536_u32.to_be_bytes());
        packet.extend([0, 1, 0, 1]);
        packet.extend(self.nonce.to_be_bytes());
        packet.extend(self.text.as_bytes());
        packet.resize(packet.len().next_multiple_of(4), 0);
        let checksum = crc32c(&packet).to_le_bytes();
        for (slot, byte) in packet.iter_mut().skip(8).zip(checksum) {
            *slot = byte;
        }
        packet
    }
}

/// CRC32c (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), step);
    !bytes.iter().fold(u32::MAX, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_packet_is_read_as_it_was_made_behind_the_header_of_its_family() {
        let made = Packet {
            from: 20_001,
            to: 80,
            chunk: Chunk::InitAck,
            nonce: 77,
            text: "x/a".to_owned(),
        };
        let mut behind_header = vec![0x45; 20];
        behind_header.extend(made.bytes());
        let read = Packet::read(&behind_header, Domain::IPV4);
        assert_eq!(read, Some(made.clone()));
        assert_eq!(Packet::read(&made.bytes(), Domain::IPV6), Some(made));
        assert_eq!(Packet::read(&behind_header[..30], Domain::IPV4), None);
    }
}
