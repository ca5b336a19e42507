// SPDX-License-Identifier: Apache-2.0
//! Every door to a Service, with real packets: node ports, addresses of load balancers and external
//! addresses, from Pods, the nodes' kernels and the world; and who sees whose address behind it.

use std::io::{Read as _, Write as _};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket,
};
use std::time::Duration;

use anyhow::Result;
use integration::stream::Stream;
use integration::testbed::OUTSIDE;
use integration::{Netns, Probe, Protocol, wait};

use crate::lab::{LIMIT, Lab};
use crate::masquerade::{SERVICE_CIDRS, elsewhere, expect_answers, pods, zones};

/// The world's address of the other family, beside [`OUTSIDE`].
const OUTSIDE6: &str = "fd98::fa";

/// Where servers of a test's own listen.
const SEEN: u16 = 8181;

/// A Service with one endpoint, and how it is reached; both have the same ports but for node ports.
struct Doors {
    service: &'static str,
    server: &'static str,
    /// Cluster addresses, then load balancers', then external ones, IPv4 before IPv6.
    addresses: [&'static str; 6],
    /// The first of its node ports: for TCP 80, UDP 53, and 81 of both.
    node_port: u16,
}

const DOORS: [Doors; 2] = [
    Doors {
        service: "near",
        server: "open/near",
        addresses: [
            "10.96.2.1",
            "fd00:96::2:1",
            "192.0.2.11",
            "2001:db8::11",
            "192.0.2.21",
            "2001:db8::21",
        ],
        node_port: 30080,
    },
    Doors {
        service: "far",
        server: "open/far",
        addresses: [
            "10.96.2.2",
            "fd00:96::2:2",
            "192.0.2.12",
            "2001:db8::12",
            "192.0.2.22",
            "2001:db8::22",
        ],
        node_port: 31080,
    },
];

impl Doors {
    fn manifest(&self) -> String {
        let Self {
            service,
            addresses: [cluster, cluster6, vip, vip6, external, external6],
            node_port,
            ..
        } = self;
        let (dns, seen) = (node_port + 1, node_port + 2);
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{ namespace: open, name: {service} }}\n\
             spec:\n  type: LoadBalancer\n  selector: {{ app: {service} }}\n\
             \x20 clusterIPs: [\"{cluster}\", \"{cluster6}\"]\n\
             \x20 externalIPs: [\"{external}\", \"{external6}\"]\n  ports:\n\
             \x20   - {{ name: http, port: 80, targetPort: 8080, nodePort: {node_port} }}\n\
             \x20   - {{ name: dns, protocol: UDP, port: 53, targetPort: 5353, nodePort: {dns} }}\n\
             \x20   - {{ name: seen, port: 81, targetPort: {SEEN}, nodePort: {seen} }}\n\
             \x20   - {{ name: silent, protocol: UDP, port: 81, targetPort: {SEEN}, nodePort: {seen} }}\n\
             status:\n  loadBalancer:\n    ingress: [{{ ip: \"{vip}\" }}, {{ ip: \"{vip6}\" }}]\n---\n"
        )
    }
}

/// The lab with two Pods, their Services, and nodes that have an address of each family; and the world.
fn lab(name: &str) -> Result<(Lab, Netns)> {
    let mut lab = Lab::start(name)?;
    let nodes = lab.cluster.manifests().join("nodes.yaml");
    let mut text = std::fs::read_to_string(nodes)?;
    for node in lab.cluster.bed().nodes() {
        let (v4, v6) = (node.underlay().to_string(), node.underlay6().to_string());
        let address = |text: &str| format!("address: {text:?} }}");
        let both = format!(
            "{}\n    - {{ type: InternalIP, {}",
            address(&v4),
            address(&v6)
        );
        text = text.replace(&address(&v4), &both);
    }
    lab.cluster.put_manifest("nodes.yaml", &text)?;
    let mut objects = pods() + SERVICE_CIDRS;
    objects.extend(DOORS.iter().map(Doors::manifest));
    lab.put_pods("open.yaml", &objects)?;
    let lab = lab.and_pods(&["open/near", "open/far"])?;
    let home = lab.node(1)?;
    let routes = [("192.0.2.0/24", home), ("10.10.1.0/24", home)];
    let world = lab.cluster.bed().add_outsider(&routes)?;
    world.ip(&format!("address add {OUTSIDE6}/64 dev eth0 nodad"))?;
    let home6 = home.underlay6();
    world.ip(&format!("-6 route add 2001:db8::/64 via {home6}"))?;
    Ok((lab, world))
}

/// The ways to a Service: addresses, with the ports for TCP and UDP there.
fn ways(lab: &Lab, doors: &Doors) -> Result<Vec<(IpAddr, [u16; 2])>> {
    let mut ways = Vec::new();
    for address in doors.addresses {
        ways.push((address.parse()?, [80, 53]));
    }
    let node_ports = [doors.node_port, doors.node_port + 1];
    for node in lab.cluster.bed().nodes() {
        ways.push((node.underlay().into(), node_ports));
        ways.push((node.underlay6().into(), node_ports));
    }
    Ok(ways)
}

/// A Pod, both nodes' kernels and the world.
fn clients<'a>(lab: &'a Lab, world: &'a Netns) -> Result<[(&'static str, &'a Netns); 4]> {
    Ok([
        ("a Pod", lab.pod("open/near")?.netns()),
        ("node 1", lab.node(1)?.netns()),
        ("node 2", lab.node(2)?.netns()),
        ("the world", world),
    ])
}

#[test]
fn every_door_leads_to_its_service_from_pods_nodes_and_the_world() {
    let (lab, world) = lab("tbdoors").unwrap();
    let mut probes = Vec::new();
    for (client, from) in clients(&lab, &world).unwrap() {
        for doors in &DOORS {
            for (address, [tcp, udp]) in ways(&lab, doors).unwrap() {
                let cluster = doors.addresses[..2]
                    .iter()
                    .any(|one| *one == address.to_string());
                // The world has no route there.
                if cluster && client == "the world" {
                    continue;
                }
                for (protocol, port) in [(Protocol::Tcp, tcp), (Protocol::Udp, udp)] {
                    let server = doors.server;
                    let what = format!("{client} -> {address} {protocol}/{port} by {server}");
                    let probe = Probe::new(from, protocol, address, port);
                    probes.push((what, probe, server));
                }
            }
        }
    }
    expect_answers(&lab, &probes).unwrap();
}

#[test]
fn node_ports_lead_to_nodes_and_to_the_outside_as_they_lead_to_pods() {
    let (lab, world) = lab("tbnopods").unwrap();
    let (home, away) = (lab.node(1).unwrap(), lab.node(2).unwrap());
    let ends = [
        ("node/home", home.netns(), home.underlay()),
        ("node/other", away.netns(), away.underlay()),
        ("the/world", &world, OUTSIDE),
    ];
    let mut services = String::new();
    let mut probes = Vec::new();
    for ((server, netns, endpoint), number) in ends.into_iter().zip(1u16..) {
        let id = server.parse().unwrap();
        lab.prober.serve(netns, &id, &[8080], &[5353]).unwrap();
        let (name, address) = (format!("none-{number}"), format!("10.96.3.{number}"));
        let node_port = 32000 + number;
        services.push_str(&elsewhere(
            &name,
            &address,
            node_port,
            &endpoint.to_string(),
        ));
        for (client, from) in clients(&lab, &world).unwrap() {
            for node in [home, away] {
                for protocol in [Protocol::Tcp, Protocol::Udp] {
                    let what = format!("{client} -> {} {protocol} by {server}", node.name());
                    let probe = Probe::new(from, protocol, node.underlay(), node_port);
                    probes.push((what, probe, server));
                }
            }
        }
    }
    lab.cluster.put_manifest("nopods.yaml", &services).unwrap();
    expect_answers(&lab, &probes).unwrap();
}

/// A server that says whose address it sees.
struct Witness(TcpListener);

impl Witness {
    fn listen(at: &Netns) -> Result<Self> {
        let all = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), SEEN);
        Ok(Self(at.enter(|| TcpListener::bind(all))??))
    }

    /// The address that it sees when `from` connects to `to`, which leads here.
    fn sees(&self, from: &Netns, to: (IpAddr, u16)) -> Result<IpAddr> {
        let to = SocketAddr::from(to);
        let second = Duration::from_secs(1);
        let connect = || TcpStream::connect_timeout(&to, second);
        let what = format!("{} to reach {to}", from.name());
        let mut client = wait::until(what, LIMIT, || Ok(from.enter(connect)?.ok()))?;
        let word = client.local_addr()?.to_string();
        client.write_all(word.as_bytes())?;
        client.shutdown(Shutdown::Write)?;
        // Attempts that were given up may have come here, too.
        wait::until("the client that was let in", LIMIT, || {
            let (mut server, client) = self.0.accept()?;
            server.set_read_timeout(Some(second))?;
            let mut read = String::new();
            let heard = server.read_to_string(&mut read).is_ok() && read == word;
            Ok(heard.then(|| client.ip().to_canonical()))
        })
    }
}

#[test]
fn pods_see_the_masquerade_address_unless_a_pod_comes_by_the_cluster_address() {
    let (lab, world) = lab("tbseen").unwrap();
    let (home, away) = (lab.node(1).unwrap(), lab.node(2).unwrap());
    let near = lab.pod("open/near").unwrap();
    let far = lab.pod("open/far").unwrap();
    let [_, doors] = &DOORS;
    let server = Witness::listen(far.netns()).unwrap();
    let node_port = doors.node_port + 2;
    let [cluster, _, vip, _, external, _] = doors.addresses.map(|text| text.parse().unwrap());
    let masquerade = |node: u8| IpAddr::from([10, 10, node, 1]);
    for (from, address, port, wanted) in [
        (&world, home.underlay().into(), node_port, masquerade(1)),
        (&world, away.underlay().into(), node_port, masquerade(2)),
        (&world, vip, 81, masquerade(1)),
        (&world, external, 81, masquerade(1)),
        (home.netns(), cluster, 81, masquerade(1)),
        (
            home.netns(),
            home.underlay().into(),
            node_port,
            masquerade(1),
        ),
        (
            home.netns(),
            away.underlay().into(),
            node_port,
            masquerade(2),
        ),
        (
            near.netns(),
            away.underlay().into(),
            node_port,
            masquerade(1),
        ),
        (near.netns(), vip, 81, masquerade(1)),
        (near.netns(), cluster, 81, near.address),
    ] {
        assert_eq!(
            server.sees(from, (address, port)).unwrap(),
            wanted,
            "{} -> {address}",
            from.name()
        );
    }
}

#[test]
fn the_world_sees_the_node_of_a_pod_and_networks_that_are_left_out_see_the_pod() {
    let (lab, world) = lab("tbleave").unwrap();
    let home = lab.node(1).unwrap();
    let near = lab.pod("open/near").unwrap();
    let outside = (IpAddr::from(OUTSIDE), SEEN);
    let server = Witness::listen(&world).unwrap();
    assert_eq!(server.sees(near.netns(), outside).unwrap(), home.underlay());
    lab.cluster.kill_agent(home).unwrap();
    let not_masqueraded = ["--no-masquerade-cidrs", "10.98.0.250/32"];
    lab.cluster
        .start_agent_with(home, &not_masqueraded)
        .unwrap();
    wait::until_true("the world to see the Pod itself", LIMIT, || {
        Ok(server.sees(near.netns(), outside)? == near.address)
    })
    .unwrap();
}

#[test]
fn what_a_client_sends_again_before_the_answer_takes_the_same_way() {
    let (lab, world) = lab("tbagain").unwrap();
    let home = lab.node(1).unwrap();
    let [_, doors] = &DOORS;
    let far = lab.pod("open/far").unwrap().netns();
    let near = lab.pod("open/near").unwrap().netns();
    let socket = |netns: &Netns, family: IpAddr, port| {
        let socket = netns.enter(|| UdpSocket::bind(SocketAddr::new(family, port)))??;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        anyhow::Ok(socket)
    };
    let server = socket(far, Ipv6Addr::UNSPECIFIED.into(), SEEN).unwrap();
    let [cluster, _, vip, ..] = doors.addresses.map(|text| text.parse::<IpAddr>().unwrap());
    let node_port = doors.node_port + 2;
    for (from, address, port) in [
        (near, cluster, 81),
        (near, vip, 81),
        (near, home.underlay().into(), node_port),
        (home.netns(), cluster, 81),
        (&world, home.underlay().into(), node_port),
    ] {
        let what = format!("{} -> {address}", from.name());
        let client = socket(from, Ipv4Addr::UNSPECIFIED.into(), 0).unwrap();
        client.connect((address, port)).unwrap();
        let mut word = [0];
        let mut say = |number: u8| {
            client.send(&[number])?;
            let (_, from) = server.recv_from(&mut word)?;
            anyhow::ensure!(word == [number], "{word:?} and not {number}");
            Ok(from)
        };
        let first = wait::until(&what, LIMIT, || Ok(say(0).ok())).unwrap();
        for number in 1..=3 {
            assert_eq!(say(number).expect(&what), first, "{what}");
        }
        server.send_to(b"!", first).unwrap();
        client.recv(&mut word).expect(&what);
        assert_eq!(word, *b"!");
    }
}

#[test]
fn established_packets_of_a_node_port_pass_conntrack_twice_where_they_enter_only() {
    let (lab, world) = lab("tbtwopass").unwrap();
    let (home, away) = (lab.node(1).unwrap(), lab.node(2).unwrap());
    let near = lab.pod("open/near").unwrap().netns();
    let [to_near, to_far] = DOORS.each_ref().map(|doors| doors.node_port);
    let twice: &[_] = &["193", "193", "194", "194"];
    for (from, node, port, at_entry, beyond) in [
        (near, away, to_far, (1, twice), (2, &["193", "193"][..])),
        (&world, home, to_far, (1, twice), (2, &["193", "193"][..])),
        (&world, home, to_near, (1, twice), (2, &[][..])),
        (
            home.netns(),
            home,
            to_far,
            (1, twice),
            (2, &["193", "193"][..]),
        ),
    ] {
        let to = SocketAddr::new(node.underlay().into(), port);
        let stream = wait::until("a stream through the node port", LIMIT, || {
            Ok(Stream::open(&lab.prober, from, to).ok())
        })
        .unwrap();
        for (node, wanted) in [at_entry, beyond] {
            assert_eq!(
                zones(&lab, node, &stream).unwrap(),
                wanted,
                "{to} at {node}"
            );
        }
    }
}

/// A Service whose one endpoint serves the world at its own node alone.
const KEPT: &str = "apiVersion: v1\nkind: Service\nmetadata: { namespace: open, name: kept }\n\
    spec:\n  type: NodePort\n  externalTrafficPolicy: Local\n  selector: { app: near }\n\
    \x20 clusterIPs: [10.96.2.9, \"fd00:96::2:9\"]\n  ports:\n\
    \x20   - { name: http, port: 80, targetPort: 8080, nodePort: 32080 }\n\
    \x20   - { name: seen, port: 81, targetPort: 8181, nodePort: 32082 }\n";

#[test]
fn with_external_policy_local_endpoints_see_who_connects_and_other_nodes_drop() {
    let (lab, world) = lab("tbkept").unwrap();
    lab.cluster.put_manifest("kept.yaml", KEPT).unwrap();
    let (home, away) = (lab.node(1).unwrap(), lab.node(2).unwrap());
    let witness = Witness::listen(lab.pod("open/near").unwrap().netns()).unwrap();
    let far = lab.pod("open/far").unwrap();
    let door = (IpAddr::from(home.underlay()), 32082);
    let door6 = (IpAddr::from(home.underlay6()), 32082);
    for (from, to, expected) in [
        (&world, door, OUTSIDE.into()),
        (&world, door6, OUTSIDE6.parse().unwrap()),
        (away.netns(), door, away.underlay().into()),
        (far.netns(), door, far.address),
    ] {
        let seen = witness.sees(from, to).unwrap();
        assert_eq!(seen, expected, "{} to {to:?}", from.name());
    }
    let elsewhere = Probe::new(&world, Protocol::Tcp, away.underlay(), 32080);
    let at_home = Probe::new(&world, Protocol::Tcp, home.underlay(), 32080);
    let verdicts = lab.prober.probe_all([elsewhere, at_home]);
    assert_eq!(verdicts[0], integration::Verdict::Denied);
    assert_eq!(verdicts[1].answered_by(), Some("open/near"));
}
