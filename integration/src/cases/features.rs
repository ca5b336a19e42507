// SPDX-License-Identifier: Apache-2.0
//! The cases, made by feature: peers, ports, targets, rules, conflicts, actions, corner cases of the
//! API, cluster policies, and random policies.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use reference::{Dice, Labels, Vocabulary};

use super::cluster_features;
use super::draft::{
    Direction, RuleWords, apply, block, delete, everything, expression, label, named_port, one_way,
    peer, policy, port, ports,
};
use super::{Addresses, Case, PORTS, PROTOCOLS, Step, labels, port_name};
use crate::PodId;

/// Random cases beside those by feature.
const RANDOM: usize = 24;

/// Every case, for Pods with these addresses; the random ones follow from `seed`.
pub fn all(addresses: &Addresses, seed: u64) -> Vec<Case> {
    let mut cases = peers(addresses);
    cases.extend(ports_and_protocols());
    cases.extend(targets());
    cases.extend(rules());
    cases.extend(conflicts(addresses));
    cases.extend(actions());
    cases.extend(corner_cases(addresses));
    cases.extend(cluster_features::cases(addresses));
    cases.extend(random(seed));
    cases
}

pub(super) fn case(feature: &'static str, name: impl Into<String>, steps: Vec<Vec<Step>>) -> Case {
    Case {
        feature,
        name: name.into(),
        steps,
    }
}

/// One policy for Pod `x/a`, one direction, one rule.
fn simple(feature: &'static str, name: String, direction: Direction, rule: RuleWords) -> Case {
    let made = one_way("p", label("pod", "a"), direction, vec![rule]);
    let name = format!("{} {name}", direction.word());
    case(feature, name, vec![vec![apply(made)]])
}

fn pod_selectors() -> Vec<(&'static str, LabelSelector)> {
    vec![
        ("all", everything()),
        ("pod=b", label("pod", "b")),
        ("pod in (a, b)", expression("pod", "In", &["a", "b"])),
        ("pod notin (b)", expression("pod", "NotIn", &["b"])),
        ("pod exists", expression("pod", "Exists", &[])),
        ("pod does not exist", expression("pod", "DoesNotExist", &[])),
        ("pod=nobody", label("pod", "nobody")),
    ]
}

fn namespace_selectors() -> Vec<(&'static str, LabelSelector)> {
    vec![
        ("all", everything()),
        ("ns=y", label("ns", "y")),
        ("name=y", label("kubernetes.io/metadata.name", "y")),
        ("ns in (x, y)", expression("ns", "In", &["x", "y"])),
        ("ns notin (x)", expression("ns", "NotIn", &["x"])),
        ("ns exists", expression("ns", "Exists", &[])),
        ("ns=nowhere", label("ns", "nowhere")),
    ]
}

fn peers(addresses: &Addresses) -> Vec<Case> {
    let mut words: Vec<(String, NetworkPolicyPeer)> = Vec::new();
    for (pods, selector) in pod_selectors() {
        words.push((format!("pods {pods}"), peer(None, Some(selector))));
    }
    for (namespaces, selector) in namespace_selectors() {
        let name = format!("namespaces {namespaces}");
        words.push((name, peer(Some(selector.clone()), None)));
        for (pods, pod_selector) in pod_selectors() {
            let name = format!("namespaces {namespaces}, pods {pods}");
            words.push((name, peer(Some(selector.clone()), Some(pod_selector))));
        }
    }
    let [b4, b6] = host(addresses, "y", "b");
    let [c4, c6] = host(addresses, "y", "c");
    let blocks: [(&str, &str, &[&str]); 10] = [
        ("the IPv4 address of a Pod", &b4, &[]),
        ("the IPv6 address of a Pod", &b6, &[]),
        ("one node's IPv4 addresses", "10.10.1.0/24", &[]),
        ("one node's IPv6 addresses", "fd00:10:1::/64", &[]),
        ("all IPv4 addresses but one Pod's", "0.0.0.0/0", &[&c4]),
        ("all IPv6 addresses but one Pod's", "::/0", &[&c6]),
        (
            "all IPv4 addresses but a node's",
            "10.0.0.0/8",
            &["10.10.2.0/24"],
        ),
        (
            "all IPv6 addresses but a node's",
            "fd00::/8",
            &["fd00:10:2::/64"],
        ),
        ("IPv4 addresses of nobody", "192.0.2.0/24", &[]),
        ("IPv6 addresses of nobody", "2001:db8::/32", &[]),
    ];
    words.extend(blocks.map(|(name, cidr, except)| (name.to_owned(), block(cidr, except))));
    let mut cases = Vec::new();
    for direction in Direction::ALL {
        for (name, peer) in &words {
            let rule = (Some(vec![peer.clone()]), None);
            cases.push(simple("peers", name.clone(), direction, rule));
        }
        let both = vec![
            peer(None, Some(label("pod", "b"))),
            peer(Some(label("ns", "z")), Some(label("pod", "c"))),
        ];
        let of_both_families = vec![block(&b4, &[]), block(&b6, &[])];
        for (name, peers) in [
            ("missing", None),
            ("empty list", Some(Vec::new())),
            ("either of two", Some(both)),
            ("both addresses of a Pod", Some(of_both_families)),
        ] {
            cases.push(simple("peers", name.to_owned(), direction, (peers, None)));
        }
    }
    cases
}

fn ports_and_protocols() -> Vec<Case> {
    let mut words = vec![
        ("empty list".to_owned(), Some(Vec::new())),
        (
            "80, protocol missing".to_owned(),
            Some(vec![port(None, Some(80))]),
        ),
        (
            "protocol and port missing".to_owned(),
            Some(vec![port(None, None)]),
        ),
        (
            "tcp/80 or udp/81".to_owned(),
            Some(vec![
                port(Some("TCP"), Some(80)),
                port(Some("UDP"), Some(81)),
            ]),
        ),
        (
            "any port of any protocol".to_owned(),
            Some(PROTOCOLS.map(|one| port(Some(one), None)).to_vec()),
        ),
    ];
    for protocol in PROTOCOLS {
        let some = Some(protocol);
        let mut add = |name: &str, list| words.push((format!("{protocol} {name}"), Some(list)));
        add("any port", vec![port(some, None)]);
        for number in PORTS {
            add(&format!("{number}"), vec![port(some, Some(number))]);
            let name = port_name(protocol, number);
            add(&name, vec![named_port(some, &name)]);
        }
        add("name of nobody", vec![named_port(some, "nobody")]);
        let other = if protocol == "TCP" { "UDP" } else { "TCP" };
        let name = port_name(other, 80);
        add(&format!("name of {other}"), vec![named_port(some, &name)]);
        add("80 to 81", vec![ports(some, 80, 81)]);
        add("1 to 80", vec![ports(some, 1, 80)]);
        add("81 to 65535", vec![ports(some, 81, 65_535)]);
        add("82 to 90", vec![ports(some, 82, 90)]);
    }
    let mut cases = Vec::new();
    for direction in Direction::ALL {
        for (name, list) in &words {
            let rule = (None, list.clone());
            cases.push(simple("ports", name.clone(), direction, rule));
        }
    }
    cases
}

fn targets() -> Vec<Case> {
    let mut cases = Vec::new();
    for direction in Direction::ALL {
        for (name, selector) in pod_selectors() {
            let rules = vec![(Some(vec![peer(Some(label("ns", "y")), None)]), None)];
            let made = one_way("p", selector, direction, rules);
            let name = format!("{} of pods {name}", direction.word());
            cases.push(case("targets", name, vec![vec![apply(made)]]));
        }
    }
    cases
}

fn rules() -> Vec<Case> {
    let from_y = || (Some(vec![peer(Some(label("ns", "y")), None)]), None);
    let on_80 = || (None, Some(vec![port(Some("TCP"), Some(80))]));
    let both: &[&str] = &["Ingress", "Egress"];
    let subject = || label("pod", "a");
    let made = [
        (
            "no rule, types missing",
            policy("p", subject(), None, None, None),
        ),
        (
            "egress rules, types missing",
            policy("p", subject(), None, None, Some(vec![on_80()])),
        ),
        (
            "empty list of egress rules, types missing",
            policy("p", subject(), None, None, Some(Vec::new())),
        ),
        (
            "ingress rules, types missing",
            policy("p", subject(), None, Some(vec![from_y()]), None),
        ),
        (
            "egress rules that types leave out",
            policy(
                "p",
                subject(),
                Some(&["Ingress"]),
                None,
                Some(vec![on_80()]),
            ),
        ),
        (
            "ingress rules that types leave out",
            policy("p", subject(), Some(&["Egress"]), Some(vec![on_80()]), None),
        ),
        (
            "both types, no rule",
            policy("p", subject(), Some(both), None, None),
        ),
        (
            "both types, a rule each",
            policy(
                "p",
                subject(),
                Some(both),
                Some(vec![from_y()]),
                Some(vec![on_80()]),
            ),
        ),
        (
            "an empty rule",
            policy(
                "p",
                subject(),
                Some(both),
                Some(vec![(None, None)]),
                Some(vec![(None, None)]),
            ),
        ),
        (
            "two rules",
            policy(
                "p",
                subject(),
                Some(&["Ingress"]),
                Some(vec![from_y(), on_80()]),
                None,
            ),
        ),
        (
            "two rules, of which one allows all",
            policy(
                "p",
                everything(),
                Some(&["Egress"]),
                None,
                Some(vec![from_y(), (None, None)]),
            ),
        ),
        (
            "peers and ports of one rule belong together",
            policy(
                "p",
                everything(),
                Some(&["Ingress"]),
                Some(vec![(from_y().0, on_80().1)]),
                None,
            ),
        ),
    ];
    let made = made.into_iter();
    made.map(|(name, policy)| case("rules", name, vec![vec![apply(policy)]]))
        .collect()
}

fn conflicts(addresses: &Addresses) -> Vec<Case> {
    let mut cases = Vec::new();
    for direction in Direction::ALL {
        let make = |name: &str, rules| one_way(name, label("pod", "a"), direction, rules);
        let to = |peer| vec![(Some(vec![peer]), None)];
        let [v4, v6] = host(addresses, "z", "b");
        let addresses = vec![block(&v4, &[]), block(&v6, &[])];
        let deny = || make("deny", Vec::new());
        let others = [
            ("all", make("all", vec![(None, None)])),
            (
                "pods",
                make("pods", to(peer(None, Some(label("pod", "b"))))),
            ),
            (
                "namespaces",
                make("namespaces", to(peer(Some(label("ns", "y")), None))),
            ),
            (
                "addresses",
                make("addresses", vec![(Some(addresses), None)]),
            ),
            (
                "a port",
                make(
                    "port",
                    vec![(None, Some(vec![port(Some("TCP"), Some(81))]))],
                ),
            ),
        ];
        for (name, other) in &others {
            let name = format!("{} none, and {name}", direction.word());
            let steps = vec![vec![apply(deny()), apply(other.clone())]];
            cases.push(case("conflicts", name, steps));
        }
        for ((a, one), (b, other)) in others.iter().skip(1).zip(others.iter().skip(2)) {
            let name = format!("{} {a}, and {b}", direction.word());
            let steps = vec![vec![apply(one.clone()), apply(other.clone())]];
            cases.push(case("conflicts", name, steps));
        }
    }
    cases
}

fn actions() -> Vec<Case> {
    let from = |key, value| vec![(Some(vec![peer(None, Some(label(key, value)))]), None)];
    let from_ns = |value| vec![(Some(vec![peer(Some(label("ns", value)), None)]), None)];
    let mut cases = Vec::new();
    for direction in Direction::ALL {
        let make = |subject, rules| apply(one_way("p", subject, direction, rules));
        let mut add = |name: &str, steps| {
            cases.push(case(
                "actions",
                format!("{} {name}", direction.word()),
                steps,
            ));
        };
        let pod = |name: &str| PodId::new("x", name);
        let to_b = || make(label("pod", "a"), from("pod", "b"));
        add("create and delete", vec![vec![to_b()], vec![delete("p")]]);
        add(
            "edit",
            vec![
                vec![to_b()],
                vec![make(label("pod", "a"), from("pod", "c"))],
            ],
        );
        add(
            "select others",
            vec![
                vec![to_b()],
                vec![make(label("pod", "c"), from("pod", "b"))],
            ],
        );
        add(
            "a Pod becomes a peer",
            vec![
                vec![to_b()],
                vec![Step::LabelPod(pod("c"), labels(&[("pod", "b")]))],
            ],
        );
        add(
            "a Pod is a peer no more",
            vec![vec![to_b()], vec![Step::LabelPod(pod("b"), Labels::new())]],
        );
        add(
            "a Pod becomes a target",
            vec![
                vec![to_b()],
                vec![Step::LabelPod(pod("c"), labels(&[("pod", "a")]))],
            ],
        );
        add(
            "a Pod is a target no more",
            vec![
                vec![to_b()],
                vec![Step::LabelPod(pod("a"), labels(&[("pod", "q")]))],
            ],
        );
        let to_y = || make(everything(), from_ns("y"));
        add(
            "a namespace becomes a peer",
            vec![
                vec![to_y()],
                vec![Step::LabelNamespace("z".to_owned(), labels(&[("ns", "y")]))],
            ],
        );
        add(
            "a namespace is a peer no more",
            vec![
                vec![to_y()],
                vec![Step::LabelNamespace("y".to_owned(), Labels::new())],
            ],
        );
        let born = |key: &str| Step::CreatePod(pod("d"), labels(&[("pod", key)]));
        add(
            "a peer is born and goes",
            vec![vec![to_b(), born("b")], vec![Step::DeletePod(pod("d"))]],
        );
        add("a target is born", vec![vec![to_b()], vec![born("a")]]);
    }
    cases
}

/// What is known to go wrong elsewhere.
fn corner_cases(addresses: &Addresses) -> Vec<Case> {
    let a = || label("pod", "a");
    let ingress = |rules| apply(one_way("p", a(), Direction::Ingress, rules));
    let egress = |rules| apply(one_way("p", a(), Direction::Egress, rules));
    let on = |port| vec![(None, Some(vec![port]))];
    let both_of = |protocol| {
        PORTS
            .map(|number| port(Some(protocol), Some(number)))
            .to_vec()
    };
    let [own, own6] = host(addresses, "x", "a");
    let [other, other6] = host(addresses, "x", "b");
    let both: &[&str] = &["Ingress", "Egress"];
    let mut cases = vec![
        (
            "a named port to anybody",
            vec![vec![egress(on(named_port(None, &port_name("TCP", 80))))]],
        ),
        (
            "SCTP is not TCP",
            vec![vec![ingress(vec![(None, Some(both_of("SCTP")))])]],
        ),
        (
            "UDP alone opens no TCP",
            vec![vec![ingress(vec![(None, Some(both_of("UDP")))])]],
        ),
        (
            "an exception of one address in another rule's block",
            vec![vec![egress(vec![
                (
                    Some(vec![
                        block("10.10.0.0/16", &[&other]),
                        block("fd00:10::/32", &[&other6]),
                    ]),
                    None,
                ),
                (
                    Some(vec![block(&other, &[]), block(&other6, &[])]),
                    Some(vec![port(None, Some(80))]),
                ),
            ])]],
        ),
        (
            "a block of the target's own addresses",
            vec![vec![ingress(vec![(
                Some(vec![block(&own, &[]), block(&own6, &[])]),
                None,
            )])]],
        ),
        (
            "deny all of a namespace, both ways, then allow within it",
            vec![
                vec![apply(policy("deny", everything(), Some(both), None, None))],
                vec![apply(policy(
                    "within",
                    everything(),
                    Some(both),
                    Some(vec![(Some(vec![peer(None, Some(everything()))]), None)]),
                    Some(vec![(Some(vec![peer(None, Some(everything()))]), None)]),
                ))],
            ],
        ),
        (
            "egress of one side is not ingress of the other",
            vec![vec![
                egress(vec![(
                    Some(vec![peer(None, Some(label("pod", "b")))]),
                    None,
                )]),
                apply(one_way(
                    "q",
                    label("pod", "b"),
                    Direction::Ingress,
                    Vec::new(),
                )),
            ]],
        ),
        (
            "all are allowed, then some, then all",
            vec![
                vec![ingress(vec![(None, None)])],
                vec![ingress(on(port(None, Some(80))))],
                vec![ingress(vec![(None, None)])],
            ],
        ),
    ];
    // An edit that takes one direction and gives the other.
    let swap = |ingress: Vec<RuleWords>, egress: Vec<RuleWords>| {
        vec![apply(policy(
            "p",
            everything(),
            Some(both),
            Some(ingress),
            Some(egress),
        ))]
    };
    cases.push((
        "an edit takes ingress and gives egress",
        vec![
            swap(vec![(None, None)], Vec::new()),
            swap(Vec::new(), vec![(None, None)]),
        ],
    ));
    let cases = cases.into_iter();
    cases
        .map(|(name, steps)| case("corner cases", name, steps))
        .collect()
}

/// What random policies of the bed may name.
pub(super) fn words() -> Vocabulary {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Vocabulary {
        namespaces: owned(&super::NAMESPACES),
        labels: vec![
            ("pod".to_owned(), owned(&super::PODS)),
            ("ns".to_owned(), owned(&super::NAMESPACES)),
        ],
        ports: PORTS.to_vec(),
        port_names: PROTOCOLS.map(|protocol| port_name(protocol, 80)).to_vec(),
        blocks: vec![
            ("10.10.0.0/16".to_owned(), owned(&["10.10.1.0/24"])),
            ("10.10.2.0/24".to_owned(), owned(&["10.10.2.2/32"])),
            ("fd00:10::/32".to_owned(), owned(&["fd00:10:1::/64"])),
            ("fd00:10:2::/64".to_owned(), owned(&["fd00:10:2::2/128"])),
        ],
        nodes: owned(&["node-1", "node-2"]),
    }
}

fn random(seed: u64) -> Vec<Case> {
    let words = words();
    let mut dice = Dice::new(seed);
    let one = |number: usize| {
        let mut steps = Vec::new();
        for _ in 0..2 {
            let policies = (0..=dice.below(3)).map(|at| {
                let namespace = dice.pick(&super::NAMESPACES).copied().unwrap_or("x");
                apply(words.policy(&mut dice, namespace, &format!("random-{at}")))
            });
            let mut policies: Vec<Step> = policies.collect();
            let of_cluster = (0..dice.below(3)).map(|at| {
                Step::ApplyCluster(Box::new(
                    words.cluster_policy(&mut dice, &format!("random-{at}")),
                ))
            });
            policies.extend(of_cluster);
            steps.push(policies);
        }
        case("random", format!("seed {seed}, number {number}"), steps)
    };
    (0..RANDOM).map(one).collect()
}

/// The IPv4 and the IPv6 address of a Pod, each as a network.
pub(super) fn host(addresses: &Addresses, namespace: &str, pod: &str) -> [String; 2] {
    let of = addresses.get(&PodId::new(namespace, pod));
    let network = |is_ipv4, length, unknown: &str| {
        let found = of.and_then(|all| all.iter().find(|one| one.is_ipv4() == is_ipv4));
        let address = found.map_or_else(|| unknown.to_owned(), ToString::to_string);
        format!("{address}/{length}")
    };
    [
        network(true, 32, "192.0.2.1"),
        network(false, 128, "2001:db8::1"),
    ]
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use reference::Outcome;

    use super::*;
    use crate::cases::{NODE, State};

    fn addresses() -> Addresses {
        let nodes = ["node-1", "node-2"].map(|name| PodId::new(NODE, name));
        let all = State::first().pods.into_keys().chain(nodes).zip(1..);
        let of = |(id, last): (PodId, u8)| {
            let (node, last) = (1 + last % 2, last + 1);
            let v4 = Ipv4Addr::new(10, 10, node, last);
            let v6 = Ipv6Addr::new(0xfd00, 0x10, node.into(), 0, 0, 0, 0, last.into());
            (id, vec![IpAddr::from(v4), IpAddr::from(v6)])
        };
        all.map(of).collect()
    }

    #[test]
    fn there_are_more_than_230_cases_and_none_is_another() {
        let cases = all(&addresses(), 1);
        assert!(cases.len() > 230 + RANDOM, "{}", cases.len());
        for (at, case) in cases.iter().enumerate() {
            let same = |other: &&Case| other.steps == case.steps;
            if let Some(other) = cases.iter().skip(at + 1).find(same) {
                panic!("{} is {}", case.name, other.name);
            }
        }
    }

    #[test]
    fn most_tables_have_both_verdicts() {
        let addresses = addresses();
        let mixed = all(&addresses, 1).into_iter().filter(|case| {
            let mut state = State::first();
            case.steps
                .iter()
                .flatten()
                .for_each(|step| state.change(step));
            let pods: Vec<&PodId> = addresses.keys().collect();
            let pairs = pods
                .iter()
                .filter(|from| from.namespace != NODE)
                .flat_map(|from| pods.iter().map(move |to| (*from, *to)));
            let mut verdicts = Vec::new();
            for (from, to) in pairs.filter(|(from, to)| from != to) {
                let of_both = addresses[from].iter().zip(&addresses[to]);
                for (src, dst) in of_both.map(|(src, dst)| ((from, *src), (to, *dst))) {
                    for protocol in PROTOCOLS {
                        let judge = |port| state.judge(&addresses, (src, dst), protocol, port);
                        verdicts.extend(PORTS.map(judge));
                    }
                }
            }
            let verdicts: Vec<bool> = verdicts
                .into_iter()
                .map(|outcome| outcome == Outcome::Passes)
                .collect();
            verdicts.contains(&true) && verdicts.contains(&false)
        });
        assert!(mixed.count() > 200);
    }
}
