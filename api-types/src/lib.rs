// SPDX-License-Identifier: Apache-2.0
//! Bodies of the REST API, shared by controller and cli.
//!
//! Field names are stable: fields may be added, none changes its meaning. Numbers that do not fit a
//! JSON number (cookies, datapath ids) are hexadecimal text.
//!
//! | path | body |
//! |---|---|
//! | `GET /v1/status` | [`Status`] |
//! | `GET /v1/nodes` | [`Nodes`] |
//! | `GET /v1/pods` | [`Pods`] |
//! | `GET /v1/policies` | [`Policies`] |
//! | `GET /v1/flows?pod=NAMESPACE/NAME`, `?object=KIND/NAMESPACE/NAME`, `?node=NAME` | [`Flows`] |
//! | `GET /v1/explain/{cookie}` | [`Flows`] |
//! | `GET /v1/verdict?from=NAMESPACE/NAME&to=NAMESPACE/NAME:PORT/PROTOCOL`, or addresses, `node/NAME`, `to=svc/NAMESPACE/NAME:PORT` | [`Verdict`] |
//! | `GET /v1/source` | [`Source`] |
//! | any of them, refused | [`Refusal`] |
#![forbid(unsafe_code)]

mod flows;
mod nodes;
mod pods;
mod policies;
mod source;
mod status;
mod verdict;

pub use flows::{Cause, Flow, Flows};
pub use nodes::{Node, NodeState, Nodes};
pub use pods::{Pod, PodState, Pods};
pub use policies::{Policies, Policy, PolicyRule, PolicyState};
pub use source::{FileState, Problem, Severity, Source, SourceFile};
pub use status::{
    FlowCounts, ForeignCounts, NodeCounts, PodCounts, RejectedObject, RolloutStatus, SourceSummary,
    Status,
};

pub use verdict::{EndpointVerdict, Reason, Says, Step, Verdict};

use serde::{Deserialize, Serialize};

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// One sentence that names what is wrong and the cure.
    pub error: String,
}
