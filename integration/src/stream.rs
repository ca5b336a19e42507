// SPDX-License-Identifier: Apache-2.0
//! A long-lived TCP connection that counts what comes back, to see whether a change disturbs it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::probe::{self, Prober};
use crate::{Netns, wait};

/// Pause between two messages: fine enough to see an interruption of a few milliseconds.
const PAUSE: Duration = Duration::from_millis(2);
const MESSAGE: [u8; 64] = *b"culvert stream: sixty-four bytes out and sixty-four bytes back..";
/// Bytes sent and not echoed yet at which the client waits.
const MOST_OWED: usize = 64 * MESSAGE.len();
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A running echo conversation. Ends when dropped.
#[derive(Debug)]
pub struct Stream {
    counters: Arc<Counters>,
    task: JoinHandle<()>,
    peer: String,
}

#[derive(Debug)]
struct Counters {
    start: Instant,
    bytes: AtomicU64,
    /// Microseconds after `start` of the last byte echoed.
    last: AtomicU64,
    /// Longest time between two echoes, in microseconds.
    longest: AtomicU64,
}

impl Stream {
    /// Connects from `netns` to one of the prober's servers and keeps talking.
    pub fn open(prober: &Prober, netns: &Netns, to: impl Into<SocketAddr>) -> Result<Self> {
        let to = to.into();
        let (stream, peer) = prober
            .runtime()
            .block_on(async {
                timeout(CONNECT_LIMIT, async {
                    let stream = probe::connect(netns.clone(), None, to).await?;
                    stream.set_nodelay(true)?;
                    let mut stream = BufReader::new(stream);
                    let peer = probe::read_greeting(&mut stream).await?;
                    std::io::Result::Ok((stream, peer))
                })
                .await
            })
            .with_context(|| format!("no connection from {} to {to} in time", netns.name()))?
            .with_context(|| format!("cannot connect from {} to {to}", netns.name()))?;
        let counters = Arc::new(Counters {
            start: Instant::now(),
            bytes: AtomicU64::new(0),
            last: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        });
        let task = prober.runtime().spawn(talk(stream, Arc::clone(&counters)));
        Ok(Self {
            counters,
            task,
            peer,
        })
    }

    /// The Pod at the other end, as it named itself.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Bytes echoed so far.
    pub fn bytes(&self) -> u64 {
        self.counters.bytes.load(Ordering::Relaxed)
    }

    /// Time since the last byte came back.
    pub fn silent_for(&self) -> Duration {
        let last = Duration::from_micros(self.counters.last.load(Ordering::Relaxed));
        self.counters.start.elapsed().saturating_sub(last)
    }

    /// Longest silence so far, the present one included.
    pub fn longest_silence(&self) -> Duration {
        let longest = Duration::from_micros(self.counters.longest.load(Ordering::Relaxed));
        longest.max(self.silent_for())
    }

    /// Forgets the longest silence so far: what counts is what follows.
    pub fn forget_silence(&self) {
        self.counters.longest.store(0, Ordering::Relaxed);
    }

    /// Whether the connection has ended: reset, or closed by the other side.
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits until `bytes` more have come back: proof that the connection lives.
    pub fn expect_progress(&self, bytes: u64, limit: Duration) -> Result<()> {
        let goal = self.bytes() + bytes;
        wait::until_true(
            format_args!("{bytes} more bytes from {}", self.peer),
            limit,
            || {
                ensure!(!self.has_ended(), "the connection has ended");
                Ok(self.bytes() >= goal)
            },
        )
    }

    /// Waits until nothing has come back for `silence`: proof that the connection is cut.
    pub fn expect_stall(&self, silence: Duration, limit: Duration) -> Result<()> {
        wait::until_true(
            format_args!("the stream to {} to stall", self.peer),
            limit,
            || Ok(self.has_ended() || self.silent_for() >= silence),
        )
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Speaks at its own pace, whatever the other side says: a connection whose state is lost on the way
/// is found again when its client speaks.
async fn talk(mut stream: BufReader<TcpStream>, counters: Arc<Counters>) {
    let mut pace = interval(PAUSE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut echo = [0; MESSAGE.len()];
    let mut owed = 0;
    loop {
        tokio::select! {
            _ = pace.tick(), if owed < MOST_OWED => {
                if stream.write_all(&MESSAGE).await.is_err() {
                    return;
                }
                owed += MESSAGE.len();
            }
            read = stream.read(&mut echo) => match read {
                Ok(length) if length > 0 => {
                    owed = owed.saturating_sub(length);
                    counters.hear(length as u64);
                }
                _ => return,
            }
        }
    }
}

impl Counters {
    fn hear(&self, bytes: u64) {
        let now = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let before = self.last.swap(now, Ordering::Relaxed);
        self.longest
            .fetch_max(now.saturating_sub(before), Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
