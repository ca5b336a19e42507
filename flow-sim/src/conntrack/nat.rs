// SPDX-License-Identifier: Apache-2.0
//! Network address translation: choosing a translation, and applying it both ways.

use std::net::IpAddr;

use openflow_codec::Nat;
use openflow_codec::action::NatKind;

use super::{Connection, CtState, Direction, L4, Tuple};
use crate::packet::{Packet, Payload, Transport};

/// Addresses tried before a range counts as exhausted.
const ADDRESS_TRIES: u128 = 256;

/// Ports to fall back to when the packet's own is taken (`MIN_NAT_EPHEMERAL_PORT` of OVS).
const EPHEMERAL: (u16, u16) = (1024, u16::MAX);

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
        // The translated port: the reply's destination for SNAT, its source for DNAT.
        let own = match kind {
            NatKind::Src => dst,
            NatKind::Dst => src,
        };
        let (first, last) = nat.ports.unwrap_or((own, own));
        for port in rotated(first, last, hash(original)) {
            reply.l4 = match kind {
                NatKind::Src => L4::Ports { src, dst: port },
                NatKind::Dst => L4::Ports { src: port, dst },
            };
            if !taken(&reply) {
                return Some(reply);
            }
        }
        // Both kinds then give the sender another port.
        if kind == NatKind::Dst || nat.ports.is_none() {
            let L4::Ports { src, .. } = reply.l4 else {
                continue;
            };
            for dst in rotated(EPHEMERAL.0, EPHEMERAL.1, hash(original)) {
                reply.l4 = L4::Ports { src, dst };
                if !taken(&reply) {
                    return Some(reply);
                }
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

/// Ports from `first` to `last`, each once, from one that depends on `seed`.
fn rotated(first: u16, last: u16, seed: u64) -> impl Iterator<Item = u16> {
    let count = u64::from(last.saturating_sub(first)) + 1;
    (0..count).map(move |n| first + ((seed % count + n) % count) as u16)
}

/// The same tuple gives the same translation in every run.
fn hash(tuple: &Tuple) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = crate::hash::Fnv::default();
    tuple.hash(&mut hasher);
    hasher.finish()
}
