// SPDX-License-Identifier: Apache-2.0
//! A switch without a protocol: tables, groups and connections, driven by calls.

use std::sync::Arc;
use std::time::Duration;

use openflow_codec::{Cookie, Flow, Group, GroupId, Match, TableId};

use crate::conntrack::{Conntrack, CtState};
use crate::execute::{Program, Tracker, execute};
use crate::execution::{Event, Execution};
use crate::groups::{Groups, Selection, flow_groups};
use crate::packet::Packet;
use crate::tables::{Entry, MatchError, Tables};
use crate::validate::{FlowError, GroupError, check_flow, check_group};

/// A switch in memory.
#[derive(Clone, Debug, Default)]
pub struct Sim {
    tables: Tables,
    groups: Groups,
    conntrack: Conntrack,
    selection: Selection,
}

impl Sim {
    /// A switch without flows: drops everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a flow, in place of the one with the same table, priority and match; returns that one.
    ///
    /// # Errors
    /// Open vSwitch would refuse the flow. A group that it uses may still be missing, and every
    /// `tun_metadata` counts as mapped.
    pub fn add_flow(&mut self, flow: Flow) -> Result<Option<Arc<Entry>>, FlowError> {
        check_flow(&flow)?;
        let (_, replaced) = self.tables.add(flow, Duration::ZERO)?;
        Ok(replaced)
    }

    /// Removes all flows with this cookie; returns how many there were.
    pub fn remove_cookie(&mut self, cookie: Cookie) -> usize {
        self.tables.remove_cookie(cookie).len()
    }

    /// Removes the flow with exactly this table, priority and match; returns whether it existed.
    ///
    /// # Errors
    /// The match could never be installed.
    pub fn remove_flow(
        &mut self,
        table: TableId,
        priority: u16,
        flow_match: &Match,
    ) -> Result<bool, MatchError> {
        let removed = self.tables.remove_strict(table, priority, flow_match)?;
        Ok(removed.is_some())
    }

    /// Adds a group, or replaces the one of that number.
    ///
    /// # Errors
    /// Open vSwitch would refuse the group.
    pub fn set_group(&mut self, group: Group) -> Result<(), GroupError> {
        check_group(&group)?;
        self.groups.set(group);
        Ok(())
    }

    /// Removes a group and, as OVS does, every flow that refers to it; returns whether it existed.
    pub fn remove_group(&mut self, id: GroupId) -> bool {
        let existed = self.groups.remove(id).is_some();
        if existed {
            self.tables
                .remove_if(|flow| flow_groups(flow).any(|group| group == id));
        }
        existed
    }

    /// How select groups choose.
    pub fn set_selection(&mut self, selection: Selection) {
        self.selection = selection;
    }

    /// A packet is received on [`Packet::in_port`] at `now`, counted from any fixed moment.
    pub fn receive(&mut self, packet: Packet, now: Duration) -> Execution {
        let program = Program {
            tables: &self.tables,
            groups: &self.groups,
            selection: &self.selection,
        };
        let execution = execute(program, Tracker::Stateful(&mut self.conntrack), packet, now);
        for step in &execution.walk {
            if let Event::Lookup { found, .. } = &step.event
                && let Some(entry) = found
            {
                entry.count();
            }
        }
        execution
    }

    /// What would become of a packet if conntrack answered `states` to its successive
    /// recirculations (`trk|new` once they are used up), and translated to the lowest address and
    /// port of each `nat`; changes nothing.
    pub fn trace(&self, packet: Packet, states: impl IntoIterator<Item = CtState>) -> Execution {
        let program = Program {
            tables: &self.tables,
            groups: &self.groups,
            selection: &self.selection,
        };
        let tracker = Tracker::Given(states.into_iter().collect());
        execute(program, tracker, packet, Duration::ZERO)
    }

    /// The flow tables.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The flow tables, to change flows in ways [`Sim`] does not.
    pub fn tables_mut(&mut self) -> &mut Tables {
        &mut self.tables
    }

    /// The groups, to change them in ways [`Sim`] does not.
    pub fn groups_mut(&mut self) -> &mut Groups {
        &mut self.groups
    }

    /// The groups.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The connections.
    pub fn conntrack(&self) -> &Conntrack {
        &self.conntrack
    }

    /// The connections, to flush them.
    pub fn conntrack_mut(&mut self) -> &mut Conntrack {
        &mut self.conntrack
    }
}
