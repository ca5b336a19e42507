// SPDX-License-Identifier: Apache-2.0
//! Would a connection pass, and who decides.

use std::net::SocketAddr;

use policy_compiler as compiler;
use serde::{Deserialize, Serialize};

/// `GET /v1/verdict`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// As asked.
    pub from: String,
    /// As asked.
    pub to: String,
    /// Whether the connection may be opened.
    pub allowed: bool,
    /// Where nothing needs to be decided, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What each tier says, egress first; the last one of a direction decides.
    pub steps: Vec<Step>,
    /// What would decide instead if an address, which is not known, were one that the policy names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends: Vec<Reason>,
    /// Through a Service: the answer for each of its endpoints; all must allow it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EndpointVerdict>,
}

/// The answer for one endpoint of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointVerdict {
    /// The Pod, if it is one: `pod/shop/api-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The answer; `to` is its address and port, or its Pod and port as long as it has no address.
    pub verdict: Verdict,
}

/// What a tier says in a direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// `egress` or `ingress`.
    pub direction: String,
    /// `admin`, `networkpolicy` or `baseline`.
    pub tier: String,
    /// What it says.
    pub says: Says,
    /// Cookie of the flow that says so, as `ovs-ofctl` prints it.
    pub cookie: String,
    /// Why the flow exists.
    pub reasons: Vec<Reason>,
    /// When isolation denies: every policy that isolates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub isolating: Vec<String>,
    /// What staged policies would say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub staged: Vec<Reason>,
}

/// What a tier can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Says {
    /// Allowed in this direction.
    Allowed,
    /// Denied.
    Denied,
    /// A rule leaves it to the next tier.
    Passed,
    /// Nothing; the next tier is asked.
    Nothing,
}

/// A policy and what it says, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The policy: `networkpolicy/shop/deny-all`; absent for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Which of its rules in that direction, from 0; absent when none of them allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u32>,
    /// Name of the rule, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_name: Option<String>,
    /// In words.
    pub why: String,
}

impl Verdict {
    /// The answer to what was asked.
    pub fn new(from: &str, to: &str, verdict: &compiler::Verdict) -> Self {
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            allowed: verdict.allowed,
            note: verdict.note.clone(),
            steps: verdict.steps.iter().map(step).collect(),
            depends: verdict.depends.iter().map(reason).collect(),
            endpoints: verdict
                .endpoints
                .iter()
                .map(|one| endpoint(from, one))
                .collect(),
        }
    }
}

fn endpoint(from: &str, endpoint: &compiler::EndpointVerdict) -> EndpointVerdict {
    let compiler::EndpointVerdict {
        pod,
        address,
        port,
        verdict,
    } = endpoint;
    let to = match (address, pod) {
        (Some(address), _) => SocketAddr::new(*address, *port).to_string(),
        (None, Some(pod)) => format!("{}/{}:{port}", pod.namespace, pod.name),
        (None, None) => port.to_string(),
    };
    EndpointVerdict {
        pod: pod.as_ref().map(ToString::to_string),
        verdict: Verdict::new(from, &to, verdict),
    }
}

fn step(step: &compiler::Step) -> Step {
    Step {
        direction: step.direction.to_string(),
        tier: step.tier.to_string(),
        says: match step.says {
            compiler::Says::Allowed => Says::Allowed,
            compiler::Says::Denied => Says::Denied,
            compiler::Says::Passed => Says::Passed,
            compiler::Says::Nothing => Says::Nothing,
        },
        cookie: step.cookie.to_string(),
        reasons: step.causes.iter().map(reason).collect(),
        isolating: step.isolating.iter().map(ToString::to_string).collect(),
        staged: step.staged.iter().map(reason).collect(),
    }
}

fn reason(cause: &compiler::Cause) -> Reason {
    let decision = cause.decision.as_ref();
    Reason {
        policy: cause.object.as_ref().map(ToString::to_string),
        rule: decision.and_then(|decision| decision.rule),
        rule_name: decision.and_then(|decision| decision.rule_name.clone()),
        why: cause.why.clone(),
    }
}
