// SPDX-License-Identifier: Apache-2.0
//! Requests and their answers.

use std::time::Duration;

use openflow_codec::message::error::ErrorCode;
use openflow_codec::message::features::Features;
use openflow_codec::message::hello::Hello;
use openflow_codec::message::message_type;
use openflow_codec::message::role::{Role, RoleMessage, RoleStatus};
use openflow_codec::message::tlv_table::TlvTableReply;
use openflow_codec::{DecodeErrorKind, Frame, Message};

use super::tlv_table::{TLV_FIELDS, TLV_SPACE};
use super::{ConnectionId, Request, Switch, error};

/// `OFPC_*` of OVS: statistics of flows, tables, ports, groups and queues.
const CAPABILITIES: u32 = 0x4f;
impl Switch {
    /// Carries out one message.
    pub(super) fn handle(&mut self, id: ConnectionId, frame: &Frame, now: Duration) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if !connection.greeted && frame.header.message_type != message_type::HELLO {
            return self.disconnect(id);
        }
        let result = match Message::decode(frame, &self.context) {
            Ok(message) => self.handle_message(id, frame, message, now),
            Err(decode) => Err(decode_error(frame, &decode.kind)),
        };
        if let Err(code) = result
            && let Some(connection) = self.connections.get_mut(&id)
        {
            connection.send_error(frame, code, now);
        }
    }

    fn handle_message(
        &mut self,
        id: ConnectionId,
        request: &Request,
        message: Message,
        now: Duration,
    ) -> Result<(), ErrorCode> {
        match message {
            Message::Hello(hello) => self.handle_hello(id, request, hello, now),
            Message::EchoRequest(data) => self.reply(id, request, &Message::EchoReply(data), now),
            Message::FeaturesRequest => {
                let features = Message::FeaturesReply(self.features());
                self.reply(id, request, &features, now);
            }
            Message::GetConfigRequest => {
                if let Some(connection) = self.connections.get(&id) {
                    let config = Message::GetConfigReply(connection.config);
                    self.reply(id, request, &config, now);
                }
            }
            Message::SetConfig(config) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.config = config;
                }
            }
            Message::BarrierRequest => self.reply(id, request, &Message::BarrierReply, now),
            Message::RoleRequest(role) => {
                let role = self.change_role(id, role, now)?;
                self.reply(id, request, &Message::RoleReply(role), now);
            }
            Message::GetAsyncRequest => {
                if let Some(connection) = self.connections.get(&id) {
                    let config = Message::GetAsyncReply(connection.async_config.clone());
                    self.reply(id, request, &config, now);
                }
            }
            Message::SetAsync(config) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.async_config = config;
                }
            }
            Message::FlowMod(flow_mod) => {
                self.refuse_slave(id)?;
                self.check_flow_mod(&flow_mod)?;
                self.apply_flow_mod(id, &flow_mod, now, &mut Vec::new())?;
            }
            Message::GroupMod(group_mod) => {
                self.refuse_slave(id)?;
                self.check_group_mod(&group_mod)?;
                self.apply_group_mod(&group_mod, &mut Vec::new())?;
            }
            Message::MeterMod(meter_mod) => {
                self.refuse_slave(id)?;
                self.apply_meter_mod(meter_mod)?;
            }
            Message::PacketOut(packet_out) => {
                self.refuse_slave(id)?;
                self.packet_outs.push(packet_out);
            }
            Message::MultipartRequest(multipart) => {
                self.handle_multipart(id, request, multipart, now)?;
            }
            Message::BundleControl(control) => {
                self.refuse_slave(id)?;
                self.handle_bundle_control(id, request, control, now)?;
            }
            Message::BundleAdd(add) => {
                self.refuse_slave(id)?;
                self.handle_bundle_add(id, request, &add, now)?;
            }
            Message::TlvTableMod(table_mod) => {
                self.refuse_slave(id)?;
                self.change_tlv_table(&table_mod)?;
            }
            Message::TlvTableRequest => {
                let table = Message::TlvTableReply(TlvTableReply {
                    max_option_space: TLV_SPACE,
                    max_fields: TLV_FIELDS,
                    mappings: self.tlv_table().copied().collect(),
                });
                self.reply(id, request, &table, now);
            }
            Message::EchoReply(_) | Message::Error(_) => {}
            // What only a switch says, what is not known, and what is not modelled.
            _ => return Err(error("OFPBRC_BAD_TYPE")),
        }
        Ok(())
    }

    /// Queues the answer to `request`.
    pub(super) fn reply(
        &mut self,
        id: ConnectionId,
        request: &Request,
        message: &Message,
        now: Duration,
    ) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.send(message, request.header.xid, &self.context, now);
        }
    }

    fn handle_hello(&mut self, id: ConnectionId, request: &Request, hello: Hello, now: Duration) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.greeted = true;
        if !hello.speaks_1_5() {
            connection.send_error(request, error("OFPHFC_INCOMPATIBLE"), now);
            connection.closing = true;
        }
    }

    fn features(&self) -> Features {
        Features {
            datapath_id: self.datapath_id,
            n_buffers: 0,
            n_tables: crate::TABLES,
            auxiliary_id: 0,
            capabilities: CAPABILITIES,
        }
    }

    /// A new master makes the old one a slave; an old generation is refused.
    fn change_role(
        &mut self,
        id: ConnectionId,
        request: RoleMessage,
        now: Duration,
    ) -> Result<RoleMessage, ErrorCode> {
        if let Role::Unknown(_) = request.role {
            return Err(error("OFPRRFC_BAD_ROLE"));
        }
        if matches!(request.role, Role::Master | Role::Slave) {
            let new = request.generation_id;
            if self
                .generation_id
                .is_some_and(|old| (new.wrapping_sub(old) as i64) < 0)
            {
                return Err(error("OFPRRFC_STALE"));
            }
            self.generation_id = Some(new);
        }
        if request.role == Role::Master {
            let generation_id = request.generation_id;
            let others = self
                .connections
                .iter_mut()
                .filter(|(other, _)| **other != id);
            for (_, other) in others.filter(|(_, other)| other.role == Role::Master) {
                other.role = Role::Slave;
                let status = RoleStatus {
                    role: Role::Slave,
                    reason: 0,
                    generation_id,
                    properties: bytes::Bytes::new(),
                };
                other.send_async(&Message::RoleStatus(status), now);
            }
        }
        let mut role = Role::Equal;
        if let Some(connection) = self.connections.get_mut(&id) {
            if request.role != Role::NoChange {
                connection.role = request.role;
            }
            role = connection.role;
        }
        Ok(RoleMessage {
            role,
            generation_id: self.generation_id.unwrap_or(u64::MAX),
        })
    }

    fn refuse_slave(&self, id: ConnectionId) -> Result<(), ErrorCode> {
        match self.connections.get(&id) {
            Some(connection) if connection.role == Role::Slave => Err(error("OFPBRC_IS_SECONDARY")),
            _ => Ok(()),
        }
    }
}

/// The error that OVS answers to a message it cannot read.
pub(super) fn decode_error(frame: &Frame, kind: &DecodeErrorKind) -> ErrorCode {
    error(match (kind, frame.header.message_type) {
        (DecodeErrorKind::BadVersion(_), _) => "OFPBRC_BAD_VERSION",
        (DecodeErrorKind::DuplicateField(_), _) => "OFPBMC_DUP_FIELD",
        (DecodeErrorKind::TooDeep(_), _) => "OFPBAC_BAD_ARGUMENT",
        (DecodeErrorKind::BadValue { .. }, message_type::FLOW_MOD) => "OFPFMFC_BAD_COMMAND",
        (DecodeErrorKind::BadValue { .. }, message_type::GROUP_MOD) => "OFPGMFC_BAD_COMMAND",
        _ => "OFPBRC_BAD_LEN",
    })
}
