// SPDX-License-Identifier: Apache-2.0
//! The rules of this node's own kernel, as one table of nftables: what enters by node ports, what
//! leaves to the outside, and who may send tunnel packets.
//!
//! Connections to a node port get the lowest address of the node's Pod CIDR as their destination. Pods'
//! packets never meet these rules before `br-int` has translated and decided them.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::desired::GATEWAY;
use crate::told::NodePorts;

/// The table's family and name; the table is ours alone.
pub const TABLE: &str = "inet culvert";

/// UDP port of tunnels (RFC 8926).
const GENEVE: u16 = 6081;

type IsOfFamily = fn(&IpAddr) -> bool;

/// What the rules are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// This node's tunnel endpoint.
    pub encap_ip: IpAddr,
    /// Those of the others.
    pub peers: &'a [IpAddr],
    /// The Pod CIDRs of this node.
    pub pod_cidrs: &'a [IpNetwork],
    /// The Pod CIDRs of the cluster.
    pub cluster_cidrs: &'a [IpNetwork],
    /// Networks that see the addresses of Pods.
    pub not_masqueraded: &'a [IpNetwork],
    /// Ports of this node that lead to Services.
    pub node_ports: &'a BTreeSet<NodePorts>,
}

/// The destination that connections to node ports get in the kernel: the lowest address of a Pod CIDR
/// of this node, which no Pod ever has.
fn node_port_address(pod_cidrs: &[IpNetwork], is_of_family: IsOfFamily) -> Option<IpAddr> {
    pod_cidrs.iter().map(IpNetwork::network).find(is_of_family)
}

/// A script for `nft -f` that replaces the table in one step, whether there is one or not.
pub fn replacement(wanted: &Wanted<'_>) -> String {
    format!("{}{}", removal(), Table(wanted))
}

/// A script for `nft -f` that takes the table away, whether there is one or not.
pub fn removal() -> String {
    format!("table {TABLE} {{ }}\ndelete table {TABLE}\n")
}

struct Table<'a>(&'a Wanted<'a>);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wanted {
            encap_ip,
            peers,
            pod_cidrs,
            cluster_cidrs,
            not_masqueraded,
            node_ports,
        } = self.0;
        let hosts = peers.iter().copied().map(IpNetwork::from);
        let own = [IpNetwork::from(*encap_ip)];
        let inside = || {
            let networks = cluster_cidrs.iter().chain(*not_masqueraded).copied();
            networks.chain(hosts.clone()).chain(own)
        };
        writeln!(f, "table {TABLE} {{")?;
        let ports = node_ports.iter().map(|ports| {
            let NodePorts {
                protocol,
                first,
                last,
            } = ports;
            format!("{protocol} . {first}-{last}")
        });
        set(f, "node-ports", "inet_proto . inet_service", ports)?;
        for (family, kind, is_of_family) in FAMILIES {
            let of_family = |networks: &mut dyn Iterator<Item = IpNetwork>| {
                let networks = networks.filter(|network| is_of_family(&network.ip()));
                Vec::from_iter(networks.map(element))
            };
            let pods = of_family(&mut cluster_cidrs.iter().copied());
            set(f, &format!("pods-{family}"), kind, pods)?;
            set(
                f,
                &format!("inside-{family}"),
                kind,
                of_family(&mut inside()),
            )?;
            let peers = of_family(&mut hosts.clone());
            set(f, &format!("peers-{family}"), kind, peers)?;
        }

        chain(
            f,
            "from-outside",
            "type nat hook prerouting priority dstnat",
        )?;
        writeln!(f, "    iifname != \"{GATEWAY}\" jump to-node-port\n  }}")?;
        chain(f, "from-this-node", "type nat hook output priority -100")?;
        writeln!(f, "    jump to-node-port\n  }}")?;
        writeln!(f, "  chain to-node-port {{")?;
        for ((_, _, is_of_family), (word, loopback)) in FAMILIES
            .into_iter()
            .zip([("ip", "127.0.0.0/8"), ("ip6", "::1")])
        {
            if let Some(address) = node_port_address(pod_cidrs, is_of_family) {
                // From a loopback address nothing can be sent to the gateway port.
                writeln!(
                    f,
                    "    {word} daddr != {loopback} fib daddr type local \
                     meta l4proto . th dport @node-ports dnat {word} to {address}"
                )?;
            }
        }
        writeln!(f, "  }}")?;

        chain(f, "to-outside", "type nat hook postrouting priority srcnat")?;
        for (family, word) in [("ipv4", "ip"), ("ipv6", "ip6")] {
            writeln!(
                f,
                "    oifname != \"{GATEWAY}\" {word} saddr @pods-{family} \
                 {word} daddr != @inside-{family} masquerade fully-random"
            )?;
        }
        writeln!(f, "  }}")?;

        // Whoever reaches a tunnel endpoint could say that it is any Pod.
        chain(f, "tunnel", "type filter hook input priority filter")?;
        let (family, word) = match encap_ip {
            IpAddr::V4(_) => ("ipv4", "ip"),
            IpAddr::V6(_) => ("ipv6", "ip6"),
        };
        writeln!(
            f,
            "    udp dport {GENEVE} {word} daddr {encap_ip} {word} saddr != @peers-{family} drop\n  }}"
        )?;
        f.write_str("}\n")
    }
}

/// Name, type in nftables, and which addresses are of it.
const FAMILIES: [(&str, &str, IsOfFamily); 2] = [
    ("ipv4", "ipv4_addr", IpAddr::is_ipv4),
    ("ipv6", "ipv6_addr", IpAddr::is_ipv6),
];

/// Without host bits, and without the length of a single address.
fn element(network: IpNetwork) -> String {
    let (address, length) = (network.network(), network.prefix());
    match (address, length) {
        (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128) => address.to_string(),
        _ => format!("{address}/{length}"),
    }
}

fn set(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    kind: &str,
    elements: impl IntoIterator<Item = String>,
) -> fmt::Result {
    let elements = Vec::from_iter(elements.into_iter().collect::<BTreeSet<_>>()).join(", ");
    write!(
        f,
        "  set {name} {{ type {kind}; flags interval; auto-merge; "
    )?;
    // An empty list is no list.
    if !elements.is_empty() {
        write!(f, "elements = {{ {elements} }}; ")?;
    }
    writeln!(f, "}}")
}

fn chain(f: &mut fmt::Formatter<'_>, name: &str, hook: &str) -> fmt::Result {
    writeln!(f, "  chain {name} {{\n    {hook}; policy accept;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<T: std::str::FromStr<Err: fmt::Debug>>(texts: &[&str]) -> Vec<T> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_table_of_a_node_with_both_families() {
        let node_ports: Vec<NodePorts> = parse(&["tcp/30000-30005", "udp/30053"]);
        let wanted = Wanted {
            encap_ip: "192.0.2.11".parse().unwrap(),
            peers: &parse(&["192.0.2.12"]),
            pod_cidrs: &parse(&["10.10.1.0/24", "fd00:10:1::/64"]),
            cluster_cidrs: &parse(&["10.10.1.0/24", "10.10.2.0/24", "fd00:10:1::/64"]),
            not_masqueraded: &parse(&["198.51.100.7/24"]),
            node_ports: &node_ports.into_iter().collect(),
        };
        let lines = [
            "table inet culvert { }",
            "delete table inet culvert",
            "table inet culvert {",
            "  set node-ports { type inet_proto . inet_service; flags interval; auto-merge; \
             elements = { tcp . 30000-30005, udp . 30053-30053 }; }",
            "  set pods-ipv4 { type ipv4_addr; flags interval; auto-merge; \
             elements = { 10.10.1.0/24, 10.10.2.0/24 }; }",
            "  set inside-ipv4 { type ipv4_addr; flags interval; auto-merge; \
             elements = { 10.10.1.0/24, 10.10.2.0/24, 192.0.2.11, 192.0.2.12, 198.51.100.0/24 }; }",
            "  set peers-ipv4 { type ipv4_addr; flags interval; auto-merge; \
             elements = { 192.0.2.12 }; }",
            "  set pods-ipv6 { type ipv6_addr; flags interval; auto-merge; \
             elements = { fd00:10:1::/64 }; }",
            "  set inside-ipv6 { type ipv6_addr; flags interval; auto-merge; \
             elements = { fd00:10:1::/64 }; }",
            "  set peers-ipv6 { type ipv6_addr; flags interval; auto-merge; }",
            "  chain from-outside {",
            "    type nat hook prerouting priority dstnat; policy accept;",
            "    iifname != \"culvert-gw\" jump to-node-port",
            "  }",
            "  chain from-this-node {",
            "    type nat hook output priority -100; policy accept;",
            "    jump to-node-port",
            "  }",
            "  chain to-node-port {",
            "    ip daddr != 127.0.0.0/8 fib daddr type local \
             meta l4proto . th dport @node-ports dnat ip to 10.10.1.0",
            "    ip6 daddr != ::1 fib daddr type local \
             meta l4proto . th dport @node-ports dnat ip6 to fd00:10:1::",
            "  }",
            "  chain to-outside {",
            "    type nat hook postrouting priority srcnat; policy accept;",
            "    oifname != \"culvert-gw\" ip saddr @pods-ipv4 ip daddr != @inside-ipv4 \
             masquerade fully-random",
            "    oifname != \"culvert-gw\" ip6 saddr @pods-ipv6 ip6 daddr != @inside-ipv6 \
             masquerade fully-random",
            "  }",
            "  chain tunnel {",
            "    type filter hook input priority filter; policy accept;",
            "    udp dport 6081 ip daddr 192.0.2.11 ip saddr != @peers-ipv4 drop",
            "  }",
            "}",
        ];
        let found = replacement(&wanted);
        assert_eq!(found.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn a_node_that_was_told_nothing_has_no_node_port_and_lets_nobody_tunnel() {
        let wanted = Wanted {
            encap_ip: "2001:db8::11".parse().unwrap(),
            peers: &[],
            pod_cidrs: &[],
            cluster_cidrs: &[],
            not_masqueraded: &[],
            node_ports: &BTreeSet::new(),
        };
        let text = replacement(&wanted);
        assert!(!text.contains("dnat ip"), "{text}");
        let tunnel = "udp dport 6081 ip6 daddr 2001:db8::11 ip6 saddr != @peers-ipv6 drop";
        assert!(text.contains(tunnel), "{text}");
        assert!(text.contains("set peers-ipv6 { type ipv6_addr; flags interval; auto-merge; }"));
    }
}
