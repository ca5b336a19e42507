// SPDX-License-Identifier: Apache-2.0
//! The compiler against its oracles: compile from scratch, and a naive reading of the API.

#[path = "compiler/cluster_policy.rs"]
mod cluster_policy;
#[path = "compiler/corner_cases.rs"]
mod corner_cases;
#[path = "compiler/corner_lifecycle.rs"]
mod corner_lifecycle;
#[path = "compiler/corner_refusals.rs"]
mod corner_refusals;
#[path = "compiler/corner_tiers.rs"]
mod corner_tiers;
#[path = "compiler/document.rs"]
mod document;
#[path = "compiler/gateway.rs"]
mod gateway;
#[path = "compiler/incremental.rs"]
mod incremental;
#[path = "compiler/known.rs"]
mod known;
#[path = "compiler/masquerade.rs"]
mod masquerade;
#[path = "compiler/neighbours.rs"]
mod neighbours;
#[path = "compiler/packets.rs"]
mod packets;
#[path = "compiler/pipeline.rs"]
mod pipeline;
#[path = "compiler/reasons.rs"]
mod reasons;
#[path = "compiler/service_nodes.rs"]
mod service_nodes;
#[path = "compiler/service_random.rs"]
mod service_random;
#[path = "compiler/service_table.rs"]
mod service_table;
#[path = "compiler/services.rs"]
mod services;
#[path = "compiler/town.rs"]
mod town;
#[path = "compiler/trace.rs"]
mod trace;
#[path = "compiler/verdict_doors.rs"]
mod verdict_doors;
#[path = "compiler/verdicts.rs"]
mod verdicts;
#[path = "compiler/world.rs"]
mod world;
