// SPDX-License-Identifier: Apache-2.0
//! Pods and bridges made by hand, to test the bed apart from the product.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use integration::{Netns, PodId, Prober, Testbed};

/// The gateway every Pod uses, and its link-layer address.
const GATEWAY: &str = "169.254.1.1";
const GATEWAY_MAC: &str = "0a:58:a9:fe:01:01";

/// A Pod wired without CNI.
pub(crate) struct PlainPod {
    pub(crate) id: PodId,
    pub(crate) netns: Netns,
    pub(crate) address: Ipv4Addr,
    pub(crate) node: usize,
    port: u32,
    mac: String,
}

/// Creates br-int with a tunnel port and the option map on a node.
pub(crate) fn add_bridge(bed: &Testbed, node: usize) -> Result<()> {
    let ovs = bed.node(node)?.ovs();
    ovs.vsctl(
        "add-br br-int -- set Bridge br-int datapath_type=netdev fail_mode=secure \
         protocols=OpenFlow15 \
         -- add-port br-int culvert-tun -- set Interface culvert-tun type=geneve \
         options:remote_ip=flow options:key=flow options:csum=true",
    )?;
    let map = "{class=0xff51,type=0x01,len=12}->tun_metadata0";
    ovs.ofctl("add-tlv-map", "br-int", Some(map))?;
    Ok(())
}

/// Wires a Pod's veth into br-int, with echo servers on TCP 8080 and UDP 5353.
pub(crate) fn add_pod(bed: &Testbed, prober: &Prober, node: usize, number: u8) -> Result<PlainPod> {
    let host = bed.node(node)?;
    let id = PodId::new("plain", &format!("pod{number}"));
    let netns = Netns::create(&format!("culvert-{}-pod-plain-pod{number}", bed.name()))?;
    let address = Ipv4Addr::new(10, 10, u8::try_from(node)?, number);
    let (veth, peer) = (format!("veth{number}"), host.netns().name());
    netns.ip(&format!(
        "link add eth0 type veth peer name {veth} netns {peer}"
    ))?;
    integration::testbed::offload_off(&netns, "eth0")?;
    host.netns().ip(&format!("link set {veth} up"))?;
    netns.ip(&format!("address add {address}/32 dev eth0"))?;
    netns.ip("link set eth0 mtu 1400 up")?;
    netns.ip(&format!(
        "neigh add {GATEWAY} lladdr {GATEWAY_MAC} dev eth0 nud permanent"
    ))?;
    netns.ip(&format!("route add default via {GATEWAY} dev eth0 onlink"))?;
    let link = netns.ip("-oneline link show eth0")?;
    let mac = link
        .split_once("link/ether ")
        .and_then(|(_, rest)| rest.split_ascii_whitespace().next())
        .context("eth0 has no link-layer address")?
        .to_owned();
    let ovs = host.ovs();
    ovs.vsctl(&format!("add-port br-int {veth}"))?;
    let port = ovs.port_number(&veth)?;
    prober.serve(&netns, &id, &[8080], &[5353])?;
    Ok(PlainPod {
        id,
        netns,
        address,
        node,
        port,
        mac,
    })
}

/// Routes every Pod to every other: locally by port, to other nodes through the tunnel with the
/// option `identity`.
pub(crate) fn add_routes(bed: &Testbed, pods: &[PlainPod], identity: &str) -> Result<()> {
    for index in 1..=bed.nodes().len() {
        let ovs = bed.node(index)?.ovs();
        for pod in pods {
            let flow = if pod.node == index {
                format!(
                    "table=0,ip,nw_dst={},actions=set_field:{}->eth_dst,output:{}",
                    pod.address, pod.mac, pod.port
                )
            } else {
                format!(
                    "table=0,ip,nw_dst={},actions=set_field:{identity}->tun_metadata0,\
                     set_field:0xc1->tun_id,set_field:{}->tun_dst,output:culvert-tun",
                    pod.address,
                    bed.node(pod.node)?.underlay()
                )
            };
            ovs.ofctl("add-flow", "br-int", Some(&flow))?;
        }
    }
    Ok(())
}
