// SPDX-License-Identifier: Apache-2.0
//! A socket that remembers what is written to it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use openflow_codec::message::message_type;
use openflow_codec::{Frame, Framer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

/// Bytes that went through.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    /// Whole messages.
    pub(crate) fn frames(&self) -> Vec<Frame> {
        let mut framer = Framer::new();
        framer.push(&self.0.lock().expect("nobody panics with it"));
        let frames = std::iter::from_fn(|| framer.next().expect("our own messages"));
        frames.collect()
    }

    /// How many of them change flows or groups, in bundles or not.
    pub(crate) fn mods(&self) -> usize {
        let frames = self.frames();
        let mods = frames.iter().filter(|frame| {
            matches!(
                frame.header.message_type,
                message_type::FLOW_MOD | message_type::GROUP_MOD | message_type::BUNDLE_ADD_MESSAGE
            )
        });
        mods.count()
    }
}

/// The socket.
pub(crate) struct Tap {
    stream: UnixStream,
    written: Written,
}

impl Tap {
    pub(crate) fn new(stream: UnixStream) -> (Self, Written) {
        let written = Written::default();
        let tap = Self {
            stream,
            written: written.clone(),
        };
        (tap, written)
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(length)) = &polled {
            let taken = bytes.get(..*length).unwrap_or_default();
            let mut written = self.written.0.lock().expect("nobody panics with it");
            written.extend_from_slice(taken);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
