// SPDX-License-Identifier: Apache-2.0
//! A byte stream cut into messages.

use bytes::{Buf, Bytes, BytesMut};

use crate::error::DecodeError;
use crate::header::{Header, VERSION};

/// One message, not decoded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its header.
    pub header: Header,
    /// What follows the header.
    pub body: Bytes,
}

impl Frame {
    /// The one message that `bytes` are.
    ///
    /// # Errors
    /// When the header is malformed or its length is not that of `bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let header = Header::decode(bytes)?;
        let body = Bytes::copy_from_slice(bytes.get(Header::LEN..).unwrap_or_default());
        let frame = Self { header, body };
        frame.check_length()?;
        Ok(frame)
    }

    /// That the header's length, 16 bits of it, is the frame's.
    pub(crate) fn check_length(&self) -> Result<(), DecodeError> {
        let actual = self.body.len().wrapping_add(Header::LEN);
        if actual as u16 == self.header.length {
            return Ok(());
        }
        Err(DecodeError {
            offset: actual,
            kind: crate::error::DecodeErrorKind::Truncated {
                what: "message",
                needed: usize::from(self.header.length),
                available: actual,
            },
        })
    }
}

/// Collects bytes and gives out whole messages. It never holds more than was pushed, and a message
/// is at most 128 KiB, so a peer's word never sizes an allocation.
///
/// OVS lets the length of `NXT_PACKET_IN2` wrap at 65,536 when the packet is a large GSO segment
/// (`ofpmsg_update_length` in `lib/ofp-msgs.c` does not check). Such a message shows itself by a
/// first property that is longer than the whole message says; its length is corrected here.
///
/// The length of group statistics wraps likewise when a group has more than 4,092 buckets, and nothing
/// in such a message shows it: see [`Framer::with_wrapped_group_stats`].
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    wrapped_group_stats: bool,
}

impl Framer {
    /// An empty framer.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty framer for a stream in which something follows every `OFPMP_GROUP_STATS` reply, such as
    /// the answer to a barrier. A reply is held back until then: if no message begins where it says
    /// that it ends, it is longer by 65,536 bytes.
    pub fn with_wrapped_group_stats() -> Self {
        Self {
            wrapped_group_stats: true,
            ..Self::default()
        }
    }

    /// Adds bytes that came from the peer.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that wait for the rest of their message.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole message, or `None` until more bytes come.
    ///
    /// # Errors
    /// When the stream cannot be cut any more; the connection is lost.
    #[expect(
        clippy::should_implement_trait,
        reason = "not an iterator: None means not yet"
    )]
    pub fn next(&mut self) -> Result<Option<Frame>, DecodeError> {
        if self.buffer.len() < Header::LEN {
            if self.buffer.is_empty() {
                // Connections are silent most of the time: none of them keeps what it does not use.
                self.buffer = BytesMut::new();
            }
            return Ok(None);
        }
        let Some(mut length) = full_length(&self.buffer) else {
            return Ok(None);
        };
        if self.wrapped_group_stats {
            match group_stats_length(&self.buffer, length) {
                Some(full) => length = full,
                None => return Ok(None),
            }
        }
        let header = Header::decode_with_length(&self.buffer, length)?;
        if self.buffer.len() < length {
            return Ok(None);
        }
        let mut message = self.buffer.split_to(length);
        message.advance(Header::LEN);
        let body = message.freeze();
        Ok(Some(Frame { header, body }))
    }
}

const EXPERIMENTER: u8 = 4;
const PACKET_IN2: [u8; 8] = [0, 0, 0x23, 0x20, 0, 0, 0, 30];

/// The true length of the message in front of `buffer`; `None` when more bytes are needed to know.
fn full_length(buffer: &[u8]) -> Option<usize> {
    let [_, message_type, high, low] = *buffer.first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let kind = buffer.get(8..buffer.len().min(16)).unwrap_or_default();
    if message_type != EXPERIMENTER || !PACKET_IN2.starts_with(kind) {
        return Some(length);
    }
    let property = buffer.get(18..20)?.first_chunk::<2>()?;
    let first = usize::from(u16::from_be_bytes(*property));
    if length < first.saturating_add(16) {
        return Some(length.saturating_add(65_536));
    }
    Some(length)
}

const MULTIPART_REPLY: u8 = 19;
/// `OFPMP_GROUP_STATS`, after the header.
const GROUP_STATS: [u8; 2] = [0, 6];
/// How often a length may have wrapped: a group of 16,000 buckets is believed.
const MAX_WRAPS: usize = 4;

/// The true length of the message in front of `buffer`, which says `length`, if it may be group
/// statistics; `None` when more bytes are needed to know.
fn group_stats_length(buffer: &[u8], length: usize) -> Option<usize> {
    if buffer.get(1) != Some(&MULTIPART_REPLY) || buffer.get(8..10)? != GROUP_STATS {
        return Some(length);
    }
    for wraps in 0..MAX_WRAPS {
        let end = length.saturating_add(wraps.saturating_mul(65_536));
        // The first byte of a bucket's packet count is no version of OpenFlow.
        if *buffer.get(end)? == VERSION {
            return Some(end);
        }
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Statistics of a group with so many buckets, as OVS sends them.
    fn group_stats(buckets: usize) -> Vec<u8> {
        let mut message = vec![
            VERSION,
            MULTIPART_REPLY,
            0,
            0,
            0,
            0,
            0,
            9,
            0,
            6,
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        message.resize(16 + 40 + 16 * buckets, 0);
        let lengths =
            [message.len(), message.len() - 16].map(|length| (length as u16).to_be_bytes());
        message[2..4].copy_from_slice(&lengths[0]);
        message[16..18].copy_from_slice(&lengths[1]);
        message
    }

    #[test]
    fn group_statistics_of_any_number_of_buckets_are_cut_rightly() {
        let after = [VERSION, 21, 0, 8, 0, 0, 0, 1];
        for buckets in [0, 1, 4_091, 4_092, 4_093, 4_094, 4_095, 4_096, 5_000, 9_000] {
            let message = group_stats(buckets);
            let mut framer = Framer::with_wrapped_group_stats();
            framer.push(&message);
            assert_eq!(framer.next(), Ok(None), "{buckets}: nothing follows yet");
            framer.push(&after);
            let frame = framer.next().unwrap().unwrap();
            assert_eq!(frame.body.len(), message.len() - Header::LEN, "{buckets}");
            let decoded = crate::Message::decode(&frame, &crate::Context::UNMAPPED).unwrap();
            let crate::Message::MultipartReply(reply) = decoded else {
                panic!("{decoded:?}");
            };
            let crate::message::multipart::ReplyBody::GroupStats(groups) = reply.body else {
                panic!("{reply:?}");
            };
            assert_eq!(groups.len(), 1);
            assert_eq!(groups[0].buckets.len(), buckets);
            assert_eq!(framer.next().unwrap().unwrap().header.message_type, 21);
        }
    }

    #[test]
    fn a_wrapped_length_is_corrected_however_the_stream_is_cut() {
        let mut message = vec![6, EXPERIMENTER, 0, 4, 0, 0, 0, 1];
        message.extend(PACKET_IN2);
        message.extend([0, 0, 0xff, 0xf0]);
        message.resize(65_536 + 4, 0);
        for cut in 0..32 {
            let mut framer = Framer::new();
            framer.push(&message[..cut]);
            assert_eq!(framer.next(), Ok(None), "cut at {cut}");
            framer.push(&message[cut..]);
            let frame = framer.next().unwrap().unwrap();
            assert_eq!(frame.body.len(), message.len() - Header::LEN);
        }
    }
}
