// SPDX-License-Identifier: Apache-2.0
//! The real `culvert-agent` on nodes with real Open vSwitch; needs root.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use integration::{Node, Testbed, command, wait};

const LIMIT: Duration = Duration::from_secs(30);

/// A bed with the name of this process; `test` has at most 5 letters.
fn bed(test: &str, nodes: usize) -> Testbed {
    Testbed::new(&format!("node{}{test}", std::process::id()), nodes).unwrap()
}

/// Starts an agent on node 1 and waits until it has nothing left to do. `label` is for its log.
fn start(bed: &Testbed, label: &str, more: &[&str]) {
    let node = bed.node(1).unwrap();
    let mut agent = Command::new(env!("CARGO_BIN_EXE_culvert-agent"));
    agent
        .args([
            "--node-name",
            "node-1",
            "--datapath",
            "netdev",
            "--ovsdb",
            &node.db(),
        ])
        .args([
            "--controller",
            "tcp:10.99.0.1:6653",
            "--manager",
            "tcp:10.99.0.1:6640",
        ])
        .args(more);
    if !more.contains(&"--encap-ip") {
        agent.args(["--encap-ip", &node.underlay().to_string()]);
    }
    bed.start(node.netns(), label, &agent).unwrap();
    wait_for_log(bed, label, "the node is as configured");
}

fn wait_for_log(bed: &Testbed, label: &str, text: &str) {
    let log = bed.dir().join(format!("{label}.log"));
    wait::until_true(
        format_args!("{text:?} in the log of {label}"),
        LIMIT,
        || {
            bed.check_processes()?;
            Ok(std::fs::read_to_string(&log)?.contains(text))
        },
    )
    .unwrap();
}

fn get(node: &Node, record: &str, column: &str) -> String {
    let text = node
        .ovs()
        .vsctl(&format!("--if-exists get {record} {column}"))
        .unwrap();
    text.trim().trim_matches('"').to_owned()
}

/// Writes a key as the controller does.
fn tell(node: &Node, key_and_value: &str) {
    let set = format!("set Bridge br-int external_ids:{key_and_value}");
    node.ovs().vsctl(&set).unwrap();
}

fn nft(node: &Node, words: &str) -> String {
    let program = ["netns", "exec", node.netns().name(), "nft"];
    let words: Vec<_> = program.into_iter().chain(words.split(' ')).collect();
    command::run("ip", &words).unwrap()
}

/// Everything the agent may write, and the versions of rows that nobody else writes.
fn state(node: &Node) -> String {
    let mut state = String::new();
    for (table, columns) in [
        ("Open_vSwitch", "bridges,manager_options,external_ids"),
        (
            "Bridge",
            "name,ports,controller,fail_mode,protocols,other_config,external_ids",
        ),
        ("Port", "name,interfaces"),
        ("Interface", "_uuid,name,type,options,external_ids"),
        (
            "Controller",
            "_uuid,target,inactivity_probe,max_backoff,external_ids",
        ),
        (
            "Manager",
            "_uuid,target,inactivity_probe,max_backoff,external_ids",
        ),
    ] {
        let list = format!("--format=json --columns={columns} list {table}");
        state.push_str(&node.ovs().vsctl(&list).unwrap());
    }
    let select = |table: &str| {
        format!(r#"{{"op":"select","table":"{table}","where":[],"columns":["_uuid","_version"]}}"#)
    };
    let tables = ["Open_vSwitch", "Bridge", "Port"].map(select).join(",");
    let query = format!(r#"["Open_vSwitch",{tables}]"#);
    state + &command::run("ovsdb-client", &["transact", &node.db(), &query]).unwrap()
}

#[test]
fn fresh_node_is_prepared_and_a_second_start_changes_nothing() {
    let bed = bed("fresh", 1);
    let node = bed.node(1).unwrap();
    start(&bed, "first", &[]);
    for (column, value) in [
        ("fail_mode", "secure"),
        ("protocols", "[OpenFlow15]"),
        ("datapath_type", "netdev"),
        ("other_config:disable-in-band", "true"),
        ("external_ids:culvert-agent", env!("CARGO_PKG_VERSION")),
        ("external_ids:culvert-encap-ip", "10.98.0.11"),
        // 1500 minus IPv4, UDP, Geneve, its option and the inner Ethernet header.
        ("external_ids:culvert-mtu", "1434"),
    ] {
        assert_eq!(get(node, "Bridge br-int", column), value, "{column}");
    }
    assert_eq!(
        get(node, "Open_vSwitch .", "external_ids:culvert-node"),
        "node-1"
    );
    assert_eq!(get(node, "Interface culvert-tun", "type"), "geneve");
    assert_eq!(
        get(node, "Interface culvert-tun", "options"),
        "{csum=\"true\", key=flow, local_ip=\"10.98.0.11\", remote_ip=flow}"
    );
    assert!(node.ovs().port_number("culvert-tun").unwrap() > 0);
    let controller = node.ovs().vsctl("get-controller br-int").unwrap();
    assert_eq!(controller.trim(), "tcp:10.99.0.1:6653");
    assert_eq!(
        node.ovs().vsctl("get-manager").unwrap().trim(),
        "tcp:10.99.0.1:6640"
    );

    bed.stop("first").unwrap();
    wait_for_log(&bed, "first", "agent ends");
    let before = state(node);
    start(&bed, "second", &[]);
    assert_eq!(state(node), before);
    let log = std::fs::read_to_string(bed.dir().join("second.log")).unwrap();
    assert!(!log.contains("changed"), "{log}");
}

#[test]
fn flows_survive_the_agent_its_restart_and_a_new_set_of_controllers() {
    let bed = bed("flows", 1);
    let node = bed.node(1).unwrap();
    start(&bed, "first", &[]);
    node.ovs()
        .ofctl("add-flow", "br-int", Some("cookie=0x17,actions=drop"))
        .unwrap();
    let has_flow = || {
        node.ovs()
            .dump_flows("br-int")
            .unwrap()
            .contains("cookie=0x17")
    };
    assert!(has_flow());
    bed.kill("first").unwrap();
    assert!(has_flow());
    start(&bed, "second", &["--controller", "tcp:10.99.0.2:6653"]);
    let controllers = node.ovs().vsctl("get-controller br-int").unwrap();
    assert_eq!(controllers.lines().count(), 2, "{controllers}");
    bed.kill("second").unwrap();
    start(&bed, "third", &[]);
    let controllers = node.ovs().vsctl("get-controller br-int").unwrap();
    assert_eq!(controllers.trim(), "tcp:10.99.0.1:6653");
    assert!(has_flow());
}

#[test]
fn wrong_settings_are_corrected_also_after_ovsdb_came_back() {
    let bed = bed("drift", 1);
    let node = bed.node(1).unwrap();
    start(&bed, "agent", &[]);
    let corrected = |column: &str, value: &str| {
        wait::until_true(column, LIMIT, || {
            Ok(get(node, "Bridge br-int", column) == value)
        })
        .unwrap();
    };
    node.ovs()
        .vsctl("remove Bridge br-int external_ids culvert-mtu")
        .unwrap();
    corrected("external_ids:culvert-mtu", "1434");
    node.ovs().kill_server().unwrap();
    node.ovs().start_server().unwrap();
    node.ovs()
        .vsctl("set Bridge br-int fail_mode=standalone")
        .unwrap();
    corrected("fail_mode", "secure");
    node.ovs().vsctl("del-port culvert-tun").unwrap();
    wait::until_true("the tunnel port", LIMIT, || {
        Ok(node
            .ovs()
            .vsctl("list-ports br-int")?
            .contains("culvert-tun"))
    })
    .unwrap();
}

#[test]
fn reachable_peers_are_known_to_ovs_and_stay_known() {
    let bed = bed("peers", 2);
    let (node, peer) = (
        bed.node(1).unwrap(),
        bed.node(2).unwrap().underlay().to_string(),
    );
    start(&bed, "agent", &[]);
    assert_eq!(
        get(node, "Bridge br-int", "external_ids:culvert-peers-resolved"),
        ""
    );

    // The second of them does not exist.
    let set = format!("set Bridge br-int external_ids:culvert-peers=\"{peer},10.98.0.200\"");
    node.ovs().vsctl(&set).unwrap();
    let is_resolved = || {
        let resolved = get(node, "Bridge br-int", "external_ids:culvert-peers-resolved");
        let known = node.ovs().appctl("tnl/neigh/show")?;
        assert!(
            !resolved.contains("10.98.0.200") && !known.contains("10.98.0.200"),
            "{known}"
        );
        // What is reported is known, at every moment.
        assert!(
            resolved.is_empty() || known.contains(&peer),
            "{resolved}: {known}"
        );
        Ok(resolved == peer && known.contains(&peer))
    };
    wait::until_true("the peer to be resolved", LIMIT, is_resolved).unwrap();

    // So the first packet of a tunnel is sent, not held back for ARP.
    let to_peer = format!("actions=set_field:{peer}->tun_dst,output:culvert-tun");
    node.ovs()
        .ofctl("add-flow", "br-int", Some(&to_peer))
        .unwrap();
    let trace = node
        .ovs()
        .appctl("ofproto/trace br-int in_port=LOCAL")
        .unwrap();
    assert!(trace.contains("tnl_push"), "{trace}");

    // A restart of vswitchd forgets all neighbours, and takes the underlay's link away meanwhile.
    node.ovs().kill_vswitchd().unwrap();
    wait::until_true("the loss to be reported", LIMIT, || {
        Ok(get(node, "Bridge br-int", "external_ids:culvert-peers-resolved").is_empty())
    })
    .unwrap();
    node.ovs().start_vswitchd().unwrap();
    node.address_underlay().unwrap();
    wait::until_true("the peer to be resolved again", LIMIT, is_resolved).unwrap();
}

#[test]
fn the_nodes_kernel_has_a_route_to_every_pod_cidr_also_when_the_port_is_made_anew() {
    let bed = bed("gw", 1);
    let node = bed.node(1).unwrap();
    start(&bed, "agent", &[]);
    let ip = |words: &str| node.netns().ip(words);
    let routes = || ip("-4 route show proto 193");
    let become_right = |what: &str, wanted: &[&str]| {
        wait::until_true(what, LIMIT, || {
            let routes = routes()?;
            let lines: Vec<&str> = routes.lines().map(str::trim).collect();
            Ok(lines == wanted)
        })
        .unwrap();
    };
    let one = "10.10.1.0/24 via 169.254.1.1 dev culvert-gw src 10.98.0.11 onlink";
    let two = "10.10.2.0/24 via 169.254.1.1 dev culvert-gw src 10.98.0.11 onlink";

    let cidrs = |text: &str| {
        let set = format!("set Bridge br-int external_ids:culvert-cluster-cidrs=\"{text}\"");
        node.ovs().vsctl(&set).unwrap();
    };
    cidrs("10.10.1.0/24,10.10.2.0/24");
    become_right("routes to both", &[one, two]);
    let neighbours = ip("neigh show dev culvert-gw nud permanent").unwrap();
    assert!(
        neighbours.contains("169.254.1.1 lladdr 0a:58:a9:fe:01:01"),
        "{neighbours}"
    );
    let link = ip("link show dev culvert-gw").unwrap();
    assert!(link.contains("link/ether 0a:58:a9:fe:01:02"), "{link}");
    assert!(link.contains("mtu 1434"), "{link}");

    // A new device has no routes.
    let number =
        || ip("-o link show dev culvert-gw").map(|line| line.split(':').next().map(str::to_owned));
    let before = number().unwrap();
    node.ovs().vsctl("del-port culvert-gw").unwrap();
    wait::until_true("a new device", LIMIT, || {
        Ok(number().is_ok_and(|now| now != before))
    })
    .unwrap();
    become_right("routes to both again", &[one, two]);

    cidrs("10.10.1.0/24");
    become_right("the route to what is left", &[one]);

    // What somebody else takes away comes back, and what is not ours stays.
    ip("route add 192.0.2.0/24 dev culvert-gw").unwrap();
    ip("route del 10.10.1.0/24").unwrap();
    become_right("the route that was taken away", &[one]);
    let foreign = ip("route show 192.0.2.0/24").unwrap();
    assert!(foreign.contains("culvert-gw"), "{foreign}");
}

#[test]
fn services_are_routed_to_the_gateway_port_but_not_the_nodes_own_addresses() {
    let bed = bed("svcrt", 1);
    let node = bed.node(1).unwrap();
    start(&bed, "agent", &[]);
    tell(node, "culvert-service-cidrs=\"10.96.0.0/12,fd00:96::/112\"");
    tell(
        node,
        "culvert-service-addresses=\"10.98.0.11,198.51.100.7,2001:db8::7\"",
    );
    let wanted = "10.96.0.0/12 via 169.254.1.1 dev culvert-gw src 10.98.0.11 onlink
198.51.100.7 via 169.254.1.1 dev culvert-gw src 10.98.0.11 onlink
2001:db8::7 via fe80::1 dev culvert-gw metric 1024 pref medium
fd00:96::/112 via fe80::1 dev culvert-gw metric 1024 pref medium";
    let found = || {
        let list = |family| node.netns().ip(&format!("{family} route show proto 193"));
        let routes = list("-4").unwrap() + &list("-6").unwrap();
        Vec::from_iter(routes.lines().map(str::trim)).join("\n")
    };
    wait::until_true("routes to Services", LIMIT, || Ok(found() == wanted))
        .unwrap_or_else(|error| panic!("{error}: {}", found()));
}

#[test]
fn our_table_of_nftables_is_kept_and_those_of_others_are_left_alone() {
    let bed = bed("nft", 1);
    let node = bed.node(1).unwrap();
    nft(
        node,
        "add table inet others { chain input { type filter hook input priority 0; }; }",
    );
    let others = nft(node, "list table inet others");
    start(&bed, "agent", &[]);
    let becomes = |what: &str, is_right: &dyn Fn(&str) -> bool| {
        wait::until_true(what, LIMIT, || Ok(is_right(&nft(node, "list ruleset")))).unwrap();
    };
    becomes("a table", &|rules| rules.contains("table inet culvert"));
    tell(node, "culvert-pod-cidrs=\"10.10.1.0/24,fd00:10:1::/64\"");
    tell(node, "culvert-cluster-cidrs=\"10.10.1.0/24,10.10.2.0/24\"");
    tell(node, "culvert-node-ports=\"tcp/30000-30005,udp/30053\"");
    tell(node, "culvert-peers=\"10.98.0.12\"");
    becomes("rules of what was told", &|rules| {
        [
            "dnat ip to 10.10.1.0",
            "udp . 30053",
            "ip saddr != @peers-ipv4 drop",
            "10.10.1.0",
        ]
        .iter()
        .all(|part| rules.contains(part))
            && rules.contains("elements = { 10.98.0.12 }")
    });

    // Whatever somebody does to it, it comes back.
    let right = nft(node, "--stateless list table inet culvert");
    nft(node, "delete table inet culvert");
    let whole = |rules: &str| rules.contains(right.trim());
    becomes("the table that was deleted", &whole);
    nft(node, "flush chain inet culvert to-outside");
    becomes("the chain that was flushed", &whole);
    nft(
        node,
        "delete element inet culvert node-ports { udp . 30053 }",
    );
    becomes("the port that was deleted", &whole);
    assert_eq!(nft(node, "list table inet others"), others);

    // What the agent had made stays until it is told to go.
    bed.stop("agent").unwrap();
    assert!(whole(&nft(node, "list ruleset")));
}

#[test]
fn health_checks_are_answered_on_both_families_and_fail_while_ovsdb_is_away() {
    let bed = bed("health", 1);
    let node = bed.node(1).unwrap();
    start(&bed, "agent", &[]);
    tell(
        node,
        "culvert-health-checks=\"32000=shop/web=2,32001=shop/api=0\"",
    );
    let ask = |address: &str, port: u16| -> std::io::Result<String> {
        let to = std::net::SocketAddr::new(address.parse().unwrap(), port);
        let work = || {
            let mut stream = TcpStream::connect_timeout(&to, LIMIT)?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        node.netns().enter(work).unwrap()
    };
    let says = |address: &str, port, parts: &[&str]| {
        wait::until_true(format_args!("{parts:?}"), LIMIT, || {
            let answer = ask(address, port).unwrap_or_default();
            Ok(parts.iter().all(|part| answer.contains(part)))
        })
        .unwrap();
    };
    let weight = "x-load-balancing-endpoint-weight: 2";
    for address in ["10.98.0.11", "fd98::b"] {
        says(
            address,
            32000,
            &["HTTP/1.1 200 ", weight, "\"localEndpoints\":2"],
        );
        says(
            address,
            32001,
            &["HTTP/1.1 503 ", "\"serviceProxyHealthy\":true"],
        );
    }

    node.ovs().kill_server().unwrap();
    let unhealthy = ["HTTP/1.1 503 ", weight, "\"serviceProxyHealthy\":false"];
    says("10.98.0.11", 32000, &unhealthy);
    node.ovs().start_server().unwrap();
    says("10.98.0.11", 32000, &["HTTP/1.1 200 "]);

    tell(node, "culvert-health-checks=\"32000=shop/web=2\"");
    wait::until_true("the port to be closed", LIMIT, || {
        Ok(ask("10.98.0.11", 32001).is_err())
    })
    .unwrap();
    says("10.98.0.11", 32000, &["HTTP/1.1 200 "]);
}

#[test]
fn uninstalling_takes_back_everything_of_ours_and_nothing_else_unless_pods_are_in_the_way() {
    let bed = bed("uninst", 1);
    let node = bed.node(1).unwrap();
    nft(node, "add table inet others");
    node.ovs()
        .vsctl("-- --id=@m create Manager target=\"ptcp:6641\" -- add Open_vSwitch . manager_options @m")
        .unwrap();
    start(&bed, "agent", &[]);
    tell(node, "culvert-cluster-cidrs=\"10.10.1.0/24\"");
    let routes = || node.netns().ip("route show proto 193");
    wait::until_true("a route", LIMIT, || Ok(routes()?.contains("10.10.1.0/24"))).unwrap();
    node.ovs()
        .vsctl("add-port br-int pod0 -- set Interface pod0 type=internal external_ids:iface-id=shop/web")
        .unwrap();
    bed.stop("agent").unwrap();
    let uninstall = |more: &[&str]| {
        let db = node.db();
        let program = ["netns", "exec", node.netns().name()];
        let words = [
            env!("CARGO_BIN_EXE_culvert-agent"),
            "uninstall",
            "--ovsdb",
            &db,
        ];
        command::run("ip", &[&program[..], &words, more].concat())
    };

    let refused = format!("{:#}", uninstall(&[]).unwrap_err());
    assert!(
        refused.contains("1 Pods have their ports on bridge br-int, such as shop/web"),
        "{refused}"
    );
    assert!(nft(node, "list ruleset").contains("table inet culvert"));
    assert!(routes().unwrap().contains("10.10.1.0/24"));

    uninstall(&["--force"]).unwrap();
    assert_eq!(nft(node, "list ruleset").trim(), "table inet others {\n}");
    assert_eq!(routes().unwrap().trim(), "");
    assert_eq!(node.ovs().vsctl("list-br").unwrap().trim(), "br-phy");
    assert_eq!(node.ovs().vsctl("get-manager").unwrap().trim(), "ptcp:6641");
    assert_eq!(get(node, "Open_vSwitch .", "external_ids:culvert-node"), "");
    uninstall(&[]).unwrap();
}

#[test]
fn endpoint_on_a_link_that_is_no_bridge_is_explained() {
    let bed = bed("nobr", 1);
    let management = bed.node(1).unwrap().management().to_string();
    start(&bed, "agent", &["--encap-ip", &management]);
    wait_for_log(&bed, "agent", "is on link mgmt0, which is no OVS bridge");
}
