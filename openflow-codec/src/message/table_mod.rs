// SPDX-License-Identifier: Apache-2.0
//! `OFPT_TABLE_MOD` (OpenFlow 1.5.1 section 7.3.4.1).

use bytes::Bytes;

use crate::error::DecodeError;
use crate::ids::TableId;
use crate::reader::Reader;
use crate::writer::Writer;

/// Configures a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableMod {
    /// Which table, or [`TableId::ALL`].
    pub table: TableId,
    /// `ofp_table_config`: 4 evicts flows, 8 tells when it fills.
    pub config: u32,
    /// Properties, kept byte for byte.
    pub properties: Bytes,
}

impl TableMod {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u8(self.table.0);
        out.zeros(3);
        out.u32(self.config);
        out.bytes(&self.properties);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let table = TableId(reader.u8("table")?);
        reader.skip("padding", 3)?;
        Ok(Self {
            table,
            config: reader.u32("table config")?,
            properties: reader.rest(),
        })
    }
}
