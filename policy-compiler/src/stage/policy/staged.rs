// SPDX-License-Identifier: Apache-2.0
//! `staged_admin_egress` to `staged_baseline_ingress`: what staged policies would do, counted.
//!
//! Where a tier has staged policies, one flow of its table asks the staged table first, and then its
//! own table again. Flows of staged tables do nothing: that they are found is all they are for.

use openflow_codec::{Action, Match, PortNo};

use super::{Place, PortTerm, Unit, isolation_priority, matches, subject_side, table};
use crate::model::{Direction, Families, Tier};
use crate::pipeline::register;
use crate::pipeline::{Spec, Table, priority};
use crate::stage::set_flags;

/// The flow that asks the staged table of a tier, once for each packet.
///
/// Before the rules of an Admin or Baseline tier. After those of `NetworkPolicies`, which only allow:
/// what one allows is as it would be, whatever another allows or isolates.
pub(crate) fn ask(tier: Tier, direction: Direction) -> Spec {
    let (own, staged) = (table(tier, direction), staged_table(tier, direction));
    let asked = register::staged_asked(match (tier, direction) {
        (Tier::Admin, Direction::Egress) => 0,
        (Tier::NetworkPolicy, Direction::Egress) => 1,
        (Tier::Baseline, Direction::Egress) => 2,
        (Tier::Admin, Direction::Ingress) => 3,
        (Tier::NetworkPolicy, Direction::Ingress) => 4,
        (Tier::Baseline, Direction::Ingress) => 5,
    });
    let priority = match tier {
        Tier::NetworkPolicy => priority::ASK_STAGED_AFTER_ALLOW,
        Tier::Admin | Tier::Baseline => priority::ASK_STAGED_FIRST,
    };
    let search = |table: Table| Action::Resubmit {
        port: PortNo::IN_PORT,
        table: table.id(),
        ct: false,
    };
    Spec::new(own, priority)
        .matching(Match::any().with_masked(register::DESTINATION_FLAGS, 0u8, asked))
        .act(set_flags(asked))
        .act(search(staged))
        .act(search(own))
}

/// The flows that count what a rule would decide, or, for a rule in force in a tier with staged
/// policies, what it keeps from them.
pub(crate) fn rule(
    place: Place,
    subject: Unit,
    peer: Unit,
    port: PortTerm,
    families: Families,
) -> impl Iterator<Item = Spec> {
    let staged = staged_table(place.tier, place.direction);
    matches(place.direction, subject, peer, port, families)
        .map(move |flow_match| Spec::new(staged, place.priority).matching(flow_match))
}

/// The flow that counts what a `NetworkPolicy` would drop by isolating `subject`: of Pods that none
/// isolates yet, since the others' packets are dropped already.
pub(crate) fn isolation(direction: Direction, subject: Unit) -> Spec {
    let flow_match = super::matching(Match::any(), subject_side(direction), subject);
    Spec::new(
        staged_table(Tier::NetworkPolicy, direction),
        isolation_priority(subject),
    )
    .matching(super::with_isolated(direction, flow_match, false))
}

fn staged_table(tier: Tier, direction: Direction) -> Table {
    match (tier, direction) {
        (Tier::Admin, Direction::Egress) => Table::StagedAdminEgress,
        (Tier::NetworkPolicy, Direction::Egress) => Table::StagedEgress,
        (Tier::Baseline, Direction::Egress) => Table::StagedBaselineEgress,
        (Tier::Admin, Direction::Ingress) => Table::StagedAdminIngress,
        (Tier::NetworkPolicy, Direction::Ingress) => Table::StagedIngress,
        (Tier::Baseline, Direction::Ingress) => Table::StagedBaselineIngress,
    }
}
