// SPDX-License-Identifier: Apache-2.0
//! The tuple that names one direction of a connection.

use std::net::IpAddr;

use crate::packet::{Icmp, Ip, Packet, Payload, Transport};

/// Addresses, protocol and ports of one direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// IP protocol.
    pub protocol: u8,
    /// Ports or ICMP identifier.
    pub l4: L4,
}

/// The transport part of a [`Tuple`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum L4 {
    /// TCP, UDP, SCTP.
    Ports {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
    },
    /// ICMP and ICMPv6 queries.
    Icmp {
        /// Identifier.
        id: u16,
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// A protocol without ports.
    None,
}

impl Tuple {
    /// The tuple of a packet; `None` for ICMP messages that are no query and no reply.
    pub fn of(ip: &Ip) -> Option<Self> {
        let l4 = match &ip.transport {
            Transport::Tcp { src, dst, .. }
            | Transport::Udp { src, dst }
            | Transport::Sctp { src, dst } => L4::Ports {
                src: *src,
                dst: *dst,
            },
            Transport::Icmp(icmp) => {
                opposite(icmp.kind, ip.src.is_ipv4())?;
                L4::Icmp {
                    id: icmp.id,
                    kind: icmp.kind,
                    code: icmp.code,
                }
            }
            Transport::Other(_) => L4::None,
        };
        Some(Self {
            src: ip.src,
            dst: ip.dst,
            protocol: ip.transport.protocol(ip.src),
            l4,
        })
    }

    /// The tuple of the other direction.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let l4 = match self.l4 {
            L4::Ports { src, dst } => L4::Ports { src: dst, dst: src },
            L4::Icmp { id, kind, code } => L4::Icmp {
                id,
                kind: opposite(kind, self.src.is_ipv4()).unwrap_or(kind),
                code,
            },
            L4::None => L4::None,
        };
        Self {
            src: self.dst,
            dst: self.src,
            protocol: self.protocol,
            l4,
        }
    }

    /// `ct_tp_src` and `ct_tp_dst`: ports, or ICMP type and code.
    pub(crate) fn ct_tp(&self) -> (u16, u16) {
        match self.l4 {
            L4::Ports { src, dst } => (src, dst),
            L4::Icmp { kind, code, .. } => (kind.into(), code.into()),
            L4::None => (0, 0),
        }
    }

    /// Gives the packet this tuple's addresses and ports.
    pub(crate) fn apply_to(&self, packet: &mut Packet) {
        let Payload::Ip(ip) = &mut packet.payload else {
            return;
        };
        (ip.src, ip.dst) = (self.src, self.dst);
        match (&mut ip.transport, self.l4) {
            (
                Transport::Tcp { src, dst, .. }
                | Transport::Udp { src, dst }
                | Transport::Sctp { src, dst },
                L4::Ports {
                    src: new_src,
                    dst: new_dst,
                },
            ) => (*src, *dst) = (new_src, new_dst),
            (Transport::Icmp(Icmp { id, .. }), L4::Icmp { id: new_id, .. }) => *id = new_id,
            _ => {}
        }
    }
}

/// The type that answers an ICMP query, or that an answer answers.
fn opposite(kind: u8, v4: bool) -> Option<u8> {
    Some(match (v4, kind) {
        (true, 0) => 8,
        (true, 8) => 0,
        (true, 13) => 14,
        (true, 14) => 13,
        (false, 128) => 129,
        (false, 129) => 128,
        _ => return None,
    })
}

/// Whether an ICMP message is a query, which may open a connection.
pub(super) fn is_request(kind: u8, v4: bool) -> bool {
    matches!((v4, kind), (true, 8 | 13) | (false, 128))
}

/// Whether an ICMP message is an error about another packet.
pub(super) fn is_error(kind: u8, v4: bool) -> bool {
    matches!((v4, kind), (true, 3 | 4 | 5 | 11 | 12) | (false, 1..=4))
}
