// SPDX-License-Identifier: Apache-2.0
//! What machines are told of Services, as texts of their OVSDB.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use policy_compiler::model::{NodeServices, ObjectKey, Protocol};

use super::Control;

/// The texts that are the same on every machine, and the health checks, whose counts are not.
#[derive(Debug, Default)]
pub(super) struct ServiceTexts {
    cidrs: String,
    addresses: String,
    node_ports: String,
    health_checks: BTreeMap<u16, ObjectKey>,
    /// There may be other texts.
    pub(super) unread: bool,
    /// There may be other counts.
    pub(super) uncounted: bool,
}

impl ServiceTexts {
    fn new(told: &NodeServices) -> Self {
        Self {
            cidrs: joined(&told.cidrs),
            addresses: joined(&told.addresses),
            node_ports: joined(runs(&told.node_ports)),
            health_checks: told.health_checks.clone(),
            ..Self::default()
        }
    }
}

impl Control {
    /// Takes over what the compiler has read of Services; machines learn what is different.
    pub(super) fn read_services(&mut self) {
        if std::mem::take(&mut self.services.unread) {
            self.services = ServiceTexts::new(self.compiler.node_services());
        } else if !std::mem::take(&mut self.services.uncounted) {
            return;
        }
        // Of counts, each machine's writer sees whether they have changed.
        self.unwritten.extend(self.nodes.keys().cloned());
    }

    /// The health checks of a node.
    pub(super) fn health_checks(&self, node: &str) -> String {
        let checks = self.services.health_checks.iter();
        joined(checks.map(|(port, key)| {
            let count = self.compiler.local_endpoints(key, node);
            format!("{port}={}/{}={count}", key.namespace, key.name)
        }))
    }

    /// Values of the keys of a node's bridge, in their order.
    pub(super) fn service_facts<'a>(&'a self, health_checks: &'a str) -> [&'a str; 4] {
        let texts = &self.services;
        [
            &texts.cidrs,
            &texts.addresses,
            &texts.node_ports,
            health_checks,
        ]
    }
}

fn joined<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(",")
}

/// `tcp/30000-30005`, `udp/30053`
fn runs(ports: &BTreeSet<(Protocol, u16)>) -> Vec<String> {
    let mut runs: Vec<(Protocol, u16, u16)> = Vec::new();
    for (protocol, port) in ports {
        match runs.last_mut() {
            Some((of, _, last)) if of == protocol && last.checked_add(1) == Some(*port) => {
                *last = *port;
            }
            _ => runs.push((*protocol, *port, *port)),
        }
    }
    let text = |(protocol, first, last): (Protocol, u16, u16)| match first == last {
        true => format!("{protocol}/{first}"),
        false => format!("{protocol}/{first}-{last}"),
    };
    runs.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_ports_of_one_protocol_are_one_run() {
        use Protocol::{Tcp, Udp};
        let ports = [
            (Tcp, 30000),
            (Tcp, 30001),
            (Tcp, 30003),
            (Udp, 30004),
            (Udp, 65535),
        ];
        assert_eq!(
            runs(&ports.into()),
            ["tcp/30000-30001", "tcp/30003", "udp/30004", "udp/65535"]
        );
        assert!(runs(&BTreeSet::new()).is_empty());
    }
}
