// SPDX-License-Identifier: Apache-2.0
//! What every kind needs: names, ports, protocols, addresses.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Rejected;
use crate::model::{Kind, ObjectKey, Protocol};

pub(super) fn key(kind: Kind, metadata: &ObjectMeta) -> Result<ObjectKey, Rejected> {
    let name = metadata.name.as_ref().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Rejected::new("metadata.name", "is missing"))?;
    let namespace = if kind.namespaced() {
        let namespace = metadata
            .namespace
            .as_ref()
            .filter(|namespace| !namespace.is_empty());
        namespace
            .ok_or_else(|| Rejected::new("metadata.namespace", "is missing"))?
            .as_str()
    } else {
        ""
    };
    Ok(ObjectKey::new(kind, namespace, name))
}

/// Annotation of policies that are only to be counted.
const STAGED: &str = "culvert.io/staged";

/// Whether a policy is staged.
pub(super) fn staged(metadata: &ObjectMeta) -> Result<bool, Rejected> {
    let annotations = metadata.annotations.as_ref();
    match annotations
        .and_then(|all| all.get(STAGED))
        .map(String::as_str)
    {
        Some("true") => Ok(true),
        None | Some("false") => Ok(false),
        Some(other) => Err(Rejected::new(
            format!("metadata.annotations[{STAGED}]"),
            format!("{other:?} is not one of \"true\", \"false\""),
        )),
    }
}

/// A protocol name; `None` is TCP, as the API defaults it.
pub(super) fn protocol(field: &str, text: Option<&str>) -> Result<Protocol, Rejected> {
    match text {
        None | Some("TCP") => Ok(Protocol::Tcp),
        Some("UDP") => Ok(Protocol::Udp),
        Some("SCTP") => Ok(Protocol::Sctp),
        Some(other) => Err(Rejected::new(
            field,
            format!("{other:?} is not one of TCP, UDP, SCTP"),
        )),
    }
}

/// A port number.
pub(super) fn port(field: &str, number: i32) -> Result<u16, Rejected> {
    u16::try_from(number)
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| Rejected::new(field, format!("{number} is not a port (1..65535)")))
}

/// An address.
pub(super) fn address(field: &str, text: &str) -> Result<IpAddr, Rejected> {
    text.parse()
        .map_err(|_| Rejected::new(field, format!("{text:?} is not an IP address")))
}

/// What an address is, if it is no unicast address that can be routed.
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    let link_local = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    match address {
        _ if address.is_unspecified() => Some("the unspecified address"),
        _ if address.is_loopback() => Some("a loopback address"),
        _ if link_local(address) => Some("a link-local address"),
        _ if address.is_multicast() => Some("a multicast address"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("an IPv4-mapped address"),
        _ => None,
    }
}
