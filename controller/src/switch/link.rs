// SPDX-License-Identifier: Apache-2.0
//! Moves bytes and time between one socket and one session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use openflow_session::{Config, Session};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf,
};
use tokio::time::{sleep_until, timeout};

/// Read from the socket at a time.
const READ_BYTES: usize = 16 << 10;

/// How long the last bytes may take.
const LINGER: Duration = Duration::from_millis(200);

/// A session and its socket.
pub struct Link<S> {
    session: Session,
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    /// Bytes that the session has not seen yet.
    read: BytesMut,
    /// Bytes that the socket has not taken yet.
    out: Bytes,
}

/// The connection is over.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The switch hung up.
    #[error("the switch closed the connection")]
    Closed,
    /// The socket cannot be read.
    #[error("reading failed: {0}")]
    Read(std::io::Error),
    /// The socket cannot be written.
    #[error("writing failed: {0}")]
    Write(std::io::Error),
}

impl<S: AsyncRead + AsyncWrite> Link<S> {
    /// A session on a connection that was just made.
    pub fn new(stream: S, config: Arc<Config>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            session: Session::new(config, Instant::now()),
            reader,
            writer,
            read: BytesMut::with_capacity(READ_BYTES),
            out: Bytes::new(),
        }
    }

    /// The session. Its events are to be taken before each [`Link::turn`].
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Waits until something can be read or written, or until the session's time has come, and does
    /// that. Nothing is lost when this is dropped before its end.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn turn(&mut self) -> Result<(), LinkError> {
        if self.out.is_empty() {
            self.out = self.session.poll_transmit().unwrap_or_default();
        }
        let deadline = self.session.poll_timeout();
        tokio::select! {
            read = self.reader.read_buf(&mut self.read) => match read {
                Ok(0) => return Err(LinkError::Closed),
                Ok(_) => {
                    self.session.handle_bytes(&self.read, Instant::now());
                    self.read.clear();
                    self.read.reserve(READ_BYTES);
                }
                Err(error) => return Err(LinkError::Read(error)),
            },
            written = self.writer.write_buf(&mut self.out), if !self.out.is_empty() => {
                written.map_err(LinkError::Write)?;
            }
            () = sleep_until(deadline.unwrap_or_else(Instant::now).into()), if deadline.is_some() => {
                self.session.handle_timeout(Instant::now());
            }
        }
        Ok(())
    }

    /// Gives the last message of an ended session a moment to leave; whether it did.
    pub async fn linger(mut self) -> bool {
        if self.out.is_empty() {
            self.out = self.session.poll_transmit().unwrap_or_default();
        }
        let last = self.writer.write_all(&self.out);
        self.out.is_empty() || matches!(timeout(LINGER, last).await, Ok(Ok(())))
    }
}
