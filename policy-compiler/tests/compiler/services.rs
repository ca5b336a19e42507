// SPDX-License-Identifier: Apache-2.0
//! Services: what flows and groups their objects make.

use openflow_codec::{Action, Field, Flow, Group, Instruction};
use policy_compiler::model::{Kind, NodeServices, ObjectKey};
use policy_compiler::pipeline::Table;
use policy_compiler::{Change, Compiler, Config, Object, Output, ServiceSettings};
use serde_json::{Value, json};

fn compiler() -> Compiler {
    let mut compiler = Compiler::new(&Config {
        cluster_secret: [9; 32],
    });
    let spec = json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80}]});
    set_service(&mut compiler, "web", &spec);
    compiler
}

fn set_service(compiler: &mut Compiler, name: &str, spec: &Value) -> Output {
    // The load balancer's addresses, if it has some, stand beside the others.
    let vips = spec["vips"].as_array().into_iter().flatten();
    let ingress: Vec<Value> = vips.map(|vip| json!({"ip": vip})).collect();
    let service = json!({
        "metadata": {"namespace": "shop", "name": name},
        "spec": spec,
        "status": {"loadBalancer": {"ingress": ingress}},
    });
    let service = serde_json::from_value(service).expect("the Service is readable");
    compiler.apply([Change::Apply(Object::Service(Box::new(service)))])
}

fn delete_service(compiler: &mut Compiler, name: &str) -> Output {
    let key = ObjectKey::new(Kind::Service, "shop", name);
    compiler.apply([Change::Delete(key)])
}

/// The one slice of the Service has these endpoints.
fn set_endpoints(compiler: &mut Compiler, endpoints: &Value) -> Output {
    let slice = json!({
        "metadata": {
            "namespace": "shop", "name": "web-1",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4", "ports": [{"name": "", "port": 8080}], "endpoints": endpoints,
    });
    let slice = serde_json::from_value(slice).expect("the slice is readable");
    compiler.apply([Change::Apply(Object::EndpointSlice(Box::new(slice)))])
}

/// Where buckets send to.
fn destinations(group: &Group) -> Vec<String> {
    let actions = group.buckets.iter().flat_map(|bucket| &bucket.actions);
    let addresses = actions.filter_map(|action| match action {
        Action::Ct(ct) => ct.nat.as_ref()?.addresses,
        _ => None,
    });
    addresses.map(|(first, _)| first.to_string()).collect()
}

fn endpoints(compiler: &Compiler) -> Vec<String> {
    let groups = compiler.cluster_groups();
    groups.flat_map(|group| destinations(group)).collect()
}

/// Flows of the table `service` that match this field.
fn matching(compiler: &Compiler, field: Field) -> Vec<&Flow> {
    let flows = compiler.cluster_flows().map(AsRef::as_ref);
    let of_table = flows.filter(|flow| flow.table == Table::Service.id());
    of_table
        .filter(|flow| flow.flow_match.field(field).is_some())
        .collect()
}

#[test]
fn who_terminates_gets_new_connections_only_when_nobody_is_ready() {
    let mut compiler = compiler();
    let leaving = json!({"addresses": ["10.10.1.2"],
        "conditions": {"ready": false, "serving": true, "terminating": true}});
    let ready = json!({"addresses": ["10.10.2.2"]});
    set_endpoints(&mut compiler, &json!([leaving, ready]));
    assert_eq!(endpoints(&compiler), ["10.10.2.2"]);
    set_endpoints(&mut compiler, &json!([leaving]));
    assert_eq!(endpoints(&compiler), ["10.10.1.2"]);
    set_endpoints(&mut compiler, &json!([]));
    assert!(endpoints(&compiler).is_empty());
}

#[test]
fn a_service_of_one_port_costs_two_flows_and_a_group_whatever_it_has_behind_it() {
    let mut compiler = compiler();
    let many: Vec<Value> = (0..100u8)
        .map(|number| json!({"addresses": [format!("10.10.1.{number}")]}))
        .collect();
    set_endpoints(&mut compiler, &many.into());
    assert_eq!(endpoints(&compiler).len(), 100);
    assert_eq!(compiler.cluster_groups().count(), 1);
    assert_eq!(matching(&compiler, Field::Ipv4Dst).len(), 2);
}

#[test]
fn a_port_that_the_service_does_not_have_is_refused() {
    let compiler = compiler();
    let at_address = matching(&compiler, Field::Ipv4Dst);
    let ports = matching(&compiler, Field::TcpDst);
    let [port] = ports.as_slice() else {
        panic!("there are {} flows of ports", ports.len());
    };
    let others: Vec<_> = at_address
        .iter()
        .filter(|flow| flow.flow_match.field(Field::IpProto).is_none())
        .collect();
    let [other] = others.as_slice() else {
        panic!("there are {} flows of all ports", others.len());
    };
    assert!(other.priority < port.priority);
    assert_eq!(
        other.instructions,
        [Instruction::GotoTable(Table::Reject.id())]
    );
}

#[test]
fn an_address_of_a_range_that_no_service_has_ends_below_those_that_one_has() {
    let mut compiler = compiler();
    let range = json!({"metadata": {"name": "kubernetes"},
        "spec": {"cidrs": ["10.96.0.0/16", "fd00:96::/112"]}});
    let range = serde_json::from_value(range).expect("the range is readable");
    compiler.apply([Change::Apply(Object::ServiceCidr(Box::new(range)))]);
    let flows = matching(&compiler, Field::Ipv4Dst);
    let lowest = flows.iter().min_by_key(|flow| flow.priority);
    let lowest = lowest.expect("there are flows");
    assert_eq!(flows.len(), 3);
    assert!(
        flows
            .iter()
            .filter(|flow| flow.priority == lowest.priority)
            .count()
            == 1
    );
    assert!(lowest.instructions.is_empty(), "{lowest:?}");
    // The cluster carries no IPv6.
    assert!(matching(&compiler, Field::Ipv6Dst).is_empty());
}

/// Whose flow of this node port is there.
fn owners(compiler: &Compiler, node_port: u16) -> Vec<String> {
    let flows = matching(compiler, Field::TcpDst);
    let at_port = flows.into_iter().filter(|flow| {
        let port = flow.flow_match.field(Field::TcpDst);
        port.is_some_and(|(value, _)| value == u128::from(node_port))
    });
    let explained = at_port.flat_map(|flow| compiler.explain(flow.cookie));
    let causes = explained.flat_map(|found| found.causes);
    let objects = causes.filter_map(|cause| cause.object);
    objects.map(|object| object.name.to_string()).collect()
}

#[test]
fn a_node_port_costs_one_flow_and_belongs_to_the_first_service_by_name() {
    let mut compiler = compiler();
    let spec = |address: &str| {
        json!({"clusterIP": address, "type": "NodePort",
            "ports": [{"port": 80, "nodePort": 30080}]})
    };
    let flows = compiler.cluster_flows().count();
    set_service(&mut compiler, "web", &spec("10.96.0.1"));
    assert_eq!(compiler.cluster_flows().count(), flows + 1);
    assert_eq!(owners(&compiler, 30080), ["web"]);
    set_service(&mut compiler, "api", &spec("10.96.0.2"));
    assert_eq!(owners(&compiler, 30080), ["api"]);
    set_service(
        &mut compiler,
        "api",
        &json!({"clusterIP": "10.96.0.2", "ports": [{"port": 80}]}),
    );
    assert_eq!(owners(&compiler, 30080), ["web"]);
}

#[test]
fn every_switch_knows_every_node_by_one_flow_for_each_address_that_the_cluster_carries() {
    let mut compiler = compiler();
    let node = |addresses: &[&str]| {
        let addresses: Vec<_> = addresses
            .iter()
            .map(|address| json!({"type": "InternalIP", "address": address}))
            .collect();
        let node = json!({
            "metadata": {"name": "node-1"},
            "spec": {"podCIDRs": ["10.10.1.0/24"]},
            "status": {"addresses": addresses},
        });
        Change::Apply(Object::Node(serde_json::from_value(node).expect("a Node")))
    };
    let known = |compiler: &Compiler| {
        let flows = compiler.cluster_flows();
        flows
            .filter(|flow| flow.table == Table::Frontend.id())
            .count()
    };
    assert_eq!(known(&compiler), 1);
    compiler.apply([node(&["192.0.2.1", "2001:db8::1"])]);
    assert_eq!(known(&compiler), 2);
    let output = compiler.apply([node(&["192.0.2.2"])]);
    assert_eq!(known(&compiler), 2);
    assert_eq!(
        (output.cluster.add.len(), output.cluster.remove.len()),
        (1, 1)
    );
    compiler.apply([Change::Delete(ObjectKey::new(Kind::Node, "", "node-1"))]);
    assert_eq!(known(&compiler), 1);
}

#[test]
fn external_addresses_count_when_they_are_allowed() {
    let config = Config {
        cluster_secret: [9; 32],
    };
    let spec = json!({"clusterIP": "10.96.0.1", "externalIPs": ["192.0.2.9", "10.96.0.1"],
        "ports": [{"port": 80}]});
    for (external_ips, flows) in [(false, 2), (true, 3)] {
        let settings = ServiceSettings {
            external_ips,
            ..ServiceSettings::default()
        };
        let mut compiler = Compiler::with_services(&config, settings);
        set_service(&mut compiler, "web", &spec);
        assert_eq!(matching(&compiler, Field::Ipv4Dst).len(), flows);
        let told = compiler.node_services().addresses.len();
        assert_eq!(told > 0, external_ips);
    }
}

#[test]
fn an_external_address_that_is_the_load_balancers_too_serves_its_source_ranges_only() {
    let config = Config {
        cluster_secret: [9; 32],
    };
    let settings = ServiceSettings {
        external_ips: true,
        ..ServiceSettings::default()
    };
    let mut compiler = Compiler::with_services(&config, settings);
    let spec = json!({"clusterIP": "10.96.0.1", "type": "LoadBalancer", "vips": ["192.0.2.9"],
        "externalIPs": ["192.0.2.9"], "loadBalancerSourceRanges": ["198.51.100.0/24"],
        "ports": [{"port": 80}]});
    set_service(&mut compiler, "web", &spec);
    // The cluster address has two flows; of the other two one serves the range, and one drops.
    assert_eq!(matching(&compiler, Field::Ipv4Dst).len(), 4);
    assert_eq!(matching(&compiler, Field::Ipv4Src).len(), 1);
}

#[test]
fn a_range_that_the_settings_name_drops_and_is_told_like_one_of_an_object() {
    let config = Config {
        cluster_secret: [9; 32],
    };
    let cidr = "10.96.0.0/16".parse().expect("a network");
    let settings = ServiceSettings {
        cidrs: vec![cidr],
        ..ServiceSettings::default()
    };
    let mut compiler = Compiler::with_services(&config, settings);
    let output = compiler.apply([]);
    assert!(output.services);
    assert_eq!(matching(&compiler, Field::Ipv4Dst).len(), 1);
    assert_eq!(compiler.node_services().cidrs, [cidr].into());
    // An object may say the same; the range stays when it is gone.
    let range = json!({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.96.0.0/16"]}});
    let range = serde_json::from_value(range).expect("the range is readable");
    compiler.apply([Change::Apply(Object::ServiceCidr(Box::new(range)))]);
    let gone = ObjectKey::new(Kind::ServiceCidr, "", "kubernetes");
    let output = compiler.apply([Change::Delete(gone)]);
    assert!(!output.services && output.cluster.is_empty(), "{output:?}");
    assert_eq!(matching(&compiler, Field::Ipv4Dst).len(), 1);
}

#[test]
fn nodes_are_told_what_some_service_says_and_only_when_it_changes() {
    let mut compiler = compiler();
    let balanced = |address: &str| {
        json!({"clusterIP": address, "type": "LoadBalancer", "vips": ["192.0.2.9"],
            "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000,
            "ports": [{"port": 80, "nodePort": 30080}]})
    };
    let checks = |compiler: &Compiler| {
        let checks = compiler.node_services().health_checks.iter();
        let checks: Vec<_> = checks
            .map(|(port, key)| format!("{port} {}", key.name))
            .collect();
        checks.join(",")
    };
    assert!(set_service(&mut compiler, "web", &balanced("10.96.0.1")).services);
    assert_eq!(compiler.node_services().addresses.len(), 1);
    assert_eq!(compiler.node_services().node_ports.len(), 1);
    assert_eq!(checks(&compiler), "32000 web");
    // Endpoints are counted, which costs nothing where nobody asks for a Service's health.
    let output = set_endpoints(&mut compiler, &json!([{"addresses": ["10.10.1.2"]}]));
    assert!(!output.services && output.local_endpoints);
    // Two Services say the same: the first by name has the check, and one may go.
    set_service(&mut compiler, "api", &balanced("10.96.0.2"));
    assert_eq!(checks(&compiler), "32000 api");
    delete_service(&mut compiler, "api");
    assert_eq!(checks(&compiler), "32000 web");
    assert_eq!(compiler.node_services().addresses.len(), 1);
    assert_eq!(compiler.node_services().node_ports.len(), 1);
    assert!(delete_service(&mut compiler, "web").services);
    assert_eq!(*compiler.node_services(), NodeServices::default());
    let plain = json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80}]});
    let output = set_service(&mut compiler, "web", &plain);
    assert!(!output.services && !output.local_endpoints);
    let output = set_endpoints(&mut compiler, &json!([{"addresses": ["10.10.1.3"]}]));
    assert!(!output.services && !output.local_endpoints);
}
