// SPDX-License-Identifier: Apache-2.0
//! Requests that get no answer: status code and one sentence.

use api_types::Refusal;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use policy_compiler::QuestionError;
use policy_compiler::model::ParseKeyError;

use crate::control::QueryError;
use crate::task::Ended;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error(
        "there is no such path; GET /v1/status, /v1/nodes, /v1/pods, /v1/policies, /v1/flows, /v1/explain/COOKIE, /v1/verdict or /v1/source"
    )]
    UnknownPath,
    #[error(
        "ask for flows with exactly one of ?pod=NAMESPACE/NAME, ?object=KIND/NAMESPACE/NAME, ?node=NAME"
    )]
    FlowParameters,
    #[error(
        "ask for a verdict with ?from=NAMESPACE/NAME&to=NAMESPACE/NAME:PORT or &to=svc/NAMESPACE/NAME:PORT; \
         addresses and node/NAME do, too"
    )]
    VerdictParameters,
    #[error("{0}")]
    Question(#[from] QuestionError),
    #[error("{0:?} names no Pod; write NAMESPACE/NAME")]
    PodName(String),
    #[error("{0}")]
    ObjectName(ParseKeyError),
    #[error("{0:?} is not a cookie; write up to 16 hexadecimal digits, as 0xc5a1b2c3d4e5f607")]
    Cookie(String),
    #[error("{0}")]
    Query(#[from] QueryError),
    #[error("metrics cannot be written as text")]
    Metrics,
    #[error("{0}")]
    Ended(#[from] Ended),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Question(
                QuestionError::UnknownPod { .. }
                | QuestionError::UnknownService { .. }
                | QuestionError::UnknownNode { .. },
            ) => StatusCode::NOT_FOUND,
            Self::VerdictParameters
            | Self::Question(_)
            | Self::FlowParameters
            | Self::PodName(_)
            | Self::ObjectName(_)
            | Self::Cookie(_) => StatusCode::BAD_REQUEST,
            Self::UnknownPath | Self::Query(_) => StatusCode::NOT_FOUND,
            Self::Metrics => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Ended(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        (
            status,
            Json(Refusal {
                error: self.to_string(),
            }),
        )
            .into_response()
    }
}
