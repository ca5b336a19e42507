// SPDX-License-Identifier: Apache-2.0
//! Which candidates get the new connections to one port of a Service, and on which nodes that is different.

use std::collections::{BTreeMap, BTreeSet};

use crate::change::NodeFacts;
use crate::model::{CandidateState, Endpoint, Family, Name, Node};

/// Who may serve at one port, in what state, and for whom it is best.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) node: Option<&'a Name>,
    pub(super) state: CandidateState,
    pub(super) for_zones: &'a [Name],
    pub(super) for_nodes: &'a [Name],
}

/// Who gets new connections of one family, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sets {
    /// On every node where nothing else is said.
    pub(super) everywhere: Vec<Endpoint>,
    /// Where other endpoints are better.
    pub(super) near: Vec<Place>,
    /// Of those on the node itself, where there are any.
    pub(super) local: Vec<Place>,
    /// Whether nodes and zones may have others, be there such nodes or not.
    pub(super) hinted: bool,
}

/// Nodes that have the same endpoints.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) nodes: Vec<String>,
    pub(super) endpoints: Vec<Endpoint>,
}

/// The nodes whose switches we know.
#[derive(Clone, Copy)]
pub(super) struct Nodes<'a> {
    pub(super) observed: &'a BTreeMap<String, NodeFacts>,
    pub(super) objects: &'a BTreeMap<String, Node>,
}

/// Endpoints by node or by zone.
type ByName<'a> = BTreeMap<&'a str, BTreeSet<Endpoint>>;

impl<'a> Nodes<'a> {
    fn has(self, name: &str) -> bool {
        self.observed.contains_key(name)
    }

    /// The zone of a node.
    pub(super) fn zone(self, name: &str) -> Option<&'a Name> {
        self.objects.get(name)?.zone()
    }
}

impl Sets {
    /// The sets of those `found` that are of this family.
    pub(super) fn new(family: Family, found: &[Found<'_>], nodes: Nodes<'_>) -> Self {
        let of_family = |one: &&Found<'_>| Family::of(one.endpoint.address) == family;
        let found: Vec<&Found<'_>> = found.iter().filter(of_family).collect();
        let everywhere: Vec<Endpoint> = usable(&found).into_iter().collect();
        let (hinted, mut near) = near(&found, nodes);
        near.retain(|place| place.endpoints != everywhere);
        Self {
            near,
            local: local(&found, nodes),
            everywhere,
            hinted,
        }
    }

    /// Who serves what a Pod or the kernel of this node sends to anybody.
    pub(super) fn near_to(&self, node: &str) -> &[Endpoint] {
        on(&self.near, node).unwrap_or(&self.everywhere)
    }

    /// Who serves what may not leave this node.
    pub(super) fn local_to(&self, node: &str) -> &[Endpoint] {
        on(&self.local, node).unwrap_or_default()
    }
}

fn on<'a>(places: &'a [Place], node: &str) -> Option<&'a [Endpoint]> {
    let mut places = places.iter();
    let place = places.find(|place| place.nodes.iter().any(|name| name == node))?;
    Some(&place.endpoints)
}

/// Those that are ready; when none is, those that serve on while they terminate, so that a rollout of one
/// Pod refuses nobody.
fn usable(found: &[&Found<'_>]) -> BTreeSet<Endpoint> {
    let in_state = |state| -> BTreeSet<Endpoint> {
        let of_state = found.iter().filter(|one| one.state == state);
        of_state.map(|one| one.endpoint).collect()
    };
    let ready = in_state(CandidateState::Ready);
    if ready.is_empty() {
        in_state(CandidateState::Leaving)
    } else {
        ready
    }
}

/// "...when all endpoints have a hint": one that has none could never be reached. First of all hints for
/// nodes count, then hints for zones; a node that none is for has all endpoints.
fn near(found: &[&Found<'_>], nodes: Nodes<'_>) -> (bool, Vec<Place>) {
    let ready = found.iter().copied();
    let ready = ready.filter(|one| one.state == CandidateState::Ready);
    let ready: Vec<_> = ready.collect();
    let by_node = by_hint(&ready, |one| one.for_nodes);
    let by_zone = by_hint(&ready, |one| one.for_zones);
    let hinted = !by_node.is_empty() || !by_zone.is_empty();
    let mut places = Vec::new();
    for (node, endpoints) in &by_node {
        if nodes.has(node) {
            places.push(place(vec![(*node).to_owned()], endpoints));
        }
    }
    if by_zone.is_empty() {
        return (hinted, places);
    }
    let mut in_zones: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let others = nodes.observed.keys();
    for name in others.filter(|name| !by_node.contains_key(name.as_str())) {
        if let Some(zone) = nodes.zone(name) {
            in_zones.entry(zone).or_default().push(name.clone());
        }
    }
    for (zone, endpoints) in &by_zone {
        places.extend(in_zones.remove(zone).map(|nodes| place(nodes, endpoints)));
    }
    (hinted, places)
}

/// Who is for whom; nobody for anybody unless each has a hint.
fn by_hint<'a>(ready: &[&Found<'a>], hints: impl Fn(&Found<'a>) -> &'a [Name]) -> ByName<'a> {
    let mut by_name = ByName::new();
    if ready.iter().any(|one| hints(one).is_empty()) {
        return by_name;
    }
    for one in ready {
        for name in hints(one) {
            by_name.entry(name).or_default().insert(one.endpoint);
        }
    }
    by_name
}

/// Who is on which node: each node falls back to those that terminate whatever others have.
fn local(found: &[&Found<'_>], nodes: Nodes<'_>) -> Vec<Place> {
    let mut by_node: BTreeMap<&str, Vec<&Found<'_>>> = BTreeMap::new();
    for one in found {
        if let Some(node) = one.node {
            by_node.entry(node).or_default().push(one);
        }
    }
    let known = by_node.into_iter().filter(|(node, _)| nodes.has(node));
    let sets = known.map(|(node, found)| place(vec![node.to_owned()], &usable(&found)));
    sets.filter(|place| !place.endpoints.is_empty()).collect()
}

fn place(nodes: Vec<String>, endpoints: &BTreeSet<Endpoint>) -> Place {
    Place {
        nodes,
        endpoints: endpoints.iter().copied().collect(),
    }
}

#[cfg(test)]
mod tests {
    use CandidateState::{Absent, Leaving, Ready, Serving};
    use serde_json::json;

    use super::*;
    use crate::change::Object;
    use crate::ingest::{self, Parsed};

    /// An endpoint: last byte of its address, node, state, hints for zones and for nodes.
    type Written<'a> = (u8, &'a str, CandidateState, &'a [&'a str], &'a [&'a str]);

    /// Nodes `n1` and `n3` in zone `a`, `n2` in zone `b`, and `n4` in none.
    fn sets(written: &[Written<'_>]) -> Sets {
        let zones = [
            ("n1", Some("a")),
            ("n2", Some("b")),
            ("n3", Some("a")),
            ("n4", None),
        ];
        let facts = NodeFacts {
            tunnel_port: None,
            gateway_port: None,
        };
        let observed = zones.map(|(name, _)| (name.to_owned(), facts.clone()));
        let objects = zones.map(|(name, zone)| {
            let labels = zone.map(|zone| json!({"topology.kubernetes.io/zone": zone}));
            let node = json!({"metadata": {"name": name, "labels": labels}});
            let node = serde_json::from_value(node).unwrap();
            let Ok(Parsed::Node(node)) = ingest::parse(&Object::Node(Box::new(node))) else {
                panic!("a Node is refused");
            };
            (name.to_owned(), node)
        });
        let names = |all: &[&str]| all.iter().map(|name| Name::from(*name)).collect();
        let owned: Vec<(Name, Vec<Name>, Vec<Name>)> = written
            .iter()
            .map(|(_, node, _, zones, nodes)| (Name::from(*node), names(zones), names(nodes)))
            .collect();
        let found = written.iter().zip(&owned);
        let found = found.map(|((last, _, state, ..), (node, zones, nodes))| Found {
            endpoint: Endpoint {
                address: [10, 0, 0, *last].into(),
                port: 80,
            },
            node: Some(node),
            state: *state,
            for_zones: zones,
            for_nodes: nodes,
        });
        let nodes = Nodes {
            observed: &BTreeMap::from(observed),
            objects: &BTreeMap::from(objects),
        };
        Sets::new(Family::V4, &found.collect::<Vec<_>>(), nodes)
    }

    fn lasts(endpoints: &[Endpoint]) -> Vec<u8> {
        let last = |endpoint: &Endpoint| match endpoint.address {
            std::net::IpAddr::V4(address) => address.octets()[3],
            std::net::IpAddr::V6(_) => 0,
        };
        endpoints.iter().map(last).collect()
    }

    fn near(sets: &Sets) -> [Vec<u8>; 4] {
        ["n1", "n2", "n3", "n4"].map(|node| lasts(sets.near_to(node)))
    }

    #[test]
    fn who_leaves_serves_only_when_nobody_is_ready() {
        let all = [
            (4, "n1", Serving, &[][..], &[][..]),
            (3, "n1", Absent, &[], &[]),
            (2, "n1", Leaving, &[], &[]),
            (1, "n1", Ready, &[], &[]),
        ];
        assert_eq!(lasts(&sets(&all).everywhere), [1]);
        assert_eq!(lasts(&sets(&all[..3]).everywhere), [2]);
        assert!(sets(&all[..2]).everywhere.is_empty());
    }

    #[test]
    fn each_node_falls_back_to_its_own_that_leave_whatever_others_have() {
        let sets = sets(&[
            (1, "n1", Leaving, &[], &[]),
            (2, "n2", Ready, &[], &[]),
            (3, "n2", Leaving, &[], &[]),
            (4, "n3", Absent, &[], &[]),
            (5, "n9", Ready, &[], &[]),
        ]);
        assert_eq!(lasts(&sets.everywhere), [2, 5]);
        let local = ["n1", "n2", "n3", "n9"].map(|node| lasts(sets.local_to(node)));
        assert_eq!(local, [vec![1], vec![2], vec![], vec![]]);
    }

    #[test]
    fn hints_for_nodes_come_before_hints_for_zones_and_these_before_none() {
        let sets = sets(&[
            (1, "n1", Ready, &["a"], &["n1"]),
            (2, "n2", Ready, &["b"], &["n2"]),
            (3, "n3", Ready, &["a"], &["n2"]),
        ]);
        assert_eq!(
            near(&sets),
            [vec![1], vec![2, 3], vec![1, 3], vec![1, 2, 3]]
        );
    }

    #[test]
    fn one_ready_endpoint_without_a_hint_is_reason_to_heed_none() {
        let ready = (1, "n1", Ready, &["a"][..], &[][..]);
        let other = |state| (2, "n2", state, &[][..], &[][..]);
        assert_eq!(near(&sets(&[ready, other(Ready)]))[0], [1, 2]);
        assert_eq!(near(&sets(&[ready, other(Leaving)]))[1], [1]);
        assert!(!sets(&[ready, other(Ready)]).hinted);
        let leaving = (1, "n1", Leaving, &["a"][..], &[][..]);
        assert_eq!(near(&sets(&[leaving, other(Leaving)]))[0], [1, 2]);
    }

    #[test]
    fn nodes_of_one_zone_are_one_place_and_those_with_all_endpoints_are_none() {
        let split = sets(&[(1, "n1", Ready, &["a"], &[]), (2, "n2", Ready, &["b"], &[])]);
        let nodes: Vec<_> = split.near.iter().map(|place| place.nodes.clone()).collect();
        assert_eq!(nodes, [vec!["n1", "n3"], vec!["n2"]]);
        let same = sets(&[(1, "n1", Ready, &["a", "b"], &[])]);
        assert!(same.near.is_empty());
        assert!(same.hinted);
    }
}
