// SPDX-License-Identifier: Apache-2.0
//! An ordered map whose copies share everything they have in common.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// A chunk is split when it grows beyond this, so a change copies at most this many entries.
const CHUNK_MAX: usize = 128;

/// A full chunk gets room for this many more entries, not for twice as many: layers are held for
/// every switch.
const CHUNK_GROWTH: usize = 8;

/// Two neighbours that fit together into this many entries are merged.
const CHUNK_MERGE: usize = 64;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

/// A sorted map cut into chunks, each behind its own `Arc`.
///
/// `clone` is one reference count. A change of a copy that is shared copies the list of chunks
/// (one pointer per ~100 entries) and the chunk it touches. [`SharedMap::diff`] skips the chunks
/// that both sides share.
pub struct SharedMap<K, V> {
    chunks: Arc<Vec<Chunk<K, V>>>,
    len: usize,
}

impl<K, V> Clone for SharedMap<K, V> {
    fn clone(&self) -> Self {
        Self {
            chunks: Arc::clone(&self.chunks),
            len: self.len,
        }
    }
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self {
            chunks: Arc::default(),
            len: 0,
        }
    }
}

impl<K: fmt::Debug, V> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.chunks.iter().flat_map(|chunk| chunk.iter());
        f.debug_set().entries(keys.map(|(key, _)| key)).finish()
    }
}

impl<K: Copy + Ord, V: Clone> SharedMap<K, V> {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value at `key`.
    pub fn get(&self, key: K) -> Option<&V> {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        let at = chunk.binary_search_by(|(k, _)| k.cmp(&key)).ok()?;
        chunk.get(at).map(|(_, value)| value)
    }

    /// Whether `key` has a value.
    pub fn contains(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    /// Entries in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        let entries = self.chunks.iter().flat_map(|chunk| chunk.iter());
        entries.map(|(key, value)| (*key, value))
    }

    /// Entries beyond `after` in ascending order.
    pub fn iter_after(&self, after: Option<K>) -> impl Iterator<Item = (K, &V)> {
        let cursor = Cursor::after(self, after);
        let (first, rest) = match cursor.chunks.split_first() {
            Some((first, rest)) => (first.get(cursor.entry..).unwrap_or_default(), rest),
            None => (&[][..], cursor.chunks),
        };
        let entries = first
            .iter()
            .chain(rest.iter().flat_map(|chunk| chunk.iter()));
        entries.map(|(key, value)| (*key, value))
    }

    /// Puts `value` at `key` and returns what stood there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let index = self.chunk_of(key).min(self.chunks.len().saturating_sub(1));
        let chunks = Arc::make_mut(&mut self.chunks);
        let Some(chunk) = chunks.get_mut(index) else {
            chunks.push(Arc::new(vec![(key, value)]));
            self.len += 1;
            return None;
        };
        let entries = Arc::make_mut(chunk);
        match entries.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(at) => {
                let slot = entries.get_mut(at)?;
                Some(std::mem::replace(&mut slot.1, value))
            }
            Err(at) => {
                if entries.len() == entries.capacity() {
                    entries.reserve_exact(CHUNK_GROWTH);
                }
                entries.insert(at, (key, value));
                self.len += 1;
                if entries.len() > CHUNK_MAX {
                    let upper = entries.split_off(entries.len() / 2);
                    entries.shrink_to_fit();
                    chunks.insert(index + 1, Arc::new(upper));
                }
                None
            }
        }
    }

    /// Takes away the entry at `key`; a key without a value changes nothing.
    pub fn remove(&mut self, key: K) -> Option<V> {
        let index = self.chunk_of(key);
        let found = self.chunks.get(index)?;
        let at = found.binary_search_by(|(k, _)| k.cmp(&key)).ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let entries = Arc::make_mut(chunks.get_mut(index)?);
        let (_, value) = entries.remove(at);
        if entries.capacity() - entries.len() > CHUNK_MERGE {
            entries.shrink_to_fit();
        }
        self.len -= 1;
        let left = entries.len();
        if left == 0 {
            chunks.remove(index);
        } else if chunks
            .get(index + 1)
            .is_some_and(|n| n.len() + left <= CHUNK_MERGE)
        {
            let next = chunks.remove(index + 1);
            if let Some(chunk) = chunks.get_mut(index) {
                let entries = Arc::make_mut(chunk);
                entries.reserve_exact(next.len());
                entries.extend(next.iter().cloned());
            }
        }
        Some(value)
    }

    /// What must happen to `self` to become `target`, in ascending order of keys, beginning after
    /// `after`. Shared chunks cost one comparison each.
    pub fn diff<'a>(&'a self, target: &'a Self, after: Option<K>) -> Diff<'a, K, V> {
        if Arc::ptr_eq(&self.chunks, &target.chunks) {
            return Diff {
                old: Cursor::end(),
                new: Cursor::end(),
            };
        }
        Diff {
            old: Cursor::after(self, after),
            new: Cursor::after(target, after),
        }
    }

    /// Index of the first chunk whose last key is not below `key`.
    fn chunk_of(&self, key: K) -> usize {
        self.chunks
            .partition_point(|chunk| chunk.last().is_some_and(|(last, _)| *last < key))
    }
}

impl<K: Copy + Ord, V: Clone> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

/// One difference between two maps.
#[derive(Debug)]
pub enum Change<'a, K, V> {
    /// Only the target has it.
    Added(K, &'a V),
    /// Both have the key, in chunks that are not shared; the values may be equal.
    Kept(K, &'a V, &'a V),
    /// Only the old map has it.
    Removed(K, &'a V),
}

/// Iterator of [`SharedMap::diff`].
#[derive(Debug)]
pub struct Diff<'a, K, V> {
    old: Cursor<'a, K, V>,
    new: Cursor<'a, K, V>,
}

impl<'a, K: Copy + Ord, V> Iterator for Diff<'a, K, V> {
    type Item = Change<'a, K, V>;

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_shared();
        let change = match (self.old.peek(), self.new.peek()) {
            (None, None) => return None,
            (Some((key, value)), None) => Change::Removed(*key, value),
            (None, Some((key, value))) => Change::Added(*key, value),
            (Some((old, before)), Some((new, after))) => match old.cmp(new) {
                Ordering::Less => Change::Removed(*old, before),
                Ordering::Greater => Change::Added(*new, after),
                Ordering::Equal => Change::Kept(*new, before, after),
            },
        };
        if !matches!(change, Change::Added(..)) {
            self.old.step();
        }
        if !matches!(change, Change::Removed(..)) {
            self.new.step();
        }
        Some(change)
    }
}

impl<K: Copy + Ord, V> Diff<'_, K, V> {
    fn skip_shared(&mut self) {
        while let (Some(old), Some(new)) = (self.old.chunk(), self.new.chunk()) {
            if self.old.entry != self.new.entry || !Arc::ptr_eq(old, new) {
                return;
            }
            self.old.next_chunk();
            self.new.next_chunk();
        }
    }
}

/// A place in a map.
#[derive(Debug)]
struct Cursor<'a, K, V> {
    chunks: &'a [Chunk<K, V>],
    entry: usize,
}

impl<'a, K: Copy + Ord, V: Clone> Cursor<'a, K, V> {
    fn after(map: &'a SharedMap<K, V>, after: Option<K>) -> Self {
        let Some(after) = after else {
            return Self {
                chunks: &map.chunks,
                entry: 0,
            };
        };
        let chunks = map.chunks.get(map.chunk_of(after)..).unwrap_or_default();
        let entry = chunks
            .first()
            .map_or(0, |chunk| chunk.partition_point(|(key, _)| *key <= after));
        let mut cursor = Self { chunks, entry };
        cursor.normalize();
        cursor
    }
}

impl<'a, K, V> Cursor<'a, K, V> {
    fn end() -> Self {
        let chunks = &[];
        Self { chunks, entry: 0 }
    }

    fn chunk(&self) -> Option<&'a Chunk<K, V>> {
        self.chunks.first()
    }

    fn peek(&self) -> Option<&'a (K, V)> {
        self.chunk()?.get(self.entry)
    }

    fn step(&mut self) {
        self.entry += 1;
        self.normalize();
    }

    fn normalize(&mut self) {
        if self.chunk().is_some_and(|chunk| self.entry >= chunk.len()) {
            self.next_chunk();
        }
    }

    fn next_chunk(&mut self) {
        self.chunks = self.chunks.get(1..).unwrap_or_default();
        self.entry = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Change, SharedMap};

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u16, u8),
        Remove(u16),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..600u16, any::<u8>()).prop_map(|(k, v)| Step::Insert(k, v)),
            (0..600u16).prop_map(Step::Remove),
        ];
        prop::collection::vec(step, 0..900)
    }

    fn run(map: &mut SharedMap<u16, u8>, model: &mut BTreeMap<u16, u8>, steps: &[Step]) {
        for step in steps {
            match *step {
                Step::Insert(k, v) => assert_eq!(map.insert(k, v), model.insert(k, v)),
                Step::Remove(k) => assert_eq!(map.remove(k), model.remove(&k)),
            }
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_btree_map(steps in steps()) {
            let (mut map, mut model) = (SharedMap::default(), BTreeMap::new());
            run(&mut map, &mut model, &steps);
            prop_assert_eq!(map.len(), model.len());
            let entries: Vec<_> = map.iter().map(|(k, v)| (k, *v)).collect();
            prop_assert_eq!(entries, model.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn diff_turns_the_old_map_into_the_new_one(
            first in steps(), second in steps(), after in prop::option::of(0..600u16),
        ) {
            let (mut old, mut old_model) = (SharedMap::default(), BTreeMap::new());
            run(&mut old, &mut old_model, &first);
            let (mut new, mut new_model) = (old.clone(), old_model.clone());
            run(&mut new, &mut new_model, &second);

            let mut patched = old_model.clone();
            let mut last = after;
            for change in old.diff(&new, after) {
                let key = match change {
                    Change::Added(k, v) => { prop_assert_eq!(patched.insert(k, *v), None); k }
                    Change::Kept(k, before, v) => {
                        prop_assert_eq!(patched.insert(k, *v), Some(*before));
                        k
                    }
                    Change::Removed(k, v) => { prop_assert_eq!(patched.remove(&k), Some(*v)); k }
                };
                prop_assert!(last < Some(key));
                last = Some(key);
            }
            let beyond = |m: &BTreeMap<u16, u8>| -> Vec<(u16, u8)> {
                m.iter().filter(|(k, _)| after.is_none_or(|a| **k > a)).map(|(k, v)| (*k, *v)).collect()
            };
            prop_assert_eq!(beyond(&patched), beyond(&new_model));
        }
    }

    #[test]
    fn a_small_change_of_a_large_map_touches_few_entries() {
        let old: SharedMap<u32, u32> = (0..100_000).map(|k| (k, k)).collect();
        let mut new = old.clone();
        new.insert(50_000, 1);
        new.remove(70_000);
        assert!(old.diff(&new, None).count() < 400);
    }
}
