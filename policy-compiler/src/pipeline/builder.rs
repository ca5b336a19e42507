// SPDX-License-Identifier: Apache-2.0
//! The only way to make a flow: through its table.

use std::cell::RefCell;
use std::sync::Arc;

use openflow_codec::{Action, Cookie, Flow, Instruction, Match};

use super::cookie::{CookieHasher, CookieKind};
use super::table::Table;

/// A flow before it has a cookie.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) table: Table,
    pub(crate) priority: u16,
    pub(crate) flow_match: Match,
    pub(crate) actions: Vec<Action>,
    /// Where the packet goes on; `None` ends here.
    pub(crate) next: Option<Table>,
}

impl Spec {
    pub(crate) fn new(table: Table, priority: u16) -> Self {
        Self {
            table,
            priority,
            flow_match: Match::any(),
            actions: Vec::new(),
            next: None,
        }
    }

    pub(crate) fn at(mut self, priority: u16) -> Self {
        self.priority = priority;
        self
    }

    pub(crate) fn matching(mut self, flow_match: Match) -> Self {
        self.flow_match = flow_match;
        self
    }

    /// Matches what it matches now, and more.
    pub(crate) fn also(mut self, more: impl FnOnce(Match) -> Match) -> Self {
        self.flow_match = more(self.flow_match);
        self
    }

    pub(crate) fn act(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }

    pub(crate) fn goto(mut self, table: Table) -> Self {
        self.next = Some(table);
        self
    }
}

/// Makes flows of [`Spec`]s.
pub(crate) struct Builder {
    hasher: CookieHasher,
    scratch: RefCell<Vec<u8>>,
}

impl Builder {
    pub(crate) fn new(cluster_secret: &[u8; 32]) -> Self {
        Self {
            hasher: CookieHasher::new(cluster_secret),
            scratch: RefCell::default(),
        }
    }

    pub(crate) fn flow(&self, kind: CookieKind, spec: Spec) -> Arc<Flow> {
        let mut instructions = Vec::with_capacity(2);
        if !spec.actions.is_empty() {
            instructions.push(Instruction::ApplyActions(spec.actions));
        }
        if let Some(next) = spec.next {
            instructions.push(Instruction::GotoTable(next.id()));
        }
        let mut flow = Flow {
            table: spec.table.id(),
            priority: spec.priority,
            flow_match: spec.flow_match,
            cookie: Cookie(0),
            idle_timeout: 0,
            hard_timeout: 0,
            instructions,
        };
        flow.cookie = self
            .hasher
            .cookie(kind, &flow, &mut self.scratch.borrow_mut());
        Arc::new(flow)
    }
}
