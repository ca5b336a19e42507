// SPDX-License-Identifier: Apache-2.0
//! `OFPT_FEATURES_REPLY` (OpenFlow 1.5.1 section 7.3.1).

use crate::error::DecodeError;
use crate::ids::DatapathId;
use crate::reader::Reader;
use crate::writer::Writer;

/// Who a switch is and what it can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Features {
    /// Its identity.
    pub datapath_id: DatapathId,
    /// Packets it can hold for a controller; OVS holds none.
    pub n_buffers: u32,
    /// Number of its tables; OVS shows 254.
    pub n_tables: u8,
    /// 0 is the main connection; OVS has no others.
    pub auxiliary_id: u8,
    /// `ofp_capabilities`.
    pub capabilities: u32,
}

impl Features {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u64(self.datapath_id.0);
        out.u32(self.n_buffers);
        out.u8(self.n_tables);
        out.u8(self.auxiliary_id);
        out.zeros(2);
        out.u32(self.capabilities);
        out.zeros(4);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let datapath_id = DatapathId(reader.u64("datapath id")?);
        let n_buffers = reader.u32("n_buffers")?;
        let n_tables = reader.u8("n_tables")?;
        let auxiliary_id = reader.u8("auxiliary id")?;
        reader.skip("padding", 2)?;
        let capabilities = reader.u32("capabilities")?;
        reader.skip("reserved", 4)?;
        Ok(Self {
            datapath_id,
            n_buffers,
            n_tables,
            auxiliary_id,
            capabilities,
        })
    }
}
