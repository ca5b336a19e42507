// SPDX-License-Identifier: Apache-2.0
//! The other nodes: simulated switches in a process of their own, so that neither their memory nor
//! their work counts as the controller's.
//!
//! The process is this program with the word `crowd`. A line `dial ADDRESS` connects every switch;
//! a line `mods` is answered by how many modifications have come in at their sockets so far.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_sim::Switch;
use openflow_codec::DatapathId;

use crate::pods::NODES;

/// First argument of the process.
pub(crate) const WORD: &str = "crowd";

pub(crate) struct Crowd {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Crowd {
    pub(crate) fn start() -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(program)
            .arg(WORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started again");
        let input = child.stdin.take().expect("a pipe");
        let output = child.stdout.take().expect("a pipe");
        Self {
            child,
            input,
            output: BufReader::new(output),
        }
    }

    pub(crate) fn dial(&mut self, address: SocketAddr) {
        writeln!(self.input, "dial {address}").expect("the crowd runs");
    }

    /// How many modifications have come in so far.
    pub(crate) fn mods(&mut self) -> f64 {
        writeln!(self.input, "mods").expect("the crowd runs");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the crowd runs");
        line.trim().parse().expect("a number")
    }

    /// Datapath id of a node's switch.
    pub(crate) fn datapath_id(node: u32) -> DatapathId {
        DatapathId(u64::from(node) + 1_000)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What the process does.
pub(crate) fn run() {
    let mods = Arc::new(AtomicU64::new(0));
    let switch = |node| Arc::new(Mutex::new(Switch::new(Crowd::datapath_id(node))));
    let switches: Vec<_> = (1..NODES).map(switch).collect();
    for line in std::io::stdin().lines() {
        let Ok(line) = line else { return };
        match line.split_once(' ') {
            Some(("dial", address)) => {
                for switch in &switches {
                    let (switch, mods) = (Arc::clone(switch), Arc::clone(&mods));
                    let stream = TcpStream::connect(address).expect("the controller listens");
                    std::thread::spawn(move || serve(stream, &switch, &mods));
                }
            }
            _ => println!("{}", mods.load(Ordering::SeqCst)),
        }
    }
}

/// Answers until it is hung up on.
fn serve(mut stream: TcpStream, switch: &Mutex<Switch>, mods: &AtomicU64) {
    stream.set_nodelay(true).expect("a socket");
    let lock = || switch.lock().unwrap_or_else(PoisonError::into_inner);
    let connection = lock().connect(Duration::ZERO);
    let (mut buffer, mut out, mut counter) = (vec![0; 1 << 16], Vec::new(), Counter::default());
    loop {
        out.clear();
        while let Some(bytes) = lock().poll_transmit(connection, Duration::ZERO) {
            out.extend_from_slice(&bytes);
        }
        let length = match stream
            .write_all(&out)
            .and_then(|()| stream.read(&mut buffer))
        {
            Ok(length) if length > 0 => length,
            _ => break,
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        mods.fetch_add(counter.count(bytes), Ordering::SeqCst);
        lock().receive(connection, bytes, Duration::ZERO);
    }
    lock().disconnect(connection);
}

/// Counts modifications in a stream of messages.
#[derive(Default)]
struct Counter(Vec<u8>);

impl Counter {
    fn count(&mut self, bytes: &[u8]) -> u64 {
        const HEADER: usize = 8;
        /// Where the message within a bundle message begins.
        const INNER: usize = 16;
        const FLOW_MOD: u8 = 14;
        const GROUP_MOD: u8 = 15;
        const BUNDLE_ADD: u8 = 34;
        self.0.extend_from_slice(bytes);
        let (mut count, mut at) = (0, 0);
        while let Some(rest) = self.0.get(at..).filter(|rest| rest.len() >= HEADER) {
            let length = rest.get(2..4).and_then(|bytes| bytes.try_into().ok());
            let length = length.map_or(HEADER, |bytes| usize::from(u16::from_be_bytes(bytes)));
            if rest.len() < length.max(HEADER) {
                break;
            }
            let kind = |offset: usize| rest.get(offset + 1).copied();
            let outer = kind(0);
            let message = if outer == Some(BUNDLE_ADD) {
                kind(INNER)
            } else {
                outer
            };
            count += u64::from(matches!(message, Some(FLOW_MOD | GROUP_MOD)));
            at += length.max(HEADER);
        }
        self.0.drain(..at);
        count
    }
}
