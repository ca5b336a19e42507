// SPDX-License-Identifier: Apache-2.0
//! `OFPT_ERROR` (OpenFlow 1.5.1 section 7.5.4) and the names that OVS gives errors.

mod names;

use std::fmt;

use bytes::Bytes;

use crate::error::DecodeError;
use crate::reader::Reader;
use crate::writer::Writer;

const EXPERIMENTER: u16 = 0xffff;

/// Which error: `type` and `code` of the specification, or of a vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// An error of the specification.
    Standard {
        /// `ofp_error_type`.
        error_type: u16,
        /// Code within the type.
        code: u16,
    },
    /// `OFPET_EXPERIMENTER`.
    Vendor {
        /// Whose error; OVS's own are 0x2320.
        vendor: u32,
        /// Number within the vendor.
        error_type: u16,
    },
}

impl ErrorCode {
    /// The `OFPERR_*` of OVS's `include/openvswitch/ofp-errors.h`, without that prefix.
    pub fn name(self) -> Option<&'static str> {
        names::name(self)
    }

    /// The error with this name (without `OFPERR_`).
    pub fn from_name(name: &str) -> Option<Self> {
        names::by_name(name)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self) {
            (Some(name), _) => f.write_str(name),
            (None, Self::Standard { error_type, code }) => {
                write!(f, "error type {error_type} code {code}")
            }
            (None, Self::Vendor { vendor, error_type }) => {
                write!(f, "error type {error_type} of vendor {vendor:#x}")
            }
        }
    }
}

/// A request was refused. The header's transaction id is the request's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ErrorMessage {
    /// Why.
    pub code: ErrorCode,
    /// The first bytes of the request, 64 from OVS; text when a negotiation failed.
    pub data: Bytes,
}

impl ErrorMessage {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        match self.code {
            ErrorCode::Standard { error_type, code } => {
                out.u16(error_type);
                out.u16(code);
            }
            ErrorCode::Vendor { vendor, error_type } => {
                out.u16(EXPERIMENTER);
                out.u16(error_type);
                out.u32(vendor);
            }
        }
        out.bytes(&self.data);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let error_type = reader.u16("error type")?;
        let code = reader.u16("error code")?;
        let code = if error_type == EXPERIMENTER {
            ErrorCode::Vendor {
                vendor: reader.u32("error vendor")?,
                error_type: code,
            }
        } else {
            ErrorCode::Standard { error_type, code }
        };
        Ok(Self {
            code,
            data: reader.rest(),
        })
    }
}

impl fmt::Display for ErrorMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code.fmt(f)
    }
}
