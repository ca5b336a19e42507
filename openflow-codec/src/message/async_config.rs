// SPDX-License-Identifier: Apache-2.0
//! `OFPT_SET_ASYNC` and `OFPT_GET_ASYNC_REPLY` (OpenFlow 1.5.1 section 7.3.10): which messages a
//! switch may send by itself.

use bytes::Bytes;

use crate::error::DecodeError;
use crate::group::read_property;
use crate::numbers::async_property;
use crate::reader::Reader;
use crate::writer::Writer;

/// What a controller in some role wants to hear.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AsyncConfig {
    /// Kinds of message, each with the reasons that are wanted (bit `1 << reason`).
    pub masks: Vec<(AsyncKind, u32)>,
    /// Properties that are not known: type and contents.
    pub unknown: Vec<(u16, Bytes)>,
}

/// `ofp_async_config_prop_type`: kind of message and role of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    missing_docs,
    reason = "each name is the specification's, without OFPACPT_"
)]
#[repr(u16)]
pub enum AsyncKind {
    PacketInSlave = async_property::PACKET_IN_SLAVE,
    PacketInMaster = async_property::PACKET_IN_MASTER,
    PortStatusSlave = async_property::PORT_STATUS_SLAVE,
    PortStatusMaster = async_property::PORT_STATUS_MASTER,
    FlowRemovedSlave = async_property::FLOW_REMOVED_SLAVE,
    FlowRemovedMaster = async_property::FLOW_REMOVED_MASTER,
    RoleStatusSlave = async_property::ROLE_STATUS_SLAVE,
    RoleStatusMaster = async_property::ROLE_STATUS_MASTER,
    TableStatusSlave = async_property::TABLE_STATUS_SLAVE,
    TableStatusMaster = async_property::TABLE_STATUS_MASTER,
    RequestForwardSlave = async_property::REQUESTFORWARD_SLAVE,
    RequestForwardMaster = async_property::REQUESTFORWARD_MASTER,
}

const KINDS: [AsyncKind; 12] = [
    AsyncKind::PacketInSlave,
    AsyncKind::PacketInMaster,
    AsyncKind::PortStatusSlave,
    AsyncKind::PortStatusMaster,
    AsyncKind::FlowRemovedSlave,
    AsyncKind::FlowRemovedMaster,
    AsyncKind::RoleStatusSlave,
    AsyncKind::RoleStatusMaster,
    AsyncKind::TableStatusSlave,
    AsyncKind::TableStatusMaster,
    AsyncKind::RequestForwardSlave,
    AsyncKind::RequestForwardMaster,
];

impl AsyncConfig {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        for (kind, mask) in &self.masks {
            out.u16(*kind as u16);
            out.u16(8);
            out.u32(*mask);
        }
        for (kind, contents) in &self.unknown {
            let start = out.position();
            out.u16(*kind);
            out.u16(0);
            out.bytes(contents);
            out.set_length("property", start.saturating_add(2), start);
            out.pad8(start);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut config = Self::default();
        while !reader.is_empty() {
            let (number, mut value) = read_property(reader)?;
            match KINDS.get(usize::from(number)) {
                Some(kind) => config.masks.push((*kind, value.u32("async mask")?)),
                None => config.unknown.push((number, value.rest())),
            }
        }
        Ok(config)
    }
}
