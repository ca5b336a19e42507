// SPDX-License-Identifier: Apache-2.0
//! What the compiled switches let through is what the API says, for random clusters.

use std::collections::BTreeMap;
use std::net::IpAddr;

use flow_sim::Packet;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use policy_compiler::model::{Families, Family, Protocol, RuleAction};
use policy_compiler::{Change, Compiler, Config, End, Kind, Object, ObjectKey, Question};
use proptest::prelude::*;
use reference::{Outcome, Party};
use serde_json::Value;

use crate::packets::Net;
use crate::world::{self, PodSpecimen};

type Labels = BTreeMap<String, String>;

pub(crate) const CLIENT_PORT: u16 = 40_000;

#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) families: Families,
    pub(crate) underlay: Family,
    pub(crate) namespaces: Vec<Labels>,
    pub(crate) pods: Vec<PodSpecimen>,
    pub(crate) policies: Vec<NetworkPolicy>,
    pub(crate) cluster_policies: Vec<Value>,
    pub(crate) service: Labels,
}

pub(crate) fn cluster() -> impl Strategy<Value = Cluster> {
    let families = (world::families(), world::family());
    families.prop_flat_map(|(families, underlay)| {
        let namespaces = prop::collection::vec(world::labels(), world::NAMESPACES.len());
        let objects = (
            namespaces,
            world::pods(families),
            world::policies(),
            world::cluster_policies(),
            world::labels(),
        );
        objects.prop_map(
            move |(namespaces, pods, policies, cluster_policies, service)| Cluster {
                families,
                underlay,
                namespaces,
                pods,
                policies,
                cluster_policies,
                service,
            },
        )
    })
}

impl Cluster {
    pub(crate) fn compile(&self) -> Compiler {
        let mut compiler = Compiler::new(&Config {
            cluster_secret: [9; 32],
        });
        let mut changes = world::nodes(self.families, self.underlay);
        for (index, labels) in self.namespaces.iter().enumerate() {
            changes.push(Change::Apply(world::namespace(index, labels)));
        }
        for pod in &self.pods {
            changes.push(Change::Apply(pod.object()));
            changes.push(Change::Attach(pod.attachment(true)));
        }
        changes.extend(self.policy_changes());
        changes.push(Change::Apply(world::service("front", &self.service)));
        let output = compiler.apply(changes);
        assert!(output.rejected.is_empty(), "{:?}", output.rejected);
        compiler
    }

    fn policy_changes(&self) -> impl Iterator<Item = Change> {
        let objects = self.policies.iter().cloned();
        let cluster = self.cluster_policies.iter();
        let cluster = cluster.map(|written| Change::Apply(world::cluster_policy_object(written)));
        objects
            .map(|policy| Change::Apply(Object::NetworkPolicy(Box::new(policy))))
            .chain(cluster)
    }

    /// A Pod as a connection over one of its addresses sees it.
    pub(crate) fn party(&self, pod: usize, address: IpAddr) -> Party {
        let pod = &self.pods[pod];
        let name = world::NAMESPACES[pod.namespace];
        let mut namespace_labels = self.namespaces[pod.namespace].clone();
        namespace_labels.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
        Party {
            namespace: name.to_owned(),
            namespace_labels,
            labels: pod.labels.clone(),
            address,
            named_ports: pod
                .http
                .map(|number| ("http".to_owned(), "TCP", number))
                .into_iter()
                .collect(),
        }
    }

    /// Pods that serve the Service, which lives in the first namespace.
    fn endpoints(&self) -> Vec<usize> {
        let serves = |pod: &PodSpecimen| {
            let labels = &self.service;
            !labels.is_empty()
                && pod.namespace == 0
                && labels.iter().all(|(k, v)| pod.labels.get(k) == Some(v))
        };
        (0..self.pods.len())
            .filter(|index| serves(&self.pods[*index]))
            .collect()
    }

    /// Pods and how they can reach each other: of every family that both have, their addresses.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = Pair> {
        let pods = self.pods.len();
        let pairs = (0..pods).flat_map(move |from| (0..pods).map(move |to| (from, to)));
        let of_family = move |from: usize, to: usize, family| {
            let (src, dst) = (
                self.pods[from].address(family)?,
                self.pods[to].address(family)?,
            );
            (from != to).then_some(Pair { from, to, src, dst })
        };
        pairs.flat_map(move |(from, to)| {
            Family::ALL
                .into_iter()
                .filter_map(move |family| of_family(from, to, family))
        })
    }

    /// What the API says of a connection; staged policies do not count.
    pub(crate) fn judge(&self, pair: Pair, protocol: &str, port: u16) -> Outcome {
        let (from, to) = (
            self.party(pair.from, pair.src),
            self.party(pair.to, pair.dst),
        );
        self.judge_parties(&from, &to, protocol, port)
    }

    /// The same for anybody.
    pub(crate) fn judge_parties(
        &self,
        from: &Party,
        to: &Party,
        protocol: &str,
        port: u16,
    ) -> Outcome {
        let mut policies = self.policies.clone();
        policies.retain(|policy| !world::is_staged(policy.metadata.annotations.as_ref()));
        let mut cluster_policies = self.cluster_policies.clone();
        cluster_policies.retain(|policy| policy["metadata"]["annotations"].is_null());
        let rules = reference::Rules {
            policies: &policies,
            cluster_policies: &cluster_policies,
            hosts: &world::hosts(self.underlay),
        };
        reference::judge(rules, from, to, protocol, port)
    }
}

/// The cluster with one of its policies staged, and with all in force.
fn with_one_staged(mut cluster: Cluster, chosen: usize) -> (Cluster, Cluster) {
    let stage = |cluster: &mut Cluster, chosen: Option<usize>| {
        let (own, of_cluster) = (&mut cluster.policies, &mut cluster.cluster_policies);
        let first = own.len();
        for (index, policy) in own.iter_mut().enumerate() {
            world::stage(policy, chosen == Some(index));
        }
        for (index, policy) in of_cluster.iter_mut().enumerate() {
            world::stage_cluster_policy(policy, chosen == Some(first + index));
        }
    };
    stage(&mut cluster, None);
    let mut staged = cluster.clone();
    let count = cluster.policies.len() + cluster.cluster_policies.len();
    stage(&mut staged, chosen.checked_rem(count));
    (staged, cluster)
}

/// Two Pods, each with one of its addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
}

impl Pair {
    fn back(self) -> Self {
        Self {
            from: self.to,
            to: self.from,
            src: self.dst,
            dst: self.src,
        }
    }
}

fn question(pair: Pair, protocol: &str, port: u16) -> Question {
    let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let protocol = all
        .into_iter()
        .find(|known| known.to_string() == protocol.to_lowercase());
    Question {
        from: End::Address(pair.src),
        to: End::Address(pair.dst),
        protocol: protocol.expect("a protocol of policies"),
        port,
    }
}

pub(crate) fn packet(protocol: &str, src: (IpAddr, u16), dst: (IpAddr, u16)) -> Packet {
    match protocol {
        "TCP" => Packet::tcp(src, dst),
        "UDP" => Packet::udp(src, dst),
        "SCTP" => Packet::sctp(src, dst),
        other => panic!("no packet of protocol {other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn packets_pass_exactly_when_the_api_says_so(cluster in cluster()) {
        let compiler = cluster.compile();
        let mut net = Net::new(&compiler, &cluster.pods);
        // Every probe from a port of its own: no connection of an earlier one helps.
        let mut client_ports = CLIENT_PORT..;
        for pair in cluster.pairs() {
            let Pair { from, to, src, dst } = pair;
            for protocol in ["TCP", "UDP", "SCTP"] {
                for port in [80, 8080, 81] {
                    let client_port = client_ports.next().expect("few probes");
                    let expected = cluster.judge(pair, protocol, port);
                    let sent = packet(protocol, (src, client_port), (dst, port));
                    let seen = net.send(from, sent);
                    let outcome = if seen.is_some() { Outcome::Passes } else { Outcome::Dropped };
                    // And so does the answer to the question.
                    let asked = question(pair, protocol, port);
                    let verdict = compiler.verdict(&asked).expect("the Pods are there");
                    prop_assert_eq!(verdict.allowed, seen.is_some(), "{:?}: {:#?}", asked, verdict);
                    prop_assert!(
                        outcome == expected || expected == Outcome::Either,
                        "{} {}:{} -> {}:{} {:?} and not {:?}",
                        protocol, src, client_port, dst, port, outcome, expected
                    );
                    prop_assert!(seen.as_ref().is_none_or(|delivery| delivery.pod == to));
                    // The answer passes whatever the policies of that direction say...
                    if let Some(delivery) = seen {
                        let answer = net.send(to, delivery.packet.answer());
                        prop_assert_eq!(answer.map(|d| d.pod), Some(from), "answer");
                        let more = packet(protocol, (src, client_port), (dst, port));
                        prop_assert!(net.send(from, more).is_some(), "established");
                    } else {
                        // ...but a denied packet opens nothing for what looks like its answer.
                        let forged = packet(protocol, (dst, port), (src, client_port));
                        // The drop names who decided it.
                        let denied_by = net.denied_by().expect("policy dropped it");
                        let mut causes = compiler.explain(denied_by).into_iter().flat_map(|e| e.causes);
                        prop_assert!(
                            causes.all(|cause| cause.decision.is_some_and(|d| d.action == RuleAction::Deny)),
                        );
                        let allowed = cluster.judge(pair.back(), protocol, client_port);
                        let seen = net.send(to, forged);
                        let outcome = if seen.is_some() { Outcome::Passes } else { Outcome::Dropped };
                        prop_assert!(
                            outcome == allowed || allowed == Outcome::Either,
                            "answer to a denied packet"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_staged_policy_counts_what_it_would_drop_and_drops_nothing(
        cluster in cluster(),
        chosen in 0..8usize,
    ) {
        let (staged, in_force) = with_one_staged(cluster, chosen);
        let compiler = staged.compile();
        let mut net = Net::new(&compiler, &staged.pods);
        let mut client_ports = CLIENT_PORT..;
        for pair in staged.pairs() {
            for (protocol, port) in [("TCP", 80), ("TCP", 8080), ("UDP", 80), ("SCTP", 81)] {
                let now = staged.judge(pair, protocol, port);
                let then = in_force.judge(pair, protocol, port);
                let client_port = client_ports.next().expect("few probes");
                let sent = packet(protocol, (pair.src, client_port), (pair.dst, port));
                let passes = net.send(pair.from, sent).is_some();
                prop_assert!(now == Outcome::Either || passes == (now == Outcome::Passes));
                if !passes || now == Outcome::Either || then == Outcome::Either {
                    continue;
                }
                let explained = net.staged().iter().flat_map(|cookie| compiler.explain(*cookie));
                let decisions = explained.flat_map(|found| found.causes);
                let decisions = decisions.filter_map(|cause| cause.decision).filter(|d| d.staged);
                let would: Vec<RuleAction> = decisions.map(|decision| decision.action).collect();
                // What it passes on, another policy may deny.
                if !would.contains(&RuleAction::Pass) {
                    prop_assert_eq!(
                        would.contains(&RuleAction::Deny), then == Outcome::Dropped,
                        "{:?} {} {}: {:?}", pair, protocol, port, would
                    );
                }
            }
        }
    }

    #[test]
    fn a_service_leads_to_an_endpoint_that_policy_allows(cluster in cluster()) {
        let compiler = cluster.compile();
        let endpoints = cluster.endpoints();
        let clients = (0..cluster.pods.len()).flat_map(|from| {
            let addresses = cluster.pods[from].addresses().iter();
            addresses.map(move |src| (from, src))
        });
        for (from, src) in clients {
            let family = Family::of(src);
            let vip = world::VIPS.map(|vip| vip.parse().unwrap());
            let vip: IpAddr = vip[family as usize];
            let pair = |to: usize, dst| Pair { from, to, src, dst };
            let reach = |to: &usize| Some(pair(*to, cluster.pods[*to].address(family)?));
            let reachable: Vec<Pair> = endpoints.iter().filter_map(reach).collect();
            for protocol in ["TCP", "UDP"] {
                for client_port in CLIENT_PORT..CLIENT_PORT + 4 {
                    let mut net = Net::new(&compiler, &cluster.pods);
                    let client = (src, client_port);
                    let first = packet(protocol, client, (vip, world::SERVICE_PORT));
                    let Some(delivery) = net.send(from, first.clone()) else {
                        // Dropped: there must be an endpoint that explains it, or none at all.
                        let explained = reachable.is_empty() || reachable.iter().any(|pair| {
                            pair.to == from
                                || cluster.judge(*pair, protocol, world::TARGET_PORT) != Outcome::Passes
                        });
                        prop_assert!(explained, "dropped, but every endpoint is allowed");
                        continue;
                    };
                    let pair = reachable.iter().find(|pair| pair.to == delivery.pod);
                    let pair = *pair.expect("it is an endpoint");
                    let judged = cluster.judge(pair, protocol, world::TARGET_PORT);
                    prop_assert!(judged != Outcome::Dropped, "policy is about the endpoint and its port");
                    prop_assert_eq!(delivery.packet.as_ip().unwrap().dst, pair.dst);
                    let answer = net.send(delivery.pod, delivery.packet.answer());
                    let answer = answer.expect("the answer passes");
                    prop_assert_eq!(answer.pod, from);
                    prop_assert_eq!(answer.packet.as_ip().unwrap().src, vip);
                    let again = net.send(from, first).map(|d| d.pod);
                    prop_assert_eq!(again, Some(delivery.pod), "the connection stays where it is");
                }
            }
        }
    }

    #[test]
    fn a_policy_change_cuts_and_mends_established_connections(
        before in cluster(),
        policies in world::policies(),
        cluster_policies in world::cluster_policies(),
    ) {
        let after = Cluster { policies, cluster_policies, ..before.clone() };
        let (old, new) = (before.compile(), after.compile());
        let surely = |outcome| outcome != Outcome::Either;
        for pair in before.pairs().filter(|pair| {
            before.judge(*pair, "TCP", 80) == Outcome::Passes
                && surely(after.judge(*pair, "TCP", 80))
        }) {
            let mut net = Net::new(&old, &before.pods);
            let Pair { from, to, src, dst } = pair;
            let forward = Packet::tcp((src, CLIENT_PORT), (dst, 80));
            let delivery = net.send(from, forward.clone()).expect("allowed before");
            let answer = delivery.packet.answer();
            prop_assert!(net.send(to, answer.clone()).is_some());

            net.load(&new);
            let still = after.judge(pair, "TCP", 80) == Outcome::Passes;
            let forward = forward.with_tcp_flags(0x10);
            prop_assert_eq!(net.send(from, forward.clone()).is_some(), still, "forward");
            if !still {
                // The denial also ends what came back by conntrack, unless policy allows it anyway.
                let anyway = after.judge(pair.back(), "TCP", CLIENT_PORT);
                let seen = net.send(to, answer.with_tcp_flags(0x10));
                if surely(anyway) {
                    prop_assert_eq!(
                        seen.is_some(), anyway == Outcome::Passes, "answers after the denial"
                    );
                }
                continue;
            }
            prop_assert!(net.send(to, answer.with_tcp_flags(0x10)).is_some(), "answers go on");
        }
    }

    #[test]
    fn a_connection_that_switches_have_forgotten_goes_on_when_its_client_speaks(
        cluster in cluster(),
        forgetful in prop::sample::subsequence(vec![0, 1], 1..=2),
        protocol in prop::sample::select(vec!["TCP", "UDP"]),
    ) {
        let compiler = cluster.compile();
        for pair in cluster.pairs().filter(|pair| {
            cluster.judge(*pair, protocol, 80) == Outcome::Passes
        }) {
            let mut net = Net::new(&compiler, &cluster.pods);
            let Pair { from, to, src, dst } = pair;
            let first = packet(protocol, (src, CLIENT_PORT), (dst, 80));
            let delivery = net.send(from, first.clone()).expect("it is allowed");
            let answer = delivery.packet.answer();
            prop_assert!(net.send(to, answer.clone()).is_some());

            for node in &forgetful {
                net.forget(*node);
            }
            let next = |packet: &Packet| match protocol {
                "TCP" => packet.clone().with_tcp_flags(0x10),
                _ => packet.clone(),
            };
            // The server may be the first to say something again.
            let _perhaps_seen = net.send(to, next(&answer));
            prop_assert!(net.send(from, next(&first)).is_some(), "the client is heard");
            prop_assert!(net.send(to, next(&answer)).is_some(), "and answered");
        }
    }
}

/// A Pod without labels on the first node.
pub(crate) fn plain(number: u8, families: Families) -> PodSpecimen {
    PodSpecimen {
        namespace: 0,
        number,
        node: 0,
        labels: Labels::new(),
        http: None,
        families,
    }
}

/// A cluster of both families without policies.
pub(crate) fn open(pods: &[PodSpecimen]) -> Cluster {
    Cluster {
        families: Families::Both,
        underlay: Family::V4,
        namespaces: vec![Labels::new(); 3],
        pods: pods.to_vec(),
        policies: Vec::new(),
        cluster_policies: Vec::new(),
        service: Labels::new(),
    }
}

#[test]
fn a_pod_sends_only_from_its_own_addresses() {
    let pods = [0, 1].map(|number| plain(number, Families::Both));
    let mut net = Net::new(&open(&pods).compile(), &pods);
    for (family, forged) in Family::ALL.into_iter().zip(["10.10.1.200", "fd00:a:1::c8"]) {
        let [own, other] = [0, 1].map(|pod: usize| pods[pod].address(family).unwrap());
        assert!(net.send(0, Packet::udp((own, 1), (other, 2))).is_some());
        let forged: IpAddr = forged.parse().unwrap();
        assert!(net.send(0, Packet::udp((forged, 1), (other, 2))).is_none());
        // Nor with another's link-layer address.
        let packet = Packet::udp((own, 1), (other, 2))
            .with_eth(
                crate::packets::mac(0x0a58_0000_0001),
                crate::packets::mac(0),
            )
            .arriving_on(pods[0].port());
        assert!(net.inject(0, packet).is_none());
    }
}

#[test]
fn a_pod_of_one_family_has_no_flow_of_the_other() {
    let pods = [plain(0, world::V4), plain(1, Families::Both)];
    let mut net = Net::new(&open(&pods).compile(), &pods);
    let lent = plain(0, Families::Both).address(Family::V6).unwrap();
    let other = pods[1].address(Family::V6).unwrap();
    assert!(net.send(0, Packet::udp((lent, 1), (other, 2))).is_none());
    assert!(net.send(1, Packet::udp((other, 2), (lent, 1))).is_none());
}

#[test]
fn errors_about_an_allowed_connection_pass_in_both_families_and_no_others() {
    let mut pods = [0, 1].map(|number| plain(number, Families::Both));
    pods[0].labels.insert("app".to_owned(), "a".to_owned());
    let isolating = serde_json::json!({
        "metadata": {"name": "isolating", "namespace": world::NAMESPACES[0]},
        "spec": {"podSelector": {"matchLabels": {"app": "a"}}, "policyTypes": ["Ingress"]},
    });
    let isolating = serde_json::from_value(isolating).expect("a policy");
    let mut compiler = open(&pods).compile();
    compiler.apply([Change::Apply(Object::NetworkPolicy(Box::new(isolating)))]);
    let mut net = Net::new(&compiler, &pods);
    for family in Family::ALL {
        let [client, server] = [0, 1].map(|pod: usize| pods[pod].address(family).unwrap());
        let unheard = Packet::udp((client, 7), (server, 8));
        let error = unheard.unreachable(server).expect("an IP packet");
        assert!(net.send(1, error).is_none(), "about no connection");
        let delivery = net.send(0, Packet::udp((client, 1), (server, 2)));
        let heard = delivery.expect("nothing isolates the server").packet;
        let error = heard.unreachable(server).expect("an IP packet");
        assert_eq!(net.send(1, error).map(|d| d.pod), Some(0), "{family}");
    }
}

#[test]
fn a_verdict_through_a_service_is_about_each_endpoint_of_the_family() {
    let mut pods = [0, 1, 2].map(|number| plain(number, Families::Both));
    for pod in &mut pods[1..] {
        pod.labels.insert("app".to_owned(), "a".to_owned());
    }
    pods[2].labels.insert("tier".to_owned(), "2".to_owned());
    let mut cluster = open(&pods);
    cluster.service = Labels::from([("app".to_owned(), "a".to_owned())]);
    let isolating = serde_json::json!({
        "metadata": {"name": "isolating", "namespace": world::NAMESPACES[pods[2].namespace]},
        "spec": {"podSelector": {"matchLabels": {"tier": "2"}}, "policyTypes": ["Ingress"]},
    });
    let isolating: NetworkPolicy = serde_json::from_value(isolating).expect("a policy");
    cluster.policies.push(isolating);
    let compiler = cluster.compile();
    let ask = |from: usize| {
        let question = Question {
            from: End::Address(pods[from].address(Family::V6).unwrap()),
            to: End::Service(ObjectKey::new(Kind::Service, world::NAMESPACES[0], "front")),
            protocol: Protocol::Tcp,
            port: world::SERVICE_PORT,
        };
        let verdict = compiler.verdict(&question).expect("the Service is there");
        assert!(!verdict.allowed, "one endpoint is isolated");
        let endpoints = verdict.endpoints.iter();
        let answers: Vec<_> = endpoints
            .map(|one| (one.address, one.port, one.verdict.allowed))
            .collect();
        answers
    };
    let [open, isolated] = [1, 2].map(|pod: usize| pods[pod].address(Family::V6));
    let port = world::TARGET_PORT;
    let wanted = [(open, port, true), (isolated, port, false)];
    assert_eq!(ask(0), wanted);
    // A Pod that reaches itself by a Service is subject to policies.
    assert_eq!(ask(2), wanted);
}

#[test]
fn a_port_opens_only_when_admitted() {
    let (pod, other) = (plain(0, world::V4), plain(1, world::V4));
    let mut compiler = Compiler::new(&Config {
        cluster_secret: [9; 32],
    });
    compiler.apply(world::nodes(world::V4, Family::V4));
    compiler.apply([
        Change::Apply(pod.object()),
        Change::Apply(other.object()),
        Change::Attach(pod.attachment(false)),
        Change::Attach(other.attachment(true)),
    ]);
    let pods = [pod.clone(), other.clone()];
    let address = |pod: &PodSpecimen| pod.address(Family::V4).unwrap();
    let packet = || Packet::udp((address(&pod), 1), (address(&other), 2));
    assert!(Net::new(&compiler, &pods).send(0, packet()).is_none());
    let output = compiler.apply([Change::Admit(pod.attachment_key())]);
    let added: usize = output.nodes.values().map(|delta| delta.add.len()).sum();
    assert_eq!(
        (added, output.cluster.add.len()),
        (1, 0),
        "one flow opens a port"
    );
    assert!(Net::new(&compiler, &pods).send(0, packet()).is_some());
}
