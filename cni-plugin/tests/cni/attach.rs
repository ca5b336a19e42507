// SPDX-License-Identifier: Apache-2.0
//! ADD, CHECK and DEL against a real node.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use integration::wait;
use serde_json::{Value, json};

use crate::controller::{Controller, Word};
use crate::node::{Answer, Node, set_environment};

const LIMIT: Duration = Duration::from_secs(20);

fn address(result: &Value) -> String {
    let text = result["ips"][0]["address"].as_str().unwrap();
    text.strip_suffix("/32").unwrap().to_owned()
}

#[test]
fn attached_pod_has_address_route_neighbour_and_port_until_it_is_detached() {
    let node = Node::prepared("cycle");
    let _controller = Controller::start(&node.ovsdb());
    let pod = node.container("web");

    let result = node.add(&pod).result();
    let ip = address(&result);
    assert!(ip.starts_with("10.10.1."), "{ip}");
    let [link] = node.host_links().try_into().unwrap();
    let mac = result["interfaces"][1]["mac"].as_str().unwrap().to_owned();
    let host_mac = result["interfaces"][0]["mac"].as_str().unwrap().to_owned();
    assert_eq!(
        result,
        json!({
            "cniVersion": "1.1.0",
            "interfaces": [
                {"name": link, "mac": host_mac, "mtu": 1434},
                {"name": "eth0", "mac": mac, "mtu": 1434, "sandbox": pod.netns.path()},
            ],
            "ips": [{"address": format!("{ip}/32"), "gateway": "169.254.1.1", "interface": 1}],
            "routes": [{"dst": "0.0.0.0/0", "gw": "169.254.1.1"}],
            "dns": {},
        })
    );

    let link_text = pod.netns.ip("-o link show eth0").unwrap();
    assert!(
        link_text.contains(&mac) && link_text.contains("mtu 1434"),
        "{link_text}"
    );
    assert!(mac.starts_with("0a:58:0a:0a:01:"), "{mac}");
    let addresses = pod.netns.ip("-o -4 address show eth0").unwrap();
    assert!(addresses.contains(&format!("inet {ip}/32")), "{addresses}");
    let routes = pod.netns.ip("route").unwrap();
    assert!(
        routes.contains("default via 169.254.1.1 dev eth0"),
        "{routes}"
    );
    assert!(routes.contains("169.254.1.1 dev eth0"), "{routes}");
    let neighbours = pod.netns.ip("neighbour").unwrap();
    assert!(
        neighbours.contains("169.254.1.1 dev eth0 lladdr 0a:58:a9:fe:01:01 PERMANENT"),
        "{neighbours}"
    );
    let offload = format!("ip netns exec {} ethtool -k eth0", pod.netns.name());
    let offload = integration::command::run_line(&offload).unwrap();
    assert!(offload.contains("tx-checksumming: off"), "{offload}");

    assert_eq!(node.ports(), [link.as_str()]);
    for (key, value) in [
        ("iface-id", "ns/web"),
        ("iface-id-ver", "uid-web"),
        ("attached-mac", mac.as_str()),
        ("culvert-ip", ip.as_str()),
        ("culvert-container-id", "id-web"),
        ("culvert-ifname", "eth0"),
        ("culvert-netns", pod.netns.path().to_str().unwrap()),
    ] {
        assert_eq!(node.external_id(&link, key), value, "{key}");
    }

    assert_eq!(
        node.check(&pod, &result),
        Answer {
            success: true,
            reply: Value::Null
        }
    );
    pod.netns.ip("route del default").unwrap();
    let difference = node.check(&pod, &result).failure(102);
    assert!(
        difference.contains("route 0.0.0.0/0 via 169.254.1.1 is missing"),
        "{difference}"
    );

    assert_eq!(
        node.del(&pod),
        Answer {
            success: true,
            reply: Value::Null
        }
    );
    node.assert_empty();
    assert!(!pod.has_link("eth0"));
    let differences = node.check(&pod, &result).failure(102);
    assert!(
        differences.contains(&format!("Port {link} is missing in OVSDB")),
        "{differences}"
    );
    // Again, and again when the namespace is gone too.
    node.del(&pod).result();
    pod.netns.delete().unwrap();
    node.del(&pod).result();
}

#[test]
fn pod_of_a_dual_stack_node_has_an_address_a_route_and_a_neighbour_of_each_family() {
    let node = Node::prepared("dual");
    node.vsctl("set Bridge br-int external_ids:culvert-pod-cidrs=\"10.10.1.0/24,fd00:a:1::/64\"");
    let _controller = Controller::start(&node.ovsdb());
    let pod = node.container("web");
    let result = node.add(&pod).result();
    let v4 = address(&result);
    let v6 = result["ips"][1]["address"].as_str().unwrap();
    let v6 = v6.strip_suffix("/128").unwrap();
    assert!(v6.starts_with("fd00:a:1::"), "{v6}");
    assert_eq!(
        result["ips"][1],
        json!({"address": format!("{v6}/128"), "gateway": "fe80::1", "interface": 1})
    );
    assert_eq!(
        result["routes"],
        json!([{"dst": "0.0.0.0/0", "gw": "169.254.1.1"}, {"dst": "::/0", "gw": "fe80::1"}])
    );
    // Usable at once: nothing is tentative.
    let addresses = pod.netns.ip("-o -6 address show eth0").unwrap();
    assert!(
        addresses.contains(&format!("inet6 {v6}/128")),
        "{addresses}"
    );
    assert!(!addresses.contains("tentative"), "{addresses}");
    let routes = pod.netns.ip("-6 route").unwrap();
    assert!(routes.contains("default via fe80::1 dev eth0"), "{routes}");
    let neighbours = pod.netns.ip("-6 neighbour").unwrap();
    assert!(
        neighbours.contains("fe80::1 dev eth0 lladdr 0a:58:a9:fe:01:01 PERMANENT"),
        "{neighbours}"
    );
    let [link] = node.host_links().try_into().unwrap();
    assert_eq!(node.external_id(&link, "culvert-ip"), v4);
    assert_eq!(node.external_id(&link, "culvert-ip6"), v6);

    node.check(&pod, &result).result();
    pod.netns
        .ip("-6 address flush dev eth0 scope global")
        .unwrap();
    let difference = node.check(&pod, &result).failure(102);
    assert!(
        difference.contains(&format!("link eth0 has no address {v6}/128")),
        "{difference}"
    );
    node.del(&pod).result();
    node.assert_empty();
}

#[test]
fn pod_of_an_ipv6_node_has_no_ipv4_address() {
    let node = Node::prepared("six");
    node.vsctl("set Bridge br-int external_ids:culvert-pod-cidrs=fd00:a:1::/64");
    let _controller = Controller::start(&node.ovsdb());
    let pod = node.container("web");
    let result = node.add(&pod).result();
    assert_eq!(result["ips"].as_array().unwrap().len(), 1, "{result}");
    assert_eq!(pod.netns.ip("-o -4 address show eth0").unwrap(), "");
    let [link] = node.host_links().try_into().unwrap();
    let mac = result["interfaces"][1]["mac"].as_str().unwrap();
    assert_eq!(node.external_id(&link, "attached-mac"), mac);
    node.check(&pod, &result).result();
    node.del(&pod).result();
    node.assert_empty();
}

#[test]
fn older_versions_get_results_in_their_own_words() {
    let node = Node::prepared("old");
    let _controller = Controller::start(&node.ovsdb());
    for (version, family) in [
        ("0.3.1", json!("4")),
        ("0.4.0", json!("4")),
        ("1.0.0", Value::Null),
    ] {
        let pod = node.container(&format!("v{}", version.replace('.', "-")));
        let conf = node.conf_with("cniVersion", json!(version));
        let result = node.call("ADD", &pod, &conf).result();
        assert_eq!(result["cniVersion"], version);
        assert_eq!(result["ips"][0]["version"], family, "{result}");
        assert_eq!(result["interfaces"][1]["mtu"], Value::Null, "{result}");
        node.call("DEL", &pod, &conf).result();
    }
}

#[test]
fn concurrent_adds_all_succeed_with_unique_addresses() {
    const PODS: usize = 100;
    let node = Node::prepared("many");
    let _controller = Controller::start(&node.ovsdb());
    let pods: Vec<_> = (0..PODS)
        .map(|n| node.container(&format!("p{n}")))
        .collect();
    let start = Instant::now();
    let addresses: BTreeSet<_> = std::thread::scope(|scope| {
        let adds: Vec<_> = pods
            .iter()
            .map(|pod| scope.spawn(|| node.add(pod)))
            .collect();
        adds.into_iter()
            .map(|add| address(&add.join().unwrap().result()))
            .collect()
    });
    println!("{PODS} concurrent ADDs took {:?}", start.elapsed());
    assert_eq!(addresses.len(), PODS);
    std::thread::scope(|scope| {
        let dels: Vec<_> = pods
            .iter()
            .map(|pod| scope.spawn(|| node.del(pod)))
            .collect();
        dels.into_iter()
            .for_each(|del| drop(del.join().unwrap().result()));
    });
    node.assert_empty();
}

#[test]
fn add_fails_with_code_11_when_every_address_is_in_use_and_works_after_a_del() {
    let node = Node::prepared("full");
    node.vsctl("set Bridge br-int external_ids:culvert-pod-cidrs=10.10.1.0/29");
    let _controller = Controller::start(&node.ovsdb());
    let pods: Vec<_> = (0..6).map(|n| node.container(&format!("p{n}"))).collect();
    let (last, others) = pods.split_last().unwrap();
    for pod in others {
        node.add(pod).result();
    }
    let message = node.add(last).failure(11);
    assert!(message.contains("all 5 IPv4 addresses"), "{message}");
    assert_eq!(node.ports().len(), 5);
    assert!(!last.has_link("eth0"));
    node.del(&pods[2]).result();
    node.add(last).result();
}

#[test]
fn pod_that_is_never_ready_fails_with_code_11_and_leaves_nothing() {
    let node = Node::prepared("never");
    let pod = node.container("web");
    let answer = node.call(
        "ADD",
        &pod,
        &node.conf_with("readyTimeoutSeconds", json!(5)),
    );
    let message = answer.failure(11);
    assert!(
        message.contains("Pod ns/web is not ready after 5 s"),
        "{message}"
    );
    assert!(
        message.contains("no connected OpenFlow controller"),
        "{message}"
    );
    node.assert_empty();
    assert!(!pod.has_link("eth0"));
}

#[test]
fn refusal_by_the_controller_ends_add_at_once_and_leaves_nothing() {
    let node = Node::prepared("deny");
    let word = Word("culvert-error", "Pod-is-bound-to-another-node");
    let _controller = Controller::saying(&node.ovsdb(), word);
    let pod = node.container("web");
    let start = Instant::now();
    let message = node.add(&pod).failure(101);
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(
        message.contains("Pod-is-bound-to-another-node"),
        "{message}"
    );
    node.assert_empty();
    assert!(!pod.has_link("eth0"));
}

#[test]
fn link_that_was_in_the_container_before_is_neither_replaced_nor_removed() {
    let node = Node::prepared("link");
    let _controller = Controller::start(&node.ovsdb());
    let pod = node.container("web");
    pod.netns
        .ip("link add eth0 type veth peer name other")
        .unwrap();
    let message = node.add(&pod).failure(100);
    assert!(message.contains("link eth0 exists already"), "{message}");
    node.assert_empty();
    node.del(&pod).result();
    assert!(pod.has_link("eth0"));
}

#[test]
fn second_add_of_an_attachment_fails_and_does_not_harm_the_first() {
    let node = Node::prepared("twice");
    let _controller = Controller::start(&node.ovsdb());
    let pod = node.container("web");
    let result = node.add(&pod).result();
    node.add(&pod).failure(100);
    node.check(&pod, &result).result();
}

#[test]
fn new_sandbox_of_a_pod_attaches_while_the_old_one_is_still_there() {
    let node = Node::prepared("pods");
    let _controller = Controller::start(&node.ovsdb());
    let old = node.container("old");
    let mut new = node.container("new");
    new.pod = old.pod.clone();
    let first = node.add(&old).result();
    let second = node.add(&new).result();
    assert_ne!(address(&first), address(&second));
    node.del(&old).result();
    node.check(&new, &second).result();
}

#[test]
fn del_cleans_up_after_an_add_that_was_killed() {
    let node = Node::prepared("kill");
    let pod = node.container("web");
    let mut plugin = Command::new(env!("CARGO_BIN_EXE_culvert-cni"));
    set_environment(&mut plugin, "ADD", &pod);
    plugin.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut add = node.netns().enter(|| plugin.spawn()).unwrap().unwrap();
    let mut stdin = add.stdin.take().unwrap();
    stdin
        .write_all(&serde_json::to_vec(&node.conf()).unwrap())
        .unwrap();
    drop(stdin);
    wait::until_true("the port", LIMIT, || Ok(!node.ports().is_empty())).unwrap();
    add.kill().unwrap();
    add.wait().unwrap();
    assert_eq!(node.host_links().len(), 1);
    node.del(&pod).result();
    node.assert_empty();
    assert!(!pod.has_link("eth0"));
}

#[test]
fn add_before_the_node_is_prepared_says_what_is_missing() {
    let node = Node::bare("early");
    let pod = node.container("web");
    let message = node.add(&pod).failure(11);
    assert!(
        message.contains("bridge br-int does not exist"),
        "{message}"
    );
    node.vsctl("add-br br-int -- set Bridge br-int datapath_type=netdev");
    let message = node.add(&pod).failure(11);
    assert!(message.contains("culvert-mtu"), "{message}");
    node.vsctl("set Bridge br-int external_ids:culvert-mtu=1434");
    let message = node.add(&pod).failure(11);
    assert!(message.contains("culvert-pod-cidrs"), "{message}");
    node.vsctl("set Bridge br-int external_ids:culvert-pod-cidrs=fd00::/640");
    let message = node.add(&pod).failure(11);
    assert!(message.contains("\"fd00::/640\" is no CIDR"), "{message}");
    node.vsctl(
        "set Bridge br-int external_ids:culvert-pod-cidrs=fd00::/64 external_ids:culvert-mtu=1234",
    );
    let message = node.add(&pod).failure(11);
    assert!(message.contains("it must be 1280 to 65535"), "{message}");
    node.assert_empty();
    assert!(!pod.has_link("eth0"));
}
