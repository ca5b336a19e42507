// SPDX-License-Identifier: Apache-2.0
//! The few Kubernetes words the demo reads from its own YAML.
//!
//! Policies are read strictly: a field this reading does not know would make its verdicts wrong, so
//! it is an error. Written apart from the product, as a second opinion.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use ipnetwork::IpNetwork;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{PodId, Protocol};

/// Everything a directory of manifests says.
#[derive(Debug, Default)]
pub struct Objects {
    /// Node name to its InternalIP.
    pub nodes: BTreeMap<String, IpAddr>,
    /// Namespace name to its labels.
    pub namespaces: BTreeMap<String, Labels>,
    /// Pods by name.
    pub pods: BTreeMap<PodId, Pod>,
    /// Services by `NAMESPACE/NAME`.
    pub services: BTreeMap<PodId, ServiceSpec>,
    /// NetworkPolicies by `NAMESPACE/NAME`.
    pub policies: BTreeMap<PodId, PolicySpec>,
}

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// What counts of a Pod.
#[derive(Debug)]
pub struct Pod {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `spec.nodeName`.
    pub node: String,
    /// Named container ports.
    pub ports: Vec<ContainerPort>,
}

/// A container's port.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// Its name, which policies and Services may use for the number.
    #[serde(default)]
    pub name: String,
    /// Its number.
    pub container_port: u16,
    /// TCP unless told.
    #[serde(default)]
    pub protocol: ProtocolName,
}

/// What counts of a Service.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// Its virtual addresses, at most one of each family.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<IpAddr>,
    /// Labels of its Pods.
    pub selector: Labels,
    /// Its ports.
    pub ports: Vec<ServicePort>,
}

/// A port of a Service.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// TCP unless told.
    #[serde(default)]
    pub protocol: ProtocolName,
    /// Port of the virtual address.
    pub port: u16,
    /// Port of the Pods; the same unless told.
    pub target_port: Option<Port>,
}

/// `NetworkPolicy.spec`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySpec {
    /// Pods of the policy's namespace it applies to.
    #[serde(default)]
    pub pod_selector: Selector,
    /// Directions it isolates.
    pub policy_types: Option<Vec<PolicyType>>,
    /// What may come in.
    #[serde(default)]
    pub ingress: Vec<IngressRule>,
    /// What may go out.
    #[serde(default)]
    pub egress: Vec<EgressRule>,
}

/// A direction.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum PolicyType {
    /// To the Pod.
    Ingress,
    /// From the Pod.
    Egress,
}

/// One way in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngressRule {
    /// From whom; anybody when empty.
    #[serde(default)]
    pub from: Vec<Peer>,
    /// To which ports; any when empty.
    #[serde(default)]
    pub ports: Vec<PolicyPort>,
}

/// One way out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressRule {
    /// To whom; anybody when empty.
    #[serde(default)]
    pub to: Vec<Peer>,
    /// To which ports; any when empty.
    #[serde(default)]
    pub ports: Vec<PolicyPort>,
}

/// The other end of a connection.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Peer {
    /// Pods, of the policy's namespace unless `namespace_selector` says which.
    pub pod_selector: Option<Selector>,
    /// Namespaces.
    pub namespace_selector: Option<Selector>,
    /// Addresses.
    pub ip_block: Option<IpBlock>,
}

/// A range of addresses with holes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IpBlock {
    /// The range.
    pub cidr: IpNetwork,
    /// The holes.
    #[serde(default)]
    pub except: Vec<IpNetwork>,
}

/// A port of a policy's rule.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyPort {
    /// TCP unless told.
    #[serde(default)]
    pub protocol: ProtocolName,
    /// Any when absent.
    pub port: Option<Port>,
    /// The last port of a range that starts at `port`.
    pub end_port: Option<u16>,
}

/// A port by number, or by the name the destination Pod gives it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Port {
    /// The number.
    Number(u16),
    /// The name.
    Name(String),
}

/// A protocol as Kubernetes spells it.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum ProtocolName {
    /// Transmission Control Protocol.
    #[default]
    Tcp,
    /// User Datagram Protocol.
    Udp,
    /// Stream Control Transmission Protocol, which the demo does not probe.
    Sctp,
}

impl PartialEq<Protocol> for ProtocolName {
    fn eq(&self, other: &Protocol) -> bool {
        matches!(
            (self, other),
            (Self::Tcp, Protocol::Tcp) | (Self::Udp, Protocol::Udp)
        )
    }
}

/// A label selector; empty selects everything.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selector {
    /// Labels that must be there with these values.
    #[serde(default)]
    pub match_labels: Labels,
    /// Further conditions, all of which must hold.
    #[serde(default)]
    pub match_expressions: Vec<Requirement>,
}

/// One condition of a selector.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// What must hold of it.
    pub operator: Operator,
    /// Values for `In` and `NotIn`.
    #[serde(default)]
    pub values: Vec<String>,
}

/// What must hold of a label.
#[derive(Clone, Copy, Debug, Deserialize)]
pub enum Operator {
    /// The label has one of the values.
    In,
    /// The label has none of the values, or is absent.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
}

impl Objects {
    /// Reads every `*.yaml` directly in `dir`.
    pub fn read(dir: &Path) -> Result<Self> {
        let mut objects = Self::default();
        for path in manifests(dir)? {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            for document in serde_yaml_ng::Deserializer::from_str(&text) {
                Value::deserialize(document)
                    .map_err(anyhow::Error::from)
                    .and_then(|value| objects.insert(value))
                    .with_context(|| format!("cannot understand {}", path.display()))?;
            }
        }
        Ok(objects)
    }

    fn insert(&mut self, value: Value) -> Result<()> {
        if value.is_null() {
            return Ok(());
        }
        let Header { kind, metadata } = from(&value)?;
        let id = PodId::new(&metadata.namespace, &metadata.name);
        let what = format!("{kind} {}", metadata.name);
        match kind.as_str() {
            "Node" => {
                let NodeStatus { addresses } = part(&value, "status").context(what.clone())?;
                let address = addresses
                    .iter()
                    .find(|address| address.kind == "InternalIP")
                    .with_context(|| format!("{what} has no InternalIP"))?;
                self.nodes.insert(metadata.name, address.address);
            }
            "Namespace" => {
                self.namespaces.insert(metadata.name, metadata.labels);
            }
            "Pod" => {
                let spec: PodSpec = part(&value, "spec").context(what.clone())?;
                ensure!(
                    !spec.host_network,
                    "{what} is on the host network, which cannot be probed"
                );
                ensure!(!metadata.uid.is_empty(), "{what} has no uid");
                let pod = Pod {
                    uid: metadata.uid,
                    labels: metadata.labels,
                    node: spec.node_name,
                    ports: spec
                        .containers
                        .into_iter()
                        .flat_map(|part| part.ports)
                        .collect(),
                };
                self.pods.insert(id, pod);
            }
            "Service" => {
                self.services
                    .insert(id, part(&value, "spec").context(what)?);
            }
            "NetworkPolicy" => {
                self.policies
                    .insert(id, part(&value, "spec").context(what)?);
            }
            _ => {}
        }
        Ok(())
    }
}

/// The YAML files directly in a directory, in order of their names.
pub fn manifests(dir: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries =
        std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "no *.yaml in {}", dir.display());
    Ok(files)
}

type Value = serde_yaml_ng::Value;

#[derive(Deserialize)]
struct Header {
    kind: String,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    labels: Labels,
}

#[derive(Deserialize)]
struct NodeStatus {
    addresses: Vec<NodeAddress>,
}

#[derive(Deserialize)]
struct NodeAddress {
    #[serde(rename = "type")]
    kind: String,
    address: IpAddr,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    node_name: String,
    #[serde(default)]
    host_network: bool,
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    #[serde(default)]
    ports: Vec<ContainerPort>,
}

fn from<T: DeserializeOwned>(value: &Value) -> Result<T> {
    Ok(serde_yaml_ng::from_value(value.clone())?)
}

fn part<T: DeserializeOwned>(value: &Value, key: &str) -> Result<T> {
    from(value.get(key).with_context(|| format!("it has no {key}"))?)
}
