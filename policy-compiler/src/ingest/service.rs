// SPDX-License-Identifier: Apache-2.0
//! Services: addresses, ports, selector, and who may serve whom.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use k8s_openapi::api::core::v1::{
    LoadBalancerIngress, Service as Object, ServicePort as Port, ServiceSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Rejected, meta, network_policy};
use crate::model::{
    Addresses, Distribution, Family, Kind, Operator, Requirement, Selector, Service, ServicePort,
    TargetPort, TrafficPolicy,
};

/// Labels of Services that are not ours to carry, whatever their value.
const NOT_OURS: [&str; 2] = [
    "service.kubernetes.io/service-proxy-name",
    "service.kubernetes.io/headless",
];

/// "...default value is 10800 (for 3 hours)."
const DEFAULT_AFFINITY: i32 = 10_800;

/// "The value must be >0 && <=86400 (for 1 day)."
const LONGEST_AFFINITY: u32 = 86_400;

pub(super) fn parse(object: &Object) -> Result<Service, Rejected> {
    let key = meta::key(Kind::Service, &object.metadata)?;
    let Some(spec) = object.spec.as_ref() else {
        return Err(Rejected::new("spec", "is missing"));
    };
    let cluster_ips = cluster_ips(&object.metadata, spec)?;
    let carried = cluster_ips.is_some();
    let mut ports = Vec::new();
    for (index, port) in spec.ports.iter().flatten().enumerate() {
        let mut port = service_port(&format!("spec.ports[{index}]"), port)?;
        port.node_port = port.node_port.filter(|_| carried);
        ports.push(port);
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
    let load_balancer = carried && spec.type_.as_deref() == Some("LoadBalancer");
    let ingress = object.status.as_ref();
    let ingress = ingress.and_then(|status| status.load_balancer.as_ref()?.ingress.as_deref());
    let ingress = ingress.filter(|_| load_balancer).unwrap_or_default();
    let external = spec.external_ips.as_deref().filter(|_| carried);
    Ok(Service {
        namespace: key.namespace,
        name: key.name,
        cluster_ips,
        external_ips: external_ips(external.unwrap_or_default())?,
        load_balancer_ips: load_balancer_ips(ingress)?,
        source_ranges: source_ranges(spec)?,
        ports,
        selector,
        internal_policy: policy(
            "spec.internalTrafficPolicy",
            spec.internal_traffic_policy.as_deref(),
        )?,
        external_policy: policy(
            "spec.externalTrafficPolicy",
            spec.external_traffic_policy.as_deref(),
        )?,
        health_check_port: optional_port(
            "spec.healthCheckNodePort",
            spec.health_check_node_port.filter(|_| load_balancer),
        )?,
        affinity: affinity(spec)?,
        publish_not_ready: spec.publish_not_ready_addresses.unwrap_or(false),
        distribution: distribution(spec.traffic_distribution.as_deref())?,
    })
}

/// `None` for a Service that is not carried.
fn cluster_ips(metadata: &ObjectMeta, spec: &ServiceSpec) -> Result<Option<Addresses>, Rejected> {
    let one = spec.cluster_ip.clone().into_iter().collect();
    let texts = spec
        .cluster_ips
        .clone()
        .filter(|texts| !texts.is_empty())
        .unwrap_or(one);
    let mut labels = metadata.labels.iter().flat_map(|labels| labels.keys());
    let not_ours = labels.any(|label| NOT_OURS.contains(&label.as_str()));
    if spec.type_.as_deref() == Some("ExternalName") || not_ours {
        return Ok(None);
    }
    let mut addresses = Vec::with_capacity(texts.len());
    for text in texts
        .iter()
        .filter(|text| !text.is_empty() && *text != "None")
    {
        addresses.push(meta::address("spec.clusterIPs", text)?);
    }
    families(spec, &addresses)
}

fn service_port(field: &str, port: &Port) -> Result<ServicePort, Rejected> {
    let number = meta::port(&format!("{field}.port"), port.port)?;
    Ok(ServicePort {
        name: port.name.clone().unwrap_or_default(),
        protocol: meta::protocol(&format!("{field}.protocol"), port.protocol.as_deref())?,
        port: number,
        node_port: optional_port(&format!("{field}.nodePort"), port.node_port)?,
        target: match &port.target_port {
            None | Some(IntOrString::Int(0)) => TargetPort::Number(number),
            Some(IntOrString::Int(target)) => {
                TargetPort::Number(meta::port(&format!("{field}.targetPort"), *target)?)
            }
            Some(IntOrString::String(name)) => TargetPort::Name(name.clone()),
        },
    })
}

/// A port that may be absent; zero says the same.
fn optional_port(field: &str, number: Option<i32>) -> Result<Option<u16>, Rejected> {
    let number = number.filter(|number| *number != 0);
    number.map(|number| meta::port(field, number)).transpose()
}

/// A load balancer with `ipMode` `Proxy` sends to nodes and endpoints itself; its address is not ours.
fn load_balancer_ips(ingress: &[LoadBalancerIngress]) -> Result<Vec<IpAddr>, Rejected> {
    let mut found = Vec::new();
    for (index, one) in ingress.iter().enumerate() {
        let field = format!("status.loadBalancer.ingress[{index}]");
        let vip = match one.ip_mode.as_deref() {
            // "Setting this to "VIP" indicates that traffic is delivered to the node with the
            // destination set to the load-balancer's IP and port."
            None | Some("VIP") => true,
            Some("Proxy") => false,
            Some(other) => {
                return Err(Rejected::new(
                    format!("{field}.ipMode"),
                    format!("{other:?} is not one of VIP, Proxy"),
                ));
            }
        };
        let text = one.ip.as_deref().filter(|text| vip && !text.is_empty());
        if let Some(text) = text {
            found.push(unicast(&format!("{field}.ip"), text)?);
        }
    }
    Ok(sorted(found))
}

fn external_ips(texts: &[String]) -> Result<Vec<IpAddr>, Rejected> {
    let mut found = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        found.push(unicast(&format!("spec.externalIPs[{index}]"), text)?);
    }
    Ok(sorted(found))
}

fn unicast(field: &str, text: &str) -> Result<IpAddr, Rejected> {
    let address = meta::address(field, text)?;
    match meta::special(address) {
        None => Ok(address),
        Some(what) => Err(Rejected::new(
            field,
            format!("{address} is {what}; name a unicast address"),
        )),
    }
}

/// "...will be applied to the load balancer's addresses." The API server trims what stands around them.
fn source_ranges(spec: &ServiceSpec) -> Result<Vec<IpNetwork>, Rejected> {
    let texts = spec.load_balancer_source_ranges.iter().flatten();
    let mut found = Vec::new();
    for (index, text) in texts.enumerate() {
        let field = format!("spec.loadBalancerSourceRanges[{index}]");
        found.push(network_policy::network(&field, text.trim())?);
    }
    Ok(sorted(found))
}

fn sorted<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort_unstable();
    all.dedup();
    all
}

fn policy(field: &str, text: Option<&str>) -> Result<TrafficPolicy, Rejected> {
    match text {
        None | Some("" | "Cluster") => Ok(TrafficPolicy::Cluster),
        Some("Local") => Ok(TrafficPolicy::Local),
        Some(other) => Err(Rejected::new(
            field,
            format!("{other:?} is not one of Cluster, Local"),
        )),
    }
}

fn affinity(spec: &ServiceSpec) -> Result<Option<u32>, Rejected> {
    match spec.session_affinity.as_deref() {
        None | Some("" | "None") => return Ok(None),
        Some("ClientIP") => {}
        Some(other) => {
            return Err(Rejected::new(
                "spec.sessionAffinity",
                format!("{other:?} is not one of ClientIP, None"),
            ));
        }
    }
    let config = spec.session_affinity_config.as_ref();
    let seconds = config.and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
    let seconds = seconds.unwrap_or(DEFAULT_AFFINITY);
    let valid = u32::try_from(seconds).ok();
    let valid = valid.filter(|seconds| (1..=LONGEST_AFFINITY).contains(seconds));
    valid.map(Some).ok_or_else(|| {
        Rejected::new(
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
            format!("{seconds} is not a number of seconds from 1 to {LONGEST_AFFINITY} (a day)"),
        )
    })
}

fn distribution(text: Option<&str>) -> Result<Distribution, Rejected> {
    match text {
        None | Some("") => Ok(Distribution::Anywhere),
        Some("PreferSameZone" | "PreferClose") => Ok(Distribution::SameZone),
        Some("PreferSameNode") => Ok(Distribution::SameNode),
        Some(other) => Err(Rejected::new(
            "spec.trafficDistribution",
            format!("{other:?} is not one of PreferSameZone, PreferSameNode, PreferClose"),
        )),
    }
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(spec: Value, status: Value) -> Result<Service, String> {
        let object = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": spec, "status": status,
        });
        parse(&serde_json::from_value(object).unwrap()).map_err(|rejected| rejected.to_string())
    }

    /// A load balancer's Service, with more said of it.
    fn with(more: &Value) -> Result<Service, String> {
        let mut spec = json!({"type": "LoadBalancer", "clusterIPs": ["10.96.0.1"]});
        for (field, value) in more.as_object().unwrap() {
            spec[field] = value.clone();
        }
        service(spec, json!({}))
    }

    fn texts<T: ToString>(all: &[T]) -> Vec<String> {
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_not_said_has_its_documented_default() {
        let plain = service(json!({"clusterIP": "10.96.0.1"}), json!({})).unwrap();
        assert_eq!(plain.internal_policy, TrafficPolicy::Cluster);
        assert_eq!(plain.external_policy, TrafficPolicy::Cluster);
        assert_eq!(plain.distribution, Distribution::Anywhere);
        assert_eq!((plain.affinity, plain.health_check_port), (None, None));
        let sticky = with(&json!({"sessionAffinity": "ClientIP"})).unwrap();
        assert_eq!(sticky.affinity, Some(10_800));
    }

    #[test]
    fn everything_that_is_said_is_read() {
        let all = json!({
            "externalIPs": ["198.51.100.2", "198.51.100.1"],
            "loadBalancerSourceRanges": [" 203.0.113.7/24 ", "2001:db8::/32"],
            "ports": [{"port": 80, "nodePort": 30080}, {"name": "dns", "port": 53, "protocol": "UDP"}],
            "internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local",
            "healthCheckNodePort": 31000,
            "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86_400}},
            "publishNotReadyAddresses": true, "trafficDistribution": "PreferClose",
        });
        let read = with(&all).unwrap();
        assert_eq!(texts(&read.external_ips), ["198.51.100.1", "198.51.100.2"]);
        assert_eq!(
            texts(&read.source_ranges),
            ["203.0.113.0/24", "2001:db8::/32"]
        );
        let node_ports: Vec<_> = read.ports.iter().map(|port| port.node_port).collect();
        assert_eq!(node_ports, [Some(30_080), None]);
        assert_eq!(read.internal_policy, TrafficPolicy::Local);
        assert_eq!(read.external_policy, TrafficPolicy::Local);
        assert_eq!(read.health_check_port, Some(31_000));
        assert_eq!(read.affinity, Some(86_400));
        assert!(read.publish_not_ready);
        assert_eq!(read.distribution, Distribution::SameZone);
    }

    #[test]
    fn only_addresses_of_load_balancers_that_leave_the_destination_alone_are_ours() {
        let ingress = json!({"loadBalancer": {"ingress": [
            {"ip": "198.51.100.9"}, {"ip": "198.51.100.8", "ipMode": "VIP"},
            {"ip": "198.51.100.7", "ipMode": "Proxy"}, {"hostname": "lb.example.com"},
        ]}});
        let balanced = json!({"type": "LoadBalancer", "clusterIP": "10.96.0.1"});
        let read = service(balanced, ingress.clone()).unwrap();
        assert_eq!(
            texts(&read.load_balancer_ips),
            ["198.51.100.8", "198.51.100.9"]
        );
        let plain = service(json!({"clusterIP": "10.96.0.1"}), ingress).unwrap();
        assert!(plain.load_balancer_ips.is_empty());
    }

    #[test]
    fn services_that_are_not_ours_have_no_address() {
        let outside =
            json!({"externalIPs": ["198.51.100.1"], "ports": [{"port": 80, "nodePort": 30080}]});
        let nothing = |service: Service| {
            service.cluster_ips.is_none()
                && service.external_ips.is_empty()
                && service.ports.iter().all(|port| port.node_port.is_none())
        };
        for (label, more) in [
            (None, json!({"clusterIP": "None"})),
            (
                None,
                json!({"type": "ExternalName", "externalName": "a.example.com"}),
            ),
            (Some(NOT_OURS[0]), json!({"clusterIP": "10.96.0.1"})),
            (Some(NOT_OURS[1]), json!({"clusterIP": "10.96.0.1"})),
        ] {
            let mut spec = outside.clone();
            for (field, value) in more.as_object().unwrap() {
                spec[field] = value.clone();
            }
            let mut metadata = json!({"namespace": "shop", "name": "web"});
            if let Some(label) = label {
                metadata["labels"] = json!({label: ""});
            }
            let object =
                json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec});
            let read = parse(&serde_json::from_value(object).unwrap()).unwrap();
            assert!(nothing(read), "{label:?} {more}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_field() {
        for (more, expected) in [
            (
                json!({"externalTrafficPolicy": "Near"}),
                r#"spec.externalTrafficPolicy: "Near" is not one of Cluster, Local"#,
            ),
            (
                json!({"sessionAffinity": "Cookie"}),
                r#"spec.sessionAffinity: "Cookie" is not one of ClientIP, None"#,
            ),
            (
                json!({"sessionAffinity": "ClientIP",
                       "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86_401}}}),
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: 86401 is not a number of seconds from 1 to 86400 (a day)",
            ),
            (
                json!({"externalIPs": ["127.0.0.1"]}),
                "spec.externalIPs[0]: 127.0.0.1 is a loopback address; name a unicast address",
            ),
            (
                json!({"loadBalancerSourceRanges": ["10.0.0.1"]}),
                r#"spec.loadBalancerSourceRanges[0]: "10.0.0.1" is not a CIDR; write it as 10.0.0.0/8"#,
            ),
            (
                json!({"trafficDistribution": "PreferFar"}),
                r#"spec.trafficDistribution: "PreferFar" is not one of PreferSameZone, PreferSameNode, PreferClose"#,
            ),
            (
                json!({"ports": [{"port": 80, "nodePort": 70_000}]}),
                "spec.ports[0].nodePort: 70000 is not a port (1..65535)",
            ),
        ] {
            assert_eq!(with(&more).unwrap_err(), expected);
        }
    }
}
