// SPDX-License-Identifier: Apache-2.0
//! Pods: labels, node, named ports.

use k8s_openapi::api::core::v1::Pod as Object;

use super::{Rejected, meta};
use crate::model::{Addresses, Kind, Labels, Name, Pod};

pub(super) fn parse(object: &Object) -> Result<Pod, Rejected> {
    let key = meta::key(Kind::Pod, &object.metadata)?;
    let spec = object.spec.as_ref();
    let phase = object
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let mut named_ports = Vec::new();
    for (index, container) in spec
        .map(|s| s.containers.as_slice())
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        for port in container.ports.as_deref().unwrap_or_default() {
            let Some(name) = port.name.clone() else {
                continue;
            };
            let field = format!("spec.containers[{index}].ports[name={name}]");
            let protocol = meta::protocol(&field, port.protocol.as_deref())?;
            named_ports.push((
                name.into(),
                protocol,
                meta::port(&field, port.container_port)?,
            ));
        }
    }
    Ok(Pod {
        namespace: key.namespace,
        name: key.name,
        uid: object.metadata.uid.as_ref().map(Name::from),
        node: spec
            .and_then(|s| s.node_name.as_ref())
            .filter(|name| !name.is_empty())
            .map(Name::from),
        labels: object
            .metadata
            .labels
            .as_ref()
            .map(Labels::from)
            .unwrap_or_default(),
        host_network: spec.and_then(|s| s.host_network).unwrap_or(false),
        finished: matches!(phase, Some("Succeeded" | "Failed")),
        ready: ready(object),
        terminating: object.metadata.deletion_timestamp.is_some(),
        addresses: addresses(object),
        named_ports: named_ports.into(),
    })
}

fn ready(object: &Object) -> bool {
    let conditions = object
        .status
        .as_ref()
        .map(|status| status.conditions.iter());
    let mut conditions = conditions.into_iter().flatten().flatten();
    let condition = conditions.find(|condition| condition.type_ == "Ready");
    condition.is_none_or(|condition| condition.status == "True")
}

/// Addresses that cannot be read are left out: they only help to answer questions.
fn addresses(object: &Object) -> Option<Addresses> {
    let status = object.status.as_ref()?;
    let one = status.pod_ip.iter();
    let all = status.pod_ips.iter().flatten().map(|found| &found.ip);
    Addresses::first_of_each(one.chain(all).filter_map(|text| text.parse().ok()))
}
