// SPDX-License-Identifier: Apache-2.0
//! Which neighbour a packet goes to: longest prefix match over the routes of the main table.
//!
//! Policy routing is left out on purpose: OVS before 3.7 does not know it either.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

/// Routes of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// By prefix length, then network address: the gateway, `None` if on-link.
    by_length: BTreeMap<u8, BTreeMap<IpAddr, Option<IpAddr>>>,
}

impl Routes {
    /// Adds a route; `gateway` is `None` for a network on the link. Of two routes to one network
    /// the first stays, as in the kernel, which lists the preferred one first.
    pub fn add(&mut self, network: IpNetwork, gateway: Option<IpAddr>) {
        let routes = self.by_length.entry(network.prefix()).or_default();
        routes.entry(network.network()).or_insert(gateway);
    }

    /// The neighbour that a packet to `destination` is sent to; `None` if there is no route.
    pub fn next_hop(&self, destination: IpAddr) -> Option<IpAddr> {
        self.by_length.iter().rev().find_map(|(length, routes)| {
            let network = IpNetwork::new(destination, *length).ok()?.network();
            routes
                .get(&network)
                .map(|gateway| gateway.unwrap_or(destination))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_prefix_decides_the_next_hop() {
        let mut routes = Routes::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(routes.next_hop(address("192.0.2.9")), None);
        routes.add("0.0.0.0/0".parse().unwrap(), Some(address("192.0.2.1")));
        routes.add("192.0.2.0/24".parse().unwrap(), None);
        routes.add(
            "198.51.100.0/24".parse().unwrap(),
            Some(address("192.0.2.2")),
        );
        routes.add(
            "198.51.100.0/24".parse().unwrap(),
            Some(address("192.0.2.3")),
        );
        assert_eq!(
            routes.next_hop(address("192.0.2.9")),
            Some(address("192.0.2.9"))
        );
        assert_eq!(
            routes.next_hop(address("198.51.100.7")),
            Some(address("192.0.2.2"))
        );
        assert_eq!(
            routes.next_hop(address("203.0.113.5")),
            Some(address("192.0.2.1"))
        );
    }

    #[test]
    fn routes_of_one_family_do_not_lead_to_addresses_of_the_other() {
        let mut routes = Routes::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        routes.add("0.0.0.0/0".parse().unwrap(), Some(address("192.0.2.1")));
        assert_eq!(routes.next_hop(address("2001:db8::9")), None);
        routes.add("2001:db8::/64".parse().unwrap(), None);
        routes.add("::/0".parse().unwrap(), Some(address("fe80::9")));
        let hop = |text: &str| routes.next_hop(address(text)).unwrap().to_string();
        assert_eq!(hop("2001:db8::9"), "2001:db8::9");
        assert_eq!(hop("2001:db8:1::9"), "fe80::9");
    }
}
