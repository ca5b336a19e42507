// SPDX-License-Identifier: Apache-2.0
//! What a bridge has agreed to that decides the shape of bytes.

/// One entry of a bridge's TLV table: which Geneve option is which `tun_metadata` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TlvMapping {
    /// Option class.
    pub class: u16,
    /// Option type; bit 0x80 means critical.
    pub option_type: u8,
    /// Bytes of the option's data, a multiple of 4 up to 124.
    pub length: u8,
    /// Number of the `tun_metadata` field, 0..=63.
    pub index: u16,
}

/// How wide each `tun_metadata` field is: the TLV table of the bridge, which encoding and decoding
/// of matches and actions need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    lengths: [u8; 64],
}

impl Context {
    /// Nothing is mapped: values are 16 bytes wide.
    pub const UNMAPPED: Self = Self { lengths: [0; 64] };

    /// The widths that a TLV table gives; entries with an index above 63 are ignored.
    pub fn with_tlv_table<'a>(mappings: impl IntoIterator<Item = &'a TlvMapping>) -> Self {
        let mut context = Self::UNMAPPED;
        for mapping in mappings {
            if let Some(slot) = context.lengths.get_mut(usize::from(mapping.index)) {
                *slot = mapping.length;
            }
        }
        context
    }

    /// Bytes of `tun_metadata<index>`, if it is mapped.
    #[inline]
    pub fn tun_metadata_length(&self, index: u8) -> Option<u8> {
        self.lengths
            .get(usize::from(index))
            .copied()
            .filter(|length| *length != 0)
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::UNMAPPED
    }
}
