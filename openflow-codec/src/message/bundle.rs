// SPDX-License-Identifier: Apache-2.0
//! Bundles: several messages that take effect together (OpenFlow 1.5.1 section 7.3.9).
//!
//! OVS takes `flow_mod`, `group_mod`, `packet_out` and (when not atomic) `port_mod`; every message
//! must have the transaction id of the `OFPT_BUNDLE_ADD_MESSAGE` around it, and all the same flags.

use bitflags::bitflags;
use bytes::Bytes;

use super::{Message, message_type, write_message};
use crate::context::Context;
use crate::error::{DecodeError, EncodeError};
use crate::framer::Frame;
use crate::header::{Header, set_xid};
use crate::ids::{BundleId, Xid};
use crate::numbers::bundle_control;
use crate::reader::Reader;
use crate::writer::Writer;

bitflags! {
    /// `ofp_bundle_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct BundleFlags: u16 {
        /// All or nothing.
        const ATOMIC = 1;
        /// In the order in which they were added.
        const ORDERED = 2;
        /// Bits that are not known.
        const _ = !0;
    }
}

/// `ofp_bundle_ctrl_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each name is the specification's, without OFPBCT_"
)]
pub enum BundleCommand {
    OpenRequest,
    OpenReply,
    CloseRequest,
    CloseReply,
    CommitRequest,
    CommitReply,
    DiscardRequest,
    DiscardReply,
    Unknown(u16),
}

impl BundleCommand {
    const fn to_wire(self) -> u16 {
        match self {
            Self::OpenRequest => bundle_control::OPEN_REQUEST,
            Self::OpenReply => bundle_control::OPEN_REPLY,
            Self::CloseRequest => bundle_control::CLOSE_REQUEST,
            Self::CloseReply => bundle_control::CLOSE_REPLY,
            Self::CommitRequest => bundle_control::COMMIT_REQUEST,
            Self::CommitReply => bundle_control::COMMIT_REPLY,
            Self::DiscardRequest => bundle_control::DISCARD_REQUEST,
            Self::DiscardReply => bundle_control::DISCARD_REPLY,
            Self::Unknown(number) => number,
        }
    }

    const fn from_wire(number: u16) -> Self {
        match number {
            bundle_control::OPEN_REQUEST => Self::OpenRequest,
            bundle_control::OPEN_REPLY => Self::OpenReply,
            bundle_control::CLOSE_REQUEST => Self::CloseRequest,
            bundle_control::CLOSE_REPLY => Self::CloseReply,
            bundle_control::COMMIT_REQUEST => Self::CommitRequest,
            bundle_control::COMMIT_REPLY => Self::CommitReply,
            bundle_control::DISCARD_REQUEST => Self::DiscardRequest,
            bundle_control::DISCARD_REPLY => Self::DiscardReply,
            number => Self::Unknown(number),
        }
    }
}

/// `OFPT_BUNDLE_CONTROL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BundleControl {
    /// Which bundle.
    pub bundle: BundleId,
    /// What happens to it.
    pub command: BundleCommand,
    /// How it is applied.
    pub flags: BundleFlags,
}

impl BundleControl {
    pub(super) fn put(self, out: &mut Writer<'_>) {
        out.u32(self.bundle.0);
        out.u16(self.command.to_wire());
        out.u16(self.flags.bits());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            bundle: BundleId(reader.u32("bundle id")?),
            command: BundleCommand::from_wire(reader.u16("bundle type")?),
            flags: BundleFlags::from_bits_retain(reader.u16("bundle flags")?),
        })
    }
}

/// `OFPT_BUNDLE_ADD_MESSAGE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleAdd {
    /// Which bundle.
    pub bundle: BundleId,
    /// How it is applied: the same as when it was opened.
    pub flags: BundleFlags,
    /// The encoded message, header included. Its transaction id is overwritten when this is encoded.
    pub message: Bytes,
}

impl BundleAdd {
    /// Adds `message` to `bundle`.
    ///
    /// # Errors
    /// When the message cannot be encoded.
    pub fn new(
        bundle: BundleId,
        flags: BundleFlags,
        message: &Message,
        context: &Context,
    ) -> Result<Self, EncodeError> {
        let mut bytes = Vec::new();
        message.encode(Xid(0), context, &mut bytes)?;
        Ok(Self {
            bundle,
            flags,
            message: bytes.into(),
        })
    }

    /// Reads the message inside.
    ///
    /// # Errors
    /// When it is malformed; offsets count from its own first byte.
    pub fn decode_message(&self, context: &Context) -> Result<(Xid, Message), DecodeError> {
        let frame = Frame {
            header: Header::decode(&self.message)?,
            body: self.message.slice(Header::LEN..),
        };
        Ok((frame.header.xid, Message::decode(&frame, context)?))
    }

    pub(super) fn put(&self, out: &mut Writer<'_>, xid: Xid) {
        put_add(out, self.bundle, self.flags, &self.message, xid);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bundle = BundleId(reader.u32("bundle id")?);
        reader.skip("padding", 2)?;
        let flags = BundleFlags::from_bits_retain(reader.u16("bundle flags")?);
        let mut inner = Reader::new(reader.peek(), 16);
        inner.skip("version and type", 2)?;
        let length = usize::from(inner.u16("length")?);
        if length < Header::LEN {
            return Err(inner.bad_length("message in bundle", length));
        }
        let message = reader.take("message in bundle", length)?;
        Ok(Self {
            bundle,
            flags,
            message: Bytes::copy_from_slice(message),
        })
    }
}

/// Appends an `OFPT_BUNDLE_ADD_MESSAGE` around a message that is encoded already, without
/// allocating: both get `xid`.
///
/// # Errors
/// When the message is too long to stand in another one.
pub fn encode_bundle_add(
    bundle: BundleId,
    flags: BundleFlags,
    message: &[u8],
    xid: Xid,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let kind = message_type::BUNDLE_ADD_MESSAGE;
    write_message(out, kind, xid, &Context::UNMAPPED, |out| {
        put_add(out, bundle, flags, message, xid);
    })
}

fn put_add(out: &mut Writer<'_>, bundle: BundleId, flags: BundleFlags, message: &[u8], xid: Xid) {
    out.u32(bundle.0);
    out.zeros(2);
    out.u16(flags.bits());
    let at = out.position();
    out.bytes(message);
    out.patch(at, |message| set_xid(message, xid));
}
