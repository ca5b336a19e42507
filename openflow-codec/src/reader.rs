// SPDX-License-Identifier: Apache-2.0
//! A cursor over received bytes whose every step can fail and says where.

use std::time::Duration;

use bytes::Bytes;

use crate::error::{DecodeError, DecodeErrorKind};

type Result<T> = std::result::Result<T, DecodeError>;

/// Reads big-endian values from a slice; never reads past its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Where `rest` ends in the message.
    end: usize,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`, the first of which is byte `offset` of the message.
    pub(crate) const fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self {
            rest: bytes,
            end: offset.saturating_add(bytes.len()),
        }
    }

    /// Where the next byte stands in the message.
    const fn offset(&self) -> usize {
        self.end.saturating_sub(self.rest.len())
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// How many elements are left, each of at least `least` bytes and with a 16-bit length in it at
    /// `length_at`: what they will take can then be had in one piece.
    pub(crate) fn elements(&self, length_at: usize, least: usize) -> usize {
        let mut rest = self.rest;
        let mut count = 0usize;
        while let Some(length) = rest.get(length_at..).and_then(<[u8]>::first_chunk) {
            // The last one may be cut short, which is for its reader to say.
            let length = usize::from(u16::from_be_bytes(*length)).max(least);
            rest = rest.get(length..).unwrap_or_default();
            count = count.saturating_add(1);
        }
        count
    }

    /// What is left, without consuming it.
    pub(crate) const fn peek(&self) -> &'a [u8] {
        self.rest
    }

    /// An error at the current position.
    pub(crate) const fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError {
            offset: self.offset(),
            kind,
        }
    }

    /// A length that cannot be right, at the current position.
    pub(crate) const fn bad_length(&self, what: &'static str, length: usize) -> DecodeError {
        self.error(DecodeErrorKind::BadLength { what, length })
    }

    /// A value that has no meaning, at the current position.
    pub(crate) fn bad_value(&self, what: &'static str, value: impl Into<u64>) -> DecodeError {
        self.error(DecodeErrorKind::BadValue {
            what,
            value: value.into(),
        })
    }

    #[inline]
    pub(crate) fn take(&mut self, what: &'static str, count: usize) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.error(DecodeErrorKind::Truncated {
                what,
                needed: count,
                available: self.rest.len(),
            })),
        }
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(self.error(DecodeErrorKind::Truncated {
                what,
                needed: N,
                available: self.rest.len(),
            })),
        }
    }

    #[inline]
    pub(crate) fn skip(&mut self, what: &'static str, count: usize) -> Result<()> {
        self.take(what, count).map(drop)
    }

    #[inline]
    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16> {
        self.array(what).map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32> {
        self.array(what).map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64> {
        self.array(what).map(u64::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u128(&mut self, what: &'static str) -> Result<u128> {
        self.array(what).map(u128::from_be_bytes)
    }

    #[inline]
    pub(crate) fn mac(&mut self, what: &'static str) -> Result<[u8; 6]> {
        self.array(what)
    }

    /// Seconds and nanoseconds, 32 bits each; all ones is not told.
    pub(crate) fn duration(&mut self, what: &'static str) -> Result<Option<Duration>> {
        let (seconds, nanoseconds) = (self.u32(what)?, self.u32(what)?);
        let duration = Duration::from_secs(seconds.into())
            .saturating_add(Duration::from_nanos(nanoseconds.into()));
        Ok((duration.as_secs() < u32::MAX.into()).then_some(duration))
    }

    /// The next 64-bit words, which are not consumed; `None` if there are not as many.
    #[inline]
    pub(crate) fn words<const N: usize>(&self) -> Option<[u64; N]> {
        let bytes = self.rest.get(..N.checked_mul(8)?)?;
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_be_bytes(*bytes);
        }
        Some(words)
    }

    /// A big-endian number of `count` bytes, at most 16.
    #[inline]
    pub(crate) fn number(&mut self, what: &'static str, count: usize) -> Result<u128> {
        match count {
            1 => self.u8(what).map(u128::from),
            2 => self.u16(what).map(u128::from),
            4 => self.u32(what).map(u128::from),
            8 => self.u64(what).map(u128::from),
            16 => self.u128(what),
            0..=16 => {
                let bytes = self.take(what, count)?;
                Ok(bytes
                    .iter()
                    .fold(0, |number, byte| number << 8 | u128::from(*byte)))
            }
            _ => Err(self.bad_length(what, count)),
        }
    }

    /// A reader of the next `count` bytes, which are consumed here.
    #[inline]
    pub(crate) fn sub(&mut self, what: &'static str, count: usize) -> Result<Self> {
        let offset = self.offset();
        Ok(Self::new(self.take(what, count)?, offset))
    }

    /// Everything that is left, copied.
    pub(crate) fn rest(&mut self) -> Bytes {
        let bytes = Bytes::copy_from_slice(self.rest);
        self.rest = &[];
        bytes
    }

    /// A NUL-padded string of `count` bytes; bytes that are not UTF-8 are replaced. It is at most
    /// `count` - 1 bytes long, so that it can be written again: the last byte should be NUL.
    pub(crate) fn string(&mut self, what: &'static str, count: usize) -> Result<String> {
        let bytes = self.take(what, count)?;
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = String::from_utf8_lossy(text);
        let room = count.saturating_sub(1).min(text.len());
        // An empty text ends the search.
        let fits = (0..=room).rev().find_map(|end| text.get(..end));
        Ok(fits.unwrap_or_default().to_owned())
    }

    /// A length-prefixed element: consumes `length` bytes (which count `consumed` bytes already
    /// read) and the padding to a multiple of 8, if there is any left, and returns its inside.
    #[inline]
    pub(crate) fn element(
        &mut self,
        what: &'static str,
        length: u16,
        consumed: usize,
    ) -> Result<Self> {
        let length = usize::from(length);
        let Some(inside) = length.checked_sub(consumed) else {
            return Err(self.bad_length(what, length));
        };
        let sub = self.sub(what, inside)?;
        let padding = length.wrapping_neg() & 7;
        self.skip("padding", padding.min(self.remaining()))?;
        Ok(sub)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_never_too_long_to_be_written_again() {
        let read = |bytes: &[u8]| Reader::new(bytes, 0).string("name", bytes.len()).unwrap();
        assert_eq!(read(b"br-int\0\0"), "br-int");
        assert_eq!(read(b"no-end-"), "no-end");
        // Each byte that is not UTF-8 becomes three.
        assert_eq!(read(&[b'a', 0xff, 0xff, 0xff]), "a");
        assert_eq!(read(&[0xff; 8]), "\u{fffd}\u{fffd}");
        assert_eq!(read(&[0xff]), "");
    }
}
