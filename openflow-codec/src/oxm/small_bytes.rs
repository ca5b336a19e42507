// SPDX-License-Identifier: Apache-2.0
//! A short string of bytes that needs no allocation.

use std::hash::{Hash, Hasher};
use std::ops::Range;

use crate::writer::Writer;

/// Bytes that are in place: as many as nearly all matches take.
const INLINE: usize = 62;

/// A `Vec<u8>` whose bytes are in place while they are few.
#[derive(Clone)]
pub(super) enum SmallBytes {
    Inline { length: u8, bytes: [u8; INLINE] },
    Heap(Vec<u8>),
}

impl SmallBytes {
    pub(super) const fn new() -> Self {
        Self::Inline {
            length: 0,
            bytes: [0; INLINE],
        }
    }

    #[inline]
    pub(super) fn set(&mut self, new: &[u8]) {
        if let Self::Inline { length, bytes } = self
            && let Some(room) = bytes.get_mut(..new.len())
        {
            room.copy_from_slice(new);
            *length = new.len() as u8;
            return;
        }
        *self = Self::from_slice(new);
    }

    fn from_slice(bytes: &[u8]) -> Self {
        if bytes.len() > INLINE {
            return Self::Heap(bytes.to_vec());
        }
        let mut small = Self::new();
        small.set(bytes);
        small
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inline { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or(bytes),
            Self::Heap(bytes) => bytes,
        }
    }

    /// Writes the bytes to a message.
    #[inline]
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        match self {
            Self::Inline { length, bytes } => out.first(usize::from(*length), bytes),
            Self::Heap(bytes) => out.bytes(bytes),
        }
    }

    /// Appends what `write` puts at the front of `N` bytes; it says how many these are.
    #[inline(always)]
    pub(super) fn append<const N: usize>(&mut self, write: impl FnOnce(&mut [u8; N]) -> u8) {
        if let Self::Inline { length, bytes } = self
            && let Some(room) = bytes
                .get_mut(usize::from(*length)..)
                .and_then(|rest| rest.first_chunk_mut::<N>())
        {
            *length = length.saturating_add(write(room));
            return;
        }
        let mut room = [0; N];
        let count = usize::from(write(&mut room));
        self.append_elsewhere(room.get(..count).unwrap_or(&room));
    }

    #[cold]
    fn append_elsewhere(&mut self, new: &[u8]) {
        let end = self.as_slice().len();
        self.splice(end..end, new);
    }

    /// Puts `new` in the place of `range`.
    pub(super) fn splice(&mut self, range: Range<usize>, new: &[u8]) {
        if let Self::Heap(bytes) = self {
            bytes.splice(range, new.iter().copied());
            return;
        }
        let old = self.as_slice();
        let before = old.get(..range.start).unwrap_or(old);
        let after = old.get(range.end..).unwrap_or_default();
        *self = Self::from_slice(&[before, new, after].concat());
    }
}

impl PartialEq for SmallBytes {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for SmallBytes {}

impl Hash for SmallBytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_same_in_place_and_on_the_heap() {
        let mut small = SmallBytes::new();
        let mut expected = Vec::new();
        for number in 0..40u8 {
            small.append(|room: &mut [u8; 8]| {
                *room = [number; 8];
                number % 9
            });
            expected.extend(vec![number; usize::from(number % 9)]);
            assert_eq!(small.as_slice(), expected);
            assert!(small == SmallBytes::from_slice(&expected));
        }
        assert!(matches!(small, SmallBytes::Heap(_)));
    }

    #[test]
    fn a_range_is_replaced_wherever_the_bytes_are() {
        for length in [10u8, 61, 62, 63, 100] {
            let mut expected: Vec<u8> = (0..length).collect();
            let mut small = SmallBytes::from_slice(&expected);
            small.splice(3..5, &[0xaa; 4]);
            expected.splice(3..5, [0xaa; 4]);
            assert_eq!(small.as_slice(), expected);
        }
    }
}
