// SPDX-License-Identifier: Apache-2.0
//! `reply`: answers to allowed connections pass without being judged again, and so does what a
//! Pod's own node sends.
//!
//! Both must say so: the `REPLY` flag (conntrack of the sender's node) and conntrack of this node.
//! The flag closes a pinhole: a denied packet from A to B leaves a connection in conntrack of A's
//! node, and must not let B send to A as if it answered.

use openflow_codec::Match;

use super::{Wanted, later_fragments, pipeline, tracked};
use crate::model::{Families, Family};
use crate::pipeline::register::{self, ct_state};
use crate::pipeline::{Spec, Table, priority};

pub(super) fn fixed(families: Families) -> Vec<Wanted> {
    let pass = |bits| {
        let flow_match = tracked(Match::any(), bits, 0).with_masked(
            register::SOURCE,
            register::REPLY,
            register::REPLY,
        );
        Spec::new(Table::Reply, priority::NORMAL)
            .matching(flow_match)
            .goto(Table::Output)
    };
    // "Traffic to and from the node where a Pod is running is always allowed": probes reach every
    // Pod, whatever isolates it.
    let from_host = Match::any().with_masked(
        register::SOURCE,
        register::VALID | register::HOST,
        register::VALID | register::IDENTITY_MASK,
    );
    let from_host = Spec::new(Table::Reply, priority::OWN_NODE)
        .matching(from_host)
        .goto(Table::Commit);
    let judge = Spec::new(Table::Reply, priority::DEFAULT).goto(Table::AdminEgress);
    let mut flows: Vec<Wanted> = families.iter().map(later).collect();
    flows.extend([
        pipeline(
            pass(ct_state::EST | ct_state::RPL),
            "answers to allowed connections pass",
        ),
        pipeline(
            pass(ct_state::REL),
            "ICMP errors about allowed connections pass",
        ),
        pipeline(from_host, "what a Pod's own node sends is allowed"),
        pipeline(judge, "everything else is judged by policy"),
    ]);
    flows
}

/// Fragments but the first have no ports that policy could judge. They are not judged but wait in
/// conntrack, where `commit` sends every fragment, and leave it only together with the first.
fn later(family: Family) -> Wanted {
    let spec = Spec::new(Table::Reply, priority::LATER_FRAGMENT)
        .matching(later_fragments(family.packets()))
        .goto(Table::Commit);
    pipeline(
        spec,
        format!("later fragments of {family} packets wait for the first, which policy judges"),
    )
}
