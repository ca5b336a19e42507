// SPDX-License-Identifier: Apache-2.0
//! The TLV table: which Geneve option is which `tun_metadata` (OVS `include/openflow/nicira-ext.h`,
//! `NXT_TLV_TABLE_*`). It lives in vswitchd's memory and is gone when that restarts.

use crate::context::TlvMapping;
use crate::error::DecodeError;
use crate::numbers::tlv_command;
use crate::reader::Reader;
use crate::writer::Writer;

/// What a [`TlvTableMod`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlvTableCommand {
    /// Adds mappings.
    Add,
    /// Removes mappings.
    Delete,
    /// Removes all mappings.
    Clear,
}

/// `NXT_TLV_TABLE_MOD`. Adding a mapping that is there already is an error
/// (`NXTTMFC_ALREADY_MAPPED`): read the table first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlvTableMod {
    /// What to do.
    pub command: TlvTableCommand,
    /// With which mappings.
    pub mappings: Vec<TlvMapping>,
}

impl TlvTableMod {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u16(match self.command {
            TlvTableCommand::Add => tlv_command::ADD,
            TlvTableCommand::Delete => tlv_command::DELETE,
            TlvTableCommand::Clear => tlv_command::CLEAR,
        });
        out.zeros(6);
        put_mappings(out, &self.mappings);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let command = match reader.u16("TLV table command")? {
            tlv_command::ADD => TlvTableCommand::Add,
            tlv_command::DELETE => TlvTableCommand::Delete,
            tlv_command::CLEAR => TlvTableCommand::Clear,
            other => return Err(reader.bad_value("TLV table command", other)),
        };
        reader.skip("padding", 6)?;
        Ok(Self {
            command,
            mappings: read_mappings(reader)?,
        })
    }
}

/// `NXT_TLV_TABLE_REPLY`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlvTableReply {
    /// Bytes of option data that a bridge can map.
    pub max_option_space: u32,
    /// Options that a bridge can map.
    pub max_fields: u16,
    /// The table.
    pub mappings: Vec<TlvMapping>,
}

impl TlvTableReply {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u32(self.max_option_space);
        out.u16(self.max_fields);
        out.zeros(10);
        put_mappings(out, &self.mappings);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let max_option_space = reader.u32("max_option_space")?;
        let max_fields = reader.u16("max_fields")?;
        reader.skip("reserved", 10)?;
        Ok(Self {
            max_option_space,
            max_fields,
            mappings: read_mappings(reader)?,
        })
    }
}

fn put_mappings(out: &mut Writer<'_>, mappings: &[TlvMapping]) {
    for mapping in mappings {
        out.u16(mapping.class);
        out.u8(mapping.option_type);
        out.u8(mapping.length);
        out.u16(mapping.index);
        out.zeros(2);
    }
}

fn read_mappings(reader: &mut Reader<'_>) -> Result<Vec<TlvMapping>, DecodeError> {
    let mut mappings = Vec::new();
    while !reader.is_empty() {
        mappings.push(TlvMapping {
            class: reader.u16("TLV class")?,
            option_type: reader.u8("TLV type")?,
            length: reader.u8("TLV length")?,
            index: reader.u16("TLV index")?,
        });
        reader.skip("padding", 2)?;
    }
    Ok(mappings)
}
