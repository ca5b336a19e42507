// SPDX-License-Identifier: Apache-2.0
//! CHECK: whether an attachment is as ADD left it.
//!
//! Plugins that ran after this one may have added links, addresses and routes, or replaced routes
//! that are not in the result: only what the result attributes to this attachment is compared.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::contract::{GATEWAY_MAC, gateway};
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
    /// Its addresses.
    pub addresses: BTreeSet<IpNetwork>,
    /// The routes of the container through it: destination and next hop.
    pub routes: BTreeSet<(IpNetwork, Option<IpAddr>)>,
    /// Its permanent neighbours.
    pub neighbours: BTreeSet<(IpAddr, MacAddress)>,
}

/// The port in OVSDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRow {
    /// `external_ids:culvert-ip` and `external_ids:culvert-ip6`; empty when missing.
    pub addresses: [String; 2],
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
            "prevResult has no interface {} with a sandbox and an address",
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
    addresses: Vec<IpNetwork>,
    routes: Vec<IpNetwork>,
}

impl<'a> Expected<'a> {
    fn of(result: &'a AttachmentResult, attachment: &Attachment) -> Option<Self> {
        let (index, link) = result
            .interfaces
            .iter()
            .enumerate()
            .find(|(_, link)| link.name == attachment.ifname && !link.sandbox.is_empty())?;
        let ips = result.ips.iter().filter(|ip| ip.interface == Some(index));
        let addresses: Vec<IpNetwork> = ips.filter_map(|ip| ip.address.parse().ok()).collect();
        let routes = result.routes.iter().filter_map(|route| {
            let dst: IpNetwork = route.dst.parse().ok()?;
            let gw: IpAddr = route.gw.as_ref()?.parse().ok()?;
            (gw == gateway(dst.ip())).then_some(dst)
        });
        (!addresses.is_empty()).then(|| Self {
            mac: &link.mac,
            addresses,
            routes: routes.collect(),
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
        for address in &self.addresses {
            if !pod.addresses.contains(address) {
                found.push(format!("link {ifname} has no address {address}"));
            }
        }
        for route in &self.routes {
            let gateway = gateway(route.ip());
            if !pod.routes.contains(&(*route, Some(gateway))) {
                found.push(format!(
                    "route {route} via {gateway} is missing in the container"
                ));
            }
        }
        let gateways: BTreeSet<IpAddr> = self.routes.iter().map(|dst| gateway(dst.ip())).collect();
        for gateway in gateways {
            if !pod.neighbours.contains(&(gateway, GATEWAY_MAC)) {
                found.push(format!(
                    "permanent neighbour {gateway} at {GATEWAY_MAC} is missing in the container"
                ));
            }
        }
    }

    fn compare_port(&self, link: &str, port: &PortRow, found: &mut Vec<String>) {
        for address in &self.addresses {
            if !port.addresses.contains(&address.ip().to_string()) {
                found.push(format!(
                    "Port {link} has addresses {:?}, and not {address}",
                    port.addresses
                ));
            }
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
            "ips": [
                {"address": "10.0.0.2/32", "gateway": "169.254.1.1", "interface": 1},
                {"address": "fd00::2/128", "gateway": "fe80::1", "interface": 1},
            ],
            "routes": [
                {"dst": "0.0.0.0/0", "gw": "169.254.1.1"},
                {"dst": "::/0", "gw": "fe80::1"},
            ],
            "dns": {},
        }))
        .unwrap()
    }

    fn observed() -> Observed {
        let [v4, v6] = ["10.0.0.2", "fd00::2"].map(|text| text.parse::<IpAddr>().unwrap());
        let default = |text: &str| {
            let everywhere: IpNetwork = text.parse().unwrap();
            (everywhere, Some(gateway(everywhere.ip())))
        };
        Observed {
            host: Some(HostLink { up: true }),
            pod: Some(PodLink {
                up: true,
                mac: Some(MacAddress::new([0x0a, 0x58, 10, 0, 0, 2])),
                addresses: [v4.into(), v6.into()].into(),
                routes: ["0.0.0.0/0", "::/0"].map(default).into(),
                neighbours: [v4, v6].map(|one| (gateway(one), GATEWAY_MAC)).into(),
            }),
            port: Some(PortRow {
                addresses: ["10.0.0.2", "fd00::2"].map(str::to_owned),
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
        assert!(all.contains("no address fd00::2/128"), "{all}");
        assert!(
            all.contains("route 0.0.0.0/0 via 169.254.1.1 is missing"),
            "{all}"
        );
        assert!(all.contains("route ::/0 via fe80::1 is missing"), "{all}");
        assert!(all.contains("permanent neighbour 169.254.1.1"), "{all}");
        assert!(all.contains("permanent neighbour fe80::1"), "{all}");
    }

    #[test]
    fn port_of_another_address_or_with_an_error_is_a_difference() {
        let mut observed = observed();
        let port = observed.port.as_mut().unwrap();
        port.addresses = ["10.0.0.3", "fd00::2"].map(str::to_owned);
        port.error = Some("could not open network device".to_owned());
        let all = differences(&result(), &attachment(), &observed);
        assert_eq!(all.len(), 2, "{all:?}");
    }
}
