// SPDX-License-Identifier: Apache-2.0
//! A whole truth table at once, without waiting long for what is denied.
//!
//! All questions are sent together. When everybody has answered who should, the datagrams are sent a
//! second time, those that should be denied first. When the rest has answered again, what was sent
//! before on the same ways has had its time, and silence counts as denial.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::BufReader;
use tokio::net::{TcpSocket, UdpSocket};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::probe::{DEADLINE, read_greeting};
use crate::sctp::{self, Chunk, Packet};
use crate::{Netns, PodId, Prober};

/// Families of sockets.
const FAMILIES: [Domain; 2] = [Domain::IPV4, Domain::IPV6];

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
    /// Raw sockets of each Pod, for answers.
    responders: BTreeMap<PodId, JoinSet<()>>,
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

    /// Starts servers of all protocols in the namespace of a Pod or node.
    pub fn serve(&mut self, netns: &Netns, id: &PodId, ports: &[u16]) -> Result<()> {
        self.prober.serve(netns, id, ports, ports)?;
        let _context = self.prober.runtime().enter();
        let mut tasks = JoinSet::new();
        for domain in FAMILIES {
            let socket = netns
                .enter(|| sctp::socket(domain))?
                .with_context(|| format!("cannot open a raw socket in {id}"))?;
            let socket = UdpSocket::from_std(socket.into())?;
            tasks.spawn(answer_sctp(socket, domain, id.to_string(), ports.to_vec()));
        }
        self.responders.insert(id.clone(), tasks);
        Ok(())
    }

    /// A Pod is gone.
    pub fn forget(&mut self, id: &PodId) {
        self.responders.remove(id);
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
            let port = self.client_port;
            let sockets = netns
                .enter(|| Sockets::open(&asked, port))?
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
    /// One for each question about TCP.
    streams: Vec<Socket>,
    udp: [Socket; 2],
    sctp: [Socket; 2],
}

impl Sockets {
    fn open(asked: &[(usize, Question)], client_port: u16) -> io::Result<Self> {
        let of_tcp = asked.iter().filter(|(_, q)| q.protocol == "TCP");
        let stream = |(_, question): &(usize, Question)| {
            let to = SocketAddr::from((question.address, question.port));
            let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            // No TIME_WAIT: the next table asks again.
            socket.set_linger(Some(Duration::ZERO))?;
            Ok(socket)
        };
        let udp = |any: IpAddr| {
            let own = SocketAddr::from((any, client_port));
            let socket = Socket::new(Domain::for_address(own), Type::DGRAM, None)?;
            if any.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            socket.set_nonblocking(true)?;
            socket.bind(&SockAddr::from(own))?;
            io::Result::Ok(socket)
        };
        let [v4, v6] = FAMILIES;
        Ok(Self {
            streams: of_tcp.map(stream).collect::<io::Result<_>>()?,
            udp: [
                udp(Ipv4Addr::UNSPECIFIED.into())?,
                udp(Ipv6Addr::UNSPECIFIED.into())?,
            ],
            sctp: [sctp::socket(v4)?, sctp::socket(v6)?],
        })
    }
}

/// A socket of each family.
struct PerFamily([Arc<UdpSocket>; 2]);

impl PerFamily {
    fn new([v4, v6]: [Socket; 2]) -> io::Result<Self> {
        let shared = |socket: Socket| UdpSocket::from_std(socket.into()).map(Arc::new);
        Ok(Self([shared(v4)?, shared(v6)?]))
    }

    fn to(&self, address: IpAddr) -> &UdpSocket {
        let Self([v4, v6]) = self;
        if address.is_ipv4() { v4 } else { v6 }
    }

    fn each(&self) -> impl Iterator<Item = (Domain, Arc<UdpSocket>)> {
        FAMILIES.into_iter().zip(self.0.iter().cloned())
    }
}

/// The datagrams of one Pod, to be sent again.
struct Datagrams {
    asked: Vec<(usize, Question)>,
    udp: PerFamily,
    sctp: PerFamily,
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
                        let socket = self.udp.to(question.address);
                        drop(socket.send_to(text.as_bytes(), to(question.port)).await);
                    }
                    "SCTP" => {
                        let packet = Packet {
                            from: self.client_port,
                            to: question.port,
                            chunk: Chunk::Init,
                            nonce,
                            text: String::new(),
                        };
                        let socket = self.sctp.to(question.address);
                        drop(socket.send_to(&packet.bytes(), to(0)).await);
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
    let udp = PerFamily::new(sockets.udp)?;
    let sctp = PerFamily::new(sockets.sctp)?;
    for (_, socket) in udp.each() {
        tasks.spawn(hear_udp(socket, client_port, tell.clone()));
    }
    for (domain, socket) in sctp.each() {
        tasks.spawn(hear_sctp(socket, domain, client_port, tell.clone()));
    }
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

async fn hear_sctp(
    socket: Arc<UdpSocket>,
    domain: Domain,
    client_port: u16,
    tell: UnboundedSender<Told>,
) {
    let mut bytes = vec![0; 2048];
    while let Ok(length) = socket.recv(&mut bytes).await {
        if let Some(packet) = Packet::read(bytes.get(..length).unwrap_or_default(), domain)
            && packet.chunk == Chunk::InitAck
            && packet.to == client_port
        {
            drop(tell.send((packet.nonce as usize, packet.text)));
        }
    }
}

async fn answer_sctp(socket: UdpSocket, domain: Domain, name: String, ports: Vec<u16>) {
    let mut bytes = vec![0; 2048];
    while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
        if let Some(packet) = Packet::read(bytes.get(..length).unwrap_or_default(), domain)
            && packet.chunk == Chunk::Init
            && ports.contains(&packet.to)
        {
            let answer = Packet {
                from: packet.to,
                to: packet.from,
                chunk: Chunk::InitAck,
                nonce: packet.nonce,
                text: name.clone(),
            };
            let to = SocketAddr::new(from.ip(), 0);
            drop(socket.send_to(&answer.bytes(), to).await);
        }
    }
}
