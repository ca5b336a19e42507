// SPDX-License-Identifier: Apache-2.0
//! Raw frames of the underlay, as each node sent them.

use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::socket::{LinkAddr, recvfrom};
use socket2::{Domain, Protocol, Socket, Type};

use crate::Testbed;

pub mod geneve;

pub use geneve::{Geneve, GeneveOption, Inner};

/// ETH_P_ALL (linux/if_ether.h): every frame, whatever its type.
const ETH_P_ALL: u16 = 0x0003;
/// PACKET_OUTGOING (packet(7)): the frame leaves through the interface.
const PACKET_OUTGOING: u8 = 4;
/// Longest time the capture thread sleeps before it looks whether it should end.
const TICK: Duration = Duration::from_millis(50);

/// A frame on the underlay.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Node that sent it, counted from 1.
    pub node: u8,
    /// The frame from the destination address on.
    pub bytes: Vec<u8>,
}

/// A running capture; each frame is seen once, where it enters the fabric.
#[derive(Debug)]
pub struct Capture {
    frames: Receiver<Frame>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Starts capturing on the underlay of `bed`.
    pub fn start(bed: &Testbed) -> Result<Self> {
        let count = u8::try_from(bed.nodes().len())?;
        let (socket, ports) = bed.fabric().enter(|| {
            let protocol = Protocol::from(i32::from(ETH_P_ALL.to_be()));
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
            socket.set_read_timeout(Some(TICK))?;
            socket.set_recv_buffer_size(8 << 20)?;
            let ports: Vec<_> = (1..=count)
                .map(|node| Ok((nix::net::if_::if_nametoindex(&*format!("u{node}"))?, node)))
                .collect::<nix::Result<_>>()?;
            io::Result::Ok((socket, ports))
        })??;
        let (sender, frames) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            loop {
                let ending = stopped.load(Ordering::Relaxed);
                // What came before the end may still be in the socket; what comes later is not waited for.
                if ending && socket.set_nonblocking(true).is_err() {
                    break;
                }
                match receive(&socket, &ports, &sender) {
                    Received::Frame => {}
                    Received::Nothing if !ending => {}
                    Received::Nothing | Received::Broken => break,
                }
            }
        });
        Ok(Self {
            frames,
            stop,
            thread: Some(thread),
        })
    }

    /// Waits for the first Geneve packet that `wanted` accepts; frames before it are passed over.
    pub fn expect(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Geneve) -> bool,
    ) -> Result<Geneve> {
        let deadline = Instant::now() + limit;
        let mut seen = 0_usize;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let Ok(frame) = self.frames.recv_timeout(left) else {
                break;
            };
            if let Some(packet) = Geneve::decode(&frame.bytes) {
                if wanted(&packet) {
                    return Ok(packet);
                }
                seen += 1;
            }
        }
        bail!("no Geneve packet was {what} within {limit:?}; {seen} others passed")
    }

    /// Ends the capture and answers all frames not yet taken.
    pub fn finish(mut self) -> Vec<Frame> {
        self.end();
        self.frames.try_iter().collect()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The thread holds nothing that a panic in it could have spoiled.
            drop(thread.join());
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.end();
    }
}

/// Writes frames as a pcap file (libpcap's classic format, Ethernet) for reading with tcpdump.
pub fn write_pcap(path: &Path, frames: &[Frame]) -> Result<()> {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 0xffff, 1] {
        bytes.extend(word.to_ne_bytes());
    }
    for frame in frames {
        let length = u32::try_from(frame.bytes.len())?;
        for word in [0, 0, length, length] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(&frame.bytes);
    }
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// What came of waiting for a frame.
enum Received {
    Frame,
    Nothing,
    /// Nobody wants frames any more, or the socket is broken.
    Broken,
}

/// Takes one frame.
fn receive(socket: &Socket, ports: &[(u32, u8)], sender: &Sender<Frame>) -> Received {
    let mut bytes = vec![0; 65_536];
    match recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut bytes) {
        Ok((length, Some(from))) => {
            let index = u32::try_from(from.ifindex()).unwrap_or_default();
            let port = ports.iter().find(|(port, _)| *port == index);
            if let Some(&(_, node)) = port
                && from.pkttype() != PACKET_OUTGOING
            {
                bytes.truncate(length);
                if sender.send(Frame { node, bytes }).is_err() {
                    return Received::Broken;
                }
            }
            Received::Frame
        }
        Ok((_, None)) => Received::Frame,
        Err(nix::Error::EAGAIN | nix::Error::EINTR | nix::Error::ENETDOWN) => Received::Nothing,
        Err(_) => Received::Broken,
    }
}
