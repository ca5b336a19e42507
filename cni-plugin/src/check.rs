// SPDX-License-Identifier: Apache-2.0
//! CHECK: whether an attachment is as ADD left it.
//!
//! Plugins that ran after this one may have added links, addresses and routes, or replaced routes
//! that are not in the result: only what the result attributes to this attachment is compared.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;

use crate::contract::{GATEWAY, GATEWAY_MAC};
use crate::request::Attachment;
use crate::spec::{AttachmentResult, MacAddress};

/// What there is.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The link on the node.
    pub host: Option<HostLink>,
    /// The link in the container.
    pub pod: Option<PodLink>,
    /// The port in OVSDB.
    pub port: Option<PortRow>,
}

/// The link on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostLink {
    /// Whether it is administratively up.
    pub up: bool,
}

/// The link in the container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodLink {
    /// Whether it is administratively up.
    pub up: bool,
    /// Its link-layer address.
    pub mac: Option<MacAddress>,
    /// Its IPv4 addresses.
    pub addresses: BTreeSet<Ipv4Network>,
    /// The IPv4 routes of the container through it: destination and next hop.
    pub routes: BTreeSet<(Ipv4Network, Option<Ipv4Addr>)>,
    /// Its permanent IPv4 neighbours.
    pub neighbours: BTreeSet<(Ipv4Addr, MacAddress)>,
}

/// The port in OVSDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRow {
    /// `external_ids:culvert-ip`
    pub address: String,
    /// `external_ids:attached-mac`
    pub mac: String,
    /// What vswitchd says is wrong with it.
    pub error: Option<String>,
}

/// Every difference between the result of ADD and what there is, one sentence each.
pub fn differences(
    result: &AttachmentResult,
    attachment: &Attachment,
    observed: &Observed,
) -> Vec<String> {
    let mut found = Vec::new();
    let link = attachment.host_link();
    match &observed.host {
        None => found.push(format!("link {link} is missing on the node")),
        Some(host) if !host.up => found.push(format!("link {link} is down on the node")),
        Some(_) => {}
    }
    let Some(expected) = Expected::of(result, attachment) else {
        found.push(format!(
            "prevResult has no interface {} with a sandbox and an IPv4 address",
            attachment.ifname
        ));
        return found;
    };
    match &observed.pod {
        None => found.push(format!(
            "link {} is missing in the container",
            attachment.ifname
        )),
        Some(pod) => expected.compare_pod(&attachment.ifname, pod, &mut found),
    }
    match &observed.port {
        None => found.push(format!("Port {link} is missing in OVSDB")),
        Some(port) => expected.compare_port(&link, port, &mut found),
    }
    found
}

/// What the result of ADD attributes to one attachment.
struct Expected<'a> {
    mac: &'a str,
    address: Ipv4Network,
    routes: Vec<Ipv4Network>,
}

impl<'a> Expected<'a> {
    fn of(result: &'a AttachmentResult, attachment: &Attachment) -> Option<Self> {
        let (index, link) = result
            .interfaces
            .iter()
            .enumerate()
            .find(|(_, link)| link.name == attachment.ifname && !link.sandbox.is_empty())?;
        let address = result
            .ips
            .iter()
            .filter(|ip| ip.interface == Some(index))
            .find_map(|ip| ip.address.parse().ok())?;
        let gateway = GATEWAY.to_string();
        let routes = result
            .routes
            .iter()
            .filter(|route| route.gw.as_deref() == Some(gateway.as_str()))
            .filter_map(|route| route.dst.parse().ok())
            .collect();
        Some(Self {
            mac: &link.mac,
            address,
            routes,
        })
    }

    fn compare_pod(&self, ifname: &str, pod: &PodLink, found: &mut Vec<String>) {
        if !pod.up {
            found.push(format!("link {ifname} is down in the container"));
        }
        let mac = pod.mac.map(|mac| mac.to_string()).unwrap_or_default();
        if !self.mac.eq_ignore_ascii_case(&mac) {
            found.push(format!("link {ifname} has address {mac}, not {}", self.mac));
        }
        if !pod.addresses.contains(&self.address) {
            found.push(format!("link {ifname} has no address {}", self.address));
        }
        for route in &self.routes {
            if !pod.routes.contains(&(*route, Some(GATEWAY))) {
                found.push(format!(
                    "route {route} via {GATEWAY} is missing in the container"
                ));
            }
        }
        if !self.routes.is_empty() && !pod.neighbours.contains(&(GATEWAY, GATEWAY_MAC)) {
            found.push(format!(
                "permanent neighbour {GATEWAY} at {GATEWAY_MAC} is missing in the container"
            ));
        }
    }

    fn compare_port(&self, link: &str, port: &PortRow, found: &mut Vec<String>) {
        if port.address != self.address.ip().to_string() {
            found.push(format!(
                "Port {link} has address {}, not {}",
                port.address, self.address
            ));
        }
        if !port.mac.eq_ignore_ascii_case(self.mac) {
            found.push(format!(
                "Port {link} has address {}, not {}",
                port.mac, self.mac
            ));
        }
        if let Some(error) = &port.error {
            found.push(format!("Port {link} does not work: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn attachment() -> Attachment {
        Attachment {
            container_id: "abc".to_owned(),
            ifname: "eth0".to_owned(),
        }
    }

    fn result() -> AttachmentResult {
        serde_json::from_value(json!({
            "cniVersion": "1.1.0",
            "interfaces": [
                {"name": attachment().host_link(), "mac": "02:00:00:00:00:01"},
                {"name": "eth0", "mac": "0a:58:0a:00:00:02", "sandbox": "/run/netns/x"},
            ],
            "ips": [{"address": "10.0.0.2/32", "gateway": "169.254.1.1", "interface": 1}],
            "routes": [{"dst": "0.0.0.0/0", "gw": "169.254.1.1"}],
            "dns": {},
        }))
        .unwrap()
    }

    fn observed() -> Observed {
        let address = Ipv4Addr::new(10, 0, 0, 2);
        Observed {
            host: Some(HostLink { up: true }),
            pod: Some(PodLink {
                up: true,
                mac: Some(MacAddress::of_pod(address)),
                addresses: [address.into()].into(),
                routes: [("0.0.0.0/0".parse().unwrap(), Some(GATEWAY))].into(),
                neighbours: [(GATEWAY, GATEWAY_MAC)].into(),
            }),
            port: Some(PortRow {
                address: "10.0.0.2".to_owned(),
                mac: "0a:58:0a:00:00:02".to_owned(),
                error: None,
            }),
        }
    }

    #[test]
    fn attachment_as_add_left_it_has_no_differences() {
        assert_eq!(differences(&result(), &attachment(), &observed()), [""; 0]);
    }

    #[test]
    fn additions_of_later_plugins_are_tolerated() {
        let mut observed = observed();
        let pod = observed.pod.as_mut().unwrap();
        pod.addresses.insert("192.168.7.7/24".parse().unwrap());
        pod.routes.insert(("10.96.0.0/12".parse().unwrap(), None));
        let mut result = result();
        result.routes.push(crate::spec::Route {
            dst: "192.168.7.0/24".into(),
            ..Default::default()
        });
        assert_eq!(differences(&result, &attachment(), &observed), [""; 0]);
    }

    #[test]
    fn every_missing_piece_is_named() {
        let all = differences(&result(), &attachment(), &Observed::default()).join("\n");
        let link = attachment().host_link();
        assert!(
            all.contains(&format!("link {link} is missing on the node")),
            "{all}"
        );
        assert!(
            all.contains("link eth0 is missing in the container"),
            "{all}"
        );
        assert!(
            all.contains(&format!("Port {link} is missing in OVSDB")),
            "{all}"
        );
        let observed = Observed {
            pod: Some(PodLink::default()),
            ..observed()
        };
        let all = differences(&result(), &attachment(), &observed).join("\n");
        assert!(all.contains("eth0 is down"), "{all}");
        assert!(all.contains("no address 10.0.0.2/32"), "{all}");
        assert!(
            all.contains("route 0.0.0.0/0 via 169.254.1.1 is missing"),
            "{all}"
        );
        assert!(all.contains("permanent neighbour"), "{all}");
    }

    #[test]
    fn port_of_another_address_or_with_an_error_is_a_difference() {
        let mut observed = observed();
        let port = observed.port.as_mut().unwrap();
        port.address = "10.0.0.3".to_owned();
        port.error = Some("could not open network device".to_owned());
        let all = differences(&result(), &attachment(), &observed);
        assert_eq!(all.len(), 2, "{all:?}");
    }
}
