// SPDX-License-Identifier: Apache-2.0
//! Flows with the reasons why they exist.

use serde::{Deserialize, Serialize};

/// `GET /v1/flows` and `GET /v1/explain/{cookie}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flows {
    /// Sorted by table, falling priority, match.
    pub flows: Vec<Flow>,
}

/// One flow, in the words of `ovs-ofctl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// `cluster`, or `node/NAME`: which switches have it.
    pub scope: String,
    /// Name of the table.
    pub table: String,
    /// Number of the table.
    pub table_id: u8,
    /// Priority.
    pub priority: u16,
    /// Match; empty text matches every packet.
    #[serde(rename = "match")]
    pub flow_match: String,
    /// Actions, as after `actions=`.
    pub actions: String,
    /// Cookie as `ovs-ofctl` prints it: `0x` and hexadecimal digits.
    pub cookie: String,
    /// Why the flow exists; never empty.
    pub causes: Vec<Cause>,
}

/// One reason for a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The object: `networkpolicy/shop/deny-all`; absent for the fixed part of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Node of the Interface, for flows of a Pod's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The Interface, for flows of a Pod's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// What the flow does for it.
    pub why: String,
}
