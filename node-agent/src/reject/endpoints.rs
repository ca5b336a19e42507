// SPDX-License-Identifier: Apache-2.0
//! Which endpoints have left every Service: UDP connections that still lead there are to be forgotten.
//!
//! A client of UDP that goes on from the same port keeps its connection, and with it its endpoint, for as
//! long as it sends. What changes is read from the groups that others change on the switch.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use openflow_codec::message::group_mod::{BucketPosition, GroupCommand, GroupMod};
use openflow_codec::{Action, Bucket, Group, GroupId};

/// Numbers of the groups of Services (ARCHITECTURE.md).
const OURS: RangeInclusive<u32> = 0x8000_0000..=0xbfff_ffff;

/// How long after an endpoint has left its connections are forgotten: when a group that takes several
/// messages is complete, and again when the datapath has forgotten the group as it was before, which lets
/// clients come back to what has left.
const FORGET_AFTER: [Duration; 3] = [
    Duration::from_millis(50),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// The endpoints of all groups.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    groups: BTreeMap<GroupId, BTreeMap<u32, SocketAddr>>,
    /// In how many buckets each is.
    uses: BTreeMap<SocketAddr, usize>,
    /// Those that have left: when, and how often their connections were forgotten.
    left: BTreeMap<SocketAddr, (Instant, usize)>,
}

impl Endpoints {
    /// Takes a group that is there.
    pub(super) fn present(&mut self, group: &Group, now: Instant) {
        self.replace(group.id, endpoints(&group.buckets).collect(), now);
    }

    /// Takes a change.
    pub(super) fn change(&mut self, change: &GroupMod, now: Instant) {
        let id = change.group.id;
        let mut buckets = self.groups.get(&id).cloned().unwrap_or_default();
        let named = endpoints(&change.group.buckets);
        match change.command {
            GroupCommand::Add | GroupCommand::Modify | GroupCommand::AddOrModify => {
                buckets = named.collect();
            }
            GroupCommand::InsertBucket(_) => buckets.extend(named),
            GroupCommand::RemoveBucket(BucketPosition::At(bucket)) => {
                buckets.remove(&bucket);
            }
            GroupCommand::RemoveBucket(BucketPosition::All) => buckets.clear(),
            // Sessions remove buckets by number only.
            GroupCommand::RemoveBucket(_) => return,
            GroupCommand::Delete if id == GroupId::ALL => {
                let all: Vec<GroupId> = self.groups.keys().copied().collect();
                return all
                    .into_iter()
                    .for_each(|id| self.replace(id, BTreeMap::new(), now));
            }
            GroupCommand::Delete => buckets.clear(),
        }
        self.replace(id, buckets, now);
    }

    /// When to ask [`Self::due`] again.
    pub(super) fn next(&self) -> Option<Instant> {
        let left = self.left.values();
        left.filter_map(|(since, times)| Some(*since + *FORGET_AFTER.get(*times)?))
            .min()
    }

    /// The endpoints whose connections are to be forgotten now.
    pub(super) fn due(&mut self, now: Instant) -> BTreeSet<SocketAddr> {
        let mut due = BTreeSet::new();
        let uses = &self.uses;
        self.left.retain(|endpoint, (since, times)| {
            let pause = FORGET_AFTER.get(*times);
            if pause.is_some_and(|pause| *since + *pause <= now) {
                due.insert(*endpoint);
                *times = times.saturating_add(1);
            }
            !uses.contains_key(endpoint) && *times < FORGET_AFTER.len()
        });
        due.retain(|endpoint| !uses.contains_key(endpoint));
        due
    }

    fn replace(&mut self, id: GroupId, buckets: BTreeMap<u32, SocketAddr>, now: Instant) {
        if !OURS.contains(&id.0) {
            return;
        }
        for endpoint in buckets.values() {
            let uses = self.uses.entry(*endpoint).or_default();
            *uses = uses.saturating_add(1);
            self.left.remove(endpoint);
        }
        let before = match buckets.is_empty() {
            true => self.groups.remove(&id),
            false => self.groups.insert(id, buckets),
        };
        for endpoint in before.unwrap_or_default().into_values() {
            let uses = self
                .uses
                .get(&endpoint)
                .map_or(0, |uses| uses.saturating_sub(1));
            if uses > 0 {
                self.uses.insert(endpoint, uses);
            } else {
                self.uses.remove(&endpoint);
                self.left.insert(endpoint, (now, 0));
            }
        }
    }
}

/// Buckets and where they translate connections to.
fn endpoints(buckets: &[Bucket]) -> impl Iterator<Item = (u32, SocketAddr)> {
    buckets.iter().filter_map(|bucket| {
        let endpoint = bucket.actions.iter().find_map(|action| {
            let Action::Ct(ct) = action else {
                return None;
            };
            let nat = ct.nat.as_ref()?;
            Some(SocketAddr::new(nat.addresses?.0, nat.ports?.0))
        })?;
        Some((bucket.id, endpoint))
    })
}

#[cfg(test)]
mod tests {
    use openflow_codec::action::NatKind;
    use openflow_codec::{Ct, GroupType, Nat};

    use super::*;

    fn endpoint(host: u8) -> SocketAddr {
        SocketAddr::from(([10, 10, 1, host], 5353))
    }

    /// A group with a bucket for each of these hosts, whose number is the bucket's.
    fn group(number: u32, hosts: &[u8]) -> Group {
        let bucket = |host: &u8| {
            let to = endpoint(*host);
            let nat = Nat {
                kind: Some(NatKind::Dst),
                addresses: Some((to.ip(), to.ip())),
                ports: Some((to.port(), to.port())),
                ..Nat::default()
            };
            let ct = Ct {
                commit: true,
                nat: Some(nat),
                ..Ct::default()
            };
            Bucket::new(u32::from(*host), 100, vec![Action::Ct(ct)])
        };
        Group {
            id: GroupId(number),
            group_type: GroupType::Select,
            selection: None,
            buckets: hosts.iter().map(bucket).collect(),
        }
    }

    const FIRST: u32 = 0x8000_0001;
    const SECOND: u32 = 0x8000_0002;

    /// What is forgotten in the end, after these changes at one moment to two groups of hosts 2 and 3.
    fn forgotten(changes: &[GroupMod]) -> BTreeSet<SocketAddr> {
        let now = Instant::now();
        let mut endpoints = Endpoints::default();
        endpoints.present(&group(FIRST, &[2, 3]), now);
        endpoints.present(&group(SECOND, &[3]), now);
        for change in changes {
            endpoints.change(change, now);
        }
        let mut forgotten = BTreeSet::new();
        while let Some(next) = endpoints.next() {
            assert!(next > now);
            forgotten.extend(endpoints.due(next));
        }
        forgotten
    }

    #[test]
    fn who_is_in_no_group_any_more_is_forgotten() {
        let bucket = |number| GroupMod {
            command: GroupCommand::RemoveBucket(BucketPosition::At(number)),
            group: group(FIRST, &[]),
        };
        assert_eq!(forgotten(&[]), [].into());
        assert_eq!(
            forgotten(&[GroupMod::modify(group(FIRST, &[3, 4]))]),
            [endpoint(2)].into()
        );
        assert_eq!(forgotten(&[bucket(2)]), [endpoint(2)].into());
        assert_eq!(
            forgotten(&[GroupMod::delete(GroupId(FIRST))]),
            [endpoint(2)].into()
        );
        let all = [endpoint(2), endpoint(3)].into();
        assert_eq!(forgotten(&[GroupMod::delete(GroupId::ALL)]), all);
        assert_eq!(
            forgotten(&[GroupMod::add(group(7, &[9])), GroupMod::delete(GroupId(7))]),
            [].into()
        );
    }

    #[test]
    fn who_comes_back_at_once_is_not() {
        let second_part = GroupMod {
            command: GroupCommand::InsertBucket(BucketPosition::Last),
            group: group(FIRST, &[2]),
        };
        assert_eq!(
            forgotten(&[GroupMod::modify(group(FIRST, &[3])), second_part]),
            [].into()
        );
        let elsewhere = [
            GroupMod::delete(GroupId(FIRST)),
            GroupMod::add(group(FIRST + 7, &[2])),
        ];
        assert_eq!(forgotten(&elsewhere), [].into());
    }

    #[test]
    fn connections_are_forgotten_again_until_the_datapath_knows_the_new_group() {
        let now = Instant::now();
        let mut endpoints = Endpoints::default();
        endpoints.present(&group(FIRST, &[2]), now);
        endpoints.change(&GroupMod::delete(GroupId(FIRST)), now);
        for pause in FORGET_AFTER {
            assert_eq!(
                endpoints.due(now + pause - Duration::from_millis(1)),
                [].into()
            );
            assert_eq!(endpoints.due(now + pause), [endpoint(2)].into());
        }
        assert_eq!(endpoints.next(), None);
    }
}
