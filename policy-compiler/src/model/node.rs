// SPDX-License-Identifier: Apache-2.0
//! A node: where Pods run.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

/// A Kubernetes Node as the pipeline needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Name.
    pub name: String,
    /// Tunnel endpoint: the first `InternalIP` of `status.addresses`, if there is one yet.
    pub address: Option<IpAddr>,
    /// `spec.podCIDRs`, or `spec.podCIDR` alone.
    pub pod_cidrs: Vec<IpNetwork>,
}
