// SPDX-License-Identifier: Apache-2.0
//! `egress` and `ingress`: what policies allow, and what isolation drops.
//!
//! An allow flow matches (source unit, destination unit, port) and nothing node-local, so the flows
//! of a policy are the same on every node. All allow flows of a table do the same, so two policies
//! that give the same flow give one flow.

mod ports;

use ipnetwork::IpNetwork;
use openflow_codec::{Field, Match};

use super::{Wanted, commit_with_mark, family, pipeline, tracked};
use crate::identity::Identity;
use crate::model::{Direction, Families, Family, Protocol};
use crate::pipeline::register::{self, ct_state};
use crate::pipeline::{CookieKind, Spec, Table, priority};
pub(crate) use ports::{PortTerm, port_terms};

/// What a rule's subject or peer is matched by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Unit {
    /// Anything, Pod or not.
    Any,
    /// Any Pod of the cluster.
    AnyPod,
    /// Any Pod of a namespace: the namespace part of identities, in place.
    Namespace(u128),
    /// Pods with one identity.
    Identity(Identity),
    /// Pods with one identity at some addresses.
    IdentityAt(Identity, IpNetwork),
    /// Addresses.
    Addresses(IpNetwork),
}

impl Unit {
    /// The family of its addresses, if it has any.
    fn family(self) -> Option<Family> {
        match self {
            Self::Any | Self::AnyPod | Self::Namespace(_) | Self::Identity(_) => None,
            Self::IdentityAt(_, network) | Self::Addresses(network) => {
                Some(Family::of_network(network))
            }
        }
    }
}

/// An end of a packet's way.
#[derive(Clone, Copy, Debug)]
enum Side {
    Source,
    Destination,
}

impl Side {
    const fn identity(self) -> Field {
        match self {
            Self::Source => register::SOURCE,
            Self::Destination => register::DESTINATION,
        }
    }

    const fn address(self, family: Family) -> Field {
        match self {
            Self::Source => family.src(),
            Self::Destination => family.dst(),
        }
    }
}

/// The flows by which a policy allows: one, or one for each of the cluster's families where the flow
/// must say which.
pub(crate) fn allow(
    direction: Direction,
    subject: Unit,
    peer: Unit,
    port: PortTerm,
    families: Families,
) -> impl Iterator<Item = Spec> {
    let (table, next, source, destination) = match direction {
        Direction::Egress => (Table::Egress, Table::Ingress, subject, peer),
        Direction::Ingress => (Table::Ingress, Table::Commit, peer, subject),
    };
    let (from, to) = (source.family(), destination.family());
    let fits = move |family: &Family| {
        from.is_none_or(|from| from == *family) && to.is_none_or(|to| to == *family)
    };
    let needs = from.is_some() || to.is_some() || port != PortTerm::Any;
    let said = families.iter().filter(move |family| needs && fits(family));
    let silent = (!needs).then_some(Match::any());
    let begun = said.map(Family::packets).chain(silent);
    begun.map(move |flow_match| {
        let flow_match = matching(flow_match, Side::Source, source);
        let flow_match = matching(flow_match, Side::Destination, destination);
        Spec::new(table, priority::ALLOW)
            .matching(on_port(flow_match, port))
            .goto(next)
    })
}

pub(super) fn fixed(families: Families) -> Vec<Wanted> {
    let egress = |flow_match: Match| {
        flow_match.with_masked(
            register::SOURCE,
            register::EGRESS_ISOLATED,
            register::EGRESS_ISOLATED,
        )
    };
    let ingress = |flow_match: Match| {
        flow_match.with_masked(
            register::DESTINATION_FLAGS,
            register::DESTINATION_ISOLATED,
            register::DESTINATION_ISOLATED,
        )
    };
    // Policy no longer allows the connection: its answers must stop passing by conntrack, too.
    let revoke = |table, flow_match: Match, family: Family| {
        let flow_match = flow_match.with(Field::EthType, family.eth_type());
        Spec::new(table, priority::REVOKE)
            .matching(tracked(flow_match, ct_state::EST, 0))
            .act(commit_with_mark(0, register::CT_MARK_ALLOWED))
    };
    let drop = |table, flow_match| Spec::new(table, priority::NORMAL).matching(flow_match);
    let pass = |table, next| Spec::new(table, priority::DEFAULT).goto(next);
    let revocations = families.iter().flat_map(|family| {
        [
            pipeline(
                revoke(Table::Egress, egress(Match::any()), family),
                format!(
                    "drops an established {family} connection that no egress rule of the isolated sender allows"
                ),
            ),
            pipeline(
                revoke(Table::Ingress, ingress(Match::any()), family),
                format!(
                    "drops an established {family} connection that no ingress rule of the isolated receiver allows"
                ),
            ),
        ]
    });
    let mut flows: Vec<Wanted> = revocations.collect();
    flows.extend([
        pipeline(
            drop(Table::Egress, egress(Match::any())),
            "drops what no egress rule of the isolated sender allows",
        ),
        pipeline(
            pass(Table::Egress, Table::Ingress),
            "the sender is not isolated for egress",
        ),
        pipeline(
            drop(Table::Ingress, ingress(Match::any())),
            "drops what no ingress rule of the isolated receiver allows",
        ),
        pipeline(
            pass(Table::Ingress, Table::Commit),
            "the receiver is not isolated for ingress",
        ),
    ]);
    flows
}

/// Kind of the cookies of allow flows.
pub(crate) const KIND: CookieKind = CookieKind::Policy;

fn matching(flow_match: Match, side: Side, unit: Unit) -> Match {
    let by_identity = |flow_match: Match, bits: u128, mask: u128| {
        flow_match.with_masked(
            side.identity(),
            register::VALID | bits,
            register::VALID | mask,
        )
    };
    let by_address = |flow_match: Match, network: IpNetwork| {
        let field = side.address(Family::of_network(network));
        family::within(flow_match, field, network)
    };
    match unit {
        Unit::Any => flow_match,
        Unit::AnyPod => by_identity(flow_match, 0, 0),
        Unit::Namespace(bits) => by_identity(flow_match, bits, register::NAMESPACE_MASK),
        Unit::Identity(identity) => {
            by_identity(flow_match, identity.bits(), register::IDENTITY_MASK)
        }
        Unit::IdentityAt(identity, network) => {
            let flow_match = by_identity(flow_match, identity.bits(), register::IDENTITY_MASK);
            by_address(flow_match, network)
        }
        Unit::Addresses(network) => by_address(flow_match, network),
    }
}

/// `flow_match` says the family already, unless the port may be any of any protocol.
fn on_port(flow_match: Match, port: PortTerm) -> Match {
    match port {
        PortTerm::Any => flow_match,
        PortTerm::Protocol(protocol) => flow_match.with(Field::IpProto, protocol.number()),
        PortTerm::Masked(protocol, value, mask) => {
            let field = match protocol {
                Protocol::Tcp => Field::TcpDst,
                Protocol::Udp => Field::UdpDst,
                Protocol::Sctp => Field::SctpDst,
            };
            flow_match
                .with(Field::IpProto, protocol.number())
                .with_masked(field, value, mask)
        }
    }
}
