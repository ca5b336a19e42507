// SPDX-License-Identifier: Apache-2.0
//! Packets that must not be cut up: those as large as a Pod may send fill a frame of the underlay to the last
//! byte and pass, and whoever sends a larger one is told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result};
use integration::capture::{Capture, Frame, Geneve};
use integration::command;
use integration::{Netns, Underlay, wait};

use crate::lab::{LIMIT, Lab};
use crate::masquerade::{SERVICE_CIDRS, pods};

/// What a link of the bed carries.
const UNDERLAY: usize = 1500;
/// Header of an Ethernet frame.
const ETHERNET: usize = 14;
const UDP: usize = 8;
/// Header of ICMP and ICMPv6 echo messages.
const ECHO: usize = 8;
/// Geneve: its header, and our option with 12 bytes of value.
const GENEVE: usize = 8 + 4 + 12;
const SERVICE: &str = "10.96.1.1";
const SERVICE6: &str = "fd00:96::1:1";
/// The last part of the world's IPv6 address, which is on the link of the nodes.
const OUTSIDE6: u16 = 0x250;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

const fn header(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(_) => 20,
        IpAddr::V6(_) => 40,
    }
}

/// Two Pods that no policy isolates, and a Service that leads to the far one.
fn objects() -> String {
    let service = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ namespace: open, name: far }}\n\
         spec:\n  clusterIPs: [{SERVICE}, \"{SERVICE6}\"]\n  selector: {{ app: far }}\n  ports:\n\
         \x20   - {{ protocol: UDP, port: 53, targetPort: 5353 }}\n"
    );
    pods() + SERVICE_CIDRS + &service
}

fn lab(name: &str, underlay: Underlay) -> Result<Lab> {
    let mut lab = Lab::start_over(name, underlay)?;
    lab.put_pods("open.yaml", &objects())?;
    lab.and_pods(&["open/near", "open/far"])
}

/// What came of a packet of so many bytes that no router may cut up.
#[derive(Debug, PartialEq, Eq)]
enum Echo {
    Answered,
    /// Somebody said that at most so many bytes pass.
    TooBig(usize),
    Silence,
}

fn echo(from: &Netns, to: IpAddr, bytes: usize) -> Result<Echo> {
    let payload = bytes - header(to) - ECHO;
    let mut ping = command::bounded("ping", LIMIT);
    ping.args(["-n", "-c", "1", "-W", "2", "-M", "do", "-s"]);
    ping.args([payload.to_string(), to.to_string()]);
    let output = from.enter(|| ping.output())?.context("cannot ping")?;
    if output.status.success() {
        return Ok(Echo::Answered);
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let said = ["mtu = ", "mtu=", "mtu: "]
        .iter()
        .find_map(|word| text.split_once(word));
    let number = said.map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect());
    match number.map(|digits: String| digits.parse()) {
        Some(Ok(mtu)) => Ok(Echo::TooBig(mtu)),
        Some(Err(_)) => anyhow::bail!("cannot read what ping says: {text}"),
        None => Ok(Echo::Silence),
    }
}

fn await_echo(from: &Netns, to: IpAddr, bytes: usize, wanted: &Echo) -> Result<()> {
    let mut last = None;
    wait::until_true(format!("{bytes} bytes to {to}: {wanted:?}"), LIMIT, || {
        let found = echo(from, to, bytes)?;
        let is_wanted = found == *wanted;
        last = Some(found);
        Ok(is_wanted)
    })
    .map_err(|error| error.context(format!("the last was {last:?}")))
}

/// The MTU that a Pod's own kernel knows.
fn mtu_of(pod: &Netns) -> Result<usize> {
    let link = pod.ip("-o link show dev eth0")?;
    let mut words = link.split_ascii_whitespace();
    let found = words.find(|word| *word == "mtu").and_then(|_| words.next());
    Ok(found.context("a link without an MTU")?.parse()?)
}

/// A datagram of so many bytes, headers and all, that nobody may cut up: Linux sends what fits into the
/// path's MTU so.
fn datagram(from: &Netns, to: SocketAddr, bytes: usize) -> Result<UdpSocket> {
    let socket = from.enter(|| {
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        UdpSocket::bind(SocketAddr::new(any, 0))
    })??;
    socket.connect(to)?;
    socket.send(&vec![b'x'; bytes - header(to.ip()) - UDP])?;
    Ok(socket)
}

/// Whether this is a whole UDP datagram to the port that Pods serve.
fn is_question(frame: &Frame) -> bool {
    let inner = Geneve::decode(&frame.bytes).and_then(|packet| packet.inner());
    inner.is_some_and(|inner| inner.protocol == 17 && inner.destination.port() == 5353)
}

fn full_frames_pass(name: &str, underlay: Underlay) -> Result<()> {
    let lab = lab(name, underlay)?;
    let near = lab.pod("open/near")?;
    let far = lab.pod("open/far")?;
    let outer = header(lab.cluster.endpoint(lab.node(1)?));
    let mtu = UNDERLAY - outer - UDP - GENEVE - ETHERNET;
    for pod in [near, far] {
        assert_eq!(mtu_of(pod.netns())?, mtu);
    }
    let capture = Capture::start(lab.cluster.bed())?;
    for (from, to) in [(near, far), (far, near)] {
        for address in &to.addresses {
            await_echo(from.netns(), *address, mtu, &Echo::Answered)?;
            // One byte more the Pod's own kernel refuses.
            let found = echo(from.netns(), *address, mtu + 1)?;
            assert_eq!(found, Echo::TooBig(mtu), "{address}");
        }
    }
    let frames = capture.finish();
    let geneve = frames
        .iter()
        .filter(|frame| Geneve::decode(&frame.bytes).is_some());
    let largest = geneve.map(|frame| frame.bytes.len()).max();
    assert_eq!(largest, Some(ETHERNET + UNDERLAY));

    for service in [SERVICE, SERVICE6] {
        let capture = Capture::start(lab.cluster.bed())?;
        let to = SocketAddr::new(service.parse()?, 53);
        wait::until_true(format!("a full datagram through {service}"), LIMIT, || {
            let asked = datagram(near.netns(), to, mtu)?;
            asked.set_read_timeout(Some(PATIENCE))?;
            Ok(asked.recv(&mut [0; 4096]).is_ok())
        })?;
        let frames = capture.finish();
        let questions = frames.iter().filter(|frame| is_question(frame));
        let lengths: Vec<_> = questions.map(|frame| frame.bytes.len()).collect();
        assert!(lengths.contains(&(ETHERNET + UNDERLAY)), "{lengths:?}");
    }
    Ok(())
}

#[test]
fn full_packets_of_pods_pass_over_ipv4_and_a_larger_one_is_refused() {
    full_frames_pass("mtufour", Underlay::V4).unwrap();
}

#[test]
fn full_packets_of_pods_pass_over_ipv6_and_a_larger_one_is_refused() {
    full_frames_pass("mtusix", Underlay::V6).unwrap();
}

#[test]
fn the_world_learns_what_is_too_big_for_a_pod_and_for_a_service() {
    let lab = lab("mtuworld", Underlay::V4).unwrap();
    let (near, far) = (lab.pod("open/near").unwrap(), lab.pod("open/far").unwrap());
    let home = lab.node(1).unwrap();
    let routes = [("10.10.0.0/16", home), ("10.96.0.0/16", home)];
    let world = lab.cluster.bed().add_outsider(&routes).unwrap();
    let home6 = home.underlay6();
    let mut own6 = home6.segments();
    own6[7] = OUTSIDE6;
    for words in [
        format!("address add {}/64 dev eth0 nodad", Ipv6Addr::from(own6)),
        format!("-6 route add fd00:10::/32 via {home6}"),
    ] {
        world.ip(&words).unwrap();
    }
    let mtu = mtu_of(near.netns()).unwrap();
    for pod in [near, far] {
        for address in &pod.addresses {
            // The first packet is too big, and nobody has said so yet.
            await_echo(&world, *address, UNDERLAY, &Echo::TooBig(mtu)).unwrap();
            await_echo(&world, *address, mtu, &Echo::Answered).unwrap();
        }
    }
    let learnt = || world.ip(&format!("route get {SERVICE}"));
    assert!(!learnt().unwrap().contains("mtu"), "{:?}", learnt());
    let to = SocketAddr::new(SERVICE.parse().unwrap(), 53);
    wait::until_true("the world to learn what a Service takes", LIMIT, || {
        datagram(&world, to, UNDERLAY)?;
        Ok(learnt()?.contains(&format!("mtu {mtu}")))
    })
    .unwrap();
}
