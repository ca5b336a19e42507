// SPDX-License-Identifier: Apache-2.0
//! The addresses of a Pod: at most one of each family, and at least one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::spec::MacAddress;

/// One address, or one of each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodAddresses {
    /// One address.
    One(IpAddr),
    /// One of each family.
    Both(Ipv4Addr, Ipv6Addr),
}

impl PodAddresses {
    /// They, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = IpAddr> {
        let (first, second) = match self {
            Self::One(address) => (address, None),
            Self::Both(v4, v6) => (v4.into(), Some(v6.into())),
        };
        std::iter::once(first).chain(second)
    }

    /// The link-layer address that follows from them: locally administered `0a:58`, then the four
    /// bytes of the IPv4 address, so two Pods of one cluster never share one. A Pod with an IPv6
    /// address alone has the four words of that instead, folded into one; it may share it with a Pod
    /// of another node, which is of no consequence on a link that only its gateway is on.
    pub fn mac(self) -> MacAddress {
        let word = match self {
            Self::One(IpAddr::V4(v4)) | Self::Both(v4, _) => v4.to_bits(),
            Self::One(IpAddr::V6(v6)) => {
                let octets = v6.octets();
                let (words, _) = octets.as_chunks::<4>();
                words
                    .iter()
                    .fold(0, |fold, word| fold ^ u32::from_be_bytes(*word))
            }
        };
        let [a, b, c, d] = word.to_be_bytes();
        MacAddress::new([0x0a, 0x58, a, b, c, d])
    }
}

/// The length of a prefix that is one address.
pub fn host_prefix(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}
