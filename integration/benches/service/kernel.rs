// SPDX-License-Identifier: Apache-2.0
//! A kernel with kube-proxy's rules: a client and three servers behind a router that has them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use integration::{Netns, PodId, command, registry, testbed};

use crate::culvert::Culvert;
use crate::measure::Way;
use crate::rules;
use crate::services::{self, ENDPOINTS, TARGET_PORT};
use crate::{Rival, Site};

/// Longest time that the rules of all Services may take to load.
const LIMIT: Duration = Duration::from_secs(120);

/// The form of the rules.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rules {
    Iptables,
    Nftables,
}

impl Rules {
    const fn word(self) -> &'static str {
        match self {
            Self::Iptables => "ipt",
            Self::Nftables => "nft",
        }
    }

    const fn program(self) -> &'static [&'static str] {
        match self {
            Self::Iptables => &["iptables-restore"],
            Self::Nftables => &["nft", "-f", "-"],
        }
    }

    fn text(self, size: u32) -> String {
        let endpoints = endpoints();
        match self {
            Self::Iptables => rules::iptables(size, &endpoints),
            Self::Nftables => rules::nftables(size, &endpoints),
        }
    }
}

/// It ends with the bed that it was made in.
pub(crate) struct Kernel {
    client: Netns,
    size: u32,
}

impl Kernel {
    /// Namespaces of `bed`, and rules for as many Services as it has.
    pub(crate) fn start(bed: &Culvert, rules: Rules) -> Result<Self> {
        let create = |part: &str| {
            let part = format!("{}-{part}", rules.word());
            Netns::create(&registry::netns_name(bed.cluster.bed().name(), &part))
        };
        let router = create("router")?;
        router.sysctl("net/ipv4/ip_forward", "1")?;
        let client = create("client")?;
        connect(&router, &client, 0)?;
        for number in 1..=ENDPOINTS {
            let server = create(&format!("server{number}"))?;
            connect(&router, &server, number)?;
            let id = PodId::new("kernel", &format!("server-{number}"));
            bed.prober.serve(&server, &id, &[TARGET_PORT], &[])?;
        }
        let text = rules.text(bed.size);
        let start = Instant::now();
        let mut program = command::bounded("ip", LIMIT);
        program.args(["netns", "exec", router.name()]);
        program.args(rules.program());
        let output = command::feed(program, text.as_bytes())?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{rules:?} takes no rules: {error}");
        println!(
            "{rules:?} takes rules for {} Services in {:.1} s",
            bed.size,
            start.elapsed().as_secs_f64()
        );
        Ok(Self {
            client,
            size: bed.size,
        })
    }

    pub(crate) fn site(&self, rival: Rival) -> Site {
        let way = |to| Way {
            client: self.client.clone(),
            to,
            ovs: None,
        };
        let past = endpoints().map(|address| SocketAddr::new(address.into(), TARGET_PORT));
        Site {
            rival,
            size: self.size,
            through: way(services::used(self.size)),
            past: way(past.into()),
        }
    }
}

/// The router's address is the first of the network, the other's the second.
fn network(number: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 10, number, host)
}

fn endpoints() -> [Ipv4Addr; ENDPOINTS as usize] {
    std::array::from_fn(|at| network(1 + at as u8, 2))
}

fn connect(router: &Netns, netns: &Netns, number: u8) -> Result<()> {
    let (device, peer) = (format!("port{number}"), router.name());
    netns.ip(&format!(
        "link add eth0 type veth peer name {device} netns {peer}"
    ))?;
    for (netns, device, host) in [(router, device.as_str(), 1), (netns, "eth0", 2)] {
        let address: IpAddr = network(number, host).into();
        netns.ip(&format!("address add {address}/24 dev {device}"))?;
        netns.ip(&format!("link set {device} up"))?;
        // As the interfaces of Pods have it.
        testbed::offload_off(netns, device)?;
    }
    netns.ip(&format!("route add default via {}", network(number, 1)))?;
    Ok(())
}
