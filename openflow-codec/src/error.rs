// SPDX-License-Identifier: Apache-2.0
//! What can be wrong with bytes from a peer, and with values that do not fit on the wire.

use thiserror::Error;

/// Bytes that are not a well-formed message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("at byte {offset}: {kind}")]
pub struct DecodeError {
    /// Where, counted from the first byte of the message's header.
    pub offset: usize,
    /// What is wrong there.
    pub kind: DecodeErrorKind,
}

/// The ways in which bytes can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeErrorKind {
    /// The bytes end inside something.
    #[error("{what} needs {needed} bytes, {available} are left")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Bytes it needs.
        needed: usize,
        /// Bytes there are.
        available: usize,
    },
    /// A length field that cannot be right.
    #[error("{what} has impossible length {length}")]
    BadLength {
        /// Whose length.
        what: &'static str,
        /// What it says.
        length: usize,
    },
    /// A value that has no meaning.
    #[error("{what} has impossible value {value:#x}")]
    BadValue {
        /// Which value.
        what: &'static str,
        /// What it is.
        value: u64,
    },
    /// A message of a version that is not spoken.
    #[error("version {0:#04x} is not spoken; set the bridge's protocols to include OpenFlow15")]
    BadVersion(u8),
    /// A match or value names a field twice.
    #[error("field {0} is given twice")]
    DuplicateField(&'static str),
    /// A match has more fields that are not known than any switch has.
    #[error("a match has more than {0} unknown fields")]
    TooManyUnknown(usize),
    /// Actions nested deeper than any switch accepts.
    #[error("actions are nested more than {0} deep")]
    TooDeep(usize),
}

/// A value that does not fit on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// Something is longer than its 16-bit (or, for a match field, 8-bit) length can say.
    #[error("{what} is {length} bytes long, more than its length field can say; split it")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// How long it is.
        length: usize,
    },
}
