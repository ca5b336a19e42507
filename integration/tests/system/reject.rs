// SPDX-License-Identifier: Apache-2.0
//! Connections that no endpoint takes are refused at once, with real packets; a storm of them is metered.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use integration::{Netns, Probe, Protocol, Verdict};

use crate::lab::{LIMIT, Lab};
use crate::masquerade::{NAMESPACE, SERVICE_CIDRS, pod};

/// A Service without endpoints: its cluster addresses, and the first of its node ports.
const EMPTY: [&str; 2] = ["10.96.3.1", "fd00:96::3:1"];
const NODE_PORT: u16 = 30180;

/// A Service with an endpoint: it has no port but these.
const FULL: [&str; 2] = ["10.96.3.2", "fd00:96::3:2"];
const UNDEFINED: u16 = 4444;

/// An address of the same network that no Service has.
const NOBODY: &str = "10.96.3.99";

fn objects() -> String {
    let service = |name: &str, [v4, v6]: [&str; 2], kind: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{ namespace: open, name: {name} }}\n\
             spec:\n  {kind}\n  selector: {{ app: {name} }}\n  clusterIPs: [\"{v4}\", \"{v6}\"]\n  ports:\n"
        )
    };
    let ports = |node_ports: [String; 2]| {
        let [http, dns] = node_ports;
        format!(
            "\x20   - {{ name: http, port: 80, targetPort: 8080{http} }}\n\
             \x20   - {{ name: dns, protocol: UDP, port: 53, targetPort: 5353{dns} }}\n---\n"
        )
    };
    let node_port = |number| format!(", nodePort: {number}");
    [
        NAMESPACE.to_owned(),
        SERVICE_CIDRS.to_owned(),
        pod("noisy", 1),
        pod("quiet", 1).replace("0101", "0111"),
        pod("full", 2),
        service("empty", EMPTY, "type: NodePort"),
        ports([node_port(NODE_PORT), node_port(NODE_PORT + 1)]),
        service("full", FULL, "type: ClusterIP"),
        ports(["".to_owned(), "".to_owned()]),
    ]
    .concat()
}

fn lab(name: &str) -> Result<(Lab, Netns)> {
    let mut lab = Lab::start(name)?;
    lab.put_pods("open.yaml", &objects())?;
    let lab = lab.and_pods(&["open/noisy", "open/full"])?;
    let world = lab
        .cluster
        .bed()
        .add_outsider(&[("10.10.1.0/24", lab.node(1)?)])?;
    Ok((lab, world))
}

/// Waits until all of these are refused in one round; each waits for less than a retransmission.
fn expect_refused(lab: &Lab, probes: &[(String, Probe, ())]) -> Result<()> {
    lab.await_round("everything to be refused", probes, |verdict, ()| {
        *verdict == Verdict::Refused
    })
}

#[test]
fn who_connects_where_no_endpoint_is_gets_refused_at_once() {
    let (lab, world) = lab("tbreject").unwrap();
    let home = lab.node(1).unwrap();
    let mut probes = Vec::new();
    let mut ask = |client: &str, from: &Netns, address: IpAddr, [tcp, udp]: [u16; 2]| {
        for (protocol, port) in [(Protocol::Tcp, tcp), (Protocol::Udp, udp)] {
            let what = format!("{client} -> {address} {protocol}/{port}");
            probes.push((what, Probe::new(from, protocol, address, port), ()));
        }
    };
    let noisy = lab.pod("open/noisy").unwrap().netns();
    for (client, from) in [("a Pod", noisy), ("its node", home.netns())] {
        for address in EMPTY {
            ask(client, from, address.parse().unwrap(), [80, 53]);
        }
        for address in FULL {
            ask(client, from, address.parse().unwrap(), [UNDEFINED; 2]);
        }
    }
    let node_ports = [NODE_PORT, NODE_PORT + 1];
    for (client, from) in [
        ("a Pod", noisy),
        ("its node", home.netns()),
        ("the world", &world),
    ] {
        ask(client, from, home.underlay().into(), node_ports);
    }
    expect_refused(&lab, &probes).unwrap();

    // What nobody has is dropped, and what somebody serves is served.
    let probe = |address: &str, port| {
        let address: IpAddr = address.parse().unwrap();
        lab.prober
            .probe(Probe::new(noisy, Protocol::Tcp, address, port))
    };
    assert_eq!(probe(NOBODY, 80), Verdict::Denied);
    assert!(probe(FULL[0], 80).is_allowed());

    // Without its agent a node drops what it would refuse, and refuses again when it is back.
    lab.cluster.kill_agent(home).unwrap();
    assert_eq!(probe(EMPTY[0], 80), Verdict::Denied);
    lab.cluster.start_agent(home).unwrap();
    expect_refused(&lab, &probes).unwrap();
}

/// Datagrams of a storm that follow without a pause.
const BURST: u64 = 30;

/// Sends tens of thousands of datagrams a second to a Service without endpoints; how many in all.
fn storm(from: &Netns, to: SocketAddr, end: &AtomicBool) -> Result<u64> {
    let socket = from.enter(|| UdpSocket::bind("0.0.0.0:0"))??;
    let mut sent = 0;
    while !end.load(Ordering::Relaxed) {
        // As many as a switch on a busy machine receives without loss: it is not its ring that is tested.
        if sent % BURST == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        match socket.send_to(b"?", to) {
            Ok(_) => sent += 1,
            // An answer to one sent before.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error).context("the storm"),
        }
    }
    Ok(sent)
}

#[test]
fn a_storm_of_one_pod_is_metered_and_delays_no_other() {
    let (mut lab, _world) = lab("tbstorm").unwrap();
    let to = SocketAddr::new(EMPTY[0].parse().unwrap(), 53);
    let noisy = lab.pod("open/noisy").unwrap().netns().clone();
    let probes = [(
        "before".to_owned(),
        Probe::new(&noisy, Protocol::Tcp, to.ip(), 80),
        (),
    )];
    expect_refused(&lab, &probes).unwrap();
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let storm = scope.spawn(|| storm(&noisy, to, &end));
        let began = Instant::now();
        let result = during_the_storm(&mut lab, to.ip());
        let took = began.elapsed();
        end.store(true, Ordering::Relaxed);
        let sent = storm.join().expect("the storm ends")?;
        let rate = sent as f64 / took.as_secs_f64();
        println!("{sent} packets in {took:.1?}: {rate:.0} a second");
        result?;
        ensure!(rate > 1_000.0, "{rate:.0} packets a second are no storm");
        let metered = refused_of_meters(&lab)?;
        let most = 100.0 * (took.as_secs_f64() + 2.0) + 1_000.0;
        println!("the agent was given {metered} packets");
        ensure!(
            (metered as f64) < most,
            "{metered} packets came to the agent, over {most}"
        );
        Ok(())
    })
    .unwrap();
}

/// Another Pod becomes ready, and has its connections refused, at the latest when it asks again. Were the
/// meter shared, one packet in a hundred would come through.
fn during_the_storm(lab: &mut Lab, address: IpAddr) -> Result<()> {
    let began = Instant::now();
    lab.add("open/quiet")?;
    println!("another Pod was ready after {:.1?}", began.elapsed());
    ensure!(began.elapsed() < LIMIT);
    let quiet = lab.pod("open/quiet")?.netns().clone();
    for round in 0..20 {
        let asked = Instant::now();
        let mut probe = Probe::new(&quiet, Protocol::Tcp, address, 80);
        probe.deadline = Duration::from_millis(3_500);
        let verdict = lab.prober.probe(probe);
        ensure!(
            verdict == Verdict::Refused,
            "round {round}, after {:.1?}: {verdict}",
            asked.elapsed()
        );
    }
    Ok(())
}

/// Packets that the meters of a node have let through.
fn refused_of_meters(lab: &Lab) -> Result<u64> {
    let text = lab.node(1)?.ovs().ofctl("meter-stats", "br-int", None)?;
    let numbers = |text: &str, word: &str| -> Option<u64> {
        let (_, rest) = text.split_once(word)?;
        rest.split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    };
    let meters = text.split("meter:").skip(1).filter_map(|meter| {
        let came = numbers(meter, "packet_in_count:")?;
        let (_, band) = meter.split_once("bands:")?;
        Some(came.saturating_sub(numbers(band, "packet_count:")?))
    });
    Ok(meters.sum())
}
