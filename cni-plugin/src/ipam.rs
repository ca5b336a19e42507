// SPDX-License-Identifier: Apache-2.0
//! Choosing an address from the Pod CIDRs of a node.
//!
//! Nothing is stored: the addresses in use are those of the Interface rows, and the place to begin
//! looking is `next_cfg` of OVSDB, which every ADD and every DEL moves on. So addresses are given
//! out in turn, and one that was freed comes back only after all the others.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;

use crate::request::Attachment;

/// The addresses Pods of this node may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Disjoint, ascending, both ends included.
    ranges: Vec<(u32, u32)>,
}

/// The Pod CIDRs of a node cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// One of them is no IPv4 CIDR.
    #[error("{0:?} is no IPv4 CIDR")]
    NotACidr(String),
    /// Together they have no address for a Pod.
    #[error("{0:?} leaves no address for a Pod; a CIDR needs a prefix length of 30 or less")]
    Empty(String),
}

impl Pool {
    /// The usable addresses of comma-separated CIDRs: all but the network address, the address
    /// after it (by custom a gateway) and the broadcast address of each.
    ///
    /// # Errors
    /// If a word is no IPv4 CIDR, or nothing is usable.
    pub fn from_cidrs(text: &str) -> Result<Self, PoolError> {
        let mut ranges = text
            .split(',')
            .map(str::trim)
            .filter(|cidr| !cidr.is_empty())
            .filter_map(|cidr| match cidr.parse::<Ipv4Network>() {
                Err(_) => Some(Err(PoolError::NotACidr(cidr.to_owned()))),
                Ok(network) => usable(network).map(Ok),
            })
            .collect::<Result<Vec<_>, _>>()?;
        ranges.sort_unstable();
        let ranges = ranges.into_iter().fold(Vec::new(), merge);
        if ranges.is_empty() {
            return Err(PoolError::Empty(text.to_owned()));
        }
        Ok(Self { ranges })
    }

    /// How many addresses there are.
    pub fn size(&self) -> u64 {
        self.ranges.iter().map(length).sum()
    }

    /// The first free address at or after position `start`, in a circle; `None` if all are in
    /// use.
    pub fn choose(&self, in_use: &BTreeSet<Ipv4Addr>, start: u64) -> Option<Ipv4Addr> {
        let size = self.size();
        (0..size)
            .map(|step| {
                start
                    .wrapping_rem(size)
                    .wrapping_add(step)
                    .wrapping_rem(size)
            })
            .filter_map(|position| self.at(position))
            .find(|address| !in_use.contains(address))
    }

    fn at(&self, mut position: u64) -> Option<Ipv4Addr> {
        for range in &self.ranges {
            match position.checked_sub(length(range)) {
                Some(rest) => position = rest,
                None => {
                    let offset = u32::try_from(position).ok()?;
                    return range.0.checked_add(offset).map(Ipv4Addr::from);
                }
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

fn usable(network: Ipv4Network) -> Option<(u32, u32)> {
    let first = u32::from(network.network()).checked_add(2)?;
    let last = u32::from(network.broadcast()).checked_sub(1)?;
    (first <= last).then_some((first, last))
}

fn merge(mut merged: Vec<(u32, u32)>, range: (u32, u32)) -> Vec<(u32, u32)> {
    match merged.last_mut() {
        Some(last) if range.0 <= last.1 => last.1 = last.1.max(range.1),
        _ => merged.push(range),
    }
    merged
}

fn length(range: &(u32, u32)) -> u64 {
    u64::from(range.1)
        .saturating_sub(u64::from(range.0))
        .saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(cidrs: &str) -> Pool {
        Pool::from_cidrs(cidrs).unwrap()
    }

    fn addresses<const N: usize>(last_bytes: [u8; N]) -> BTreeSet<Ipv4Addr> {
        last_bytes.map(|byte| Ipv4Addr::new(10, 0, 0, byte)).into()
    }

    #[test]
    fn network_first_and_broadcast_address_are_never_given_to_a_pod() {
        let pool = pool("10.0.0.0/29");
        let all: BTreeSet<_> = (0..pool.size())
            .map(|start| pool.choose(&BTreeSet::new(), start).unwrap())
            .collect();
        assert_eq!(all, addresses([2, 3, 4, 5, 6]));
    }

    #[test]
    fn search_goes_round_and_ends_when_every_address_is_in_use() {
        let pool = pool("10.0.0.0/29");
        assert_eq!(
            pool.choose(&addresses([6]), 4),
            Some(Ipv4Addr::new(10, 0, 0, 2))
        );
        assert_eq!(pool.choose(&addresses([2, 3, 4, 5, 6]), 4), None);
    }

    #[test]
    fn several_cidrs_are_one_pool_and_overlaps_count_once() {
        let pool = pool("10.0.1.0/30, 10.0.0.0/29,10.0.0.0/30");
        assert_eq!(pool.size(), 6);
        assert_eq!(
            pool.choose(&BTreeSet::new(), 5),
            Some(Ipv4Addr::new(10, 0, 1, 2))
        );
    }

    #[test]
    fn freed_address_is_not_given_out_again_at_once() {
        let pool = pool("10.0.0.0/24");
        let attachment = Attachment {
            container_id: "a".to_owned(),
            ifname: "eth0".to_owned(),
        };
        // One ADD, its DEL, and the next ADD: next_cfg has moved on twice.
        let first = pool.choose(&BTreeSet::new(), start(7, &attachment, 0));
        let second = pool.choose(&BTreeSet::new(), start(9, &attachment, 0));
        assert_eq!(first, Some(Ipv4Addr::new(10, 0, 0, 9)));
        assert_eq!(second, Some(Ipv4Addr::new(10, 0, 0, 11)));
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
            Pool::from_cidrs("10.0.0.0/24,fd00::/64"),
            Err(PoolError::NotACidr("fd00::/64".to_owned()))
        );
        assert_eq!(
            Pool::from_cidrs("10.0.0.0/31"),
            Err(PoolError::Empty("10.0.0.0/31".to_owned()))
        );
        assert_eq!(Pool::from_cidrs(""), Err(PoolError::Empty(String::new())));
        assert_eq!(
            Pool::from_cidrs("0.0.0.0/0").map(|pool| pool.size()),
            Ok(u64::from(u32::MAX) - 2)
        );
    }
}
