// SPDX-License-Identifier: Apache-2.0
//! Transaction ids, and which answer belongs to which request.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use openflow_codec::Xid;

/// Gives out transaction ids; 0 is never used.
#[derive(Debug)]
pub(crate) struct Xids {
    next: u32,
}

impl Xids {
    pub(crate) const fn new() -> Self {
        Self { next: 1 }
    }

    /// One transaction id.
    pub(crate) fn one(&mut self) -> Xid {
        Xid(self.reserve(1))
    }

    /// The first of `count` consecutive ones.
    pub(crate) fn reserve(&mut self, count: u32) -> u32 {
        if self.next.checked_add(count).is_none() {
            self.next = 1;
        }
        let first = self.next;
        self.next += count;
        first
    }
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Features,
    Role,
    SetConfig,
    SetAsync,
    Description,
    TlvTable,
    Ports,
    ReadMeters,
    SetMeter,
    AddTlv,
    NameTables,
    /// The end of a step of the handshake.
    Fence,
    Markers,
    DumpFlows,
    CountBuckets,
    DumpGroups,
    Counters,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Features => "the features request",
            Self::Role => "the role request",
            Self::SetConfig => "the configuration",
            Self::SetAsync => "the choice of asynchronous messages",
            Self::Description => "the description request",
            Self::TlvTable => "the request for its tunnel options",
            Self::Ports => "the request for its ports",
            Self::ReadMeters => "the request for its meters",
            Self::SetMeter => "a meter",
            Self::AddTlv => "the mapping of our tunnel option",
            Self::NameTables => "the names of tables",
            Self::Fence => "a barrier request",
            Self::Markers => "the request for marker flows",
            Self::DumpFlows => "the request for its flows",
            Self::CountBuckets => "the request for the number of its buckets",
            Self::DumpGroups => "the request for its groups",
            Self::Counters => "the request for its counters",
        })
    }
}

/// Requests without a (complete) answer, but for bundles. A bounded number is asked for each
/// purpose, so the table is small whatever the switch does.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    open: BTreeMap<u32, Open>,
}

#[derive(Debug)]
struct Open {
    purpose: Purpose,
    asked: Instant,
}

impl Requests {
    pub(crate) fn insert(&mut self, xid: Xid, purpose: Purpose, now: Instant) {
        let asked = now;
        self.open.insert(xid.0, Open { purpose, asked });
    }

    /// What a message with this transaction id answers.
    pub(crate) fn purpose(&self, xid: Xid) -> Option<Purpose> {
        self.open.get(&xid.0).map(|open| open.purpose)
    }

    /// Part of an answer came: the time begins again.
    pub(crate) fn progress(&mut self, xid: Xid, now: Instant) {
        if let Some(open) = self.open.get_mut(&xid.0) {
            open.asked = now;
        }
    }

    /// The answer is complete.
    pub(crate) fn finish(&mut self, xid: Xid) {
        self.open.remove(&xid.0);
    }

    /// A barrier with this transaction id was answered: requests before it that have no answer of
    /// their own have succeeded.
    pub(crate) fn pass_fence(&mut self, xid: Xid) {
        self.open.retain(|number, open| {
            let silent = matches!(
                open.purpose,
                Purpose::SetConfig
                    | Purpose::SetAsync
                    | Purpose::SetMeter
                    | Purpose::AddTlv
                    | Purpose::NameTables
            );
            *number > xid.0 || !silent
        });
        self.finish(xid);
    }

    /// The request that has waited longest.
    pub(crate) fn oldest(&self) -> Option<(Purpose, Instant)> {
        let oldest = self.open.values().min_by_key(|open| open.asked)?;
        Some((oldest.purpose, oldest.asked))
    }

    /// Everything that is waited for, in words.
    pub(crate) fn waiting_for(&self) -> String {
        let names = self.open.values().map(|open| open.purpose.to_string());
        names.collect::<Vec<_>>().join(", ")
    }
}
