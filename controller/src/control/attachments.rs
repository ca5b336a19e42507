// SPDX-License-Identifier: Apache-2.0
//! How far each Pod's Interface has come, from the compiler's status to `culvert-ready`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use policy_compiler::{AttachmentKey, AttachmentStatus, Change};

/// How long a ready Pod may wait for neighbours to become warm. A peer whose underlay is broken
/// must not keep every new Pod of the cluster from starting.
pub(super) const WARM_BOUND: Duration = Duration::from_secs(5);

/// Every attachment that the compiler knows.
#[derive(Debug, Default)]
pub(super) struct Attachments {
    states: BTreeMap<AttachmentKey, State>,
    /// To be admitted as soon as everything is acknowledged.
    programmed: BTreeSet<AttachmentKey>,
    /// Admitted, and the flows that open the port may not be acknowledged yet.
    unacknowledged: BTreeSet<AttachmentKey>,
    /// Acknowledged, and `culvert-ready` may not be written yet; until when neighbours are waited
    /// for, or `None` when that time is over.
    unready: BTreeMap<AttachmentKey, Option<Instant>>,
}

/// One attachment.
#[derive(Debug)]
pub(super) struct State {
    pub(super) status: AttachmentStatus,
    /// The switch has refused one of its flows.
    pub(super) blocked: Option<String>,
    /// All its flows are acknowledged.
    pub(super) acknowledged: bool,
}

impl Attachments {
    /// What the compiler says of an attachment; `None`: it is gone.
    pub(super) fn set(&mut self, key: &AttachmentKey, status: Option<AttachmentStatus>) {
        self.forget_progress(key);
        let Some(status) = status else {
            self.states.remove(key);
            return;
        };
        match status {
            AttachmentStatus::Programmed => {
                self.programmed.insert(key.clone());
            }
            AttachmentStatus::Admitted => {
                self.unacknowledged.insert(key.clone());
            }
            AttachmentStatus::Pending(_) | AttachmentStatus::Refused(_) => {}
        }
        let state = State {
            status,
            blocked: None,
            acknowledged: false,
        };
        self.states.insert(key.clone(), state);
    }

    /// The Interface is another than before, even if its status is the same: its flows are new.
    pub(super) fn reattached(&mut self, key: &AttachmentKey) {
        let Some(state) = self.states.get_mut(key) else {
            return;
        };
        state.blocked = None;
        if state.status == AttachmentStatus::Admitted {
            state.acknowledged = false;
            self.unready.remove(key);
            self.unacknowledged.insert(key.clone());
        }
    }

    /// The switch has refused one of its flows.
    pub(super) fn block(&mut self, key: &AttachmentKey, reason: String) {
        if let Some(state) = self.states.get_mut(key) {
            state.blocked = Some(reason);
        }
    }

    /// The switch of `node` refuses nothing any more; whether that is news.
    pub(super) fn unblock(&mut self, node: &str) -> bool {
        let first = AttachmentKey {
            node: node.to_owned(),
            interface: String::new(),
        };
        let mut news = false;
        for (key, state) in self.states.range_mut(first..) {
            if key.node != node {
                break;
            }
            news |= state.blocked.take().is_some();
        }
        news
    }

    /// Nodes of those that are not ready yet.
    pub(super) fn unready_nodes(&self) -> BTreeSet<String> {
        self.unready.keys().map(|key| key.node.clone()).collect()
    }

    /// Admissions of what is programmed on nodes of which `programmed` is true. Each is given once.
    pub(super) fn admissible(&mut self, programmed: impl Fn(&str) -> bool) -> Vec<Change> {
        let (now, later) = std::mem::take(&mut self.programmed)
            .into_iter()
            .partition(|key| programmed(&key.node));
        self.programmed = later;
        let now: BTreeSet<AttachmentKey> = now;
        now.into_iter().map(Change::Admit).collect()
    }

    /// Everything that was sent to the nodes of which `programmed` is true is acknowledged. The nodes
    /// where that is news.
    pub(super) fn acknowledge(
        &mut self,
        now: Instant,
        programmed: impl Fn(&str) -> bool,
    ) -> BTreeSet<String> {
        let mut nodes = BTreeSet::new();
        for key in std::mem::take(&mut self.unacknowledged) {
            if !programmed(&key.node) {
                self.unacknowledged.insert(key);
                continue;
            }
            if let Some(state) = self.states.get_mut(&key) {
                state.acknowledged = true;
                nodes.insert(key.node.clone());
                self.unready.insert(key, Some(now + WARM_BOUND));
            }
        }
        nodes
    }

    /// `culvert-ready` stands there.
    pub(super) fn ready(&mut self, key: &AttachmentKey) {
        self.unready.remove(key);
    }

    /// Whether this one still waits for neighbours.
    pub(super) fn may_wait(&self, key: &AttachmentKey) -> bool {
        self.unready.get(key).is_some_and(Option::is_some)
    }

    /// When the first of those that wait for neighbours waits no more.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.unready.values().flatten().min().copied()
    }

    /// Ends the waiting of those that have waited long enough; their nodes.
    pub(super) fn take_overdue(&mut self, now: Instant) -> BTreeSet<String> {
        let mut nodes = BTreeSet::new();
        for (key, deadline) in &mut self.unready {
            if deadline.is_some_and(|deadline| deadline <= now) {
                *deadline = None;
                nodes.insert(key.node.clone());
            }
        }
        nodes
    }

    pub(super) fn state(&self, key: &AttachmentKey) -> Option<&State> {
        self.states.get(key)
    }

    fn forget_progress(&mut self, key: &AttachmentKey) {
        self.programmed.remove(key);
        self.unacknowledged.remove(key);
        self.unready.remove(key);
    }
}
