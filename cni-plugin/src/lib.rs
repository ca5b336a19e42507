// SPDX-License-Identifier: Apache-2.0
//! The Culvert CNI plugin: a veth, its addresses and one OVSDB transaction.
//!
//! [`request`], [`ipam`], [`node`], [`port`] and [`check`] decide and do no IO; [`command`] runs
//! what they decide through [`database`] (OVSDB) and [`link`] (netlink).
#![deny(unsafe_code)]

pub mod addresses;
pub mod check;
pub mod command;
pub mod contract;
pub mod database;
pub mod ipam;
pub mod link;
pub mod node;
pub mod port;
pub mod request;
pub mod spec;
