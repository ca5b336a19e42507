// SPDX-License-Identifier: Apache-2.0
//! JSON-RPC 1.0 as OVSDB speaks it (RFC 7047 section 4): objects one after the other on a stream.

mod framer;
mod message;

pub use framer::{Frame, FrameError, FrameErrorKind, Framer, MAX_DEPTH};
pub(crate) use message::error_text;
pub use message::{Message, MessageError};
