// SPDX-License-Identifier: Apache-2.0
//! A unix socket that passes everything on and remembers the messages.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};
use openflow_codec::{Framer, Header};

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// Whether it went to the switch or came from it.
    pub(crate) to_switch: bool,
    /// The message.
    pub(crate) bytes: Vec<u8>,
}

/// What was said so far.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Recorded>>>);

impl Log {
    /// The messages so far.
    pub(crate) fn messages(&self) -> MutexGuard<'_, Vec<Recorded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens at `path`, and connects each who comes with `switch`.
pub(crate) fn listen(path: &Path, switch: PathBuf) -> Result<Log> {
    let listener = UnixListener::bind(path).with_context(|| path.display().to_string())?;
    let log = Log::default();
    let kept = log.clone();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // Without a switch the client sees the end at once, and says so.
            if let Ok(switch) = UnixStream::connect(&switch) {
                connect(&client, &switch, &kept);
            }
        }
    });
    Ok(log)
}

fn connect(client: &UnixStream, switch: &UnixStream, log: &Log) {
    for (from, to, to_switch) in [(client, switch, true), (switch, client, false)] {
        let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else {
            return;
        };
        let log = log.clone();
        thread::spawn(move || pass_on(from, to, to_switch, &log));
    }
}

fn pass_on(mut from: UnixStream, mut to: UnixStream, to_switch: bool, log: &Log) {
    let mut framer = Framer::new();
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let chunk = buffer.get(..count).unwrap_or_default();
        // Remembered first: who has seen the message finds it in the log.
        framer.push(chunk);
        while let Ok(Some(frame)) = framer.next() {
            log.messages().push(Recorded {
                to_switch,
                bytes: whole(frame.header, &frame.body),
            });
        }
        if to.write_all(chunk).is_err() {
            break;
        }
    }
    // Both may be closed already.
    drop(to.shutdown(Shutdown::Both));
    drop(from.shutdown(Shutdown::Both));
}

fn whole(header: Header, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![header.version, header.message_type];
    bytes.extend(header.length.to_be_bytes());
    bytes.extend(header.xid.0.to_be_bytes());
    bytes.extend(body);
    bytes
}
