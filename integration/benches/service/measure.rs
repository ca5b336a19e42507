// SPDX-License-Identifier: Apache-2.0
//! One way from a client to servers, and what a turn measures on it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use integration::{Netns, command};
use socket2::SockRef;

use crate::figure::median;

/// First packets in a turn.
const FIRST: usize = 3;
/// Questions on an established connection in a turn.
const STEADY: usize = 60;
/// How long new connections are counted in a turn, and how many are under way at once.
const COUNTING: Duration = Duration::from_millis(30);
const CLIENTS: usize = 4;
/// A connection that takes longer was lost.
const PATIENCE: Duration = Duration::from_secs(2);

/// From a client to servers that say a line first and then echo.
pub(crate) struct Way {
    pub(crate) client: Netns,
    pub(crate) to: Vec<SocketAddr>,
    /// The run directory of the Open vSwitch on the way, whose caches are emptied before first packets.
    pub(crate) ovs: Option<PathBuf>,
}

/// What a turn found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// From the first packet of a connection to its answer, in microseconds.
    pub(crate) first: f64,
    /// A question and its answer on an established connection, in microseconds.
    pub(crate) steady: f64,
    /// Connections per second, each with a line from the server.
    pub(crate) connections: f64,
}

impl Way {
    pub(crate) fn measure(&self, turn: usize) -> Result<Found> {
        let first = self.first_packets(turn)?;
        let (steady, connections) = self
            .client
            .enter(|| -> io::Result<_> { Ok((self.established()?, self.connections()?)) })??;
        Ok(Found {
            first,
            steady,
            connections,
        })
    }

    fn first_packets(&self, turn: usize) -> Result<f64> {
        let mut times = Vec::new();
        for number in 0..FIRST {
            if let Some(dir) = &self.ovs {
                let dir = dir.display();
                let purge = "ovs-appctl -t ovs-vswitchd revalidator/purge";
                command::run_line(&format!("env OVS_RUNDIR={dir} {purge}"))?;
            }
            let to = self.target((turn * FIRST + number) * 37);
            let took = self.client.enter(|| -> io::Result<_> {
                let start = Instant::now();
                let stream = connect(to)?;
                let took = start.elapsed();
                greeting(&mut BufReader::new(stream))?;
                Ok(took)
            })?;
            let took = took.with_context(|| format!("{to} from {}", self.client.name()))?;
            times.push(took.as_secs_f64() * 1e6);
        }
        Ok(median(&mut times))
    }

    fn established(&self) -> io::Result<f64> {
        let mut stream = BufReader::new(connect(self.target(0))?);
        greeting(&mut stream)?;
        let (question, mut answer) = ([b'?'; 64], [0; 64]);
        let mut times = Vec::new();
        for _ in 0..STEADY {
            let start = Instant::now();
            stream.get_mut().write_all(&question)?;
            stream.read_exact(&mut answer)?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        Ok(median(&mut times))
    }

    fn connections(&self) -> io::Result<f64> {
        let start = Instant::now();
        let client = |first: usize| -> io::Result<usize> {
            let mut count = 0;
            while start.elapsed() < COUNTING {
                let stream = connect(self.target(first + count * CLIENTS))?;
                greeting(&mut BufReader::new(stream))?;
                count += 1;
            }
            Ok(count)
        };
        let client = &client;
        // Threads are in the namespace of the thread that starts them.
        let counts = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|first| scope.spawn(move || client(first)))
                .collect();
            let ended = clients.into_iter().map(|one| one.join());
            ended
                .map(|one| one.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .sum::<io::Result<usize>>()
        })?;
        Ok(counts as f64 / start.elapsed().as_secs_f64())
    }

    fn target(&self, number: usize) -> SocketAddr {
        self.to[number % self.to.len()]
    }
}

/// A connection that ends with a reset, so that its port is free again.
fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    Ok(stream)
}

fn greeting(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    match stream.read_line(&mut String::new())? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
