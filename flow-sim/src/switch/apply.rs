// SPDX-License-Identifier: Apache-2.0
//! flow_mods, and how to take them back.

use std::sync::Arc;
use std::time::Duration;

use openflow_codec::message::error::ErrorCode;
use openflow_codec::message::flow_mod::{FlowCommand, FlowFlags, FlowMod};
use openflow_codec::message::multipart::flow::FlowFilter;
use openflow_codec::{Action, Flow, Group, GroupId, Instruction, PortNo, TableId};

use super::{ConnectionId, Switch, error};
use crate::groups::flow_groups;
use crate::tables::{Entry, overlap};
use crate::validate::{FlowError, check_deletion, check_flow, check_match};

/// How to take back one change.
#[derive(Debug)]
pub(super) enum Undo {
    /// Remove the first, then put the second back.
    Flow(Option<Arc<Entry>>, Option<Arc<Entry>>),
    /// Let the group be as it was.
    Group(GroupId, Option<Arc<Group>>),
}

impl Switch {
    /// Checks what OVS checks before it looks at other flows and groups.
    pub(super) fn check_flow_mod(&self, request: &FlowMod) -> Result<(), ErrorCode> {
        let flow = &request.flow;
        let checked = match request.command {
            FlowCommand::Add | FlowCommand::Modify | FlowCommand::ModifyStrict => check_flow(flow),
            FlowCommand::Delete | FlowCommand::DeleteStrict => check_deletion(flow),
        };
        checked.map_err(|refused| error(refused.name()))?;
        self.check_mapped(flow)
    }

    /// Carries out a checked flow_mod; `undo` gets what takes it back.
    pub(super) fn apply_flow_mod(
        &mut self,
        id: ConnectionId,
        request: &FlowMod,
        now: Duration,
        undo: &mut Vec<Undo>,
    ) -> Result<(), ErrorCode> {
        if request.command == FlowCommand::Add
            && let Some(connection) = self.connections.get_mut(&id)
        {
            connection.additions += 1;
            let refused = connection.faults.refuse_addition.get(&connection.additions);
            if let Some(code) = refused {
                return Err(*code);
            }
        }
        match request.command {
            FlowCommand::Add => self.add_flow(request, now, undo),
            FlowCommand::Modify | FlowCommand::ModifyStrict => self.modify_flows(request, undo),
            FlowCommand::Delete | FlowCommand::DeleteStrict => {
                for entry in self.chosen(request)? {
                    self.sim.tables_mut().remove_entry(&entry);
                    undo.push(Undo::Flow(None, Some(entry)));
                }
                Ok(())
            }
        }
    }

    fn add_flow(
        &mut self,
        request: &FlowMod,
        now: Duration,
        undo: &mut Vec<Undo>,
    ) -> Result<(), ErrorCode> {
        let flow = &request.flow;
        self.check_groups(flow)?;
        let there = self
            .sim
            .tables()
            .get(flow.table, flow.priority, &flow.flow_match);
        if there.map_err(|refused| refusal(refused.into()))?.is_none() {
            if request.flags.contains(FlowFlags::CHECK_OVERLAP) && self.overlaps(flow) {
                return Err(error("OFPFMFC_OVERLAP"));
            }
            if self.sim.tables().len() >= self.max_flows {
                return Err(error("OFPFMFC_TABLE_FULL"));
            }
        }
        let (added, replaced) = self
            .sim
            .tables_mut()
            .add(flow.clone(), now)
            .map_err(|refused| refusal(refused.into()))?;
        undo.push(Undo::Flow(Some(added), replaced));
        Ok(())
    }

    /// Changes instructions; cookies, counters and timeouts stay. No flow is no error.
    fn modify_flows(&mut self, request: &FlowMod, undo: &mut Vec<Undo>) -> Result<(), ErrorCode> {
        let chosen = self.chosen(request)?;
        if !chosen.is_empty() {
            self.check_groups(&request.flow)?;
        }
        for old in chosen {
            let new = Arc::new(old.modified(request.flow.instructions.clone()));
            self.sim.tables_mut().restore(Arc::clone(&new));
            undo.push(Undo::Flow(Some(new), Some(old)));
        }
        Ok(())
    }

    fn check_groups(&self, flow: &Flow) -> Result<(), ErrorCode> {
        let groups = self.sim.groups();
        if flow_groups(flow).any(|group| groups.get(group).is_none()) {
            return Err(error("OFPBAC_BAD_OUT_GROUP"));
        }
        Ok(())
    }

    fn overlaps(&self, flow: &Flow) -> bool {
        let rivals = self.sim.tables().select(|other| {
            (other.table, other.priority) == (flow.table, flow.priority)
                && overlap(&other.flow_match, &flow.flow_match) == Ok(true)
        });
        !rivals.is_empty()
    }

    /// The flows that a modification or deletion is about.
    fn chosen(&self, request: &FlowMod) -> Result<Vec<Arc<Entry>>, ErrorCode> {
        let deletes = matches!(
            request.command,
            FlowCommand::Delete | FlowCommand::DeleteStrict
        );
        let filter = FlowFilter {
            table: request.flow.table,
            out_port: if deletes {
                request.out_port
            } else {
                PortNo::ANY
            },
            out_group: if deletes {
                request.out_group
            } else {
                GroupId::ANY
            },
            cookie: request.flow.cookie,
            cookie_mask: request.cookie_mask,
            flow_match: request.flow.flow_match.clone(),
        };
        if matches!(request.command, FlowCommand::Modify | FlowCommand::Delete) {
            return self.select(&filter);
        }
        let flow = &request.flow;
        let tables = self.sim.tables();
        let searched: Vec<TableId> = match flow.table {
            TableId::ALL => tables.in_use().collect(),
            table => vec![table],
        };
        let mut chosen = Vec::new();
        for table in searched {
            let entry = tables.get(table, flow.priority, &flow.flow_match);
            let entry = entry.map_err(|refused| refusal(refused.into()))?;
            chosen.extend(entry.filter(|entry| passes(&filter, &entry.flow)));
        }
        Ok(chosen)
    }

    /// The flows that a non-strict filter is about.
    fn select(&self, filter: &FlowFilter) -> Result<Vec<Arc<Entry>>, ErrorCode> {
        let tables = self.sim.tables();
        if filter.cookie_mask == openflow_codec::Cookie::MASK_EXACT && filter.flow_match.is_any() {
            let mut entries = tables.with_cookie(filter.cookie);
            entries.retain(|entry| passes(filter, &entry.flow));
            return Ok(entries);
        }
        tables
            .covered_by(&filter.flow_match, |flow| passes(filter, flow))
            .map_err(|refused| refusal(refused.into()))
    }

    /// The flows that a statistics request is about.
    pub(super) fn asked_for(&self, filter: &FlowFilter) -> Result<Vec<Arc<Entry>>, ErrorCode> {
        check_match(&filter.flow_match).map_err(refusal)?;
        self.select(filter)
    }

    /// Takes back changes, the last first.
    pub(super) fn undo(&mut self, undo: Vec<Undo>) {
        for change in undo.into_iter().rev() {
            match change {
                Undo::Flow(added, removed) => {
                    if let Some(added) = added {
                        self.sim.tables_mut().remove_entry(&added);
                    }
                    if let Some(removed) = removed {
                        self.sim.tables_mut().restore(removed);
                    }
                }
                Undo::Group(id, old) => self.sim.groups_mut().restore(id, old),
            }
        }
    }
}

fn refusal(refused: FlowError) -> ErrorCode {
    error(refused.name())
}

/// All of a filter but its match.
fn passes(filter: &FlowFilter, flow: &Flow) -> bool {
    let mask = filter.cookie_mask.0;
    (filter.table == TableId::ALL || filter.table == flow.table)
        && flow.cookie.0 & mask == filter.cookie.0 & mask
        && (filter.out_port == PortNo::ANY || outputs_to(flow, filter.out_port))
        && (filter.out_group == GroupId::ANY
            || flow_groups(flow).any(|group| group == filter.out_group))
}

fn outputs_to(flow: &Flow, wanted: PortNo) -> bool {
    flow.instructions
        .iter()
        .any(|instruction| match instruction {
            Instruction::ApplyActions(actions) | Instruction::WriteActions(actions) => actions
                .iter()
                .any(|action| matches!(action, Action::Output { port, .. } if *port == wanted)),
            _ => false,
        })
}
