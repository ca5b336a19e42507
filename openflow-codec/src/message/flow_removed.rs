// SPDX-License-Identifier: Apache-2.0
//! `OFPT_FLOW_REMOVED` (OpenFlow 1.5.1 section 7.4.2).

use super::multipart::flow::FlowCounters;
use crate::context::Context;
use crate::error::DecodeError;
use crate::ids::{Cookie, TableId};
use crate::oxm::{self, Match};
use crate::reader::Reader;
use crate::writer::Writer;

/// A flow is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRemoved {
    /// Where it was.
    pub table: TableId,
    /// `ofp_flow_removed_reason`: 0 idle, 1 hard timeout, 2 deleted, 3 its group deleted, 4 its meter
    /// deleted, 5 evicted.
    pub reason: u8,
    /// Its priority.
    pub priority: u16,
    /// Its idle timeout in seconds.
    pub idle_timeout: u16,
    /// Its hard timeout in seconds.
    pub hard_timeout: u16,
    /// Its cookie.
    pub cookie: Cookie,
    /// Its match.
    pub flow_match: Match,
    /// What it had counted.
    pub counters: FlowCounters,
}

impl FlowRemoved {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u8(self.table.0);
        out.u8(self.reason);
        out.u16(self.priority);
        out.u16(self.idle_timeout);
        out.u16(self.hard_timeout);
        out.u64(self.cookie.0);
        oxm::put_match(out, &self.flow_match);
        self.counters.put(out);
    }

    pub(super) fn read(reader: &mut Reader<'_>, context: &Context) -> Result<Self, DecodeError> {
        Ok(Self {
            table: TableId(reader.u8("table")?),
            reason: reader.u8("flow_removed reason")?,
            priority: reader.u16("priority")?,
            idle_timeout: reader.u16("idle timeout")?,
            hard_timeout: reader.u16("hard timeout")?,
            cookie: Cookie(reader.u64("cookie")?),
            flow_match: oxm::read_match(reader, context)?,
            counters: FlowCounters::read(reader)?,
        })
    }
}
