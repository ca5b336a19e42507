// SPDX-License-Identifier: Apache-2.0
//! `known`: Pods that this switch does not know are denied, where policies deny by who sends.
//!
//! A switch that is not connected learns no new identity. To what only allows, an identity that it does
//! not know is nobody; but a rule that denies does not deny nobody.

use openflow_codec::Match;

use super::{Wanted, pod, policy};
use crate::explain::Why;
use crate::identity::Identity;
use crate::pipeline::register;
use crate::pipeline::{Spec, Table, priority};

/// The flows by which a policy that denies by who sends asks for what it does not know to be denied.
pub(crate) fn known_only() -> [Wanted; 2] {
    let pods = Match::any().with_masked(
        register::SOURCE,
        register::VALID | register::POD,
        register::VALID | register::POD,
    );
    let ask = Spec::new(Table::Reply, priority::KNOWN_ONLY)
        .matching(pods)
        .goto(Table::Known);
    let deny = Spec::new(Table::Known, priority::DEFAULT).goto(Table::Denied);
    [
        (
            ask,
            "denies by who sends: Pods are judged only if this switch knows them",
        ),
        (
            deny,
            "denies by who sends: denies Pods whose identity this switch does not know",
        ),
    ]
    .map(|(spec, why)| Wanted {
        kind: policy::KIND,
        spec,
        why: why.into(),
    })
}

/// Pods of this identity are known.
pub(crate) fn identity(identity: Identity) -> Wanted {
    let of_these = Match::any().with_masked(
        register::SOURCE,
        register::VALID | identity.bits(),
        register::VALID | register::IDENTITY_MASK,
    );
    let spec = Spec::new(Table::Known, priority::NORMAL)
        .matching(of_these)
        .goto(Table::AdminEgress);
    pod(spec, Why::Known)
}
