// SPDX-License-Identifier: Apache-2.0
//! Services: cluster addresses, ports, selector.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Service as Object, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Rejected, meta};
use crate::model::{
    Addresses, Family, Kind, Operator, Requirement, Selector, Service, ServicePort, TargetPort,
};

pub(super) fn parse(object: &Object) -> Result<Service, Rejected> {
    let key = meta::key(Kind::Service, &object.metadata)?;
    let Some(spec) = object.spec.as_ref() else {
        return Err(Rejected::new("spec", "is missing"));
    };
    let external_name = spec.type_.as_deref() == Some("ExternalName");
    let one = spec.cluster_ip.clone().into_iter().collect();
    let texts = spec
        .cluster_ips
        .clone()
        .filter(|texts| !texts.is_empty())
        .unwrap_or(one);
    let mut cluster_ips = Vec::with_capacity(texts.len());
    for text in texts
        .iter()
        .filter(|text| !external_name && !text.is_empty() && *text != "None")
    {
        cluster_ips.push(meta::address("spec.clusterIPs", text)?);
    }
    let cluster_ips = families(spec, &cluster_ips)?;
    let mut ports = Vec::new();
    for (index, port) in spec.ports.iter().flatten().enumerate() {
        let field = format!("spec.ports[{index}]");
        let number = meta::port(&format!("{field}.port"), port.port)?;
        ports.push(ServicePort {
            name: port.name.clone().unwrap_or_default(),
            protocol: meta::protocol(&format!("{field}.protocol"), port.protocol.as_deref())?,
            port: number,
            target: match &port.target_port {
                None | Some(IntOrString::Int(0)) => TargetPort::Number(number),
                Some(IntOrString::Int(target)) => {
                    TargetPort::Number(meta::port(&format!("{field}.targetPort"), *target)?)
                }
                Some(IntOrString::String(name)) => TargetPort::Name(name.clone()),
            },
        });
    }
    let selector = spec
        .selector
        .as_ref()
        .filter(|labels| !labels.is_empty())
        .map(|labels| {
            let requirement = |(key, value): (&String, &String)| Requirement {
                key: key.into(),
                operator: Operator::In([value.into()].into()),
            };
            Selector::new(labels.iter().map(requirement).collect())
        });
    Ok(Service {
        namespace: key.namespace,
        name: key.name,
        cluster_ips,
        ports,
        selector,
    })
}

/// One address of each family, of the families that the Service says, in their order.
fn families(spec: &ServiceSpec, addresses: &[IpAddr]) -> Result<Option<Addresses>, Rejected> {
    let found: Vec<Family> = addresses.iter().map(|one| Family::of(*one)).collect();
    if matches!(found.as_slice(), [first, others @ ..] if others.len() > 1 || others.contains(first))
    {
        return Err(Rejected::new(
            "spec.clusterIPs",
            "hold more than one address of a family; name at most one IPv4 and one IPv6 address",
        ));
    }
    let said = spec.ip_families.iter().flatten();
    for (index, (said, found)) in said.zip(&found).enumerate() {
        if *said != found.to_string() {
            return Err(Rejected::new(
                format!("spec.ipFamilies[{index}]"),
                format!("is {said:?}, but spec.clusterIPs[{index}] is {found}"),
            ));
        }
    }
    Ok(Addresses::first_of_each(addresses.iter().copied()))
}
