// SPDX-License-Identifier: Apache-2.0
//! What differs between IPv4 and IPv6 in a flow: the Ethernet type and the names of fields.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use openflow_codec::{Field, Match};

use crate::model::Family;

impl Family {
    /// EtherType.
    pub(crate) const fn eth_type(self) -> u16 {
        match self {
            Self::V4 => 0x0800,
            Self::V6 => 0x86dd,
        }
    }

    /// Sender's address.
    pub(crate) const fn src(self) -> Field {
        match self {
            Self::V4 => Field::Ipv4Src,
            Self::V6 => Field::Ipv6Src,
        }
    }

    /// Receiver's address.
    pub(crate) const fn dst(self) -> Field {
        match self {
            Self::V4 => Field::Ipv4Dst,
            Self::V6 => Field::Ipv6Dst,
        }
    }

    /// Address of the far end of a tunnel.
    pub(super) const fn tun_dst(self) -> Field {
        match self {
            Self::V4 => Field::TunDst,
            Self::V6 => Field::TunIpv6Dst,
        }
    }

    /// Protocol number of its ICMP.
    pub(super) const fn icmp(self) -> u8 {
        match self {
            Self::V4 => 1,
            Self::V6 => 58,
        }
    }

    /// All packets of the family.
    pub(super) fn packets(self) -> Match {
        Match::any().with(Field::EthType, self.eth_type())
    }
}

/// Packets from this address.
pub(super) fn from(flow_match: Match, address: IpAddr) -> Match {
    let family = Family::of(address);
    flow_match
        .with(Field::EthType, family.eth_type())
        .with(family.src(), number(address))
}

/// Packets to this address.
pub(super) fn to(address: IpAddr) -> Match {
    let family = Family::of(address);
    family.packets().with(family.dst(), number(address))
}

/// Packets whose address in `field` lies in `network`, which is of the field's family.
pub(super) fn within(flow_match: Match, field: Field, network: IpNetwork) -> Match {
    flow_match
        .with(Field::EthType, Family::of_network(network).eth_type())
        .with_masked(field, number(network.network()), number(network.mask()))
}

/// An address as the value of a field.
pub(crate) const fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits() as u128,
        IpAddr::V6(address) => address.to_bits(),
    }
}
