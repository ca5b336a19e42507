// SPDX-License-Identifier: Apache-2.0
//! The REST API: reads only. Paths and bodies are described in `api-types`.

mod error;
pub mod listener;
mod metrics;
#[cfg(test)]
mod tests;

use api_types as api;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use openflow_codec::Cookie;
use policy_compiler::Question;
use serde::Deserialize;

use self::error::ApiError;
use crate::control::FlowQuery;
use crate::control::pod_key;
use crate::task::Handle;

/// The API, answered by the control task behind `control`.
pub fn router(control: Handle) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/nodes", get(nodes))
        .route("/v1/pods", get(pods))
        .route("/v1/policies", get(policies))
        .route("/v1/flows", get(flows))
        .route("/v1/explain/{cookie}", get(explain))
        .route("/v1/verdict", get(verdict))
        .route("/v1/source", get(source))
        .route("/metrics", get(prometheus))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(|| async { ApiError::UnknownPath })
        .with_state(control)
}

type Answer<T> = Result<Json<T>, ApiError>;

async fn status(State(control): State<Handle>) -> Answer<api::Status> {
    Ok(Json(control.ask(|control| control.status()).await?))
}

async fn nodes(State(control): State<Handle>) -> Answer<api::Nodes> {
    Ok(Json(control.ask(|control| control.nodes()).await?))
}

async fn pods(State(control): State<Handle>) -> Answer<api::Pods> {
    Ok(Json(control.ask(|control| control.pods()).await?))
}

async fn policies(State(control): State<Handle>) -> Answer<api::Policies> {
    Ok(Json(control.ask(|control| control.policies()).await?))
}

async fn source(State(control): State<Handle>) -> Answer<api::Source> {
    Ok(Json(control.ask(|control| control.source()).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FlowParameters {
    pod: Option<String>,
    object: Option<String>,
    node: Option<String>,
}

async fn flows(
    State(control): State<Handle>,
    parameters: Result<Query<FlowParameters>, axum::extract::rejection::QueryRejection>,
) -> Answer<api::Flows> {
    let Query(parameters) = parameters.map_err(|_| ApiError::FlowParameters)?;
    let query = match parameters {
        FlowParameters {
            pod: Some(pod),
            object: None,
            node: None,
        } => FlowQuery::Object(pod_key(&pod).ok_or(ApiError::PodName(pod))?),
        FlowParameters {
            pod: None,
            object: Some(object),
            node: None,
        } => FlowQuery::Object(object.parse().map_err(ApiError::ObjectName)?),
        FlowParameters {
            pod: None,
            object: None,
            node: Some(node),
        } => FlowQuery::Node(node),
        _ => return Err(ApiError::FlowParameters),
    };
    Ok(Json(
        control.ask(move |control| control.flows(&query)).await??,
    ))
}

async fn explain(State(control): State<Handle>, Path(cookie): Path<String>) -> Answer<api::Flows> {
    let digits = cookie.strip_prefix("0x").unwrap_or(&cookie);
    let number = u64::from_str_radix(digits, 16).map_err(|_| ApiError::Cookie(cookie.clone()))?;
    let query = FlowQuery::Cookie(Cookie(number));
    Ok(Json(
        control.ask(move |control| control.flows(&query)).await??,
    ))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VerdictParameters {
    from: String,
    to: String,
}

async fn verdict(
    State(control): State<Handle>,
    parameters: Result<Query<VerdictParameters>, axum::extract::rejection::QueryRejection>,
) -> Answer<api::Verdict> {
    let Query(VerdictParameters { from, to }) =
        parameters.map_err(|_| ApiError::VerdictParameters)?;
    let question = Question::parse(&from, &to)?;
    let verdict = control
        .ask(move |control| control.verdict(&question))
        .await??;
    Ok(Json(api::Verdict::new(&from, &to, &verdict)))
}

async fn prometheus(State(control): State<Handle>) -> Result<Response, ApiError> {
    let (status, counters, rules) = control
        .ask(|control| {
            let rules = control.policy_counts();
            (control.status(), control.counters(), rules)
        })
        .await?;
    let text = metrics::encode(&status, counters, &rules).map_err(|_| ApiError::Metrics)?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

/// The control task answers.
async fn healthz(State(control): State<Handle>) -> Result<&'static str, ApiError> {
    control.ask(|_| ()).await?;
    Ok("ok\n")
}

/// The source is loaded: switches are being kept true.
async fn readyz(State(control): State<Handle>) -> Result<Response, ApiError> {
    if control.ask(|control| control.is_loaded()).await? {
        Ok("ok\n".into_response())
    } else {
        let reason = "the source is not loaded, so no switch is touched; see /v1/source\n";
        Ok((StatusCode::SERVICE_UNAVAILABLE, reason).into_response())
    }
}
