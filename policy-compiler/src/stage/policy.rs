// SPDX-License-Identifier: Apache-2.0
//! The tables of the tiers, `admin_egress` to `baseline_ingress`: what policies allow, deny and pass
//! on; and `denied`.
//!
//! A rule's flow matches (source unit, destination unit, port) and nothing node-local, so the flows
//! of a policy are the same on every node. All flows of one priority do the same, so two policies
//! that give the same flow give one flow.

mod ports;
pub(crate) mod staged;

use ipnetwork::IpNetwork;
use openflow_codec::{Field, Match};

use super::{Wanted, commit_with_mark, family, fragments, pipeline, tracked};
use crate::identity::Identity;
use crate::model::{Direction, Families, Family, Protocol, RuleAction, Tier};
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

/// Where a rule stands, and what it does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) tier: Tier,
    pub(crate) direction: Direction,
    pub(crate) priority: u16,
    pub(crate) action: RuleAction,
}

/// The flows by which a rule decides: one, or one for each of the cluster's families where the flow
/// must say which.
pub(crate) fn rule(
    place: Place,
    subject: Unit,
    peer: Unit,
    port: PortTerm,
    families: Families,
) -> impl Iterator<Item = Spec> {
    let next = match place.action {
        RuleAction::Accept => accepted(place.direction),
        RuleAction::Deny => Table::Denied,
        RuleAction::Pass => after(place.tier, place.direction),
    };
    let table = table(place.tier, place.direction);
    matches(place.direction, subject, peer, port, families).map(move |flow_match| {
        Spec::new(table, place.priority)
            .matching(flow_match)
            .goto(next)
    })
}

/// What traffic between subject and peer matches.
fn matches(
    direction: Direction,
    subject: Unit,
    peer: Unit,
    port: PortTerm,
    families: Families,
) -> impl Iterator<Item = Match> {
    let (source, destination) = match direction {
        Direction::Egress => (subject, peer),
        Direction::Ingress => (peer, subject),
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
        on_port(flow_match, port)
    })
}

/// The flow by which a policy that isolates `subject` denies what no rule allows.
///
/// It does not ask for the flag that says isolated: flags are set at the switch of the Pod, and this
/// switch must be able to isolate at the moment when its rules change. Where this switch does not know
/// the Pod yet, the flow for all flagged Pods denies.
pub(crate) fn isolation(direction: Direction, subject: Unit) -> Spec {
    let flow_match = matching(Match::any(), subject_side(direction), subject);
    Spec::new(
        table(Tier::NetworkPolicy, direction),
        isolation_priority(subject),
    )
    .matching(flow_match)
    .goto(Table::Denied)
}

const fn subject_side(direction: Direction) -> Side {
    match direction {
        Direction::Egress => Side::Source,
        Direction::Ingress => Side::Destination,
    }
}

/// Of several policies that isolate a Pod, the one that selects it by its labels is named.
const fn isolation_priority(subject: Unit) -> u16 {
    match subject {
        Unit::Namespace(_) => priority::ISOLATED_NAMESPACE,
        _ => priority::ISOLATED_PODS,
    }
}

/// The table of a tier.
fn table(tier: Tier, direction: Direction) -> Table {
    match (tier, direction) {
        (Tier::Admin, Direction::Egress) => Table::AdminEgress,
        (Tier::NetworkPolicy, Direction::Egress) => Table::Egress,
        (Tier::Baseline, Direction::Egress) => Table::BaselineEgress,
        (Tier::Admin, Direction::Ingress) => Table::AdminIngress,
        (Tier::NetworkPolicy, Direction::Ingress) => Table::Ingress,
        (Tier::Baseline, Direction::Ingress) => Table::BaselineIngress,
    }
}

/// The tier and direction that a table is of.
pub(crate) fn tier_of(wanted: Table) -> Option<(Tier, Direction)> {
    let tiers = [Tier::Admin, Tier::NetworkPolicy, Tier::Baseline].into_iter();
    let both = [Direction::Egress, Direction::Ingress];
    let mut all = tiers.flat_map(|tier| both.map(|direction| (tier, direction)));
    all.find(|(tier, direction)| table(*tier, *direction) == wanted)
}

/// Where packets go on that a direction allows: "any ingress rules at the destination do apply" to
/// what an egress rule accepts.
fn accepted(direction: Direction) -> Table {
    match direction {
        Direction::Egress => Table::AdminIngress,
        Direction::Ingress => Table::Commit,
    }
}

/// Where packets go on that a tier does not decide. "If a given connection wasn't allowed or denied
/// by any of the tiers, the default kubernetes policy is applied, which says that all pods can
/// communicate with each other."
fn after(tier: Tier, direction: Direction) -> Table {
    match tier {
        Tier::Admin => table(Tier::NetworkPolicy, direction),
        Tier::NetworkPolicy => table(Tier::Baseline, direction),
        Tier::Baseline => accepted(direction),
    }
}

pub(super) fn fixed(families: Families) -> Vec<Wanted> {
    let mut flows = Vec::new();
    for (direction, isolated_why, not_isolated_why) in [
        (
            Direction::Egress,
            "denies what no egress rule of the isolated sender allows",
            "the sender is not isolated for egress",
        ),
        (
            Direction::Ingress,
            "denies what no ingress rule of the isolated receiver allows",
            "the receiver is not isolated for ingress",
        ),
    ] {
        let drop = Spec::new(table(Tier::NetworkPolicy, direction), priority::NORMAL)
            .matching(with_isolated(direction, Match::any(), true))
            .goto(Table::Denied);
        flows.push(pipeline(drop, isolated_why));
        for (tier, why) in [
            (Tier::Admin, "no rule of the Admin tier decides"),
            (Tier::NetworkPolicy, not_isolated_why),
            (
                Tier::Baseline,
                "no rule of the Baseline tier decides: allowed",
            ),
        ] {
            let pass = Spec::new(table(tier, direction), priority::DEFAULT);
            flows.push(pipeline(pass.goto(after(tier, direction)), why));
        }
    }
    flows.extend(denied(families));
    flows
}

/// Policy does not allow the connection: its answers must stop passing by conntrack, too.
fn denied(families: Families) -> impl Iterator<Item = Wanted> {
    let revoke = families.iter().map(|family| {
        let spec = Spec::new(Table::Denied, priority::NORMAL)
            .matching(tracked(family.packets(), ct_state::EST, 0))
            .act(commit_with_mark(0, register::CT_MARK_ALLOWED));
        let why = format!(
            "drops a packet of an established {family} connection, and takes its mark away"
        );
        pipeline(spec, why)
    });
    // A first fragment must not enter conntrack here: the later ones, which do in `commit`, would take it
    // along.
    let fragment = families.iter().map(|family| {
        let spec =
            Spec::new(Table::Denied, priority::FRAGMENT).matching(fragments(family.packets()));
        pipeline(
            spec,
            format!("drops first fragments of {family} packets, whose others wait in vain"),
        )
    });
    let revoke = fragment.chain(revoke);
    let drop = Spec::new(Table::Denied, priority::DEFAULT);
    revoke.chain([pipeline(drop, "drops what policy denies")])
}

/// Narrows `flow_match` to subjects that a policy isolates, or to those that none does.
fn with_isolated(direction: Direction, flow_match: Match, isolated: bool) -> Match {
    let (side, flag) = match direction {
        Direction::Egress => (register::SOURCE, register::EGRESS_ISOLATED),
        Direction::Ingress => (register::DESTINATION_FLAGS, register::DESTINATION_ISOLATED),
    };
    let (value, mask) = match flow_match.field(side) {
        Some((value, mask)) => (value, mask.unwrap_or(u128::MAX)),
        None => (0, 0),
    };
    let wanted = if isolated { flag } else { 0 };
    flow_match.with_masked(side, value | wanted, mask | flag)
}

/// Kind of the cookies of policies' flows.
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
        Unit::AnyPod => by_identity(flow_match, register::POD, register::POD),
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
