// SPDX-License-Identifier: Apache-2.0
//! `commit` and `output`: connections that policy allowed are committed and marked, then delivered.

use std::net::IpAddr;

use openflow_codec::{Action, Field, Subfield};

use super::{
    Wanted, commit_only, commit_with_mark, fragments, masquerade, node, pipeline,
    recirculate_with_mark, recommit_with_mark, to_masquerade, tracked,
};
use crate::model::{Families, Family};
use crate::pipeline::register::{self, ct_state};
use crate::pipeline::{Spec, Table, priority};

pub(super) fn fixed(families: Families) -> Vec<Wanted> {
    let rest = Spec::new(Table::Commit, priority::DEFAULT).goto(Table::Output);
    let output = Spec::new(Table::Output, priority::DEFAULT).act(deliver());
    let mut flows: Vec<Wanted> = families.iter().flat_map(commits).collect();
    flows.extend(families.iter().flat_map(commits_of_masqueraded));
    flows.extend([
        pipeline(rest, "the connection is marked already"),
        pipeline(output, "delivers to the receiver's port"),
    ]);
    flows
}

/// A connection of a Service that leads here and is masqueraded.
pub(super) fn masqueraded(address: IpAddr) -> Wanted {
    node(
        masquerade(Table::Output, address).act(deliver()),
        format!("masquerades as {address} what it delivers"),
    )
}

fn deliver() -> Action {
    Action::OutputReg {
        src: Subfield {
            field: register::OUT_PORT,
            offset: 0,
            bits: 32,
        },
        max_len: 0,
    }
}

/// What one zone says is cleared before the next, and that works only on a packet that came back from
/// conntrack. So these connections recirculate when they are marked.
fn commits_of_masqueraded(family: Family) -> [Wanted; 3] {
    let packets = || tracked(to_masquerade(family.packets()), 0, 0);
    let mark = || recirculate_with_mark(register::CT_MARK_ALLOWED, Table::Output);
    let unmarked = packets().with_masked(Field::CtMark, 0u8, register::CT_MARK_ALLOWED);
    let marked = Spec::new(Table::Commit, priority::MARK_MASQUERADED)
        .matching(unmarked)
        .act(mark());
    let fragments = Spec::new(Table::Commit, priority::MASQUERADED_FRAGMENT)
        .matching(fragments(packets()))
        .act(mark());
    let done = Spec::new(Table::Commit, priority::MASQUERADED_AND_MARKED)
        .matching(packets())
        .goto(Table::Output);
    [
        pipeline(
            marked,
            format!("marks allowed {family} connections that are masqueraded"),
        ),
        pipeline(
            fragments,
            format!("holds masqueraded {family} fragments until all have come"),
        ),
        pipeline(
            done,
            format!("the masqueraded {family} connection is marked already"),
        ),
    ]
}

/// A switch that has forgotten its connections takes what the server says first for a connection from
/// server to client, and its node commits that one before the client's node denies it. When the
/// client speaks, policy allows what looks like an answer, and `force` turns the connection round.
/// Translated connections stay: only the client's node has them, and it would lose the translation.
fn commits(family: Family) -> [Wanted; 5] {
    let mark = || commit_with_mark(register::CT_MARK_ALLOWED, register::CT_MARK_ALLOWED);
    let new = Spec::new(Table::Commit, priority::NORMAL)
        .matching(tracked(family.packets(), ct_state::NEW, 0))
        .act(mark())
        .goto(Table::Output);
    // OVS holds a fragment here until the others have come here, too: the first, if policy allows it,
    // and the later ones always. So they leave together, or not at all.
    let together = |set, clear| {
        Spec::new(Table::Commit, priority::FRAGMENT).matching(tracked(
            fragments(family.packets()),
            set,
            clear,
        ))
    };
    let forward = together(0, ct_state::RPL).act(mark()).goto(Table::Output);
    let backward = together(ct_state::RPL, 0)
        .act(commit_only())
        .goto(Table::Output);
    let unmarked = tracked(family.packets(), ct_state::EST, ct_state::RPL).with_masked(
        Field::CtMark,
        0u8,
        register::CT_MARK_ALLOWED,
    );
    let again = Spec::new(Table::Commit, priority::REMARK)
        .matching(unmarked)
        .act(mark())
        .goto(Table::Output);
    let backwards = tracked(
        family.packets(),
        ct_state::EST | ct_state::RPL,
        ct_state::SNAT | ct_state::DNAT,
    );
    let turned = Spec::new(Table::Commit, priority::NORMAL)
        .matching(backwards)
        .act(recommit_with_mark(
            register::CT_MARK_ALLOWED,
            register::CT_MARK_ALLOWED,
        ))
        .goto(Table::Output);
    [
        pipeline(
            forward,
            format!("holds {family} fragments until all have come, and marks their connection"),
        ),
        pipeline(
            backward,
            format!("holds {family} fragments in the direction of answers until all have come"),
        ),
        pipeline(
            turned,
            format!(
                "turns an {family} connection round that conntrack knows from server to client"
            ),
        ),
        pipeline(
            new,
            format!("commits allowed {family} connections and marks them, so that answers pass"),
        ),
        pipeline(
            again,
            format!("marks an {family} connection again that policy allows again"),
        ),
    ]
}
