// SPDX-License-Identifier: Apache-2.0
//! What the cluster is meant to be at one moment, and how it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, Namespace, Node, NodeAddress, NodeSpec, NodeStatus, Pod, PodSpec,
    Service, ServicePort, ServiceSpec,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use policy_compiler::model::Family;
use policy_compiler::{Change, Kind, Object, ObjectKey};
use reference::{Dice, Host, Labels, Outcome, Party, Rules, Vocabulary};
use serde_json::{Value, json};

use crate::end::End;

pub(crate) const NAMESPACES: [&str; 3] = ["x", "y", "z"];
pub(crate) const NODES: usize = 3;
pub(crate) const SERVICE_PORT: u16 = 80;
pub(crate) const TARGET_PORT: u16 = 8080;
const PODS_PER_NAMESPACE: u8 = 3;
const POLICIES_PER_NAMESPACE: u8 = 2;
const CLUSTER_POLICIES: usize = 3;

/// Where a Pod is in the name space.
pub(crate) type Place = (usize, u8);

/// One Pod: the next Pod at the same place is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PodRef {
    pub(crate) place: Place,
    pub(crate) uid: u64,
    pub(crate) node: usize,
    /// Of its only address.
    pub(crate) family: Family,
}

impl PodRef {
    pub(crate) fn name(self) -> String {
        format!("p{}", self.place.1)
    }

    pub(crate) fn namespace(self) -> &'static str {
        NAMESPACES[self.place.0]
    }

    pub(crate) fn address(self) -> IpAddr {
        let (node, last) = (self.node as u8 + 1, self.slot() + 2);
        match self.family {
            Family::V4 => Ipv4Addr::new(10, 10, node, last).into(),
            Family::V6 => {
                let last = u16::from(last);
                Ipv6Addr::new(0xfd00, 0x10, node.into(), 0, 0, 0, 0, last).into()
            }
        }
    }

    pub(crate) fn slot(self) -> u8 {
        self.place.0 as u8 * 16 + self.place.1
    }
}

#[derive(Clone, Debug, PartialEq)]
struct PodState {
    pod: PodRef,
    labels: Labels,
    /// Number of the TCP port that is called `http`.
    http: Option<u16>,
}

/// The wanted state.
#[derive(Clone, Debug)]
pub(crate) struct State {
    namespaces: Vec<Labels>,
    pods: BTreeMap<Place, PodState>,
    policies: BTreeMap<(usize, u8), NetworkPolicy>,
    /// Every `ClusterNetworkPolicy` as written, by its number.
    cluster_policies: BTreeMap<usize, Value>,
    /// Selector of the one Service, which lives in the first namespace.
    service: Option<Labels>,
    parties: BTreeMap<Place, (u64, Party)>,
    /// By their ends.
    outsiders: BTreeMap<End, Party>,
    both_ways: Policies,
    /// What the policies say of one direction only.
    egress: Policies,
    ingress: Policies,
}

/// Policies in lists, as the judge wants them.
#[derive(Clone, Debug, Default)]
struct Policies {
    policies: Vec<NetworkPolicy>,
    cluster_policies: Vec<Value>,
    hosts: Vec<Host>,
}

impl Policies {
    fn judge(&self, from: &Party, to: &Party, protocol: &str, port: u16) -> Outcome {
        let rules = Rules {
            policies: &self.policies,
            cluster_policies: &self.cluster_policies,
            hosts: &self.hosts,
        };
        reference::judge(rules, from, to, protocol, port)
    }
}

impl State {
    /// Three namespaces without Pods.
    pub(crate) fn empty() -> Self {
        let state = Self {
            namespaces: vec![Labels::new(); NAMESPACES.len()],
            pods: BTreeMap::new(),
            policies: BTreeMap::new(),
            cluster_policies: BTreeMap::new(),
            service: None,
            parties: BTreeMap::new(),
            outsiders: outsiders(),
            both_ways: Policies::default(),
            egress: Policies::default(),
            ingress: Policies::default(),
        };
        state.indexed()
    }

    /// Every Pod that shall be there.
    pub(crate) fn pods(&self) -> impl Iterator<Item = PodRef> {
        self.pods.values().map(|state| state.pod)
    }

    /// Whether the Pod is there; who is no Pod always is.
    pub(crate) fn has(&self, end: End) -> bool {
        let End::Pod(pod) = end else { return true };
        self.pods
            .get(&pod.place)
            .is_some_and(|state| state.pod == pod)
    }

    /// What the API says of the connection in this state.
    pub(crate) fn judge(&self, from: End, to: End, protocol: &str, port: u16) -> Outcome {
        if self.has(to) && from.is_kernel_of(to) {
            return Outcome::Passes;
        }
        let (Some(from), Some(to)) = (self.party(from), self.party(to)) else {
            return Outcome::Dropped;
        };
        self.both_ways.judge(from, to, protocol, port)
    }

    /// What the rules of this state for one direction say of the connection between ends as they are in
    /// others.
    pub(crate) fn judge_side(
        &self,
        direction: &str,
        (sender, from): (&Self, End),
        (receiver, to): (&Self, End),
        protocol: &str,
        port: u16,
    ) -> Outcome {
        if receiver.has(to) && from.is_kernel_of(to) {
            return Outcome::Passes;
        }
        let (Some(from), Some(to)) = (sender.party(from), receiver.party(to)) else {
            return Outcome::Dropped;
        };
        let policies = match direction {
            "Egress" => &self.egress,
            _ => &self.ingress,
        };
        policies.judge(from, to, protocol, port)
    }

    fn party(&self, end: End) -> Option<&Party> {
        let End::Pod(pod) = end else {
            return self.outsiders.get(&end);
        };
        let (uid, party) = self.parties.get(&pod.place)?;
        (*uid == pod.uid).then_some(party)
    }

    /// Pods of the family that serve the Service in this state.
    pub(crate) fn endpoints(&self, family: Family) -> BTreeSet<PodRef> {
        let Some(selector) = &self.service else {
            return BTreeSet::new();
        };
        let serves = |state: &&PodState| {
            !selector.is_empty()
                && state.pod.place.0 == 0
                && state.pod.family == family
                && selector.iter().all(|(k, v)| state.labels.get(k) == Some(v))
        };
        self.pods
            .values()
            .filter(serves)
            .map(|state| state.pod)
            .collect()
    }

    /// The state after one random change, and the change in words.
    pub(crate) fn changed(
        &self,
        words: &Vocabulary,
        dice: &mut Dice,
        uid: u64,
        cluster_policies: bool,
    ) -> (Self, String) {
        let mut next = self.clone();
        let place = (
            dice.below(NAMESPACES.len()),
            dice.below(usize::from(PODS_PER_NAMESPACE)) as u8,
        );
        let what = match dice.below(12) {
            6 | 7 if cluster_policies => {
                let number = dice.below(CLUSTER_POLICIES);
                next.change_cluster_policy(words, dice, number)
            }
            0 | 1 => next.come_or_go(words, dice, place, uid),
            2 | 3 => match next.pods.get_mut(&place) {
                Some(state) => {
                    state.labels = words.labels(dice);
                    format!("{place:?} is relabelled {:?}", state.labels)
                }
                None => next.come_or_go(words, dice, place, uid),
            },
            4 => {
                next.namespaces[place.0] = words.labels(dice);
                format!(
                    "namespace {} is relabelled {:?}",
                    place.0, next.namespaces[place.0]
                )
            }
            5 => {
                next.service = dice.chance(4, 5).then(|| words.labels(dice));
                format!("the Service selects {:?}", next.service)
            }
            _ => {
                let slot = (
                    place.0,
                    dice.below(usize::from(POLICIES_PER_NAMESPACE)) as u8,
                );
                next.change_policy(words, dice, slot)
            }
        };
        (next.indexed(), what)
    }

    fn come_or_go(
        &mut self,
        words: &Vocabulary,
        dice: &mut Dice,
        place: Place,
        uid: u64,
    ) -> String {
        if self.pods.remove(&place).is_some() {
            return format!("{place:?} goes");
        }
        let pod = PodRef {
            place,
            uid,
            node: dice.below(NODES),
            family: *dice.pick(&Family::ALL).unwrap_or(&Family::V4),
        };
        let state = PodState {
            pod,
            labels: words.labels(dice),
            http: dice.pick(&[None, Some(80), Some(8080)]).copied().flatten(),
        };
        let what = format!("{state:?} comes");
        self.pods.insert(place, state);
        what
    }

    fn change_policy(&mut self, words: &Vocabulary, dice: &mut Dice, slot: (usize, u8)) -> String {
        if self.policies.contains_key(&slot) && dice.chance(1, 4) {
            self.policies.remove(&slot);
            return format!("policy {slot:?} goes");
        }
        let namespace = NAMESPACES[slot.0];
        let policy = words.policy(dice, namespace, &format!("policy-{}", slot.1));
        let what = format!("policy {slot:?} is {:?}", policy.spec);
        self.policies.insert(slot, policy);
        what
    }

    fn change_cluster_policy(
        &mut self,
        words: &Vocabulary,
        dice: &mut Dice,
        number: usize,
    ) -> String {
        if self.cluster_policies.contains_key(&number) && dice.chance(1, 3) {
            self.cluster_policies.remove(&number);
            return format!("cluster policy {number} goes");
        }
        let policy = words.cluster_policy(dice, &cluster_policy_name(number));
        let what = format!("cluster policy {number} is {}", policy["spec"]);
        self.cluster_policies.insert(number, policy);
        what
    }

    fn indexed(mut self) -> Self {
        self.both_ways = Policies {
            policies: self.policies.values().cloned().collect(),
            cluster_policies: self.cluster_policies.values().cloned().collect(),
            hosts: hosts(),
        };
        let of = |direction: &str, other: &str| {
            let policies = self.policies.values();
            let mut cluster_policies = self.both_ways.cluster_policies.clone();
            for policy in &mut cluster_policies {
                policy["spec"][other.to_lowercase()] = json!([]);
            }
            Policies {
                policies: policies
                    .filter_map(|policy| only(policy, direction))
                    .collect(),
                cluster_policies,
                hosts: hosts(),
            }
        };
        self.egress = of("Egress", "Ingress");
        self.ingress = of("Ingress", "Egress");
        let party = |state: &PodState| {
            let (namespace, _) = state.pod.place;
            let name = NAMESPACES[namespace];
            let mut namespace_labels = self.namespaces[namespace].clone();
            namespace_labels.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
            let named_ports = state.http.map(|number| ("http".to_owned(), "TCP", number));
            Party {
                namespace: name.to_owned(),
                namespace_labels,
                labels: state.labels.clone(),
                address: state.pod.address(),
                named_ports: named_ports.into_iter().collect(),
            }
        };
        self.parties = self
            .pods
            .iter()
            .map(|(place, state)| (*place, (state.pod.uid, party(state))))
            .collect();
        self
    }

    /// The objects that are different in `next`.
    pub(crate) fn objects_changed(&self, next: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (index, labels) in next.namespaces.iter().enumerate() {
            if self.namespaces.get(index) != Some(labels) {
                changes.push(Change::Apply(namespace(index, labels)));
            }
        }
        differences(&self.pods, &next.pods, |place, state| {
            changes.push(match state {
                Some(state) => Change::Apply(pod(state)),
                None => delete(Kind::Pod, place.0, format!("p{}", place.1)),
            });
        });
        differences(&self.policies, &next.policies, |slot, policy| {
            changes.push(match policy {
                Some(policy) => Change::Apply(Object::NetworkPolicy(Box::new(policy.clone()))),
                None => delete(Kind::NetworkPolicy, slot.0, format!("policy-{}", slot.1)),
            });
        });
        differences(
            &self.cluster_policies,
            &next.cluster_policies,
            |number, policy| {
                let name = cluster_policy_name(*number);
                changes.push(match policy {
                    Some(policy) => Change::Apply(cluster_policy(policy)),
                    None => Change::Delete(ObjectKey::new(Kind::ClusterNetworkPolicy, "", name)),
                });
            },
        );
        if self.service != next.service {
            changes.push(match &next.service {
                Some(selector) => Change::Apply(service(selector)),
                None => delete(Kind::Service, 0, "front".to_owned()),
            });
        }
        changes
    }

    /// Pods that the change from `self` to `next` is about.
    pub(crate) fn concerned(&self, next: &Self) -> BTreeSet<Place> {
        let mut places = BTreeSet::new();
        differences(&self.pods, &next.pods, |place, _| {
            places.insert(*place);
        });
        let mut namespaces = BTreeSet::new();
        differences(&self.policies, &next.policies, |slot, _| {
            namespaces.insert(slot.0);
        });
        let relabelled = (0..NAMESPACES.len())
            .filter(|index| self.namespaces.get(*index) != next.namespaces.get(*index));
        namespaces.extend(relabelled);
        places.extend(
            next.pods
                .keys()
                .filter(|place| namespaces.contains(&place.0)),
        );
        places
    }
}

/// What the API knows of all who are no Pods.
fn outsiders() -> BTreeMap<End, Party> {
    let ends = (0..NODES).flat_map(|node| {
        let world = Family::ALL.map(|family| End::World(node, family));
        std::iter::once(End::Kernel(node)).chain(world)
    });
    ends.filter_map(|end| Some((end, end.outsider()?)))
        .collect()
}

/// The nodes as the API sees them.
fn hosts() -> Vec<Host> {
    let host = |node| Host {
        labels: node_labels(node),
        addresses: vec![node_address(node).into()],
    };
    (0..NODES).map(host).collect()
}

fn node_labels(node: usize) -> Labels {
    Labels::from([("kubernetes.io/hostname".to_owned(), node_name(node))])
}

/// What a policy says of one direction, if it says anything.
fn only(policy: &NetworkPolicy, direction: &str) -> Option<NetworkPolicy> {
    let mut policy = policy.clone();
    let spec = policy.spec.as_mut()?;
    let concerns = match spec.policy_types.as_deref() {
        Some([_, ..]) => spec
            .policy_types
            .iter()
            .flatten()
            .any(|one| one == direction),
        _ => direction == "Ingress" || spec.egress.iter().flatten().next().is_some(),
    };
    spec.policy_types = Some(vec![direction.to_owned()]);
    concerns.then_some(policy)
}

fn differences<K: Ord, V: PartialEq>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    mut tell: impl FnMut(&K, Option<&V>),
) {
    for (key, value) in new {
        if old.get(key) != Some(value) {
            tell(key, Some(value));
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(key)) {
        tell(key, None);
    }
}

/// The words that random objects are made of.
pub(crate) fn vocabulary() -> Vocabulary {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Vocabulary {
        namespaces: owned(&NAMESPACES),
        labels: vec![
            ("app".to_owned(), owned(&["a", "b"])),
            ("tier".to_owned(), owned(&["1", "2"])),
            // A key that identities leave out until a selector names it.
            ("job-name".to_owned(), owned(&["j"])),
        ],
        ports: vec![79, 80, 81, 8080],
        port_names: owned(&["http"]),
        blocks: vec![
            ("10.10.0.0/16".to_owned(), owned(&[])),
            (
                "10.10.1.0/24".to_owned(),
                owned(&["10.10.1.2/32", "10.10.1.16/28"]),
            ),
            ("0.0.0.0/0".to_owned(), owned(&["10.10.2.0/24"])),
            ("192.0.2.0/30".to_owned(), owned(&["192.0.2.2/32"])),
            ("203.0.113.0/24".to_owned(), owned(&[])),
            ("2001:db8::/32".to_owned(), owned(&[])),
            ("fd00:10::/32".to_owned(), owned(&[])),
            ("fd00:10:1::/64".to_owned(), owned(&["fd00:10:1::2/128"])),
            ("::/0".to_owned(), owned(&["fd00:10:2::/64"])),
        ],
        nodes: (0..NODES).map(node_name).collect(),
    }
}

pub(crate) fn node_name(node: usize) -> String {
    format!("node-{}", node + 1)
}

pub(crate) fn node_address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, node as u8 + 1)
}

/// Address of the Service, of the family.
pub(crate) fn vip(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(10, 96, 0, 10).into(),
        Family::V6 => Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 10).into(),
    }
}

/// The Node objects, which never change.
pub(crate) fn nodes() -> impl Iterator<Item = Change> {
    (0..NODES).map(|node| {
        Change::Apply(Object::Node(Box::new(Node {
            metadata: named(None, &node_name(node), &node_labels(node)),
            spec: Some(NodeSpec {
                pod_cidrs: Some(vec![
                    format!("10.10.{}.0/24", node + 1),
                    format!("fd00:10:{}::/64", node + 1),
                ]),
                ..NodeSpec::default()
            }),
            status: Some(NodeStatus {
                addresses: Some(vec![NodeAddress {
                    address: IpAddr::V4(node_address(node)).to_string(),
                    type_: "InternalIP".to_owned(),
                }]),
                ..NodeStatus::default()
            }),
        })))
    })
}

fn namespace(index: usize, labels: &Labels) -> Object {
    Object::Namespace(Box::new(Namespace {
        metadata: named(None, NAMESPACES[index], labels),
        ..Namespace::default()
    }))
}

fn pod(state: &PodState) -> Object {
    let port = |number: u16| ContainerPort {
        name: Some("http".to_owned()),
        container_port: i32::from(number),
        ..ContainerPort::default()
    };
    let metadata = ObjectMeta {
        uid: Some(state.pod.uid.to_string()),
        ..named(
            Some(state.pod.namespace()),
            &state.pod.name(),
            &state.labels,
        )
    };
    Object::Pod(Box::new(Pod {
        metadata,
        spec: Some(PodSpec {
            node_name: Some(node_name(state.pod.node)),
            containers: vec![Container {
                ports: Some(state.http.map(port).into_iter().collect()),
                ..Container::default()
            }],
            ..PodSpec::default()
        }),
        status: None,
    }))
}

fn service(selector: &Labels) -> Object {
    let port = |protocol: &str| ServicePort {
        name: Some(protocol.to_lowercase()),
        protocol: Some(protocol.to_owned()),
        port: i32::from(SERVICE_PORT),
        target_port: Some(IntOrString::Int(i32::from(TARGET_PORT))),
        ..ServicePort::default()
    };
    Object::Service(Box::new(Service {
        metadata: named(Some(NAMESPACES[0]), "front", &Labels::new()),
        spec: Some(ServiceSpec {
            cluster_ips: Some(Family::ALL.map(|family| vip(family).to_string()).to_vec()),
            ports: Some(vec![port("TCP"), port("UDP")]),
            selector: Some(selector.clone()),
            ..ServiceSpec::default()
        }),
        status: None,
    }))
}

fn cluster_policy_name(number: usize) -> String {
    format!("cluster-{number}")
}

fn cluster_policy(written: &Value) -> Object {
    let object = serde_json::from_value(written.clone()).expect("generated policies are readable");
    Object::ClusterNetworkPolicy(Box::new(object))
}

fn delete(kind: Kind, namespace: usize, name: String) -> Change {
    Change::Delete(ObjectKey::new(kind, NAMESPACES[namespace], name))
}

fn named(namespace: Option<&str>, name: &str, labels: &Labels) -> ObjectMeta {
    ObjectMeta {
        namespace: namespace.map(str::to_owned),
        name: Some(name.to_owned()),
        labels: Some(labels.clone()),
        ..ObjectMeta::default()
    }
}
