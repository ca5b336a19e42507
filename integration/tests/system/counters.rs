// SPDX-License-Identifier: Apache-2.0
//! What rules decide about real packets is counted, and what `culvert verdict` says is what happens.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result};
use integration::wait;

use crate::lab::{LIMIT, Lab};

/// Nobody isolates the guest for ingress yet.
const TRIAL: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  namespace: team-b
  name: trial
  annotations: { culvert.io/staged: \"true\" }
spec:
  podSelector:
    matchLabels: { app: guest }
  policyTypes: [Ingress]
";

/// Sends datagrams to the port that every Pod serves on UDP; how many were answered.
fn exchange(lab: &Lab, from: &str, to: &str, datagrams: usize) -> Result<usize> {
    let to = SocketAddr::new(lab.pod(to)?.address, 5353);
    let from = lab.pod(from)?.netns();
    let socket = from.enter(|| UdpSocket::bind(SocketAddr::new(IpAddr::from([0; 4]), 0)))??;
    socket.connect(to)?;
    for _ in 0..datagrams {
        socket.send(b"count me")?;
    }
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut answer = [0; 256];
    Ok((0..datagrams)
        .take_while(|_| socket.recv(&mut answer).is_ok())
        .count())
}

/// The sum of the series of packets that have all of these labels.
fn packets(metrics: &str, labels: &[&str]) -> Result<u64> {
    let series = metrics
        .lines()
        .filter(|line| line.starts_with("culvert_policy_packets_total{"))
        .filter(|line| labels.iter().all(|label| line.contains(label)));
    series
        .map(|line| {
            let (_, value) = line.rsplit_once(' ').context("no value")?;
            Ok(value.parse::<u64>()?)
        })
        .sum()
}

#[test]
fn denied_allowed_and_staged_packets_are_counted_under_the_rule_that_decides() {
    const ALLOWED: &[&str] = &[
        "namespace=\"shop\",policy=\"api\"",
        "direction=\"ingress\",rule=\"1\"",
        "action=\"accept\",staged=\"false\"",
    ];
    // Two policies isolate the api Pods, and either's flow may be the one that denies.
    const DENIED: &[&str] = &[
        "namespace=\"shop\"",
        "direction=\"ingress\",rule=\"isolation\"",
        "action=\"deny\",staged=\"false\"",
    ];
    const STAGED: &[&str] = &[
        "namespace=\"team-b\",policy=\"trial\"",
        "direction=\"ingress\",rule=\"isolation\"",
        "action=\"deny\",staged=\"true\"",
    ];
    let lab = Lab::start("tbcount").unwrap();
    lab.cluster.put_manifest("trial.yaml", TRIAL).unwrap();
    let trial = ["flows", "--object", "networkpolicy/team-b/trial"];
    wait::until_true("the staged policy", LIMIT, || {
        Ok(lab.cluster.culvert(&trial)?.contains("staged"))
    })
    .unwrap();
    let pods = ["shop/web", "shop/api-1", "team-b/monitor", "team-b/guest"];
    let lab = lab.and_pods(&pods).unwrap();

    assert_eq!(
        exchange(&lab, "team-b/monitor", "shop/api-1", 7).unwrap(),
        7
    );
    assert_eq!(exchange(&lab, "shop/web", "shop/api-1", 5).unwrap(), 0);
    let answered = exchange(&lab, "shop/web", "team-b/guest", 3).unwrap();
    assert_eq!(answered, 3, "what is staged drops nothing");
    let expected = [7, 5, 3];
    let counted = |metrics: &str| [ALLOWED, DENIED, STAGED].map(|labels| packets(metrics, labels));
    let counts = wait::until("the packets to be counted", LIMIT, || {
        let metrics = lab.cluster.metrics()?;
        let [allowed, denied, staged] = counted(&metrics);
        let counts = [allowed?, denied?, staged?];
        let all_there = counts
            .iter()
            .zip(expected)
            .all(|(count, sent)| *count >= sent);
        anyhow::ensure!(all_there, "{counts:?} of {expected:?}");
        Ok(Some(counts))
    });
    assert_eq!(counts.unwrap(), expected);

    // Live verdicts say the same; what is no question is told apart from "no".
    let status = |to| {
        let words = ["verdict", "shop/web", to];
        lab.cluster.culvert_status(&words).unwrap()
    };
    assert_eq!(status("shop/api-1:8080"), Some(0));
    assert_eq!(status("team-b/guest:5353/udp"), Some(0));
    assert_eq!(status("shop/api-1:5353/udp"), Some(1));
    assert_eq!(status("shop/nobody:80"), Some(2));

    // Who is gone has no series.
    lab.cluster.remove_manifest("trial.yaml").unwrap();
    wait::until_true("the staged policy to go", LIMIT, || {
        let metrics = lab.cluster.metrics()?;
        Ok(!metrics.contains("policy=\"trial\"") && packets(&metrics, ALLOWED)? == 7)
    })
    .unwrap();
}
