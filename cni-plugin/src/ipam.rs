// SPDX-License-Identifier: Apache-2.0
//! Choosing addresses from the Pod CIDRs of a node, one of each family that these are of.
//!
//! Nothing is stored: the addresses in use are those of the Interface rows, and the place to begin
//! looking is `next_cfg` of OVSDB, which every ADD and every DEL moves on. So addresses are given
//! out in turn, and one that was freed comes back only after all the others.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use crate::addresses::PodAddresses;
use crate::request::Attachment;

/// The addresses Pods of this node may have: of one family, or of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pool {
    /// IPv4.
    V4(Ranges<Ipv4Addr>),
    /// IPv6.
    V6(Ranges<Ipv6Addr>),
    /// A Pod gets one of each.
    Both(Ranges<Ipv4Addr>, Ranges<Ipv6Addr>),
}

/// Addresses of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges<A> {
    /// Disjoint, ascending, both ends included; not empty.
    ranges: Vec<(u128, u128)>,
    family: PhantomData<A>,
}

/// An address of one family as a number.
pub trait Number: Copy + Ord + Into<IpAddr> {
    /// Name of the family.
    const FAMILY: &'static str;

    /// The address of this number, if there is one.
    fn from_number(number: u128) -> Option<Self>;
}

impl Number for Ipv4Addr {
    const FAMILY: &'static str = "IPv4";

    fn from_number(number: u128) -> Option<Self> {
        u32::try_from(number).ok().map(Self::from)
    }
}

impl Number for Ipv6Addr {
    const FAMILY: &'static str = "IPv6";

    fn from_number(number: u128) -> Option<Self> {
        Some(Self::from(number))
    }
}

/// All addresses of one family are in use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "all {size} {family} addresses of this node's Pod CIDRs are in use; delete Pods or add a Pod CIDR"
)]
pub struct Exhausted {
    size: u128,
    family: &'static str,
}

/// The Pod CIDRs of a node cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// One of them is no CIDR.
    #[error("{0:?} is no CIDR")]
    NotACidr(String),
    /// Together they have no address for a Pod.
    #[error(
        "{0:?} leaves no address for a Pod; a CIDR needs a prefix length of 30 (IPv6: 126) or less"
    )]
    Empty(String),
}

impl Pool {
    /// The usable addresses of comma-separated CIDRs: all but the network address, the address
    /// after it (by custom a gateway) and, of IPv4, the broadcast address of each.
    ///
    /// # Errors
    /// If a word is no CIDR, or nothing is usable.
    pub fn from_cidrs(text: &str) -> Result<Self, PoolError> {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let words = text.split(',').map(str::trim);
        for cidr in words.filter(|cidr| !cidr.is_empty()) {
            let network = cidr
                .parse::<IpNetwork>()
                .map_err(|_| PoolError::NotACidr(cidr.to_owned()))?;
            match network {
                IpNetwork::V4(_) => v4.extend(usable(network)),
                IpNetwork::V6(_) => v6.extend(usable(network)),
            }
        }
        match (Ranges::new(v4), Ranges::new(v6)) {
            (Some(v4), Some(v6)) => Ok(Self::Both(v4, v6)),
            (Some(v4), None) => Ok(Self::V4(v4)),
            (None, Some(v6)) => Ok(Self::V6(v6)),
            (None, None) => Err(PoolError::Empty(text.to_owned())),
        }
    }

    /// Whether Pods get an IPv6 address.
    pub fn has_v6(&self) -> bool {
        matches!(self, Self::V6(_) | Self::Both(..))
    }

    /// The first free address of each family at or after position `start`, in a circle.
    ///
    /// # Errors
    /// All of one family are in use.
    pub fn choose(&self, in_use: &BTreeSet<IpAddr>, start: u64) -> Result<PodAddresses, Exhausted> {
        Ok(match self {
            Self::V4(v4) => PodAddresses::One(v4.choose(in_use, start)?.into()),
            Self::V6(v6) => PodAddresses::One(v6.choose(in_use, start)?.into()),
            Self::Both(v4, v6) => {
                PodAddresses::Both(v4.choose(in_use, start)?, v6.choose(in_use, start)?)
            }
        })
    }
}

impl<A: Number> Ranges<A> {
    fn new(mut ranges: Vec<(u128, u128)>) -> Option<Self> {
        ranges.sort_unstable();
        let ranges = ranges.into_iter().fold(Vec::new(), merge);
        (!ranges.is_empty()).then_some(Self {
            ranges,
            family: PhantomData,
        })
    }

    /// How many addresses there are.
    fn size(&self) -> u128 {
        self.ranges
            .iter()
            .fold(0, |size, range| length(range).saturating_add(size))
    }

    fn choose(&self, in_use: &BTreeSet<IpAddr>, start: u64) -> Result<A, Exhausted> {
        let size = self.size();
        let start = u128::from(start).checked_rem(size).unwrap_or(0);
        let positions = (start..size).chain(0..start);
        positions
            .filter_map(|position| self.at(position))
            .find(|address| !in_use.contains(&(*address).into()))
            .ok_or(Exhausted {
                size,
                family: A::FAMILY,
            })
    }

    fn at(&self, mut position: u128) -> Option<A> {
        for range in &self.ranges {
            match position.checked_sub(length(range)) {
                Some(rest) => position = rest,
                None => return A::from_number(range.0.checked_add(position)?),
            }
        }
        None
    }
}

/// Where to begin looking: at `next_cfg`; after the `attempt`-th conflict with an ADD that runs at
/// the same time, somewhere in a stretch behind it that grows with every attempt, so that many
/// ADDs quickly get out of each other's way.
pub fn start(next_cfg: i64, attachment: &Attachment, attempt: u32) -> u64 {
    let stretch = 4u64.saturating_pow(attempt);
    let offset = attachment.spread(attempt).checked_rem(stretch).unwrap_or(0);
    next_cfg.unsigned_abs().wrapping_add(offset)
}

fn usable(network: IpNetwork) -> Option<(u128, u128)> {
    let (lowest, highest) = match network {
        IpNetwork::V4(v4) => (
            u128::from(v4.network().to_bits()),
            u128::from(v4.broadcast().to_bits()).checked_sub(1)?,
        ),
        IpNetwork::V6(v6) => (v6.network().to_bits(), v6.broadcast().to_bits()),
    };
    let first = lowest.checked_add(2)?;
    (first <= highest).then_some((first, highest))
}

fn merge(mut merged: Vec<(u128, u128)>, range: (u128, u128)) -> Vec<(u128, u128)> {
    match merged.last_mut() {
        Some(last) if range.0 <= last.1 => last.1 = last.1.max(range.1),
        _ => merged.push(range),
    }
    merged
}

fn length(range: &(u128, u128)) -> u128 {
    range.1.saturating_sub(range.0).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(cidrs: &str) -> Pool {
        Pool::from_cidrs(cidrs).unwrap()
    }

    fn addresses<const N: usize>(last_bytes: [u8; N]) -> BTreeSet<IpAddr> {
        last_bytes.map(|byte| IpAddr::from([10, 0, 0, byte])).into()
    }

    fn chosen(pool: &Pool, in_use: &BTreeSet<IpAddr>, start: u64) -> Vec<String> {
        let addresses = pool.choose(in_use, start).unwrap().iter();
        addresses.map(|address| address.to_string()).collect()
    }

    fn size(pool: &Pool) -> u128 {
        match pool {
            Pool::V4(v4) | Pool::Both(v4, _) => v4.size(),
            Pool::V6(v6) => v6.size(),
        }
    }

    #[test]
    fn network_first_and_broadcast_address_are_never_given_to_a_pod() {
        let pool = pool("10.0.0.0/29");
        let all: BTreeSet<_> = (0..5)
            .flat_map(|start| pool.choose(&BTreeSet::new(), start).unwrap().iter())
            .collect();
        assert_eq!(size(&pool), 5);
        assert_eq!(all, addresses([2, 3, 4, 5, 6]));
    }

    #[test]
    fn search_goes_round_and_ends_when_every_address_is_in_use() {
        let pool = pool("10.0.0.0/29");
        assert_eq!(chosen(&pool, &addresses([6]), 4), ["10.0.0.2"]);
        let error = pool.choose(&addresses([2, 3, 4, 5, 6]), 4).unwrap_err();
        assert!(
            error.to_string().contains("all 5 IPv4 addresses"),
            "{error}"
        );
    }

    #[test]
    fn several_cidrs_are_one_pool_and_overlaps_count_once() {
        let pool = pool("10.0.1.0/30, 10.0.0.0/29,10.0.0.0/30");
        assert_eq!(size(&pool), 6);
        assert_eq!(chosen(&pool, &BTreeSet::new(), 5), ["10.0.1.2"]);
    }

    #[test]
    fn pod_gets_one_address_of_each_family_that_the_cidrs_are_of() {
        let both = pool("10.0.0.0/24,fd00:a:1::/64");
        let in_use = BTreeSet::from(["fd00:a:1::7".parse().unwrap()]);
        assert_eq!(chosen(&both, &in_use, 5), ["10.0.0.7", "fd00:a:1::8"]);
        assert_eq!(
            chosen(&pool("fd00::/126"), &BTreeSet::new(), 0),
            ["fd00::2"]
        );
        // There is no broadcast address.
        assert_eq!(size(&pool("fd00::/126")), 2);
        assert!(chosen(&pool("::/0"), &BTreeSet::new(), u64::MAX)[0].ends_with(":1"));
    }

    #[test]
    fn freed_address_is_not_given_out_again_at_once() {
        let pool = pool("10.0.0.0/24");
        let attachment = Attachment {
            container_id: "a".to_owned(),
            ifname: "eth0".to_owned(),
        };
        // One ADD, its DEL, and the next ADD: next_cfg has moved on twice.
        let first = chosen(&pool, &BTreeSet::new(), start(7, &attachment, 0));
        let second = chosen(&pool, &BTreeSet::new(), start(9, &attachment, 0));
        assert_eq!(first, ["10.0.0.9"]);
        assert_eq!(second, ["10.0.0.11"]);
    }

    #[test]
    fn conflicting_adds_begin_at_different_places_when_they_try_again() {
        let starts: BTreeSet<_> = (0..32)
            .map(|n| Attachment {
                container_id: format!("c{n}"),
                ifname: "eth0".to_owned(),
            })
            .map(|attachment| start(5, &attachment, 4))
            .collect();
        assert!(starts.len() > 24, "{starts:?}");
    }

    #[test]
    fn unusable_cidrs_are_refused() {
        assert_eq!(
            Pool::from_cidrs("10.0.0.0/24,fd00::x/64"),
            Err(PoolError::NotACidr("fd00::x/64".to_owned()))
        );
        assert_eq!(
            Pool::from_cidrs("10.0.0.0/31"),
            Err(PoolError::Empty("10.0.0.0/31".to_owned()))
        );
        assert_eq!(Pool::from_cidrs(""), Err(PoolError::Empty(String::new())));
        assert_eq!(
            Pool::from_cidrs("0.0.0.0/0").map(|pool| size(&pool)),
            Ok(u128::from(u32::MAX) - 2)
        );
    }
}
