// SPDX-License-Identifier: Apache-2.0
//! Matches in text: the order and the names of OVS's `match_format` (`lib/match.c`), which differ
//! from those of the fields on the wire.

use std::fmt;

use super::token::{Token, tokens};
use super::value::{
    Hex, frag_name, parse_value, spell_ct_state, spell_ethernet, spell_ipv4, spell_packet_type,
    spell_port, spell_tcp_flags, spell_tun_flags, spell_value,
};
use super::{Names, Parse, Spell, TextError};
use crate::ids::PortNo;
use crate::oxm::{Field, Match, MatchField};

const IPV4: u128 = 0x0800;
const IPV6: u128 = 0x86dd;
const ARP: u128 = 0x0806;
const RARP: u128 = 0x8035;
const ICMP: u128 = 1;
const TCP: u128 = 6;
const UDP: u128 = 17;
const ICMPV6: u128 = 58;
const SCTP: u128 = 132;

/// Words that stand for an `eth_type` and perhaps an `ip_proto`.
const PROTOCOLS: [(&str, u128, Option<u128>); 15] = [
    ("ip", IPV4, None),
    ("ipv4", IPV4, None),
    ("icmp", IPV4, Some(ICMP)),
    ("tcp", IPV4, Some(TCP)),
    ("udp", IPV4, Some(UDP)),
    ("sctp", IPV4, Some(SCTP)),
    ("ipv6", IPV6, None),
    ("icmp6", IPV6, Some(ICMPV6)),
    ("tcp6", IPV6, Some(TCP)),
    ("udp6", IPV6, Some(UDP)),
    ("sctp6", IPV6, Some(SCTP)),
    ("arp", ARP, None),
    ("rarp", RARP, None),
    ("mpls", 0x8847, None),
    ("mplsm", 0x8848, None),
];

impl Spell for Match {
    fn spell(&self, f: &mut fmt::Formatter<'_>, names: &Names) -> fmt::Result {
        let mut printer = Printer {
            flow_match: self,
            names,
            left: [0; 2],
            first: true,
        };
        for field in self.fields() {
            if let MatchField::Known { field, .. } = field {
                printer.flip(field);
            }
        }
        printer.print(f)
    }
}

/// Writes each field once, whatever combination is there.
struct Printer<'a> {
    flow_match: &'a Match,
    names: &'a Names,
    /// Fields that are not written yet, a bit for each.
    left: [u128; 2],
    first: bool,
}

type Value = (u128, Option<u128>);

impl Printer<'_> {
    fn print(&mut self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.before_protocol(f)?;
        let protocol = self.protocol(f)?;
        for index in 0..16 {
            if let Some(register) = Field::reg(index) {
                self.plain(f, register)?;
            }
        }
        self.tunnel(f)?;
        self.plain(f, Field::Metadata)?;
        self.with(f, Field::InPort, "in_port", |f, (value, _), names| {
            spell_port(f, PortNo(value as u32), names)
        })?;
        self.vlan(f)?;
        self.ethernet(f, Field::EthSrc, "dl_src")?;
        self.ethernet(f, Field::EthDst, "dl_dst")?;
        self.with(f, Field::EthType, "dl_type", |f, (value, _), _| {
            write!(f, "0x{value:04x}")
        })?;
        self.network(f)?;
        self.transport(f, protocol)?;
        self.others(f)
    }

    fn before_protocol(&mut self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plain(f, Field::PktMark)?;
        self.with(f, Field::RecircId, "recirc_id", |f, (value, _), _| {
            write!(f, "{}", Hex(value))
        })?;
        self.plain(f, Field::DpHash)?;
        self.plain(f, Field::ConjId)?;
        self.plain(f, Field::ActsetOutput)?;
        self.with(f, Field::CtState, "ct_state", |f, (value, mask), _| {
            spell_ct_state(f, value, mask)
        })?;
        self.with(f, Field::CtZone, "ct_zone", |f, (value, _), _| {
            write!(f, "{value}")
        })?;
        self.plain(f, Field::CtMark)?;
        self.plain(f, Field::CtLabel)?;
        self.plain(f, Field::CtIpv4Src)?;
        self.plain(f, Field::CtIpv6Src)?;
        self.plain(f, Field::CtIpv4Dst)?;
        self.plain(f, Field::CtIpv6Dst)?;
        self.plain(f, Field::CtIpProto)?;
        self.decimal(f, Field::CtTpSrc, "ct_tp_src")?;
        self.decimal(f, Field::CtTpDst, "ct_tp_dst")?;
        self.with(f, Field::PacketType, "packet_type", |f, (value, _), _| {
            spell_packet_type(f, value)
        })
    }

    /// Writes `tcp` and the like; gives the protocol that the rest depends on.
    fn protocol(&mut self, f: &mut fmt::Formatter<'_>) -> Result<(u128, u128), fmt::Error> {
        let eth_type = self.peek(Field::EthType).map_or(0, |(value, _)| value);
        let ip_proto = self.peek(Field::IpProto).map(|(value, _)| value);
        let both = PROTOCOLS
            .iter()
            .find(|(_, eth, ip)| *eth == eth_type && ip.is_some() && *ip == ip_proto);
        let word = both.or_else(|| PROTOCOLS.iter().find(|(_, eth, _)| *eth == eth_type));
        if let Some((word, _, _)) = word {
            self.flip(Field::EthType);
            if both.is_some() {
                self.flip(Field::IpProto);
            }
            self.comma(f)?;
            f.write_str(word)?;
        }
        Ok((eth_type, ip_proto.unwrap_or(0)))
    }

    fn tunnel(&mut self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plain(f, Field::TunId)?;
        self.plain(f, Field::TunSrc)?;
        self.plain(f, Field::TunDst)?;
        self.plain(f, Field::TunIpv6Src)?;
        self.plain(f, Field::TunIpv6Dst)?;
        self.decimal(f, Field::TunGbpId, "tun_gbp_id")?;
        self.plain(f, Field::TunGbpFlags)?;
        self.with(f, Field::TunFlags, "tun_flags", |f, (value, mask), _| {
            spell_tun_flags(f, value, mask)
        })?;
        for field in self.flow_match.fields() {
            if let MatchField::Known { field, .. } = field
                && field.tun_metadata_index().is_some()
            {
                self.plain(f, field)?;
            }
        }
        Ok(())
    }

    /// OVS thinks of VLAN fields as the tag control information they are parts of.
    fn vlan(&mut self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vid = self.take(Field::VlanVid);
        let pcp = self.take(Field::VlanPcp);
        let (mut tci, mut mask) =
            vid.map_or((0, 0), |(value, mask)| (value, mask.unwrap_or(0x1fff)));
        if let Some((pcp, _)) = pcp {
            tci |= pcp << 13 | 0x1000;
            mask |= 0xf000;
        }
        let (vid_mask, pcp_mask) = (mask & 0xfff, mask & 0xe000);
        if mask == 0 {
            return Ok(());
        }
        let tagged = tci & mask & 0x1000 != 0;
        if tagged && matches!(vid_mask, 0 | 0xfff) && (vid_mask != 0 || pcp_mask != 0) {
            if vid_mask != 0 {
                self.comma(f)?;
                write!(f, "dl_vlan={}", tci & 0xfff)?;
            }
            if pcp_mask != 0 {
                self.comma(f)?;
                write!(f, "dl_vlan_pcp={}", tci >> 13)?;
            }
            return Ok(());
        }
        self.comma(f)?;
        write!(f, "vlan_tci=0x{tci:04x}")?;
        if mask == 0xffff {
            return Ok(());
        }
        write!(f, "/0x{mask:04x}")
    }

    fn network(&mut self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plain(f, Field::Ipv6Src)?;
        self.plain(f, Field::Ipv6Dst)?;
        self.with(f, Field::Ipv6Flabel, "ipv6_label", |f, value, _| {
            let (value, mask) = value;
            write!(f, "0x{value:05x}")?;
            mask.map_or(Ok(()), |mask| write!(f, "/0x{mask:05x}"))
        })?;
        self.ipv4(f, Field::ArpSpa, "arp_spa")?;
        self.ipv4(f, Field::ArpTpa, "arp_tpa")?;
        self.ipv4(f, Field::Ipv4Src, "nw_src")?;
        self.ipv4(f, Field::Ipv4Dst, "nw_dst")?;
        self.decimal(f, Field::ArpOp, "arp_op")?;
        self.decimal(f, Field::IpProto, "nw_proto")?;
        self.ethernet(f, Field::ArpSha, "arp_sha")?;
        self.ethernet(f, Field::ArpTha, "arp_tha")?;
        self.with(f, Field::IpDscp, "nw_tos", |f, (value, _), _| {
            write!(f, "{}", value << 2)
        })?;
        self.decimal(f, Field::IpEcn, "nw_ecn")?;
        self.decimal(f, Field::IpTtl, "nw_ttl")?;
        self.decimal(f, Field::MplsLabel, "mpls_label")?;
        self.decimal(f, Field::MplsTc, "mpls_tc")?;
        self.decimal(f, Field::MplsTtl, "mpls_ttl")?;
        self.decimal(f, Field::MplsBos, "mpls_bos")?;
        self.with(f, Field::IpFrag, "nw_frag", |f, (value, mask), _| {
            f.write_str(frag_name(value, mask.unwrap_or(3)))
        })
    }

    fn transport(
        &mut self,
        f: &mut fmt::Formatter<'_>,
        (_, ip_proto): (u128, u128),
    ) -> fmt::Result {
        self.decimal(f, Field::Icmpv4Type, "icmp_type")?;
        self.decimal(f, Field::Icmpv4Code, "icmp_code")?;
        self.decimal(f, Field::Icmpv6Type, "icmp_type")?;
        self.decimal(f, Field::Icmpv6Code, "icmp_code")?;
        self.plain(f, Field::NdTarget)?;
        self.plain(f, Field::NdSll)?;
        self.plain(f, Field::NdTll)?;
        self.decimal(f, Field::NdReserved, "nd_reserved")?;
        self.decimal(f, Field::NdOptionsType, "nd_options_type")?;
        for (proto, src, dst) in [
            (TCP, Field::TcpSrc, Field::TcpDst),
            (UDP, Field::UdpSrc, Field::UdpDst),
            (SCTP, Field::SctpSrc, Field::SctpDst),
        ] {
            if proto == ip_proto {
                self.decimal(f, src, "tp_src")?;
                self.decimal(f, dst, "tp_dst")?;
            }
        }
        self.with(f, Field::TcpFlags, "tcp_flags", |f, (value, mask), _| {
            spell_tcp_flags(f, value, mask)
        })
    }

    /// What OVS would not have accepted, and what is not known.
    fn others(&mut self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for field in self.flow_match.fields() {
            match field {
                MatchField::Known { field, .. } => self.plain(f, field)?,
                MatchField::Raw { header, payload } => {
                    self.comma(f)?;
                    write!(f, "oxm:{header:02x}={payload:02x}")?;
                }
            }
        }
        Ok(())
    }

    fn plain(&mut self, f: &mut fmt::Formatter<'_>, field: Field) -> fmt::Result {
        self.with(f, field, field.info().name, |f, (value, mask), names| {
            spell_value(f, field, value, mask, names)
        })
    }

    /// A number: decimal alone, both in hexadecimal with a mask.
    fn decimal(&mut self, f: &mut fmt::Formatter<'_>, field: Field, name: &str) -> fmt::Result {
        self.with(f, field, name, |f, (value, mask), _| match mask {
            None => write!(f, "{value}"),
            Some(mask) => write!(f, "{value:#x}/{mask:#x}"),
        })
    }

    fn ipv4(&mut self, f: &mut fmt::Formatter<'_>, field: Field, name: &str) -> fmt::Result {
        self.with(f, field, name, |f, (value, mask), _| {
            spell_ipv4(f, value, mask)
        })
    }

    fn ethernet(&mut self, f: &mut fmt::Formatter<'_>, field: Field, name: &str) -> fmt::Result {
        self.with(f, field, name, |f, (value, mask), _| {
            spell_ethernet(f, value, mask)
        })
    }

    fn with(
        &mut self,
        f: &mut fmt::Formatter<'_>,
        field: Field,
        name: &str,
        spell: impl FnOnce(&mut fmt::Formatter<'_>, Value, &Names) -> fmt::Result,
    ) -> fmt::Result {
        let Some(value) = self.take(field) else {
            return Ok(());
        };
        self.comma(f)?;
        write!(f, "{name}=")?;
        spell(f, value, self.names)
    }

    fn comma(&mut self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if std::mem::take(&mut self.first) {
            return Ok(());
        }
        f.write_str(",")
    }

    /// The value of `field` if it has not been written yet.
    fn peek(&self, field: Field) -> Option<Value> {
        let number = field as usize;
        let left = self.left.get(number / 128).copied().unwrap_or(0);
        if left >> (number % 128) & 1 == 0 {
            return None;
        }
        self.flow_match.field(field)
    }

    fn take(&mut self, field: Field) -> Option<Value> {
        let value = self.peek(field)?;
        self.flip(field);
        Some(value)
    }

    fn flip(&mut self, field: Field) {
        let number = field as usize;
        if let Some(left) = self.left.get_mut(number / 128) {
            *left ^= 1 << (number % 128);
        }
    }
}

impl Parse for Match {
    fn parse_text(text: &str, names: &Names) -> Result<Self, TextError> {
        let mut builder = MatchBuilder::default();
        for token in tokens(text)? {
            if !builder.take(&token, names)? {
                return Err(TextError::unknown("field", token.key));
            }
        }
        builder.build(names)
    }
}

/// Collects the fields of a match; names that mean different fields for different protocols
/// wait until the protocol is known.
#[derive(Default)]
pub(super) struct MatchBuilder<'a> {
    flow_match: Match,
    later: Vec<(&'a str, &'a str)>,
}

impl<'a> MatchBuilder<'a> {
    /// Takes a token if it is part of a match.
    pub(super) fn take(&mut self, token: &Token<'a>, names: &Names) -> Result<bool, TextError> {
        let Token { key, value, .. } = *token;
        if token.delimiter.is_none() {
            if key == "eth" {
                return Ok(true);
            }
            let Some((_, eth, ip)) = PROTOCOLS.iter().find(|(word, _, _)| *word == key) else {
                return Ok(false);
            };
            self.exact(Field::EthType, *eth);
            if let Some(ip) = ip {
                self.exact(Field::IpProto, *ip);
            }
            return Ok(true);
        }
        match key {
            "tp_src" | "tp_dst" | "icmp_type" | "icmp_code" | "nw_src" | "nw_dst" | "nw_proto" => {
                self.later.push((key, value));
            }
            "dl_vlan" | "dl_vlan_pcp" | "vlan_tci" => self.vlan(key, value)?,
            "nw_tos" => {
                let tos = u128::from(super::token::small::<u8>(key, value)?);
                self.exact(Field::IpDscp, tos >> 2);
            }
            "oxm" => self.raw(value)?,
            "in_port" => self.field(Field::InPort, value, names)?,
            key => {
                let Some(field) = alias(key).or_else(|| Field::from_name(key)) else {
                    return Ok(false);
                };
                self.field(field, value, names)?;
            }
        }
        Ok(true)
    }

    pub(super) fn build(mut self, names: &Names) -> Result<Match, TextError> {
        for (key, value) in std::mem::take(&mut self.later) {
            if key == "nw_proto" {
                let field = match self.value_of(Field::EthType) {
                    Some(ARP | RARP) => Field::ArpOp,
                    _ => Field::IpProto,
                };
                self.field(field, value, names)?;
            } else {
                self.later.push((key, value));
            }
        }
        for (key, value) in std::mem::take(&mut self.later) {
            let eth_type = self.value_of(Field::EthType).unwrap_or(0);
            let ip_proto = self.value_of(Field::IpProto).unwrap_or(0);
            let field = match (key, eth_type, ip_proto) {
                ("nw_src", ARP | RARP, _) => Field::ArpSpa,
                ("nw_dst", ARP | RARP, _) => Field::ArpTpa,
                ("nw_src", ..) => Field::Ipv4Src,
                ("nw_dst", ..) => Field::Ipv4Dst,
                ("tp_src", _, UDP) => Field::UdpSrc,
                ("tp_dst", _, UDP) => Field::UdpDst,
                ("tp_src", _, SCTP) => Field::SctpSrc,
                ("tp_dst", _, SCTP) => Field::SctpDst,
                ("tp_src", ..) => Field::TcpSrc,
                ("tp_dst", ..) => Field::TcpDst,
                ("icmp_type", IPV6, _) => Field::Icmpv6Type,
                ("icmp_code", IPV6, _) => Field::Icmpv6Code,
                ("icmp_type", ..) => Field::Icmpv4Type,
                _ => Field::Icmpv4Code,
            };
            self.field(field, value, names)?;
        }
        Ok(self.flow_match)
    }

    fn value_of(&self, field: Field) -> Option<u128> {
        self.flow_match.field(field).map(|(value, _)| value)
    }

    fn exact(&mut self, field: Field, value: u128) {
        self.flow_match = std::mem::take(&mut self.flow_match).with(field, value);
    }

    fn masked(&mut self, field: Field, value: u128, mask: u128) {
        self.flow_match = std::mem::take(&mut self.flow_match).with_masked(field, value, mask);
    }

    fn field(&mut self, field: Field, text: &str, names: &Names) -> Result<(), TextError> {
        match parse_value(field, text, names)? {
            (value, None) => self.exact(field, value),
            (value, Some(mask)) => self.masked(field, value, mask),
        }
        Ok(())
    }

    fn vlan(&mut self, key: &str, text: &str) -> Result<(), TextError> {
        let parse = |text: &str| super::token::small::<u16>(key, text).map(u128::from);
        match key {
            "dl_vlan" => match parse(text)? {
                // No tag at all.
                0xffff => self.exact(Field::VlanVid, 0),
                vid => self.exact(Field::VlanVid, vid | 0x1000),
            },
            "dl_vlan_pcp" => {
                if self.value_of(Field::VlanVid).is_none() {
                    self.masked(Field::VlanVid, 0x1000, 0x1000);
                }
                self.exact(Field::VlanPcp, parse(text)?);
            }
            _ => {
                let (value, mask) = match text.split_once('/') {
                    None => (parse(text)?, 0xffff),
                    Some((value, mask)) => (parse(value)?, parse(mask)?),
                };
                self.masked(Field::VlanVid, value & 0x1fff, mask & 0x1fff);
                if mask & 0xe000 != 0 && value & 0x1000 != 0 {
                    self.exact(Field::VlanPcp, value >> 13);
                }
            }
        }
        Ok(())
    }

    /// `oxm:HEADER=PAYLOAD`, both in hexadecimal.
    fn raw(&mut self, text: &str) -> Result<(), TextError> {
        let bad = || TextError::bad_value("oxm", text);
        let (header, payload) = text.split_once('=').ok_or_else(bad)?;
        let header = super::token::bytes(header).ok_or_else(bad)?;
        let payload = super::token::bytes(payload).ok_or_else(bad)?;
        if !matches!(header.len(), 4 | 8) {
            return Err(bad());
        }
        self.flow_match = std::mem::take(&mut self.flow_match).insert(MatchField::Raw {
            header: header.into(),
            payload: payload.into(),
        });
        Ok(())
    }
}

/// Other names of fields in ovs-fields(7).
pub(super) fn alias(key: &str) -> Option<Field> {
    Some(match key {
        "dl_src" => Field::EthSrc,
        "dl_dst" => Field::EthDst,
        "dl_type" => Field::EthType,
        "ip_proto" => Field::IpProto,
        "ip_ecn" => Field::IpEcn,
        "nw_frag" => Field::IpFrag,
        "tunnel_id" => Field::TunId,
        "ct_nw_proto" => Field::CtIpProto,
        _ => return None,
    })
}
