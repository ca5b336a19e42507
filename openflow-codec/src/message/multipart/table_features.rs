// SPDX-License-Identifier: Apache-2.0
//! `OFPMP_TABLE_FEATURES` (OpenFlow 1.5.1 section 7.3.5.18, OVS `lib/ofp-table.c`): what tables can
//! do, and their names.

use bytes::Bytes;

use crate::error::DecodeError;
use crate::ids::TableId;
use crate::reader::Reader;
use crate::writer::Writer;

const COMMAND_MODIFY: u8 = 1;
const FIXED_LEN: usize = 64;

/// `ofp_table_features`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableFeatures {
    /// Which table.
    pub table: TableId,
    /// `ofp_table_features_command`: 0 replaces the pipeline, 1 modifies, 2 enables, 3 disables.
    pub command: u8,
    /// `ofp_table_feature_flag`.
    pub features: u32,
    /// Name, at most 31 bytes.
    pub name: String,
    /// Metadata bits that can be matched.
    pub metadata_match: u64,
    /// Metadata bits that can be written.
    pub metadata_write: u64,
    /// `ofp_table_config`.
    pub capabilities: u32,
    /// Most flows it can hold.
    pub max_entries: u32,
    /// Properties, kept byte for byte.
    pub properties: Bytes,
}

impl TableFeatures {
    /// Gives a table a name, and leaves all else as it is: the request of
    /// `ovs-ofctl mod-table BRIDGE TABLE name:NAME`. OVS cannot change any of the other values, and
    /// refuses those that differ from its own.
    pub fn set_name(table: TableId, name: impl Into<String>) -> Self {
        Self {
            table,
            command: COMMAND_MODIFY,
            features: 0,
            name: name.into(),
            metadata_match: u64::MAX,
            metadata_write: u64::MAX,
            capabilities: 0,
            max_entries: 1_000_000,
            properties: Bytes::new(),
        }
    }

    pub(super) fn put(&self, out: &mut Writer<'_>) {
        let start = out.position();
        out.u16(0);
        out.u8(self.table.0);
        out.u8(self.command);
        out.u32(self.features);
        out.string(&self.name, 32);
        out.u64(self.metadata_match);
        out.u64(self.metadata_write);
        out.u32(self.capabilities);
        out.u32(self.max_entries);
        out.bytes(&self.properties);
        out.set_length("table features", start, start);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = usize::from(reader.u16("table features length")?);
        if length < FIXED_LEN {
            return Err(reader.bad_length("table features", length));
        }
        let mut body = reader.sub("table features", length.saturating_sub(2))?;
        Ok(Self {
            table: TableId(body.u8("table")?),
            command: body.u8("table features command")?,
            features: body.u32("table features flags")?,
            name: body.string("table name", 32)?,
            metadata_match: body.u64("metadata_match")?,
            metadata_write: body.u64("metadata_write")?,
            capabilities: body.u32("table capabilities")?,
            max_entries: body.u32("max_entries")?,
            properties: body.rest(),
        })
    }
}
