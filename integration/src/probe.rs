// SPDX-License-Identifier: Apache-2.0
//! Real packets as judges: echo servers and clients inside Pods' namespaces.
//!
//! Sockets are made inside a Pod's namespace and then served by one small runtime, so hundreds of
//! probes cost a handful of threads.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::{Netns, PodId};

/// How long a probe waits for its answer.
///
/// Less than TCP's first retransmission timeout (1 s, RFC 6298), so that a retransmitted SYN can
/// never hide that the first packet was lost.
pub const DEADLINE: Duration = Duration::from_millis(900);

/// Probes under way at once; each holds up to four file descriptors.
const CONCURRENCY: usize = 160;

/// The environment variable that lowers how many probes are under way at once, for machines so slow
/// that answers to many would miss [`DEADLINE`].
pub const CONCURRENCY_VARIABLE: &str = "CULVERT_PROBES";

/// Connections that may wait to be accepted: more than [`CONCURRENCY`], or a burst of probes would
/// fail for a reason of its own.
const BACKLOG: i32 = 1024;

/// What a server says first, before the name of its Pod.
const GREETING: &str = "culvert-echo ";

/// Transport protocol of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Connect, read the greeting, send a line and read it back.
    Tcp,
    /// Send one datagram and read the answer.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A question: does anybody answer at `to` when asked from `from`?
#[derive(Clone, Debug)]
pub struct Probe {
    /// Namespace of the client.
    pub from: Netns,
    /// Address and port the client uses.
    pub to: SocketAddr,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Address to send from, which need not be the Pod's own; the kernel chooses unless told.
    pub source: Option<IpAddr>,
    /// How long to wait; [`DEADLINE`] unless there is a reason.
    pub deadline: Duration,
}

impl Probe {
    /// A probe with the usual deadline.
    pub fn new(from: &Netns, protocol: Protocol, address: impl Into<IpAddr>, port: u16) -> Self {
        let to = SocketAddr::new(address.into(), port);
        Self {
            from: from.clone(),
            to,
            protocol,
            source: None,
            deadline: DEADLINE,
        }
    }
}

/// What became of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody answered in time.
    Allowed {
        /// Name the server gave itself, `NAMESPACE/NAME`.
        by: String,
        /// From the first packet sent to the last one read.
        rtt: Duration,
    },
    /// Nothing came back before the deadline.
    Denied,
    /// The other side said no: TCP reset or ICMP port unreachable.
    Refused,
    /// Anything else, in words.
    Error(String),
}

impl Verdict {
    /// Whether the probe got through.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }

    /// Who answered, if somebody did.
    pub fn answered_by(&self) -> Option<&str> {
        match self {
            Self::Allowed { by, .. } => Some(by),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed { by, rtt } => write!(f, "allowed (by {by}, {rtt:.1?})"),
            Self::Denied => f.write_str("denied (no answer)"),
            Self::Refused => f.write_str("refused"),
            Self::Error(reason) => write!(f, "error ({reason})"),
        }
    }
}

/// How many probes may be under way at once.
fn concurrency() -> Result<usize> {
    let Ok(word) = std::env::var(CONCURRENCY_VARIABLE) else {
        return Ok(CONCURRENCY);
    };
    let number = word.parse().ok();
    number
        .filter(|number| (1..=CONCURRENCY).contains(number))
        .with_context(|| {
            format!("{CONCURRENCY_VARIABLE} is {word:?}; it must be 1 to {CONCURRENCY}")
        })
}

/// Runs servers and probes. Servers end when it is dropped.
#[derive(Debug)]
pub struct Prober {
    runtime: Runtime,
    permits: Arc<Semaphore>,
}

impl Prober {
    /// Starts the small runtime that carries all sockets.
    pub fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(8)
            .thread_name("prober")
            .enable_all()
            .build()
            .context("cannot start the probe runtime")?;
        Ok(Self {
            runtime,
            permits: Arc::new(Semaphore::new(concurrency()?)),
        })
    }

    /// Starts echo servers in `netns` that name `id` when they answer. They listen on all addresses,
    /// so they can be started before the Pod has one.
    pub fn serve(&self, netns: &Netns, id: &PodId, tcp: &[u16], udp: &[u16]) -> Result<()> {
        let _context = self.runtime.enter();
        for &port in tcp {
            let socket = netns
                .enter(|| bound(Type::STREAM, port).and_then(|s| s.listen(BACKLOG).map(|()| s)))?
                .with_context(|| format!("cannot listen on TCP {port} in {id}"))?;
            let listener = TcpListener::from_std(socket.into())?;
            self.runtime
                .spawn(serve_tcp(listener, format!("{GREETING}{id}\n")));
        }
        for &port in udp {
            let socket = netns
                .enter(|| bound(Type::DGRAM, port))?
                .with_context(|| format!("cannot listen on UDP {port} in {id}"))?;
            let socket = UdpSocket::from_std(socket.into())?;
            self.runtime
                .spawn(serve_udp(socket, format!("{GREETING}{id}\n")));
        }
        Ok(())
    }

    /// Runs one probe.
    pub fn probe(&self, probe: Probe) -> Verdict {
        self.runtime.block_on(ask(probe))
    }

    /// Runs many probes at once; the verdicts are in the order of the probes.
    pub fn probe_all(&self, probes: impl IntoIterator<Item = Probe>) -> Vec<Verdict> {
        self.runtime.block_on(async {
            let mut running = JoinSet::new();
            let mut verdicts = Vec::new();
            for (at, probe) in probes.into_iter().enumerate() {
                verdicts.push(Verdict::Error("the probe did not run".to_owned()));
                let permits = Arc::clone(&self.permits);
                running.spawn(async move {
                    let _permit = permits.acquire().await;
                    (at, ask(probe).await)
                });
            }
            while let Some(Ok((at, verdict))) = running.join_next().await {
                verdicts[at] = verdict;
            }
            verdicts
        })
    }

    /// The runtime, for helpers that live beside the probes.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}

/// Connects from inside `netns`; the stream may then be used anywhere.
pub(crate) async fn connect(
    netns: Netns,
    source: Option<IpAddr>,
    to: impl Into<SocketAddr>,
) -> io::Result<TcpStream> {
    let to = to.into();
    let socket = make(netns, Type::STREAM, source, to).await?;
    TcpSocket::from_std_stream(socket.into()).connect(to).await
}

/// Reads the greeting and answers the name of the Pod that sent it.
pub(crate) async fn read_greeting(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    // A greeting is short: whoever sends more is not one of our servers.
    (&mut *stream).take(512).read_line(&mut line).await?;
    named(line.as_bytes())
}

async fn ask(probe: Probe) -> Verdict {
    let (deadline, to) = (probe.deadline, probe.to);
    match probe.protocol {
        Protocol::Tcp => {
            let start = Instant::now();
            let stream = match timeout(deadline, connect(probe.from, probe.source, to)).await {
                Err(_) => return Verdict::Denied,
                Ok(Err(error)) => return failed(&error),
                Ok(Ok(stream)) => stream,
            };
            let left = deadline.saturating_sub(start.elapsed());
            match timeout(left, exchange_tcp(stream)).await {
                // A connection that opens and then stalls is no verdict of a policy.
                Err(_) => Verdict::Error("connected, then silence".to_owned()),
                Ok(answer) => verdict(answer, start),
            }
        }
        Protocol::Udp => {
            let socket = match make(probe.from, Type::DGRAM, probe.source, to).await {
                Ok(socket) => socket,
                Err(error) => return failed(&error),
            };
            let start = Instant::now();
            match timeout(deadline, exchange_udp(socket, to)).await {
                Err(_) => Verdict::Denied,
                Ok(answer) => verdict(answer, start),
            }
        }
    }
}

async fn exchange_tcp(stream: TcpStream) -> io::Result<String> {
    let mut stream = BufReader::new(stream);
    let by = read_greeting(&mut stream).await?;
    let question = b"is anybody there?\n";
    stream.write_all(question).await?;
    let mut answer = vec![0; question.len()];
    stream.read_exact(&mut answer).await?;
    if answer != question {
        return Err(io::Error::other("the echo differs from what was sent"));
    }
    Ok(by)
}

async fn exchange_udp(socket: Socket, to: SocketAddr) -> io::Result<String> {
    let socket = UdpSocket::from_std(socket.into())?;
    socket.connect(to).await?;
    socket.send(b"is anybody there?").await?;
    let mut answer = vec![0; 1024];
    let length = socket.recv(&mut answer).await?;
    named(answer.get(..length).unwrap_or_default())
}

fn verdict(answer: io::Result<String>, start: Instant) -> Verdict {
    match answer {
        Ok(by) => Verdict::Allowed {
            by,
            rtt: start.elapsed(),
        },
        Err(error) => failed(&error),
    }
}

fn failed(error: &io::Error) -> Verdict {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Verdict::Refused,
        _ => Verdict::Error(error.to_string()),
    }
}

fn named(line: &[u8]) -> io::Result<String> {
    let line = std::str::from_utf8(line).unwrap_or_default();
    let name = line
        .strip_prefix(GREETING)
        .and_then(|rest| rest.lines().next());
    name.map(str::to_owned)
        .ok_or_else(|| io::Error::other("an unknown server answered"))
}

async fn make(
    netns: Netns,
    kind: Type,
    source: Option<IpAddr>,
    to: SocketAddr,
) -> io::Result<Socket> {
    let made = tokio::task::spawn_blocking(move || {
        netns.enter(|| {
            let socket = Socket::new(Domain::for_address(to), kind, None)?;
            socket.set_nonblocking(true)?;
            if let Some(source) = source {
                socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
            }
            Ok(socket)
        })
    });
    match made.await.map_err(io::Error::other)? {
        Ok(socket) => socket,
        Err(error) => Err(io::Error::other(format!("{error:#}"))),
    }
}

/// On all addresses of both families.
fn bound(kind: Type, port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, kind, None)?;
    socket.set_only_v6(false)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    let all = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    socket.bind(&SockAddr::from(all))?;
    Ok(socket)
}

async fn serve_tcp(listener: TcpListener, greeting: String) {
    let greeting: Arc<str> = greeting.into();
    // Accepting fails only while the machine is short of something; the next client is tried again.
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream, Arc::clone(&greeting)));
        } else {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn echo(mut stream: TcpStream, greeting: Arc<str>) {
    if stream.write_all(greeting.as_bytes()).await.is_err() {
        return;
    }
    let (mut from, mut to) = stream.split();
    // The client leaving, in whatever way, is how an exchange ends.
    drop(tokio::io::copy(&mut from, &mut to).await);
}

async fn serve_udp(socket: UdpSocket, greeting: String) {
    let mut question = vec![0; 2048];
    loop {
        if let Ok((length, client)) = socket.recv_from(&mut question).await {
            let mut answer = greeting.clone().into_bytes();
            answer.extend_from_slice(question.get(..length).unwrap_or_default());
            // The client judges by whether the answer arrives.
            drop(socket.send_to(&answer, client).await);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_servers_count_as_an_answer() {
        assert_eq!(named(b"culvert-echo shop/web\nis").unwrap(), "shop/web");
        assert!(named(b"HTTP/1.1 200 OK\n").is_err());
        assert!(named(b"\xff\xfe").is_err());
    }
}
