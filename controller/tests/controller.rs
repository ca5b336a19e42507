// SPDX-License-Identifier: Apache-2.0
//! The real controller against real Open vSwitch (dummy datapath), over loopback.
//!
//! Needs `ovsdb-server`, `ovs-vswitchd`, `ovs-vsctl` and `ovs-ofctl` in the path.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "controller/audit.rs"]
mod audit;
#[path = "controller/cluster.rs"]
mod cluster;
#[path = "controller/node.rs"]
mod node;
#[path = "controller/process.rs"]
mod process;
#[path = "controller/readiness.rs"]
mod readiness;
#[path = "controller/restart.rs"]
mod restart;
#[path = "controller/source.rs"]
mod source;
