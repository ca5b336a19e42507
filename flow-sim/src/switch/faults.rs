// SPDX-License-Identifier: Apache-2.0
//! What can be made to go wrong on a connection.

use std::collections::BTreeMap;
use std::time::Duration;

use openflow_codec::message::error::ErrorCode;

/// Faults of one connection; none by default.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The connection closes instead of taking one more message than this. What the switch has
    /// not sent by then is lost.
    pub close_after_received: Option<u64>,
    /// The connection closes instead of sending one more message than this.
    pub close_after_sent: Option<u64>,
    /// The k-th addition of a flow on this connection (from 1, in bundles when they are committed) is
    /// refused with this error. Deletions are not: what OVS cannot read it does not hold either.
    pub refuse_addition: BTreeMap<u64, ErrorCode>,
    /// Every message is sent this much later.
    pub delay: Duration,
    /// What happens to a bundle commit.
    pub commit: Option<CommitFault>,
}

/// A bundle commit whose outcome the controller cannot know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitFault {
    /// Which commit of the connection, from 1.
    pub nth: u64,
    /// What happens to it.
    pub outcome: CommitOutcome,
}

/// What happens to a bundle commit that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Carried out; the connection closes before the answer.
    AppliedThenClosed,
    /// Not carried out; the connection closes.
    ClosedBefore,
    /// Carried out; the answer never comes, the connection stays.
    AppliedInSilence,
}
