// SPDX-License-Identifier: Apache-2.0
//! Controller roles (OpenFlow 1.5.1 sections 6.3.5, 7.3.8 and 7.4.4).

use bytes::Bytes;

use crate::error::DecodeError;
use crate::numbers::role;
use crate::reader::Reader;
use crate::writer::Writer;

/// `ofp_controller_role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Asks which role the connection has.
    NoChange,
    /// May write, beside others.
    Equal,
    /// The only one that may write.
    Master,
    /// May read.
    Slave,
    /// A role that is not known.
    Unknown(u32),
}

impl Role {
    const fn to_wire(self) -> u32 {
        match self {
            Self::NoChange => role::NOCHANGE,
            Self::Equal => role::EQUAL,
            Self::Master => role::MASTER,
            Self::Slave => role::SLAVE,
            Self::Unknown(number) => number,
        }
    }

    const fn from_wire(number: u32) -> Self {
        match number {
            role::NOCHANGE => Self::NoChange,
            role::EQUAL => Self::Equal,
            role::MASTER => Self::Master,
            role::SLAVE => Self::Slave,
            number => Self::Unknown(number),
        }
    }
}

/// `OFPT_ROLE_REQUEST` and `OFPT_ROLE_REPLY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RoleMessage {
    /// The role asked for, or had.
    pub role: Role,
    /// Grows with every change of master; a switch refuses an older one with
    /// `OFPRRFC_STALE`.
    pub generation_id: u64,
}

impl RoleMessage {
    pub(super) fn put(self, out: &mut Writer<'_>) {
        out.u32(self.role.to_wire());
        out.zeros(4);
        out.u64(self.generation_id);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let role = Role::from_wire(reader.u32("role")?);
        reader.skip("padding", 4)?;
        let generation_id = reader.u64("generation id")?;
        Ok(Self {
            role,
            generation_id,
        })
    }
}

/// `OFPT_ROLE_STATUS`: the switch has changed this connection's role.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoleStatus {
    /// The new role.
    pub role: Role,
    /// `ofp_controller_role_reason`: 0 another controller is master, 1 configuration, 2 experimenter.
    pub reason: u8,
    /// Generation of the change.
    pub generation_id: u64,
    /// Properties, kept byte for byte.
    pub properties: Bytes,
}

impl RoleStatus {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u32(self.role.to_wire());
        out.u8(self.reason);
        out.zeros(3);
        out.u64(self.generation_id);
        out.bytes(&self.properties);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let role = Role::from_wire(reader.u32("role")?);
        let reason = reader.u8("role reason")?;
        reader.skip("padding", 3)?;
        Ok(Self {
            role,
            reason,
            generation_id: reader.u64("generation id")?,
            properties: reader.rest(),
        })
    }
}
