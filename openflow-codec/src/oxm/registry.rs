// SPDX-License-Identifier: Apache-2.0
//! One record for every match field: name, class and number on the wire, width, mask, prerequisite.
//!
//! The order is the order in which OVS itself writes fields (`nx_put_raw` in `lib/nx-match.c`);
//! [`Field`]'s `Ord` is that order, so a sorted match is a canonical match, and a prerequisite
//! always stands before the field that needs it.

/// OXM class (OpenFlow 1.5.1 section 7.2.3.2, OVS `lib/nx-match.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `NXM_OF`, 0x0000.
    Nxm0,
    /// `OFPXMC_OPENFLOW_BASIC`, 0x8000.
    Basic,
    /// `NXM_NX`, 0x0001.
    Nxm1,
    /// `OFPXMC_PACKET_REGS`, 0x8001.
    PacketRegs,
    /// `ERICOXM_OF`, 0x1000: OVS writes it as a plain class, without an experimenter id.
    Eric,
}

impl Class {
    /// The class's number on the wire.
    pub const fn number(self) -> u16 {
        match self {
            Self::Nxm0 => 0x0000,
            Self::Basic => 0x8000,
            Self::Nxm1 => 0x0001,
            Self::PacketRegs => 0x8001,
            Self::Eric => 0x1000,
        }
    }
}

/// What a match must already say before a field may be matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prerequisite {
    /// Nothing.
    None,
    /// A VLAN tag is present.
    VlanVid,
    /// `eth_type` 0x8847 or 0x8848.
    Mpls,
    /// `eth_type` 0x0800.
    Ipv4,
    /// `eth_type` 0x86dd.
    Ipv6,
    /// `eth_type` 0x0800 or 0x86dd.
    Ip,
    /// `eth_type` 0x0806.
    Arp,
    /// IP and `ip_proto` 6.
    Tcp,
    /// IP and `ip_proto` 17.
    Udp,
    /// IP and `ip_proto` 132.
    Sctp,
    /// IPv4 and `ip_proto` 1.
    Icmpv4,
    /// IPv6 and `ip_proto` 58.
    Icmpv6,
    /// `ct_state` says the packet is tracked.
    CtState,
}

/// How values of a field are written in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `17`, with a mask `0x10/0xf0`.
    Decimal,
    /// `0x11`.
    Hex,
    /// A port number, or the name of a reserved one.
    Port,
    /// `0a:58:0a:00:00:01`.
    Ethernet,
    /// `10.0.0.0/8`.
    Ipv4,
    /// `fd00::/8`.
    Ipv6,
    /// `no`, `first`, `later`, `yes`, `not_later`.
    Frag,
    /// `+syn-ack`.
    TcpFlags,
    /// `+csum`.
    TunFlags,
    /// `+trk+est`.
    CtState,
    /// `(1,0x800)`: namespace and type.
    PacketType,
}

/// The registry's record of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldInfo {
    /// The field.
    pub field: Field,
    /// Name in ovs-fields(7), as in `set_field:1->NAME`.
    pub name: &'static str,
    /// Name of a part of it in OVS's spelling, as in `move:NXM_NX_REG0[]->...`.
    pub nxm_name: &'static str,
    /// How its values are written.
    pub form: Form,
    /// Class on the wire.
    pub class: Class,
    /// Number within the class (7 bits).
    pub number: u8,
    /// Width in bits; 992 means variable (`tun_metadata`), set by the TLV table.
    pub bits: u16,
    /// Whether a mask is allowed.
    pub maskable: bool,
    /// What must be matched before.
    pub prerequisite: Prerequisite,
    /// First OVS version that has the field.
    pub since: &'static str,
}

/// A match field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(
    missing_docs,
    reason = "each name is the field's name in ovs-fields(7)"
)]
pub enum Field {
    PacketType,
    DpHash,
    RecircId,
    ConjId,
    InPort,
    NxmInPort,
    ActsetOutput,
    EthSrc,
    EthDst,
    EthType,
    VlanVid,
    VlanPcp,
    VlanTci,
    MplsLabel,
    MplsTc,
    MplsBos,
    MplsTtl,
    Ipv4Src,
    Ipv4Dst,
    Ipv6Src,
    Ipv6Dst,
    Ipv6Flabel,
    IpFrag,
    IpDscp,
    IpEcn,
    IpTtl,
    IpProto,
    TcpSrc,
    TcpDst,
    TcpFlags,
    UdpSrc,
    UdpDst,
    SctpSrc,
    SctpDst,
    Icmpv4Type,
    Icmpv4Code,
    Icmpv6Type,
    Icmpv6Code,
    NdReserved,
    NdTarget,
    NdOptionsType,
    NdSll,
    NdTll,
    ArpOp,
    ArpSpa,
    ArpTpa,
    ArpSha,
    ArpTha,
    TunId,
    TunSrc,
    TunDst,
    TunIpv6Src,
    TunIpv6Dst,
    TunGbpId,
    TunGbpFlags,
    TunFlags,
    TunMetadata0,
    TunMetadata1,
    TunMetadata2,
    TunMetadata3,
    TunMetadata4,
    TunMetadata5,
    TunMetadata6,
    TunMetadata7,
    TunMetadata8,
    TunMetadata9,
    TunMetadata10,
    TunMetadata11,
    TunMetadata12,
    TunMetadata13,
    TunMetadata14,
    TunMetadata15,
    TunMetadata16,
    TunMetadata17,
    TunMetadata18,
    TunMetadata19,
    TunMetadata20,
    TunMetadata21,
    TunMetadata22,
    TunMetadata23,
    TunMetadata24,
    TunMetadata25,
    TunMetadata26,
    TunMetadata27,
    TunMetadata28,
    TunMetadata29,
    TunMetadata30,
    TunMetadata31,
    TunMetadata32,
    TunMetadata33,
    TunMetadata34,
    TunMetadata35,
    TunMetadata36,
    TunMetadata37,
    TunMetadata38,
    TunMetadata39,
    TunMetadata40,
    TunMetadata41,
    TunMetadata42,
    TunMetadata43,
    TunMetadata44,
    TunMetadata45,
    TunMetadata46,
    TunMetadata47,
    TunMetadata48,
    TunMetadata49,
    TunMetadata50,
    TunMetadata51,
    TunMetadata52,
    TunMetadata53,
    TunMetadata54,
    TunMetadata55,
    TunMetadata56,
    TunMetadata57,
    TunMetadata58,
    TunMetadata59,
    TunMetadata60,
    TunMetadata61,
    TunMetadata62,
    TunMetadata63,
    Metadata,
    Reg0,
    Reg1,
    Reg2,
    Reg3,
    Reg4,
    Reg5,
    Reg6,
    Reg7,
    Reg8,
    Reg9,
    Reg10,
    Reg11,
    Reg12,
    Reg13,
    Reg14,
    Reg15,
    Xreg0,
    Xreg1,
    Xreg2,
    Xreg3,
    Xreg4,
    Xreg5,
    Xreg6,
    Xreg7,
    Xxreg0,
    Xxreg1,
    Xxreg2,
    Xxreg3,
    PktMark,
    CtState,
    CtZone,
    CtMark,
    CtLabel,
    CtIpv4Src,
    CtIpv4Dst,
    CtIpv6Src,
    CtIpv6Dst,
    CtIpProto,
    CtTpSrc,
    CtTpDst,
}

impl Field {
    /// The registry's record of this field.
    #[inline]
    pub const fn info(self) -> &'static FieldInfo {
        // The enum and the table are written in the same order; a test checks it.
        #[expect(
            clippy::indexing_slicing,
            reason = "the index is a discriminant of Field"
        )]
        &FIELDS[self as usize]
    }

    /// Every field, in canonical order.
    pub fn all() -> impl Iterator<Item = Self> {
        FIELDS.iter().map(|info| info.field)
    }

    /// Register `reg0`..`reg15`.
    pub fn reg(index: u8) -> Option<Self> {
        (index < 16).then(|| by_number(&NXM1, index)).flatten()
    }

    /// The field with this class and number on the wire.
    #[inline]
    pub fn from_wire(class: u16, number: u8) -> Option<Self> {
        match class {
            0x8000 => by_number(&BASIC, number),
            0x0001 => by_number(&NXM1, number),
            0x8001 => by_number(&PACKET_REGS, number),
            0x0000 => by_number(&NXM0, number),
            0x1000 => by_number(&ERIC, number),
            _ => None,
        }
    }

    /// The field with this name in ovs-fields(7), or this `NXM_*` or `OXM_*` name.
    pub fn from_name(name: &str) -> Option<Self> {
        FIELDS
            .iter()
            .find(|info| info.name == name || info.nxm_name == name)
            .map(|info| info.field)
    }

    /// Bytes of a value on the wire; `tun_metadata` has no width of its own and gives `None`.
    #[inline]
    pub const fn wire_bytes(self) -> Option<u8> {
        #[expect(
            clippy::indexing_slicing,
            reason = "the index is a discriminant of Field"
        )]
        match WIRE_BYTES[self as usize] {
            0 => None,
            bytes => Some(bytes),
        }
    }

    /// Number of the `tun_metadata` field this is.
    #[inline]
    pub const fn tun_metadata_index(self) -> Option<u8> {
        match (self as u8).checked_sub(Self::TunMetadata0 as u8) {
            Some(index @ 0..64) => Some(index),
            _ => None,
        }
    }

    /// How many 32-bit registers this is made of: 1 for everything but `xreg` and `xxreg`.
    #[inline]
    pub const fn register_parts(self) -> u8 {
        let number = self as u8;
        if number >= Self::Xxreg0 as u8 && number <= Self::Xxreg3 as u8 {
            4
        } else if number >= Self::Xreg0 as u8 && number <= Self::Xreg7 as u8 {
            2
        } else {
            1
        }
    }

    /// The 32-bit register number `part` of a wide register, the most significant one first.
    pub fn register_part(self, part: u8) -> Option<Self> {
        let parts = self.register_parts();
        let first = match parts {
            4 => Self::Xxreg0,
            2 => Self::Xreg0,
            _ => return None,
        };
        let index = (self as u8).checked_sub(first as u8)?;
        Self::reg(index.checked_mul(parts)?.checked_add(part)?)
    }
}

/// What [`Field::wire_bytes`] says; 0 is no width. A table of its own because it is read for every
/// field of every message.
static WIRE_BYTES: [u8; FIELDS.len()] = wire_bytes();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where a wrong index does not compile"
)]
const fn wire_bytes() -> [u8; FIELDS.len()] {
    let mut bytes = [0; FIELDS.len()];
    let mut index = 0;
    while index < FIELDS.len() {
        bytes[index] = match FIELDS[index].bits {
            // One of the bits can be used.
            _ if index == Field::TunFlags as usize => 2,
            0..=8 => 1,
            9..=16 => 2,
            17..=32 => 4,
            33..=48 => 6,
            49..=64 => 8,
            65..=128 => 16,
            _ => 0,
        };
        index += 1;
    }
    bytes
}

/// The field by number within a class. OVS writes some actions with the NXM number of a field that
/// has an OXM number too: those are the aliases.
type Numbers = [Option<Field>; 128];

static BASIC: Numbers = numbers(Basic, &[]);
static PACKET_REGS: Numbers = numbers(PacketRegs, &[]);
static NXM0: Numbers = numbers(
    Nxm0,
    &[
        (1, Field::EthDst),
        (2, Field::EthSrc),
        (3, Field::EthType),
        (6, Field::IpProto),
        (7, Field::Ipv4Src),
        (8, Field::Ipv4Dst),
        (9, Field::TcpSrc),
        (10, Field::TcpDst),
        (11, Field::UdpSrc),
        (12, Field::UdpDst),
        (13, Field::Icmpv4Type),
        (14, Field::Icmpv4Code),
        (15, Field::ArpOp),
        (16, Field::ArpSpa),
        (17, Field::ArpTpa),
    ],
);
static ERIC: Numbers = numbers(Eric, &[]);
static NXM1: Numbers = numbers(
    Nxm1,
    &[
        (16, Field::TunId),
        (17, Field::ArpSha),
        (18, Field::ArpTha),
        (19, Field::Ipv6Src),
        (20, Field::Ipv6Dst),
        (21, Field::Icmpv6Type),
        (22, Field::Icmpv6Code),
        (23, Field::NdTarget),
        (24, Field::NdSll),
        (25, Field::NdTll),
        (27, Field::Ipv6Flabel),
        (28, Field::IpEcn),
        (34, Field::TcpFlags),
    ],
);

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where a wrong index does not compile"
)]
const fn numbers(class: Class, aliases: &[(usize, Field)]) -> Numbers {
    let mut numbers = [None; 128];
    let mut index = 0;
    while index < FIELDS.len() {
        if FIELDS[index].class.number() == class.number() {
            numbers[FIELDS[index].number as usize] = Some(FIELDS[index].field);
        }
        index += 1;
    }
    let mut index = 0;
    while index < aliases.len() {
        let (number, field) = aliases[index];
        assert!(numbers[number].is_none());
        numbers[number] = Some(field);
        index += 1;
    }
    numbers
}

#[inline]
fn by_number(numbers: &Numbers, number: u8) -> Option<Field> {
    numbers.get(usize::from(number)).copied().flatten()
}

#[expect(
    clippy::too_many_arguments,
    reason = "a row of the table below, one argument a column"
)]
const fn row(
    field: Field,
    name: &'static str,
    nxm_name: &'static str,
    form: Form,
    class: Class,
    number: u8,
    bits: u16,
    maskable: bool,
    prerequisite: Prerequisite,
    since: &'static str,
) -> FieldInfo {
    FieldInfo {
        field,
        name,
        nxm_name,
        form,
        class,
        number,
        bits,
        maskable,
        prerequisite,
        since,
    }
}

const YES: bool = true;
const NO: bool = false;

use Class::{Basic, Eric, Nxm0, Nxm1, PacketRegs};
use Form as F;
use Prerequisite as P;

/// The registry. Source: OVS `include/openvswitch/meta-flow.h`, OpenFlow 1.5.1 section 7.2.3.7.
#[rustfmt::skip]
pub(super) const FIELDS: &[FieldInfo] = &[
    row(Field::PacketType, "packet_type", "OXM_OF_PACKET_TYPE", F::PacketType, Basic, 44, 32, NO, P::None, "2.8"),
    row(Field::DpHash, "dp_hash", "NXM_NX_DP_HASH", F::Hex, Nxm1, 35, 32, YES, P::None, "2.2"),
    row(Field::RecircId, "recirc_id", "NXM_NX_RECIRC_ID", F::Decimal, Nxm1, 36, 32, NO, P::None, "2.2"),
    row(Field::ConjId, "conj_id", "NXM_NX_CONJ_ID", F::Decimal, Nxm1, 37, 32, NO, P::None, "2.4"),
    row(Field::InPort, "in_port_oxm", "OXM_OF_IN_PORT", F::Port, Basic, 0, 32, NO, P::None, "1.7"),
    row(Field::NxmInPort, "in_port", "NXM_OF_IN_PORT", F::Port, Nxm0, 0, 16, NO, P::None, "1.1"),
    row(Field::ActsetOutput, "actset_output", "ONFOXM_ET_ACTSET_OUTPUT", F::Port, Basic, 43, 32, NO, P::None, "2.4"),
    row(Field::EthSrc, "eth_src", "NXM_OF_ETH_SRC", F::Ethernet, Basic, 4, 48, YES, P::None, "1.7"),
    row(Field::EthDst, "eth_dst", "NXM_OF_ETH_DST", F::Ethernet, Basic, 3, 48, YES, P::None, "1.7"),
    row(Field::EthType, "eth_type", "NXM_OF_ETH_TYPE", F::Hex, Basic, 5, 16, NO, P::None, "1.7"),
    row(Field::VlanVid, "vlan_vid", "OXM_OF_VLAN_VID", F::Decimal, Basic, 6, 13, YES, P::None, "1.7"),
    row(Field::VlanPcp, "vlan_pcp", "OXM_OF_VLAN_PCP", F::Decimal, Basic, 7, 3, NO, P::VlanVid, "1.7"),
    row(Field::VlanTci, "vlan_tci", "NXM_OF_VLAN_TCI", F::Hex, Nxm0, 4, 16, YES, P::None, "1.1"),
    row(Field::MplsLabel, "mpls_label", "OXM_OF_MPLS_LABEL", F::Decimal, Basic, 34, 20, NO, P::Mpls, "1.11"),
    row(Field::MplsTc, "mpls_tc", "OXM_OF_MPLS_TC", F::Decimal, Basic, 35, 3, NO, P::Mpls, "1.11"),
    row(Field::MplsBos, "mpls_bos", "OXM_OF_MPLS_BOS", F::Decimal, Basic, 36, 1, NO, P::Mpls, "1.11"),
    row(Field::MplsTtl, "mpls_ttl", "NXM_NX_MPLS_TTL", F::Decimal, Nxm1, 30, 8, NO, P::Mpls, "2.6"),
    row(Field::Ipv4Src, "ip_src", "NXM_OF_IP_SRC", F::Ipv4, Basic, 11, 32, YES, P::Ipv4, "1.7"),
    row(Field::Ipv4Dst, "ip_dst", "NXM_OF_IP_DST", F::Ipv4, Basic, 12, 32, YES, P::Ipv4, "1.7"),
    row(Field::Ipv6Src, "ipv6_src", "NXM_NX_IPV6_SRC", F::Ipv6, Basic, 26, 128, YES, P::Ipv6, "1.7"),
    row(Field::Ipv6Dst, "ipv6_dst", "NXM_NX_IPV6_DST", F::Ipv6, Basic, 27, 128, YES, P::Ipv6, "1.7"),
    row(Field::Ipv6Flabel, "ipv6_label", "NXM_NX_IPV6_LABEL", F::Hex, Basic, 28, 20, YES, P::Ipv6, "1.7"),
    row(Field::IpFrag, "ip_frag", "NXM_NX_IP_FRAG", F::Frag, Nxm1, 26, 2, YES, P::Ip, "1.3"),
    row(Field::IpDscp, "ip_dscp", "OXM_OF_IP_DSCP", F::Decimal, Basic, 8, 6, NO, P::Ip, "1.7"),
    row(Field::IpEcn, "nw_ecn", "NXM_NX_IP_ECN", F::Decimal, Basic, 9, 2, NO, P::Ip, "1.7"),
    row(Field::IpTtl, "nw_ttl", "NXM_NX_IP_TTL", F::Decimal, Nxm1, 29, 8, NO, P::Ip, "1.4"),
    row(Field::IpProto, "nw_proto", "NXM_OF_IP_PROTO", F::Decimal, Basic, 10, 8, NO, P::Ip, "1.7"),
    row(Field::TcpSrc, "tcp_src", "NXM_OF_TCP_SRC", F::Decimal, Basic, 13, 16, YES, P::Tcp, "1.7"),
    row(Field::TcpDst, "tcp_dst", "NXM_OF_TCP_DST", F::Decimal, Basic, 14, 16, YES, P::Tcp, "1.7"),
    row(Field::TcpFlags, "tcp_flags", "NXM_NX_TCP_FLAGS", F::TcpFlags, Basic, 42, 12, YES, P::Tcp, "2.3"),
    row(Field::UdpSrc, "udp_src", "NXM_OF_UDP_SRC", F::Decimal, Basic, 15, 16, YES, P::Udp, "1.7"),
    row(Field::UdpDst, "udp_dst", "NXM_OF_UDP_DST", F::Decimal, Basic, 16, 16, YES, P::Udp, "1.7"),
    row(Field::SctpSrc, "sctp_src", "OXM_OF_SCTP_SRC", F::Decimal, Basic, 17, 16, YES, P::Sctp, "2.0"),
    row(Field::SctpDst, "sctp_dst", "OXM_OF_SCTP_DST", F::Decimal, Basic, 18, 16, YES, P::Sctp, "2.0"),
    row(Field::Icmpv4Type, "icmp_type", "NXM_OF_ICMP_TYPE", F::Decimal, Basic, 19, 8, NO, P::Icmpv4, "1.7"),
    row(Field::Icmpv4Code, "icmp_code", "NXM_OF_ICMP_CODE", F::Decimal, Basic, 20, 8, NO, P::Icmpv4, "1.7"),
    row(Field::Icmpv6Type, "icmpv6_type", "NXM_NX_ICMPV6_TYPE", F::Decimal, Basic, 29, 8, NO, P::Icmpv6, "1.7"),
    row(Field::Icmpv6Code, "icmpv6_code", "NXM_NX_ICMPV6_CODE", F::Decimal, Basic, 30, 8, NO, P::Icmpv6, "1.7"),
    row(Field::NdReserved, "nd_reserved", "ERICOXM_OF_ICMPV6_ND_RESERVED", F::Decimal, Eric, 1, 32, NO, P::Icmpv6, "2.11"),
    row(Field::NdTarget, "nd_target", "NXM_NX_ND_TARGET", F::Ipv6, Basic, 31, 128, YES, P::Icmpv6, "1.7"),
    row(Field::NdOptionsType, "nd_options_type", "ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE", F::Decimal, Eric, 2, 8, NO, P::Icmpv6, "2.11"),
    row(Field::NdSll, "nd_sll", "NXM_NX_ND_SLL", F::Ethernet, Basic, 32, 48, YES, P::Icmpv6, "1.7"),
    row(Field::NdTll, "nd_tll", "NXM_NX_ND_TLL", F::Ethernet, Basic, 33, 48, YES, P::Icmpv6, "1.7"),
    row(Field::ArpOp, "arp_op", "NXM_OF_ARP_OP", F::Decimal, Basic, 21, 16, NO, P::Arp, "1.7"),
    row(Field::ArpSpa, "arp_spa", "NXM_OF_ARP_SPA", F::Ipv4, Basic, 22, 32, YES, P::Arp, "1.7"),
    row(Field::ArpTpa, "arp_tpa", "NXM_OF_ARP_TPA", F::Ipv4, Basic, 23, 32, YES, P::Arp, "1.7"),
    row(Field::ArpSha, "arp_sha", "NXM_NX_ARP_SHA", F::Ethernet, Basic, 24, 48, YES, P::Arp, "1.7"),
    row(Field::ArpTha, "arp_tha", "NXM_NX_ARP_THA", F::Ethernet, Basic, 25, 48, YES, P::Arp, "1.7"),
    row(Field::TunId, "tun_id", "NXM_NX_TUN_ID", F::Hex, Basic, 38, 64, YES, P::None, "1.10"),
    row(Field::TunSrc, "tun_src", "NXM_NX_TUN_IPV4_SRC", F::Ipv4, Nxm1, 31, 32, YES, P::None, "2.0"),
    row(Field::TunDst, "tun_dst", "NXM_NX_TUN_IPV4_DST", F::Ipv4, Nxm1, 32, 32, YES, P::None, "2.0"),
    row(Field::TunIpv6Src, "tun_ipv6_src", "NXM_NX_TUN_IPV6_SRC", F::Ipv6, Nxm1, 109, 128, YES, P::None, "2.5"),
    row(Field::TunIpv6Dst, "tun_ipv6_dst", "NXM_NX_TUN_IPV6_DST", F::Ipv6, Nxm1, 110, 128, YES, P::None, "2.5"),
    row(Field::TunGbpId, "tun_gbp_id", "NXM_NX_TUN_GBP_ID", F::Decimal, Nxm1, 38, 16, YES, P::None, "2.4"),
    row(Field::TunGbpFlags, "tun_gbp_flags", "NXM_NX_TUN_GBP_FLAGS", F::Hex, Nxm1, 39, 8, YES, P::None, "2.4"),
    row(Field::TunFlags, "tun_flags", "NXM_NX_TUN_FLAGS", F::TunFlags, Nxm1, 104, 1, YES, P::None, "2.5"),
    row(Field::TunMetadata0, "tun_metadata0", "NXM_NX_TUN_METADATA0", F::Hex, Nxm1, 40, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata1, "tun_metadata1", "NXM_NX_TUN_METADATA1", F::Hex, Nxm1, 41, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata2, "tun_metadata2", "NXM_NX_TUN_METADATA2", F::Hex, Nxm1, 42, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata3, "tun_metadata3", "NXM_NX_TUN_METADATA3", F::Hex, Nxm1, 43, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata4, "tun_metadata4", "NXM_NX_TUN_METADATA4", F::Hex, Nxm1, 44, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata5, "tun_metadata5", "NXM_NX_TUN_METADATA5", F::Hex, Nxm1, 45, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata6, "tun_metadata6", "NXM_NX_TUN_METADATA6", F::Hex, Nxm1, 46, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata7, "tun_metadata7", "NXM_NX_TUN_METADATA7", F::Hex, Nxm1, 47, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata8, "tun_metadata8", "NXM_NX_TUN_METADATA8", F::Hex, Nxm1, 48, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata9, "tun_metadata9", "NXM_NX_TUN_METADATA9", F::Hex, Nxm1, 49, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata10, "tun_metadata10", "NXM_NX_TUN_METADATA10", F::Hex, Nxm1, 50, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata11, "tun_metadata11", "NXM_NX_TUN_METADATA11", F::Hex, Nxm1, 51, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata12, "tun_metadata12", "NXM_NX_TUN_METADATA12", F::Hex, Nxm1, 52, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata13, "tun_metadata13", "NXM_NX_TUN_METADATA13", F::Hex, Nxm1, 53, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata14, "tun_metadata14", "NXM_NX_TUN_METADATA14", F::Hex, Nxm1, 54, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata15, "tun_metadata15", "NXM_NX_TUN_METADATA15", F::Hex, Nxm1, 55, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata16, "tun_metadata16", "NXM_NX_TUN_METADATA16", F::Hex, Nxm1, 56, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata17, "tun_metadata17", "NXM_NX_TUN_METADATA17", F::Hex, Nxm1, 57, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata18, "tun_metadata18", "NXM_NX_TUN_METADATA18", F::Hex, Nxm1, 58, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata19, "tun_metadata19", "NXM_NX_TUN_METADATA19", F::Hex, Nxm1, 59, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata20, "tun_metadata20", "NXM_NX_TUN_METADATA20", F::Hex, Nxm1, 60, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata21, "tun_metadata21", "NXM_NX_TUN_METADATA21", F::Hex, Nxm1, 61, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata22, "tun_metadata22", "NXM_NX_TUN_METADATA22", F::Hex, Nxm1, 62, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata23, "tun_metadata23", "NXM_NX_TUN_METADATA23", F::Hex, Nxm1, 63, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata24, "tun_metadata24", "NXM_NX_TUN_METADATA24", F::Hex, Nxm1, 64, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata25, "tun_metadata25", "NXM_NX_TUN_METADATA25", F::Hex, Nxm1, 65, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata26, "tun_metadata26", "NXM_NX_TUN_METADATA26", F::Hex, Nxm1, 66, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata27, "tun_metadata27", "NXM_NX_TUN_METADATA27", F::Hex, Nxm1, 67, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata28, "tun_metadata28", "NXM_NX_TUN_METADATA28", F::Hex, Nxm1, 68, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata29, "tun_metadata29", "NXM_NX_TUN_METADATA29", F::Hex, Nxm1, 69, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata30, "tun_metadata30", "NXM_NX_TUN_METADATA30", F::Hex, Nxm1, 70, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata31, "tun_metadata31", "NXM_NX_TUN_METADATA31", F::Hex, Nxm1, 71, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata32, "tun_metadata32", "NXM_NX_TUN_METADATA32", F::Hex, Nxm1, 72, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata33, "tun_metadata33", "NXM_NX_TUN_METADATA33", F::Hex, Nxm1, 73, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata34, "tun_metadata34", "NXM_NX_TUN_METADATA34", F::Hex, Nxm1, 74, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata35, "tun_metadata35", "NXM_NX_TUN_METADATA35", F::Hex, Nxm1, 75, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata36, "tun_metadata36", "NXM_NX_TUN_METADATA36", F::Hex, Nxm1, 76, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata37, "tun_metadata37", "NXM_NX_TUN_METADATA37", F::Hex, Nxm1, 77, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata38, "tun_metadata38", "NXM_NX_TUN_METADATA38", F::Hex, Nxm1, 78, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata39, "tun_metadata39", "NXM_NX_TUN_METADATA39", F::Hex, Nxm1, 79, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata40, "tun_metadata40", "NXM_NX_TUN_METADATA40", F::Hex, Nxm1, 80, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata41, "tun_metadata41", "NXM_NX_TUN_METADATA41", F::Hex, Nxm1, 81, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata42, "tun_metadata42", "NXM_NX_TUN_METADATA42", F::Hex, Nxm1, 82, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata43, "tun_metadata43", "NXM_NX_TUN_METADATA43", F::Hex, Nxm1, 83, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata44, "tun_metadata44", "NXM_NX_TUN_METADATA44", F::Hex, Nxm1, 84, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata45, "tun_metadata45", "NXM_NX_TUN_METADATA45", F::Hex, Nxm1, 85, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata46, "tun_metadata46", "NXM_NX_TUN_METADATA46", F::Hex, Nxm1, 86, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata47, "tun_metadata47", "NXM_NX_TUN_METADATA47", F::Hex, Nxm1, 87, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata48, "tun_metadata48", "NXM_NX_TUN_METADATA48", F::Hex, Nxm1, 88, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata49, "tun_metadata49", "NXM_NX_TUN_METADATA49", F::Hex, Nxm1, 89, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata50, "tun_metadata50", "NXM_NX_TUN_METADATA50", F::Hex, Nxm1, 90, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata51, "tun_metadata51", "NXM_NX_TUN_METADATA51", F::Hex, Nxm1, 91, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata52, "tun_metadata52", "NXM_NX_TUN_METADATA52", F::Hex, Nxm1, 92, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata53, "tun_metadata53", "NXM_NX_TUN_METADATA53", F::Hex, Nxm1, 93, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata54, "tun_metadata54", "NXM_NX_TUN_METADATA54", F::Hex, Nxm1, 94, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata55, "tun_metadata55", "NXM_NX_TUN_METADATA55", F::Hex, Nxm1, 95, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata56, "tun_metadata56", "NXM_NX_TUN_METADATA56", F::Hex, Nxm1, 96, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata57, "tun_metadata57", "NXM_NX_TUN_METADATA57", F::Hex, Nxm1, 97, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata58, "tun_metadata58", "NXM_NX_TUN_METADATA58", F::Hex, Nxm1, 98, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata59, "tun_metadata59", "NXM_NX_TUN_METADATA59", F::Hex, Nxm1, 99, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata60, "tun_metadata60", "NXM_NX_TUN_METADATA60", F::Hex, Nxm1, 100, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata61, "tun_metadata61", "NXM_NX_TUN_METADATA61", F::Hex, Nxm1, 101, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata62, "tun_metadata62", "NXM_NX_TUN_METADATA62", F::Hex, Nxm1, 102, 992, YES, P::None, "2.5"),
    row(Field::TunMetadata63, "tun_metadata63", "NXM_NX_TUN_METADATA63", F::Hex, Nxm1, 103, 992, YES, P::None, "2.5"),
    row(Field::Metadata, "metadata", "OXM_OF_METADATA", F::Hex, Basic, 2, 64, YES, P::None, "1.8"),
    row(Field::Reg0, "reg0", "NXM_NX_REG0", F::Hex, Nxm1, 0, 32, YES, P::None, "1.1"),
    row(Field::Reg1, "reg1", "NXM_NX_REG1", F::Hex, Nxm1, 1, 32, YES, P::None, "1.1"),
    row(Field::Reg2, "reg2", "NXM_NX_REG2", F::Hex, Nxm1, 2, 32, YES, P::None, "1.1"),
    row(Field::Reg3, "reg3", "NXM_NX_REG3", F::Hex, Nxm1, 3, 32, YES, P::None, "1.1"),
    row(Field::Reg4, "reg4", "NXM_NX_REG4", F::Hex, Nxm1, 4, 32, YES, P::None, "1.1"),
    row(Field::Reg5, "reg5", "NXM_NX_REG5", F::Hex, Nxm1, 5, 32, YES, P::None, "1.1"),
    row(Field::Reg6, "reg6", "NXM_NX_REG6", F::Hex, Nxm1, 6, 32, YES, P::None, "1.1"),
    row(Field::Reg7, "reg7", "NXM_NX_REG7", F::Hex, Nxm1, 7, 32, YES, P::None, "1.1"),
    row(Field::Reg8, "reg8", "NXM_NX_REG8", F::Hex, Nxm1, 8, 32, YES, P::None, "2.6"),
    row(Field::Reg9, "reg9", "NXM_NX_REG9", F::Hex, Nxm1, 9, 32, YES, P::None, "2.6"),
    row(Field::Reg10, "reg10", "NXM_NX_REG10", F::Hex, Nxm1, 10, 32, YES, P::None, "2.6"),
    row(Field::Reg11, "reg11", "NXM_NX_REG11", F::Hex, Nxm1, 11, 32, YES, P::None, "2.6"),
    row(Field::Reg12, "reg12", "NXM_NX_REG12", F::Hex, Nxm1, 12, 32, YES, P::None, "2.6"),
    row(Field::Reg13, "reg13", "NXM_NX_REG13", F::Hex, Nxm1, 13, 32, YES, P::None, "2.6"),
    row(Field::Reg14, "reg14", "NXM_NX_REG14", F::Hex, Nxm1, 14, 32, YES, P::None, "2.6"),
    row(Field::Reg15, "reg15", "NXM_NX_REG15", F::Hex, Nxm1, 15, 32, YES, P::None, "2.6"),
    row(Field::Xreg0, "xreg0", "OXM_OF_PKT_REG0", F::Hex, PacketRegs, 0, 64, YES, P::None, "2.4"),
    row(Field::Xreg1, "xreg1", "OXM_OF_PKT_REG1", F::Hex, PacketRegs, 1, 64, YES, P::None, "2.4"),
    row(Field::Xreg2, "xreg2", "OXM_OF_PKT_REG2", F::Hex, PacketRegs, 2, 64, YES, P::None, "2.4"),
    row(Field::Xreg3, "xreg3", "OXM_OF_PKT_REG3", F::Hex, PacketRegs, 3, 64, YES, P::None, "2.4"),
    row(Field::Xreg4, "xreg4", "OXM_OF_PKT_REG4", F::Hex, PacketRegs, 4, 64, YES, P::None, "2.4"),
    row(Field::Xreg5, "xreg5", "OXM_OF_PKT_REG5", F::Hex, PacketRegs, 5, 64, YES, P::None, "2.4"),
    row(Field::Xreg6, "xreg6", "OXM_OF_PKT_REG6", F::Hex, PacketRegs, 6, 64, YES, P::None, "2.4"),
    row(Field::Xreg7, "xreg7", "OXM_OF_PKT_REG7", F::Hex, PacketRegs, 7, 64, YES, P::None, "2.4"),
    row(Field::Xxreg0, "xxreg0", "NXM_NX_XXREG0", F::Hex, Nxm1, 111, 128, YES, P::None, "2.6"),
    row(Field::Xxreg1, "xxreg1", "NXM_NX_XXREG1", F::Hex, Nxm1, 112, 128, YES, P::None, "2.6"),
    row(Field::Xxreg2, "xxreg2", "NXM_NX_XXREG2", F::Hex, Nxm1, 113, 128, YES, P::None, "2.6"),
    row(Field::Xxreg3, "xxreg3", "NXM_NX_XXREG3", F::Hex, Nxm1, 114, 128, YES, P::None, "2.6"),
    row(Field::PktMark, "pkt_mark", "NXM_NX_PKT_MARK", F::Hex, Nxm1, 33, 32, YES, P::None, "2.0"),
    row(Field::CtState, "ct_state", "NXM_NX_CT_STATE", F::CtState, Nxm1, 105, 32, YES, P::None, "2.5"),
    row(Field::CtZone, "ct_zone", "NXM_NX_CT_ZONE", F::Hex, Nxm1, 106, 16, NO, P::None, "2.5"),
    row(Field::CtMark, "ct_mark", "NXM_NX_CT_MARK", F::Hex, Nxm1, 107, 32, YES, P::None, "2.5"),
    row(Field::CtLabel, "ct_label", "NXM_NX_CT_LABEL", F::Hex, Nxm1, 108, 128, YES, P::None, "2.5"),
    row(Field::CtIpv4Src, "ct_nw_src", "NXM_NX_CT_NW_SRC", F::Ipv4, Nxm1, 120, 32, YES, P::CtState, "2.8"),
    row(Field::CtIpv4Dst, "ct_nw_dst", "NXM_NX_CT_NW_DST", F::Ipv4, Nxm1, 121, 32, YES, P::CtState, "2.8"),
    row(Field::CtIpv6Src, "ct_ipv6_src", "NXM_NX_CT_IPV6_SRC", F::Ipv6, Nxm1, 122, 128, YES, P::CtState, "2.8"),
    row(Field::CtIpv6Dst, "ct_ipv6_dst", "NXM_NX_CT_IPV6_DST", F::Ipv6, Nxm1, 123, 128, YES, P::CtState, "2.8"),
    row(Field::CtIpProto, "ct_nw_proto", "NXM_NX_CT_NW_PROTO", F::Decimal, Nxm1, 119, 8, NO, P::CtState, "2.8"),
    row(Field::CtTpSrc, "ct_tp_src", "NXM_NX_CT_TP_SRC", F::Decimal, Nxm1, 124, 16, YES, P::CtState, "2.8"),
    row(Field::CtTpDst, "ct_tp_dst", "NXM_NX_CT_TP_DST", F::Decimal, Nxm1, 125, 16, YES, P::CtState, "2.8"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enum_and_table_are_in_the_same_order() {
        for (index, info) in FIELDS.iter().enumerate() {
            assert_eq!(info.field as usize, index, "{}", info.name);
        }
    }

    #[test]
    fn no_two_fields_share_a_number() {
        let mut seen = std::collections::BTreeSet::new();
        for info in FIELDS {
            assert!(
                seen.insert((info.class.number(), info.number)),
                "{}",
                info.name
            );
        }
    }
}
