// SPDX-License-Identifier: Apache-2.0
//! Address families, and addresses of which there is at most one of each.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The family of a network.
    pub const fn of_network(network: IpNetwork) -> Self {
        match network {
            IpNetwork::V4(_) => Self::V4,
            IpNetwork::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// The families that a cluster's Pods have addresses of; never none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// This one only.
    One(Family),
    /// Both.
    Both,
}

impl Families {
    /// Whether `family` is one of them.
    pub fn contains(self, family: Family) -> bool {
        match self {
            Self::One(one) => one == family,
            Self::Both => true,
        }
    }

    /// They, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        Family::ALL
            .into_iter()
            .filter(move |family| self.contains(*family))
    }
}

/// IPv4 alone when nothing says otherwise.
impl FromIterator<Family> for Families {
    fn from_iter<T: IntoIterator<Item = Family>>(families: T) -> Self {
        let (mut v4, mut v6) = (false, false);
        for family in families {
            match family {
                Family::V4 => v4 = true,
                Family::V6 => v6 = true,
            }
        }
        match (v4, v6) {
            (true, true) => Self::Both,
            (false, true) => Self::One(Family::V6),
            (_, false) => Self::One(Family::V4),
        }
    }
}

/// One address, or one of each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Addresses {
    /// One address.
    One(IpAddr),
    /// One of each family.
    Both(Ipv4Addr, Ipv6Addr),
}

impl Addresses {
    /// The addresses that there are; `None` when there is none.
    pub fn new(v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) -> Option<Self> {
        match (v4, v6) {
            (Some(v4), Some(v6)) => Some(Self::Both(v4, v6)),
            (Some(v4), None) => Some(Self::One(v4.into())),
            (None, Some(v6)) => Some(Self::One(v6.into())),
            (None, None) => None,
        }
    }

    /// The first address of each family.
    pub fn first_of_each(addresses: impl IntoIterator<Item = IpAddr>) -> Option<Self> {
        let (mut first_v4, mut first_v6) = (None, None);
        for address in addresses {
            match address {
                IpAddr::V4(v4) => first_v4 = first_v4.or(Some(v4)),
                IpAddr::V6(v6) => first_v6 = first_v6.or(Some(v6)),
            }
        }
        Self::new(first_v4, first_v6)
    }

    /// The address of this family.
    pub fn of(self, family: Family) -> Option<IpAddr> {
        self.iter().find(|address| Family::of(*address) == family)
    }

    /// They, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = IpAddr> + Clone {
        let (first, second) = match self {
            Self::One(address) => (address, None),
            Self::Both(v4, v6) => (v4.into(), Some(v6.into())),
        };
        std::iter::once(first).chain(second)
    }
}

/// Separated by commas, IPv4 first.
impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(address) => write!(f, "{address}"),
            Self::Both(v4, v6) => write!(f, "{v4},{v6}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_says_nothing_is_of_ipv4() {
        let families = |families: &[Family]| -> Vec<Family> {
            families
                .iter()
                .copied()
                .collect::<Families>()
                .iter()
                .collect()
        };
        assert_eq!(families(&[]), [Family::V4]);
        assert_eq!(families(&[Family::V6]), [Family::V6]);
        assert_eq!(families(&[Family::V6, Family::V4]), Family::ALL);
    }

    #[test]
    fn there_is_one_address_of_a_family_at_most() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let four = ["10.0.0.2", "fd00::2", "10.0.0.3", "fd00::3"].map(address);
        let first = Addresses::first_of_each(four).unwrap();
        assert_eq!(first.to_string(), "10.0.0.2,fd00::2");
        assert_eq!(first.of(Family::V6), Some(address("fd00::2")));
        assert_eq!(Addresses::first_of_each([]), None);
    }
}
