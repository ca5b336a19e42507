// SPDX-License-Identifier: Apache-2.0
//! `commit` and `output`: connections that policy allowed are committed and marked, then delivered.

use openflow_codec::{Action, Field, Subfield};

use super::{Wanted, commit_with_mark, pipeline, tracked};
use crate::model::{Families, Family};
use crate::pipeline::register::{self, ct_state};
use crate::pipeline::{Spec, Table, priority};

pub(super) fn fixed(families: Families) -> Vec<Wanted> {
    let rest = Spec::new(Table::Commit, priority::DEFAULT).goto(Table::Output);
    let port = Subfield {
        field: register::OUT_PORT,
        offset: 0,
        bits: 32,
    };
    let output = Spec::new(Table::Output, priority::DEFAULT).act(Action::OutputReg {
        src: port,
        max_len: 0,
    });
    let mut flows: Vec<Wanted> = families.iter().flat_map(commits).collect();
    flows.extend([
        pipeline(rest, "the connection is marked already"),
        pipeline(output, "delivers to the receiver's port"),
    ]);
    flows
}

fn commits(family: Family) -> [Wanted; 2] {
    let mark = || commit_with_mark(register::CT_MARK_ALLOWED, register::CT_MARK_ALLOWED);
    let new = Spec::new(Table::Commit, priority::NORMAL)
        .matching(tracked(family.packets(), ct_state::NEW, 0))
        .act(mark())
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
    [
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
