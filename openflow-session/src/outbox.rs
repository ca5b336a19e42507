// SPDX-License-Identifier: Apache-2.0
//! Messages that must not wait behind flows, up to a number of bytes.

use std::collections::VecDeque;

use bytes::Bytes;
use openflow_codec::{Context, Message, Xid};

use crate::event::CloseReason;

/// Encoded messages on their way to the socket.
#[derive(Debug)]
pub(crate) struct Outbox {
    messages: VecDeque<Bytes>,
    bytes: usize,
    limit: usize,
}

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            limit,
        }
    }

    /// Adds a message.
    ///
    /// # Errors
    /// When the switch asks for answers without reading them, or a message is too long.
    pub(crate) fn push(
        &mut self,
        xid: Xid,
        message: &Message,
        context: &Context,
    ) -> Result<(), CloseReason> {
        let mut out = Vec::new();
        message
            .encode(xid, context, &mut out)
            .map_err(|error| CloseReason::Limit(error.to_string()))?;
        self.bytes += out.len();
        if self.bytes > self.limit {
            let what = format!("{} bytes of answers that it does not read", self.bytes);
            return Err(CloseReason::Limit(what));
        }
        self.messages.push_back(out.into());
        Ok(())
    }

    /// The oldest message.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        Some(message)
    }
}
