// SPDX-License-Identifier: Apache-2.0
//! Policies, whom they select and what they have decided.

use serde::{Deserialize, Serialize};

/// `GET /v1/policies`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    /// In the order in which they are asked: by tier, then priority, then name.
    pub policies: Vec<Policy>,
}

/// What a policy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyState {
    /// It decides.
    InForce,
    /// It decides nothing; what it would decide is counted.
    Staged,
    /// It does nothing: what it says is refused, and it said nothing before.
    Refused,
}

/// One policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// `networkpolicy/shop/api`, `clusternetworkpolicy/no-metadata`.
    pub policy: String,
    /// What it does.
    pub state: PolicyState,
    /// Why what it says now is refused; what it said before stays in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// `admin`, `networkpolicy` or `baseline`; absent where nothing is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Within the tier, lower is asked first; absent for a `NetworkPolicy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u16>,
    /// How many Pods it selects.
    pub pods: usize,
    /// Its rules, ingress first; after those of a direction that it isolates, what that denies.
    pub rules: Vec<PolicyRule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRule {
    /// `ingress` or `egress`.
    pub direction: String,
    /// Where it stands in its list, from 0; absent for what no rule allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u32>,
    /// Its name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_name: Option<String>,
    /// What it decides: `accept`, `deny` or `pass`.
    pub action: String,
    /// About which traffic, in words.
    pub about: String,
    /// Packets that it decided about, or would have, on all nodes; replies are not decided about.
    pub packets: u64,
    /// Bytes of these packets.
    pub bytes: u64,
}
