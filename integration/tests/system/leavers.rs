// SPDX-License-Identifier: Apache-2.0
//! Clients of UDP Services go on when their endpoint leaves, though they send from the same port.

use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use integration::wait;

use crate::fragments;
use crate::lab::{LIMIT, Lab};
use crate::masquerade::{pod, pods};

const DNS: [&str; 2] = ["10.96.4.1", "fd00:96::4:1"];

fn service() -> String {
    let [v4, v6] = DNS;
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ namespace: open, name: dns }}\n\
         spec:\n  clusterIPs: [\"{v4}\", \"{v6}\"]\n  ports:\n\
         \x20   - {{ name: dns, protocol: UDP, port: 53, targetPort: 5353 }}\n---\n"
    )
}

/// The Service's endpoints of both families.
fn slices(lab: &Lab, pods: &[&str]) -> Result<String> {
    let mut text = String::new();
    for (family, v6) in [("IPv4", false), ("IPv6", true)] {
        let mut addresses = String::new();
        for name in pods {
            let mut addresses_of = lab.pod(name)?.addresses.iter();
            let address = addresses_of.find(|address| address.is_ipv6() == v6);
            let address = address.context("no address of the family")?;
            addresses.push_str(&format!("  - {{ addresses: [\"{address}\"] }}\n"));
        }
        text.push_str(&format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: {family}\n\
             metadata:\n  namespace: open\n  name: dns-{}\n\
             \x20 labels: {{ kubernetes.io/service-name: dns }}\n\
             endpoints:\n{addresses}ports:\n  - {{ name: dns, protocol: UDP, port: 5353 }}\n---\n",
            family.to_lowercase()
        ));
    }
    Ok(text)
}

/// A client that always sends from the same port.
struct Client(UdpSocket);

impl Client {
    fn new(lab: &Lab, to: IpAddr) -> Result<Self> {
        let socket = fragments::client(lab.pod("open/client")?.netns(), to, 53)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        Ok(Self(socket))
    }

    /// Who answers one question, if anybody does.
    fn ask(&self) -> Result<Option<String>> {
        let mut answer = [0; 512];
        let asked = self
            .0
            .send(b"who?\n")
            .and_then(|_| self.0.recv(&mut answer));
        match asked {
            Ok(length) => Ok(Some(
                String::from_utf8_lossy(&answer[..length]).into_owned(),
            )),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[test]
fn a_client_of_udp_goes_on_within_a_second_when_its_endpoint_leaves() {
    let mut lab = Lab::start("tbleavers").unwrap();
    let objects = pods() + &pod("client", 1).replace("0101", "0111");
    lab.put_pods("open.yaml", &objects).unwrap();
    let lab = lab
        .and_pods(&["open/client", "open/near", "open/far"])
        .unwrap();
    lab.cluster.put_manifest("dns.yaml", &service()).unwrap();
    for address in DNS {
        let all = slices(&lab, &["open/near", "open/far"]).unwrap();
        lab.cluster.put_manifest("slices.yaml", &all).unwrap();
        // What is asked before would be taken for a connection to the world, and stay one.
        wait::until_true("both endpoints in the group", LIMIT, || {
            let groups = lab.node(1)?.ovs().ofctl("dump-groups", "br-int", None)?;
            let pods = ["open/near", "open/far"].map(|name| lab.pod(name));
            pods.into_iter().try_fold(true, |all, pod| {
                Ok(all && groups.contains(&format!("dst={}:5353", pod?.address)))
            })
        })
        .unwrap();
        let client = Client::new(&lab, address.parse().unwrap()).unwrap();
        let first = wait::until("an answer", LIMIT, || client.ask()).unwrap();
        let (leaver, stayer) = match first.contains("open/near") {
            true => ("open/near", "open/far"),
            false => ("open/far", "open/near"),
        };
        // Both serve; the client stays with the one that it has.
        for _ in 0..5 {
            let again = wait::until("another answer", LIMIT, || client.ask()).unwrap();
            assert!(again.contains(leaver), "{again}");
        }
        let less = slices(&lab, &[stayer]).unwrap();
        lab.cluster.put_manifest("slices.yaml", &less).unwrap();
        let gone = format!("dst={}:5353", lab.pod(leaver).unwrap().address);
        wait::until_true("the endpoint to leave the group", LIMIT, || {
            let ovs = lab.node(1)?.ovs();
            Ok(!ovs.ofctl("dump-groups", "br-int", None)?.contains(&gone))
        })
        .unwrap();
        // It goes on running, and would go on answering.
        let left = Instant::now();
        wait::until_true("an answer of who stays", LIMIT, || {
            let answer = client.ask()?;
            Ok(answer.is_some_and(|answer| answer.contains(stayer)))
        })
        .unwrap();
        let took = left.elapsed();
        println!("{address}: from {leaver} to {stayer} in {took:.1?}");
        assert!(took < Duration::from_secs(1), "{took:.1?}");
        // Nothing leads back.
        for _ in 0..30 {
            let answer = client.ask().unwrap().unwrap_or_default();
            assert!(!answer.contains(leaver), "{answer}");
        }
    }
}
