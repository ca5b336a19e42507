// SPDX-License-Identifier: Apache-2.0
//! An OpenFlow switch in memory: judge for tests, engine of trace.
//!
//! [`Sim`] takes flows, groups and packets as values and tells what becomes of each packet
//! ([`Execution`]). It follows Open vSwitch where OpenFlow leaves a choice, and reports a
//! [`Fault`] where a pipeline relies on something that OVS leaves undefined or gets wrong.
//!
//! No clock, no randomness: `now` is an argument, select groups hash with a given seed.
#![forbid(unsafe_code)]

pub mod conntrack;
mod execute;
mod execution;
mod groups;
mod hash;
pub mod packet;
mod sim;
mod switch;
pub mod tables;
mod trace;
mod validate;

pub use conntrack::{Conntrack, CtState};
pub use execution::{Drop, DropReason, Event, Execution, Fault, FaultKind, Output, Place, Step};
pub use groups::{Choose, Groups, Selection};
pub use packet::{MacAddr, Packet};
pub use sim::Sim;
pub use switch::{CommitFault, CommitOutcome, ConnectionId, Faults, Switch};
pub use tables::Tables;
pub use trace::Trace;
pub use validate::{FlowError, GroupError, TABLES};
