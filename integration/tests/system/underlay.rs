// SPDX-License-Identifier: Apache-2.0
//! Packets between Pods wired by hand: probes, streams and the capture judge them rightly.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use integration::capture::Capture;
use integration::probe::{Probe, Protocol};
use integration::stream::Stream;
use integration::{Prober, Testbed, Verdict, wait};

use crate::plain::{self, PlainPod};

const LIMIT: Duration = Duration::from_secs(20);
const IDENTITY: &str = "0x800102030405060708090a0b";

#[test]
fn two_nodes_talk_over_geneve_and_the_capture_shows_the_option() {
    let (bed, prober, pods) = two_pods("tbtalk").unwrap();
    let capture = Capture::start(&bed).unwrap();
    wait_for_tunnel(&prober, &pods).unwrap();

    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for (from, to) in [(&pods[0], &pods[1]), (&pods[1], &pods[0])] {
            let verdict = prober.probe(probe(from, protocol, to.address));
            assert_eq!(
                verdict.answered_by(),
                Some(to.id.to_string().as_str()),
                "{verdict}"
            );
        }
    }

    let packet = capture
        .expect("a TCP packet to pod2", LIMIT, |packet| {
            let inner = packet.inner();
            inner.is_some_and(|inner| {
                inner.protocol == 6
                    && inner.destination == SocketAddr::new(pods[1].address.into(), 8080)
            })
        })
        .unwrap();
    assert_eq!(packet.vni, 0xc1);
    assert_eq!(packet.source, bed.node(1).unwrap().underlay());
    assert_eq!(packet.destination, bed.node(2).unwrap().underlay());
    let identity = [0x80, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    assert_eq!(packet.option(0xff51, 0x01), Some(&identity[..]));
}

#[test]
fn probes_tell_dropped_from_refused_from_allowed() {
    let (bed, prober, pods) = two_pods("tbtell").unwrap();
    wait_for_tunnel(&prober, &pods).unwrap();
    let drop = format!(
        "table=0,priority=40000,udp,nw_dst={},actions=drop",
        pods[1].address
    );
    bed.node(2)
        .unwrap()
        .ovs()
        .ofctl("add-flow", "br-int", Some(&drop))
        .unwrap();

    // Open vSwitch revalidates cached verdicts a moment after it has acknowledged a flow.
    wait::until_true("the datapath to drop", LIMIT, || {
        let verdict = prober.probe(probe(&pods[0], Protocol::Udp, pods[1].address));
        Ok(verdict == Verdict::Denied)
    })
    .unwrap();

    let nobody = Probe::new(&pods[0].netns, Protocol::Tcp, pods[1].address, 9999);
    let served = probe(&pods[0], Protocol::Tcp, pods[1].address);
    let verdicts = prober.probe_all([nobody, served]);
    assert_eq!(verdicts[0], Verdict::Refused);
    assert!(verdicts[1].is_allowed(), "{}", verdicts[1]);
}

#[test]
fn hundreds_of_probes_at_once_all_get_their_answer() {
    let (_bed, prober, pods) = two_pods("tbmany").unwrap();
    wait_for_tunnel(&prober, &pods).unwrap();
    let probes = (0..300).map(|_| {
        let mut probe = probe(&pods[0], Protocol::Tcp, pods[1].address);
        probe.deadline = LIMIT;
        probe
    });
    let verdicts = prober.probe_all(probes);
    let failed: Vec<_> = verdicts
        .iter()
        .filter(|verdict| !verdict.is_allowed())
        .collect();
    assert!(
        failed.is_empty(),
        "{} of 300 failed, the first: {}",
        failed.len(),
        failed[0]
    );
}

#[test]
fn a_stream_stalls_when_its_packets_are_dropped_and_goes_on_when_they_are_not() {
    let (bed, prober, pods) = two_pods("tbstall").unwrap();
    wait_for_tunnel(&prober, &pods).unwrap();
    let to = SocketAddr::new(pods[1].address.into(), 8080);
    let stream = Stream::open(&prober, &pods[0].netns, to).unwrap();
    assert_eq!(stream.peer(), "plain/pod2");
    stream.expect_progress(1000, LIMIT).unwrap();

    let ovs = || bed.node(2).unwrap().ovs();
    let cut = format!("table=0,priority=40000,tcp,nw_dst={}", pods[1].address);
    ovs()
        .ofctl("add-flow", "br-int", Some(&format!("{cut},actions=drop")))
        .unwrap();
    stream
        .expect_stall(Duration::from_millis(300), LIMIT)
        .unwrap();

    ovs()
        .ofctl(
            "del-flows",
            "br-int",
            Some(&cut.replace("priority=40000,", "")),
        )
        .unwrap();
    plain::add_routes(&bed, &pods, IDENTITY).unwrap();
    stream.expect_progress(1000, LIMIT).unwrap();
    assert!(stream.longest_silence() >= Duration::from_millis(300));
}

fn two_pods(name: &str) -> Result<(Testbed, Prober, Vec<PlainPod>)> {
    let bed = Testbed::new(name, 2)?;
    let prober = Prober::new()?;
    let mut pods = Vec::new();
    for (node, number) in [(1, 1), (2, 2)] {
        plain::add_bridge(&bed, node)?;
        pods.push(plain::add_pod(&bed, &prober, node, number)?);
    }
    plain::add_routes(&bed, &pods, IDENTITY)?;
    Ok((bed, prober, pods))
}

/// Without an agent, the first packets to a tunnel peer are lost while OVS resolves its address.
fn wait_for_tunnel(prober: &Prober, pods: &[PlainPod]) -> Result<()> {
    wait::until_true("the tunnel to carry packets", LIMIT, || {
        Ok(prober
            .probe(probe(&pods[0], Protocol::Udp, pods[1].address))
            .is_allowed())
    })
}

fn probe(from: &PlainPod, protocol: Protocol, to: Ipv4Addr) -> Probe {
    let port = match protocol {
        Protocol::Tcp => 8080,
        Protocol::Udp => 5353,
    };
    Probe::new(&from.netns, protocol, to, port)
}
