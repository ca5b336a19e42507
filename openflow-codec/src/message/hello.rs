// SPDX-License-Identifier: Apache-2.0
//! `OFPT_HELLO` (OpenFlow 1.5.1 sections 6.3.1 and 7.5.1): which versions a side speaks.

use crate::error::DecodeError;
use crate::group::read_property;
use crate::header::VERSION;
use crate::reader::Reader;
use crate::writer::Writer;

const VERSION_BITMAP: u16 = 1;

/// The versions a side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hello {
    /// Bit `1 << n` says that version `n` on the wire is spoken.
    pub versions: u32,
}

impl Hello {
    /// What we say: OpenFlow 1.5 and nothing else.
    pub const OURS: Self = Self {
        versions: 1 << VERSION,
    };

    /// Whether OpenFlow 1.5 can be spoken with this side.
    pub const fn speaks_1_5(self) -> bool {
        self.versions & 1 << VERSION != 0
    }

    pub(super) fn put(self, out: &mut Writer<'_>) {
        out.u16(VERSION_BITMAP);
        out.u16(8);
        out.u32(self.versions);
    }

    /// A HELLO without a bitmap speaks every version up to its header's.
    pub(super) fn read(reader: &mut Reader<'_>, version: u8) -> Result<Self, DecodeError> {
        let mut versions = 1u32
            .checked_shl(u32::from(version).saturating_add(1))
            .unwrap_or(0)
            .wrapping_sub(1);
        while !reader.is_empty() {
            let (kind, mut value) = read_property(reader)?;
            if kind == VERSION_BITMAP {
                versions = value.u32("version bitmap")?;
            }
        }
        Ok(Self { versions })
    }
}
