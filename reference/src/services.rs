// SPDX-License-Identifier: Apache-2.0
//! A naive reading of what Services do with a connection, field by field, from the objects as written.

mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use crate::within;

pub use scene::{CLIENT, Client, Place, Row, Scene, scenes};

/// What Services look like from the outside of their objects.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Every node.
    pub nodes: Vec<SiteNode>,
    /// Where cluster addresses come from.
    pub service_cidrs: Vec<String>,
    /// Whether `spec.externalIPs` counts.
    pub external_ips: bool,
}

/// A node, as far as Services ask.
#[derive(Clone, Debug)]
pub struct SiteNode {
    /// Name.
    pub name: String,
    /// The label `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
}

/// Who opens a connection, as the node sees it where the connection enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A Pod of this node.
    Pod,
    /// The node itself.
    Node,
    /// Anybody else: a client outside, another node.
    Elsewhere,
}

/// A connection that is to be opened.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Who opens it.
    pub sender: Sender,
    /// From which address.
    pub source: IpAddr,
    /// On which node it enters.
    pub enters: String,
    /// Address and port that the client uses.
    pub destination: SocketAddr,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Treatment {
    /// It is no Service's: it goes where it is addressed to.
    Ordinary,
    /// It is dropped.
    Dropped,
    /// It is refused: TCP reset, or ICMP unreachable.
    Rejected,
    /// It goes to one of these endpoints, each with whether the client's address is masqueraded.
    Sent(BTreeMap<SocketAddr, bool>),
}

/// What Services do with a connection.
pub fn treat(
    site: &Site,
    services: &[Service],
    slices: &[EndpointSlice],
    attempt: &Attempt,
) -> Treatment {
    let mut is_cluster_address = false;
    for service in services.iter().filter(|service| is_ours(service)) {
        let spec = service
            .spec
            .as_ref()
            .expect("generated Services have a spec");
        let address = attempt.destination.ip();
        is_cluster_address |= cluster_addresses(spec).contains(&address);
        for port in spec.ports.iter().flatten() {
            let Some(frontend) = frontend(site, service, spec, port, attempt) else {
                continue;
            };
            let endpoints = endpoints(site, service, port, slices, attempt);
            return through(site, spec, &frontend, &endpoints, attempt);
        }
    }
    let address = attempt.destination.ip();
    let allocatable = site.service_cidrs.iter().any(|cidr| within(cidr, address));
    match (is_cluster_address, allocatable) {
        // "Undefined ClusterIP port: REJECT."
        (true, _) => Treatment::Rejected,
        // "Unallocated ServiceCIDR IP: DROP."
        (false, true) => Treatment::Dropped,
        (false, false) => Treatment::Ordinary,
    }
}

/// By what kind of address and port a connection comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frontend {
    Cluster,
    NodePort,
    LoadBalancer,
    External,
}

/// Whether the Service is one that a proxy serves.
fn is_ours(service: &Service) -> bool {
    let label = |key: &str| {
        let labels = service.metadata.labels.as_ref();
        labels.is_some_and(|labels| labels.contains_key(key))
    };
    let spec = service
        .spec
        .as_ref()
        .expect("generated Services have a spec");
    // "`service.kubernetes.io/headless` and `service.kubernetes.io/service-proxy-name`: skipped."
    !label("service.kubernetes.io/service-proxy-name")
        && !label("service.kubernetes.io/headless")
        && spec.type_.as_deref() != Some("ExternalName")
        // "clusterIP: None" is headless: whoever asks gets the endpoints' addresses from DNS.
        && !cluster_addresses(spec).is_empty()
}

fn cluster_addresses(spec: &ServiceSpec) -> Vec<IpAddr> {
    let texts = spec.cluster_ips.iter().flatten();
    texts.filter_map(|text| text.parse().ok()).collect()
}

/// By what this port of the Service is addressed, if it is.
fn frontend(
    site: &Site,
    service: &Service,
    spec: &ServiceSpec,
    port: &ServicePort,
    attempt: &Attempt,
) -> Option<Frontend> {
    // "TCP/UDP/SCTP on same port distinct."
    if port.protocol.as_deref().unwrap_or("TCP") != attempt.protocol {
        return None;
    }
    let (address, number) = (
        attempt.destination.ip(),
        i32::from(attempt.destination.port()),
    );
    let has_family = cluster_addresses(spec)
        .iter()
        .any(|own| own.is_ipv4() == address.is_ipv4());
    // "Per-family frontends."
    if !has_family {
        return None;
    }
    let is_node = site
        .nodes
        .iter()
        .any(|node| node.addresses.contains(&address));
    if is_node && port.node_port == Some(number) {
        return Some(Frontend::NodePort);
    }
    if port.port != number {
        return None;
    }
    if cluster_addresses(spec).contains(&address) {
        return Some(Frontend::Cluster);
    }
    let status = service.status.as_ref();
    let ingress = status
        .and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref())
        .into_iter()
        .flatten();
    // "Program only VIP", and an address without a mode is one.
    let mut vips = ingress
        .filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"))
        .filter_map(|ingress| ingress.ip.as_ref()?.parse::<IpAddr>().ok());
    if vips.any(|vip| vip == address) {
        return Some(Frontend::LoadBalancer);
    }
    let mut external = spec.external_ips.iter().flatten();
    // "Behind gate AllowServiceExternalIPs."
    let is_external = site.external_ips && external.any(|text| text.parse() == Ok(address));
    is_external.then_some(Frontend::External)
}

/// The endpoints of one port, seen from the node where a connection enters.
struct Endpoints {
    /// For everybody.
    cluster: BTreeSet<SocketAddr>,
    /// Of the node itself.
    local: BTreeSet<SocketAddr>,
}

fn endpoints(
    site: &Site,
    service: &Service,
    port: &ServicePort,
    slices: &[EndpointSlice],
    attempt: &Attempt,
) -> Endpoints {
    let mut all: Vec<(&Endpoint, SocketAddr)> = Vec::new();
    for slice in slices {
        let labels = slice.metadata.labels.iter().flatten();
        let mut owners = labels.filter(|(key, _)| *key == "kubernetes.io/service-name");
        let is_of_service = slice.metadata.namespace == service.metadata.namespace
            && owners.any(|(_, name)| Some(name) == service.metadata.name.as_ref());
        let family = if attempt.destination.is_ipv4() {
            "IPv4"
        } else {
            "IPv6"
        };
        // "Per-family slices."
        if !is_of_service || slice.address_type != family {
            continue;
        }
        let name = port.name.as_deref().unwrap_or_default();
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let numbers = slice.ports.iter().flatten().filter(|found| {
            found.name.as_deref().unwrap_or_default() == name
                && found.protocol.as_deref().unwrap_or("TCP") == protocol
        });
        for number in numbers.filter_map(|found| found.port) {
            let number = u16::try_from(number).expect("generated ports are ports");
            for endpoint in slice.endpoints.iter().flatten() {
                let first = endpoint.addresses.first().expect("generated addresses");
                let address: IpAddr = first.parse().expect("generated addresses");
                all.push((endpoint, SocketAddr::new(address, number)));
            }
        }
    }
    let node = site.nodes.iter().find(|node| node.name == attempt.enters);
    let zone = node.and_then(|node| node.zone.as_deref());
    let is_local = |endpoint: &Endpoint| endpoint.node_name.as_ref() == Some(&attempt.enters);
    let local: Vec<_> = all
        .iter()
        .copied()
        .filter(|(endpoint, _)| is_local(endpoint))
        .collect();
    let near = by_topology(&all, &attempt.enters, zone);
    Endpoints {
        cluster: usable(&near, &all),
        local: usable(&local, &local),
    }
}

/// Those of `preferred` that are ready; without any, those of `all` that end but still serve.
fn usable(
    preferred: &[(&Endpoint, SocketAddr)],
    all: &[(&Endpoint, SocketAddr)],
) -> BTreeSet<SocketAddr> {
    let ready = preferred.iter().filter(|(endpoint, _)| is_ready(endpoint));
    let ready: BTreeSet<_> = ready.map(|(_, address)| *address).collect();
    if !ready.is_empty() {
        return ready;
    }
    // "Fallback to serving+terminating if no ready, independently for Cluster and Local sets."
    let ending = all.iter().filter(|(endpoint, _)| {
        let Some(conditions) = &endpoint.conditions else {
            return false;
        };
        conditions.terminating == Some(true) && conditions.serving != Some(false)
    });
    ending.map(|(_, address)| *address).collect()
}

/// "A nil value should be interpreted as true."
fn is_ready(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.as_ref();
    conditions.and_then(|conditions| conditions.ready) != Some(false)
}

/// "Node hints used iff ALL ready eps have node hints and one is for me; else zone likewise; else all."
fn by_topology<'a>(
    all: &[(&'a Endpoint, SocketAddr)],
    node: &str,
    zone: Option<&str>,
) -> Vec<(&'a Endpoint, SocketAddr)> {
    let for_nodes = |endpoint: &Endpoint| -> Vec<String> {
        let hints = endpoint.hints.iter();
        let nodes = hints.flat_map(|hints| hints.for_nodes.iter().flatten());
        nodes.map(|node| node.name.clone()).collect()
    };
    let for_zones = |endpoint: &Endpoint| -> Vec<String> {
        let hints = endpoint.hints.iter();
        let zones = hints.flat_map(|hints| hints.for_zones.iter().flatten());
        zones.map(|zone| zone.name.clone()).collect()
    };
    let by = |hints: &dyn Fn(&Endpoint) -> Vec<String>, mine: &str| {
        let mut ready = all.iter().filter(|(endpoint, _)| is_ready(endpoint));
        let all_have = ready
            .clone()
            .all(|(endpoint, _)| !hints(endpoint).is_empty());
        let is_mine = |endpoint: &Endpoint| hints(endpoint).iter().any(|hint| hint == mine);
        let one_is_mine = ready.any(|(endpoint, _)| is_mine(endpoint));
        let mine = all
            .iter()
            .copied()
            .filter(|(endpoint, _)| is_mine(endpoint));
        (all_have && one_is_mine).then(|| mine.collect())
    };
    by(&for_nodes, node)
        .or_else(|| by(&for_zones, zone?))
        .unwrap_or_else(|| all.to_vec())
}

/// What a frontend does with a connection, given the endpoints.
fn through(
    site: &Site,
    spec: &ServiceSpec,
    frontend: &Frontend,
    endpoints: &Endpoints,
    attempt: &Attempt,
) -> Treatment {
    if *frontend == Frontend::LoadBalancer && !in_source_ranges(spec, attempt.source) {
        return Treatment::Dropped;
    }
    let is_local = |policy: &Option<String>| policy.as_deref() == Some("Local");
    let (only_local, masqueraded) = match (frontend, attempt.sender) {
        // "pod->ClusterIP no; node->ClusterIP yes; external->ClusterIP yes." "iTP=Local affects only
        // ClusterIP and never masquerading."
        (Frontend::Cluster, sender) => (
            is_local(&spec.internal_traffic_policy),
            sender != Sender::Pod,
        ),
        // "anyone->NodePort/LB (eTP=Cluster) yes."
        (_, _) if !is_local(&spec.external_traffic_policy) => (false, true),
        // "eTP=Local: pod->NodePort/LB no (all eps), external->NodePort/LB no (local eps),
        // node/localhost->NodePort/LB yes (all eps)."
        (_, Sender::Pod) => (false, false),
        (_, Sender::Elsewhere) => (true, false),
        (_, Sender::Node) => (false, true),
    };
    let set = if only_local {
        &endpoints.local
    } else {
        &endpoints.cluster
    };
    if set.is_empty() {
        // "Local with no local ep but remote ones -> DROP; none anywhere -> REJECT."
        return if endpoints.cluster.is_empty() {
            Treatment::Rejected
        } else {
            Treatment::Dropped
        };
    }
    // Culvert, not kube-proxy: what a node's kernel sends to a node would be answered past the switch.
    let nodes = site.nodes.iter().flat_map(|node| &node.addresses);
    let is_node = |address: IpAddr| nodes.clone().any(|own| *own == address);
    // "Pod to self via service works (SNAT)."
    let to = |endpoint: &SocketAddr| {
        let by_kernel = attempt.sender != Sender::Pod && is_node(endpoint.ip());
        let itself = endpoint.ip() == attempt.source;
        (*endpoint, masqueraded || by_kernel || itself)
    };
    Treatment::Sent(set.iter().map(to).collect())
}

/// "On LB IPs only, before DNAT, applies to pods too; family filtered; trim spaces; 0/0 = allow any."
fn in_source_ranges(spec: &ServiceSpec, source: IpAddr) -> bool {
    let ranges = spec.load_balancer_source_ranges.iter().flatten();
    let mut of_family = ranges
        .map(|range| range.trim())
        .filter(|range| range.contains(':') != source.is_ipv4())
        .peekable();
    of_family.peek().is_none() || of_family.any(|range| within(range, source))
}
