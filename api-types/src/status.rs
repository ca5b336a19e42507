// SPDX-License-Identifier: Apache-2.0
//! The controller at a glance.

use serde::{Deserialize, Serialize};

/// `GET /v1/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the controller.
    pub version: String,
    /// Objects.
    pub source: SourceSummary,
    /// Nodes.
    pub nodes: NodeCounts,
    /// Interfaces of Pods.
    pub pods: PodCounts,
    /// Flows and groups.
    pub flows: FlowCounts,
    /// Flows and groups of others.
    #[serde(default)]
    pub foreign: ForeignCounts,
    /// What is on its way to the switches.
    pub rollout: RolloutStatus,
    /// Objects that the compiler refused; what they said before stays in force.
    pub rejected: Vec<RejectedObject>,
}

/// The source at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSummary {
    /// `dir:PATH`.
    pub location: String,
    /// Everything was read once.
    pub loaded: bool,
    /// Objects in force.
    pub objects: usize,
    /// Errors and warnings.
    pub problems: usize,
}

/// Nodes by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field counts the state of that name")]
pub struct NodeCounts {
    pub total: usize,
    pub programmed: usize,
    pub syncing: usize,
    pub waiting: usize,
    pub disconnected: usize,
    pub refused: usize,
}

/// Interfaces of Pods by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field counts the state of that name")]
pub struct PodCounts {
    pub total: usize,
    pub ready: usize,
    pub admitted: usize,
    pub programmed: usize,
    pub pending: usize,
    pub refused: usize,
}

/// Flows and groups that the switches should have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowCounts {
    /// Flows on every switch.
    pub cluster: usize,
    /// Groups on every switch.
    pub cluster_groups: usize,
    /// Flows of all nodes' own layers.
    pub node: usize,
}

/// Flows and groups of others on all bridges, as far as these were read back: left alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignCounts {
    /// Flows.
    pub flows: usize,
    /// Groups.
    pub groups: usize,
}

/// What is on its way to the switches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutStatus {
    /// `idle`, `early`, `cluster` or `nodes`.
    pub phase: String,
    /// Number of the last step that was sent.
    pub generation: u64,
    /// Nodes whose acknowledgement is awaited.
    pub waiting_for: Vec<String>,
    /// Changes that wait for the present rollout to end.
    pub pending_changes: usize,
}

/// An object that the compiler refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedObject {
    /// `KIND/NAMESPACE/NAME`.
    pub object: String,
    /// What is wrong, and the cure.
    pub reason: String,
}
