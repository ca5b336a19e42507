// SPDX-License-Identifier: Apache-2.0
//! Test bed of namespaces, real Open vSwitch and real packets; home of the demo.
//!
//! A [`Testbed`] is a small data centre on one machine: every node is a network namespace with its
//! own `ovsdb-server` and `ovs-vswitchd` on the userspace datapath, so no kernel module is needed; on
//! the kernel's where there is one and [`datapath::VARIABLE`] says so, as in a [`vm`].
//! Pods are namespaces wired by the real CNI plugin, and verdicts come from real packets sent by a
//! [`Prober`]. Everything a bed makes carries the bed's name, and is swept when a bed of that name
//! starts again.

#![forbid(unsafe_code)]

pub mod capture;
pub mod cases;
pub mod chaos;
pub mod cluster;
pub mod command;
pub mod datapath;
pub mod demo;
pub mod netns;
pub mod ovs;
pub mod pod;
pub mod preflight;
pub mod probe;
pub mod process;
pub mod registry;
pub mod sctp;
pub mod stream;
pub mod testbed;
pub mod vm;
pub mod wait;

pub use cluster::{Cluster, Underlay};
pub use datapath::Datapath;
pub use netns::Netns;
pub use ovs::Ovs;
pub use pod::{Pod, PodId};
pub use probe::{Probe, Prober, Protocol, Verdict};
pub use testbed::{Node, Testbed};
