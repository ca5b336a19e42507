// SPDX-License-Identifier: Apache-2.0
//! Corners where policy meets named ports, rewritten addresses and the life of Pods: each test quotes
//! the sentence it obeys.

use policy_compiler::model::Protocol;
use policy_compiler::{
    Attachment, AttachmentKey, Change, End, Kind, ObjectKey, Question, QuestionError,
};

use crate::packets::Net;
use crate::town::{Town, index, packet};

const ALL: [&str; 4] = ["friend", "far", "db", "lone"];
const NONE: [&str; 0] = [];

const DENY_INGRESS: &str = "\
kind: NetworkPolicy
metadata: {namespace: x, name: deny}
spec: {podSelector: {}, policyTypes: [Ingress]}
";

const FROM_CLIENTS: &str = "\
kind: NetworkPolicy
metadata: {namespace: x, name: from-clients}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: client}}}]
";

const EGRESS_TO_HTTP: &str = "\
kind: NetworkPolicy
metadata: {namespace: x, name: to-http}
spec:
  podSelector: {matchLabels: {app: client}}
  policyTypes: [Egress]
  egress: [{ports: [{port: http}]}]
";

/// "This can either be a numerical or named port on a pod": on the one that receives. The rule names
/// no destination (kubernetes/kubernetes#99256), the two Pods have the name at different numbers, and
/// neither opens the other's.
#[test]
fn an_egress_rule_with_a_named_port_means_the_number_of_each_destination() {
    let town = Town::new(EGRESS_TO_HTTP);
    assert_eq!(town.servers_of("friend", "tcp/8080"), ["web"]);
    assert_eq!(town.servers_of("friend", "tcp/80"), ["db"]);
    assert_eq!(town.servers_of("friend", "udp/8080"), NONE);
    assert!(
        !town.passes("friend", "203.0.113.7", "tcp/80"),
        "no Pod, no names"
    );
}

/// The same sentence: the source has a port of that name, too, and it says nothing.
#[test]
fn a_named_port_is_not_resolved_on_the_source() {
    let into_web = "\
kind: NetworkPolicy
metadata: {namespace: x, name: into-web}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: http}]}]}
";
    let town = Town::new(into_web);
    assert!(town.passes("db", "web", "tcp/8080"));
    assert!(!town.passes("db", "web", "tcp/80"), "the number at db");
    let out_of_web = EGRESS_TO_HTTP.replace("app: client", "app: web");
    let town = Town::new(&out_of_web);
    assert_eq!(
        town.servers_of("web", "tcp/8080"),
        NONE,
        "the number at web"
    );
    assert_eq!(town.servers_of("web", "tcp/80"), ["db"]);
}

/// "If present, only traffic on the specified protocol AND port will be matched."
#[test]
fn a_rule_for_one_protocol_opens_no_other() {
    for (protocol, opened) in [("TCP", "tcp/80"), ("UDP", "udp/80"), ("SCTP", "sctp/80")] {
        let rule = format!("spec: {{ingress: [{{ports: [{{protocol: {protocol}, port: 80}}]}}]}}");
        let town = Town::new(&format!(
            "kind: NetworkPolicy\nmetadata: {{namespace: x, name: one}}\n{rule}\n"
        ));
        for service in ["tcp/80", "udp/80", "sctp/80"] {
            let expected: &[&str] = if service == opened { &ALL } else { &NONE };
            assert_eq!(town.clients_of("web", service), expected, "{protocol}");
        }
    }
}

/// "IPBlock describes a particular CIDR [...] that is allowed to the pods matched": the addresses of
/// Pods are in it like any other, in both directions.
#[test]
fn a_block_matches_the_addresses_of_pods() {
    let blocks = "\
kind: NetworkPolicy
metadata: {namespace: x, name: blocks}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{ipBlock: {cidr: 10.10.2.19/32}}]}]
  egress: [{to: [{ipBlock: {cidr: 10.10.0.0/16, except: [10.10.2.19/32]}}]}]
";
    let town = Town::new(blocks);
    assert_eq!(town.clients_of("web", "tcp/80"), ["far"]);
    assert_eq!(town.servers_of("web", "tcp/80"), ["friend", "db", "lone"]);
}

/// "All newly created pods [...] will be isolated before they are started."
#[test]
fn before_it_is_admitted_a_pod_reaches_nobody_and_is_isolated_already() {
    let mut town = Town::unplugged();
    town.apply(DENY_INGRESS);
    town.plug(true);
    let web = town.attachment("web", false);
    town.compiler.apply([Change::Detach(web.key.clone())]);
    town.compiler.apply([Change::Attach(web.clone())]);
    for service in ["tcp/80", "udp/53", "sctp/7"] {
        assert_eq!(town.servers_of("web", service), NONE);
        assert_eq!(town.clients_of("web", service), NONE);
    }
    town.compiler.apply([Change::Admit(web.key)]);
    assert_eq!(town.servers_of("web", "tcp/80"), ["far", "db", "lone"]);
    assert_eq!(town.clients_of("web", "tcp/80"), NONE);
}

/// "NetworkPolicy behaviour for hostNetwork pods is undefined": as with most, they are their node. No
/// selector of Pods finds them, a block with their node's address does, and nothing isolates them.
#[test]
fn a_pod_on_the_hosts_network_is_its_node_and_no_selector_finds_it() {
    let host_pod = "\
kind: Pod
metadata: {namespace: x, name: agent, labels: {app: client}}
spec: {nodeName: node-2, hostNetwork: true, containers: [{name: c}]}
status: {podIP: 192.0.2.2, podIPs: [{ip: 192.0.2.2}]}
";
    let mut town = Town::new(&[host_pod, FROM_CLIENTS, DENY_INGRESS].join("---\n"));
    assert!(
        !town.passes("192.0.2.2", "web", "tcp/80"),
        "not found by its labels"
    );
    assert!(
        town.passes("far", "web", "tcp/80"),
        "as this Pod of its node is"
    );
    assert!(town.passes("far", "192.0.2.2", "tcp/80"), "nor isolated");
    assert!(town.passes("lone", "192.0.2.2", "tcp/80"), "nor isolated");
    let agent = ObjectKey::new(Kind::Pod, "x", "agent");
    let asked = town.compiler.verdict(&Question {
        from: End::Pod(agent.clone()),
        to: End::Address(town.address("web")),
        protocol: Protocol::Tcp,
        port: 80,
    });
    let refused = asked.expect_err("it is nobody's peer");
    assert_eq!(refused, QuestionError::NotOnPodNetwork(agent));
    let block = "\
kind: NetworkPolicy
metadata: {namespace: x, name: block}
spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.2/32}}]}]}
";
    town.apply(block);
    assert!(
        town.passes("192.0.2.2", "web", "tcp/80"),
        "but by its address"
    );
}

/// "It is implementation defined as to whether the change will take effect for that existing connection
/// or not.": here it does.
#[test]
fn a_new_policy_and_a_new_label_are_for_established_connections_too() {
    let mut town = Town::unplugged();
    town.plug(true);
    let [far, web] = ["far", "web"].map(|pod| town.address(pod));
    let first = packet(far, web, "tcp/80");
    let later = first.clone().with_tcp_flags(0x10);
    let pods = town.pods.clone();
    let mut net = Net::new(&town.compiler, &pods);
    let client = index("far").expect("a Pod");
    let delivery = net.send(client, first).expect("nothing isolates web");
    let answer = delivery.packet.answer();
    assert!(net.send(delivery.pod, answer).is_some());

    town.apply(FROM_CLIENTS);
    net.load(&town.compiler);
    assert!(net.send(client, later.clone()).is_some(), "still allowed");
    town.apply(&labelled_far("other"));
    net.load(&town.compiler);
    assert!(net.send(client, later.clone()).is_none(), "by label");
    town.apply(&labelled_far("client"));
    net.load(&town.compiler);
    assert!(net.send(client, later.clone()).is_some(), "and back");
    let isolate = "kind: NetworkPolicy\nmetadata: {namespace: x, name: from-clients}\nspec: {}\n";
    town.apply(isolate);
    net.load(&town.compiler);
    assert!(net.send(client, later).is_none(), "by policy");
}

fn labelled_far(app: &str) -> String {
    format!(
        "kind: Pod\nmetadata: {{namespace: y, name: far, labels: {{app: {app}}}}}\n\
         spec: {{nodeName: node-2, containers: [{{name: c}}]}}\n"
    )
}

/// "This field follows standard label selector semantics": the labels are those of now.
#[test]
fn a_label_of_a_pod_or_of_its_namespace_that_changes_changes_who_is_selected() {
    let by_both = "\
kind: NetworkPolicy
metadata: {namespace: x, name: by-both}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from:
    - namespaceSelector: {matchLabels: {team: b}}
      podSelector: {matchLabels: {app: client}}
";
    let mut town = Town::new(by_both);
    assert_eq!(town.clients_of("web", "tcp/80"), ["far"]);
    town.apply(&labelled_far("other"));
    assert_eq!(town.clients_of("web", "tcp/80"), NONE);
    town.apply(&labelled_far("client"));
    assert_eq!(town.clients_of("web", "tcp/80"), ["far"]);
    town.apply("kind: Namespace\nmetadata: {name: z, labels: {team: b}}\n");
    assert_eq!(town.clients_of("web", "tcp/80"), ["far", "lone"]);
    town.apply("kind: Namespace\nmetadata: {name: y, labels: {team: c}}\n");
    assert_eq!(town.clients_of("web", "tcp/80"), ["lone"]);
}

/// "The array of rules is applied to any pods selected by this field": a Pod that has finished keeps
/// its labels and its `podIP` (kubernetes/kubernetes#92697), but whoever has the address now is who
/// is judged.
#[test]
fn the_address_of_a_finished_pod_is_that_of_the_pod_that_has_it_now() {
    let mut town = Town::new(FROM_CLIENTS);
    assert!(town.passes("friend", "web", "tcp/80"));
    for phase in ["Succeeded", "Failed"] {
        town.apply(&format!(
            "kind: Pod\nmetadata: {{namespace: x, name: friend, labels: {{app: client}}}}\n\
             spec: {{nodeName: node-1, containers: [{{name: c}}]}}\n\
             status: {{phase: {phase}, podIP: 10.10.1.4, podIPs: [{{ip: 10.10.1.4}}]}}\n"
        ));
        assert!(!town.passes("friend", "web", "tcp/80"), "{phase}");
    }
    let heir = "\
kind: Pod
metadata: {namespace: x, name: heir, labels: {app: heir}}
spec: {nodeName: node-1, containers: [{name: c}]}
status: {phase: Running, podIP: 10.10.1.4, podIPs: [{ip: 10.10.1.4}]}
";
    town.apply(heir);
    let old = town.attachment("friend", true);
    let heir = Attachment {
        key: AttachmentKey {
            interface: "cv-heir".to_owned(),
            ..old.key.clone()
        },
        pod_name: "heir".to_owned(),
        ..old
    };
    town.compiler.apply([Change::Attach(heir)]);
    // What is called `friend` here is whoever has its port and its address.
    assert!(town.passes("friend", "far", "tcp/80"), "it is connected");
    assert!(!town.passes("friend", "web", "tcp/80"), "and is no client");
    town.apply(&FROM_CLIENTS.replace("app: client", "app: heir"));
    assert_eq!(town.clients_of("web", "tcp/80"), ["friend"]);
}

/// "The port on the given protocol": that of the Pod. The port of a Service before it says nothing
/// (kubernetes/website#8295).
#[test]
fn a_rule_names_ports_of_pods_and_not_of_the_services_before_them() {
    let service = "\
kind: Service
metadata: {namespace: x, name: front}
spec:
  clusterIPs: [10.96.0.10]
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
";
    for (port, passes) in [(8080, true), (80, false)] {
        let rule = format!(
            "kind: NetworkPolicy\nmetadata: {{namespace: x, name: one}}\n\
             spec: {{ingress: [{{ports: [{{port: {port}}}]}}]}}\n"
        );
        let town = Town::new(&[service, &rule].join("---\n"));
        let vip = "10.96.0.10".parse().expect("an address");
        let sent = packet(town.address("friend"), vip, "tcp/80");
        let friend = index("friend").expect("a Pod");
        assert_eq!(town.net().send(friend, sent).is_some(), passes, "{port}");
    }
}

/// Of a Pod that reaches itself by a Service the network policy API says that it is subject to
/// policy, and of one that reaches its own address that it is not: that never leaves the Pod.
#[test]
fn a_pod_that_reaches_itself_by_a_service_is_judged_as_any_other() {
    let service = "\
kind: Service
metadata: {namespace: x, name: front}
spec:
  clusterIPs: [10.96.0.10]
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
";
    let judged = |objects: &str| {
        let town = Town::new(objects);
        let mut net = town.net();
        let vip = "10.96.0.10".parse().expect("an address");
        let web = index("web").expect("a Pod");
        net.send(web, packet(town.address("web"), vip, "tcp/80"));
        net.denied_by().is_some()
    };
    assert!(!judged(service), "nothing isolates it");
    assert!(judged(&[service, DENY_INGRESS].join("---\n")), "ingress");
    let egress = DENY_INGRESS.replace("Ingress", "Egress");
    assert!(judged(&[service, &egress].join("---\n")), "egress");
    let itself = FROM_CLIENTS.replace("app: client", "app: web");
    assert!(!judged(&[service, &itself].join("---\n")), "allowed itself");
    assert!(judged(&[service, FROM_CLIENTS].join("---\n")), "others are");
}

/// "Traffic is allowed to a pod [...] if the traffic source is the pod's local node", and so is what
/// the probe hears.
#[test]
fn probes_of_the_own_node_are_answered_where_both_directions_are_denied() {
    let deny = DENY_INGRESS.replace("[Ingress]", "[Ingress, Egress]");
    let town = Town::new(&deny);
    let mut net = town.net();
    let probe = packet(town.address("192.0.2.1"), town.address("web"), "tcp/8080");
    let answer = probe.answer();
    assert!(town.carries(&mut net, "192.0.2.1", "web", probe));
    assert!(town.carries(&mut net, "web", "192.0.2.1", answer));
    assert!(
        !town.passes("web", "192.0.2.1", "tcp/8080"),
        "it opens none itself"
    );
}

/// "...but any ingress rules at the destination do apply.": accepting egress for a whole cluster does
/// not skip the `NetworkPolicy` of who receives.
#[test]
fn an_accepted_egress_does_not_skip_the_ingress_of_its_destination() {
    let accept = "\
kind: ClusterNetworkPolicy
metadata: {name: accept}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  egress: [{action: Accept, to: [{namespaces: {}}]}]
";
    let town = Town::new(&[accept, DENY_INGRESS].join("---\n"));
    assert_eq!(town.clients_of("web", "tcp/80"), NONE);
    assert_eq!(
        town.clients_of("db", "tcp/80"),
        ["web", "friend", "far", "lone"]
    );
}

/// "Policy tiers are evaluated in the following order: Admin tier, NetworkPolicy tier, Baseline tier."
#[test]
fn baseline_is_for_pods_that_no_network_policy_isolates() {
    let baseline = "\
kind: ClusterNetworkPolicy
metadata: {name: baseline}
spec:
  tier: Baseline
  priority: 1
  subject: {namespaces: {}}
  ingress: [{action: Deny, from: [{namespaces: {}}]}]
";
    let town = Town::new(&[baseline, FROM_CLIENTS].join("---\n"));
    assert_eq!(town.clients_of("web", "tcp/80"), ["friend", "far", "lone"]);
    assert_eq!(town.clients_of("db", "tcp/80"), NONE);
}
