// SPDX-License-Identifier: Apache-2.0
//! Appends big-endian values to a buffer and fills in lengths afterwards.

use std::time::Duration;

use crate::context::Context;
use crate::error::EncodeError;

/// A growing message. The first value that does not fit is remembered and reported at the end, so
/// that encoders need no error handling of their own.
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    context: &'a Context,
    error: Option<EncodeError>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, context: &'a Context) -> Self {
        let start = out.len();
        Self {
            out,
            start,
            context,
            error: None,
        }
    }

    pub(crate) const fn context(&self) -> &'a Context {
        self.context
    }

    /// Leaves the bytes with their owner, whether or not their lengths fit.
    pub(crate) fn keep(self) {}

    /// Leaves the bytes with their owner, or takes back everything that was appended.
    pub(crate) fn finish(self) -> Result<(), EncodeError> {
        match self.error {
            None => Ok(()),
            Some(error) => {
                self.out.truncate(self.start);
                Err(error)
            }
        }
    }

    /// Where the next byte goes.
    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.out.len()
    }

    #[inline]
    pub(crate) fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    #[inline]
    pub(crate) fn u16(&mut self, value: u16) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    pub(crate) fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    pub(crate) fn u64(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    /// Several numbers at once, which is much faster than one after the other.
    #[inline]
    pub(crate) fn words<const N: usize>(&mut self, words: [u64; N]) {
        self.out
            .extend_from_slice(words.map(u64::to_be_bytes).as_flattened());
    }

    /// The first `count` of a fixed number of bytes: copying them all and cutting is faster than
    /// copying a number of bytes that only shows at run time.
    #[inline]
    pub(crate) fn first<const N: usize>(&mut self, count: usize, bytes: &[u8; N]) {
        let end = self.out.len().saturating_add(count);
        self.out.extend_from_slice(bytes);
        self.out.truncate(end);
    }

    #[inline]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    #[inline]
    pub(crate) fn zeros(&mut self, count: usize) {
        self.out.resize(self.out.len().saturating_add(count), 0);
    }

    /// Seconds and nanoseconds, 32 bits each; all ones is not told.
    pub(crate) fn duration(&mut self, duration: Option<Duration>) {
        let duration = duration.unwrap_or(Duration::MAX);
        let seconds = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        self.u32(seconds);
        self.u32(match seconds {
            u32::MAX => u32::MAX,
            _ => duration.subsec_nanos(),
        });
    }

    /// The low `count` bytes of `value`, big-endian; more than 16 are zeros in front.
    #[inline]
    pub(crate) fn number(&mut self, value: u128, count: usize) {
        match count {
            2 => self.u16(value as u16),
            4 => self.u32(value as u32),
            16 => self.bytes(&value.to_be_bytes()),
            _ => {
                self.zeros(count.saturating_sub(16));
                let bytes = value.to_be_bytes();
                self.bytes(bytes.get(16usize.saturating_sub(count)..).unwrap_or(&bytes));
            }
        }
    }

    /// A string of exactly `count` bytes, cut or padded with NUL; the last byte is always NUL.
    pub(crate) fn string(&mut self, text: &str, count: usize) {
        let room = count.saturating_sub(1);
        let bytes = text.as_bytes();
        let bytes = bytes.get(..room).unwrap_or(bytes);
        self.bytes(bytes);
        self.zeros(count.saturating_sub(bytes.len()));
    }

    /// Zeros until a multiple of 8 bytes after `start`.
    #[inline]
    pub(crate) fn pad8(&mut self, start: usize) {
        let length = self.position().wrapping_sub(start);
        self.first(length.wrapping_neg() & 7, &[0; 8]);
    }

    /// Overwrites the 16 bits at `at` with the number of bytes since `start`.
    #[inline]
    pub(crate) fn set_length(&mut self, what: &'static str, at: usize, start: usize) {
        let length = self.position().wrapping_sub(start);
        let Ok(short) = u16::try_from(length) else {
            self.fail(EncodeError::TooLong { what, length });
            return;
        };
        if let Some(slot) = self
            .out
            .get_mut(at..)
            .and_then(|rest| rest.first_chunk_mut::<2>())
        {
            *slot = short.to_be_bytes();
        }
    }

    /// Lets `change` edit what was written since `at`.
    pub(crate) fn patch(&mut self, at: usize, change: impl FnOnce(&mut [u8])) {
        if let Some(bytes) = self.out.get_mut(at..) {
            change(bytes);
        }
    }

    /// Remembers the first error.
    pub(crate) fn fail(&mut self, error: EncodeError) {
        self.error.get_or_insert(error);
    }
}
