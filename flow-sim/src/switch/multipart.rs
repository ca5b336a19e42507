// SPDX-License-Identifier: Apache-2.0
//! Multipart requests, and replies cut into messages.

use std::time::Duration;

use openflow_codec::message::error::ErrorCode;
use openflow_codec::message::flow_mod::FlowFlags;
use openflow_codec::message::multipart::flow::{FlowCounters, FlowStats};
use openflow_codec::message::multipart::stats::GroupStats;
use openflow_codec::message::multipart::table_features::TableFeatures;
use openflow_codec::message::multipart::{
    MultipartReply, MultipartRequest, ReplyBody, RequestBody,
};
use openflow_codec::{Group, GroupId, Message, PortNo, TableId, Xid};

use super::{ConnectionId, Request, Switch, error};
use crate::tables::Entry;

/// Longest message of a multipart reply; OVS begins a new one before 64 KiB.
const MAX_PART: usize = 65_000;

impl Switch {
    pub(super) fn handle_multipart(
        &mut self,
        id: ConnectionId,
        request: &Request,
        multipart: MultipartRequest,
        now: Duration,
    ) -> Result<(), ErrorCode> {
        match multipart.body {
            RequestBody::Desc => {
                let body = ReplyBody::Desc(self.desc.clone());
                self.reply(id, request, &Message::MultipartReply(body.into()), now);
            }
            RequestBody::Flow(filter) => {
                let mut entries = self.asked_for(&filter)?;
                entries.sort_by_key(|e| (e.flow.table, u16::MAX - e.flow.priority, e.serial));
                let flows = entries.iter().map(|entry| stats(entry, now)).collect();
                self.reply_in_parts(id, request, flows, ReplyBody::Flow, now);
            }
            RequestBody::Aggregate(filter) => {
                let entries = self.asked_for(&filter)?;
                let counters = FlowCounters {
                    flows: u32::try_from(entries.len()).ok(),
                    packets: Some(entries.iter().map(|entry| entry.packets()).sum()),
                    ..FlowCounters::default()
                };
                let body = ReplyBody::Aggregate(counters);
                self.reply(id, request, &Message::MultipartReply(body.into()), now);
            }
            RequestBody::GroupDesc(wanted) => {
                let groups = self.sim.groups().iter();
                let wanted =
                    |of: GroupId| matches!(wanted, GroupId::ALL | GroupId::ANY) || of == wanted;
                let groups = groups.filter(|group| wanted(group.id)).cloned().collect();
                self.reply_in_parts(id, request, groups, ReplyBody::GroupDesc, now);
            }
            RequestBody::MeterDesc(wanted) => {
                let meters = self.asked_meters(wanted)?;
                self.reply_in_parts(id, request, meters, ReplyBody::MeterDesc, now);
            }
            RequestBody::TableFeatures(changes) => {
                for change in changes {
                    if change.table.0 >= crate::TABLES {
                        return Err(error("OFPTFFC_BAD_TABLE"));
                    }
                    self.table_names.insert(change.table, change.name);
                }
                let tables = (0..crate::TABLES).map(TableId);
                let tables = tables.map(|table| self.table_features(table)).collect();
                self.reply_in_parts(id, request, tables, ReplyBody::TableFeatures, now);
            }
            RequestBody::PortDesc(wanted) => {
                let wanted = |port: PortNo| wanted == PortNo::ANY || wanted == port;
                let ports = self.ports.values().filter(|port| wanted(port.number));
                let ports = ports.cloned().collect();
                self.reply_in_parts(id, request, ports, ReplyBody::PortDesc, now);
            }
            RequestBody::GroupStats(wanted) => {
                let groups = self.sim.groups().iter();
                let groups = groups.filter(|g| wanted == GroupId::ALL || wanted == g.id);
                let groups = groups.map(group_stats).collect();
                self.reply_in_parts(id, request, groups, ReplyBody::GroupStats, now);
            }
            _ => return Err(error("OFPBRC_BAD_STAT")),
        }
        Ok(())
    }

    fn table_features(&self, table: TableId) -> TableFeatures {
        let name = match self.table_names.get(&table) {
            Some(name) => name.clone(),
            None => format!("table{table}"),
        };
        TableFeatures::set_name(table, name)
    }

    /// Answers with as many messages as `elements` need, at least one.
    fn reply_in_parts<T: Clone>(
        &mut self,
        id: ConnectionId,
        request: &Request,
        elements: Vec<T>,
        body: impl Fn(Vec<T>) -> ReplyBody,
        now: Duration,
    ) {
        let mut part = Vec::new();
        let mut length = 0;
        for element in elements {
            let size = self.encoded_size(body(vec![element.clone()]));
            if length + size > MAX_PART && !part.is_empty() {
                let full = MultipartReply {
                    more: true,
                    body: body(std::mem::take(&mut part)),
                };
                self.reply(id, request, &Message::MultipartReply(full), now);
                length = 0;
            }
            length += size;
            part.push(element);
        }
        self.reply(
            id,
            request,
            &Message::MultipartReply(body(part).into()),
            now,
        );
    }

    fn encoded_size(&self, body: ReplyBody) -> usize {
        let mut bytes = Vec::new();
        match Message::MultipartReply(body.into()).encode(Xid(0), &self.context, &mut bytes) {
            Ok(()) => bytes.len(),
            Err(_) => MAX_PART,
        }
    }
}

/// Nothing is counted.
fn group_stats(group: &Group) -> GroupStats {
    GroupStats {
        group: group.id,
        ref_count: 0,
        packets: 0,
        bytes: 0,
        duration: Some(Duration::ZERO),
        buckets: vec![(0, 0); group.buckets.len()],
    }
}

fn stats(entry: &Entry, now: Duration) -> FlowStats {
    FlowStats {
        flow: entry.flow.clone(),
        flags: FlowFlags::empty(),
        importance: 0,
        counters: FlowCounters {
            duration: Some(now.saturating_sub(entry.added)),
            packets: Some(entry.packets()),
            ..FlowCounters::default()
        },
    }
}
