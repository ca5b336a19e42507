// SPDX-License-Identifier: Apache-2.0
//! Multipart requests and replies (OpenFlow 1.5.1 section 7.3.5).

pub mod desc;
pub mod flow;
pub mod table_features;

use bytes::Bytes;

use self::desc::SwitchDesc;
use self::flow::{FlowCounters, FlowFilter, FlowStats};
use self::table_features::TableFeatures;
use super::port::Port;
use crate::context::Context;
use crate::error::DecodeError;
use crate::group::{Group, put_group_desc, read_group_desc};
use crate::ids::{GroupId, PortNo};
use crate::reader::Reader;
use crate::writer::Writer;

/// `OFPMP_*`.
mod ofpmp {
    pub(super) const DESC: u16 = 0;
    pub(super) const FLOW: u16 = 1;
    pub(super) const AGGREGATE: u16 = 2;
    pub(super) const GROUP_DESC: u16 = 7;
    pub(super) const TABLE_FEATURES: u16 = 12;
    pub(super) const PORT_DESC: u16 = 13;
}
/// `OFPMPF_*_MORE`.
const MORE: u16 = 1;

/// `OFPT_MULTIPART_REQUEST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultipartRequest {
    /// More parts of this request follow.
    pub more: bool,
    /// What is asked.
    pub body: RequestBody,
}

/// What a multipart request asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestBody {
    /// `OFPMP_DESC`: what the switch is.
    Desc,
    /// `OFPMP_FLOW_DESC` (1): flows with their counters. (OVS refuses `OFPMP_FLOW_STATS`, 17.)
    Flow(FlowFilter),
    /// `OFPMP_AGGREGATE_STATS`: counters of all these flows together.
    Aggregate(FlowFilter),
    /// `OFPMP_GROUP_DESC`: a group, or with [`GroupId::ALL`] every group.
    GroupDesc(GroupId),
    /// `OFPMP_TABLE_FEATURES`: reads the features of every table (empty), or changes some tables.
    TableFeatures(Vec<TableFeatures>),
    /// `OFPMP_PORT_DESC`: a port, or with [`PortNo::ANY`] every port.
    PortDesc(PortNo),
    /// Something that is not understood: kept byte for byte.
    Unknown {
        /// `OFPMP_*`.
        kind: u16,
        /// What follows the multipart header.
        body: Bytes,
    },
}

/// `OFPT_MULTIPART_REPLY`. A long answer comes in several messages with one transaction id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultipartReply {
    /// More parts of this reply follow.
    pub more: bool,
    /// What is answered.
    pub body: ReplyBody,
}

/// What a multipart reply answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyBody {
    /// What the switch is.
    Desc(SwitchDesc),
    /// Flows.
    Flow(Vec<FlowStats>),
    /// Counters of flows together.
    Aggregate(FlowCounters),
    /// Groups.
    GroupDesc(Vec<Group>),
    /// Tables.
    TableFeatures(Vec<TableFeatures>),
    /// Ports.
    PortDesc(Vec<Port>),
    /// Something that is not understood: kept byte for byte.
    Unknown {
        /// `OFPMP_*`.
        kind: u16,
        /// What follows the multipart header.
        body: Bytes,
    },
}

impl From<RequestBody> for MultipartRequest {
    fn from(body: RequestBody) -> Self {
        Self { more: false, body }
    }
}

impl From<ReplyBody> for MultipartReply {
    fn from(body: ReplyBody) -> Self {
        Self { more: false, body }
    }
}

fn put_head(out: &mut Writer<'_>, kind: u16, more: bool) {
    out.u16(kind);
    out.u16(if more { MORE } else { 0 });
    out.zeros(4);
}

fn read_head(reader: &mut Reader<'_>) -> Result<(u16, bool), DecodeError> {
    let kind = reader.u16("multipart type")?;
    let flags = reader.u16("multipart flags")?;
    reader.skip("padding", 4)?;
    Ok((kind, flags & MORE != 0))
}

impl MultipartRequest {
    const fn kind(&self) -> u16 {
        match self.body {
            RequestBody::Desc => ofpmp::DESC,
            RequestBody::Flow(_) => ofpmp::FLOW,
            RequestBody::Aggregate(_) => ofpmp::AGGREGATE,
            RequestBody::GroupDesc(_) => ofpmp::GROUP_DESC,
            RequestBody::TableFeatures(_) => ofpmp::TABLE_FEATURES,
            RequestBody::PortDesc(_) => ofpmp::PORT_DESC,
            RequestBody::Unknown { kind, .. } => kind,
        }
    }

    pub(super) fn put(&self, out: &mut Writer<'_>) {
        put_head(out, self.kind(), self.more);
        match &self.body {
            RequestBody::Desc => {}
            RequestBody::Flow(filter) | RequestBody::Aggregate(filter) => filter.put(out),
            RequestBody::GroupDesc(group) => {
                out.u32(group.0);
                out.zeros(4);
            }
            RequestBody::TableFeatures(tables) => tables.iter().for_each(|table| table.put(out)),
            RequestBody::PortDesc(port) => {
                out.u32(port.0);
                out.zeros(4);
            }
            RequestBody::Unknown { body, .. } => out.bytes(body),
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>, context: &Context) -> Result<Self, DecodeError> {
        let (kind, more) = read_head(reader)?;
        let body = match kind {
            ofpmp::DESC => RequestBody::Desc,
            ofpmp::FLOW => RequestBody::Flow(FlowFilter::read(reader, context)?),
            ofpmp::AGGREGATE => RequestBody::Aggregate(FlowFilter::read(reader, context)?),
            ofpmp::GROUP_DESC => RequestBody::GroupDesc(GroupId(reader.u32("group id")?)),
            ofpmp::TABLE_FEATURES => RequestBody::TableFeatures(all(reader, TableFeatures::read)?),
            ofpmp::PORT_DESC => RequestBody::PortDesc(PortNo(reader.u32("port number")?)),
            kind => RequestBody::Unknown {
                kind,
                body: reader.rest(),
            },
        };
        Ok(Self { more, body })
    }
}

impl MultipartReply {
    const fn kind(&self) -> u16 {
        match self.body {
            ReplyBody::Desc(_) => ofpmp::DESC,
            ReplyBody::Flow(_) => ofpmp::FLOW,
            ReplyBody::Aggregate(_) => ofpmp::AGGREGATE,
            ReplyBody::GroupDesc(_) => ofpmp::GROUP_DESC,
            ReplyBody::TableFeatures(_) => ofpmp::TABLE_FEATURES,
            ReplyBody::PortDesc(_) => ofpmp::PORT_DESC,
            ReplyBody::Unknown { kind, .. } => kind,
        }
    }

    pub(super) fn put(&self, out: &mut Writer<'_>) {
        put_head(out, self.kind(), self.more);
        match &self.body {
            ReplyBody::Desc(desc) => desc.put(out),
            ReplyBody::Flow(flows) => flows.iter().for_each(|flow| flow.put(out)),
            ReplyBody::Aggregate(counters) => counters.put(out),
            ReplyBody::GroupDesc(groups) => {
                groups.iter().for_each(|group| put_group_desc(out, group));
            }
            ReplyBody::TableFeatures(tables) => tables.iter().for_each(|table| table.put(out)),
            ReplyBody::PortDesc(ports) => ports.iter().for_each(|port| port.put(out)),
            ReplyBody::Unknown { body, .. } => out.bytes(body),
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>, context: &Context) -> Result<Self, DecodeError> {
        let (kind, more) = read_head(reader)?;
        let body = match kind {
            ofpmp::DESC => ReplyBody::Desc(SwitchDesc::read(reader)?),
            ofpmp::FLOW => ReplyBody::Flow(all(reader, |r| FlowStats::read(r, context))?),
            ofpmp::AGGREGATE => ReplyBody::Aggregate(FlowCounters::read(reader)?),
            ofpmp::GROUP_DESC => {
                ReplyBody::GroupDesc(all(reader, |reader| read_group_desc(reader, context))?)
            }
            ofpmp::TABLE_FEATURES => ReplyBody::TableFeatures(all(reader, TableFeatures::read)?),
            ofpmp::PORT_DESC => ReplyBody::PortDesc(all(reader, Port::read)?),
            kind => ReplyBody::Unknown {
                kind,
                body: reader.rest(),
            },
        };
        Ok(Self { more, body })
    }
}

/// Elements until the end of `reader`.
fn all<'a, T>(
    reader: &mut Reader<'a>,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut elements = Vec::new();
    while !reader.is_empty() {
        elements.push(read(reader)?);
    }
    Ok(elements)
}
