// SPDX-License-Identifier: Apache-2.0
//! `OFPT_TABLE_STATUS` (OpenFlow 1.5.1 section 7.4.5): a table fills up, or has room again.

use super::multipart::stats::TableDesc;
use crate::error::DecodeError;
use crate::reader::Reader;
use crate::writer::Writer;

/// What a switch says of a table by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableStatus {
    /// `ofp_table_reason`: 3 fewer flows than the vacancy settings say, 4 more.
    pub reason: u8,
    /// The table, with its vacancy settings among the properties.
    pub table: TableDesc,
}

impl TableStatus {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u8(self.reason);
        out.zeros(7);
        self.table.put(out);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let reason = reader.u8("table_status reason")?;
        reader.skip("padding", 7)?;
        Ok(Self {
            reason,
            table: TableDesc::read(reader)?,
        })
    }
}
