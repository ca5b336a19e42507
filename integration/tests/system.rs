// SPDX-License-Identifier: Apache-2.0
//! Whole-system tests on namespaces and real Open vSwitch; they need root.

#[path = "system/dual_stack.rs"]
mod dual_stack;
#[path = "system/fragments.rs"]
mod fragments;
#[path = "system/icmp.rs"]
mod icmp;
#[path = "system/lab.rs"]
mod lab;
#[path = "system/plain.rs"]
mod plain;

#[path = "system/bed.rs"]
mod bed;
#[path = "system/chaos.rs"]
mod chaos;
#[path = "system/counters.rs"]
mod counters;
#[path = "system/frontends.rs"]
mod frontends;
#[path = "system/gateway.rs"]
mod gateway;
#[path = "system/leavers.rs"]
mod leavers;
#[path = "system/masquerade.rs"]
mod masquerade;
#[path = "system/mtu.rs"]
mod mtu;
#[path = "system/promises.rs"]
mod promises;
#[path = "system/reject.rs"]
mod reject;
#[path = "system/services.rs"]
mod services;
#[path = "system/underlay.rs"]
mod underlay;
