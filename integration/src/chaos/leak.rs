// SPDX-License-Identifier: Apache-2.0
//! The leak probe: Pods that must not talk try without pause, and every Pod's link is watched for
//! what must not arrive.
//!
//! One packet that arrives is a leak, answered or not: the link itself is read, not a socket.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::socket::{LinkAddr, recvfrom};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{Netns, PodId};

/// ETH_P_IP (linux/if_ether.h).
const ETH_P_IP: u16 = 0x0800;
/// PACKET_OUTGOING (packet(7)): the frame leaves through the interface.
const PACKET_OUTGOING: u8 = 4;
/// Longest time a watching thread sleeps before it looks whether it should end.
const TICK: Duration = Duration::from_millis(50);
/// Pause between two rounds of datagrams.
const PACE: Duration = Duration::from_millis(50);
/// Rounds of datagrams for each round of SYNs.
const DATAGRAMS_PER_SYN: u32 = 4;
/// Different leaks that are described; more are only counted.
const DESCRIBED: usize = 20;

/// What arrived and must not have.
#[derive(Debug, Default)]
pub(super) struct Leaks {
    count: usize,
    first: Vec<String>,
}

impl Leaks {
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The first few that differ, in words.
    pub(super) fn first(&self) -> &[String] {
        &self.first
    }

    fn push(&mut self, leak: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < DESCRIBED {
            let leak = leak();
            if !self.first.contains(&leak) {
                self.first.push(leak);
            }
        }
    }
}

/// Threads that end with their owner.
#[derive(Debug)]
struct Worker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn spawn(work: impl FnOnce(&AtomicBool) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || work(&stopped));
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It holds nothing that a panic in it could have spoiled.
            drop(thread.join());
        }
    }
}

/// Watches what a Pod receives.
#[derive(Debug)]
pub(super) struct Guard {
    _worker: Worker,
}

impl Guard {
    /// Every IPv4 packet that arrives in `netns`, and is not from one of `allowed`, is a leak.
    pub(super) fn watch(
        netns: &Netns,
        id: &PodId,
        allowed: BTreeSet<Ipv4Addr>,
        leaks: &Arc<Mutex<Leaks>>,
    ) -> Result<Self> {
        let socket = netns
            .enter(|| {
                let protocol = Protocol::from(i32::from(ETH_P_IP.to_be()));
                let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
                socket.set_read_timeout(Some(TICK))?;
                socket.set_recv_buffer_size(4 << 20)?;
                io::Result::Ok(socket)
            })?
            .with_context(|| format!("cannot watch the link of {id}"))?;
        let (id, leaks) = (id.clone(), Arc::clone(leaks));
        let worker = Worker::spawn(move |stop| {
            let socket = OwnedFd::from(socket);
            while !stop.load(Ordering::Relaxed) {
                let Some((source, protocol)) = receive(&socket) else {
                    continue;
                };
                if !allowed.contains(&source) && !source.is_loopback() {
                    let mut leaks = leaks.lock().unwrap_or_else(PoisonError::into_inner);
                    leaks.push(|| format!("{id} received IP protocol {protocol} from {source}"));
                }
            }
        });
        Ok(Self { _worker: worker })
    }
}

/// Source and protocol of the next IPv4 packet that arrives.
fn receive(socket: &OwnedFd) -> Option<(Ipv4Addr, u8)> {
    let mut frame = [0; 64];
    let (length, from) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut frame).ok()?;
    if from?.pkttype() == PACKET_OUTGOING {
        return None;
    }
    // Ethernet header (14 bytes), then protocol at 9 and source at 12 of the IPv4 header (RFC 791).
    let packet = frame.get(..length)?.get(14..)?;
    let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    Some((source.into(), *packet.get(9)?))
}

/// A Pod that sends where it must not.
#[derive(Debug)]
pub(super) struct Attacker {
    _worker: Worker,
}

impl Attacker {
    /// Sends datagrams and SYNs from `netns` to all `targets`, as long as it lives. The Pod need not
    /// have an address yet.
    pub(super) fn start(netns: &Netns, targets: Vec<Ipv4Addr>) -> Result<Self> {
        let netns = netns.clone();
        let datagrams = netns.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))??;
        let worker = Worker::spawn(move |stop| {
            // A namespace that is gone has nobody left to attack from.
            if netns.switch_thread().is_err() {
                return;
            }
            let mut round = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                for &target in &targets {
                    // What cannot be sent is no leak either.
                    drop(datagrams.send_to(b"may I?", (target, super::lab::UDP_PORT)));
                    if round.is_multiple_of(DATAGRAMS_PER_SYN) {
                        drop(send_syn(target));
                    }
                }
                round = round.wrapping_add(1);
                std::thread::sleep(PACE);
            }
        });
        Ok(Self { _worker: worker })
    }
}

/// Begins a connection, and drops it before an answer can come.
fn send_syn(target: Ipv4Addr) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let target = SocketAddrV4::new(target, super::lab::TCP_PORT);
    socket.connect(&SockAddr::from(target))
}
