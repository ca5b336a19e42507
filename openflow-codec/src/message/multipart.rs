// SPDX-License-Identifier: Apache-2.0
//! Multipart requests and replies (OpenFlow 1.5.1 section 7.3.5).

pub mod desc;
pub mod flow;
pub mod flow_monitor;
pub mod stats;
pub mod table_features;

use bytes::Bytes;

use self::desc::SwitchDesc;
use self::flow::{FlowCounters, FlowFilter, FlowStats};
use self::flow_monitor::{FlowMonitor, FlowUpdate};
use self::stats::{
    GroupFeatures, GroupStats, PortStats, QueueDesc, QueueId, QueueStats, TableDesc, TableStats,
};
use self::table_features::TableFeatures;
use super::meter::{Meter, MeterFeatures, MeterStats};
use super::port::Port;
use crate::context::Context;
use crate::error::DecodeError;
use crate::group::{Group, put_group_desc, read_group_desc};
use crate::ids::{GroupId, MeterId, PortNo};
use crate::numbers::ofpmp;
use crate::reader::Reader;
use crate::writer::Writer;

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
    /// `OFPMP_TABLE_STATS`: counters of tables.
    TableStats,
    /// `OFPMP_PORT_STATS`: counters of a port, or with [`PortNo::ANY`] of every port.
    PortStats(PortNo),
    /// `OFPMP_QUEUE_STATS`: counters of queues.
    QueueStats(QueueId),
    /// `OFPMP_GROUP_STATS`: counters of a group, or with [`GroupId::ALL`] of every group.
    GroupStats(GroupId),
    /// `OFPMP_GROUP_FEATURES`: what groups the switch can have.
    GroupFeatures,
    /// `OFPMP_METER_STATS`: counters of a meter, or with [`MeterId::ALL`] of every meter.
    MeterStats(MeterId),
    /// `OFPMP_METER_DESC`: a meter, or with [`MeterId::ALL`] every meter.
    MeterDesc(MeterId),
    /// `OFPMP_METER_FEATURES`: what meters the switch can have.
    MeterFeatures,
    /// `OFPMP_TABLE_DESC`: how tables are configured.
    TableDesc,
    /// `OFPMP_QUEUE_DESC`: queues.
    QueueDesc(QueueId),
    /// `OFPMP_FLOW_MONITOR`: changes of flows from now on.
    FlowMonitor(Vec<FlowMonitor>),
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
    /// Counters of tables.
    TableStats(Vec<TableStats>),
    /// Counters of ports.
    PortStats(Vec<PortStats>),
    /// Counters of queues.
    QueueStats(Vec<QueueStats>),
    /// Counters of groups.
    GroupStats(Vec<GroupStats>),
    /// What groups the switch can have.
    GroupFeatures(GroupFeatures),
    /// Counters of meters.
    MeterStats(Vec<MeterStats>),
    /// Meters.
    MeterDesc(Vec<Meter>),
    /// What meters the switch can have.
    MeterFeatures(MeterFeatures),
    /// How tables are configured.
    TableDesc(Vec<TableDesc>),
    /// Queues.
    QueueDesc(Vec<QueueDesc>),
    /// Changes of flows; they also come without a request, with transaction id 0.
    FlowMonitor(Vec<FlowUpdate>),
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
            RequestBody::TableStats => ofpmp::TABLE,
            RequestBody::PortStats(_) => ofpmp::PORT,
            RequestBody::QueueStats(_) => ofpmp::QUEUE,
            RequestBody::GroupStats(_) => ofpmp::GROUP,
            RequestBody::GroupFeatures => ofpmp::GROUP_FEATURES,
            RequestBody::MeterStats(_) => ofpmp::METER,
            RequestBody::MeterDesc(_) => ofpmp::METER_DESC,
            RequestBody::MeterFeatures => ofpmp::METER_FEATURES,
            RequestBody::TableDesc => ofpmp::TABLE_DESC,
            RequestBody::QueueDesc(_) => ofpmp::QUEUE_DESC,
            RequestBody::FlowMonitor(_) => ofpmp::FLOW_MONITOR,
            RequestBody::Unknown { kind, .. } => kind,
        }
    }

    pub(super) fn put(&self, out: &mut Writer<'_>) {
        put_head(out, self.kind(), self.more);
        match &self.body {
            RequestBody::Desc
            | RequestBody::TableStats
            | RequestBody::GroupFeatures
            | RequestBody::MeterFeatures
            | RequestBody::TableDesc => {}
            RequestBody::Flow(filter) | RequestBody::Aggregate(filter) => filter.put(out),
            RequestBody::GroupDesc(GroupId(number))
            | RequestBody::GroupStats(GroupId(number))
            | RequestBody::PortDesc(PortNo(number))
            | RequestBody::PortStats(PortNo(number))
            | RequestBody::MeterStats(MeterId(number))
            | RequestBody::MeterDesc(MeterId(number)) => {
                out.u32(*number);
                out.zeros(4);
            }
            RequestBody::TableFeatures(tables) => tables.iter().for_each(|table| table.put(out)),
            RequestBody::QueueStats(queue) | RequestBody::QueueDesc(queue) => queue.put(out),
            RequestBody::FlowMonitor(monitors) => {
                monitors.iter().for_each(|monitor| monitor.put(out));
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
            ofpmp::TABLE => RequestBody::TableStats,
            ofpmp::PORT => RequestBody::PortStats(PortNo(reader.u32("port number")?)),
            ofpmp::QUEUE => RequestBody::QueueStats(QueueId::read(reader)?),
            ofpmp::GROUP => RequestBody::GroupStats(GroupId(reader.u32("group id")?)),
            ofpmp::GROUP_FEATURES => RequestBody::GroupFeatures,
            ofpmp::METER => RequestBody::MeterStats(MeterId(reader.u32("meter id")?)),
            ofpmp::METER_DESC => RequestBody::MeterDesc(MeterId(reader.u32("meter id")?)),
            ofpmp::METER_FEATURES => RequestBody::MeterFeatures,
            ofpmp::TABLE_DESC => RequestBody::TableDesc,
            ofpmp::QUEUE_DESC => RequestBody::QueueDesc(QueueId::read(reader)?),
            ofpmp::FLOW_MONITOR => {
                RequestBody::FlowMonitor(all(reader, |r| FlowMonitor::read(r, context))?)
            }
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
            ReplyBody::TableStats(_) => ofpmp::TABLE,
            ReplyBody::PortStats(_) => ofpmp::PORT,
            ReplyBody::QueueStats(_) => ofpmp::QUEUE,
            ReplyBody::GroupStats(_) => ofpmp::GROUP,
            ReplyBody::GroupFeatures(_) => ofpmp::GROUP_FEATURES,
            ReplyBody::MeterStats(_) => ofpmp::METER,
            ReplyBody::MeterDesc(_) => ofpmp::METER_DESC,
            ReplyBody::MeterFeatures(_) => ofpmp::METER_FEATURES,
            ReplyBody::TableDesc(_) => ofpmp::TABLE_DESC,
            ReplyBody::QueueDesc(_) => ofpmp::QUEUE_DESC,
            ReplyBody::FlowMonitor(_) => ofpmp::FLOW_MONITOR,
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
            ReplyBody::TableStats(tables) => tables.iter().for_each(|table| table.put(out)),
            ReplyBody::PortStats(ports) => ports.iter().for_each(|port| port.put(out)),
            ReplyBody::QueueStats(queues) => queues.iter().for_each(|queue| queue.put(out)),
            ReplyBody::GroupStats(groups) => groups.iter().for_each(|group| group.put(out)),
            ReplyBody::GroupFeatures(features) => features.put(out),
            ReplyBody::MeterStats(meters) => meters.iter().for_each(|meter| meter.put(out)),
            ReplyBody::MeterDesc(meters) => meters.iter().for_each(|meter| meter.put(out)),
            ReplyBody::MeterFeatures(features) => features.put(out),
            ReplyBody::TableDesc(tables) => tables.iter().for_each(|table| table.put(out)),
            ReplyBody::QueueDesc(queues) => queues.iter().for_each(|queue| queue.put(out)),
            ReplyBody::FlowMonitor(updates) => updates.iter().for_each(|update| update.put(out)),
            ReplyBody::Unknown { body, .. } => out.bytes(body),
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>, context: &Context) -> Result<Self, DecodeError> {
        let (kind, more) = read_head(reader)?;
        let body = match kind {
            ofpmp::DESC => ReplyBody::Desc(SwitchDesc::read(reader)?),
            ofpmp::FLOW => ReplyBody::Flow(counted(reader, 40, |r| FlowStats::read(r, context))?),
            ofpmp::AGGREGATE => ReplyBody::Aggregate(FlowCounters::read(reader)?),
            ofpmp::GROUP_DESC => {
                ReplyBody::GroupDesc(counted(reader, 16, |r| read_group_desc(r, context))?)
            }
            ofpmp::TABLE_FEATURES => ReplyBody::TableFeatures(all(reader, TableFeatures::read)?),
            ofpmp::PORT_DESC => ReplyBody::PortDesc(all(reader, Port::read)?),
            ofpmp::TABLE => ReplyBody::TableStats(all(reader, TableStats::read)?),
            ofpmp::PORT => ReplyBody::PortStats(all(reader, PortStats::read)?),
            ofpmp::QUEUE => ReplyBody::QueueStats(all(reader, QueueStats::read)?),
            ofpmp::GROUP => ReplyBody::GroupStats(all(reader, GroupStats::read)?),
            ofpmp::GROUP_FEATURES => ReplyBody::GroupFeatures(GroupFeatures::read(reader)?),
            ofpmp::METER => ReplyBody::MeterStats(all(reader, MeterStats::read)?),
            ofpmp::METER_DESC => ReplyBody::MeterDesc(all(reader, Meter::read)?),
            ofpmp::METER_FEATURES => ReplyBody::MeterFeatures(MeterFeatures::read(reader)?),
            ofpmp::TABLE_DESC => ReplyBody::TableDesc(all(reader, TableDesc::read)?),
            ofpmp::QUEUE_DESC => ReplyBody::QueueDesc(all(reader, QueueDesc::read)?),
            ofpmp::FLOW_MONITOR => {
                ReplyBody::FlowMonitor(counted(reader, 8, |r| FlowUpdate::read(r, context))?)
            }
            kind => ReplyBody::Unknown {
                kind,
                body: reader.rest(),
            },
        };
        Ok(Self { more, body })
    }
}

/// Elements until the end of `reader`, each of at least `least` bytes with its length in front. They
/// are counted first: a vector that grows has twice what it needs for a while.
fn counted<'a, T>(
    reader: &mut Reader<'a>,
    least: usize,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut elements = Vec::with_capacity(reader.elements(0, least));
    while !reader.is_empty() {
        elements.push(read(reader)?);
    }
    Ok(elements)
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
