// SPDX-License-Identifier: Apache-2.0
//! The flows and groups of a Service: those of every switch, and those of nodes that have endpoints of their
//! own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openflow_codec::{Flow, Group, GroupId};

use super::sets::{Place, Sets};
use super::ways::{Way, WayKind, ways};
use crate::compiler::Compiler;
use crate::explain::{Scope, Why};
use crate::layer::Owner;
use crate::model::{
    Addresses, Distribution, Endpoint, Family, ObjectKey, Service, ServicePort, TrafficPolicy,
};
use crate::stage::service::{
    self, EndpointSet, Frontend, Masquerade, Outcome, Senders, undefined_port,
};

/// Numbers of a Service's groups, by layer.
#[derive(Default)]
pub(super) struct Placed {
    cluster: BTreeSet<GroupId>,
    nodes: BTreeMap<String, BTreeSet<GroupId>>,
}

/// What all layers hold of a Service.
#[derive(Default)]
struct Shares {
    cluster: Share,
    nodes: BTreeMap<String, Share>,
}

/// What one layer holds of it.
#[derive(Default)]
struct Share {
    flows: Vec<(Arc<Flow>, Why)>,
    groups: BTreeMap<GroupId, Arc<Group>>,
}

/// One port of a Service, and the endpoints of one family.
struct Port<'a> {
    key: &'a ObjectKey,
    service: &'a Service,
    port: &'a ServicePort,
    family: Family,
    sets: Sets,
}

impl Compiler {
    /// Makes flows and groups of a Service anew.
    pub(super) fn settle_service(&mut self, key: &ObjectKey) {
        let service = self.services.services.get(key).cloned();
        self.services.told.settled(service.as_ref());
        let mut shares = Shares::default();
        let mut by_node = false;
        if let Some(service) = &service {
            by_node |= depends_on_node(service);
            for port in &service.ports {
                for (family, sets) in self.endpoint_sets(key, service, port, self.families.iter()) {
                    by_node |= sets.hinted;
                    let port = Port {
                        key,
                        service,
                        port,
                        family,
                        sets,
                    };
                    self.share_port(&port, &mut shares);
                }
            }
            let addresses = service.cluster_ips.into_iter().flat_map(Addresses::iter);
            for address in addresses {
                if self.families.contains(Family::of(address)) {
                    let flows = self.flows([undefined_port(address)]);
                    shares.cluster.flows.extend(flows);
                }
            }
        }
        match by_node {
            true => self.services.by_node.insert(key.clone()),
            false => self.services.by_node.remove(key),
        };
        self.place(key, shares);
    }

    /// What all layers hold of one port.
    fn share_port(&mut self, port: &Port<'_>, shares: &mut Shares) {
        let ways = ways(port.service, port.port).filter(|way| way.to.family() == port.family);
        let ways: Vec<Way> = ways
            .filter(|way| {
                let claim = (way.to, port.port.protocol, way.port);
                self.services.has(port.key, &claim)
            })
            .collect();
        let (flows, group) = self.lead(port, &ways, EndpointSet::Everywhere);
        shares.cluster.flows.extend(flows);
        if let Some(id) = group {
            let group = port.group(id, &port.sets.everywhere);
            shares.cluster.groups.insert(id, group);
        }
        for (set, places) in [
            (EndpointSet::Near, &port.sets.near),
            (EndpointSet::Local, &port.sets.local),
        ] {
            if places.is_empty() {
                continue;
            }
            let (flows, Some(id)) = self.lead(port, &ways, set) else {
                continue;
            };
            for Place { nodes, endpoints } in places {
                let group = port.group(id, endpoints);
                for node in nodes {
                    let share = shares.nodes.entry(node.clone()).or_default();
                    share.flows.extend(flows.iter().cloned());
                    share.groups.insert(id, Arc::clone(&group));
                }
            }
        }
    }

    /// The flows that lead to these endpoints, and the number of their group if one does.
    fn lead(
        &mut self,
        port: &Port<'_>,
        ways: &[Way],
        set: EndpointSet,
    ) -> (Vec<(Arc<Flow>, Why)>, Option<GroupId>) {
        let ServicePort {
            protocol,
            port: number,
            ..
        } = *port.port;
        let owner = (port.key.clone(), protocol, number, port.family, set);
        let led = ways.iter().any(|way| port.leads(way, set));
        let group = led.then(|| self.services.group_id(&owner));
        let frontends = ways.iter().flat_map(|way| port.frontends(way, set, group));
        let wanted = frontends.flat_map(|frontend| frontend.flows());
        (self.flows(wanted), group)
    }

    /// Every layer holds its share, and nothing else of the Service.
    fn place(&mut self, key: &ObjectKey, shares: Shares) {
        let mut old = self.services.placed.remove(key).unwrap_or_default();
        let mut new = Placed {
            cluster: self.place_in(&Scope::Cluster, key, shares.cluster, &old.cluster),
            nodes: BTreeMap::new(),
        };
        for (node, share) in shares.nodes {
            let before = old.nodes.remove(&node).unwrap_or_default();
            let scope = Scope::Node(node.clone());
            let groups = self.place_in(&scope, key, share, &before);
            new.nodes.insert(node, groups);
            old.cluster.extend(before);
        }
        for (node, before) in old.nodes {
            self.place_in(&Scope::Node(node), key, Share::default(), &before);
            old.cluster.extend(before);
        }
        for id in old.cluster.iter().filter(|id| !new.has(**id)) {
            self.services.groups.remove(id);
        }
        if new.has_any() {
            self.services.placed.insert(key.clone(), new);
        }
    }

    fn place_in(
        &mut self,
        scope: &Scope,
        key: &ObjectKey,
        share: Share,
        before: &BTreeSet<GroupId>,
    ) -> BTreeSet<GroupId> {
        let Share { flows, groups } = share;
        self.owners
            .replace(Owner::Object(key.clone()), scope, flows);
        let placed: BTreeSet<GroupId> = groups.keys().copied().collect();
        for (id, group) in groups {
            self.owners.set_group(id, scope, Some(group));
        }
        for id in before.difference(&placed) {
            self.owners.set_group(*id, scope, None);
        }
        placed
    }
}

/// Whether the endpoints of a Service may depend on the node, whoever they are.
fn depends_on_node(service: &Service) -> bool {
    service.distribution != Distribution::Anywhere
        || [service.internal_policy, service.external_policy].contains(&TrafficPolicy::Local)
}

impl Placed {
    fn has(&self, id: GroupId) -> bool {
        let mut nodes = self.nodes.values();
        self.cluster.contains(&id) || nodes.any(|groups| groups.contains(&id))
    }

    fn has_any(&self) -> bool {
        !self.cluster.is_empty() || !self.nodes.is_empty()
    }
}

impl Port<'_> {
    fn group(&self, id: GroupId, endpoints: &[Endpoint]) -> Arc<Group> {
        Arc::new(service::group(id, endpoints.iter()))
    }

    /// Whether somebody who comes by this way may go to endpoints of the node alone.
    fn is_local(&self, way: &Way) -> bool {
        let policy = match way.kind {
            WayKind::Cluster => self.service.internal_policy,
            WayKind::NodePort | WayKind::LoadBalancer | WayKind::External => {
                self.service.external_policy
            }
        };
        policy == TrafficPolicy::Local
    }

    /// Whether a way leads to these endpoints.
    fn leads(&self, way: &Way, set: EndpointSet) -> bool {
        let all_local = way.kind == WayKind::Cluster && self.is_local(way);
        match set {
            EndpointSet::Everywhere => !self.sets.everywhere.is_empty() && !all_local,
            EndpointSet::Near => !all_local,
            EndpointSet::Local => self.is_local(way),
        }
    }

    /// What becomes of connections by a way, as far as it is about these endpoints. "Pods and nodes reach
    /// all endpoints" of a Service whose `externalTrafficPolicy` is `Local`, and the world those of the node
    /// alone, which see who it is.
    fn frontends(&self, way: &Way, set: EndpointSet, group: Option<GroupId>) -> Vec<Frontend<'_>> {
        let (inside, local) = (way.kind == WayKind::Cluster, self.is_local(way));
        let masquerade = match inside || local {
            true => Masquerade::ByClient,
            false => Masquerade::Always,
        };
        let all = |outcome| self.frontend(way, Senders::All, outcome, masquerade);
        let world = |outcome| self.frontend(way, Senders::World, outcome, Masquerade::Never);
        let sent = group
            .filter(|_| self.leads(way, set))
            .map(|id| Outcome::Sent(id, set));
        match (set, sent) {
            (EndpointSet::Everywhere, None) if self.sets.everywhere.is_empty() => {
                vec![all(Outcome::Refused)]
            }
            (EndpointSet::Everywhere, None) => vec![all(Outcome::Dropped)],
            (EndpointSet::Everywhere, Some(sent)) if local => {
                vec![all(sent), world(Outcome::Dropped)]
            }
            (EndpointSet::Local, Some(sent)) if !inside => vec![world(sent)],
            (_, sent) => sent.map(all).into_iter().collect(),
        }
    }

    fn frontend(
        &self,
        way: &Way,
        senders: Senders,
        outcome: Outcome,
        masquerade: Masquerade,
    ) -> Frontend<'_> {
        Frontend {
            to: way.to,
            protocol: self.port.protocol,
            port: way.port,
            senders,
            outcome,
            masquerade,
            source_ranges: match way.kind {
                WayKind::LoadBalancer => &self.service.source_ranges,
                WayKind::Cluster | WayKind::NodePort | WayKind::External => &[],
            },
        }
    }
}
