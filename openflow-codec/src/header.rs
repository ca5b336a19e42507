// SPDX-License-Identifier: Apache-2.0
//! The 8 bytes in front of every message (OpenFlow 1.5.1 section 7.1.1).

use crate::error::DecodeError;
use crate::ids::Xid;
use crate::reader::Reader;

/// Wire number of OpenFlow 1.5, the only version spoken.
pub const VERSION: u8 = 0x06;

/// `ofp_header`.
///
/// ```text
///  0        1        2                 4                                   8
///  +--------+--------+-----------------+-----------------------------------+
///  | version|  type  |     length      |                xid                |
///  +--------+--------+-----------------+-----------------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Version of this message.
    pub version: u8,
    /// `OFPT_*`.
    pub message_type: u8,
    /// Length of header and body as written by the sender, who may have let it wrap
    /// (see [`crate::Framer`]).
    pub length: u16,
    /// Which request this is or answers.
    pub xid: Xid,
}

impl Header {
    /// Bytes of a header.
    pub const LEN: usize = 8;

    /// Reads the header in front of `bytes`.
    ///
    /// # Errors
    /// When there are fewer than 8 bytes, or the length is less than 8.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, 0);
        reader.skip("version and type", 2)?;
        let length = usize::from(reader.u16("length")?);
        Self::decode_with_length(bytes, length)
    }

    /// Reads a header whose message is known to be `length` bytes long.
    pub(crate) fn decode_with_length(bytes: &[u8], length: usize) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, 0);
        let version = reader.u8("version")?;
        let message_type = reader.u8("type")?;
        if length < Self::LEN {
            return Err(reader.bad_length("message", length));
        }
        Ok(Self {
            version,
            message_type,
            length: reader.u16("length")?,
            xid: Xid(reader.u32("xid")?),
        })
    }
}

/// Overwrites the transaction id of an encoded message, so that the same bytes can be sent again.
/// Bytes shorter than a header are left alone.
pub fn set_xid(message: &mut [u8], xid: Xid) {
    if let Some(slot) = message
        .get_mut(4..)
        .and_then(|rest| rest.first_chunk_mut::<4>())
    {
        *slot = xid.0.to_be_bytes();
    }
}
