// SPDX-License-Identifier: Apache-2.0
//! The state machine without IO: inputs in, effects out.

mod counters;

use std::collections::BTreeMap;
use std::net::IpAddr;

use api_types::{NodeState, PodState};
use manifests::{Catalog, FileText, Syntax};
use openflow_codec::PortNo;
use openflow_session::Layer;
use ovsdb_client::Uuid;
use policy_compiler::model::Addresses;

use super::*;
use crate::machine::view::{Bridge, Claim, PodInterface};

const CLUSTER: &str = "
apiVersion: v1
kind: Node
metadata: {name: a}
spec: {podCIDR: 10.10.1.0/24}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
---
apiVersion: v1
kind: Node
metadata: {name: b}
spec: {podCIDR: 10.10.2.0/24}
status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: a, containers: []}
";

const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {}}]}]}
";

/// A controller, its manifests and a clock.
struct World {
    control: Control,
    catalog: Catalog,
    now: Instant,
    effects: Vec<Effect>,
}

impl World {
    fn new() -> Self {
        let control = Control::new(
            &Config {
                cluster_secret: [7; 32],
            },
            "br-int",
            "dir:test",
        );
        Self {
            control,
            catalog: Catalog::default(),
            now: Instant::now(),
            effects: Vec::new(),
        }
    }

    fn loaded() -> Self {
        let mut world = Self::new();
        world.manifest("cluster.yaml", Some(CLUSTER));
        world
    }

    fn manifest(&mut self, file: &str, text: Option<&str>) {
        let text = text.map_or(FileText::Gone, |text| {
            FileText::Text(text.to_owned(), Syntax::Yaml)
        });
        let changes = self.catalog.update([(file.to_owned(), text)]);
        let objects = self.catalog.objects();
        let status = Source {
            loaded: true,
            objects,
            ..Source::default()
        };
        self.input(Input::Source(Box::new(Update {
            changes,
            status,
            places: Vec::new(),
        })));
    }

    fn input(&mut self, input: Input) {
        self.control.take(input, self.now, &mut self.effects);
        self.control.settle(self.now, &mut self.effects);
    }

    fn machine(&mut self, connection: u64, view: MachineView) {
        let connection = ConnectionId(connection);
        let remote = format!("machine-{connection}");
        self.input(Input::MachineView {
            connection,
            remote,
            view: Box::new(view),
        });
    }

    fn switch(&mut self, connection: u64, datapath_id: u64) {
        let info = SwitchInfo {
            datapath_id: DatapathId(datapath_id),
            manufacturer: String::new(),
            software: "3.1.0".to_owned(),
            ports: Vec::new(),
        };
        let connection = ConnectionId(connection);
        self.input(Input::SwitchUp {
            connection,
            remote: "switch".to_owned(),
            info: Box::new(info),
        });
    }

    /// What was told to switches since the last call: connection, layers, flows of each layer.
    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        self.effects.retain(|effect| {
            let Effect::Tell {
                connection,
                command,
            } = effect
            else {
                return true;
            };
            let layers = command.wanted.iter();
            let layers: Vec<String> = layers
                .map(|(layer, state)| format!("{layer}={}", state.flows().len()))
                .collect();
            told.push(format!("{connection} {}", layers.join(" ")));
            false
        });
        told
    }

    /// Carries out writes to OVSDB, as the machines would; what was written.
    fn commit(&mut self) -> Vec<String> {
        let mut written = Vec::new();
        while let Some(at) = self
            .effects
            .iter()
            .position(|effect| matches!(effect, Effect::Write { .. }))
        {
            let Effect::Write { connection, facts } = self.effects.remove(at) else {
                continue;
            };
            written.push(facts.transaction().to_json("db").to_string());
            self.input(Input::Written {
                connection,
                facts,
                outcome: Ok(()),
            });
        }
        written
    }

    /// Every switch acknowledges everything, one after the other, until nothing is under way.
    fn acknowledge(&mut self) {
        while !self.control.rollout.is_idle() {
            let generation = self.control.rollout.generation();
            let connections: Vec<ConnectionId> = self.control.switches.keys().copied().collect();
            for connection in connections {
                self.input(Input::Acked {
                    connection,
                    generation,
                    rejected: 0,
                });
            }
        }
    }

    fn pod(&self) -> (PodState, String) {
        let pods = self.control.pods().pods;
        let pod = pods.first().unwrap();
        (pod.state, pod.reason.clone().unwrap_or_default())
    }

    fn node(&self, name: &str) -> api_types::Node {
        let nodes = self.control.nodes().nodes;
        nodes.into_iter().find(|node| node.name == name).unwrap()
    }
}

fn view(node: &str, datapath_id: u64) -> MachineView {
    MachineView {
        node: Some(node.to_owned()),
        bridge: Some(Bridge {
            row: Uuid::from_bits(u128::from(datapath_id)),
            datapath_id: Some(DatapathId(datapath_id)),
            controllers: BTreeSet::from(["tcp:127.0.0.1:6653".to_owned()]),
            agent: None,
            encap: None,
            pod_cidrs: None,
            cluster_cidrs: None,
            services: Default::default(),
            peers: None,
            peers_resolved: BTreeSet::new(),
        }),
        tunnel_port: Some(PortNo(1)),
        gateway_port: Some(PortNo(2)),
        interfaces: BTreeMap::new(),
    }
}

fn with_pod(mut view: MachineView, ready: Option<&str>) -> MachineView {
    let interface = PodInterface {
        row: Uuid::from_bits(77),
        claim: Claim::Pod {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            uid: None,
            port: PortNo(5),
            addresses: Addresses::One("10.10.1.2".parse().unwrap()),
            mac: "0a:58:0a:0a:01:02".parse().unwrap(),
        },
        ready: ready.map(str::to_owned),
        error: None,
    };
    view.interfaces.insert("veth1".to_owned(), interface);
    view
}

fn with_agent(mut view: MachineView, resolved: &[&str]) -> MachineView {
    let bridge = view.bridge.as_mut().unwrap();
    bridge.agent = Some("0.1.0".to_owned());
    bridge.peers_resolved = resolved
        .iter()
        .map(|peer| peer.parse::<IpAddr>().unwrap())
        .collect();
    view
}

fn says_ready(written: &[String]) -> bool {
    written
        .iter()
        .any(|json| json.contains(r#"["culvert-ready","true"]"#))
}

#[test]
fn a_switch_is_left_alone_until_the_source_is_loaded_and_its_machine_is_known() {
    let mut world = World::new();
    world.switch(1, 0xa);
    world.machine(2, view("a", 0xa));
    assert_eq!(world.told(), [""; 0], "the source is not loaded");
    world.manifest("cluster.yaml", Some(CLUSTER));
    let told = world.told();
    assert_eq!(told.len(), 1);
    assert!(told.first().unwrap().starts_with("1 cluster="), "{told:?}");

    let mut world = World::loaded();
    world.switch(1, 0xa);
    assert_eq!(
        world.told(),
        [""; 0],
        "nobody has said whose switch this is"
    );
    assert_eq!(
        world.control.nodes().unclaimed_switches,
        ["000000000000000a"]
    );
    world.machine(2, view("a", 0xa));
    assert_eq!(world.told().len(), 1);
}

#[test]
fn a_pod_is_ready_only_after_its_own_flows_are_acknowledged() {
    let mut world = World::loaded();
    world.machine(1, view("a", 0xa));
    world.switch(2, 0xa);
    world.machine(3, view("b", 0xb));
    world.switch(4, 0xb);
    world.acknowledge();
    world.commit();
    world.told();

    world.machine(1, with_pod(view("a", 0xa), None));
    let closed = world.told();
    assert_eq!(
        closed.len(),
        1,
        "Pod churn touches the Pod's node only: {closed:?}"
    );
    assert_eq!(world.pod().0, PodState::Programmed);
    assert!(!says_ready(&world.commit()));

    let generation = world.control.rollout.generation();
    world.input(Input::Acked {
        connection: ConnectionId(2),
        generation,
        rejected: 0,
    });
    let open = world.told();
    assert_ne!(closed, open, "the port is opened by a change of its own");
    assert_eq!(world.pod().0, PodState::Admitted);
    assert!(
        !says_ready(&world.commit()),
        "the open port is not acknowledged"
    );

    world.acknowledge();
    assert!(says_ready(&world.commit()));
    assert_eq!(world.pod().0, PodState::Ready);
    assert!(world.commit().is_empty(), "nothing is written twice");
}

#[test]
fn a_pod_waits_for_every_connected_node_and_for_no_other() {
    let mut world = World::loaded();
    world.machine(1, view("a", 0xa));
    world.switch(2, 0xa);
    world.machine(3, view("b", 0xb));
    world.switch(4, 0xb);
    world.acknowledge();
    // The policy is news for both, and b does not answer.
    world.manifest("policy.yaml", Some(POLICY));
    world.machine(1, with_pod(view("a", 0xa), None));
    let generation = world.control.rollout.generation();
    world.input(Input::Acked {
        connection: ConnectionId(2),
        generation,
        rejected: 0,
    });
    assert_eq!(world.pod().0, PodState::Pending);
    assert_eq!(world.control.status().rollout.waiting_for, ["b"]);
    world.input(Input::SwitchLost {
        connection: ConnectionId(4),
    });
    world.acknowledge();
    assert!(says_ready(&world.commit()));
    assert_eq!(world.node("b").state, NodeState::Waiting);
}

#[test]
fn a_restarted_controller_wants_the_same_and_holds_no_ready_pod_back() {
    let mut before = World::loaded();
    before.machine(1, view("a", 0xa));
    before.switch(2, 0xa);
    before.machine(1, with_pod(view("a", 0xa), None));
    before.acknowledge();
    assert!(says_ready(&before.commit()));
    before.acknowledge();
    let wanted = before.control.rollout.nodes().get("a").unwrap().digest();

    let mut after = World::loaded();
    after.machine(1, with_pod(view("a", 0xa), Some("true")));
    after.switch(2, 0xa);
    let told = after.effects.iter().find_map(|effect| match effect {
        Effect::Tell { command, .. } => Some(command),
        _ => None,
    });
    let told = told
        .unwrap()
        .wanted
        .iter()
        .find(|(layer, _)| *layer == Layer::Node);
    assert_eq!(
        told.unwrap().1.digest(),
        wanted,
        "the first thing it says is what the switch holds"
    );
    after.acknowledge();
    assert_eq!(after.pod().0, PodState::Ready);
}

#[test]
fn what_a_machine_said_stays_when_it_disconnects() {
    let mut world = World::loaded();
    world.machine(1, with_pod(view("a", 0xa), None));
    world.switch(2, 0xa);
    world.acknowledge();
    world.commit();
    world.told();
    world.input(Input::MachineLost {
        connection: ConnectionId(1),
    });
    assert_eq!(world.told(), [""; 0]);
    assert_eq!(world.pod().0, PodState::Ready);
    assert!(world.node("a").reason.unwrap().contains("stays in force"));
    world.machine(5, view("a", 0xa));
    assert_eq!(world.told().len(), 1, "the Pod is gone from the fresh view");
}

#[test]
fn a_switch_that_comes_back_before_its_machine_is_left_alone() {
    let mut world = World::loaded();
    world.machine(1, view("a", 0xa));
    world.switch(2, 0xa);
    world.acknowledge();
    world.input(Input::MachineLost {
        connection: ConnectionId(1),
    });
    world.input(Input::SwitchLost {
        connection: ConnectionId(2),
    });
    world.told();
    world.switch(3, 0xa);
    assert_eq!(world.told(), [""; 0]);
    world.machine(4, view("a", 0xa));
    assert_eq!(world.told().len(), 1);
}

#[test]
fn machines_that_contradict_are_refused_with_the_cure() {
    let mut world = World::loaded();
    world.machine(1, view("a", 0xa));
    world.machine(2, view("stranger", 0xc));
    world.machine(3, view("a", 0xd));
    world.machine(4, view("b", 0xa));
    let nodes = world.control.nodes().nodes;
    let refused: Vec<String> = nodes
        .into_iter()
        .filter(|node| node.state == NodeState::Refused)
        .map(|node| format!("{}: {}", node.name, node.reason.unwrap()))
        .collect();
    assert_eq!(refused.len(), 3, "{refused:?}");
    let all = refused.join("\n");
    assert!(all.contains("create node/stranger"), "{all}");
    assert!(all.contains("and so does machine-1"), "{all}");
    assert!(all.contains("datapath id 000000000000000a"), "{all}");

    // The Node object appears, and the first owner of the name goes.
    world.manifest(
        "more.yaml",
        Some("{apiVersion: v1, kind: Node, metadata: {name: stranger}}"),
    );
    world.input(Input::MachineLost {
        connection: ConnectionId(1),
    });
    let refused = world.control.nodes().nodes;
    let refused: Vec<&str> = refused
        .iter()
        .filter(|n| n.state == NodeState::Refused)
        .map(|n| n.name.as_str())
        .collect();
    assert_eq!(refused, [""; 0]);
}

#[test]
fn a_newer_connection_of_the_same_machine_replaces_the_older() {
    let mut world = World::loaded();
    world.machine(1, view("a", 0xa));
    world.switch(2, 0xa);
    world.machine(3, view("a", 0xa));
    world.switch(4, 0xa);
    let closed: Vec<u64> = world
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Close { connection } => Some(connection.0),
            _ => None,
        })
        .collect();
    assert_eq!(closed, [1, 2]);
    // What the old connections still say is nobody's word.
    world.input(Input::SwitchLost {
        connection: ConnectionId(2),
    });
    world.input(Input::MachineLost {
        connection: ConnectionId(1),
    });
    world.acknowledge();
    assert_eq!(world.node("a").state, NodeState::Programmed);
}

#[test]
fn a_refused_pod_gets_an_error_and_loses_its_mark() {
    let mut world = World::loaded();
    world.machine(1, view("b", 0xb));
    world.switch(2, 0xb);
    world.acknowledge();
    world.commit();
    world.machine(1, with_pod(view("b", 0xb), Some("true")));
    world.acknowledge();
    let written = world.commit().join("\n");
    assert!(
        written.contains("culvert-error") && written.contains("bound to node a"),
        "{written}"
    );
    assert!(
        written.contains(r#""delete",["set",["culvert-error","culvert-ready"]]"#),
        "{written}"
    );
    assert_eq!(world.pod().0, PodState::Refused);
}

#[test]
fn a_pod_whose_flow_the_switch_refused_is_not_ready() {
    let mut world = World::loaded();
    world.machine(1, with_pod(view("a", 0xa), None));
    world.switch(2, 0xa);
    let flows = world
        .control
        .flows(&FlowQuery::Object("pod/shop/web".parse().unwrap()))
        .unwrap();
    let cookie = flows
        .flows
        .first()
        .unwrap()
        .cookie
        .trim_start_matches("0x")
        .to_owned();
    let rejection = Rejection {
        layer: Layer::Node,
        entry: EntryId::Flow(Cookie(u64::from_str_radix(&cookie, 16).unwrap())),
        text: "the flow".to_owned(),
        error: "OFPFMFC_TABLE_FULL".to_owned(),
    };
    // It may come before or after the port is opened.
    world.acknowledge();
    world.input(Input::Rejected {
        connection: ConnectionId(2),
        rejection: Box::new(rejection),
    });
    world.effects.clear();
    world
        .control
        .machines
        .values_mut()
        .for_each(|machine| machine.writing = false);
    world.machine(1, with_pod(view("a", 0xa), None));
    let written = world.commit();
    assert!(!says_ready(&written), "{written:?}");
    assert!(
        written.join("").contains("OFPFMFC_TABLE_FULL"),
        "{written:?}"
    );
}

#[test]
fn a_pod_waits_until_tunnels_are_warm_in_both_directions_but_not_forever() {
    let pod = || with_pod(view("a", 0xa), None);
    let mut world = World::loaded();
    world.machine(1, with_agent(pod(), &[]));
    world.switch(2, 0xa);
    world.machine(3, with_agent(view("b", 0xb), &[]));
    world.switch(4, 0xb);
    world.acknowledge();
    assert!(!says_ready(&world.commit()));
    world.machine(1, with_agent(pod(), &["192.0.2.2"]));
    assert!(!says_ready(&world.commit()), "the way back is cold");
    assert!(
        world.pod().1.contains("node b has not resolved node a"),
        "{}",
        world.pod().1
    );
    world.machine(3, with_agent(view("b", 0xb), &["192.0.2.1"]));
    assert!(says_ready(&world.commit()));

    let mut world = World::loaded();
    world.machine(1, with_agent(pod(), &[]));
    world.switch(2, 0xa);
    world.machine(3, view("b", 0xb));
    world.switch(4, 0xb);
    world.acknowledge();
    assert!(!says_ready(&world.commit()));
    world.now = world.control.poll_timeout().unwrap();
    world.control.settle(world.now, &mut world.effects);
    assert!(says_ready(&world.commit()));
    assert_eq!(world.control.poll_timeout(), None);
}

#[test]
fn a_disconnected_peer_keeps_no_pod_waiting() {
    let mut world = World::loaded();
    world.machine(1, with_agent(with_pod(view("a", 0xa), None), &[]));
    world.switch(2, 0xa);
    world.machine(3, with_agent(view("b", 0xb), &[]));
    world.acknowledge();
    assert!(says_ready(&world.commit()));
}

#[test]
fn machines_learn_what_their_kernels_need_of_services_and_only_changes() {
    let mut world = World::loaded();
    world.machine(1, view("a", 0xa));
    drop(world.commit());
    let service = |endpoints: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{namespace: shop, name: front}}, \
             spec: {{type: LoadBalancer, clusterIPs: [10.96.0.77], clusterIP: 10.96.0.77, \
             externalTrafficPolicy: Local, healthCheckNodePort: 32000, ports: \
             [{{name: a, port: 80, nodePort: 30080}}, {{name: b, port: 81, nodePort: 30081}}]}}, \
             status: {{loadBalancer: {{ingress: [{{ip: 198.51.100.7}}]}}}}}}\n---\n\
             {{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {{name: one}}, \
             spec: {{cidrs: [10.96.0.0/16]}}}}\n---\n\
             {{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, metadata: \
             {{namespace: shop, name: front-1, labels: {{kubernetes.io/service-name: front}}}}, \
             ports: [{{name: a, port: 8080}}], endpoints: [{endpoints}]}}\n"
        )
    };
    let local = "{addresses: [10.10.1.9], nodeName: a}";
    world.manifest("svc.yaml", Some(&service(local)));
    let written = world.commit().join("");
    for pair in [
        r#"["culvert-service-cidrs","10.96.0.0/16"]"#,
        r#"["culvert-service-addresses","198.51.100.7"]"#,
        r#"["culvert-node-ports","tcp/30080-30081"]"#,
        r#"["culvert-health-checks","32000=shop/front=1"]"#,
    ] {
        assert!(written.contains(pair), "{pair} in {written}");
    }
    world.manifest("svc.yaml", Some(&service("")));
    let written = world.commit().join("");
    let none = r#"["culvert-health-checks","32000=shop/front=0"]"#;
    assert!(written.contains(none), "{written}");
    assert!(!written.contains("culvert-node-ports"), "{written}");
}

#[test]
fn machines_learn_their_peers_and_their_pod_cidrs() {
    let mut world = World::loaded();
    world.machine(1, view("a", 0xa));
    let written = world.commit().join("");
    assert!(
        written.contains(r#"["culvert-peers","192.0.2.2"]"#),
        "{written}"
    );
    assert!(
        written.contains(r#"["culvert-pod-cidrs","10.10.1.0/24"]"#),
        "{written}"
    );
    assert!(
        written.contains(r#"["culvert-cluster-cidrs","10.10.1.0/24,10.10.2.0/24"]"#),
        "{written}"
    );
    world.manifest(
        "c.yaml",
        Some("{apiVersion: v1, kind: Node, metadata: {name: c}, status: {addresses: [{type: InternalIP, address: 192.0.2.10}]}}"),
    );
    let written = world.commit().join("");
    assert!(
        written.contains(r#"["culvert-peers","192.0.2.2,192.0.2.10"]"#),
        "{written}"
    );
}

#[test]
fn tunnels_of_two_families_do_not_mix() {
    let mut world = World::loaded();
    let mut strange = view("a", 0xa);
    strange.bridge.as_mut().unwrap().encap = Some("2001:db8::1".parse().unwrap());
    world.machine(1, strange);
    world.machine(2, view("b", 0xb));
    let states = |world: &World| -> Vec<(NodeState, String)> {
        let nodes = world.control.nodes().nodes.into_iter();
        nodes
            .map(|node| (node.state, node.reason.unwrap_or_default()))
            .collect()
    };
    let refused = |(state, _): &(NodeState, String)| *state == NodeState::Refused;
    let (_, reason) = states(&world).into_iter().find(refused).unwrap();
    assert!(
        reason.contains("2001:db8::1")
            && reason.contains("start its agent with an IPv4 --encap-ip"),
        "{reason}"
    );
    // A Node without an address of the family is refused, too, and its peers do not hear of it.
    world.manifest(
        "c.yaml",
        Some("{apiVersion: v1, kind: Node, metadata: {name: c}, status: {addresses: [{type: InternalIP, address: 2001:db8::3}]}}"),
    );
    world.machine(3, view("c", 0xc));
    let written = world.commit().join("");
    assert!(!written.contains("2001:db8::3"), "{written}");
    let reasons: Vec<String> = states(&world)
        .into_iter()
        .map(|(_, reason)| reason)
        .collect();
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("node/c has InternalIP 2001:db8::3 only")),
        "{reasons:?}"
    );
}

#[test]
fn a_write_that_fails_is_tried_again() {
    let mut world = World::loaded();
    world.machine(1, view("a", 0xa));
    let write = world.effects.pop();
    let Some(Effect::Write { connection, facts }) = write else {
        panic!("{write:?}")
    };
    world.input(Input::Written {
        connection,
        facts,
        outcome: Err("no".to_owned()),
    });
    assert!(world.effects.is_empty());
    world.now = world.control.poll_timeout().unwrap();
    world.control.settle(world.now, &mut world.effects);
    assert_eq!(world.commit().len(), 1);
}

#[test]
fn changes_during_a_rollout_wait_and_come_as_one() {
    let mut world = World::loaded();
    world.machine(1, view("a", 0xa));
    world.switch(2, 0xa);
    world.told();
    for _ in 0..3 {
        world.manifest("policy.yaml", Some(POLICY));
        world.manifest("policy.yaml", None);
    }
    world.manifest("policy.yaml", Some(POLICY));
    assert_eq!(world.told(), [""; 0]);
    assert_eq!(world.control.status().rollout.pending_changes, 1);
    let batches = world.control.counters().batches;
    world.acknowledge();
    assert_eq!(world.control.counters().batches, batches + 1);
}

#[test]
fn every_cookie_on_a_switch_is_explained_markers_included() {
    let mut world = World::loaded();
    world.manifest("policy.yaml", Some(POLICY));
    world.machine(1, with_pod(view("a", 0xa), None));
    world.switch(2, 0xa);
    world.acknowledge();
    let rollout = &world.control.rollout;
    let cluster = rollout.cluster();
    let own = rollout.nodes().get("a").unwrap();
    let flows = cluster
        .flows()
        .iter()
        .chain(own.flows().iter())
        .map(|(cookie, _)| cookie);
    let markers = [
        crate::switch::config::cluster_marker().cookie(cluster.digest()),
        crate::switch::config::node_marker().cookie(own.digest()),
    ];
    for cookie in flows.chain(markers) {
        let found = world.control.flows(&FlowQuery::Cookie(cookie)).unwrap();
        assert!(
            found.flows.iter().all(|flow| !flow.causes.is_empty()),
            "{cookie}"
        );
    }
    let unknown = world
        .control
        .flows(&FlowQuery::Cookie(Cookie(1)))
        .unwrap_err()
        .to_string();
    assert!(unknown.contains("0x1"), "{unknown}");
}
