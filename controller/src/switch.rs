// SPDX-License-Identifier: Apache-2.0
//! Switches: one task per OpenFlow connection, which drives an `openflow-session`.

pub mod config;
pub mod driver;
pub mod listener;
