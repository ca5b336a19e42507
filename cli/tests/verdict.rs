// SPDX-License-Identifier: Apache-2.0
//! `culvert verdict --source dir:`: answers, reasons and exit codes, without a controller.

use std::process::{Command, Output};

const MANIFESTS: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: []}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{name: db, ports: [{name: sql, containerPort: 5432}]}]}
status: {podIP: 10.10.1.9}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: sql}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: no-metadata}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  egress:
  - {name: metadata, action: Deny, to: [{networks: [169.254.169.254/32]}]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: trial, annotations: {culvert.io/staged: \"true\"}}
spec:
  tier: Admin
  priority: 5
  subject: {namespaces: {matchLabels: {team: a}}}
  egress:
  - {action: Deny, to: [{namespaces: {}}]}
";

fn verdict(manifests: &str, arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("all.yaml"), manifests).expect("a file");
    Command::new(env!("CARGO_BIN_EXE_culvert"))
        .arg("verdict")
        .arg(format!("--source=dir:{}", directory.path().display()))
        .args(arguments)
        .output()
        .expect("culvert runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn an_allowed_connection_names_the_rule_that_allows_it() {
    let output = verdict(MANIFESTS, &["shop/web", "shop/db:5432"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let expected = "\
allowed: shop/web -> shop/db:5432
  egress   admin          -        no rule of the Admin tier decides
                                   clusternetworkpolicy/trial: admin egress rule 0 would drop all ports to all pods of all namespaces (staged)
  egress   networkpolicy  -        the sender is not isolated for egress
  egress   baseline       -        no rule of the Baseline tier decides: allowed
  ingress  admin          -        no rule of the Admin tier decides
  ingress  networkpolicy  allowed  networkpolicy/shop/db: ingress rule 0 allows tcp/sql from pods app=web of its namespace
";
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn a_denied_connection_names_every_policy_that_isolates_and_is_no_error() {
    let output = verdict(MANIFESTS, &["shop/web", "shop/db:80", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["allowed"], false);
    let last = answer["steps"].as_array().and_then(|steps| steps.last());
    let last = last.expect("steps");
    assert_eq!(last["says"], "denied");
    assert_eq!(last["reasons"][0]["policy"], "networkpolicy/shop/db");
    let isolating = ["networkpolicy/shop/closed", "networkpolicy/shop/db"];
    assert_eq!(last["isolating"], serde_json::json!(isolating));
}

#[test]
fn an_address_is_asked_about_by_its_pod_or_as_what_it_is() {
    let by_address = verdict(MANIFESTS, &["shop/web", "10.10.1.9:5432"]);
    assert_eq!(by_address.status.code(), Some(0), "{by_address:?}");
    let outside = verdict(MANIFESTS, &["shop/web", "169.254.169.254:80"]);
    assert_eq!(outside.status.code(), Some(1), "{outside:?}");
    assert!(
        text(&outside.stdout).contains(
            "clusternetworkpolicy/no-metadata: admin egress rule 0 \"metadata\" denies all ports to 169.254.169.254/32"
        ),
        "{outside:?}"
    );
}

#[test]
fn a_pod_is_reached_by_itself_and_by_its_own_node_whatever_isolates_it() {
    let node = "---
apiVersion: v1
kind: Node
metadata: {name: one}
spec: {podCIDR: 10.10.1.0/24}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
";
    let placed = MANIFESTS.replace(
        "{containers: [{name: db",
        "{nodeName: one, containers: [{name: db",
    );
    let manifests = format!("{placed}{node}");
    for (from, code) in [("192.0.2.1", 0), ("192.0.2.2", 1), ("shop/db", 0)] {
        let output = verdict(&manifests, &[from, "shop/db:80"]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
}

const SERVICE: &str = "---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: shop}
spec:
  clusterIP: 10.96.0.10
  selector: {app: db}
  ports: [{port: 80, targetPort: sql}]
";

#[test]
fn through_a_service_every_endpoint_must_allow_it_by_the_port_that_it_listens_on() {
    let manifests = format!("{MANIFESTS}{SERVICE}");
    for to in ["svc/shop/front:80", "10.96.0.10:80"] {
        let output = verdict(&manifests, &["shop/web", to]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let text = text(&output.stdout);
        let start = format!(
            "allowed: shop/web -> {to}
  service/shop/front: allowed to every endpoint, of which there are 1
  allowed: shop/db:5432 (pod/shop/db)
    egress   admin          -        no rule of the Admin tier decides
"
        );
        assert!(text.starts_with(&start), "{text}");
        let rule = "networkpolicy/shop/db: ingress rule 0 allows tcp/sql from pods app=web";
        assert!(text.contains(rule), "{text}");
    }
    let other = "---
apiVersion: v1
kind: Pod
metadata: {name: db-2, namespace: shop, labels: {app: db, team: b}}
spec: {containers: [{name: db, ports: [{name: sql, containerPort: 5433}]}]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: no-b}
spec:
  tier: Admin
  priority: 2
  subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {team: b}}}}
  ingress: [{action: Deny, from: [{namespaces: {}}]}]
";
    let output = verdict(
        &format!("{manifests}{other}"),
        &["shop/web", "svc/shop/front:80", "--json"],
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let allowed = |index: usize| answer["endpoints"][index]["verdict"]["allowed"].clone();
    assert_eq!((allowed(0), allowed(1)), (true.into(), false.into()));
    assert_eq!(answer["endpoints"][1]["verdict"]["to"], "shop/db-2:5433");
}

#[test]
fn a_pod_that_reaches_itself_by_a_service_is_subject_to_policies() {
    let manifests = format!("{MANIFESTS}{SERVICE}");
    let direct = verdict(&manifests, &["shop/db", "shop/db:5432"]);
    assert_eq!(direct.status.code(), Some(0), "{direct:?}");
    let by_service = verdict(&manifests, &["shop/db", "svc/shop/front:80"]);
    assert_eq!(by_service.status.code(), Some(1), "{by_service:?}");
}

#[test]
fn a_service_that_leads_nowhere_or_has_no_such_port_says_so() {
    let manifests = format!("{MANIFESTS}{SERVICE}");
    let output = verdict(&manifests, &["shop/web", "svc/shop/front:81"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let expected = "service/shop/front has no port 81/tcp; it has 80/tcp";
    assert!(text(&output.stderr).contains(expected), "{output:?}");
    let headless = manifests.replace("clusterIP: 10.96.0.10", "clusterIP: None");
    let output = verdict(&headless, &["shop/web", "svc/shop/front:80"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let expected = "has no cluster address";
    assert!(text(&output.stderr).contains(expected), "{output:?}");
    let nobody = manifests.replace("selector: {app: db}", "selector: {app: nobody}");
    let output = verdict(&nobody, &["shop/web", "svc/shop/front:80"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let expected = "no ready endpoint";
    assert!(text(&output.stdout).contains(expected), "{output:?}");
    let sends = verdict(&manifests, &["svc/shop/front", "shop/db:5432"]);
    assert_eq!(sends.status.code(), Some(2), "{sends:?}");
}

#[test]
fn what_cannot_be_answered_exits_with_two_and_says_why() {
    let cases = [
        (
            ["shop/wbe", "shop/db:80"],
            "culvert: there is no Pod shop/wbe; did you mean shop/web?\n",
        ),
        (["shop/web", "shop/db"], "names no port"),
        (
            ["shop/web", "svc/shop/db:80"],
            "culvert: there is no Service shop/db; see `kubectl get services -A`\n",
        ),
    ];
    for (arguments, expected) in cases {
        let output = verdict(MANIFESTS, &arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(expected), "{output:?}");
    }
    // A policy with an error may be the one that decides.
    let broken = MANIFESTS.replace("tier: Admin", "tier: Amin");
    let output = verdict(&broken, &["shop/web", "shop/db:5432"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let expected = "clusternetworkpolicy/no-metadata: spec.tier: \"Amin\" is not one of Admin, Baseline (and 1 more)";
    assert!(text(&output.stderr).contains(expected), "{output:?}");
}
