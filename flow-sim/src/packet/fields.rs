// SPDX-License-Identifier: Apache-2.0
//! Reading and writing a packet by OpenFlow [`Field`], as matches and actions do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use openflow_codec::{Field, PortNo, Subfield};

use super::{Icmp, MacAddr, Packet, Payload, Transport};
use crate::conntrack::{CtState, Tuple};

/// Why a field cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// The packet has no such header.
    #[error("the packet has no {}", .0.info().name)]
    Absent(Field),
    /// The field is read-only, or the simulator does not model writing it.
    #[error("{} cannot be written", .0.info().name)]
    ReadOnly(Field),
}

impl Packet {
    /// The field's value, right-aligned; `None` when the packet does not have the field.
    pub fn get(&self, field: Field) -> Option<u128> {
        if let Some((first, count)) = registers(field) {
            let regs = self.regs.get(first..first + count)?;
            return Some(regs.iter().fold(0, |v, reg| (v << 32) | u128::from(*reg)));
        }
        if let Some(option) = option_index(field) {
            return self.tunnel.options.get(&option).copied();
        }
        match field {
            Field::InPort => Some(self.in_port.0.into()),
            Field::EthSrc => Some(mac_value(self.eth_src)),
            Field::EthDst => Some(mac_value(self.eth_dst)),
            Field::EthType => Some(match &self.payload {
                Payload::Arp(_) => 0x0806,
                Payload::Ip(ip) if ip.src.is_ipv4() => 0x0800,
                Payload::Ip(_) => 0x86dd,
                Payload::Other(eth_type) => (*eth_type).into(),
            }),
            Field::VlanVid => Some(0),
            Field::TunId => Some(self.tunnel.id.into()),
            Field::TunSrc => Some(self.tunnel.src.to_bits().into()),
            Field::TunDst => Some(self.tunnel.dst.to_bits().into()),
            Field::TunIpv6Src => Some(self.tunnel.ipv6_src.to_bits()),
            Field::TunIpv6Dst => Some(self.tunnel.ipv6_dst.to_bits()),
            Field::TunFlags => Some(self.tunnel.flags.into()),
            Field::Metadata => Some(self.metadata.into()),
            Field::PktMark => Some(self.pkt_mark.into()),
            Field::CtState => Some(self.ct.state.0.into()),
            Field::CtZone => Some(self.ct.zone.into()),
            Field::CtMark => Some(self.ct.mark.into()),
            Field::CtLabel => Some(self.ct.label),
            Field::CtIpv4Src
            | Field::CtIpv4Dst
            | Field::CtIpv6Src
            | Field::CtIpv6Dst
            | Field::CtIpProto
            | Field::CtTpSrc
            | Field::CtTpDst => original_tuple(self.ct.original.as_ref()?, field),
            _ => self.header(field),
        }
    }

    /// Fields of the payload.
    fn header(&self, field: Field) -> Option<u128> {
        match &self.payload {
            Payload::Arp(arp) => Some(match field {
                Field::ArpOp => arp.op.into(),
                Field::ArpSpa => arp.spa.to_bits().into(),
                Field::ArpTpa => arp.tpa.to_bits().into(),
                Field::ArpSha => mac_value(arp.sha),
                Field::ArpTha => mac_value(arp.tha),
                _ => return None,
            }),
            Payload::Ip(ip) => match (field, ip.src, ip.dst) {
                (Field::Ipv4Src, IpAddr::V4(src), _) => Some(src.to_bits().into()),
                (Field::Ipv4Dst, _, IpAddr::V4(dst)) => Some(dst.to_bits().into()),
                (Field::Ipv6Src, IpAddr::V6(src), _) => Some(src.to_bits()),
                (Field::Ipv6Dst, _, IpAddr::V6(dst)) => Some(dst.to_bits()),
                (Field::Ipv6Flabel, IpAddr::V6(_), _) => Some(ip.flow_label.into()),
                (Field::IpFrag, _, _) => Some(0),
                (Field::IpDscp, _, _) => Some(ip.dscp.into()),
                (Field::IpEcn, _, _) => Some(ip.ecn.into()),
                (Field::IpTtl, _, _) => Some(ip.ttl.into()),
                (Field::IpProto, _, _) => Some(ip.transport.protocol(ip.src).into()),
                (field, src, _) => transport_field(&ip.transport, src, field),
            },
            Payload::Other(_) => None,
        }
    }

    /// Writes the bits of `mask`. An absent tunnel option becomes present.
    ///
    /// # Errors
    /// The packet has no such field, or it cannot be written.
    pub fn set(&mut self, field: Field, value: u128, mask: u128) -> Result<(), FieldError> {
        let old = self.get(field).unwrap_or(0);
        let new = (old & !mask) | (value & mask);
        self.write(field, new)
    }

    /// The value of a part of a field.
    pub fn get_subfield(&self, part: Subfield) -> Option<u128> {
        let value = self.get(part.field)?.checked_shr(part.offset.into());
        Some(value.unwrap_or(0) & low_bits(part.bits))
    }

    /// Writes a part of a field.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_subfield(&mut self, part: Subfield, value: u128) -> Result<(), FieldError> {
        let shift = u32::from(part.offset);
        let mask = low_bits(part.bits).checked_shl(shift).unwrap_or(0);
        self.set(part.field, value.checked_shl(shift).unwrap_or(0), mask)
    }

    /// Writes a whole field; bits beyond its width are cut off.
    fn write(&mut self, field: Field, value: u128) -> Result<(), FieldError> {
        if let Some((first, count)) = registers(field) {
            let regs = self.regs.iter_mut().skip(first).take(count).rev();
            for (index, reg) in regs.enumerate() {
                *reg = (value >> (32 * index)) as u32;
            }
            return Ok(());
        }
        if let Some(option) = option_index(field) {
            self.tunnel.options.insert(option, value);
            return Ok(());
        }
        match field {
            Field::InPort => self.in_port = PortNo(value as u32),
            Field::EthSrc => self.eth_src = mac(value),
            Field::EthDst => self.eth_dst = mac(value),
            Field::TunId => self.tunnel.id = value as u64,
            Field::TunSrc => self.tunnel.src = Ipv4Addr::from_bits(value as u32),
            Field::TunDst => self.tunnel.dst = Ipv4Addr::from_bits(value as u32),
            Field::TunIpv6Src => self.tunnel.ipv6_src = Ipv6Addr::from_bits(value),
            Field::TunIpv6Dst => self.tunnel.ipv6_dst = Ipv6Addr::from_bits(value),
            Field::TunFlags => self.tunnel.flags = value as u16,
            Field::Metadata => self.metadata = value as u64,
            Field::PktMark => self.pkt_mark = value as u32,
            Field::CtMark => self.ct.mark = value as u32,
            Field::CtLabel => self.ct.label = value,
            Field::EthType
            | Field::IpProto
            | Field::IpFrag
            | Field::VlanVid
            | Field::CtState
            | Field::CtZone
            | Field::CtIpv4Src
            | Field::CtIpv4Dst
            | Field::CtIpv6Src
            | Field::CtIpv6Dst
            | Field::CtIpProto
            | Field::CtTpSrc
            | Field::CtTpDst => return Err(FieldError::ReadOnly(field)),
            _ => return self.write_header(field, value),
        }
        Ok(())
    }

    fn write_header(&mut self, field: Field, value: u128) -> Result<(), FieldError> {
        let absent = Err(FieldError::Absent(field));
        match &mut self.payload {
            Payload::Arp(arp) => match field {
                Field::ArpOp => arp.op = value as u16,
                Field::ArpSpa => arp.spa = Ipv4Addr::from_bits(value as u32),
                Field::ArpTpa => arp.tpa = Ipv4Addr::from_bits(value as u32),
                Field::ArpSha => arp.sha = mac(value),
                Field::ArpTha => arp.tha = mac(value),
                _ => return absent,
            },
            Payload::Ip(ip) => match (field, ip.src) {
                (Field::Ipv4Src, IpAddr::V4(_)) => ip.src = ipv4(value),
                (Field::Ipv4Dst, IpAddr::V4(_)) => ip.dst = ipv4(value),
                (Field::Ipv6Src, IpAddr::V6(_)) => ip.src = ipv6(value),
                (Field::Ipv6Dst, IpAddr::V6(_)) => ip.dst = ipv6(value),
                (Field::Ipv6Flabel, IpAddr::V6(_)) => ip.flow_label = value as u32,
                (Field::IpDscp, _) => ip.dscp = value as u8,
                (Field::IpEcn, _) => ip.ecn = value as u8,
                (Field::IpTtl, _) => ip.ttl = value as u8,
                (field, address) => {
                    return write_transport(&mut ip.transport, address, field, value);
                }
            },
            Payload::Other(_) => return absent,
        }
        Ok(())
    }

    /// Forgets the `ct_*` fields, as OVS does after every `ct` action (`flow_clear_conntrack`);
    /// the attached connection stays with the packet.
    pub(crate) fn clear_ct_fields(&mut self) {
        let tracked = self.ct.tracked;
        self.ct = super::CtMetadata {
            tracked,
            ..super::CtMetadata::default()
        };
    }

    /// Whether conntrack has looked at this packet.
    pub fn is_tracked(&self) -> bool {
        self.ct.state.contains(CtState::TRK)
    }
}

/// First register and number of registers behind `reg`, `xreg` and `xxreg` fields.
pub(crate) fn registers(field: Field) -> Option<(usize, usize)> {
    let at = field as usize;
    let view = |first: Field, count: usize| Some(((at - first as usize) * count, count));
    match field {
        Field::Reg0
        | Field::Reg1
        | Field::Reg2
        | Field::Reg3
        | Field::Reg4
        | Field::Reg5
        | Field::Reg6
        | Field::Reg7
        | Field::Reg8
        | Field::Reg9
        | Field::Reg10
        | Field::Reg11
        | Field::Reg12
        | Field::Reg13
        | Field::Reg14
        | Field::Reg15 => view(Field::Reg0, 1),
        Field::Xreg0
        | Field::Xreg1
        | Field::Xreg2
        | Field::Xreg3
        | Field::Xreg4
        | Field::Xreg5
        | Field::Xreg6
        | Field::Xreg7 => view(Field::Xreg0, 2),
        Field::Xxreg0 | Field::Xxreg1 | Field::Xxreg2 | Field::Xxreg3 => view(Field::Xxreg0, 4),
        _ => None,
    }
}

/// Number of a `tun_metadata` field.
pub(crate) fn option_index(field: Field) -> Option<u8> {
    let index = (field as u8).checked_sub(Field::TunMetadata0 as u8)?;
    (index < 64).then_some(index)
}

fn transport_field(transport: &Transport, address: IpAddr, field: Field) -> Option<u128> {
    let v4 = address.is_ipv4();
    match (transport, field) {
        (Transport::Tcp { src, .. }, Field::TcpSrc)
        | (Transport::Udp { src, .. }, Field::UdpSrc)
        | (Transport::Sctp { src, .. }, Field::SctpSrc) => Some((*src).into()),
        (Transport::Tcp { dst, .. }, Field::TcpDst)
        | (Transport::Udp { dst, .. }, Field::UdpDst)
        | (Transport::Sctp { dst, .. }, Field::SctpDst) => Some((*dst).into()),
        (Transport::Tcp { flags, .. }, Field::TcpFlags) => Some((*flags).into()),
        (Transport::Icmp(icmp), Field::Icmpv4Type) if v4 => Some(icmp.kind.into()),
        (Transport::Icmp(icmp), Field::Icmpv4Code) if v4 => Some(icmp.code.into()),
        (Transport::Icmp(icmp), Field::Icmpv6Type) if !v4 => Some(icmp.kind.into()),
        (Transport::Icmp(icmp), Field::Icmpv6Code) if !v4 => Some(icmp.code.into()),
        // OVS gives zero for neighbour discovery fields that the message leaves out.
        (Transport::Icmp(icmp), Field::NdTarget) if is_nd(icmp, v4) => {
            Some(icmp.nd_target.map_or(0, Ipv6Addr::to_bits))
        }
        (Transport::Icmp(icmp), Field::NdReserved) if is_nd(icmp, v4) => {
            Some(icmp.nd_reserved.into())
        }
        (Transport::Icmp(icmp), Field::NdOptionsType) if is_nd(icmp, v4) => {
            Some(icmp.nd_options_type.into())
        }
        (Transport::Icmp(icmp), Field::NdSll) if is_nd(icmp, v4) => {
            Some(icmp.nd_sll.map_or(0, mac_value))
        }
        (Transport::Icmp(icmp), Field::NdTll) if is_nd(icmp, v4) => {
            Some(icmp.nd_tll.map_or(0, mac_value))
        }
        _ => None,
    }
}

fn write_transport(
    transport: &mut Transport,
    address: IpAddr,
    field: Field,
    value: u128,
) -> Result<(), FieldError> {
    let v4 = address.is_ipv4();
    match (transport, field) {
        (Transport::Tcp { src, .. }, Field::TcpSrc)
        | (Transport::Udp { src, .. }, Field::UdpSrc)
        | (Transport::Sctp { src, .. }, Field::SctpSrc) => *src = value as u16,
        (Transport::Tcp { dst, .. }, Field::TcpDst)
        | (Transport::Udp { dst, .. }, Field::UdpDst)
        | (Transport::Sctp { dst, .. }, Field::SctpDst) => *dst = value as u16,
        (Transport::Tcp { .. }, Field::TcpFlags) => return Err(FieldError::ReadOnly(field)),
        (Transport::Icmp(icmp), Field::Icmpv4Type) if v4 => icmp.kind = value as u8,
        (Transport::Icmp(icmp), Field::Icmpv4Code) if v4 => icmp.code = value as u8,
        (Transport::Icmp(icmp), Field::Icmpv6Type) if !v4 => icmp.kind = value as u8,
        (Transport::Icmp(icmp), Field::Icmpv6Code) if !v4 => icmp.code = value as u8,
        (Transport::Icmp(icmp), Field::NdTarget) if is_nd(icmp, v4) => {
            icmp.nd_target = Some(Ipv6Addr::from_bits(value));
        }
        (Transport::Icmp(icmp), Field::NdReserved) if is_nd(icmp, v4) => {
            icmp.nd_reserved = value as u32;
        }
        (Transport::Icmp(icmp), Field::NdOptionsType) if is_nd(icmp, v4) => {
            icmp.nd_options_type = value as u8;
        }
        (Transport::Icmp(icmp), Field::NdSll) if is_nd(icmp, v4) => icmp.nd_sll = Some(mac(value)),
        (Transport::Icmp(icmp), Field::NdTll) if is_nd(icmp, v4) => icmp.nd_tll = Some(mac(value)),
        _ => return Err(FieldError::Absent(field)),
    }
    Ok(())
}

/// Neighbour solicitation (135) or advertisement (136).
fn is_nd(icmp: &Icmp, v4: bool) -> bool {
    !v4 && matches!(icmp.kind, 135 | 136)
}

fn original_tuple(tuple: &Tuple, field: Field) -> Option<u128> {
    let (tp_src, tp_dst) = tuple.ct_tp();
    match (field, tuple.src, tuple.dst) {
        (Field::CtIpv4Src, IpAddr::V4(src), _) => Some(src.to_bits().into()),
        (Field::CtIpv4Dst, _, IpAddr::V4(dst)) => Some(dst.to_bits().into()),
        (Field::CtIpv6Src, IpAddr::V6(src), _) => Some(src.to_bits()),
        (Field::CtIpv6Dst, _, IpAddr::V6(dst)) => Some(dst.to_bits()),
        (Field::CtIpProto, _, _) => Some(tuple.protocol.into()),
        (Field::CtTpSrc, _, _) => Some(tp_src.into()),
        (Field::CtTpDst, _, _) => Some(tp_dst.into()),
        _ => None,
    }
}

fn ipv4(value: u128) -> IpAddr {
    Ipv4Addr::from_bits(value as u32).into()
}

fn ipv6(value: u128) -> IpAddr {
    Ipv6Addr::from_bits(value).into()
}

fn mac(value: u128) -> MacAddr {
    let [.., a, b, c, d, e, f] = value.to_be_bytes();
    MacAddr([a, b, c, d, e, f])
}

fn mac_value(mac: MacAddr) -> u128 {
    mac.0.iter().fold(0, |v, byte| (v << 8) | u128::from(*byte))
}

/// The lowest `bits` bits.
pub(crate) fn low_bits(bits: u16) -> u128 {
    1u128
        .checked_shl(bits.into())
        .map_or(u128::MAX, |bit| bit - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> Packet {
        Packet::udp(
            (Ipv4Addr::new(10, 0, 0, 1), 1),
            (Ipv4Addr::new(10, 0, 0, 2), 2),
        )
    }

    #[test]
    fn the_first_register_is_the_most_significant_part_of_its_views() {
        let mut packet = packet();
        let value = 0x0000_0001_0000_0002_0000_0003_0000_0004_u128;
        packet.set(Field::Xxreg1, value, u128::MAX).unwrap();
        assert_eq!(packet.regs[4..8], [1, 2, 3, 4]);
        assert_eq!(packet.get(Field::Xreg2), Some(0x0000_0001_0000_0002));
        assert_eq!(packet.get(Field::Reg7), Some(4));
        assert_eq!(packet.get(Field::Xxreg1), Some(value));
    }

    #[test]
    fn a_masked_write_keeps_the_other_bits() {
        let mut packet = packet();
        packet.set(Field::Xxreg2, u128::MAX, u128::MAX).unwrap();
        packet.set(Field::Xxreg2, 0, 0xffff << 40).unwrap();
        assert_eq!(packet.get(Field::Xxreg2), Some(!(0xffff << 40)));
    }

    #[test]
    fn an_absent_option_is_not_zero() {
        let mut packet = packet();
        assert_eq!(packet.get(Field::TunMetadata0), None);
        packet.set(Field::TunMetadata0, 0, 1).unwrap();
        assert_eq!(packet.get(Field::TunMetadata0), Some(0));
    }

    #[test]
    fn a_subfield_reads_what_was_written_to_it() {
        let mut packet = packet();
        let part = Subfield {
            field: Field::Xxreg3,
            offset: 20,
            bits: 96,
        };
        packet.set_subfield(part, u128::MAX >> 40).unwrap();
        assert_eq!(packet.get_subfield(part), Some(u128::MAX >> 40));
        assert_eq!(packet.get(Field::Xxreg3), Some((u128::MAX >> 40) << 20));
    }

    #[test]
    fn a_udp_packet_has_no_tcp_port() {
        let mut packet = packet();
        assert_eq!(packet.get(Field::TcpDst), None);
        let error = packet.set(Field::TcpDst, 1, u128::MAX).unwrap_err();
        assert_eq!(error, FieldError::Absent(Field::TcpDst));
    }
}
