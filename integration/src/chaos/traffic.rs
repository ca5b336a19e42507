// SPDX-License-Identifier: Apache-2.0
//! Allowed traffic without pause between two Pods, and what a fault costs it: datagrams with numbers,
//! new connections, and one connection that stays.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::io::BufReader;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::lab::{TCP_PORT, UDP_PORT};
use crate::stream::Stream;
use crate::{Netns, Prober, probe, wait};

/// Pause between two datagrams.
const DATAGRAM_PACE: Duration = Duration::from_millis(5);
/// Pause between two new connections.
const CONNECTION_PACE: Duration = Duration::from_millis(50);
/// Bytes that show that a connection lives.
const PROGRESS: u64 = 640;

/// What happened to one conversation between two looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Datagrams sent.
    pub datagrams: u64,
    /// Datagrams whose answer never came.
    pub lost: u64,
    /// Longest time without an answer to a datagram.
    pub gap: Duration,
    /// When that time was over.
    pub resumed: Option<Instant>,
    /// Connections tried.
    pub connections: u64,
    /// Connections that were not there within [`probe::DEADLINE`].
    pub failed: u64,
    /// Longest silence of the connection that stays.
    pub silence: Duration,
    /// Whether that connection was cut, which nothing may do.
    pub reset: bool,
}

/// All traffic from one Pod to another.
#[derive(Debug)]
pub(super) struct Conversation {
    from: Netns,
    to: Ipv4Addr,
    datagrams: Arc<Mutex<Datagrams>>,
    connections: Arc<Mutex<Connections>>,
    stream: Stream,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Debug)]
struct Datagrams {
    /// Number of the next.
    next: u64,
    /// First of this measurement.
    first: u64,
    /// Those since `first` that were answered.
    answered: BTreeSet<u64>,
    last: Instant,
    gap: Duration,
    resumed: Option<Instant>,
}

#[derive(Debug, Default)]
struct Connections {
    /// Which measurement this is; an attempt counts for the one it began in.
    round: u64,
    tried: u64,
    ended: u64,
    failed: u64,
    /// When the last one that succeeded began.
    succeeded: Option<Instant>,
}

impl Conversation {
    /// Starts all traffic.
    pub(super) fn start(prober: &Prober, from: &Netns, to: Ipv4Addr) -> Result<Self> {
        let datagrams = Arc::new(Mutex::new(Datagrams {
            next: 0,
            first: 0,
            answered: BTreeSet::new(),
            last: Instant::now(),
            gap: Duration::ZERO,
            resumed: None,
        }));
        let connections = Arc::default();
        let socket = from.enter(|| {
            let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect((to, UDP_PORT))?;
            socket.set_nonblocking(true)?;
            io::Result::Ok(socket)
        })??;
        let runtime = prober.runtime();
        let entered = runtime.enter();
        let socket = UdpSocket::from_std(socket).context("a socket for datagrams")?;
        drop(entered);
        let tasks = [
            runtime.spawn(send_datagrams(socket, Arc::clone(&datagrams))),
            runtime.spawn(open_connections(from.clone(), to, Arc::clone(&connections))),
        ];
        Ok(Self {
            from: from.clone(),
            to,
            datagrams,
            connections,
            stream: Stream::open(prober, from, SocketAddrV4::new(to, TCP_PORT))?,
            tasks,
        })
    }

    /// Begins to measure.
    pub(super) fn begin(&self) {
        let mut datagrams = lock(&self.datagrams);
        datagrams.first = datagrams.next;
        datagrams.answered.clear();
        datagrams.last = Instant::now();
        datagrams.gap = Duration::ZERO;
        datagrams.resumed = None;
        drop(datagrams);
        let mut connections = lock(&self.connections);
        *connections = Connections {
            round: connections.round + 1,
            ..Connections::default()
        };
        self.stream.forget_silence();
    }

    /// Waits until everything gets through again: a datagram and a connection begun from now on,
    /// and the connection that stays, unless it was cut.
    pub(super) fn await_flowing(&self, limit: Duration) -> Result<()> {
        let now = Instant::now();
        let next = lock(&self.datagrams).next;
        let to = self.to;
        wait::until_true(format_args!("datagrams to reach {to}"), limit, || {
            Ok(lock(&self.datagrams).answered.last() >= Some(&next))
        })?;
        wait::until_true(format_args!("a new connection to {to}"), limit, || {
            Ok(lock(&self.connections).succeeded >= Some(now))
        })?;
        let goal = self.stream.bytes() + PROGRESS;
        wait::until_true(
            format_args!("the connection to {to} to go on"),
            limit,
            || Ok(self.stream.has_ended() || self.stream.bytes() >= goal),
        )
    }

    /// Ends the measurement, when every datagram and connection of it had its time.
    pub(super) fn end(&mut self, prober: &Prober, limit: Duration) -> Result<Measured> {
        let silence = self.stream.longest_silence();
        let reset = self.stream.has_ended();
        let end = lock(&self.datagrams).next;
        wait::until_true("the last datagram to be answered", limit, || {
            Ok(lock(&self.datagrams).answered.last() >= Some(&end))
        })?;
        let datagrams = lock(&self.datagrams);
        let sent = end - datagrams.first;
        let answered = datagrams.answered.range(..end).count() as u64;
        let (gap, resumed) = (datagrams.gap, datagrams.resumed);
        drop(datagrams);

        let mut connections = lock(&self.connections);
        let round = connections.round;
        let tried = connections.tried;
        drop(connections);
        wait::until_true("the last connection to end", limit, || {
            let connections = lock(&self.connections);
            ensure!(connections.round == round, "somebody else measures");
            Ok(connections.ended >= tried)
        })?;
        connections = lock(&self.connections);
        let failed = connections.failed;
        drop(connections);
        if reset {
            self.stream = Stream::open(prober, &self.from, SocketAddrV4::new(self.to, TCP_PORT))?;
        }
        Ok(Measured {
            datagrams: sent,
            lost: sent.saturating_sub(answered),
            gap,
            resumed,
            connections: tried,
            failed,
            silence,
            reset,
        })
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn send_datagrams(socket: UdpSocket, state: Arc<Mutex<Datagrams>>) {
    let mut pace = interval(DATAGRAM_PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answer = [0; 512];
    loop {
        tokio::select! {
            _ = pace.tick() => {
                let number = {
                    let mut state = lock(&state);
                    state.next += 1;
                    state.next - 1
                };
                // Whether it arrives is what is measured.
                drop(socket.send(&number.to_be_bytes()).await);
            }
            Ok(length) = socket.recv(&mut answer) => {
                // The server puts a greeting before what it echoes.
                let number = answer.get(..length).and_then(<[u8]>::last_chunk);
                if let Some(number) = number {
                    lock(&state).hear(u64::from_be_bytes(*number));
                }
            }
        }
    }
}

impl Datagrams {
    fn hear(&mut self, number: u64) {
        if number < self.first {
            return;
        }
        self.answered.insert(number);
        let now = Instant::now();
        let gap = now.duration_since(self.last);
        if gap > self.gap {
            self.gap = gap;
            self.resumed = Some(now);
        }
        self.last = now;
    }
}

async fn open_connections(from: Netns, to: Ipv4Addr, state: Arc<Mutex<Connections>>) {
    let mut pace = interval(CONNECTION_PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let (from, state) = (from.clone(), Arc::clone(&state));
        let round = {
            let mut state = lock(&state);
            state.tried += 1;
            state.round
        };
        tokio::spawn(async move {
            let begun = Instant::now();
            let to = SocketAddrV4::new(to, TCP_PORT);
            let greeted = timeout(probe::DEADLINE, async {
                let stream = probe::connect(from, None, to).await?;
                probe::read_greeting(&mut BufReader::new(stream)).await
            });
            let succeeded = matches!(greeted.await, Ok(Ok(_)));
            let mut state = lock(&state);
            if state.round == round {
                state.ended += 1;
                state.failed += u64::from(!succeeded);
            }
            if succeeded {
                state.succeeded = state.succeeded.max(Some(begun));
            }
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
