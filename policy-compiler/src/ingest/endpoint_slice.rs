// SPDX-License-Identifier: Apache-2.0
//! `EndpointSlices`: who may serve at the ports of a Service.

use k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointSlice as Object,
};

use super::{Rejected, meta};
use crate::model::{Candidate, CandidateState, EndpointSlice, Family, Kind, Name};

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
    let mut endpoints = Vec::new();
    // A name is no address that a connection could be sent to.
    let all = object.endpoints.iter().flatten();
    let all = all.filter(|_| object.address_type != "FQDN");
    for (index, endpoint) in all.enumerate() {
        let field = format!("endpoints[{index}].addresses");
        endpoints.extend(candidate(&field, &object.address_type, endpoint)?);
    }
    Ok(EndpointSlice {
        namespace: key.namespace,
        name: key.name,
        service: service.into(),
        ports,
        endpoints,
    })
}

/// "These are all assumed to be fungible and clients may choose to only use the first element."
fn candidate(
    field: &str,
    family: &str,
    endpoint: &Endpoint,
) -> Result<Option<Candidate>, Rejected> {
    let Some(text) = endpoint.addresses.first() else {
        return Ok(None);
    };
    let address = meta::address(field, text)?;
    let found = Family::of(address);
    if family != found.to_string() {
        return Err(Rejected::new(
            field,
            format!("{address} is {found}, but addressType is {family:?}"),
        ));
    }
    if let Some(what) = meta::special(address) {
        return Err(Rejected::new(
            field,
            format!("{address} is {what}, which no node could send to; name a unicast address"),
        ));
    }
    let hints = endpoint.hints.as_ref();
    Ok(Some(Candidate {
        address,
        node: endpoint.node_name.as_ref().map(Name::from),
        state: state(endpoint.conditions.as_ref()),
        for_zones: for_zones(hints),
        for_nodes: for_nodes(hints),
    }))
}

fn state(conditions: Option<&EndpointConditions>) -> CandidateState {
    // "A nil value should be interpreted as true."
    let ready = conditions.and_then(|all| all.ready).unwrap_or(true);
    // "If nil, consumers should defer to the ready condition."
    let serving = conditions.and_then(|all| all.serving).unwrap_or(ready);
    // "A nil value should be interpreted as false."
    let terminating = conditions.and_then(|all| all.terminating).unwrap_or(false);
    match (ready, serving, terminating) {
        (true, _, _) => CandidateState::Ready,
        (false, true, true) => CandidateState::Leaving,
        (false, true, false) => CandidateState::Serving,
        (false, false, _) => CandidateState::Absent,
    }
}

fn for_zones(hints: Option<&EndpointHints>) -> Box<[Name]> {
    let zones = hints.and_then(|hints| hints.for_zones.as_ref());
    let zones = zones.into_iter().flatten();
    zones.map(|zone| Name::from(&zone.name)).collect()
}

fn for_nodes(hints: Option<&EndpointHints>) -> Box<[Name]> {
    let nodes = hints.and_then(|hints| hints.for_nodes.as_ref());
    let nodes = nodes.into_iter().flatten();
    nodes.map(|node| Name::from(&node.name)).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use serde_json::{Value, json};

    use super::*;

    fn slice(address_type: &str, endpoint: Value) -> Object {
        Object {
            address_type: address_type.to_owned(),
            metadata: ObjectMeta {
                namespace: Some("shop".to_owned()),
                name: Some("web-1".to_owned()),
                labels: Some([(SERVICE_NAME.to_owned(), "web".to_owned())].into()),
                ..ObjectMeta::default()
            },
            endpoints: Some(vec![serde_json::from_value(endpoint).unwrap()]),
            ..Object::default()
        }
    }

    fn state_of(conditions: Value) -> CandidateState {
        let endpoint = json!({"addresses": ["10.0.0.1"], "conditions": conditions});
        parse(&slice("IPv4", endpoint)).unwrap().endpoints[0].state
    }

    #[test]
    fn conditions_that_are_not_said_have_their_documented_meaning() {
        for (conditions, expected) in [
            (json!({}), CandidateState::Ready),
            (
                json!({"ready": true, "terminating": true}),
                CandidateState::Ready,
            ),
            (json!({"ready": false}), CandidateState::Absent),
            (
                json!({"ready": false, "terminating": true}),
                CandidateState::Absent,
            ),
            (
                json!({"ready": false, "serving": true}),
                CandidateState::Serving,
            ),
            (
                json!({"ready": false, "serving": true, "terminating": true}),
                CandidateState::Leaving,
            ),
        ] {
            assert_eq!(state_of(conditions.clone()), expected, "{conditions}");
        }
    }

    #[test]
    fn an_endpoint_has_one_address_its_node_and_hints() {
        let endpoint = json!({
            "addresses": ["fd00::1", "fd00::2"],
            "nodeName": "n1",
            "hints": {"forZones": [{"name": "a"}, {"name": "b"}], "forNodes": [{"name": "n1"}]},
        });
        let endpoints = parse(&slice("IPv6", endpoint)).unwrap().endpoints;
        let names = |names: &[&str]| names.iter().map(|name| Name::from(*name)).collect();
        let expected = Candidate {
            address: "fd00::1".parse().unwrap(),
            node: Some("n1".into()),
            state: CandidateState::Ready,
            for_zones: names(&["a", "b"]),
            for_nodes: names(&["n1"]),
        };
        assert_eq!(endpoints, [expected]);
    }

    #[test]
    fn addresses_that_lead_back_to_the_sender_or_to_many_are_refused() {
        for (family, address) in [
            ("IPv4", "127.0.0.1"),
            ("IPv4", "169.254.169.254"),
            ("IPv4", "224.0.0.1"),
            ("IPv4", "0.0.0.0"),
            ("IPv4", "255.255.255.255"),
            ("IPv6", "::1"),
            ("IPv6", "fe80::1"),
            ("IPv6", "ff02::1"),
            ("IPv6", "::"),
            ("IPv6", "::ffff:127.0.0.1"),
            ("IPv4", "fd00::1"),
        ] {
            let refused = parse(&slice(family, json!({"addresses": [address]})));
            let field = refused.map_err(|rejected| rejected.field);
            assert_eq!(field, Err("endpoints[0].addresses".to_owned()), "{address}");
        }
    }

    #[test]
    fn names_are_no_endpoints() {
        let named = slice("FQDN", json!({"addresses": ["example.com"]}));
        assert_eq!(parse(&named).unwrap().endpoints, []);
    }
}
