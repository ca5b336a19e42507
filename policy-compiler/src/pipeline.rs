// SPDX-License-Identifier: Apache-2.0
//! The pipeline as a declaration: every table, register, priority and cookie, once.
//!
//! No other module, here or in another crate, contains a bare table number, register bit,
//! priority or cookie. Table numbers never change meaning between versions: old and new
//! controllers meet on the same switch during an upgrade.

mod builder;
pub mod cookie;
pub mod group;
pub mod meter;
pub mod priority;
pub mod register;
mod table;

pub(crate) use builder::{Builder, Spec};
pub use cookie::CookieKind;
pub use table::{Declaration, Table, table_names};

use openflow_codec::TableId;

/// Table of the marker flows, which no packet reaches.
pub const MARKER_TABLE: TableId = TableId(Table::Marker as u8);

/// Table that a packet enters first. Its flows are added last.
pub const ENTRY_TABLE: TableId = TableId(Table::Classify as u8);

/// VNI of the cluster's Geneve traffic.
pub const TUNNEL_VNI: u64 = 0xc1;

/// UDP port of Geneve (RFC 8926 section 3.3), to which nodes send tunnelled packets.
pub const TUNNEL_UDP_PORT: u16 = 6081;

/// Class of the Geneve option that carries the identity (RFC 8926 experimental range).
pub const GENEVE_OPTION_CLASS: u16 = 0xff51;

/// Type of the option; the critical bit (0x80) is clear.
pub const GENEVE_OPTION_TYPE: u8 = 0x01;

/// Length of the option's value in bytes.
pub const GENEVE_OPTION_LEN: u8 = 12;

/// Index of the `tun_metadata` field that the option is mapped to.
pub const TUN_METADATA_INDEX: u16 = 0;

/// Conntrack zone of every connection.
pub const CT_ZONE: u16 = 0xc1;

/// Conntrack zone of the second translation of masqueraded connections, that of their source.
pub const CT_ZONE_MASQUERADE: u16 = 0xc2;

/// Number that the node's agent gives itself (`NXT_SET_CONTROLLER_ID`), so that packets go to it alone.
pub const AGENT_CONTROLLER_ID: u16 = 0xc1;

/// What the agent is to do with a packet (`userdata`): refuse it.
pub const AGENT_REFUSE: &[u8] = b"refuse";

/// Link-layer address of the gateway of every Pod.
pub const GATEWAY_MAC: crate::model::MacAddr = crate::model::MacAddr(0x0a58_a9fe_0101);

/// Link-layer address of the gateway port, behind which the node's own kernel is.
pub const HOST_MAC: crate::model::MacAddr = crate::model::MacAddr(0x0a58_a9fe_0102);

/// IPv4 address of the gateway of every Pod: link-local, the same everywhere, so that a Pod can move.
pub const GATEWAY_IPV4: std::net::Ipv4Addr = std::net::Ipv4Addr::new(169, 254, 1, 1);

/// IPv6 address of the gateway of every Pod.
pub const GATEWAY_IPV6: std::net::Ipv6Addr = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
