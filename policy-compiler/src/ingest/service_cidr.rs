// SPDX-License-Identifier: Apache-2.0
//! `ServiceCIDRs`: ranges that cluster addresses come from.

use k8s_openapi::api::networking::v1::ServiceCIDR as Object;

use super::{Rejected, meta, network_policy};
use crate::model::{Kind, ServiceCidr};

pub(super) fn parse(object: &Object) -> Result<ServiceCidr, Rejected> {
    let name = meta::key(Kind::ServiceCidr, &object.metadata)?.name;
    let texts = object.spec.iter().flat_map(|spec| &spec.cidrs).flatten();
    let mut cidrs = Vec::new();
    for (index, text) in texts.enumerate() {
        cidrs.push(network_policy::network(
            &format!("spec.cidrs[{index}]"),
            text,
        )?);
    }
    Ok(ServiceCidr { name, cidrs })
}
