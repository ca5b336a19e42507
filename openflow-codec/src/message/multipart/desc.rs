// SPDX-License-Identifier: Apache-2.0
//! `OFPMP_DESC` (OpenFlow 1.5.1 section 7.3.5.1): what a switch is.

use crate::error::DecodeError;
use crate::reader::Reader;
use crate::writer::Writer;

/// `ofp_desc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SwitchDesc {
    /// Who made it.
    pub manufacturer: String,
    /// What it runs on; OVS says `Open vSwitch`.
    pub hardware: String,
    /// Version of its software, such as `3.1.0`.
    pub software: String,
    /// Serial number.
    pub serial: String,
    /// The datapath, in words.
    pub datapath: String,
}

impl SwitchDesc {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.string(&self.manufacturer, 256);
        out.string(&self.hardware, 256);
        out.string(&self.software, 256);
        out.string(&self.serial, 32);
        out.string(&self.datapath, 256);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            manufacturer: reader.string("manufacturer", 256)?,
            hardware: reader.string("hardware", 256)?,
            software: reader.string("software", 256)?,
            serial: reader.string("serial number", 32)?,
            datapath: reader.string("datapath description", 256)?,
        })
    }
}
