// SPDX-License-Identifier: Apache-2.0
//! The TLV table, and which flows and groups need it (OVS `lib/tun-metadata.c`).

use openflow_codec::message::error::ErrorCode;
use openflow_codec::message::tlv_table::{TlvTableCommand, TlvTableMod};
use openflow_codec::{Action, Context, Field, Flow, Instruction, MatchField};

use super::{Switch, error};
use crate::packet::option_index;

/// Bytes of option data that OVS can map.
pub(super) const TLV_SPACE: u32 = 256;
/// Options that OVS can map.
pub(super) const TLV_FIELDS: u16 = 64;

impl Switch {
    /// Carries out a change of the whole table, or none of it.
    pub(super) fn change_tlv_table(&mut self, request: &TlvTableMod) -> Result<(), ErrorCode> {
        for mapping in &request.mappings {
            if mapping.length > 124 || mapping.length % 4 != 0 {
                return Err(error("NXTTMFC_BAD_OPT_LEN"));
            }
            if mapping.index >= TLV_FIELDS {
                return Err(error("NXTTMFC_BAD_FIELD_IDX"));
            }
        }
        let mut table = self.tlv_table.clone();
        match request.command {
            TlvTableCommand::Add => {
                for mapping in &request.mappings {
                    if table.contains_key(&mapping.index) {
                        return Err(error("NXTTMFC_ALREADY_MAPPED"));
                    }
                    let option = (mapping.class, mapping.option_type);
                    if table.values().any(|m| (m.class, m.option_type) == option) {
                        return Err(error("NXTTMFC_DUP_ENTRY"));
                    }
                    table.insert(mapping.index, *mapping);
                    let space: u32 = table.values().map(|m| u32::from(m.length)).sum();
                    if space > TLV_SPACE {
                        return Err(error("NXTTMFC_TABLE_FULL"));
                    }
                }
            }
            TlvTableCommand::Delete => {
                for mapping in &request.mappings {
                    table.remove(&mapping.index);
                }
            }
            TlvTableCommand::Clear => table.clear(),
        }
        let removed = |field: &Field| {
            option_index(*field).is_some_and(|index| !table.contains_key(&u16::from(index)))
        };
        let flows = self.sim.tables().flows();
        if flows
            .iter()
            .any(|flow| flow_fields(flow).any(|field| removed(&field)))
        {
            return Err(error("NXTTMFC_INVALID_TLV_DEL"));
        }
        self.context = Context::with_tlv_table(table.values());
        self.tlv_table = table;
        Ok(())
    }

    /// Every `tun_metadata` that a flow names must be mapped.
    pub(super) fn check_mapped(&self, flow: &Flow) -> Result<(), ErrorCode> {
        let unmapped = |field: Field| {
            option_index(field).is_some_and(|index| !self.tlv_table.contains_key(&u16::from(index)))
        };
        if flow_fields(flow).any(unmapped) {
            return Err(error("NXFMFC_INVALID_TLV_FIELD"));
        }
        Ok(())
    }
}

/// Fields that a flow matches, reads or writes.
fn flow_fields(flow: &Flow) -> impl Iterator<Item = Field> {
    let matched = flow.flow_match.fields().filter_map(|field| match field {
        MatchField::Known { field, .. } => Some(field),
        MatchField::Raw { .. } => None,
    });
    let lists = flow
        .instructions
        .iter()
        .filter_map(|instruction| match instruction {
            Instruction::ApplyActions(actions) | Instruction::WriteActions(actions) => {
                Some(actions)
            }
            _ => None,
        });
    let used = lists.flatten().flat_map(|action| match action {
        Action::SetField { field, .. } => [Some(*field), None],
        Action::CopyField { src, dst } => [Some(src.field), Some(dst.field)],
        Action::OutputReg { src, .. } => [Some(src.field), None],
        _ => [None, None],
    });
    matched.chain(used.flatten())
}
