// SPDX-License-Identifier: Apache-2.0
//! Flow tables: flows by priority, found by tuple space search.

use std::collections::BTreeMap;
use std::sync::Arc;

use openflow_codec::{Cookie, Flow, Match, TableId};

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
    key: MatchKey,
}

/// Every flow table of a switch. Within a table a flow's identity is its priority and match.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    tables: BTreeMap<TableId, Classifier>,
    by_cookie: BTreeMap<(Cookie, u64), Arc<Entry>>,
    next: u64,
}

impl Tables {
    /// Adds a flow; returns the flow with the same table, priority and match that it replaces.
    ///
    /// # Errors
    /// The match holds a field that is not known, or contradicts itself.
    pub fn add(&mut self, flow: Flow) -> Result<Option<Arc<Entry>>, MatchError> {
        let key = MatchKey::new(&flow.flow_match)?;
        let serial = self.next;
        self.next += 1;
        let entry = Arc::new(Entry { flow, serial, key });
        let table = self.tables.entry(entry.flow.table).or_default();
        let replaced = table.insert(Arc::clone(&entry));
        if let Some(old) = &replaced {
            self.by_cookie.remove(&(old.flow.cookie, old.serial));
        }
        self.by_cookie.insert((entry.flow.cookie, serial), entry);
        Ok(replaced)
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
        let range = (cookie, u64::MIN)..=(cookie, u64::MAX);
        let doomed: Vec<_> = self
            .by_cookie
            .range(range)
            .map(|(_, e)| Arc::clone(e))
            .collect();
        for entry in &doomed {
            self.remove_entry(entry);
        }
        doomed
    }

    /// Removes the flows that `doomed` chooses; returns them.
    pub fn remove_if(&mut self, doomed: impl Fn(&Flow) -> bool) -> Vec<Arc<Entry>> {
        let doomed: Vec<_> = self
            .by_cookie
            .values()
            .filter(|entry| doomed(&entry.flow))
            .cloned()
            .collect();
        for entry in &doomed {
            self.remove_entry(entry);
        }
        doomed
    }

    fn remove_entry(&mut self, entry: &Entry) {
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

    /// Every flow, by table, then falling priority, then match.
    pub fn flows(&self) -> Vec<&Flow> {
        let mut flows: Vec<_> = self.by_cookie.values().map(|entry| &entry.flow).collect();
        flows.sort_by(|a, b| {
            (a.table, std::cmp::Reverse(a.priority), &a.flow_match).cmp(&(
                b.table,
                std::cmp::Reverse(b.priority),
                &b.flow_match,
            ))
        });
        flows
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

/// Whether every packet that `narrow` matches is matched by `wide` too: the test of a
/// non-strict request (OpenFlow 1.5.1 section 6.4).
///
/// # Errors
/// One of the matches holds a field that is not known, or contradicts itself.
pub fn covers(wide: &Match, narrow: &Match) -> Result<bool, MatchError> {
    Ok(MatchKey::new(wide)?.covers(&MatchKey::new(narrow)?))
}
