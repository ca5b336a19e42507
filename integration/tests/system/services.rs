// SPDX-License-Identifier: Apache-2.0
//! Connections through Services in what is not their everyday: SCTP, errors, fragments, restarts.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use integration::sctp::{self, Chunk, Packet};
use integration::stream::Stream;
use integration::{Datapath, Netns, Pod, wait};
use socket2::Domain;

use crate::fragments;
use crate::icmp::{self, Kind};
use crate::lab::{LIMIT, Lab};
use crate::masquerade::{self, FAR, FAR6, NEAR, NEAR6};

/// Port of the Services that a test serves by itself, and the port behind it.
const RAW: u16 = 54;
const BEHIND_RAW: u16 = 5354;
/// What the receiver of a packet says it can take.
const MTU: u16 = 1300;
/// What SCTP is spoken on; the same behind the Services.
const SCTP: u16 = 9000;
/// A port with another behind it.
const SCTP_APART: u16 = 9001;
const BEHIND_SCTP_APART: u16 = 9002;

/// A way through a Service.
struct Way<'a> {
    what: &'static str,
    client: &'a Netns,
    service: IpAddr,
    server: &'a Pod,
}

/// Ways in which connections are translated only, or masqueraded, too: by the Pod's own node, and by
/// the node that the kernel is of.
fn ways(lab: &Lab) -> Result<Vec<Way<'_>>> {
    let (near, far) = (lab.pod("open/near")?, lab.pod("open/far")?);
    let home = lab.node(1)?.netns();
    let mut ways = Vec::new();
    for (near_service, far_service) in [(NEAR, FAR), (NEAR6, FAR6)] {
        for (what, client, service, server) in [
            ("a Pod to the other node", near.netns(), far_service, far),
            ("a Pod to itself", near.netns(), near_service, near),
            ("a node to its Pod", home, near_service, near),
            ("a node to the other's Pod", home, far_service, far),
        ] {
            ways.push(Way {
                what,
                client,
                service: service.parse()?,
                server,
            });
        }
    }
    Ok(ways)
}

fn any(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn udp(netns: &Netns, like: IpAddr, port: u16) -> Result<UdpSocket> {
    let socket = netns.enter(|| UdpSocket::bind(SocketAddr::new(any(like), port)))??;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl Way<'_> {
    /// Where the port that tests serve is behind the Service.
    fn endpoint(&self) -> Result<SocketAddr> {
        let mut addresses = self.server.addresses.iter();
        let own = addresses.find(|address| address.is_ipv4() == self.service.is_ipv4());
        let own = own.context("the Pod has no address of this family")?;
        Ok(SocketAddr::new(*own, BEHIND_RAW))
    }

    /// A client of the port that tests serve.
    fn udp_client(&self) -> Result<UdpSocket> {
        let socket = udp(self.client, self.service, 0)?;
        socket.connect(SocketAddr::new(self.service, RAW))?;
        Ok(socket)
    }

    /// Waits until the client has seen an error from the Service about what `client` sends; `provoke`
    /// brings it about, again and again.
    fn await_error(
        &self,
        client: &UdpSocket,
        mut provoke: impl FnMut() -> Result<()>,
    ) -> Result<Kind> {
        let heard = icmp::socket(self.client, self.service)?;
        let about = (client.local_addr()?, client.peer_addr()?);
        let mut last = None;
        let what = format!("{}: an error about {about:?}", self.what);
        wait::until(what, LIMIT, || {
            provoke()?;
            let errors = icmp::received(&heard)?;
            last = errors.last().copied().or(last);
            let mut wanted = errors.iter();
            let wanted = wanted.find(|one| one.from == self.service && one.about == about);
            Ok(wanted.map(|error| error.kind))
        })
        .map_err(|error| error.context(format!("the last other error: {last:?}")))
    }

    fn sctp_sockets(&self) -> Result<(UdpSocket, UdpSocket, Domain)> {
        let domain = Domain::for_address(SocketAddr::new(self.service, 0));
        let open = |netns: &Netns| -> Result<UdpSocket> {
            Ok(netns.enter(|| sctp::socket(domain))??.into())
        };
        Ok((open(self.client)?, open(self.server.netns())?, domain))
    }

    /// One association's first two packets; the answer comes from the Service's address and port.
    fn speaks_sctp(&self, port: u16) -> Result<()> {
        let (client, server, domain) = self.sctp_sockets()?;
        let question = init(port, SCTP);
        let wanted = Packet {
            from: SCTP,
            to: port,
            chunk: Chunk::InitAck,
            text: self.what.to_owned(),
            ..question
        };
        wait::until_true(format!("{}: {wanted:?}", self.what), LIMIT, || {
            client.send_to(&question.bytes(), SocketAddr::new(self.service, 0))?;
            for (from, packet) in packets(&server, domain)? {
                let is_question = packet.chunk == Chunk::Init && packet.to == SCTP;
                // A Pod that is its own server sees what it sends, too.
                if is_question && from != self.service {
                    let answer = Packet {
                        from: packet.to,
                        to: packet.from,
                        chunk: Chunk::InitAck,
                        text: self.what.to_owned(),
                        ..packet
                    };
                    server.send_to(&answer.bytes(), SocketAddr::new(from, 0))?;
                }
            }
            Ok(packets(&client, domain)?.contains(&(self.service, wanted.clone())))
        })
    }
}

/// The first packet of an association.
fn init(from: u16, to: u16) -> Packet {
    Packet {
        from,
        to,
        chunk: Chunk::Init,
        nonce: u32::from(from),
        text: String::new(),
    }
}

/// Every SCTP packet that has come, and from whom.
fn packets(socket: &UdpSocket, domain: Domain) -> Result<Vec<(IpAddr, Packet)>> {
    let (mut packets, mut buffer) = (Vec::new(), [0; 2048]);
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                let packet = Packet::read(&buffer[..length], domain);
                packets.extend(packet.map(|packet| (from.ip(), packet)));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(packets),
            Err(error) => return Err(error.into()),
        }
    }
}

#[test]
fn errors_about_translated_and_masqueraded_connections_reach_their_clients_as_from_the_service() {
    let lab = masquerade::lab("tbicmp").unwrap();
    let datapath = lab.node(1).unwrap().datapath();
    for way in ways(&lab).unwrap() {
        // Nobody serves the port yet.
        let client = way.udp_client().unwrap();
        let kind = way.await_error(&client, || {
            // What the kernel has heard of an error already is told first.
            drop(client.send(b"to nobody"));
            Ok(())
        });
        assert_eq!(kind.unwrap(), Kind::PortUnreachable, "{}", way.what);

        let server = udp(way.server.netns(), way.service, BEHIND_RAW).unwrap();
        let raw = icmp::socket(way.server.netns(), way.service).unwrap();
        let client = way.udp_client().unwrap();
        let seen = wait::until("the datagram to arrive", LIMIT, || {
            client.send(b"to you")?;
            let mut word = [0; 64];
            let (length, from) = server.recv_from(&mut word)?;
            // What was sent to nobody may come late.
            Ok((word[..length] == *b"to you").then_some(from))
        });
        let seen = seen.unwrap();
        let about = (seen, way.endpoint().unwrap());
        let kind = way.await_error(&client, || icmp::send_too_big(&raw, about, MTU));
        match (datapath, way.service, kind.unwrap()) {
            // Its conntrack (3.1) takes this field of ICMPv6 for the checksum of UDP, and adds to it what
            // the addresses have changed by.
            (Datapath::Netdev, IpAddr::V6(_), Kind::TooBig(_)) => {}
            (_, _, kind) => assert_eq!(kind, Kind::TooBig(MTU), "{}", way.what),
        }
    }
}

#[test]
fn sctp_goes_through_a_service_translated_and_masqueraded() {
    let lab = masquerade::lab("tbsctp").unwrap();
    for way in ways(&lab).unwrap() {
        for port in [20_001, 20_002] {
            way.speaks_sctp(port).unwrap();
        }
    }
}

#[test]
fn the_port_of_sctp_is_translated_unless_the_datapath_is_in_userspace() {
    let lab = masquerade::lab("tbsctpport").unwrap();
    let ways = ways(&lab).unwrap();
    let way = &ways[0];
    let (client, server, domain) = way.sctp_sockets().unwrap();
    let question = init(20_003, SCTP_APART);
    let to = SocketAddr::new(way.service, 0);
    let arrived = wait::until(way.what, LIMIT, || {
        client.send_to(&question.bytes(), to)?;
        let mut arrived = packets(&server, domain)?.into_iter();
        Ok(arrived.find(|(_, packet)| packet.from == question.from))
    });
    let port = match lab.node(1).unwrap().datapath() {
        // Its conntrack (3.1) has no keys for ports of SCTP.
        Datapath::Netdev => SCTP_APART,
        Datapath::System => BEHIND_SCTP_APART,
    };
    assert_eq!(arrived.unwrap().1.to, port);
}

#[test]
fn fragments_of_a_connection_through_a_service_arrive_translated_and_masqueraded() {
    let lab = masquerade::lab("tbfrags").unwrap();
    for way in ways(&lab).unwrap() {
        let client = fragments::client(way.client, way.service, 53).unwrap();
        // The first packet has the port that leads to an endpoint, so it must be whole.
        wait::until_true(way.what, LIMIT, || fragments::echoes(&client, 8)).unwrap();
        for _ in 0..3 {
            assert!(
                fragments::echoes(&client, fragments::SIZE).unwrap(),
                "{} by {}",
                way.what,
                way.service
            );
        }
    }
}

#[test]
fn connections_go_on_while_the_controller_restarts_and_endpoints_of_others_change() {
    let lab = masquerade::lab("tbgoon").unwrap();
    let open = |way: Way<'_>| -> Result<(String, Stream)> {
        let to = SocketAddr::new(way.service, 80);
        let stream = wait::until("a stream through the Service", LIMIT, || {
            Ok(Stream::open(&lab.prober, way.client, to).ok())
        })?;
        Ok((format!("{} by {}", way.what, way.service), stream))
    };
    let streams: Result<Vec<_>> = ways(&lab).unwrap().into_iter().map(open).collect();
    let streams = streams.unwrap();
    let go_on = |after: &str| -> Result<()> {
        for (what, stream) in &streams {
            stream.expect_progress(1000, LIMIT).context(what.clone())?;
            let longest = stream.longest_silence();
            ensure!(
                longest < Duration::from_secs(1),
                "{what}: {after}: {longest:?}"
            );
        }
        Ok(())
    };
    lab.cluster.kill_controller().unwrap();
    go_on("no controller").unwrap();
    lab.cluster.start_controller().unwrap();
    lab.cluster.wait_for_nodes().unwrap();
    go_on("another controller").unwrap();

    // Both Pods are behind both Services now.
    let all = |name: &str, addresses: [&str; 2]| {
        let [v4, v6] = addresses;
        masquerade::service(name, &format!("{v4}, \"{v6}\""), "{ set: open }")
    };
    let pods = masquerade::pods();
    let services = [all("near", [NEAR, NEAR6]), all("far", [FAR, FAR6])].concat();
    lab.cluster
        .put_manifest("open.yaml", &[pods, services].concat())
        .unwrap();
    let near = lab.pod("open/near").unwrap().netns();
    for service in [NEAR, NEAR6, FAR, FAR6] {
        let mut seen = BTreeSet::new();
        wait::until_true("both Pods to serve", LIMIT, || {
            let to = SocketAddr::new(service.parse()?, 80);
            seen.extend(Stream::open(&lab.prober, near, to).map(|stream| stream.peer().to_owned()));
            Ok(seen.len() == 2)
        })
        .unwrap();
    }
    go_on("more endpoints").unwrap();
}
