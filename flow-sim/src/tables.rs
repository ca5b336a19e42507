// SPDX-License-Identifier: Apache-2.0
//! Flow tables: flows by priority, found by tuple space search.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openflow_codec::{Cookie, Flow, Instruction, Match, TableId};

use crate::packet::Packet;

mod classifier;
mod key;

use classifier::Classifier;
pub use classifier::Found;
pub use key::MatchError;
use key::MatchKey;

/// A flow in a table.
#[derive(Debug)]
pub struct Entry {
    /// The flow.
    pub flow: Flow,
    /// Order of installation, unique within [`Tables`].
    pub serial: u64,
    /// When it was installed.
    pub added: Duration,
    key: MatchKey,
    packets: AtomicU64,
}

/// A flow that was added, and the one that it replaced.
pub type Added = (Arc<Entry>, Option<Arc<Entry>>);

/// Every flow table of a switch. Within a table a flow's identity is its priority and match.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    tables: BTreeMap<TableId, Classifier>,
    by_cookie: BTreeMap<(Cookie, u64), Arc<Entry>>,
    next: u64,
}

impl Tables {
    /// Adds a flow at `now`; returns it, and the flow with the same table, priority and match that
    /// it replaces.
    ///
    /// # Errors
    /// The match holds a field that is not known, or contradicts itself.
    pub fn add(&mut self, flow: Flow, now: Duration) -> Result<Added, MatchError> {
        let key = MatchKey::new(&flow.flow_match)?;
        let serial = self.next;
        self.next += 1;
        let entry = Arc::new(Entry {
            flow,
            serial,
            added: now,
            key,
            packets: AtomicU64::new(0),
        });
        let replaced = self.restore(Arc::clone(&entry));
        Ok((entry, replaced))
    }

    /// Puts an entry in its place, as it is.
    pub(crate) fn restore(&mut self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        let table = self.tables.entry(entry.flow.table).or_default();
        let replaced = table.insert(Arc::clone(&entry));
        if let Some(old) = &replaced {
            self.by_cookie.remove(&(old.flow.cookie, old.serial));
        }
        self.by_cookie
            .insert((entry.flow.cookie, entry.serial), entry);
        replaced
    }

    /// Removes the flow with exactly this table, priority and match.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn remove_strict(
        &mut self,
        table: TableId,
        priority: u16,
        flow_match: &Match,
    ) -> Result<Option<Arc<Entry>>, MatchError> {
        let entry = self.get(table, priority, flow_match)?;
        if let Some(entry) = &entry {
            self.remove_entry(entry);
        }
        Ok(entry)
    }

    /// The flow with exactly this table, priority and match.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn get(
        &self,
        table: TableId,
        priority: u16,
        flow_match: &Match,
    ) -> Result<Option<Arc<Entry>>, MatchError> {
        let key = MatchKey::new(flow_match)?;
        Ok(self.tables.get(&table).and_then(|t| t.get(&key, priority)))
    }

    /// Removes all flows with this cookie; returns them in order of installation.
    pub fn remove_cookie(&mut self, cookie: Cookie) -> Vec<Arc<Entry>> {
        let doomed = self.with_cookie(cookie);
        for entry in &doomed {
            self.remove_entry(entry);
        }
        doomed
    }

    /// Removes the flows that `doomed` chooses; returns them.
    pub fn remove_if(&mut self, doomed: impl Fn(&Flow) -> bool) -> Vec<Arc<Entry>> {
        let doomed = self.select(doomed);
        for entry in &doomed {
            self.remove_entry(entry);
        }
        doomed
    }

    /// Removes an entry of these tables.
    pub(crate) fn remove_entry(&mut self, entry: &Entry) {
        self.by_cookie.remove(&(entry.flow.cookie, entry.serial));
        if let Some(table) = self.tables.get_mut(&entry.flow.table) {
            table.remove(entry);
            if table.is_empty() {
                self.tables.remove(&entry.flow.table);
            }
        }
    }

    /// The highest-priority flow of `table` that matches.
    pub fn lookup(&self, table: TableId, packet: &Packet) -> Option<Found<'_>> {
        self.tables.get(&table)?.lookup(packet)
    }

    /// The flows that `wanted` chooses, by cookie.
    pub(crate) fn select(&self, wanted: impl Fn(&Flow) -> bool) -> Vec<Arc<Entry>> {
        let entries = self.by_cookie.values().filter(|entry| wanted(&entry.flow));
        entries.cloned().collect()
    }

    /// The flows that `wide` covers and `wanted` chooses, by cookie.
    pub(crate) fn covered_by(
        &self,
        wide: &Match,
        wanted: impl Fn(&Flow) -> bool,
    ) -> Result<Vec<Arc<Entry>>, MatchError> {
        let wide = MatchKey::new(wide)?;
        let entries = self.by_cookie.values().filter(|entry| wanted(&entry.flow));
        Ok(entries
            .filter(|entry| wide.covers(&entry.key))
            .cloned()
            .collect())
    }

    /// The flows with exactly this cookie, by order of installation.
    pub(crate) fn with_cookie(&self, cookie: Cookie) -> Vec<Arc<Entry>> {
        let range = (cookie, u64::MIN)..=(cookie, u64::MAX);
        self.by_cookie
            .range(range)
            .map(|(_, entry)| Arc::clone(entry))
            .collect()
    }

    /// Every flow, by table, then falling priority, then match.
    pub fn flows(&self) -> Vec<&Flow> {
        let mut flows: Vec<_> = self.by_cookie.values().map(|entry| &entry.flow).collect();
        let key = |flow: &Flow| (flow.table, std::cmp::Reverse(flow.priority));
        flows.sort_by(|a, b| {
            key(a)
                .cmp(&key(b))
                .then_with(|| a.flow_match.cmp(&b.flow_match))
        });
        flows
    }

    /// The tables that hold flows.
    pub fn in_use(&self) -> impl Iterator<Item = TableId> {
        self.tables.keys().copied()
    }

    /// Number of flows.
    pub fn len(&self) -> usize {
        self.by_cookie.len()
    }

    /// Whether there is no flow.
    pub fn is_empty(&self) -> bool {
        self.by_cookie.is_empty()
    }
}

impl Entry {
    /// Packets that took this flow.
    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self) {
        self.packets.fetch_add(1, Ordering::Relaxed);
    }

    /// The same flow with other instructions; cookie, age and packets stay.
    pub(crate) fn modified(&self, instructions: Vec<Instruction>) -> Self {
        Self {
            flow: Flow {
                instructions,
                ..self.flow.clone()
            },
            serial: self.serial,
            added: self.added,
            key: self.key.clone(),
            packets: AtomicU64::new(self.packets()),
        }
    }
}

/// Whether some packet is matched by both.
///
/// # Errors
/// One of the matches holds a field that is not known, or contradicts itself.
pub fn overlap(a: &Match, b: &Match) -> Result<bool, MatchError> {
    Ok(MatchKey::new(a)?.overlaps(&MatchKey::new(b)?))
}
