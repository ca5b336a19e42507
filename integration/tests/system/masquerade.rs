// SPDX-License-Identifier: Apache-2.0
//! Clients of Services whose answers would miss the switch, with real packets: a Pod that is its own
//! endpoint, the nodes' kernels, and the world.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use integration::stream::Stream;
use integration::{Netns, Probe, Protocol, wait};

use crate::lab::{LIMIT, Lab};

/// Two Pods that no policy isolates, and Services of one endpoint each.
pub(crate) const NEAR: &str = "10.96.1.1";
pub(crate) const NEAR6: &str = "fd00:96::1:1";
pub(crate) const FAR: &str = "10.96.1.2";
pub(crate) const FAR6: &str = "fd00:96::1:2";
/// Where these addresses come from.
pub(crate) const SERVICE_CIDRS: &str = "\
    apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: { name: kubernetes }\n\
    spec: { cidrs: [10.96.0.0/16, \"fd00:96::/64\"] }\n---\n";
const HOME_NODE: &str = "10.96.1.3";
const OTHER_NODE: &str = "10.96.1.4";
const OUTSIDE: &str = "10.96.1.5";

/// Of these Pods.
pub(crate) const NAMESPACE: &str =
    "apiVersion: v1\nkind: Namespace\nmetadata: { name: open }\n---\n";

/// A Pod that no policy isolates.
pub(crate) fn pod(name: &str, node: u8) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\n\
         metadata:\n  namespace: open\n  name: {name}\n  labels: {{ app: {name}, set: open }}\n\
         \x20 uid: 00000000-0000-4000-8000-00000000010{node}\n\
         spec:\n  nodeName: node-{node}\n  containers:\n    - {{ name: {name}, image: {name} }}\n---\n"
    )
}

/// A Service whose endpoints its selector finds, or those that the text after it says.
pub(crate) fn service(name: &str, addresses: &str, selector: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ namespace: open, name: {name} }}\n\
         spec:\n  clusterIPs: [{addresses}]\n  selector: {selector}\n  ports:\n\
         \x20   - {{ name: http, protocol: TCP, port: 80, targetPort: 8080 }}\n\
         \x20   - {{ name: dns, protocol: UDP, port: 53, targetPort: 5353 }}\n\
         \x20   - {{ name: raw, protocol: UDP, port: 54, targetPort: 5354 }}\n\
         \x20   - {{ name: sctp, protocol: SCTP, port: 9000, targetPort: 9000 }}\n\
         \x20   - {{ name: apart, protocol: SCTP, port: 9001, targetPort: 9002 }}\n---\n"
    )
}

/// A Service that leads to an address of no Pod, by this node port, too.
pub(crate) fn elsewhere(name: &str, address: &str, node_port: u16, endpoint: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ namespace: open, name: {name} }}\n\
         spec:\n  type: NodePort\n  clusterIPs: [{address}]\n  ports:\n\
         \x20   - {{ name: http, port: 80, nodePort: {node_port} }}\n\
         \x20   - {{ name: dns, protocol: UDP, port: 53, nodePort: {node_port} }}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n\
         metadata:\n  namespace: open\n  name: {name}-1\n\
         \x20 labels: {{ kubernetes.io/service-name: {name} }}\n\
         endpoints:\n  - addresses: [{endpoint}]\n    conditions: {{ ready: true }}\n\
         ports:\n  - {{ name: http, protocol: TCP, port: 8080 }}\n\
         \x20 - {{ name: dns, protocol: UDP, port: 5353 }}\n---\n"
    )
}

/// The two Pods and their namespace.
pub(crate) fn pods() -> String {
    [NAMESPACE.to_owned(), pod("near", 1), pod("far", 2)].concat()
}

fn pods_and_services() -> String {
    [
        pods(),
        service("near", &format!("{NEAR}, \"{NEAR6}\""), "{ app: near }"),
        service("far", &format!("{FAR}, \"{FAR6}\""), "{ app: far }"),
    ]
    .concat()
}

fn services_elsewhere(lab: &Lab) -> Result<String> {
    let (home, other) = (lab.node(1)?.underlay(), lab.node(2)?.underlay());
    Ok([
        elsewhere("home-node", HOME_NODE, 30001, &home.to_string()),
        elsewhere("other-node", OTHER_NODE, 30002, &other.to_string()),
        elsewhere(
            "outside",
            OUTSIDE,
            30003,
            &integration::testbed::OUTSIDE.to_string(),
        ),
    ]
    .concat())
}

/// The lab with the two Pods, and kernels that send what is for Services to `culvert-gw`.
pub(crate) fn lab(name: &str) -> Result<Lab> {
    let mut lab = Lab::start(name)?;
    lab.put_pods("open.yaml", &pods_and_services())?;
    let elsewhere = services_elsewhere(&lab)?;
    lab.cluster.put_manifest("elsewhere.yaml", &elsewhere)?;
    let lab = lab.and_pods(&["open/near", "open/far"])?;
    for node in lab.cluster.bed().nodes() {
        let (v4, v6) = (node.underlay(), node.underlay6());
        for (route, via, source) in [
            (
                "route replace 10.96.0.0/16",
                "169.254.1.1",
                IpAddr::from(v4),
            ),
            ("-6 route replace fd00:96::/64", "fe80::1", IpAddr::from(v6)),
        ] {
            let route = format!("{route} via {via} dev culvert-gw onlink src {source}");
            node.netns().ip(&route)?;
        }
    }
    Ok(lab)
}

fn probe(from: &Netns, address: &str, protocol: Protocol) -> Result<Probe> {
    let port = match protocol {
        Protocol::Tcp => 80,
        Protocol::Udp => 53,
    };
    let address: IpAddr = address.parse()?;
    Ok(Probe::new(from, protocol, address, port))
}

/// Waits until each is answered by whom it says, in one round of all.
fn expect(lab: &Lab, wanted: &[(&str, &Netns, &str, &str)]) -> Result<()> {
    let mut probes = Vec::new();
    for (client, from, address, server) in wanted {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let what = format!("{client} -> {address} {protocol} by {server}");
            probes.push((what, probe(from, address, protocol)?, *server));
        }
    }
    expect_answers(lab, &probes)
}

/// Waits until each probe is answered by whom it says, in one round of all.
pub(crate) fn expect_answers(lab: &Lab, probes: &[(String, Probe, &str)]) -> Result<()> {
    let what = "every client to reach every Service";
    lab.await_round(what, probes, |verdict, server| {
        verdict.answered_by() == Some(*server)
    })
}

#[test]
fn a_pod_reaches_itself_through_a_service_of_each_family() {
    let lab = lab("tbhairpin").unwrap();
    for (pod, addresses) in [("open/near", [NEAR, NEAR6]), ("open/far", [FAR, FAR6])] {
        let netns = lab.pod(pod).unwrap().netns();
        expect(&lab, &addresses.map(|address| (pod, netns, address, pod))).unwrap();
    }
}

#[test]
fn pods_kernels_and_the_world_reach_services_wherever_they_lead() {
    let lab = lab("tbenter").unwrap();
    let bed = lab.cluster.bed();
    let (home, away) = (lab.node(1).unwrap(), lab.node(2).unwrap());
    let routes = [
        ("10.10.1.0/24", home),
        ("10.10.2.0/24", away),
        ("10.96.0.0/16", home),
    ];
    let world = bed.add_outsider(&routes).unwrap();
    for (netns, name) in [
        (home.netns(), "node/home"),
        (away.netns(), "node/other"),
        (&world, "the/world"),
    ] {
        let id = name.parse().unwrap();
        lab.prober.serve(netns, &id, &[8080], &[5353]).unwrap();
    }
    let near = lab.pod("open/near").unwrap().netns();
    let clients = [
        ("a Pod", near),
        ("its node", home.netns()),
        ("the other node", away.netns()),
        ("the world", &world),
    ];
    let mut wanted = Vec::new();
    for (client, from) in clients {
        for (address, server) in [
            (NEAR, "open/near"),
            (FAR, "open/far"),
            (HOME_NODE, "node/home"),
            (OTHER_NODE, "node/other"),
            (OUTSIDE, "the/world"),
        ] {
            wanted.push((client, from, address, server));
        }
        if client != "the world" {
            wanted.extend([
                (client, from, NEAR6, "open/near"),
                (client, from, FAR6, "open/far"),
            ]);
        }
    }
    expect(&lab, &wanted).unwrap();
}

/// Numbers of the conntrack zones that established packets pass on a node: those of the datapath's
/// flows while nothing but `stream` is under way.
pub(crate) fn zones(lab: &Lab, node: usize, stream: &Stream) -> Result<Vec<String>> {
    lab.node(node)?.ovs().appctl("revalidator/purge")?;
    stream.expect_progress(1000, LIMIT)?;
    let flows = lab.node(node)?.ovs().appctl("dpctl/dump-flows")?;
    let ipv4 = flows
        .lines()
        .filter(|line| line.contains("eth_type(0x0800)"));
    let passes = ipv4.flat_map(|line| line.split("zone=").skip(1));
    let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect();
    let mut zones: Vec<String> = passes.map(number).collect();
    zones.sort();
    Ok(zones)
}

#[test]
fn established_packets_pass_conntrack_once_per_node_and_twice_where_they_are_masqueraded() {
    let lab = lab("tbpasses").unwrap();
    let near = lab.pod("open/near").unwrap().netns();
    let home = lab.node(1).unwrap().netns();
    let open = |from, address: &str| {
        let to = SocketAddr::new(address.parse().unwrap(), 80);
        wait::until("a stream through the Service", LIMIT, || {
            Ok(Stream::open(&lab.prober, from, to).ok())
        })
    };
    // One pass for each direction.
    let stream = open(near, FAR).unwrap();
    for node in [1, 2] {
        assert_eq!(zones(&lab, node, &stream).unwrap(), ["193", "193"]);
    }
    drop(stream);
    let stream = open(home, FAR).unwrap();
    assert_eq!(
        zones(&lab, 1, &stream).unwrap(),
        ["193", "193", "194", "194"]
    );
    assert_eq!(zones(&lab, 2, &stream).unwrap(), ["193", "193"]);
}
