// SPDX-License-Identifier: Apache-2.0
//! Datagrams larger than the MTU: conntrack puts their fragments together, so the port decides about
//! all of them.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::Result;
use integration::{Netns, wait};

use crate::lab::{LIMIT, Lab};

/// Two fragments at an MTU of 1434, and less than the echo server takes.
pub(crate) const SIZE: usize = 1900;

/// What every Pod serves on UDP.
const PORT: u16 = 5353;

/// How long one datagram may take; a lost one is sent again by [`wait::until_true`].
const PATIENCE: Duration = Duration::from_millis(500);

/// A client that speaks to a port that is served on UDP.
pub(crate) fn client(from: &Netns, to: IpAddr, port: u16) -> Result<UdpSocket> {
    let socket = from.enter(|| {
        let any: IpAddr = match to {
            IpAddr::V4(_) => IpAddr::from([0; 4]),
            IpAddr::V6(_) => IpAddr::from([0_u8; 16]),
        };
        UdpSocket::bind(SocketAddr::new(any, 0))
    })??;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(SocketAddr::new(to, port))?;
    Ok(socket)
}

/// Whether a datagram of this size comes back whole.
pub(crate) fn echoes(client: &UdpSocket, size: usize) -> Result<bool> {
    let question: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
    client.send(&question)?;
    let mut answer = vec![0; 2 * SIZE];
    match client.recv(&mut answer) {
        // The server's name stands before what it was sent.
        Ok(length) => Ok(answer[..length].ends_with(&question)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[test]
fn policy_by_port_holds_for_datagrams_in_fragments_and_does_not_break_them() {
    let pods = ["shop/web", "shop/api-1", "shop/api-2", "team-b/monitor"];
    let lab = Lab::with_pods("frag", &pods).unwrap();
    let netns = |pod: &str| lab.pod(pod).unwrap().netns();
    let mut talking = Vec::new();
    for api in ["shop/api-1", "shop/api-2"] {
        for address in &lab.pod(api).unwrap().addresses {
            // Allowed on UDP 5353: the first datagram, and those of the established connection.
            let allowed = client(netns("team-b/monitor"), *address, PORT).unwrap();
            let what = format!("{api} at {address} to answer");
            wait::until_true(what, LIMIT, || echoes(&allowed, SIZE)).unwrap();
            for _ in 0..3 {
                assert!(echoes(&allowed, SIZE).unwrap(), "{address}");
            }
            talking.push(allowed);
            // Allowed on TCP 8080 only.
            let denied = client(netns("shop/web"), *address, PORT).unwrap();
            assert!(!echoes(&denied, SIZE).unwrap(), "{address}");
        }
    }
    // A policy that no longer allows them cuts established connections of fragments, too.
    lab.cluster.remove_manifest("policy-shop-api.yaml").unwrap();
    for client in talking {
        wait::until_true("fragments to stop", LIMIT, || Ok(!echoes(&client, SIZE)?)).unwrap();
        assert!(!echoes(&client, SIZE).unwrap());
    }
}
