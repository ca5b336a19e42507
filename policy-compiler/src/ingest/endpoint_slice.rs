// SPDX-License-Identifier: Apache-2.0
//! `EndpointSlices`: ready addresses and ports of a Service.

use k8s_openapi::api::discovery::v1::EndpointSlice as Object;

use super::{Rejected, meta};
use crate::model::{EndpointSlice, Family, Kind};

const SERVICE_NAME: &str = "kubernetes.io/service-name";

pub(super) fn parse(object: &Object) -> Result<EndpointSlice, Rejected> {
    let key = meta::key(Kind::EndpointSlice, &object.metadata)?;
    let labels = object.metadata.labels.as_ref();
    let Some(service) = labels.and_then(|labels| labels.get(SERVICE_NAME)).cloned() else {
        return Err(Rejected::new(
            format!("metadata.labels[{SERVICE_NAME}]"),
            "is missing, so the slice belongs to no Service",
        ));
    };
    let mut ports = Vec::new();
    for (index, port) in object.ports.iter().flatten().enumerate() {
        let field = format!("ports[{index}]");
        // "If ports is not set, or a port is nil, the slice has no port that we could send to."
        let Some(number) = port.port else {
            continue;
        };
        let protocol = meta::protocol(&field, port.protocol.as_deref())?;
        ports.push((
            port.name.clone().unwrap_or_default(),
            protocol,
            meta::port(&field, number)?,
        ));
    }
    let mut ready = Vec::new();
    for (index, endpoint) in object.endpoints.iter().flatten().enumerate() {
        // "A nil value should be interpreted as true."
        let is_ready = endpoint
            .conditions
            .as_ref()
            .and_then(|c| c.ready)
            .unwrap_or(true);
        for text in endpoint
            .addresses
            .iter()
            .filter(|_| is_ready && object.address_type != "FQDN")
        {
            let field = format!("endpoints[{index}].addresses");
            let address = meta::address(&field, text)?;
            let (found, said) = (Family::of(address), &object.address_type);
            if *said != found.to_string() {
                return Err(Rejected::new(
                    field,
                    format!("{address} is {found}, but addressType is {said:?}"),
                ));
            }
            ready.push(address);
        }
    }
    Ok(EndpointSlice {
        namespace: key.namespace,
        name: key.name,
        service: service.into(),
        ports,
        ready,
    })
}
