// SPDX-License-Identifier: Apache-2.0
//! Random clusters: Kubernetes objects, and where their Pods are plugged in.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, Namespace, Node, NodeAddress, NodeSpec, NodeStatus, Pod, PodSpec,
    Service, ServicePort, ServiceSpec,
};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ObjectMeta,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use openflow_codec::PortNo;
use policy_compiler::model::{Addresses, Families, Family, MacAddr};
use policy_compiler::{Attachment, AttachmentKey, Change, NodeFacts, Object};
use proptest::prelude::*;
use serde_json::{Value, json};

pub(crate) type Labels = BTreeMap<String, String>;

pub(crate) const NAMESPACES: [&str; 3] = ["x", "y", "z"];
const STAGED: &str = "culvert.io/staged";
pub(crate) const NODES: [&str; 2] = ["node-1", "node-2"];
pub(crate) const TUNNEL_PORT: PortNo = PortNo(1);
pub(crate) const GATEWAY_PORT: PortNo = PortNo(2);
/// Ports that Pods can have.
pub(crate) const POD_PORTS: Range<u32> = 10..10 + NAMESPACES.len() as u32 * 16;
pub(crate) const VIPS: [&str; 2] = ["10.96.0.10", "fd00:96::10"];
pub(crate) const SERVICE_PORT: u16 = 80;
pub(crate) const TARGET_PORT: u16 = 8080;

/// A Pod: its place in the name space is fixed, so that the same Pod can change.
#[derive(Clone, Debug)]
pub(crate) struct PodSpecimen {
    pub(crate) namespace: usize,
    pub(crate) number: u8,
    pub(crate) node: usize,
    pub(crate) labels: BTreeMap<String, String>,
    /// Number of the TCP port that is called `http`.
    pub(crate) http: Option<u16>,
    /// Which addresses it has.
    pub(crate) families: Families,
}

pub(crate) const V4: Families = Families::One(Family::V4);

impl PodSpecimen {
    pub(crate) fn name(&self) -> String {
        format!("p{}", self.number)
    }

    /// One place of its own in the Pod CIDRs of its node.
    fn place(&self) -> [u8; 2] {
        [
            self.node as u8 + 1,
            self.namespace as u8 * 16 + self.number + 2,
        ]
    }

    pub(crate) fn addresses(&self) -> Addresses {
        let [node, last] = self.place();
        let v4 = Ipv4Addr::new(10, 10, node, last);
        let v6 = Ipv6Addr::new(0xfd00, 10, node.into(), 0, 0, 0, 0, last.into());
        match self.families {
            Families::One(Family::V4) => Addresses::One(v4.into()),
            Families::One(Family::V6) => Addresses::One(v6.into()),
            Families::Both => Addresses::Both(v4, v6),
        }
    }

    pub(crate) fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses().of(family)
    }

    pub(crate) fn port(&self) -> PortNo {
        PortNo(POD_PORTS.start + self.namespace as u32 * 16 + u32::from(self.number))
    }

    pub(crate) fn mac(&self) -> MacAddr {
        let [node, last] = self.place();
        MacAddr(0x0a58_0a0a_0000 | u64::from(node) << 8 | u64::from(last))
    }

    pub(crate) fn object(&self) -> Object {
        Object::Pod(Box::new(Pod {
            metadata: named(Some(NAMESPACES[self.namespace]), &self.name(), &self.labels),
            spec: Some(PodSpec {
                node_name: Some(NODES[self.node].to_owned()),
                containers: vec![Container {
                    ports: Some(self.ports()),
                    ..Container::default()
                }],
                ..PodSpec::default()
            }),
            status: None,
        }))
    }

    fn ports(&self) -> Vec<ContainerPort> {
        let port = |number: u16| ContainerPort {
            name: Some("http".to_owned()),
            container_port: i32::from(number),
            ..ContainerPort::default()
        };
        self.http.map(port).into_iter().collect()
    }

    pub(crate) fn attachment(&self, ready: bool) -> Attachment {
        Attachment {
            key: self.attachment_key(),
            pod_namespace: NAMESPACES[self.namespace].to_owned(),
            pod_name: self.name(),
            pod_uid: None,
            port: self.port(),
            addresses: self.addresses(),
            mac: self.mac(),
            ready,
        }
    }

    pub(crate) fn attachment_key(&self) -> AttachmentKey {
        AttachmentKey {
            node: NODES[self.node].to_owned(),
            interface: format!("cv-{}-{}", NAMESPACES[self.namespace], self.name()),
        }
    }
}

/// Nodes with Pod CIDRs of these families, and a tunnel between addresses of that one.
pub(crate) fn nodes(families: Families, underlay: Family) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, number) in NODES.iter().zip(1u8..) {
        changes.push(Change::Apply(Object::Node(Box::new(Node {
            metadata: named(None, name, &node_labels(number)),
            spec: Some(NodeSpec {
                pod_cidrs: Some(families.iter().map(|f| pod_cidr(f, number)).collect()),
                ..NodeSpec::default()
            }),
            status: Some(NodeStatus {
                addresses: Some(vec![
                    NodeAddress {
                        address: node_address(number as usize - 1, underlay).to_string(),
                        type_: "InternalIP".to_owned(),
                    },
                    NodeAddress {
                        address: other_node_address(number).to_string(),
                        type_: "ExternalIP".to_owned(),
                    },
                ]),
                ..NodeStatus::default()
            }),
        }))));
        changes.push(Change::ObserveNode {
            node: (*name).to_owned(),
            facts: NodeFacts {
                tunnel_port: Some(TUNNEL_PORT),
                gateway_port: Some(GATEWAY_PORT),
            },
        });
    }
    changes
}

fn pod_cidr(family: Family, node: u8) -> String {
    match family {
        Family::V4 => format!("10.10.{node}.0/24"),
        Family::V6 => format!("fd00:a:{node}::/64"),
    }
}

/// The address at this place in the Pod CIDR of the node with this number (from 1).
pub(crate) fn in_pod_cidr(number: u8, family: Family, place: u8) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([10, 10, number, place]),
        Family::V6 => IpAddr::from([0xfd00, 0xa, number.into(), 0, 0, 0, 0, place.into()]),
    }
}

pub(crate) fn node_address(node: usize, underlay: Family) -> IpAddr {
    match underlay {
        Family::V4 => IpAddr::from([192, 0, 2, node as u8 + 1]),
        Family::V6 => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, node as u16 + 1]),
    }
}

pub(crate) fn family() -> impl Strategy<Value = Family> {
    prop::sample::select(Family::ALL.to_vec())
}

pub(crate) fn families() -> impl Strategy<Value = Families> {
    prop_oneof![
        2 => Just(V4),
        1 => Just(Families::One(Family::V6)),
        3 => Just(Families::Both),
    ]
}

fn node_labels(number: u8) -> Labels {
    BTreeMap::from([("tier".to_owned(), number.to_string())])
}

/// An address that a Pod may have, too, so that packets can be to it.
fn other_node_address(number: u8) -> IpAddr {
    IpAddr::from([10, 10, number, 2])
}

/// The nodes, for the reference.
pub(crate) fn hosts(underlay: Family) -> Vec<reference::Host> {
    let host = |number| reference::Host {
        labels: node_labels(number),
        addresses: vec![
            node_address(usize::from(number) - 1, underlay),
            other_node_address(number),
        ],
    };
    (1..=2).map(host).collect()
}

pub(crate) fn namespace(index: usize, labels: &BTreeMap<String, String>) -> Object {
    Object::Namespace(Box::new(Namespace {
        metadata: named(None, NAMESPACES[index], labels),
        ..Namespace::default()
    }))
}

/// A Service in namespace `x`, always with the same addresses, to Pods with these labels.
pub(crate) fn service(name: &str, selector: &BTreeMap<String, String>) -> Object {
    let port = |protocol: &str| ServicePort {
        name: Some(protocol.to_lowercase()),
        protocol: Some(protocol.to_owned()),
        port: i32::from(SERVICE_PORT),
        target_port: Some(IntOrString::Int(i32::from(TARGET_PORT))),
        ..ServicePort::default()
    };
    Object::Service(Box::new(Service {
        metadata: named(Some(NAMESPACES[0]), name, &BTreeMap::new()),
        spec: Some(ServiceSpec {
            cluster_ips: Some(VIPS.map(str::to_owned).to_vec()),
            ports: Some(vec![port("TCP"), port("UDP")]),
            selector: Some(selector.clone()),
            ..ServiceSpec::default()
        }),
        status: None,
    }))
}

/// A policy by which all Pods of the first namespace hear only from a block of addresses.
pub(crate) fn only_from_block(name: &str, cidr: &str) -> Object {
    let block = IPBlock {
        cidr: cidr.to_owned(),
        except: None,
    };
    let peer = NetworkPolicyPeer {
        ip_block: Some(block),
        ..NetworkPolicyPeer::default()
    };
    let rule = NetworkPolicyIngressRule {
        from: Some(vec![peer]),
        ports: None,
    };
    Object::NetworkPolicy(Box::new(NetworkPolicy {
        metadata: named(Some(NAMESPACES[0]), name, &BTreeMap::new()),
        spec: Some(NetworkPolicySpec {
            ingress: Some(vec![rule]),
            ..NetworkPolicySpec::default()
        }),
    }))
}

fn named(namespace: Option<&str>, name: &str, labels: &BTreeMap<String, String>) -> ObjectMeta {
    ObjectMeta {
        namespace: namespace.map(str::to_owned),
        name: Some(name.to_owned()),
        labels: Some(labels.clone()),
        ..ObjectMeta::default()
    }
}

pub(crate) fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    let app = prop::option::of(prop::sample::select(vec!["a", "b"]));
    let tier = prop::option::of(prop::sample::select(vec!["1", "2"]));
    // A key that identities leave out until a selector names it.
    let job = prop::option::weighted(0.2, Just("j"));
    (app, tier, job).prop_map(|(app, tier, job)| {
        let pairs = [("app", app), ("tier", tier), ("job-name", job)];
        let present = pairs
            .into_iter()
            .filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned())));
        present.collect()
    })
}

pub(crate) fn pod() -> impl Strategy<Value = PodSpecimen> {
    let http = prop::option::of(prop::sample::select(vec![80, 8080]));
    (
        0..NAMESPACES.len(),
        0..3u8,
        0..NODES.len(),
        labels(),
        http,
        families(),
    )
        .prop_map(
            |(namespace, number, node, labels, http, families)| PodSpecimen {
                namespace,
                number,
                node,
                labels,
                http,
                families,
            },
        )
}

/// Pods of a cluster of these families; where it has both, a Pod may have one of them only.
pub(crate) fn pods(cluster: Families) -> impl Strategy<Value = Vec<PodSpecimen>> {
    prop::collection::vec(pod(), 2..8).prop_map(move |pods| {
        let places = pods.into_iter().map(|mut pod| {
            if cluster != Families::Both {
                pod.families = cluster;
            }
            ((pod.namespace, pod.number), pod)
        });
        places.collect::<BTreeMap<_, _>>().into_values().collect()
    })
}

fn selector() -> impl Strategy<Value = LabelSelector> {
    let expression = prop_oneof![
        Just(("app", "In", vec!["a"])),
        Just(("app", "In", vec!["a", "b"])),
        Just(("app", "NotIn", vec!["b"])),
        Just(("tier", "Exists", vec![])),
        Just(("tier", "DoesNotExist", vec![])),
        Just(("job-name", "In", vec!["j"])),
    ]
    .prop_map(|(key, operator, values)| LabelSelectorRequirement {
        key: key.to_owned(),
        operator: operator.to_owned(),
        values: Some(values.into_iter().map(str::to_owned).collect()),
    });
    prop_oneof![
        2 => Just(LabelSelector::default()),
        3 => labels().prop_map(|labels| LabelSelector {
            match_labels: Some(labels),
            match_expressions: None,
        }),
        2 => expression.prop_map(|expression| LabelSelector {
            match_labels: None,
            match_expressions: Some(vec![expression]),
        }),
    ]
}

fn namespace_selector() -> impl Strategy<Value = LabelSelector> {
    let by_name = prop::sample::select(NAMESPACES.to_vec()).prop_map(|name| LabelSelector {
        match_labels: Some(BTreeMap::from([(
            "kubernetes.io/metadata.name".to_owned(),
            name.to_owned(),
        )])),
        match_expressions: None,
    });
    prop_oneof![selector(), by_name]
}

fn peer() -> impl Strategy<Value = NetworkPolicyPeer> {
    let pods = (
        prop::option::of(namespace_selector()),
        prop::option::of(selector()),
    )
        .prop_map(|(namespace_selector, pod_selector)| {
            let empty = namespace_selector.is_none() && pod_selector.is_none();
            NetworkPolicyPeer {
                ip_block: None,
                namespace_selector,
                pod_selector: if empty {
                    Some(LabelSelector::default())
                } else {
                    pod_selector
                },
            }
        });
    let blocks = prop_oneof![
        Just(("10.10.0.0/16", vec![])),
        Just(("10.10.1.0/24", vec!["10.10.1.2/32", "10.10.1.16/28"])),
        Just(("0.0.0.0/0", vec!["10.10.2.0/24"])),
        Just(("203.0.113.0/24", vec![])),
        Just(("fd00:a::/32", vec![])),
        Just(("fd00:a:1::/64", vec!["fd00:a:1::2/128", "fd00:a:1::10/124"])),
        Just(("::/0", vec!["fd00:a:2::/64"])),
        Just(("2001:db8::/32", vec![])),
    ];
    let block = blocks.prop_map(|(cidr, except)| NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.to_owned(),
            except: Some(except.into_iter().map(str::to_owned).collect()),
        }),
        ..NetworkPolicyPeer::default()
    });
    prop_oneof![5 => pods, 1 => block]
}

fn policy_port() -> impl Strategy<Value = NetworkPolicyPort> {
    let protocol = prop::option::of(prop::sample::select(vec!["TCP", "UDP", "SCTP"]));
    let ports = prop_oneof![
        Just((None, None)),
        Just((Some(IntOrString::Int(i32::from(SERVICE_PORT))), None)),
        Just((Some(IntOrString::Int(i32::from(TARGET_PORT))), None)),
        Just((Some(IntOrString::String("http".to_owned())), None)),
        Just((Some(IntOrString::Int(79)), Some(8079))),
        Just((Some(IntOrString::Int(81)), Some(8080))),
    ];
    (protocol, ports).prop_map(|(protocol, (port, end_port))| NetworkPolicyPort {
        protocol: protocol.map(str::to_owned),
        port,
        end_port,
    })
}

fn rule() -> impl Strategy<
    Value = (
        Option<Vec<NetworkPolicyPeer>>,
        Option<Vec<NetworkPolicyPort>>,
    ),
> {
    (
        prop::option::of(prop::collection::vec(peer(), 0..3)),
        prop::option::of(prop::collection::vec(policy_port(), 0..3)),
    )
}

pub(crate) fn policy() -> impl Strategy<Value = NetworkPolicy> {
    let types = prop_oneof![
        Just(None),
        Just(Some(vec!["Ingress"])),
        Just(Some(vec!["Egress"])),
        Just(Some(vec!["Ingress", "Egress"])),
    ];
    let rules = || prop::option::of(prop::collection::vec(rule(), 0..3));
    (
        0..NAMESPACES.len(),
        0..2u8,
        selector(),
        types,
        rules(),
        rules(),
        staged(),
    )
        .prop_map(
            |(namespace, number, pods, types, ingress, egress, staged)| {
                let ingress_rule = |(from, ports)| NetworkPolicyIngressRule { from, ports };
                let egress_rule = |(to, ports)| NetworkPolicyEgressRule { to, ports };
                NetworkPolicy {
                    metadata: ObjectMeta {
                        annotations: staged_annotation(staged),
                        ..named(
                            Some(NAMESPACES[namespace]),
                            &format!("policy-{number}"),
                            &BTreeMap::new(),
                        )
                    },
                    spec: Some(NetworkPolicySpec {
                        pod_selector: Some(pods),
                        policy_types: types.map(|t| t.into_iter().map(str::to_owned).collect()),
                        ingress: ingress.map(|rules| rules.into_iter().map(ingress_rule).collect()),
                        egress: egress.map(|rules| rules.into_iter().map(egress_rule).collect()),
                    }),
                }
            },
        )
}

fn staged() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.2)
}

fn staged_annotation(staged: bool) -> Option<Labels> {
    staged.then(|| Labels::from([(STAGED.to_owned(), "true".to_owned())]))
}

/// Makes a policy staged, or not.
pub(crate) fn stage(policy: &mut NetworkPolicy, staged: bool) {
    policy.metadata.annotations = staged_annotation(staged);
}

/// Makes a policy as written staged, or not.
pub(crate) fn stage_cluster_policy(policy: &mut Value, staged: bool) {
    policy["metadata"]["annotations"] = json!(staged_annotation(staged));
}

/// Whether a policy has the annotation that stages it.
pub(crate) fn is_staged(annotations: Option<&Labels>) -> bool {
    annotations.is_some_and(|all| all.contains_key(STAGED))
}

pub(crate) fn policies() -> impl Strategy<Value = Vec<NetworkPolicy>> {
    prop::collection::vec(policy(), 0..4).prop_map(|policies| {
        let named = policies.into_iter().map(|policy| {
            let ObjectMeta {
                namespace, name, ..
            } = policy.metadata.clone();
            ((namespace, name), policy)
        });
        named.collect::<BTreeMap<_, _>>().into_values().collect()
    })
}

/// A `ClusterNetworkPolicy` as written. Few priorities, so that some are equal.
pub(crate) fn cluster_policy() -> impl Strategy<Value = Value> {
    (
        0..3u8,
        prop::sample::select(vec!["Admin", "Baseline"]),
        prop::sample::select(vec![0, 7, 1000]),
        pods_fields(),
        prop::collection::vec(cluster_rule("from", ingress_peer().boxed()), 0..3),
        prop::collection::vec(cluster_rule("to", egress_peer().boxed()), 0..3),
        staged(),
    )
        .prop_map(
            |(number, tier, priority, subject, ingress, egress, staged)| {
                json!({
                    "metadata": {
                        "name": format!("cluster-{number}"),
                        "annotations": staged_annotation(staged),
                    },
                    "spec": {
                        "tier": tier,
                        "priority": priority,
                        "subject": subject,
                        "ingress": ingress,
                        "egress": egress,
                    },
                })
            },
        )
}

pub(crate) fn cluster_policies() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(cluster_policy(), 0..4).prop_map(|policies| {
        let named = policies.into_iter();
        let named = named.map(|policy| (policy["metadata"]["name"].to_string(), policy));
        named.collect::<BTreeMap<_, _>>().into_values().collect()
    })
}

pub(crate) fn cluster_policy_object(written: &Value) -> Object {
    let object = serde_json::from_value(written.clone()).expect("generated policies are readable");
    Object::ClusterNetworkPolicy(Box::new(object))
}

fn cluster_rule(peers: &'static str, peer: BoxedStrategy<Value>) -> impl Strategy<Value = Value> {
    let protocols = prop::option::of(prop::collection::vec(cluster_protocol(), 1..3));
    (
        prop::sample::select(vec!["Accept", "Deny", "Pass"]),
        prop::collection::vec(peer, 1..3),
        protocols,
    )
        .prop_map(move |(action, list, protocols)| {
            let has = |field: &str| list.iter().any(|peer: &Value| peer.get(field).is_some());
            let mut rule = json!({"action": action, peers: list});
            // Networks and nodes have no named ports.
            let named = !has("networks") && !has("nodes");
            let mut protocols: Vec<Value> = protocols.unwrap_or_default();
            protocols.retain(|one| named || one.get("destinationNamedPort").is_none());
            if !protocols.is_empty() {
                rule["protocols"] = protocols.into();
            }
            rule
        })
}

fn cluster_protocol() -> impl Strategy<Value = Value> {
    let transport = prop::sample::select(vec!["tcp", "udp", "sctp"]);
    let ports = prop::sample::select(vec![
        json!({"number": SERVICE_PORT}),
        json!({"number": TARGET_PORT}),
        json!({"range": {"start": 79, "end": 8079}}),
    ]);
    prop_oneof![
        6 => (transport, ports).prop_map(|(protocol, port)| json!({protocol: {"destinationPort": port}})),
        2 => Just(json!({"destinationNamedPort": "http"})),
        1 => Just(json!({"icmp": {}})),
    ]
}

fn ingress_peer() -> impl Strategy<Value = Value> {
    prop_oneof![
        12 => pods_fields(),
        1 => Just(json!({})),
        1 => Just(json!({"networks": ["0.0.0.0/0"]})),
    ]
}

fn egress_peer() -> impl Strategy<Value = Value> {
    let networks = prop::sample::select(vec![
        "10.10.1.0/24",
        "10.10.0.0/16",
        "203.0.113.0/24",
        "fd00:a::/32",
        "::/0",
    ]);
    prop_oneof![
        12 => pods_fields(),
        4 => networks.prop_map(|network| json!({"networks": [network, "10.10.2.2/32", "fd00:a:2::/64"]})),
        3 => selector().prop_map(|nodes| json!({"nodes": nodes})),
        1 => Just(json!({"domainNames": ["example.com"]})),
    ]
}

fn pods_fields() -> impl Strategy<Value = Value> {
    let pods = (namespace_selector(), selector()).prop_map(|(namespaces, pods)| {
        json!({"pods": {"namespaceSelector": namespaces, "podSelector": pods}})
    });
    prop_oneof![
        namespace_selector().prop_map(|namespaces| json!({"namespaces": namespaces})),
        pods,
    ]
}
