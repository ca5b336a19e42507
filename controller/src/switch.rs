// SPDX-License-Identifier: Apache-2.0
//! Switches: one task per OpenFlow connection, which drives an `openflow-session`.

mod audit;
pub mod config;
mod driver;
pub mod link;
pub mod listener;
