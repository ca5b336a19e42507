// SPDX-License-Identifier: Apache-2.0
//! Cases of `ClusterNetworkPolicy`: actions of both tiers, peers, ports, priorities, subjects, what is
//! not understood, changes, and the order Admin, `NetworkPolicy`, Baseline.

use reference::Labels;
use serde_json::{Value, json};

use super::cluster_draft::{
    Heading, all, delete, named_port, namespace, namespaces, networks, nodes, pods, port, ports,
    rule, rule_on,
};
use super::draft::{self, Direction, apply, everything, expression, label, one_way, peer};
use super::features::{case, host};
use super::{Addresses, Case, Step, labels, port_name};
use crate::PodId;

const ADMIN: Heading = Heading("admin", "Admin", 10);
const BASELINE: Heading = Heading("baseline", "Baseline", 10);

/// All of them, for Pods with these addresses.
pub(super) fn cases(addresses: &Addresses) -> Vec<Case> {
    let mut cases = Vec::new();
    for direction in Direction::ALL {
        let mut all = actions(direction);
        all.extend(pod_peers(direction));
        all.extend(protocols(direction));
        all.extend(subjects(direction));
        all.extend(priorities(direction));
        all.extend(tiers(direction));
        all.extend(fail_closed(direction));
        all.extend(changes(direction));
        let named = all.into_iter().map(|(name, steps)| {
            let name = format!("{} {name}", direction.word());
            case("cluster policies", name, steps)
        });
        cases.extend(named);
    }
    let egress = egress_peers(addresses).into_iter();
    cases.extend(egress.map(|(name, steps)| {
        let name = format!("{} {name}", Direction::Egress.word());
        case("cluster policies", name, steps)
    }));
    cases
}

/// A name, and changes that are each followed by a table.
type Draft = (String, Vec<Vec<Step>>);

/// Rules of one policy for namespace `x`.
fn for_x(heading: Heading, direction: Direction, rules: Vec<Value>) -> Step {
    heading.apply(&namespace("x"), direction, rules)
}

/// What the first rule leaves is denied, or allowed where the first rule denies.
fn and_the_rest(first: Value, direction: Direction) -> Vec<Value> {
    let rest = if first["action"] == "Deny" {
        "Accept"
    } else {
        "Deny"
    };
    vec![first, rule(rest, direction, vec![all()])]
}

fn actions(direction: Direction) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (tier, heading) in [("Admin", ADMIN), ("Baseline", BASELINE)] {
        for action in ["Accept", "Deny", "Pass"] {
            let first = rule(action, direction, vec![namespace("y")]);
            let rules = and_the_rest(first, direction);
            let step = for_x(heading, direction, rules);
            drafts.push((format!("{tier} {action} first"), vec![vec![step]]));
        }
        let lone = rule("Deny", direction, vec![namespace("y")]);
        let step = for_x(heading, direction, vec![lone]);
        drafts.push((format!("{tier} Deny alone"), vec![vec![step]]));
    }
    drafts
}

fn pod_peers(direction: Direction) -> Vec<Draft> {
    let peers = [
        (
            "namespaces notin (y)",
            vec![namespaces(&expression("ns", "NotIn", &["y"]))],
        ),
        ("pods pod=b", vec![pods(&everything(), &label("pod", "b"))]),
        (
            "pods pod in (a, c) of ns=y",
            vec![pods(
                &label("ns", "y"),
                &expression("pod", "In", &["a", "c"]),
            )],
        ),
        ("every Pod", vec![pods(&everything(), &everything())]),
        ("nobody", vec![namespace("nowhere")]),
        (
            "either of two",
            vec![namespace("z"), pods(&label("ns", "y"), &label("pod", "b"))],
        ),
    ];
    let drafts = peers.into_iter().map(|(name, peers)| {
        let rules = vec![rule("Deny", direction, peers)];
        (
            format!("peers {name}"),
            vec![vec![for_x(ADMIN, direction, rules)]],
        )
    });
    drafts.collect()
}

fn egress_peers(addresses: &Addresses) -> Vec<Draft> {
    let [v4, v6] = host(addresses, "y", "b");
    let node = |name: &str| nodes(&label("kubernetes.io/hostname", name));
    let peers = [
        ("one IPv4 address", vec![networks(&[&v4])]),
        ("one IPv6 address", vec![networks(&[&v6])]),
        ("both addresses of a Pod", vec![networks(&[&v4, &v6])]),
        (
            "Pods of a node by their networks",
            vec![networks(&["10.10.2.0/24", "fd00:10:2::/64"])],
        ),
        ("all addresses", vec![networks(&["0.0.0.0/0", "::/0"])]),
        (
            "networks of the nodes",
            vec![networks(&["10.98.0.0/24", "fd98::/64"])],
        ),
        ("all nodes", vec![nodes(&everything())]),
        ("one node", vec![node("node-2")]),
        ("nodes that are none", vec![node("node-9")]),
        (
            "a node or a namespace",
            vec![node("node-1"), namespace("y")],
        ),
    ];
    let out = Direction::Egress;
    let mut drafts = Vec::new();
    for (name, peers) in peers {
        for (heading, action) in [(ADMIN, "Deny"), (BASELINE, "Accept")] {
            let mut rules = vec![rule(action, out, peers.clone())];
            if action == "Accept" {
                let everybody = vec![networks(&["0.0.0.0/0", "::/0"])];
                rules.push(rule("Deny", out, everybody));
            }
            let name = format!("{action} to {name}");
            drafts.push((name, vec![vec![for_x(heading, out, rules)]]));
        }
    }
    let to_nodes = rule_on(
        "Deny",
        out,
        vec![nodes(&everything())],
        vec![port("tcp", 80), port("sctp", 81)],
    );
    let step = for_x(ADMIN, out, vec![to_nodes]);
    drafts.push(("Deny to ports of nodes".to_owned(), vec![vec![step]]));
    drafts
}

fn protocols(direction: Direction) -> Vec<Draft> {
    let tcp_80 = port_name("TCP", 80);
    let sctp_81 = port_name("SCTP", 81);
    let lists = [
        ("tcp/80", vec![port("tcp", 80)]),
        ("udp/81", vec![port("udp", 81)]),
        ("sctp/80", vec![port("sctp", 80)]),
        ("tcp/1 to 80", vec![ports("tcp", 1, 80)]),
        ("sctp/81 to 65535", vec![ports("sctp", 81, 65_535)]),
        ("tcp/81 or udp/80", vec![port("tcp", 81), port("udp", 80)]),
        ("a name of TCP", vec![named_port(&tcp_80)]),
        ("a name of SCTP", vec![named_port(&sctp_81)]),
        ("a name of nobody", vec![named_port("nobody")]),
    ];
    let mut drafts = Vec::new();
    for (name, list) in lists {
        let first = rule_on("Accept", direction, vec![all()], list);
        let step = for_x(ADMIN, direction, and_the_rest(first, direction));
        drafts.push((format!("ports {name}"), vec![vec![step]]));
    }
    drafts
}

fn subjects(direction: Direction) -> Vec<Draft> {
    let subjects = [
        ("all Pods", all()),
        (
            "namespaces in (x, y)",
            namespaces(&expression("ns", "In", &["x", "y"])),
        ),
        ("pods pod=a", pods(&everything(), &label("pod", "a"))),
        (
            "pods pod notin (a) of ns=x",
            pods(&label("ns", "x"), &expression("pod", "NotIn", &["a"])),
        ),
        ("nobody", pods(&label("ns", "x"), &label("pod", "nobody"))),
    ];
    let drafts = subjects.into_iter().map(|(name, subject)| {
        let rules = vec![rule("Deny", direction, vec![namespace("z")])];
        let step = BASELINE.apply(&subject, direction, rules);
        (format!("subject {name}"), vec![vec![step]])
    });
    drafts.collect()
}

fn priorities(direction: Direction) -> Vec<Draft> {
    let from_y = |heading, action| {
        for_x(
            heading,
            direction,
            vec![rule(action, direction, vec![namespace("y")])],
        )
    };
    let from_b = |heading, action| {
        let b = pods(&everything(), &label("pod", "b"));
        for_x(heading, direction, vec![rule(action, direction, vec![b])])
    };
    let first = Heading("first", "Admin", 0);
    let last = Heading("last", "Admin", 1000);
    let drafts = [
        (
            "Deny before Accept",
            vec![vec![from_y(first, "Deny"), from_b(last, "Accept")]],
        ),
        (
            "Accept before Deny",
            vec![vec![from_b(first, "Accept"), from_y(last, "Deny")]],
        ),
        (
            "Pass before Deny",
            vec![vec![from_b(first, "Pass"), from_y(last, "Deny")]],
        ),
        (
            "the later becomes the first",
            vec![
                vec![from_b(ADMIN, "Accept"), from_y(last, "Deny")],
                vec![from_y(Heading("last", "Admin", 9), "Deny")],
            ],
        ),
        (
            "two of the Baseline tier",
            vec![vec![
                from_b(Heading("first", "Baseline", 1), "Accept"),
                from_y(Heading("last", "Baseline", 2), "Deny"),
            ]],
        ),
        (
            "equal, and of one mind",
            vec![vec![
                from_b(ADMIN, "Deny"),
                from_y(Heading("other", "Admin", 10), "Deny"),
            ]],
        ),
    ];
    let drafts = drafts.into_iter();
    drafts
        .map(|(name, steps)| (format!("priorities: {name}"), steps))
        .collect()
}

/// "Policy tiers are evaluated in the following order: Admin tier, NetworkPolicy tier, Baseline tier."
fn tiers(direction: Direction) -> Vec<Draft> {
    let from_y = |heading, action| {
        for_x(
            heading,
            direction,
            vec![rule(action, direction, vec![namespace("y")])],
        )
    };
    let closed = || apply(one_way("closed", everything(), direction, Vec::new()));
    let open_to_y = || {
        let y = peer(Some(label("ns", "y")), None);
        let rules = vec![(Some(vec![y]), None)];
        apply(one_way("open", label("pod", "a"), direction, rules))
    };
    let drafts = [
        (
            "Admin Accept, and none allowed by a policy",
            vec![vec![from_y(ADMIN, "Accept"), closed()]],
        ),
        (
            "Admin Deny of what a policy allows",
            vec![vec![from_y(ADMIN, "Deny"), open_to_y()]],
        ),
        (
            "Admin Pass to a policy",
            vec![vec![from_y(ADMIN, "Pass"), open_to_y()]],
        ),
        (
            "Admin Pass to a policy that allows none",
            vec![vec![from_y(ADMIN, "Pass"), closed()]],
        ),
        (
            "Admin Pass to Baseline Deny",
            vec![vec![from_y(ADMIN, "Pass"), from_y(BASELINE, "Deny")]],
        ),
        (
            "Admin Accept before Baseline Deny",
            vec![vec![from_y(ADMIN, "Accept"), from_y(BASELINE, "Deny")]],
        ),
        (
            "a policy before Baseline Deny, then none",
            vec![
                vec![from_y(BASELINE, "Deny"), open_to_y()],
                vec![draft::delete("open")],
            ],
        ),
        (
            "a policy before Baseline Accept",
            vec![vec![from_y(BASELINE, "Accept"), closed()]],
        ),
    ];
    let drafts = drafts.into_iter();
    let mut drafts: Vec<Draft> = drafts
        .map(|(name, steps)| (format!("tiers: {name}"), steps))
        .collect();
    // "...any ingress rules at the destination do apply": a decision of one side is not the other's.
    let other = match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    };
    let y_closed = Heading("y", "Admin", 5).apply(
        &namespace("y"),
        other,
        vec![rule("Deny", other, vec![all()])],
    );
    drafts.push((
        "tiers: Accept here is no Accept there".to_owned(),
        vec![vec![from_y(ADMIN, "Accept"), y_closed]],
    ));
    drafts
}

/// "For "Accept" rules, "fail closed" means: "treat the rule as matching no traffic". For "Deny" and
/// "Pass" rules, "fail closed" means: "treat the rule as a 'Deny all' rule"."
fn fail_closed(direction: Direction) -> Vec<Draft> {
    let unknown = || vec![json!({})];
    let mut drafts = Vec::new();
    for action in ["Accept", "Deny", "Pass"] {
        let mut rules = vec![rule(action, direction, unknown())];
        if action == "Accept" {
            rules.push(rule("Deny", direction, vec![namespace("y")]));
        }
        let step = for_x(ADMIN, direction, rules);
        drafts.push((format!("unknown peer of {action}"), vec![vec![step]]));
    }
    let unknown = vec![json!({"icmp": {}})];
    let rules = vec![rule_on("Deny", direction, vec![namespace("y")], unknown)];
    let step = for_x(BASELINE, direction, rules);
    drafts.push(("unknown protocol of Deny".to_owned(), vec![vec![step]]));
    drafts
}

fn changes(direction: Direction) -> Vec<Draft> {
    let deny = |peer| for_x(ADMIN, direction, vec![rule("Deny", direction, vec![peer])]);
    let deny_y = || deny(namespace("y"));
    let relabel = |name: &str, labels| Step::LabelNamespace(name.to_owned(), labels);
    let b = || deny(pods(&everything(), &label("pod", "b")));
    let become_b = || Step::LabelPod(PodId::new("z", "c"), labels(&[("pod", "b")]));
    let drafts = [
        (
            "created and deleted",
            vec![vec![deny_y()], vec![delete("admin")]],
        ),
        ("edited", vec![vec![deny_y()], vec![deny(namespace("z"))]]),
        (
            "a namespace becomes a peer",
            vec![vec![deny_y()], vec![relabel("z", labels(&[("ns", "y")]))]],
        ),
        (
            "a namespace is a subject no more",
            vec![vec![deny_y()], vec![relabel("x", Labels::new())]],
        ),
        ("a Pod becomes a peer", vec![vec![b()], vec![become_b()]]),
    ];
    let drafts = drafts.into_iter();
    drafts
        .map(|(name, steps)| (format!("changes: {name}"), steps))
        .collect()
}
