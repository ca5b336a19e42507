// SPDX-License-Identifier: Apache-2.0
//! `egress` and `ingress`: what policies allow, and what isolation drops.
//!
//! An allow flow matches (source unit, destination unit, port) and nothing node-local, so the flows
//! of a policy are the same on every node. All allow flows of a table do the same, so two policies
//! that give the same flow give one flow.

mod ports;

use ipnetwork::IpNetwork;
use openflow_codec::{Field, Match};

use super::{ETH_TYPE_IPV4, Wanted, commit_with_mark, pipeline, tracked};
use crate::identity::Identity;
use crate::model::{Direction, Protocol};
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

/// The flow by which a policy allows.
pub(crate) fn allow(direction: Direction, subject: Unit, peer: Unit, port: PortTerm) -> Spec {
    let (table, next, source, destination) = match direction {
        Direction::Egress => (Table::Egress, Table::Ingress, subject, peer),
        Direction::Ingress => (Table::Ingress, Table::Commit, peer, subject),
    };
    let flow_match = matching(Match::any(), register::SOURCE, Field::Ipv4Src, source);
    let flow_match = matching(
        flow_match,
        register::DESTINATION,
        Field::Ipv4Dst,
        destination,
    );
    Spec::new(table, priority::ALLOW)
        .matching(on_port(flow_match, port))
        .goto(next)
}

pub(super) fn fixed() -> Vec<Wanted> {
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
    let established = || {
        tracked(
            Match::any().with(Field::EthType, ETH_TYPE_IPV4),
            ct_state::EST,
            0,
        )
    };
    // Policy no longer allows the connection: its answers must stop passing by conntrack, too.
    let revoke = |table, flow_match| {
        Spec::new(table, priority::REVOKE)
            .matching(flow_match)
            .act(commit_with_mark(0, register::CT_MARK_ALLOWED))
    };
    let drop = |table, flow_match| Spec::new(table, priority::NORMAL).matching(flow_match);
    let pass = |table, next| Spec::new(table, priority::DEFAULT).goto(next);
    vec![
        pipeline(
            revoke(Table::Egress, egress(established())),
            "drops an established connection that no egress rule of the isolated sender allows",
        ),
        pipeline(
            drop(Table::Egress, egress(Match::any())),
            "drops what no egress rule of the isolated sender allows",
        ),
        pipeline(
            pass(Table::Egress, Table::Ingress),
            "the sender is not isolated for egress",
        ),
        pipeline(
            revoke(Table::Ingress, ingress(established())),
            "drops an established connection that no ingress rule of the isolated receiver allows",
        ),
        pipeline(
            drop(Table::Ingress, ingress(Match::any())),
            "drops what no ingress rule of the isolated receiver allows",
        ),
        pipeline(
            pass(Table::Ingress, Table::Commit),
            "the receiver is not isolated for ingress",
        ),
    ]
}

/// Kind of the cookies of allow flows.
pub(crate) const KIND: CookieKind = CookieKind::Policy;

fn matching(flow_match: Match, side: Field, address: Field, unit: Unit) -> Match {
    match unit {
        Unit::Any => flow_match,
        Unit::AnyPod => flow_match.with_masked(side, register::VALID, register::VALID),
        Unit::Namespace(bits) => flow_match.with_masked(
            side,
            register::VALID | bits,
            register::VALID | register::NAMESPACE_MASK,
        ),
        Unit::Identity(identity) => flow_match.with_masked(
            side,
            register::VALID | identity.bits(),
            register::VALID | register::IDENTITY_MASK,
        ),
        Unit::IdentityAt(identity, network) => {
            let flow_match = matching(flow_match, side, address, Unit::Identity(identity));
            matching(flow_match, side, address, Unit::Addresses(network))
        }
        Unit::Addresses(IpNetwork::V4(network)) => {
            flow_match.with(Field::EthType, ETH_TYPE_IPV4).with_masked(
                address,
                u128::from(network.network().to_bits()),
                u128::from(network.mask().to_bits()),
            )
        }
        // The pipeline carries IPv4 only, so no packet can have such an address; the compiler
        // leaves these units out.
        Unit::Addresses(IpNetwork::V6(_)) => flow_match,
    }
}

fn on_port(flow_match: Match, port: PortTerm) -> Match {
    let on = |flow_match: Match, protocol: Protocol| {
        flow_match
            .with(Field::EthType, ETH_TYPE_IPV4)
            .with(Field::IpProto, protocol.number())
    };
    match port {
        PortTerm::Any => flow_match,
        PortTerm::Protocol(protocol) => on(flow_match, protocol),
        PortTerm::Masked(protocol, value, mask) => {
            let field = match protocol {
                Protocol::Tcp => Field::TcpDst,
                Protocol::Udp => Field::UdpDst,
                Protocol::Sctp => Field::SctpDst,
            };
            on(flow_match, protocol).with_masked(field, value, mask)
        }
    }
}
