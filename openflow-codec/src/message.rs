// SPDX-License-Identifier: Apache-2.0
//! Messages: type numbers, and one variant for each that is understood.

pub mod async_config;
pub mod bundle;
pub mod config;
pub mod ct_flush;
pub mod error;
pub mod features;
pub mod flow_mod;
pub mod flow_removed;
pub mod group_mod;
pub mod hello;
pub mod meter;
pub mod multipart;
pub mod packet_in;
pub mod packet_out;
pub mod port;
pub mod role;
pub mod table_mod;
pub mod table_status;
pub mod tlv_table;

use bytes::Bytes;

use self::async_config::AsyncConfig;
use self::bundle::{BundleAdd, BundleControl};
use self::config::SwitchConfig;
use self::ct_flush::CtFlush;
use self::error::ErrorMessage;
use self::features::Features;
use self::flow_mod::FlowMod;
use self::flow_removed::FlowRemoved;
use self::group_mod::GroupMod;
use self::hello::Hello;
use self::meter::MeterMod;
use self::multipart::{MultipartReply, MultipartRequest};
use self::packet_in::{PacketIn, PacketIn2, PacketInFormat};
use self::packet_out::PacketOut;
use self::port::{PortMod, PortStatus};
use self::role::{RoleMessage, RoleStatus};
use self::table_mod::TableMod;
use self::table_status::TableStatus;
use self::tlv_table::{TlvTableMod, TlvTableReply};
use crate::context::Context;
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::framer::Frame;
use crate::header::{Header, VERSION};
use crate::ids::Xid;
pub use crate::numbers::message_type;
use crate::numbers::nicira;
use crate::reader::Reader;
use crate::writer::Writer;

use message_type as of;

/// Vendor of the Nicira extensions.
pub(crate) const NICIRA: u32 = 0x0000_2320;

/// One message without its transaction id.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each variant is the specification's message of that name"
)]
pub enum Message {
    Hello(Hello),
    Error(ErrorMessage),
    EchoRequest(Bytes),
    EchoReply(Bytes),
    FeaturesRequest,
    FeaturesReply(Features),
    GetConfigRequest,
    GetConfigReply(SwitchConfig),
    SetConfig(SwitchConfig),
    PacketIn(PacketIn),
    PacketOut(PacketOut),
    FlowRemoved(FlowRemoved),
    PortStatus(PortStatus),
    FlowMod(FlowMod),
    GroupMod(GroupMod),
    PortMod(PortMod),
    TableMod(TableMod),
    MeterMod(MeterMod),
    MultipartRequest(MultipartRequest),
    MultipartReply(MultipartReply),
    BarrierRequest,
    BarrierReply,
    RoleRequest(RoleMessage),
    RoleReply(RoleMessage),
    RoleStatus(RoleStatus),
    TableStatus(TableStatus),
    /// `OFPT_REQUESTFORWARD`: what another controller has changed, as the message that it sent.
    RequestForward(Bytes),
    GetAsyncRequest,
    GetAsyncReply(AsyncConfig),
    SetAsync(AsyncConfig),
    BundleControl(BundleControl),
    BundleAdd(BundleAdd),
    /// `NXT_TLV_TABLE_MOD`.
    TlvTableMod(TlvTableMod),
    /// `NXT_TLV_TABLE_REQUEST`.
    TlvTableRequest,
    /// `NXT_TLV_TABLE_REPLY`.
    TlvTableReply(TlvTableReply),
    /// `NXT_SET_PACKET_IN_FORMAT`.
    SetPacketInFormat(PacketInFormat),
    /// `NXT_SET_CONTROLLER_ID`: the number by which `controller(id=...)` finds this connection.
    SetControllerId(u16),
    /// `NXT_PACKET_IN2`.
    PacketIn2(PacketIn2),
    /// `NXT_RESUME`.
    Resume(PacketIn2),
    /// `NXT_CT_FLUSH_ZONE`: forgets every connection of a zone.
    CtFlushZone(u16),
    /// `NXT_CT_FLUSH`.
    CtFlush(CtFlush),
    /// A message that is not understood: kept byte for byte.
    Unknown {
        /// `OFPT_*`.
        message_type: u8,
        /// What follows the header.
        body: Bytes,
    },
}

impl Message {
    /// `OFPT_*` of this message.
    pub const fn message_type(&self) -> u8 {
        match self {
            Self::Hello(_) => of::HELLO,
            Self::Error(_) => of::ERROR,
            Self::EchoRequest(_) => of::ECHO_REQUEST,
            Self::EchoReply(_) => of::ECHO_REPLY,
            Self::FeaturesRequest => of::FEATURES_REQUEST,
            Self::FeaturesReply(_) => of::FEATURES_REPLY,
            Self::GetConfigRequest => of::GET_CONFIG_REQUEST,
            Self::GetConfigReply(_) => of::GET_CONFIG_REPLY,
            Self::SetConfig(_) => of::SET_CONFIG,
            Self::PacketIn(_) => of::PACKET_IN,
            Self::PacketOut(_) => of::PACKET_OUT,
            Self::FlowRemoved(_) => of::FLOW_REMOVED,
            Self::PortStatus(_) => of::PORT_STATUS,
            Self::FlowMod(_) => of::FLOW_MOD,
            Self::GroupMod(_) => of::GROUP_MOD,
            Self::PortMod(_) => of::PORT_MOD,
            Self::TableMod(_) => of::TABLE_MOD,
            Self::MeterMod(_) => of::METER_MOD,
            Self::MultipartRequest(_) => of::MULTIPART_REQUEST,
            Self::MultipartReply(_) => of::MULTIPART_REPLY,
            Self::BarrierRequest => of::BARRIER_REQUEST,
            Self::BarrierReply => of::BARRIER_REPLY,
            Self::RoleRequest(_) => of::ROLE_REQUEST,
            Self::RoleReply(_) => of::ROLE_REPLY,
            Self::RoleStatus(_) => of::ROLE_STATUS,
            Self::TableStatus(_) => of::TABLE_STATUS,
            Self::RequestForward(_) => of::REQUESTFORWARD,
            Self::GetAsyncRequest => of::GET_ASYNC_REQUEST,
            Self::GetAsyncReply(_) => of::GET_ASYNC_REPLY,
            Self::SetAsync(_) => of::SET_ASYNC,
            Self::BundleControl(_) => of::BUNDLE_CONTROL,
            Self::BundleAdd(_) => of::BUNDLE_ADD_MESSAGE,
            Self::TlvTableMod(_)
            | Self::TlvTableRequest
            | Self::TlvTableReply(_)
            | Self::SetPacketInFormat(_)
            | Self::SetControllerId(_)
            | Self::PacketIn2(_)
            | Self::Resume(_)
            | Self::CtFlushZone(_)
            | Self::CtFlush(_) => of::EXPERIMENTER,
            Self::Unknown { message_type, .. } => *message_type,
        }
    }

    /// Appends the message to `out`.
    ///
    /// # Errors
    /// When something is longer than its length field can say; `out` is then as it was before.
    pub fn encode(
        &self,
        xid: Xid,
        context: &Context,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        write_message(out, self.message_type(), xid, context, |out| {
            self.put_body(out, xid);
        })
    }

    fn put_body(&self, out: &mut Writer<'_>, xid: Xid) {
        match self {
            Self::Hello(hello) => hello.put(out),
            Self::Error(error) => error.put(out),
            Self::EchoRequest(data) | Self::EchoReply(data) | Self::RequestForward(data) => {
                out.bytes(data);
            }
            Self::FeaturesRequest
            | Self::GetConfigRequest
            | Self::BarrierRequest
            | Self::BarrierReply
            | Self::GetAsyncRequest => {}
            Self::FeaturesReply(features) => features.put(out),
            Self::GetConfigReply(config) | Self::SetConfig(config) => config.put(out),
            Self::PacketIn(packet) => packet.put(out),
            Self::PacketOut(packet) => packet.put(out),
            Self::FlowRemoved(removed) => removed.put(out),
            Self::PortStatus(status) => status.put(out),
            Self::FlowMod(flow_mod) => flow_mod.put(out),
            Self::GroupMod(group_mod) => group_mod.put(out),
            Self::PortMod(port_mod) => port_mod.put(out),
            Self::TableMod(table_mod) => table_mod.put(out),
            Self::MeterMod(meter_mod) => meter_mod.put(out),
            Self::MultipartRequest(request) => request.put(out),
            Self::MultipartReply(reply) => reply.put(out),
            Self::RoleRequest(role) | Self::RoleReply(role) => role.put(out),
            Self::RoleStatus(status) => status.put(out),
            Self::TableStatus(status) => status.put(out),
            Self::GetAsyncReply(config) | Self::SetAsync(config) => config.put(out),
            Self::BundleControl(control) => control.put(out),
            Self::BundleAdd(add) => add.put(out, xid),
            Self::TlvTableMod(table) => {
                put_nicira(out, nicira::TLV_TABLE_MOD);
                table.put(out);
            }
            Self::TlvTableRequest => put_nicira(out, nicira::TLV_TABLE_REQUEST),
            Self::TlvTableReply(table) => {
                put_nicira(out, nicira::TLV_TABLE_REPLY);
                table.put(out);
            }
            Self::SetPacketInFormat(format) => {
                put_nicira(out, nicira::SET_PACKET_IN_FORMAT);
                format.put(out);
            }
            Self::SetControllerId(id) => {
                put_nicira(out, nicira::SET_CONTROLLER_ID);
                out.zeros(6);
                out.u16(*id);
            }
            Self::PacketIn2(packet) => {
                put_nicira(out, nicira::PACKET_IN2);
                packet.put(out);
            }
            Self::Resume(packet) => {
                put_nicira(out, nicira::RESUME);
                packet.put(out);
            }
            Self::CtFlushZone(zone) => {
                put_nicira(out, nicira::CT_FLUSH_ZONE);
                out.zeros(6);
                out.u16(*zone);
            }
            Self::CtFlush(flush) => {
                put_nicira(out, nicira::CT_FLUSH);
                flush.put(out);
            }
            Self::Unknown { body, .. } => out.bytes(body),
        }
    }

    /// Reads the message in `frame`.
    ///
    /// HELLO and ERROR are read whatever their version, so that a failed negotiation can be
    /// explained; everything else must be OpenFlow 1.5.
    ///
    /// # Errors
    /// When the message is malformed. The stream itself is sound: the next frame can be read.
    pub fn decode(frame: &Frame, context: &Context) -> Result<Self, DecodeError> {
        frame.check_length()?;
        let kind = frame.header.message_type;
        let mut reader = Reader::new(&frame.body, Header::LEN);
        if frame.header.version != VERSION && kind != of::HELLO && kind != of::ERROR {
            return Err(DecodeError {
                offset: 0,
                kind: DecodeErrorKind::BadVersion(frame.header.version),
            });
        }
        let body = &mut reader;
        Ok(match kind {
            of::HELLO => Self::Hello(Hello::read(body, frame.header.version)?),
            of::ERROR => Self::Error(ErrorMessage::read(body)?),
            of::ECHO_REQUEST => Self::EchoRequest(frame.body.clone()),
            of::ECHO_REPLY => Self::EchoReply(frame.body.clone()),
            of::FEATURES_REQUEST => Self::FeaturesRequest,
            of::FEATURES_REPLY => Self::FeaturesReply(Features::read(body)?),
            of::GET_CONFIG_REQUEST => Self::GetConfigRequest,
            of::GET_CONFIG_REPLY => Self::GetConfigReply(SwitchConfig::read(body)?),
            of::SET_CONFIG => Self::SetConfig(SwitchConfig::read(body)?),
            of::PACKET_IN => Self::PacketIn(PacketIn::read(body, context)?),
            of::PACKET_OUT => Self::PacketOut(PacketOut::read(body, context)?),
            of::FLOW_REMOVED => Self::FlowRemoved(FlowRemoved::read(body, context)?),
            of::PORT_STATUS => Self::PortStatus(PortStatus::read(body)?),
            of::FLOW_MOD => Self::FlowMod(FlowMod::read(body, context)?),
            of::GROUP_MOD => Self::GroupMod(GroupMod::read(body, context)?),
            of::PORT_MOD => Self::PortMod(PortMod::read(body)?),
            of::TABLE_MOD => Self::TableMod(TableMod::read(body)?),
            of::METER_MOD => Self::MeterMod(MeterMod::read(body)?),
            of::MULTIPART_REQUEST => Self::MultipartRequest(MultipartRequest::read(body, context)?),
            of::MULTIPART_REPLY => Self::MultipartReply(MultipartReply::read(body, context)?),
            of::BARRIER_REQUEST => Self::BarrierRequest,
            of::BARRIER_REPLY => Self::BarrierReply,
            of::ROLE_REQUEST => Self::RoleRequest(RoleMessage::read(body)?),
            of::ROLE_REPLY => Self::RoleReply(RoleMessage::read(body)?),
            of::ROLE_STATUS => Self::RoleStatus(RoleStatus::read(body)?),
            of::TABLE_STATUS => Self::TableStatus(TableStatus::read(body)?),
            of::REQUESTFORWARD => Self::RequestForward(frame.body.clone()),
            of::GET_ASYNC_REQUEST => Self::GetAsyncRequest,
            of::GET_ASYNC_REPLY => Self::GetAsyncReply(AsyncConfig::read(body)?),
            of::SET_ASYNC => Self::SetAsync(AsyncConfig::read(body)?),
            of::BUNDLE_CONTROL => Self::BundleControl(BundleControl::read(body)?),
            of::BUNDLE_ADD_MESSAGE => Self::BundleAdd(BundleAdd::read(body)?),
            of::EXPERIMENTER => read_experimenter(frame, body, context)?,
            message_type => Self::Unknown {
                message_type,
                body: frame.body.clone(),
            },
        })
    }
}

fn read_experimenter(
    frame: &Frame,
    body: &mut Reader<'_>,
    context: &Context,
) -> Result<Message, DecodeError> {
    let vendor = body.u32("experimenter")?;
    let subtype = body.u32("experimenter type")?;
    Ok(match (vendor, subtype) {
        (NICIRA, nicira::TLV_TABLE_MOD) => Message::TlvTableMod(TlvTableMod::read(body)?),
        (NICIRA, nicira::TLV_TABLE_REQUEST) => Message::TlvTableRequest,
        (NICIRA, nicira::TLV_TABLE_REPLY) => Message::TlvTableReply(TlvTableReply::read(body)?),
        (NICIRA, nicira::SET_PACKET_IN_FORMAT) => {
            Message::SetPacketInFormat(PacketInFormat::read(body)?)
        }
        (NICIRA, nicira::SET_CONTROLLER_ID) => {
            body.skip("padding", 6)?;
            Message::SetControllerId(body.u16("controller id")?)
        }
        (NICIRA, nicira::PACKET_IN2) => Message::PacketIn2(PacketIn2::read(body, context)?),
        (NICIRA, nicira::RESUME) => Message::Resume(PacketIn2::read(body, context)?),
        (NICIRA, nicira::CT_FLUSH_ZONE) => {
            body.skip("padding", 6)?;
            Message::CtFlushZone(body.u16("ct zone")?)
        }
        (NICIRA, nicira::CT_FLUSH) => Message::CtFlush(CtFlush::read(body)?),
        _ => Message::Unknown {
            message_type: of::EXPERIMENTER,
            body: frame.body.clone(),
        },
    })
}

fn put_nicira(out: &mut Writer<'_>, subtype: u32) {
    out.u32(NICIRA);
    out.u32(subtype);
}

/// Appends a header and the body that `put` writes, and fills in the length.
#[inline]
pub(crate) fn write_message(
    out: &mut Vec<u8>,
    message_type: u8,
    xid: Xid,
    context: &Context,
    put: impl FnOnce(&mut Writer<'_>),
) -> Result<(), EncodeError> {
    let mut out = Writer::new(out, context);
    let start = out.position();
    out.words([u64::from(VERSION) << 56 | u64::from(message_type) << 48 | u64::from(xid.0)]);
    put(&mut out);
    out.set_length("message", start.saturating_add(2), start);
    out.finish()
}
