// SPDX-License-Identifier: Apache-2.0
//! A whole truth table at once, without waiting long for what is denied.
//!
//! All questions are sent together. When everybody has answered who should, the datagrams are sent a
//! second time, those that should be denied first. When the rest has answered again, what was sent
//! before on the same ways has had its time, and silence counts as denial.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::BufReader;
use tokio::net::{TcpSocket, UdpSocket};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::probe::{DEADLINE, read_greeting};
use crate::{Netns, PodId, Prober};

/// What SCTP packets are: there need be no SCTP in this machine's kernel.
const IPPROTO_SCTP: i32 = 132;
/// Chunk types of INIT and INIT ACK (RFC 9260, 3.2).
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;

/// Grace after the last answer that was due: scheduling of this process, not of packets.
const GRACE: Duration = Duration::from_millis(10);

/// One question of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who asks.
    pub from: PodId,
    /// Who shall answer.
    pub to: PodId,
    /// Asked through the Pod's Service.
    pub by_service: bool,
    /// Where it is sent.
    pub address: IpAddr,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: &'static str,
    /// Destination port.
    pub port: u16,
    /// Whether an answer is right.
    pub expected: bool,
}

/// Who answered each question.
pub type Answers = Vec<Option<String>>;

/// Sends and collects. Answers on SCTP come from it, those of other protocols from a [`Prober`].
pub struct Asker {
    prober: Prober,
    /// A raw socket for each Pod, for answers.
    responders: BTreeMap<PodId, tokio::task::JoinHandle<()>>,
    client_port: u16,
}

impl Asker {
    /// Without Pods yet.
    pub fn new() -> Result<Self> {
        Ok(Self {
            prober: Prober::new()?,
            responders: BTreeMap::new(),
            client_port: 20_000,
        })
    }

    /// Starts servers of all protocols in a Pod's namespace.
    pub fn serve(&mut self, netns: &Netns, id: &PodId, ports: &[u16]) -> Result<()> {
        self.prober.serve(netns, id, ports, ports)?;
        let _context = self.prober.runtime().enter();
        let socket = netns
            .enter(sctp_socket)?
            .with_context(|| format!("cannot open a raw socket in {id}"))?;
        let socket = UdpSocket::from_std(socket.into())?;
        let task = self
            .prober
            .runtime()
            .spawn(answer_sctp(socket, id.to_string(), ports.to_vec()));
        self.responders.insert(id.clone(), task);
        Ok(())
    }

    /// A Pod is gone.
    pub fn forget(&mut self, id: &PodId) {
        if let Some(task) = self.responders.remove(id) {
            task.abort();
        }
    }

    /// Asks all questions at once.
    pub fn ask(
        &mut self,
        pods: &BTreeMap<PodId, Netns>,
        questions: &[Question],
    ) -> Result<Answers> {
        self.client_port = match self.client_port {
            port @ 20_000..60_000 => port + 1,
            _ => 20_000,
        };
        let mut clients = Vec::new();
        for (id, netns) in pods {
            let own = |(_, question): &(usize, &Question)| question.from == *id;
            let asked: Vec<(usize, Question)> = questions
                .iter()
                .enumerate()
                .filter(own)
                .map(|(at, question)| (at, question.clone()))
                .collect();
            let streams = asked.iter().filter(|(_, q)| q.protocol == "TCP").count();
            let port = self.client_port;
            let sockets = netns
                .enter(|| Sockets::open(streams, port))?
                .with_context(|| format!("cannot open sockets in {id}"))?;
            clients.push((asked, sockets));
        }
        let due: Vec<bool> = questions.iter().map(|question| question.expected).collect();
        let port = self.client_port;
        self.prober.runtime().block_on(async move {
            let (tell, told) = unbounded_channel();
            let mut tasks = JoinSet::new();
            let mut datagrams = Vec::new();
            for (asked, sockets) in clients {
                datagrams.push(start(&mut tasks, asked, sockets, port, &tell)?);
            }
            collect(&due, &datagrams, told).await
        })
    }
}

/// Sockets of one Pod for one table.
struct Sockets {
    streams: Vec<Socket>,
    udp: Socket,
    sctp: Socket,
}

impl Sockets {
    fn open(streams: usize, client_port: u16) -> io::Result<Self> {
        let stream = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            // No TIME_WAIT: the next table asks again.
            socket.set_linger(Some(Duration::ZERO))?;
            Ok(socket)
        };
        let udp = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        udp.set_nonblocking(true)?;
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, client_port);
        udp.bind(&SockAddr::from(any))?;
        Ok(Self {
            streams: (0..streams).map(|_| stream()).collect::<io::Result<_>>()?,
            udp,
            sctp: sctp_socket()?,
        })
    }
}

/// The datagrams of one Pod, to be sent again.
struct Datagrams {
    asked: Vec<(usize, Question)>,
    udp: Arc<UdpSocket>,
    sctp: Arc<UdpSocket>,
    client_port: u16,
}

impl Datagrams {
    /// Sends those that should be denied, then the others.
    async fn send(&self) {
        for expected in [false, true] {
            for (at, question) in &self.asked {
                if question.expected != expected {
                    continue;
                }
                let nonce = u32::try_from(*at).unwrap_or(u32::MAX);
                let to = |port| SocketAddr::from((question.address, port));
                // What cannot be sent is not answered.
                match question.protocol {
                    "UDP" => {
                        let text = format!("question {nonce} from port {}", self.client_port);
                        drop(self.udp.send_to(text.as_bytes(), to(question.port)).await);
                    }
                    "SCTP" => {
                        let packet = sctp(self.client_port, question.port, INIT, nonce, "");
                        drop(self.sctp.send_to(&packet, to(0)).await);
                    }
                    _ => {}
                }
            }
        }
    }
}

type Told = (usize, String);

fn start(
    tasks: &mut JoinSet<()>,
    asked: Vec<(usize, Question)>,
    sockets: Sockets,
    client_port: u16,
    tell: &UnboundedSender<Told>,
) -> Result<Datagrams> {
    let streams = asked.iter().filter(|(_, q)| q.protocol == "TCP");
    for ((at, question), socket) in streams.zip(sockets.streams) {
        let (at, to) = (*at, SocketAddr::from((question.address, question.port)));
        let tell = tell.clone();
        tasks.spawn(async move {
            if let Ok(by) = ask_tcp(socket, to).await {
                drop(tell.send((at, by)));
            }
        });
    }
    let udp = Arc::new(UdpSocket::from_std(sockets.udp.into())?);
    let sctp = Arc::new(UdpSocket::from_std(sockets.sctp.into())?);
    tasks.spawn(hear_udp(Arc::clone(&udp), client_port, tell.clone()));
    tasks.spawn(hear_sctp(Arc::clone(&sctp), client_port, tell.clone()));
    Ok(Datagrams {
        asked,
        udp,
        sctp,
        client_port,
    })
}

async fn collect(
    due: &[bool],
    datagrams: &[Datagrams],
    mut told: UnboundedReceiver<Told>,
) -> Result<Answers> {
    let mut answers: Answers = vec![None; due.len()];
    let mut again = vec![false; due.len()];
    let end = Instant::now() + DEADLINE;
    for pod in datagrams {
        pod.send().await;
    }
    let missing = |answers: &Answers| {
        due.iter()
            .zip(answers)
            .any(|(due, by)| *due && by.is_none())
    };
    while missing(&answers) {
        match timeout_at(end.into(), told.recv()).await {
            Ok(Some((at, by))) => note(&mut answers, &mut again, at, by),
            _ => break,
        }
    }
    // The second time around: what answered once must answer once more.
    again.fill(false);
    for pod in datagrams {
        pod.send().await;
    }
    let controls: Vec<usize> = datagrams
        .iter()
        .flat_map(|pod| &pod.asked)
        .filter(|(at, question)| question.protocol != "TCP" && answers[*at].is_some())
        .map(|(at, _)| *at)
        .collect();
    let end = Instant::now() + DEADLINE;
    while controls.iter().any(|at| !again[*at]) {
        match timeout_at(end.into(), told.recv()).await {
            Ok(Some((at, by))) => note(&mut answers, &mut again, at, by),
            _ => break,
        }
    }
    let end = Instant::now() + GRACE;
    while let Ok(Some((at, by))) = timeout_at(end.into(), told.recv()).await {
        note(&mut answers, &mut again, at, by);
    }
    Ok(answers)
}

fn note(answers: &mut Answers, again: &mut [bool], at: usize, by: String) {
    if let (Some(answer), Some(again)) = (answers.get_mut(at), again.get_mut(at)) {
        *answer = Some(by);
        *again = true;
    }
}

async fn ask_tcp(socket: Socket, to: SocketAddr) -> io::Result<String> {
    let stream = TcpSocket::from_std_stream(socket.into())
        .connect(to)
        .await?;
    read_greeting(&mut BufReader::new(stream)).await
}

/// A server answers with its greeting, a line, and the question.
async fn hear_udp(socket: Arc<UdpSocket>, client_port: u16, tell: UnboundedSender<Told>) {
    let mut bytes = vec![0; 2048];
    while let Ok(length) = socket.recv(&mut bytes).await {
        let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default());
        let mut lines = text.lines();
        let by = lines
            .next()
            .and_then(|line| line.strip_prefix("culvert-echo "));
        let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        if let (Some(by), ["question", nonce, "from", "port", port]) = (by, words.as_slice())
            && *port == client_port.to_string()
            && let Ok(at) = nonce.parse()
        {
            drop(tell.send((at, by.to_owned())));
        }
    }
}

async fn hear_sctp(socket: Arc<UdpSocket>, client_port: u16, tell: UnboundedSender<Told>) {
    let mut bytes = vec![0; 2048];
    while let Ok(length) = socket.recv(&mut bytes).await {
        if let Some(packet) = Sctp::read(bytes.get(..length).unwrap_or_default())
            && packet.chunk == INIT_ACK
            && packet.to == client_port
        {
            drop(tell.send((packet.nonce as usize, packet.text)));
        }
    }
}

async fn answer_sctp(socket: UdpSocket, name: String, ports: Vec<u16>) {
    let mut bytes = vec![0; 2048];
    while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
        if let Some(packet) = Sctp::read(bytes.get(..length).unwrap_or_default())
            && packet.chunk == INIT
            && ports.contains(&packet.to)
        {
            let answer = sctp(packet.to, packet.from, INIT_ACK, packet.nonce, &name);
            drop(socket.send_to(&answer, SocketAddr::new(from.ip(), 0)).await);
        }
    }
}

fn sctp_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(IPPROTO_SCTP)))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// What is read of an SCTP packet.
#[derive(Debug, PartialEq, Eq)]
struct Sctp {
    from: u16,
    to: u16,
    chunk: u8,
    nonce: u32,
    text: String,
}

impl Sctp {
    /// Reads an IPv4 packet, as raw sockets give it.
    fn read(packet: &[u8]) -> Option<Self> {
        let header = usize::from(packet.first()? & 0x0f) * 4;
        let sctp = packet.get(header..)?;
        let u16_at = |at: usize| Some(u16::from_be_bytes(*sctp.get(at..)?.first_chunk()?));
        let chunk_length = usize::from(u16_at(14)?);
        let text = sctp
            .get(32..(12 + chunk_length).max(32))
            .unwrap_or_default();
        Some(Self {
            from: u16_at(0)?,
            to: u16_at(2)?,
            chunk: *sctp.get(12)?,
            nonce: u32::from_be_bytes(*sctp.get(16..)?.first_chunk()?),
            text: String::from_utf8_lossy(text).into_owned(),
        })
    }
}

/// Ports, verification tag, checksum; then a chunk: type, flags, length, tag, window, streams, TSN,
/// and the name of who answers.
fn sctp(from: u16, to: u16, chunk: u8, nonce: u32, text: &str) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(from.to_be_bytes());
    packet.extend(to.to_be_bytes());
    let tag = if chunk == INIT { 0 } else { nonce };
    packet.extend(tag.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend([chunk, 0]);
    let length = u16::try_from(20 + text.len()).unwrap_or(20);
    packet.extend(length.to_be_bytes());
    packet.extend(nonce.to_be_bytes());
    packet.extend(65_536_u32.to_be_bytes());
    packet.extend([0, 1, 0, 1]);
    packet.extend(nonce.to_be_bytes());
    packet.extend(text.as_bytes());
    packet.resize(packet.len().next_multiple_of(4), 0);
    let checksum = crc32c(&packet).to_le_bytes();
    for (slot, byte) in packet.iter_mut().skip(8).zip(checksum) {
        *slot = byte;
    }
    packet
}

/// CRC32c (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), step);
    !bytes.iter().fold(u32::MAX, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn an_sctp_packet_is_read_as_it_was_made() {
        let mut packet = vec![0x45; 20];
        packet.extend(sctp(20_001, 80, INIT_ACK, 77, "x/a"));
        let read = Sctp::read(&packet).unwrap();
        let wanted = Sctp {
            from: 20_001,
            to: 80,
            chunk: INIT_ACK,
            nonce: 77,
            text: "x/a".to_owned(),
        };
        assert_eq!(read, wanted);
        assert_eq!(Sctp::read(&packet[..30]), None);
    }
}
