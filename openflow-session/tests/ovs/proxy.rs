// SPDX-License-Identifier: Apache-2.0
//! Stands between a session and a switch: delays messages, and ends the connection where it is told.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToSwitch,
    FromSwitch,
}

/// Where a connection ends: after so many messages in one direction, and perhaps half of one more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) direction: Direction,
    pub(crate) messages: usize,
    pub(crate) half: bool,
}

/// What is wrong with a connection; nothing by default.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) cut: Option<Cut>,
    /// How much later every message arrives.
    pub(crate) delay: Duration,
}

pub(crate) struct Proxy {
    stream: UnixStream,
    trouble: Trouble,
    to_switch: Lane,
    from_switch: Lane,
    ended: bool,
}

/// Messages on their way in one direction.
#[derive(Default)]
struct Lane {
    buffer: Vec<u8>,
    late: VecDeque<(Instant, Vec<u8>)>,
    passed: usize,
}

impl Lane {
    /// Takes bytes; they are cut into messages only when messages are counted, since OVS lets the
    /// lengths of some wrap.
    fn push(&mut self, bytes: &[u8], due: Instant, cut: Option<Cut>) {
        if cut.is_none() {
            return self.late.push_back((due, bytes.to_vec()));
        }
        self.buffer.extend_from_slice(bytes);
        // The length of a message is in its third and fourth byte.
        while let Some(&[high, low]) = self.buffer.get(2..4) {
            let length = usize::from(u16::from_be_bytes([high, low]));
            if self.buffer.len() < length {
                break;
            }
            let rest = self.buffer.split_off(length);
            let message = std::mem::replace(&mut self.buffer, rest);
            self.late.push_back((due, message));
        }
    }

    /// The next message that is due, and whether it is the one that the connection breaks at.
    fn next(&mut self, now: Instant, cut: Option<Cut>) -> Option<(Vec<u8>, bool)> {
        let (due, _) = self.late.front()?;
        if *due > now {
            return None;
        }
        let (_, mut message) = self.late.pop_front()?;
        let breaks = cut.is_some_and(|cut| self.passed >= cut.messages);
        if breaks {
            let kept = cut.filter(|cut| cut.half).map_or(0, |_| message.len() / 2);
            message.truncate(kept);
        }
        self.passed += 1;
        Some((message, breaks))
    }
}

impl Proxy {
    pub(crate) fn new(stream: UnixStream, trouble: Trouble) -> Self {
        stream
            .set_read_timeout(Some(Duration::from_millis(1)))
            .expect("a socket");
        Self {
            stream,
            trouble,
            to_switch: Lane::default(),
            from_switch: Lane::default(),
            ended: false,
        }
    }

    /// Whether the connection has ended, for whatever reason.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Takes what the session says.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let due = Instant::now() + self.trouble.delay;
        let cut = self.cut(Direction::ToSwitch);
        self.to_switch.push(bytes, due, cut);
    }

    /// Moves what is due, and answers what the session hears.
    pub(crate) fn turn(&mut self) -> Vec<u8> {
        let cut = self.cut(Direction::ToSwitch);
        while !self.ended
            && let Some((message, breaks)) = self.to_switch.next(Instant::now(), cut)
        {
            let written = self.stream.write_all(&message);
            self.ended |= written.is_err();
            if breaks {
                self.end();
            }
        }
        let mut buffer = [0; 65_536];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(length) => {
                let due = Instant::now() + self.trouble.delay;
                let cut = self.cut(Direction::FromSwitch);
                self.from_switch.push(&buffer[..length], due, cut);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.ended = true,
        }
        let mut heard = Vec::new();
        let cut = self.cut(Direction::FromSwitch);
        while let Some((message, breaks)) = self.from_switch.next(Instant::now(), cut) {
            heard.extend(message);
            if breaks {
                self.end();
                break;
            }
        }
        heard
    }

    fn cut(&self, direction: Direction) -> Option<Cut> {
        self.trouble.cut.filter(|cut| cut.direction == direction)
    }

    /// Ends the connection, and waits until the switch has: one that dials does not dial again
    /// before it has read the rest of the old stream.
    fn end(&mut self) {
        self.ended = true;
        // It fails when the switch has ended the connection before.
        drop(self.stream.shutdown(Shutdown::Write));
        let end = Instant::now() + PATIENCE;
        let mut buffer = [0; 65_536];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert!(Instant::now() < end, "the switch keeps the connection");
                }
                Err(_) => return,
            }
        }
    }
}
