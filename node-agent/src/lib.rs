// SPDX-License-Identifier: Apache-2.0
//! Prepares an Open vSwitch node for Culvert and keeps it so.
//!
//! [`desired`], [`host`], [`ruleset`] and [`neighbours`] decide and do no IO, of what [`told`] reads;
//! [`agent`] runs what they decide through OVSDB, netlink ([`underlay`], [`kernel`]), nftables
//! ([`nft`]) and the control socket of vswitchd ([`unixctl`]), and answers [`health`]
//! checks. [`reject`] refuses connections to Services without endpoints, over OpenFlow.
//! [`uninstall`] takes it all back.
#![forbid(unsafe_code)]

pub mod agent;
pub mod args;
mod complaint;
pub mod config;
pub mod desired;
pub mod health;
pub mod host;
pub mod kernel;
pub mod neighbours;
pub mod nft;
pub mod reject;
pub mod ruleset;
pub mod telemetry;
pub mod told;
pub mod underlay;
pub mod uninstall;
pub mod unixctl;
