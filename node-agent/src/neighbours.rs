// SPDX-License-Identifier: Apache-2.0
//! Keeping the link-layer addresses of tunnel peers known to the datapath.
//!
//! On the userspace datapath the first packet to a peer is lost while OVS resolves its address, and
//! OVS forgets addresses that were not used for a while. So the kernel resolves every peer, or the
//! router on the way to it, and the answer is given to OVS and renewed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::underlay::{MacAddress, Routes};

/// How often an entry is resolved and given to OVS anew; OVS keeps an unused one for 15 minutes.
const RENEW_AFTER: Duration = Duration::from_secs(300);

/// The pause between rounds when all peers are known: how long a change that nobody announces, such
/// as a restart of vswitchd, may go unnoticed.
const CALM_PAUSE: Duration = Duration::from_secs(5);

/// The pause after the first round that left a peer unknown; it doubles with each such round.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// What the kernel and OVS know at the beginning of a round.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The routes of the node.
    pub routes: Routes,
    /// The neighbours the kernel can send to.
    pub kernel: BTreeMap<IpAddr, MacAddress>,
    /// The tunnel neighbours of OVS; `None` on the kernel datapath, which uses the kernel's.
    pub ovs: Option<BTreeMap<IpAddr, MacAddress>>,
}

/// What to do in a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Neighbours to send a datagram to, so that the kernel resolves them.
    pub probe: BTreeSet<IpAddr>,
    /// Entries to give to OVS.
    pub set: BTreeMap<IpAddr, MacAddress>,
}

/// What is remembered between rounds.
#[derive(Clone, Debug, Default)]
pub struct Keeper {
    /// When the entry of a neighbour was renewed last; durations since a fixed moment.
    renewed: BTreeMap<IpAddr, Duration>,
    /// The neighbours the datapath knows.
    resolved: BTreeSet<IpAddr>,
    fruitless_rounds: u32,
}

impl Keeper {
    /// What to do, at `now` since a fixed moment.
    pub fn plan(&mut self, now: Duration, peers: &[IpAddr], known: &Known) -> Round {
        let neighbours: BTreeSet<_> = peers
            .iter()
            .filter_map(|peer| known.routes.next_hop(*peer))
            .collect();
        self.renewed
            .retain(|neighbour, _| neighbours.contains(neighbour));
        let mut round = Round::default();
        let mut resolved = BTreeSet::new();
        for neighbour in neighbours {
            let kernel = known.kernel.get(&neighbour);
            let due = self
                .renewed
                .get(&neighbour)
                .is_none_or(|last| now.saturating_sub(*last) >= RENEW_AFTER);
            if due || kernel.is_none() {
                round.probe.insert(neighbour);
            }
            let in_use = match &known.ovs {
                None => kernel.is_some() || self.resolved.contains(&neighbour),
                Some(ovs) => {
                    let present = ovs.get(&neighbour);
                    if let Some(mac) = kernel
                        && (due || present != Some(mac))
                    {
                        round.set.insert(neighbour, *mac);
                    }
                    present.is_some()
                }
            };
            if due && kernel.is_some() {
                self.renewed.insert(neighbour, now);
            }
            if in_use {
                resolved.insert(neighbour);
            }
        }
        self.resolved = resolved;
        round
    }

    /// OVS has taken this entry.
    pub fn taken(&mut self, neighbour: IpAddr) {
        self.resolved.insert(neighbour);
    }

    /// OVS is not there, or refused: nothing is known any more.
    pub fn lost(&mut self) {
        self.resolved.clear();
        self.renewed.clear();
    }

    /// The peers that a packet would reach at once.
    pub fn resolved(&self, peers: &[IpAddr], routes: &Routes) -> BTreeSet<IpAddr> {
        let is_resolved = |peer: &&IpAddr| {
            routes
                .next_hop(**peer)
                .is_some_and(|hop| self.resolved.contains(&hop))
        };
        peers.iter().filter(is_resolved).copied().collect()
    }

    /// There are other peers now: look again soon.
    pub fn hurry(&mut self) {
        self.fruitless_rounds = 0;
    }

    /// How long to wait before the next round, after one that left `missing` peers unknown.
    pub fn pause(&mut self, missing: usize) -> Duration {
        if missing == 0 {
            self.fruitless_rounds = 0;
            return CALM_PAUSE;
        }
        let factor = 2u32.saturating_pow(self.fruitless_rounds);
        self.fruitless_rounds = self.fruitless_rounds.saturating_add(1);
        FIRST_PAUSE.saturating_mul(factor).min(CALM_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 12));
    const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
    const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const MAC: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 1]);
    const OTHER: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 2]);

    fn known(kernel: &[(IpAddr, MacAddress)], ovs: Option<&[(IpAddr, MacAddress)]>) -> Known {
        let mut routes = Routes::default();
        routes.add("192.0.2.0/24".parse().unwrap(), None);
        routes.add("0.0.0.0/0".parse().unwrap(), Some(ROUTER));
        Known {
            routes,
            kernel: kernel.iter().copied().collect(),
            ovs: ovs.map(|entries| entries.iter().copied().collect()),
        }
    }

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn peer_is_resolved_only_once_ovs_has_its_address() {
        let mut keeper = Keeper::default();
        let unknown = known(&[], Some(&[]));
        let round = keeper.plan(seconds(0), &[PEER], &unknown);
        assert_eq!((round.probe, round.set), ([PEER].into(), [].into()));
        assert!(keeper.resolved(&[PEER], &unknown.routes).is_empty());

        let in_kernel = known(&[(PEER, MAC)], Some(&[]));
        let round = keeper.plan(seconds(1), &[PEER], &in_kernel);
        assert_eq!(round.set, [(PEER, MAC)].into());
        assert!(keeper.resolved(&[PEER], &in_kernel.routes).is_empty());
        keeper.taken(PEER);
        assert_eq!(keeper.resolved(&[PEER], &in_kernel.routes), [PEER].into());
    }

    #[test]
    fn known_entry_is_left_alone_until_it_must_be_renewed() {
        let mut keeper = Keeper::default();
        let settled = known(&[(PEER, MAC)], Some(&[(PEER, MAC)]));
        keeper.plan(seconds(0), &[PEER], &settled);
        assert_eq!(
            keeper.plan(seconds(299), &[PEER], &settled),
            Round::default()
        );
        let round = keeper.plan(seconds(300), &[PEER], &settled);
        assert_eq!(
            (round.probe, round.set),
            ([PEER].into(), [(PEER, MAC)].into())
        );
        assert_eq!(
            keeper.plan(seconds(301), &[PEER], &settled),
            Round::default()
        );
    }

    #[test]
    fn entry_that_ovs_lost_or_has_wrong_is_given_again_at_once() {
        let mut keeper = Keeper::default();
        let settled = known(&[(PEER, MAC)], Some(&[(PEER, MAC)]));
        keeper.plan(seconds(0), &[PEER], &settled);
        let lost = known(&[(PEER, MAC)], Some(&[]));
        assert_eq!(
            keeper.plan(seconds(1), &[PEER], &lost).set,
            [(PEER, MAC)].into()
        );
        let wrong = known(&[(PEER, MAC)], Some(&[(PEER, OTHER)]));
        assert_eq!(
            keeper.plan(seconds(2), &[PEER], &wrong).set,
            [(PEER, MAC)].into()
        );
    }

    #[test]
    fn peer_behind_a_router_needs_the_routers_address() {
        let mut keeper = Keeper::default();
        let known = known(&[(ROUTER, MAC)], Some(&[(ROUTER, MAC)]));
        let round = keeper.plan(seconds(0), &[FAR, PEER], &known);
        assert_eq!(round.probe, [ROUTER, PEER].into());
        assert_eq!(keeper.resolved(&[FAR, PEER], &known.routes), [FAR].into());
    }

    #[test]
    fn peer_without_a_route_is_never_resolved() {
        let mut keeper = Keeper::default();
        let known = Known {
            kernel: [(PEER, MAC)].into(),
            ..Known::default()
        };
        assert_eq!(keeper.plan(seconds(0), &[PEER], &known), Round::default());
        assert!(keeper.resolved(&[PEER], &known.routes).is_empty());
    }

    #[test]
    fn kernel_datapath_uses_the_kernels_neighbours_and_survives_their_expiry() {
        let mut keeper = Keeper::default();
        let present = known(&[(PEER, MAC)], None);
        assert!(keeper.plan(seconds(0), &[PEER], &present).set.is_empty());
        assert_eq!(keeper.resolved(&[PEER], &present.routes), [PEER].into());
        let expired = known(&[], None);
        assert_eq!(
            keeper.plan(seconds(9), &[PEER], &expired).probe,
            [PEER].into()
        );
        assert_eq!(keeper.resolved(&[PEER], &expired.routes), [PEER].into());
    }

    #[test]
    fn rounds_come_fast_at_first_and_never_slower_than_calm_ones() {
        let mut keeper = Keeper::default();
        let pauses: Vec<_> = (0..10).map(|_| keeper.pause(1)).collect();
        assert_eq!(pauses.first(), Some(&FIRST_PAUSE));
        assert!(
            pauses.is_sorted() && pauses.last() == Some(&CALM_PAUSE),
            "{pauses:?}"
        );
        keeper.pause(0);
        assert_eq!(keeper.pause(1), FIRST_PAUSE);
    }
}
