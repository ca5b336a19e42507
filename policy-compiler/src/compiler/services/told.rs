// SPDX-License-Identifier: Apache-2.0
//! What the nodes' own kernels are told of Services.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::Compiler;
use crate::model::{CandidateState, Family, NodeServices, ObjectKey, Protocol, Service};

/// What nodes are told, with how many objects say each thing: a change costs what changes.
#[derive(Default)]
pub(super) struct Told {
    services: NodeServices,
    said: BTreeMap<Item, usize>,
    health_checks: BTreeMap<u16, BTreeSet<ObjectKey>>,
    changed: bool,
    counts_changed: bool,
}

/// One thing that several objects may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Cidr(IpNetwork),
    Address(IpAddr),
    NodePort(Protocol, u16),
}

impl Told {
    /// The settings say these ranges for ever.
    pub(super) fn new(cidrs: &[IpNetwork]) -> Self {
        let mut told = Self::default();
        told.cidrs(&[], cidrs);
        told
    }

    /// A range is `new` and was `old`.
    pub(super) fn cidrs(&mut self, old: &[IpNetwork], new: &[IpNetwork]) {
        let item = |cidr: &IpNetwork| Item::Cidr(*cidr);
        self.replace(old.iter().map(item), new.iter().map(item));
    }

    /// A Service is `new` and was `old`.
    pub(super) fn service(
        &mut self,
        key: &ObjectKey,
        old: Option<&Service>,
        new: Option<&Service>,
    ) {
        self.replace(
            old.into_iter().flat_map(items),
            new.into_iter().flat_map(items),
        );
        let port = |service: &Service| service.health_check_port;
        let (old, new) = (old.and_then(port), new.and_then(port));
        if old == new {
            return;
        }
        if let Some(port) = new {
            let claims = self.health_checks.entry(port).or_default();
            claims.insert(key.clone());
        }
        if let Some(claims) = old.and_then(|port| self.health_checks.get_mut(&port)) {
            claims.remove(key);
        }
        for port in [old, new].into_iter().flatten() {
            let claims = self.health_checks.get(&port);
            if let Some(first) = claims.and_then(BTreeSet::first).cloned() {
                self.services.health_checks.insert(port, first);
            } else {
                self.services.health_checks.remove(&port);
                self.health_checks.remove(&port);
            }
        }
        self.changed = true;
    }

    /// The endpoints of a Service may be others.
    pub(super) fn settled(&mut self, service: Option<&Service>) {
        self.counts_changed |= service.is_some_and(|service| service.health_check_port.is_some());
    }

    fn replace(&mut self, old: impl Iterator<Item = Item>, new: impl Iterator<Item = Item>) {
        // What stays is never gone in between.
        for item in new {
            let said = self.said.entry(item).or_default();
            *said += 1;
            if *said == 1 {
                self.changed |= self.begin(item);
            }
        }
        for item in old {
            let Some(said) = self.said.get_mut(&item) else {
                continue;
            };
            *said -= 1;
            if *said == 0 {
                self.said.remove(&item);
                self.changed |= self.cease(item);
            }
        }
    }

    fn begin(&mut self, item: Item) -> bool {
        match item {
            Item::Cidr(cidr) => self.services.cidrs.insert(cidr),
            Item::Address(address) => self.services.addresses.insert(address),
            Item::NodePort(protocol, port) => self.services.node_ports.insert((protocol, port)),
        }
    }

    fn cease(&mut self, item: Item) -> bool {
        match item {
            Item::Cidr(cidr) => self.services.cidrs.remove(&cidr),
            Item::Address(address) => self.services.addresses.remove(&address),
            Item::NodePort(protocol, port) => self.services.node_ports.remove(&(protocol, port)),
        }
    }
}

fn items(service: &Service) -> impl Iterator<Item = Item> {
    let addresses = service.load_balancer_ips.iter();
    let addresses = addresses.chain(&service.external_ips);
    let ports = service.ports.iter();
    let node_ports = ports.filter_map(|port| Some(Item::NodePort(port.protocol, port.node_port?)));
    addresses
        .map(|address| Item::Address(*address))
        .chain(node_ports)
}

impl Compiler {
    /// What every node must know of Services.
    pub fn node_services(&self) -> &NodeServices {
        &self.services.told.services
    }

    /// Whether that has changed, and whether counts of [`Compiler::local_endpoints`] may have, since the
    /// last call.
    pub(in crate::compiler) fn take_told(&mut self) -> (bool, bool) {
        let Told {
            changed,
            counts_changed,
            ..
        } = &mut self.services.told;
        (std::mem::take(changed), std::mem::take(counts_changed))
    }

    /// How many ready endpoints of a Service are on a node: of the family that has more.
    pub fn local_endpoints(&self, key: &ObjectKey, node: &str) -> usize {
        let Some(service) = self.services.services.get(key) else {
            return 0;
        };
        let mut addresses = BTreeSet::<IpAddr>::new();
        for port in &service.ports {
            let found = self.candidates(key, service, port).into_iter();
            let local = found.filter(|one| {
                one.state == CandidateState::Ready && one.node.is_some_and(|name| *name == *node)
            });
            addresses.extend(local.map(|one| one.endpoint.address));
        }
        let of = |family| {
            addresses
                .iter()
                .filter(|one| Family::of(**one) == family)
                .count()
        };
        of(Family::V4).max(of(Family::V6))
    }
}
