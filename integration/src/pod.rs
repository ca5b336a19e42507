// SPDX-License-Identifier: Apache-2.0
//! Pods: namespaces wired by the real CNI plugin, called as a container runtime calls it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Output};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};

use crate::{Netns, Node, Testbed, command, registry};

/// Longest time a CNI call may take before it counts as stuck.
const CNI_LIMIT: Duration = Duration::from_secs(40);

/// `NAMESPACE/NAME` of a Pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodId {
    /// Kubernetes Namespace.
    pub namespace: String,
    /// Pod name.
    pub name: String,
}

impl PodId {
    /// An id of its two parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for PodId {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok(Self::new(namespace, name))
            }
            _ => bail!("`{text}` is not NAMESPACE/NAME of a Pod"),
        }
    }
}

/// A Pod's namespace before CNI has wired it: what a runtime calls the sandbox.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// The Pod it is for.
    pub id: PodId,
    /// The Pod's UID.
    pub uid: String,
    /// The runtime's id of the container.
    pub container_id: String,
    /// The Pod's network namespace.
    pub netns: Netns,
}

impl Sandbox {
    /// Creates the namespace `culvert-BED-pod-NAMESPACE-NAME`.
    pub fn create(bed: &Testbed, id: PodId, uid: &str) -> Result<Self> {
        let part = format!("pod-{}-{}", id.namespace, id.name);
        let netns = Netns::create(&registry::netns_name(bed.name(), &part))?;
        let container_id = format!("{}-{uid}", bed.name());
        Ok(Self {
            id,
            uid: uid.to_owned(),
            container_id,
            netns,
        })
    }

    /// Calls the CNI plugin inside `node` with `verb` (`ADD`, `DEL`, `CHECK`) and the network
    /// configuration `config`, and answers whatever it said.
    pub fn call(&self, node: &Node, verb: &str, config: &Value) -> Result<Output> {
        let args = format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_UID={};\
             K8S_POD_INFRA_CONTAINER_ID={}",
            self.id.namespace, self.id.name, self.uid, self.container_id
        );
        let mut plugin = plugin(verb)?;
        plugin
            .env("CNI_CONTAINERID", &self.container_id)
            .env("CNI_NETNS", self.netns.path())
            .env("CNI_IFNAME", "eth0")
            .env("CNI_ARGS", args);
        feed_config(plugin, node, config)
    }

    /// ADD: wires the Pod and answers it with the addresses the plugin gave.
    pub fn wire(self, node: &Node) -> Result<Pod> {
        let start = Instant::now();
        let output = self.call(node, "ADD", &config(node))?;
        let took = start.elapsed();
        let result = answer(&output).with_context(|| format!("CNI ADD of {}", self.id))?;
        let (address, addresses) =
            addresses(&result).with_context(|| format!("CNI ADD of {}", self.id))?;
        Ok(Pod {
            sandbox: self,
            node: node.name(),
            address,
            addresses,
            result,
            took,
        })
    }

    /// DEL: unwires the Pod; the namespace stays.
    pub fn unwire(&self, node: &Node) -> Result<()> {
        let output = self.call(node, "DEL", &config(node))?;
        if output.status.success() {
            return Ok(());
        }
        answer(&output)
            .map(drop)
            .with_context(|| format!("CNI DEL of {}", self.id))
    }
}

/// A Pod that CNI has wired.
#[derive(Clone, Debug)]
pub struct Pod {
    sandbox: Sandbox,
    /// Kubernetes name of the node it is on.
    pub node: String,
    /// The first address CNI gave it.
    pub address: IpAddr,
    /// All of them.
    pub addresses: Vec<IpAddr>,
    /// The whole CNI result.
    pub result: Value,
    /// How long ADD took.
    pub took: Duration,
}

impl Pod {
    /// The Pod's name.
    pub fn id(&self) -> &PodId {
        &self.sandbox.id
    }

    /// The Pod's namespace.
    pub fn netns(&self) -> &Netns {
        &self.sandbox.netns
    }

    /// Its IPv4 address.
    pub fn ipv4(&self) -> Result<Ipv4Addr> {
        let v4 = self.addresses.iter().find_map(|address| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        });
        v4.with_context(|| format!("{} has no IPv4 address", self.id()))
    }

    /// The runtime's view of the Pod.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// DEL, then removes the namespace.
    pub fn remove(self, node: &Node) -> Result<()> {
        self.sandbox.unwire(node)?;
        self.sandbox.netns.delete()
    }
}

/// STATUS: fails, saying why, while the node could not take a Pod.
pub fn status(node: &Node) -> Result<()> {
    let output = feed_config(plugin("STATUS")?, node, &config(node))?;
    if output.status.success() {
        return Ok(());
    }
    answer(&output)
        .map(drop)
        .with_context(|| format!("CNI STATUS of {}", node.name()))
}

/// The network configuration of a node's runtime.
pub fn config(node: &Node) -> Value {
    json!({
        "cniVersion": "1.1.0",
        "name": "culvert",
        "type": "culvert-cni",
        "ovsdb": node.db(),
        "bridge": "br-int",
    })
}

fn plugin(verb: &str) -> Result<Command> {
    let path = command::culvert_binary("culvert-cni")?;
    let folder = path.parent().context("the plugin has no folder")?;
    let mut plugin = command::bounded(&path, CNI_LIMIT);
    plugin.env("CNI_COMMAND", verb).env("CNI_PATH", folder);
    Ok(plugin)
}

fn feed_config(plugin: Command, node: &Node, config: &Value) -> Result<Output> {
    let config = serde_json::to_vec(config)?;
    node.netns().enter(|| command::feed(plugin, &config))?
}

/// The CNI result, or the CNI error as an error.
fn answer(output: &Output) -> Result<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let parsed: Result<Value, _> = serde_json::from_str(&text);
    if output.status.success() {
        return parsed.with_context(|| format!("the plugin's result is not JSON: {text}"));
    }
    match parsed {
        Ok(error) => Err(anyhow!(
            "code {}: {} {}",
            error["code"],
            error["msg"].as_str().unwrap_or_default(),
            error["details"].as_str().unwrap_or_default()
        )),
        Err(_) if output.status.code() == Some(124) => {
            Err(anyhow!("no answer within {CNI_LIMIT:?}; {}", stderr.trim()))
        }
        Err(_) => Err(anyhow!(
            "{}: {} {}",
            output.status,
            text.trim(),
            stderr.trim()
        )),
    }
}

/// The first address of a CNI result, and all of them.
fn addresses(result: &Value) -> Result<(IpAddr, Vec<IpAddr>)> {
    let ips = result["ips"]
        .as_array()
        .context("the CNI result has no ips")?;
    let addresses: Vec<IpAddr> = ips.iter().map(address).collect::<Result<_>>()?;
    let first = addresses.first().context("the CNI result has no ips")?;
    Ok((*first, addresses))
}

fn address(ip: &Value) -> Result<IpAddr> {
    let text = ip["address"]
        .as_str()
        .context("an ip of the CNI result has no address")?;
    let (address, length) = text
        .split_once('/')
        .context("the address has no prefix length")?;
    let address: IpAddr = address
        .parse()
        .with_context(|| format!("`{address}` is not an IP address"))?;
    if length != if address.is_ipv4() { "32" } else { "128" } {
        bail!("the address {text} is more than one address");
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_a_cni_result_are_read() {
        let result = json!({"ips": [{"address": "10.10.1.2/32"}, {"address": "fd00:10:1::2/128"}]});
        let (first, all) = addresses(&result).unwrap();
        assert_eq!((first.to_string().as_str(), all.len()), ("10.10.1.2", 2));
        assert!(addresses(&json!({"ips": []})).is_err());
        assert!(addresses(&json!({"ips": [{"address": "10.10.1.2/24"}]})).is_err());
    }
}
