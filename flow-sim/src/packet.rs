// SPDX-License-Identifier: Apache-2.0
//! A packet as a switch sees it: typed headers plus the metadata a pipeline keeps beside them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use openflow_codec::PortNo;

use crate::conntrack::{CtState, Tracked, Tuple};

mod fields;
mod text;

pub use fields::FieldError;
pub(crate) use fields::{low_bits, option_index, registers};

/// A packet and its pipeline metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Port it was received on.
    pub in_port: PortNo,
    /// Link-layer sender.
    pub eth_src: MacAddr,
    /// Link-layer destination.
    pub eth_dst: MacAddr,
    /// What the frame carries.
    pub payload: Payload,
    /// Tunnel header it came with, or is to be sent with.
    pub tunnel: Tunnel,
    /// `metadata`.
    pub metadata: u64,
    /// `reg0`..`reg15`; `xreg` and `xxreg` are views of these.
    pub regs: [u32; 16],
    /// `pkt_mark`.
    pub pkt_mark: u32,
    /// `ct_*` fields.
    pub ct: CtMetadata,
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

/// What an Ethernet frame carries; frames have no VLAN tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// ARP (0x0806).
    Arp(Arp),
    /// IPv4 (0x0800) or IPv6 (0x86dd), by the family of the addresses.
    Ip(Ip),
    /// Anything else, by Ethernet type.
    Other(u16),
}

/// An ARP message (RFC 826).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 is a request, 2 a reply.
    pub op: u16,
    /// Sender's protocol address.
    pub spa: Ipv4Addr,
    /// Target's protocol address.
    pub tpa: Ipv4Addr,
    /// Sender's hardware address.
    pub sha: MacAddr,
    /// Target's hardware address.
    pub tha: MacAddr,
}

/// An IP packet. Both addresses are of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Differentiated services code point, 6 bits.
    pub dscp: u8,
    /// Explicit congestion notification, 2 bits.
    pub ecn: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Flow label of IPv6, 20 bits.
    pub flow_label: u32,
    /// What the IP packet carries.
    pub transport: Transport,
}

/// What an IP packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
        /// Flags, see [`tcp`].
        flags: u16,
    },
    /// UDP.
    Udp {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
    },
    /// SCTP.
    Sctp {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
    },
    /// ICMP in an IPv4 packet, ICMPv6 in an IPv6 packet.
    Icmp(Icmp),
    /// Any other protocol, by number.
    Other(u8),
}

/// An ICMP or ICMPv6 message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Identifier of echo messages.
    pub id: u16,
    /// Of an error: the packet that it is about.
    pub about: Option<Tuple>,
    /// Of neighbour discovery: the flags and the rest of the word before the target address.
    pub nd_reserved: u32,
    /// Of neighbour discovery: target address.
    pub nd_target: Option<Ipv6Addr>,
    /// Of neighbour discovery: type of its option, 1 for a source and 2 for a target link-layer
    /// address; 0 when it has none.
    pub nd_options_type: u8,
    /// Of neighbour discovery: source link-layer address, in a solicitation.
    pub nd_sll: Option<MacAddr>,
    /// Of neighbour discovery: target link-layer address, in an advertisement.
    pub nd_tll: Option<MacAddr>,
}

/// Flags of TCP (`tcp_flags`).
pub mod tcp {
    /// No more data.
    pub const FIN: u16 = 0x001;
    /// Open.
    pub const SYN: u16 = 0x002;
    /// Reset.
    pub const RST: u16 = 0x004;
    /// Push.
    pub const PSH: u16 = 0x008;
    /// Acknowledgement.
    pub const ACK: u16 = 0x010;
}

/// Tunnel metadata; all zero and empty when there is no tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// `tun_id`: the VNI.
    pub id: u64,
    /// `tun_src`.
    pub src: Ipv4Addr,
    /// `tun_dst`.
    pub dst: Ipv4Addr,
    /// `tun_ipv6_src`.
    pub ipv6_src: Ipv6Addr,
    /// `tun_ipv6_dst`.
    pub ipv6_dst: Ipv6Addr,
    /// `tun_flags`.
    pub flags: u16,
    /// `tun_metadata0`..: number to value. An absent option differs from one that is zero.
    pub options: BTreeMap<u8, u128>,
}

impl Tunnel {
    /// The far end that the packet is to be sent to, if one is written.
    pub fn destination(&self) -> Option<IpAddr> {
        let v4 = (!self.dst.is_unspecified()).then_some(self.dst.into());
        let v6 = (!self.ipv6_dst.is_unspecified()).then_some(self.ipv6_dst.into());
        v4.or(v6)
    }
}

impl Default for Tunnel {
    fn default() -> Self {
        Self {
            id: 0,
            src: Ipv4Addr::UNSPECIFIED,
            dst: Ipv4Addr::UNSPECIFIED,
            ipv6_src: Ipv6Addr::UNSPECIFIED,
            ipv6_dst: Ipv6Addr::UNSPECIFIED,
            flags: 0,
            options: BTreeMap::new(),
        }
    }
}

/// The `ct_*` fields of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CtMetadata {
    /// `ct_state`.
    pub state: CtState,
    /// `ct_zone`.
    pub zone: u16,
    /// `ct_mark`.
    pub mark: u32,
    /// `ct_label`.
    pub label: u128,
    /// `ct_nw_src` and so on: the connection's original tuple.
    pub original: Option<Tuple>,
    /// The connection that conntrack attached; it outlives the fields above (OVS keeps it in the
    /// packet's datapath metadata).
    pub(crate) tracked: Option<Tracked>,
}

impl Packet {
    /// A packet with this payload, from port 0, with all-zero addresses and metadata.
    pub fn new(payload: Payload) -> Self {
        Self {
            in_port: PortNo(0),
            eth_src: MacAddr::default(),
            eth_dst: MacAddr::default(),
            payload,
            tunnel: Tunnel::default(),
            metadata: 0,
            regs: [0; 16],
            pkt_mark: 0,
            ct: CtMetadata::default(),
        }
    }

    /// An IP packet with TTL 64. `src` and `dst` must be of one family.
    pub fn ip(src: impl Into<IpAddr>, dst: impl Into<IpAddr>, transport: Transport) -> Self {
        Self::new(Payload::Ip(Ip {
            src: src.into(),
            dst: dst.into(),
            dscp: 0,
            ecn: 0,
            ttl: 64,
            flow_label: 0,
            transport,
        }))
    }

    /// The first packet of a TCP connection: SYN.
    pub fn tcp(
        (src, src_port): (impl Into<IpAddr>, u16),
        (dst, dst_port): (impl Into<IpAddr>, u16),
    ) -> Self {
        let transport = Transport::Tcp {
            src: src_port,
            dst: dst_port,
            flags: tcp::SYN,
        };
        Self::ip(src, dst, transport)
    }

    /// A UDP datagram.
    pub fn udp(
        (src, src_port): (impl Into<IpAddr>, u16),
        (dst, dst_port): (impl Into<IpAddr>, u16),
    ) -> Self {
        let transport = Transport::Udp {
            src: src_port,
            dst: dst_port,
        };
        Self::ip(src, dst, transport)
    }

    /// An SCTP packet.
    pub fn sctp(
        (src, src_port): (impl Into<IpAddr>, u16),
        (dst, dst_port): (impl Into<IpAddr>, u16),
    ) -> Self {
        let transport = Transport::Sctp {
            src: src_port,
            dst: dst_port,
        };
        Self::ip(src, dst, transport)
    }

    /// An echo request (ICMP type 8, or ICMPv6 type 128).
    pub fn echo_request(src: impl Into<IpAddr>, dst: impl Into<IpAddr>, id: u16) -> Self {
        let (src, dst) = (src.into(), dst.into());
        let icmp = Icmp {
            kind: if src.is_ipv4() { 8 } else { 128 },
            id,
            ..Icmp::default()
        };
        Self::ip(src, dst, Transport::Icmp(icmp))
    }

    /// A broadcast ARP request.
    pub fn arp_request(sha: MacAddr, spa: Ipv4Addr, tpa: Ipv4Addr) -> Self {
        let arp = Arp {
            op: 1,
            spa,
            tpa,
            sha,
            tha: MacAddr::default(),
        };
        Self::new(Payload::Arp(arp)).with_eth(sha, MacAddr([0xff; 6]))
    }

    /// A neighbour solicitation, multicast to the solicited node (RFC 4861, section 4.3).
    pub fn solicitation(sll: MacAddr, src: Ipv6Addr, target: Ipv6Addr) -> Self {
        let icmp = Icmp {
            kind: 135,
            nd_target: Some(target),
            nd_options_type: 1,
            nd_sll: Some(sll),
            ..Icmp::default()
        };
        let [.., a, b, c] = target.octets();
        let low = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
        let mut packet = Self::ip(src, low, Transport::Icmp(icmp));
        if let Payload::Ip(ip) = &mut packet.payload {
            ip.ttl = 255;
        }
        packet.with_eth(sll, MacAddr([0x33, 0x33, 0xff, a, b, c]))
    }

    /// The "destination unreachable" that `from` sends to the sender of this packet; `None` when
    /// this is not an IP packet that conntrack can name.
    pub fn unreachable(&self, from: IpAddr) -> Option<Self> {
        let Payload::Ip(ip) = &self.payload else {
            return None;
        };
        let icmp = Icmp {
            kind: if ip.src.is_ipv4() { 3 } else { 1 },
            about: Some(Tuple::of(ip)?),
            ..Icmp::default()
        };
        let error = Self::ip(from, ip.src, Transport::Icmp(icmp));
        Some(error.with_eth(self.eth_dst, self.eth_src))
    }

    /// The same packet between these link-layer addresses.
    #[must_use]
    pub fn with_eth(mut self, src: MacAddr, dst: MacAddr) -> Self {
        (self.eth_src, self.eth_dst) = (src, dst);
        self
    }

    /// The same packet with these TCP flags; other protocols stay as they are.
    #[must_use]
    pub fn with_tcp_flags(mut self, new: u16) -> Self {
        if let Payload::Ip(Ip {
            transport: Transport::Tcp { flags, .. },
            ..
        }) = &mut self.payload
        {
            *flags = new;
        }
        self
    }

    /// The headers as another switch receives them on `port`: no tunnel, no metadata.
    #[must_use]
    pub fn arriving_on(self, port: PortNo) -> Self {
        Self {
            in_port: port,
            eth_src: self.eth_src,
            eth_dst: self.eth_dst,
            ..Self::new(self.payload)
        }
    }

    /// The packet as the switch at the far end of its tunnel receives it on tunnel port `port`:
    /// `tun_id` and the options survive, `sender` is the near end, nothing else of the metadata is
    /// left.
    #[must_use]
    pub fn arriving_by_tunnel(mut self, port: PortNo, sender: impl Into<IpAddr>) -> Self {
        let mut tunnel = std::mem::take(&mut self.tunnel);
        match sender.into() {
            IpAddr::V4(sender) => tunnel.src = sender,
            IpAddr::V6(sender) => tunnel.ipv6_src = sender,
        }
        Self {
            tunnel,
            ..self.arriving_on(port)
        }
    }

    /// What the receiver of this packet answers: addresses and ports swapped; SYN is answered by
    /// SYN and ACK, other segments by ACK, echo and ARP requests by replies. No metadata.
    #[must_use]
    pub fn answer(&self) -> Self {
        let payload = match &self.payload {
            Payload::Arp(arp) => Payload::Arp(Arp {
                op: 2,
                spa: arp.tpa,
                tpa: arp.spa,
                sha: self.eth_dst,
                tha: arp.sha,
            }),
            Payload::Ip(ip) => Payload::Ip(Ip {
                src: ip.dst,
                dst: ip.src,
                ttl: 64,
                transport: ip.transport.answer(),
                ..ip.clone()
            }),
            Payload::Other(eth_type) => Payload::Other(*eth_type),
        };
        Self::new(payload).with_eth(self.eth_dst, self.eth_src)
    }

    /// The IP packet inside, if any.
    pub fn as_ip(&self) -> Option<&Ip> {
        match &self.payload {
            Payload::Ip(ip) => Some(ip),
            Payload::Arp(_) | Payload::Other(_) => None,
        }
    }
}

impl Transport {
    /// `ip_proto` in a packet of the family of `address`.
    pub fn protocol(&self, address: IpAddr) -> u8 {
        match self {
            Self::Tcp { .. } => 6,
            Self::Udp { .. } => 17,
            Self::Sctp { .. } => 132,
            Self::Icmp(_) if address.is_ipv4() => 1,
            Self::Icmp(_) => 58,
            Self::Other(protocol) => *protocol,
        }
    }

    fn answer(&self) -> Self {
        match self {
            Self::Tcp { src, dst, flags } => Self::Tcp {
                src: *dst,
                dst: *src,
                flags: match flags & (tcp::SYN | tcp::ACK) {
                    tcp::SYN => tcp::SYN | tcp::ACK,
                    _ => tcp::ACK,
                },
            },
            Self::Udp { src, dst } => Self::Udp {
                src: *dst,
                dst: *src,
            },
            Self::Sctp { src, dst } => Self::Sctp {
                src: *dst,
                dst: *src,
            },
            Self::Icmp(icmp) => Self::Icmp(Icmp {
                kind: match icmp.kind {
                    8 => 0,
                    128 => 129,
                    kind => kind,
                },
                ..icmp.clone()
            }),
            Self::Other(protocol) => Self::Other(*protocol),
        }
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl From<[u8; 6]> for MacAddr {
    fn from(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }
}
