// SPDX-License-Identifier: Apache-2.0
//! Services: cluster addresses and their groups of endpoints.

mod endpoints;
mod sets;
mod settle;
mod through;
mod told;
mod ways;

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;
use openflow_codec::GroupId;

use self::settle::Placed;
use self::told::Told;
use self::ways::claims;
use super::{Compiler, Dirty, ServiceSettings};
use crate::explain::Scope;
use crate::layer::Owner;
use crate::model::{EndpointSlice, Family, Kind, ObjectKey, Protocol, Service, ServiceCidr};
use crate::pipeline::group;
use crate::stage::service::{Door, EndpointSet};
use crate::stage::{self, Wanted};

/// All Services and slices.
#[derive(Default)]
pub(super) struct Services {
    settings: ServiceSettings,
    told: Told,
    services: BTreeMap<ObjectKey, Service>,
    slices: BTreeMap<ObjectKey, EndpointSlice>,
    /// Where cluster addresses come from.
    ranges: BTreeMap<ObjectKey, ServiceCidr>,
    /// Slices of a Service.
    slices_of: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    /// Group numbers: who has which.
    groups: BTreeMap<GroupId, GroupOwner>,
    /// Where the groups of a Service are.
    placed: BTreeMap<ObjectKey, Placed>,
    /// Services whose endpoints may depend on the node.
    by_node: BTreeSet<ObjectKey>,
    /// Who claims which way; the first by name has it.
    claims: BTreeMap<Claim, BTreeSet<ObjectKey>>,
}

/// A door, and the protocol and the port there.
type Claim = (Door, Protocol, u16);

/// What a group is for: Service, protocol, port, family, and which of its endpoints.
type GroupOwner = (ObjectKey, Protocol, u16, Family, EndpointSet);

impl Services {
    pub(super) fn new(settings: ServiceSettings) -> Self {
        Self {
            told: Told::new(&settings.cidrs),
            settings,
            ..Self::default()
        }
    }

    pub(super) fn set(&mut self, key: ObjectKey, service: Option<Service>, dirty: &mut Dirty) {
        let service = service.map(|service| self.as_it_counts(service));
        let old = match &service {
            Some(service) => self.services.insert(key.clone(), service.clone()),
            None => self.services.remove(&key),
        };
        if old == service {
            return;
        }
        self.told.service(&key, old.as_ref(), service.as_ref());
        for claim in old.iter().flat_map(claims) {
            let Some(claims) = self.claims.get_mut(&claim) else {
                continue;
            };
            claims.remove(&key);
            dirty.services.extend(claims.iter().cloned());
            if claims.is_empty() {
                self.claims.remove(&claim);
            }
        }
        for claim in service.iter().flat_map(claims) {
            let claims = self.claims.entry(claim).or_default();
            claims.insert(key.clone());
            dirty.services.extend(claims.iter().cloned());
        }
        dirty.services.insert(key);
    }

    fn as_it_counts(&self, service: Service) -> Service {
        let external_ips = match self.settings.external_ips {
            true => service.external_ips,
            false => Vec::new(),
        };
        Service {
            external_ips,
            ..service
        }
    }

    /// Every range of cluster addresses.
    pub(super) fn all_ranges(&self) -> impl Iterator<Item = ObjectKey> {
        self.ranges.keys().cloned()
    }

    /// Every Service.
    pub(super) fn all(&self) -> impl Iterator<Item = ObjectKey> {
        self.services.keys().cloned()
    }

    /// Every Service whose endpoints may depend on the node.
    pub(super) fn all_by_node(&self) -> impl Iterator<Item = ObjectKey> {
        self.by_node.iter().cloned()
    }

    fn has(&self, service: &ObjectKey, claim: &Claim) -> bool {
        self.claims.get(claim).and_then(BTreeSet::first) == Some(service)
    }

    pub(super) fn set_slice(
        &mut self,
        key: ObjectKey,
        slice: Option<EndpointSlice>,
        dirty: &mut Dirty,
    ) {
        let old = match &slice {
            Some(slice) => self.slices.insert(key.clone(), slice.clone()),
            None => self.slices.remove(&key),
        };
        if old == slice {
            return;
        }
        if let Some(old) = old {
            let service = old.service_key();
            if let Some(slices) = self.slices_of.get_mut(&service) {
                slices.remove(&key);
            }
            dirty.services.insert(service);
        }
        if let Some(new) = slice {
            let service = new.service_key();
            self.slices_of
                .entry(service.clone())
                .or_default()
                .insert(key);
            dirty.services.insert(service);
        }
    }

    pub(super) fn set_range(
        &mut self,
        key: ObjectKey,
        range: Option<ServiceCidr>,
        dirty: &mut Dirty,
    ) {
        let cidrs = range.iter().flat_map(|range| range.cidrs.clone());
        let new: Vec<_> = cidrs.collect();
        let old = match range {
            Some(range) => self.ranges.insert(key.clone(), range),
            None => self.ranges.remove(&key),
        };
        let old = old.map(|range| range.cidrs).unwrap_or_default();
        self.told.cidrs(&old, &new);
        dirty.ranges.insert(key);
    }

    /// Services of a namespace whose endpoints come from Pods.
    fn selecting_in(&self, namespace: &str) -> impl Iterator<Item = ObjectKey> {
        let first = ObjectKey::new(Kind::Service, namespace, "");
        self.services
            .range(first..)
            .take_while(move |(key, _)| key.namespace == namespace)
            .filter(|(key, service)| {
                service.selector.is_some() && self.slices(key).next().is_none()
            })
            .map(|(key, _)| key.clone())
    }

    fn slices(&self, service: &ObjectKey) -> impl Iterator<Item = &EndpointSlice> {
        let keys = self.slices_of.get(service).into_iter().flatten();
        keys.filter_map(|key| self.slices.get(key))
    }

    /// The number of a group: a hash of what it is for, so that every replica has the same, and every node
    /// that has such a group; the next free number when two meet.
    fn group_id(&mut self, owner: &GroupOwner) -> GroupId {
        let (service, protocol, port, family, set) = owner;
        let text = format!("{service} {protocol}/{port} {family} {set}");
        let hash = blake3::hash(text.as_bytes());
        let first = hash
            .as_bytes()
            .first_chunk::<4>()
            .copied()
            .unwrap_or_default();
        let mut id = group::number(u32::from_be_bytes(first));
        while self.groups.get(&id).is_some_and(|other| other != owner) {
            id = group::number(id.0.wrapping_add(1));
        }
        self.groups.insert(id, owner.clone());
        id
    }
}

impl EndpointSlice {
    fn service_key(&self) -> ObjectKey {
        ObjectKey::new(Kind::Service, self.namespace.clone(), self.service.clone())
    }
}

impl Compiler {
    /// Makes flows and groups of every dirty Service anew.
    pub(super) fn settle_services(&mut self, dirty: &mut Dirty) {
        for namespace in std::mem::take(&mut dirty.endpoints_in) {
            dirty
                .services
                .extend(self.services.selecting_in(&namespace));
        }
        for key in std::mem::take(&mut dirty.ranges) {
            self.settle_range(&key);
        }
        for key in std::mem::take(&mut dirty.services) {
            self.settle_service(&key);
        }
    }

    /// Addresses of a range that no Service has are nobody's, not the world's.
    fn settle_range(&mut self, key: &ObjectKey) {
        let range = self.services.ranges.get(key);
        let cidrs = range.into_iter().flat_map(|range| &range.cidrs);
        let wanted = self.unallocated(cidrs).collect();
        self.own(Owner::Object(key.clone()), &Scope::Cluster, wanted);
    }

    /// The same for the ranges that the settings name.
    pub(super) fn settled_ranges(&self) -> impl Iterator<Item = Wanted> {
        self.unallocated(self.services.settings.cidrs.iter())
    }

    fn unallocated<'a>(
        &self,
        cidrs: impl Iterator<Item = &'a IpNetwork>,
    ) -> impl Iterator<Item = Wanted> {
        let carried = cidrs.filter(|cidr| self.families.contains(Family::of_network(**cidr)));
        carried.map(|cidr| stage::service::unallocated(*cidr))
    }
}
