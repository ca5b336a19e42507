// SPDX-License-Identifier: Apache-2.0
//! Flows by cookie, at little more than one pointer each.

use std::collections::BTreeMap;
use std::sync::Arc;

use openflow_codec::Cookie;
use openflow_session::EncodedFlow;

/// A chunk is split when it grows beyond this.
const CHUNK_MAX: usize = 128;

/// Flows in a chunk that is made anew, so that it can grow.
const CHUNK_FILL: usize = 96;

/// A full chunk gets room for this many more flows.
const CHUNK_GROWTH: usize = 8;

/// A set of flows: sorted chunks, which begin at the cookie that is their key.
#[derive(Debug, Default)]
pub(super) struct Known {
    chunks: BTreeMap<Cookie, Vec<Arc<EncodedFlow>>>,
    len: usize,
}

impl Known {
    /// Number of flows.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The flow with this cookie.
    pub(super) fn get(&self, cookie: Cookie) -> Option<&Arc<EncodedFlow>> {
        let (_, chunk) = self.chunks.range(..=cookie).next_back()?;
        let at = chunk.binary_search_by_key(&cookie, |flow| flow.cookie());
        chunk.get(at.ok()?)
    }

    /// Adds a flow whose cookie is not known.
    pub(super) fn insert(&mut self, flow: Arc<EncodedFlow>) {
        let cookie = flow.cookie();
        let Some((_, chunk)) = self.chunks.range_mut(..=cookie).next_back() else {
            // Nothing begins before the first chunk.
            self.chunks.insert(Cookie(0), vec![flow]);
            self.len += 1;
            return;
        };
        let Err(at) = chunk.binary_search_by_key(&cookie, |flow| flow.cookie()) else {
            return;
        };
        if chunk.len() == chunk.capacity() {
            chunk.reserve_exact(CHUNK_GROWTH);
        }
        chunk.insert(at, flow);
        self.len += 1;
        if chunk.len() > CHUNK_MAX {
            let upper = chunk.split_off(chunk.len() / 2);
            chunk.shrink_to_fit();
            self.insert_chunk(upper);
        }
    }

    /// Forgets the flows that nobody else holds.
    pub(super) fn forget_unused(&mut self) {
        let chunks = std::mem::take(&mut self.chunks);
        let mut used = chunks
            .into_values()
            .flatten()
            .filter(|flow| Arc::strong_count(flow) > 1)
            .peekable();
        self.len = 0;
        while used.peek().is_some() {
            let mut chunk = Vec::with_capacity(CHUNK_FILL);
            chunk.extend(used.by_ref().take(CHUNK_FILL));
            self.len += chunk.len();
            if self.chunks.is_empty() {
                self.chunks.insert(Cookie(0), chunk);
            } else {
                self.insert_chunk(chunk);
            }
        }
    }

    fn insert_chunk(&mut self, chunk: Vec<Arc<EncodedFlow>>) {
        if let Some(first) = chunk.first() {
            self.chunks.insert(first.cookie(), chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openflow_codec::{Context, Flow, Match, TableId};

    fn flow(cookie: u64) -> Arc<EncodedFlow> {
        let flow = Flow {
            table: TableId(0),
            priority: 1,
            flow_match: Match::any(),
            cookie: Cookie(cookie),
            idle_timeout: 0,
            hard_timeout: 0,
            instructions: Vec::new(),
        };
        Arc::new(EncodedFlow::new(flow, &Context::default()).unwrap())
    }

    /// Numbers in no order.
    fn scattered(n: u64) -> u64 {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn every_flow_is_found_and_no_other() {
        let mut known = Known::default();
        assert!(known.get(Cookie(7)).is_none());
        for n in 0..2_000 {
            known.insert(flow(scattered(n)));
            known.insert(flow(scattered(n)));
        }
        assert_eq!(known.len(), 2_000);
        for n in 0..2_000 {
            let cookie = Cookie(scattered(n));
            assert_eq!(known.get(cookie).unwrap().cookie(), cookie);
            assert!(known.get(Cookie(cookie.0.wrapping_add(1))).is_none());
        }
        assert!(known.chunks.values().all(|chunk| chunk.len() <= CHUNK_MAX));
    }

    #[test]
    fn what_somebody_holds_is_not_forgotten() {
        let mut known = Known::default();
        let flows: Vec<_> = (0..2_000).map(|n| flow(scattered(n))).collect();
        flows.iter().for_each(|flow| known.insert(Arc::clone(flow)));
        let (kept, dropped) = flows.split_at(700);
        let kept = kept.to_vec();
        let dropped: Vec<Cookie> = dropped.iter().map(|flow| flow.cookie()).collect();
        drop(flows);
        known.forget_unused();
        assert_eq!(known.len(), 700);
        assert!(kept.iter().all(|flow| known.get(flow.cookie()).is_some()));
        assert!(dropped.iter().all(|cookie| known.get(*cookie).is_none()));
        known.insert(flow(0));
        assert!(known.get(Cookie(0)).is_some());
    }
}
