// SPDX-License-Identifier: Apache-2.0
//! Machines: what their OVSDB says, and the facts that are written back to it.
//!
//! [`view`] reads a replica and [`facts`] compares and writes; both are pure. [`listener`] accepts the
//! connections that machines dial.

pub mod facts;
pub mod listener;
pub mod view;

pub use facts::Facts;
pub use view::{Bridge, Claim, MachineView, PodInterface};
