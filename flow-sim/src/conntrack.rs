// SPDX-License-Identifier: Apache-2.0
//! Connection tracking as the `ct` action sees it: zones, states, marks, labels and NAT.
//!
//! Modelled on OVS `lib/conntrack.c`. Deliberately absent: TCP window tracking, helpers,
//! fragments, limits per zone.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use openflow_codec::action::NatKind;
use openflow_codec::{Field, Nat};

use crate::packet::{Packet, Payload, Transport, tcp};

pub(crate) mod nat;
mod tuple;

pub use tuple::{L4, Tuple};

/// `ct_state` bits (ovs-fields(7)).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CtState(pub u32);

/// Direction of a packet within its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// As the packet that opened the connection.
    Original,
    /// The other way.
    Reply,
}

/// The connection attached to a packet, and what was already done to the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tracked {
    zone: u16,
    connection: u64,
    direction: Direction,
    /// NAT bits of `ct_state`: the packet is translated already.
    translated: CtState,
}

/// A committed connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Zone.
    pub zone: u16,
    /// The tuple of packets that enter conntrack in the original direction.
    pub original: Tuple,
    /// The tuple of packets that enter in the reply direction; not the reverse of `original` when
    /// the connection is translated.
    pub reply: Tuple,
    /// `ct_mark`.
    pub mark: u32,
    /// `ct_label`.
    pub label: u128,
    /// Which side is translated.
    pub nat: Option<NatKind>,
    /// A packet was seen in the reply direction.
    pub replied: bool,
    /// When it is forgotten.
    pub expires: Duration,
    closing: Closing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Closing {
    original_fin: bool,
    reply_fin: bool,
    reset: bool,
}

/// What a `ct` action asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) zone: u16,
    pub(crate) commit: bool,
    pub(crate) force: bool,
    pub(crate) nat: Option<&'a Nat>,
    /// Writes to `ct_mark` and `ct_label`: field, value, mask.
    pub(crate) writes: &'a [(Field, u128, u128)],
}

/// What happened beyond the packet's `ct_*` fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Addresses or ports of the packet were changed.
    pub(crate) translated: bool,
    /// No address and port was free for a new connection.
    pub(crate) exhausted: bool,
    /// Another zone has translated the packet, and it was not cleared.
    pub(crate) elsewhere: bool,
}

/// All connections of a switch.
#[derive(Clone, Debug, Default)]
pub struct Conntrack {
    connections: BTreeMap<u64, Connection>,
    index: HashMap<(u16, Tuple), (u64, Direction)>,
    next: u64,
}

/// What a packet does to the state of its connection (`enum ct_update_res`).
enum Update {
    Established,
    New,
    Invalid,
    Reopen,
}

impl Conntrack {
    /// The connections, in order of their commit.
    pub fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.connections.values()
    }

    /// Forgets every connection.
    pub fn flush(&mut self) {
        self.connections.clear();
        self.index.clear();
    }

    /// Sends `packet` through conntrack: sets its `ct_*` fields and translates it.
    pub(crate) fn process(
        &mut self,
        packet: &mut Packet,
        request: Request<'_>,
        now: Duration,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let Some((key, related)) = lookup_key(packet) else {
            set_fields(packet, request.zone, CtState::INV, None);
            return outcome;
        };
        let already = match packet.ct.tracked {
            Some(tracked) if tracked.zone == request.zone => tracked.translated,
            Some(tracked) if tracked.translated != CtState::default() => {
                outcome.elsewhere = true;
                CtState::default()
            }
            _ => CtState::default(),
        };

        let mut found = self.find(packet, request, &key, now);
        if let Some((id, Direction::Reply)) = found
            && request.force
        {
            self.remove(id);
            found = None;
        }

        let mut state = already;
        if let Some((id, direction)) = found {
            let rpl = match direction {
                Direction::Original => CtState::default(),
                Direction::Reply => CtState::RPL,
            };
            if related {
                state = state | CtState::REL | rpl;
            } else {
                match self.update(id, direction, packet, now) {
                    Update::Established => state = state | CtState::EST | rpl,
                    Update::New => state = state | CtState::NEW,
                    Update::Invalid => state = CtState::INV,
                    Update::Reopen => {
                        self.remove(id);
                        found = None;
                    }
                }
            }
        } else if related {
            state = CtState::INV;
        }

        if found.is_none() && !related {
            if may_open(packet) {
                state = CtState::NEW;
                if request.commit {
                    match self.open(key, request, now) {
                        Some(id) => found = Some((id, Direction::Original)),
                        None => outcome.exhausted = true,
                    }
                }
            } else {
                state = CtState::INV;
            }
        }

        let mut tracked = None;
        if let Some((id, direction)) = found
            && let Some(connection) = self.connections.get_mut(&id)
        {
            let mut translated = already;
            if request.nat.is_some() && already == CtState::default() {
                translated = connection.translate(packet, direction, related);
                outcome.translated = translated != CtState::default();
                state = state | translated;
            }
            for (field, value, mask) in request.writes {
                connection.write(*field, *value, *mask);
            }
            tracked = Some(Tracked {
                zone: request.zone,
                connection: id,
                direction,
                translated,
            });
        }
        let connection = found.and_then(|(id, _)| self.connections.get(&id));
        set_fields(packet, request.zone, state, connection);
        packet.ct.tracked = tracked;
        packet.ct.original = Some(connection.map_or(key, |c| c.original));
        outcome
    }

    /// The connection attached to the packet, or else the one its tuple belongs to.
    fn find(
        &mut self,
        packet: &Packet,
        request: Request<'_>,
        key: &Tuple,
        now: Duration,
    ) -> Option<(u64, Direction)> {
        if let Some(tracked) = packet.ct.tracked
            && tracked.zone == request.zone
            && self.connections.contains_key(&tracked.connection)
        {
            return Some((tracked.connection, tracked.direction));
        }
        let (id, direction) = *self.index.get(&(request.zone, *key))?;
        if self.connections.get(&id).is_some_and(|c| c.expires <= now) {
            self.remove(id);
            return None;
        }
        Some((id, direction))
    }

    fn update(&mut self, id: u64, direction: Direction, packet: &Packet, now: Duration) -> Update {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Update::Reopen;
        };
        if let Some(flags) = tcp_flags(packet) {
            if connection.is_closed() && flags & (tcp::SYN | tcp::ACK) == tcp::SYN {
                return Update::Reopen;
            }
            if flags & (tcp::SYN | tcp::FIN) == tcp::SYN | tcp::FIN {
                return Update::Invalid;
            }
            let closing = &mut connection.closing;
            closing.reset |= flags & tcp::RST != 0;
            if flags & tcp::FIN != 0 {
                match direction {
                    Direction::Original => closing.original_fin = true,
                    Direction::Reply => closing.reply_fin = true,
                }
            }
        }
        connection.replied |= direction == Direction::Reply;
        connection.expires = now.saturating_add(connection.timeout());
        if connection.replied {
            Update::Established
        } else {
            Update::New
        }
    }

    fn open(&mut self, original: Tuple, request: Request<'_>, now: Duration) -> Option<u64> {
        let taken = |reply: &Tuple| match self.index.get(&(request.zone, *reply)) {
            Some((id, _)) => self.connections.get(id).is_some_and(|c| c.expires > now),
            None => false,
        };
        let reply = match request.nat {
            Some(nat) => nat::reply_tuple(nat, &original, taken)?,
            None => original.reversed(),
        };
        if let Some((stale, _)) = self.index.get(&(request.zone, reply)).copied()
            && self
                .connections
                .get(&stale)
                .is_some_and(|c| c.expires <= now)
        {
            self.remove(stale);
        }
        let mut connection = Connection {
            zone: request.zone,
            original,
            reply,
            mark: 0,
            label: 0,
            nat: request.nat.and_then(|nat| nat.kind),
            replied: false,
            expires: Duration::ZERO,
            closing: Closing::default(),
        };
        connection.expires = now.saturating_add(connection.timeout());
        let id = self.next;
        self.next += 1;
        self.index
            .insert((request.zone, original), (id, Direction::Original));
        self.index
            .insert((request.zone, reply), (id, Direction::Reply));
        self.connections.insert(id, connection);
        Some(id)
    }

    fn remove(&mut self, id: u64) {
        let Some(connection) = self.connections.remove(&id) else {
            return;
        };
        for tuple in [connection.original, connection.reply] {
            let key = (connection.zone, tuple);
            if self.index.get(&key).is_some_and(|(owner, _)| *owner == id) {
                self.index.remove(&key);
            }
        }
    }
}

impl Connection {
    /// Seconds without packets after which it is forgotten: the defaults of Linux.
    fn timeout(&self) -> Duration {
        let seconds = match (self.original.protocol, self.replied) {
            (6, _) if self.closing.reset => 10,
            (6, _) if self.is_closed() => 120,
            (6, true) => 5 * 24 * 3600,
            (6, false) => 120,
            (17, true) => 120,
            (17, false) | (1 | 58, _) => 30,
            _ => 600,
        };
        Duration::from_secs(seconds)
    }

    fn is_closed(&self) -> bool {
        let closing = self.closing;
        closing.reset || (closing.original_fin && closing.reply_fin)
    }

    fn write(&mut self, field: Field, value: u128, mask: u128) {
        match field {
            Field::CtMark => {
                let (value, mask) = (value as u32, mask as u32);
                self.mark = (self.mark & !mask) | (value & mask);
            }
            Field::CtLabel => self.label = (self.label & !mask) | (value & mask),
            _ => {}
        }
    }
}

/// Sets the `ct_*` fields (`write_ct_md`).
fn set_fields(packet: &mut Packet, zone: u16, state: CtState, connection: Option<&Connection>) {
    packet.ct.state = state | CtState::TRK;
    packet.ct.zone = zone;
    packet.ct.mark = connection.map_or(0, |c| c.mark);
    packet.ct.label = connection.map_or(0, |c| c.label);
    packet.ct.original = None;
    packet.ct.tracked = None;
}

/// The tuple to look up, and whether the packet is an error about that tuple's connection.
fn lookup_key(packet: &Packet) -> Option<(Tuple, bool)> {
    let Payload::Ip(ip) = &packet.payload else {
        return None;
    };
    if let Transport::Icmp(icmp) = &ip.transport
        && tuple::is_error(icmp.kind, ip.src.is_ipv4())
    {
        // The error travels against the packet that it is about, to its sender.
        let about = icmp.about.filter(|about| about.src == ip.dst)?;
        return Some((about.reversed(), true));
    }
    Some((Tuple::of(ip)?, false))
}

/// Whether a packet without a connection may open one (`valid_new`; a closing segment or a
/// SYN+ACK may not, a plain ACK may: connections are picked up in the middle).
fn may_open(packet: &Packet) -> bool {
    let Payload::Ip(ip) = &packet.payload else {
        return false;
    };
    match &ip.transport {
        Transport::Tcp { flags, .. } => {
            let opening = flags & (tcp::SYN | tcp::ACK | tcp::FIN | tcp::RST);
            opening == tcp::SYN || opening == tcp::ACK
        }
        Transport::Icmp(icmp) => tuple::is_request(icmp.kind, ip.src.is_ipv4()),
        Transport::Udp { .. } | Transport::Sctp { .. } | Transport::Other(_) => true,
    }
}

fn tcp_flags(packet: &Packet) -> Option<u16> {
    match &packet.as_ip()?.transport {
        Transport::Tcp { flags, .. } => Some(*flags),
        Transport::Udp { .. } | Transport::Sctp { .. } | Transport::Icmp(_) => None,
        Transport::Other(_) => None,
    }
}

impl CtState {
    /// Begins a new connection.
    pub const NEW: Self = Self(0x01);
    /// Part of an established connection.
    pub const EST: Self = Self(0x02);
    /// Related to an established connection.
    pub const REL: Self = Self(0x04);
    /// In the reply direction.
    pub const RPL: Self = Self(0x08);
    /// Could not be tracked.
    pub const INV: Self = Self(0x10);
    /// Went through conntrack.
    pub const TRK: Self = Self(0x20);
    /// Its source was translated.
    pub const SNAT: Self = Self(0x40);
    /// Its destination was translated.
    pub const DNAT: Self = Self(0x80);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for CtState {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for CtState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 8] = ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];
        let names = NAMES
            .iter()
            .enumerate()
            .filter(|(bit, _)| self.0 >> bit & 1 == 1);
        let mut separator = "";
        for (_, name) in names {
            write!(f, "{separator}{name}")?;
            separator = "|";
        }
        if separator.is_empty() {
            f.write_str("0")?;
        }
        Ok(())
    }
}

impl fmt::Debug for CtState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CtState({self})")
    }
}
