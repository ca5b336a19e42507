// SPDX-License-Identifier: Apache-2.0
//! The API without a network.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use manifests::{Catalog, FileText, Syntax};
use policy_compiler::Config;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::control::{Control, Input};
use crate::source::Update;
use crate::task;

const MANIFEST: &str = "
apiVersion: v1
kind: Node
metadata: {name: a}
spec: {podCIDR: 10.10.1.0/24}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec: {nodeName: a, containers: []}
";

/// The body of `path`, from a controller whose source is loaded or not.
async fn get(path: &str, loaded: bool) -> (StatusCode, String) {
    let control = Control::new(
        &Config {
            cluster_secret: [7; 32],
        },
        "br-int",
        "dir:test",
    );
    let (control_task, handle) = task::new(control);
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(control_task.run(shutdown.clone()));
    if loaded {
        let mut catalog = Catalog::default();
        let text = FileText::Text(MANIFEST.to_owned(), Syntax::Yaml);
        let changes = catalog.update([("a.yaml".to_owned(), text)]);
        let status = api_types::Source {
            loaded: true,
            objects: 3,
            ..Default::default()
        };
        let update = Update {
            changes,
            status,
            places: Vec::new(),
        };
        handle.send(Input::Source(Box::new(update))).await;
        // Questions are answered before the burst they came with is settled.
        while handle
            .ask(|control| control.counters().batches)
            .await
            .unwrap()
            == 0
        {}
    }
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = super::router(handle).oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    shutdown.cancel();
    running.await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn readiness_is_the_loaded_source_and_health_is_an_answer() {
    assert_eq!(get("/healthz", false).await.0, StatusCode::OK);
    assert_eq!(
        get("/readyz", false).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(get("/readyz", true).await.0, StatusCode::OK);
}

#[tokio::test]
async fn every_list_is_answered_in_the_shape_of_api_types() {
    let (status, body) = get("/v1/status", true).await;
    assert_eq!(status, StatusCode::OK);
    let body: api_types::Status = serde_json::from_str(&body).unwrap();
    assert!(body.source.loaded && body.flows.cluster > 0, "{body:?}");
    let (_, body) = get("/v1/nodes", true).await;
    let body: api_types::Nodes = serde_json::from_str(&body).unwrap();
    assert_eq!(body.nodes.len(), 1);
    serde_json::from_str::<api_types::Pods>(&get("/v1/pods", true).await.1).unwrap();
    let (_, body) = get("/v1/policies", true).await;
    let body: api_types::Policies = serde_json::from_str(&body).unwrap();
    assert_eq!(body.policies[0].policy, "networkpolicy/shop/deny");
    serde_json::from_str::<api_types::Source>(&get("/v1/source", true).await.1).unwrap();
}

#[tokio::test]
async fn a_policy_leads_to_its_flows_and_a_flow_leads_back_to_the_policy() {
    let (status, body) = get("/v1/flows?object=networkpolicy/shop/deny", true).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let flows: api_types::Flows = serde_json::from_str(&body).unwrap();
    let flow = flows.flows.first().unwrap();
    let (_, body) = get(&format!("/v1/explain/{}", flow.cookie), true).await;
    let explained: api_types::Flows = serde_json::from_str(&body).unwrap();
    let causes = explained.flows.iter().flat_map(|flow| &flow.causes);
    let mut objects = causes.filter_map(|cause| cause.object.as_deref());
    assert!(
        objects.any(|object| object == "networkpolicy/shop/deny"),
        "{body}"
    );
}

#[tokio::test]
async fn a_request_that_cannot_be_answered_says_what_to_write() {
    for (path, code, words) in [
        ("/v1/flows", 400, "exactly one of"),
        ("/v1/flows?node=a&pod=b/c", 400, "exactly one of"),
        ("/v1/flows?colour=red", 400, "exactly one of"),
        ("/v1/flows?pod=web", 400, "NAMESPACE/NAME"),
        ("/v1/flows?object=pod", 400, "KIND/NAMESPACE/NAME"),
        ("/v1/flows?node=nowhere", 404, "nowhere"),
        ("/v1/explain/xyz", 400, "hexadecimal"),
        ("/v1/explain/0x1", 404, "0x1"),
        ("/v2/status", 404, "/v1/status"),
    ] {
        let (status, body) = get(path, true).await;
        let refusal: api_types::Refusal = serde_json::from_str(&body).unwrap();
        assert_eq!(status.as_u16(), code, "{path}: {body}");
        assert!(refusal.error.contains(words), "{path}: {body}");
    }
}

#[tokio::test]
async fn metrics_are_openmetrics_text() {
    let (status, body) = get("/metrics", true).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        body.contains("culvert_source_loaded 1\n") && body.ends_with("# EOF\n"),
        "{body}"
    );
}

#[tokio::test]
async fn a_verdict_names_the_policy_that_decides_and_refuses_unknown_pods() {
    let (status, body) = get("/v1/verdict?from=192.0.2.9&to=shop/web:80/udp", true).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let verdict: api_types::Verdict = serde_json::from_str(&body).unwrap();
    assert!(!verdict.allowed);
    let last = verdict.steps.last().unwrap();
    assert_eq!(last.isolating, ["networkpolicy/shop/deny"]);
    let (status, body) = get("/v1/verdict?from=shop/wbe&to=shop/web:80", true).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("did you mean shop/web?"), "{body}");
    let (status, body) = get("/v1/verdict?from=shop/web&to=svc/shop/front:80", true).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("there is no Service shop/front"), "{body}");
    let (status, body) = get("/v1/verdict?from=shop/web", true).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.contains("?from=NAMESPACE/NAME"), "{body}");
}
