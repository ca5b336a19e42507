// SPDX-License-Identifier: Apache-2.0
//! What the nodes' own kernels must know of Services.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::{ObjectKey, Protocol};

/// Everything that is not in flows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeServices {
    /// Where cluster addresses come from.
    pub cidrs: BTreeSet<IpNetwork>,
    /// Addresses of load balancers, and external ones.
    pub addresses: BTreeSet<IpAddr>,
    /// Ports of every node that lead to a Service.
    pub node_ports: BTreeSet<(Protocol, u16)>,
    /// `healthCheckNodePort`: whose it is. Of two Services with the same, the first by name has it.
    pub health_checks: BTreeMap<u16, ObjectKey>,
}
