// SPDX-License-Identifier: Apache-2.0
//! The real `culvert-cni`: what it says on stdout, and what it does to a node with Open vSwitch.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[path = "cni/attach.rs"]
mod attach;
#[path = "cni/controller.rs"]
mod controller;
#[path = "cni/conversations.rs"]
mod conversations;
#[path = "cni/housekeeping.rs"]
mod housekeeping;
#[path = "cni/node.rs"]
mod node;
