// SPDX-License-Identifier: Apache-2.0
//! What a `NetworkPolicy` says in its corners: each test quotes the sentence of the API it obeys.

use crate::town::Town;

const ALL: [&str; 4] = ["friend", "far", "db", "lone"];
const NONE: [&str; 0] = [];

/// The town with one policy of namespace `x`, whose spec this is.
pub(crate) fn town(spec: &str) -> Town {
    Town::new(&policy("one", spec))
}

pub(crate) fn policy(name: &str, spec: &str) -> String {
    format!("kind: NetworkPolicy\nmetadata: {{namespace: x, name: {name}}}\nspec: {spec}\n")
}

/// Who reaches `web` when its only ingress rule is this.
fn clients(rule: &str, service: &str) -> Vec<&'static str> {
    town(&format!(
        "{{podSelector: {{matchLabels: {{app: web}}}}, ingress: [{rule}]}}"
    ))
    .clients_of("web", service)
}

/// "Valid operators are In, NotIn, Exists and DoesNotExist.", and "The requirements are ANDed."
#[test]
fn every_operator_of_a_selector_selects_and_all_requirements_must_hold() {
    let from = |requirements: &str| {
        let pods = format!("podSelector: {{matchExpressions: [{requirements}]}}");
        clients(
            &format!("{{from: [{{namespaceSelector: {{}}, {pods}}}]}}"),
            "tcp/80",
        )
    };
    let clients = ["friend", "far", "lone"];
    assert_eq!(
        from("{key: app, operator: In, values: [client, none]}"),
        clients
    );
    assert_eq!(
        from("{key: app, operator: NotIn, values: [client]}"),
        ["db"]
    );
    assert_eq!(from("{key: app, operator: Exists}"), ALL);
    assert_eq!(from("{key: app, operator: DoesNotExist}"), NONE);
    assert_eq!(
        from("{key: none, operator: NotIn, values: [client]}"),
        ALL,
        "without the key"
    );
    let both = "{key: app, operator: Exists}, {key: app, operator: NotIn, values: [db]}";
    assert_eq!(from(both), clients);
}

/// "This field is optional. If it is not specified, it defaults to an empty selector." and "An empty
/// selector matches all pods in the policy's namespace."
#[test]
fn a_policy_without_pod_selector_selects_all_pods_of_its_namespace_and_no_others() {
    for spec in [
        "{policyTypes: [Ingress]}",
        "{podSelector: {}, policyTypes: [Ingress]}",
    ] {
        let town = town(spec);
        assert_eq!(town.clients_of("web", "tcp/80"), NONE, "{spec}");
        assert_eq!(town.clients_of("friend", "tcp/80"), NONE, "{spec}");
        assert_eq!(
            town.clients_of("db", "tcp/80"),
            ["web", "friend", "far", "lone"]
        );
    }
}

/// "...all policies (whether or not they contain an ingress section) are assumed to affect ingress."
#[test]
fn without_policy_types_and_egress_rules_a_policy_isolates_ingress_only() {
    for spec in ["{podSelector: {}}", "{podSelector: {}, egress: []}"] {
        let town = town(spec);
        assert_eq!(town.clients_of("web", "tcp/80"), NONE, "{spec}");
        assert_eq!(
            town.servers_of("web", "tcp/80"),
            ["far", "db", "lone"],
            "{spec}"
        );
    }
}

/// "Policies that contain an egress section are assumed to affect egress, and all policies (whether
/// or not they contain an ingress section) are assumed to affect ingress."
#[test]
fn without_policy_types_an_egress_rule_isolates_both_directions() {
    let town = town("{podSelector: {matchLabels: {app: web}}, egress: [{ports: [{port: 53}]}]}");
    assert_eq!(town.clients_of("web", "tcp/53"), NONE);
    assert_eq!(town.servers_of("web", "tcp/80"), NONE);
    assert_eq!(town.servers_of("web", "tcp/53"), ALL);
}

/// "If you want to write an egress-only policy, you must explicitly specify policyTypes [ "Egress" ]."
#[test]
fn an_egress_only_policy_leaves_ingress_alone_and_denies_all_egress_without_rules() {
    let town = town("{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}");
    assert_eq!(town.servers_of("web", "tcp/80"), NONE);
    assert!(!town.passes("web", "203.0.113.7", "tcp/80"));
    assert_eq!(town.clients_of("web", "tcp/80"), ALL);
}

/// "If this field is empty then this NetworkPolicy does not allow any traffic (and serves solely to
/// ensure that the pods it selects are isolated by default)."
#[test]
fn no_ingress_rules_and_an_empty_list_of_them_isolate() {
    for spec in [
        "{podSelector: {}, policyTypes: [Ingress]}",
        "{podSelector: {}, policyTypes: [Ingress], ingress: []}",
    ] {
        let town = town(spec);
        for service in ["tcp/80", "udp/80", "sctp/80"] {
            assert_eq!(town.clients_of("web", service), NONE, "{spec}");
        }
        assert!(!town.passes("203.0.113.7", "web", "tcp/80"));
    }
}

/// "If this field is empty or missing, this rule matches all sources (traffic not restricted by
/// source)." and "...this rule matches all ports (traffic not restricted by port)."
#[test]
fn a_rule_without_peers_and_ports_allows_everybody_every_port_of_every_protocol() {
    for rule in ["{}", "{from: []}", "{ports: []}", "{from: [], ports: []}"] {
        for service in ["tcp/1", "udp/53", "sctp/65535"] {
            assert_eq!(clients(rule, service), ALL, "{rule} {service}");
        }
        let town = town(&format!("{{podSelector: {{}}, ingress: [{rule}]}}"));
        assert!(town.passes("203.0.113.7", "web", "tcp/80"), "{rule}");
    }
}

/// "If this field is empty or missing, this rule matches all destinations (traffic not restricted by
/// destination)."
#[test]
fn an_egress_rule_without_peers_allows_every_destination() {
    for rule in ["{}", "{to: []}", "{ports: []}"] {
        let spec = format!("{{podSelector: {{}}, policyTypes: [Egress], egress: [{rule}]}}");
        let town = town(&spec);
        assert_eq!(town.servers_of("web", "udp/53"), ALL, "{rule}");
        assert!(town.passes("web", "203.0.113.7", "tcp/80"), "{rule}");
    }
}

/// "Otherwise it selects the pods matching podSelector in the policy's own namespace."
#[test]
fn a_pod_selector_alone_selects_pods_of_the_policys_own_namespace() {
    let rule = "{from: [{podSelector: {matchLabels: {app: client}}}]}";
    assert_eq!(clients(rule, "tcp/80"), ["friend"]);
}

/// "Otherwise it selects all pods in the namespaces selected by namespaceSelector."
#[test]
fn a_namespace_selector_alone_selects_all_pods_of_those_namespaces() {
    let rule = "{from: [{namespaceSelector: {matchLabels: {team: b}}}]}";
    assert_eq!(clients(rule, "tcp/80"), ["far", "db"]);
}

/// "If podSelector is also set, then the NetworkPolicyPeer as a whole selects the pods matching
/// podSelector in the namespaces selected by namespaceSelector."
#[test]
fn both_selectors_of_one_peer_must_match() {
    let rule = "{from: [{namespaceSelector: {matchLabels: {team: b}}, \
                podSelector: {matchLabels: {app: client}}}]}";
    assert_eq!(clients(rule, "tcp/80"), ["far"]);
}

/// "Items in this list are combined using a logical OR operation."
#[test]
fn of_two_peers_one_must_match() {
    let rule = "{from: [{namespaceSelector: {matchLabels: {team: b}}}, \
                {podSelector: {matchLabels: {app: client}}}]}";
    assert_eq!(clients(rule, "tcp/80"), ["friend", "far", "db"]);
}

/// "...if present but empty, it selects all namespaces." and "...if present but empty, it selects all pods."
#[test]
fn an_empty_selector_selects_all_namespaces_or_all_pods() {
    assert_eq!(clients("{from: [{namespaceSelector: {}}]}", "tcp/80"), ALL);
    assert_eq!(clients("{from: [{podSelector: {}}]}", "tcp/80"), ["friend"]);
    let both = "{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: client}}}]}";
    assert_eq!(clients(both, "tcp/80"), ["friend", "far", "lone"]);
    // Pods, and not the world.
    let town = town("{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}");
    assert!(!town.passes("203.0.113.7", "web", "tcp/80"));
}

/// "The Kubernetes control plane sets an immutable label kubernetes.io/metadata.name on all
/// namespaces": it counts where the object does not carry it, too.
#[test]
fn a_namespace_is_selected_by_its_name() {
    let rule = "{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: z}}}]}";
    assert_eq!(clients(rule, "tcp/80"), ["lone"]);
}

/// "If not specified, this field defaults to TCP."
#[test]
fn a_port_without_protocol_is_of_tcp() {
    assert_eq!(clients("{ports: [{port: 80}]}", "tcp/80"), ALL);
    for service in ["tcp/81", "udp/80", "sctp/80"] {
        assert_eq!(clients("{ports: [{port: 80}]}", service), NONE, "{service}");
    }
}

/// "If this field is not provided, this matches all port names and numbers."
#[test]
fn a_protocol_without_port_is_all_its_ports() {
    for (protocol, service) in [("TCP", "tcp"), ("UDP", "udp"), ("SCTP", "sctp")] {
        let rule = format!("{{ports: [{{protocol: {protocol}}}]}}");
        for other in ["tcp", "udp", "sctp"] {
            let expected: &[&str] = if other == service { &ALL } else { &NONE };
            assert_eq!(clients(&rule, &format!("{other}/1")), expected, "{rule}");
            assert_eq!(
                clients(&rule, &format!("{other}/65535")),
                expected,
                "{rule}"
            );
        }
    }
    assert_eq!(clients("{ports: [{}]}", "tcp/7"), ALL);
    assert_eq!(clients("{ports: [{}]}", "udp/7"), NONE);
}

/// "Each item in this list is combined using a logical OR."
#[test]
fn of_two_ports_one_must_match() {
    let rule = "{ports: [{port: 80}, {port: 53, protocol: UDP}]}";
    assert_eq!(clients(rule, "tcp/80"), ALL);
    assert_eq!(clients(rule, "udp/53"), ALL);
    assert_eq!(clients(rule, "tcp/53"), NONE);
    assert_eq!(clients(rule, "udp/80"), NONE);
}

/// "...the range of ports from port to endPort if set, inclusive, should be allowed by the policy."
#[test]
fn a_range_of_ports_includes_both_ends_and_nothing_beyond() {
    let rule = "{ports: [{port: 79, endPort: 8079}]}";
    for (service, expected) in [
        ("tcp/78", &NONE[..]),
        ("tcp/79", &ALL),
        ("tcp/8079", &ALL),
        ("tcp/8080", &NONE),
        ("udp/80", &NONE),
    ] {
        assert_eq!(clients(rule, service), expected, "{service}");
    }
    let one = "{ports: [{port: 80, endPort: 80}]}";
    assert_eq!(clients(one, "tcp/80"), ALL, "the ends may be equal");
    assert_eq!(clients(one, "tcp/81"), NONE);
}

/// "The except entry describes CIDRs that should not be included within this rule."
#[test]
fn what_is_excepted_from_a_block_is_not_allowed_by_it() {
    let town = town(
        "{podSelector: {}, ingress: [{from: [{ipBlock: \
         {cidr: 203.0.113.0/24, except: [203.0.113.8/29, 203.0.113.200/32]}}]}]}",
    );
    for (address, allowed) in [
        ("203.0.113.7", true),
        ("203.0.113.8", false),
        ("203.0.113.15", false),
        ("203.0.113.16", true),
        ("203.0.113.200", false),
        ("203.0.114.1", false),
    ] {
        assert_eq!(town.passes(address, "web", "tcp/80"), allowed, "{address}");
    }
}

/// "...OR if the traffic matches at least one ingress rule across all of the NetworkPolicy objects
/// whose podSelector matches the pod.": what one policy excepts, another may allow.
#[test]
fn policies_add_up_and_no_policy_takes_away_what_another_allows() {
    let deny = policy("deny", "{podSelector: {}, policyTypes: [Ingress]}");
    let block = "{podSelector: {}, ingress: [{from: [{ipBlock: \
                 {cidr: 10.10.0.0/16, except: [10.10.2.0/24]}}]}]}";
    let block = policy("block", block);
    let far = "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}, \
               podSelector: {matchLabels: {app: client}}}]}]}";
    let far = policy("far", far);
    let mut town = Town::new(&deny);
    assert_eq!(town.clients_of("web", "tcp/80"), NONE);
    town.apply(&block);
    assert_eq!(town.clients_of("web", "tcp/80"), ["friend", "lone"]);
    town.apply(&far);
    assert_eq!(town.clients_of("web", "tcp/80"), ["friend", "far", "lone"]);
}

/// "For a connection from a source pod to a destination pod to be allowed, both the egress policy on
/// the source pod and the ingress policy on the destination pod need to allow the connection."
#[test]
fn egress_of_the_source_and_ingress_of_the_destination_must_both_allow() {
    let out = policy(
        "out",
        "{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], \
         egress: [{ports: [{port: 80}, {port: 81}]}]}",
    );
    let into = policy(
        "into",
        "{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 81}, {port: 82}]}]}",
    );
    let town = Town::new(&format!("{out}---\n{into}"));
    for (service, allowed) in [("tcp/80", false), ("tcp/81", true), ("tcp/82", false)] {
        assert_eq!(town.passes("friend", "web", service), allowed, "{service}");
    }
    assert_eq!(town.clients_of("web", "tcp/82"), ["far", "db", "lone"]);
}

/// "Traffic is allowed to a pod [...] if the traffic source is the pod's local node": kubelet's probes
/// go on where all ingress is denied, and another node is nothing special.
#[test]
fn the_pods_own_node_reaches_it_whatever_policy_says_and_another_node_does_not() {
    let town = town("{podSelector: {}, policyTypes: [Ingress, Egress]}");
    for service in ["tcp/8080", "udp/53", "sctp/7"] {
        assert!(town.passes("192.0.2.1", "web", service), "{service}");
        assert!(!town.passes("192.0.2.2", "web", service), "{service}");
    }
}
