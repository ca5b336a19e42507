// SPDX-License-Identifier: Apache-2.0
//! Nodes: labels, addresses and Pod CIDRs.

use ipnetwork::IpNetwork;
use k8s_openapi::api::core::v1::Node as Object;

use super::{Rejected, meta};
use crate::model::{Addresses, Kind, Labels, Node};

pub(super) fn parse(object: &Object) -> Result<Node, Rejected> {
    let name = meta::key(Kind::Node, &object.metadata)?.name;
    let addresses = object
        .status
        .as_ref()
        .and_then(|status| status.addresses.as_deref());
    let addresses = addresses.unwrap_or_default();
    // "...by matching on the IPs present in the node.Status.Addresses field": names are there, too.
    let texts = addresses.iter().map(|found| found.address.parse());
    let status_addresses = texts.filter_map(Result::ok).collect();
    let internal = addresses
        .iter()
        .filter(|a| a.type_ == "InternalIP")
        .map(|found| meta::address("status.addresses[type=InternalIP].address", &found.address))
        .collect::<Result<Vec<_>, _>>()?;
    let spec = object.spec.as_ref();
    let one = spec.and_then(|spec| spec.pod_cidr.clone());
    let many = spec
        .and_then(|spec| spec.pod_cidrs.clone())
        .unwrap_or_default();
    let texts = if many.is_empty() {
        one.into_iter().collect()
    } else {
        many
    };
    let mut pod_cidrs = Vec::with_capacity(texts.len());
    for text in texts {
        pod_cidrs.push(cidr("spec.podCIDRs", &text)?);
    }
    Ok(Node {
        name: name.to_string(),
        labels: object
            .metadata
            .labels
            .as_ref()
            .map(Labels::from)
            .unwrap_or_default(),
        status_addresses,
        addresses: Addresses::first_of_each(internal),
        pod_cidrs,
    })
}

fn cidr(field: &str, text: &str) -> Result<IpNetwork, Rejected> {
    let parsed = text
        .contains('/')
        .then(|| text.parse::<IpNetwork>().ok())
        .flatten();
    parsed.ok_or_else(|| {
        Rejected::new(
            field,
            format!("{text:?} is not a CIDR; write it as 10.10.1.0/24"),
        )
    })
}
