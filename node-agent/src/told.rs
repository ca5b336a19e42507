// SPDX-License-Identifier: Apache-2.0
//! What the controller tells this node, in `external_ids` of the bridge.
//!
//! A word that cannot be read is left out: the node does what it can, and the rest is the
//! controller's to correct.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnetwork::IpNetwork;
use ovsdb_client::{Replica, RowError};

use crate::config::Config;
use crate::desired;

/// Everything it tells; each part is empty while the controller has not written it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The tunnel addresses of the other nodes, in the controller's order.
    pub peers: Vec<IpAddr>,
    /// The Pod CIDRs of this node.
    pub pod_cidrs: Vec<IpNetwork>,
    /// The Pod CIDRs of the cluster.
    pub cluster_cidrs: Vec<IpNetwork>,
    /// The networks that Services have their cluster addresses from.
    pub service_cidrs: Vec<IpNetwork>,
    /// Addresses of Services outside these networks: of load balancers, and external ones.
    pub service_addresses: BTreeSet<IpAddr>,
    /// The ports of this node that lead to Services.
    pub node_ports: BTreeSet<NodePorts>,
    /// The health checks that this node answers, by port.
    pub health_checks: BTreeMap<u16, HealthCheck>,
}

/// A run of node ports of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodePorts {
    /// Their protocol.
    pub protocol: Protocol,
    /// The first of them.
    pub first: u16,
    /// The last of them.
    pub last: u16,
}

/// The protocols that a Service's port can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// SCTP.
    Sctp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What is answered on the `healthCheckNodePort` of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub name: String,
    /// How many of its endpoints on this node are ready.
    pub local_endpoints: u32,
}

impl Told {
    /// What stands in the database.
    ///
    /// # Errors
    /// If a row has another shape than the schema of Open vSwitch says.
    pub fn read(config: &Config, replica: &Replica) -> Result<Self, RowError> {
        let Some(bridge) = desired::bridge(replica, &config.bridge)? else {
            return Ok(Self::default());
        };
        let text = |key| {
            let text = bridge.map_value("external_ids", key)?;
            Ok::<_, RowError>(text.unwrap_or_default())
        };
        Ok(Self {
            peers: words(text("culvert-peers")?).collect(),
            pod_cidrs: words(text("culvert-pod-cidrs")?).collect(),
            cluster_cidrs: words(text("culvert-cluster-cidrs")?).collect(),
            service_cidrs: words(text("culvert-service-cidrs")?).collect(),
            service_addresses: words(text("culvert-service-addresses")?).collect(),
            node_ports: words(text("culvert-node-ports")?).collect(),
            health_checks: words(text("culvert-health-checks")?)
                .map(|NumberedCheck(port, check)| (port, check))
                .collect(),
        })
    }
}

impl Protocol {
    /// Its name in the words of nftables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sctp => "sctp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text says nothing of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it cannot be read")]
pub struct Unreadable;

fn words<T: FromStr>(text: &str) -> impl Iterator<Item = T> {
    text.split(',').filter_map(|word| word.trim().parse().ok())
}

/// `tcp/30000-30005`, `udp/30053`
impl FromStr for NodePorts {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let (protocol, ports) = text.split_once('/').ok_or(Unreadable)?;
        let protocol = match protocol {
            "sctp" => Protocol::Sctp,
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(Unreadable),
        };
        let ports = run(ports).ok_or(Unreadable)?;
        Ok(Self {
            protocol,
            first: *ports.start(),
            last: *ports.end(),
        })
    }
}

fn run(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first <= last).then_some(first..=last)
}

/// `32000=shop/web=2`
struct NumberedCheck(u16, HealthCheck);

impl FromStr for NumberedCheck {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let read = || {
            let (port, rest) = text.split_once('=')?;
            let (service, local_endpoints) = rest.split_once('=')?;
            let (namespace, name) = service.split_once('/')?;
            let check = HealthCheck {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                local_endpoints: local_endpoints.parse().ok()?,
            };
            let port = port.parse().ok().filter(|port| *port > 0)?;
            (!namespace.is_empty() && !name.is_empty()).then_some(Self(port, check))
        };
        read().ok_or(Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> Vec<(Protocol, u16, u16)> {
        words::<NodePorts>(text)
            .map(|ports| (ports.protocol, ports.first, ports.last))
            .collect()
    }

    #[test]
    fn node_ports_are_single_or_runs_and_of_three_protocols() {
        assert_eq!(
            ports("tcp/30000-30005,udp/30053, sctp/30100"),
            [
                (Protocol::Tcp, 30000, 30005),
                (Protocol::Udp, 30053, 30053),
                (Protocol::Sctp, 30100, 30100)
            ]
        );
    }

    #[test]
    fn what_is_no_node_port_is_left_out() {
        let wrong = "tcp,tcp/,tcp/0,tcp/70000,tcp/9-8,icmp/1,tcp/1-2-3,udp/5";
        assert_eq!(ports(wrong), [(Protocol::Udp, 5, 5)]);
        assert_eq!(ports(""), []);
    }

    #[test]
    fn a_health_check_names_port_service_and_endpoints() {
        let text = "32000=shop/web=2,32001=shop/api=0,0=a/b=1,x=a/b=1,1=a=1,2=/b=1,3=a/b=-1,4=a/b";
        let checks: Vec<_> = words::<NumberedCheck>(text)
            .map(|NumberedCheck(port, check)| {
                let HealthCheck {
                    namespace,
                    name,
                    local_endpoints,
                } = check;
                format!("{port} {namespace} {name} {local_endpoints}")
            })
            .collect();
        assert_eq!(checks, ["32000 shop web 2", "32001 shop api 0"]);
    }
}
