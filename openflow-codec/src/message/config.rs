// SPDX-License-Identifier: Apache-2.0
//! `OFPT_SET_CONFIG` and `OFPT_GET_CONFIG_REPLY` (OpenFlow 1.5.1 section 7.3.2).

use crate::error::DecodeError;
use crate::reader::Reader;
use crate::writer::Writer;

/// `ofp_switch_config`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SwitchConfig {
    /// `ofp_config_flags`: what happens to IP fragments; 0 treats them like other packets.
    pub flags: u16,
    /// Bytes of a packet sent on a table miss. On OVS's management socket, asynchronous messages
    /// come only once this is above 0 (OVS `Documentation/topics/design.rst`).
    pub miss_send_len: u16,
}

impl SwitchConfig {
    pub(super) fn put(self, out: &mut Writer<'_>) {
        out.u16(self.flags);
        out.u16(self.miss_send_len);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            flags: reader.u16("config flags")?,
            miss_send_len: reader.u16("miss_send_len")?,
        })
    }
}
