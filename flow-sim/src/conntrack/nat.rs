// SPDX-License-Identifier: Apache-2.0
//! Network address translation: choosing a translation, and applying it both ways.

use std::net::IpAddr;

use openflow_codec::Nat;
use openflow_codec::action::NatKind;

use super::{Connection, CtState, Direction, L4, Tuple};
use crate::packet::{Packet, Payload, Transport};

/// Addresses tried before a range counts as exhausted.
const ADDRESS_TRIES: u128 = 256;

/// The reply tuple of a new connection: the first translation that no other connection has.
/// `None` when all are taken.
pub(super) fn reply_tuple(
    nat: &Nat,
    original: &Tuple,
    taken: impl Fn(&Tuple) -> bool,
) -> Option<Tuple> {
    let plain = original.reversed();
    let Some(kind) = nat.kind else {
        return (!taken(&plain)).then_some(plain);
    };
    let own = match kind {
        NatKind::Src => original.src,
        NatKind::Dst => original.dst,
    };
    let (low, high) = nat.addresses.unwrap_or((own, own));
    for address in addresses(low, high, hash(original)) {
        let mut reply = plain;
        match kind {
            NatKind::Src => reply.dst = address,
            NatKind::Dst => reply.src = address,
        }
        let L4::Ports { src, dst } = reply.l4 else {
            if !taken(&reply) {
                return Some(reply);
            }
            continue;
        };
        // The reply's destination is the sender's port, its source the receiver's. DNAT to ports
        // changes the latter; when that is not enough, or else, the former is changed.
        let seed = hash(original);
        let (receivers, senders) = match (kind, nat.ports) {
            (NatKind::Src, Some(range)) => (None, PortRange::rotated(range, seed)),
            (NatKind::Src, None) | (NatKind::Dst, None) => (None, PortRange::like(dst)),
            (NatKind::Dst, Some(range)) => {
                (Some(PortRange::rotated(range, seed)), PortRange::like(dst))
            }
        };
        let changed = receivers
            .iter()
            .flat_map(PortRange::ports)
            .map(|src| (src, dst));
        let first = changed.clone().next().map_or(src, |(src, _)| src);
        let candidates = changed.chain(senders.ports().map(|dst| (first, dst)));
        for (src, dst) in candidates {
            reply.l4 = L4::Ports { src, dst };
            if !taken(&reply) {
                return Some(reply);
            }
        }
    }
    None
}

/// Translates as `ofproto/trace` does, which knows no connections: to the lowest address and port.
pub(crate) fn translate_to_first(nat: &Nat, packet: &mut Packet) {
    let (Some(kind), Payload::Ip(ip)) = (nat.kind, &mut packet.payload) else {
        return;
    };
    let Some((address, _)) = nat.addresses else {
        return;
    };
    match kind {
        NatKind::Src => ip.src = address,
        NatKind::Dst => ip.dst = address,
    }
    if let Some((first, _)) = nat.ports
        && let Transport::Tcp { src, dst, .. }
        | Transport::Udp { src, dst }
        | Transport::Sctp { src, dst } = &mut ip.transport
    {
        match kind {
            NatKind::Src => *src = first,
            NatKind::Dst => *dst = first,
        }
    }
}

impl Connection {
    /// Translates a packet of this connection; returns the NAT bits of `ct_state`.
    pub(super) fn translate(
        &self,
        packet: &mut Packet,
        direction: Direction,
        related: bool,
    ) -> CtState {
        let Some(kind) = self.nat else {
            return CtState::default();
        };
        let target = match direction {
            Direction::Original => self.reply.reversed(),
            Direction::Reply => self.original.reversed(),
        };
        if related {
            translate_error(packet, &target, kind, direction);
        } else {
            target.apply_to(packet);
        }
        match (kind, direction) {
            (NatKind::Src, Direction::Original) | (NatKind::Dst, Direction::Reply) => CtState::SNAT,
            (NatKind::Dst, Direction::Original) | (NatKind::Src, Direction::Reply) => CtState::DNAT,
        }
    }
}

/// An error gets the translated side of the outer header, and all of the packet it is about.
fn translate_error(packet: &mut Packet, target: &Tuple, kind: NatKind, direction: Direction) {
    let Payload::Ip(ip) = &mut packet.payload else {
        return;
    };
    match (kind, direction) {
        (NatKind::Src, Direction::Original) | (NatKind::Dst, Direction::Reply) => {
            ip.src = target.src;
        }
        (NatKind::Dst, Direction::Original) | (NatKind::Src, Direction::Reply) => {
            ip.dst = target.dst;
        }
    }
    if let Transport::Icmp(icmp) = &mut ip.transport {
        icmp.about = Some(target.reversed());
    }
}

/// Addresses from `low` to `high`, each once, from one that depends on `seed`.
fn addresses(low: IpAddr, high: IpAddr, seed: u64) -> impl Iterator<Item = IpAddr> {
    let value = |address| match address {
        IpAddr::V4(a) => u128::from(a.to_bits()),
        IpAddr::V6(a) => a.to_bits(),
    };
    let count = value(high).saturating_sub(value(low)).saturating_add(1);
    (0..count.min(ADDRESS_TRIES)).map(move |n| {
        let at = value(low) + (u128::from(seed) % count + n) % count;
        match low {
            IpAddr::V4(_) => std::net::Ipv4Addr::from_bits(at as u32).into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::from_bits(at).into(),
        }
    })
}

/// Ports in the order in which they are tried: from `start` upwards, then from `first`.
#[derive(Clone, Copy)]
struct PortRange {
    first: u16,
    last: u16,
    start: u16,
}

impl PortRange {
    /// A range from somewhere that depends on `seed`.
    fn rotated((first, last): (u16, u16), seed: u64) -> Self {
        let count = u64::from(last.saturating_sub(first)) + 1;
        let start = first + (seed % count) as u16;
        Self { first, last, start }
    }

    /// Ports of the same standing as `start`, from there (`set_sport_range` of OVS).
    fn like(start: u16) -> Self {
        let (first, last) = match start {
            0..512 => (1, 511),
            512..1024 => (600, 1023),
            1024.. => (1024, u16::MAX),
        };
        Self { first, last, start }
    }

    fn ports(&self) -> impl Iterator<Item = u16> + Clone + use<> {
        (self.start..=self.last).chain(self.first..self.start)
    }
}

/// The same tuple gives the same translation in every run.
fn hash(tuple: &Tuple) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = crate::hash::Fnv::default();
    tuple.hash(&mut hasher);
    hasher.finish()
}
