// SPDX-License-Identifier: Apache-2.0
//! `reply`: answers to allowed connections pass without being judged again.
//!
//! Both must say so: the `REPLY` flag (conntrack of the sender's node) and conntrack of this node.
//! The flag closes a pinhole: a denied packet from A to B leaves a connection in conntrack of A's
//! node, and must not let B send to A as if it answered.

use openflow_codec::Match;

use super::{Wanted, pipeline, tracked};
use crate::pipeline::register::{self, ct_state};
use crate::pipeline::{Spec, Table, priority};

pub(super) fn fixed() -> Vec<Wanted> {
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
    let judge = Spec::new(Table::Reply, priority::DEFAULT).goto(Table::AdminEgress);
    vec![
        pipeline(
            pass(ct_state::EST | ct_state::RPL),
            "answers to allowed connections pass",
        ),
        pipeline(
            pass(ct_state::REL),
            "ICMP errors about allowed connections pass",
        ),
        pipeline(judge, "everything else is judged by policy"),
    ]
}
