// SPDX-License-Identifier: Apache-2.0
//! A packet as text: the flow syntax that `ovs-appctl ofproto/trace` prints and reads.

use std::fmt;

use super::{Ip, Packet, Payload, Transport};
use crate::conntrack::CtState;

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in_port={}", self.in_port)?;
        self.fmt_metadata(f)?;
        write!(f, ",dl_src={},dl_dst={}", self.eth_src, self.eth_dst)?;
        match &self.payload {
            Payload::Other(eth_type) => write!(f, ",dl_type={eth_type:#06x}"),
            Payload::Arp(arp) => write!(
                f,
                ",arp,arp_spa={},arp_tpa={},arp_op={},arp_sha={},arp_tha={}",
                arp.spa, arp.tpa, arp.op, arp.sha, arp.tha
            ),
            Payload::Ip(ip) => {
                let (src, dst) = match ip.src.is_ipv4() {
                    true => ("nw_src", "nw_dst"),
                    false => ("ipv6_src", "ipv6_dst"),
                };
                write!(f, ",{}", name(ip))?;
                if let Transport::Other(protocol) = ip.transport {
                    write!(f, ",nw_proto={protocol}")?;
                }
                write!(f, ",{src}={},{dst}={},nw_ttl={}", ip.src, ip.dst, ip.ttl)?;
                if ip.dscp != 0 || ip.ecn != 0 {
                    write!(f, ",nw_tos={},nw_ecn={}", ip.dscp << 2, ip.ecn)?;
                }
                if ip.flow_label != 0 {
                    write!(f, ",ipv6_label={:#x}", ip.flow_label)?;
                }
                fmt_transport(&ip.transport, f)
            }
        }
    }
}

impl Packet {
    fn fmt_metadata(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tunnel = &self.tunnel;
        if tunnel.id != 0 {
            write!(f, ",tun_id={:#x}", tunnel.id)?;
        }
        if !tunnel.src.is_unspecified() {
            write!(f, ",tun_src={}", tunnel.src)?;
        }
        if !tunnel.dst.is_unspecified() {
            write!(f, ",tun_dst={}", tunnel.dst)?;
        }
        if !tunnel.ipv6_src.is_unspecified() {
            write!(f, ",tun_ipv6_src={}", tunnel.ipv6_src)?;
        }
        if !tunnel.ipv6_dst.is_unspecified() {
            write!(f, ",tun_ipv6_dst={}", tunnel.ipv6_dst)?;
        }
        for (index, value) in &tunnel.options {
            write!(f, ",tun_metadata{index}={value:#x}")?;
        }
        if self.metadata != 0 {
            write!(f, ",metadata={:#x}", self.metadata)?;
        }
        for (index, value) in self
            .regs
            .iter()
            .enumerate()
            .filter(|(_, value)| **value != 0)
        {
            write!(f, ",reg{index}={value:#x}")?;
        }
        if self.pkt_mark != 0 {
            write!(f, ",pkt_mark={:#x}", self.pkt_mark)?;
        }
        let ct = &self.ct;
        if ct.state != CtState::default() {
            write!(f, ",ct_state={},ct_zone={}", ct.state, ct.zone)?;
        }
        if ct.mark != 0 {
            write!(f, ",ct_mark={:#x}", ct.mark)?;
        }
        if ct.label != 0 {
            write!(f, ",ct_label={:#x}", ct.label)?;
        }
        Ok(())
    }
}

/// The word that stands for Ethernet type and protocol.
fn name(ip: &Ip) -> &'static str {
    match (&ip.transport, ip.src.is_ipv4()) {
        (Transport::Tcp { .. }, true) => "tcp",
        (Transport::Tcp { .. }, false) => "tcp6",
        (Transport::Udp { .. }, true) => "udp",
        (Transport::Udp { .. }, false) => "udp6",
        (Transport::Sctp { .. }, true) => "sctp",
        (Transport::Sctp { .. }, false) => "sctp6",
        (Transport::Icmp(_), true) => "icmp",
        (Transport::Icmp(_), false) => "icmp6",
        (Transport::Other(_), true) => "ip",
        (Transport::Other(_), false) => "ipv6",
    }
}

fn fmt_transport(transport: &Transport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match transport {
        Transport::Tcp { src, dst, flags } => {
            write!(f, ",tcp_src={src},tcp_dst={dst},tcp_flags={flags:#x}")
        }
        Transport::Udp { src, dst } => write!(f, ",udp_src={src},udp_dst={dst}"),
        Transport::Sctp { src, dst } => write!(f, ",sctp_src={src},sctp_dst={dst}"),
        Transport::Icmp(icmp) => {
            write!(f, ",icmp_type={},icmp_code={}", icmp.kind, icmp.code)?;
            if let Some(target) = icmp.nd_target {
                write!(f, ",nd_target={target}")?;
            }
            for (name, address) in [("nd_sll", icmp.nd_sll), ("nd_tll", icmp.nd_tll)] {
                if let Some(address) = address {
                    write!(f, ",{name}={address}")?;
                }
            }
            Ok(())
        }
        Transport::Other(_) => Ok(()),
    }
}
