// SPDX-License-Identifier: Apache-2.0
//! What lets a node come back from a restart of `ovs-vswitchd` as it was.

use std::collections::BTreeSet;

use ovsdb_client::{Condition, Datum, Mutation, Replica, Row, RowError};

use super::Planner;

/// Key of `other_config` that `ovs-ctl restart` sets before and removes after: as long as it is
/// true, vswitchd forwards nothing and connects to no controller (vswitch.xml).
const RESTORE_WAIT: &str = "flow-restore-wait";

/// Numbers that ports can have (OpenFlow 1.5.1 section 7.2.1, `OFPP_MAX`; OVS keeps to 16 bits).
const PORT_NUMBERS: std::ops::RangeInclusive<i64> = 1..=0xfeff;

/// Whether vswitchd waits for somebody to restore its flows.
///
/// # Errors
/// If a row has another shape than the schema of Open vSwitch says.
pub fn waits_for_restore(replica: &Replica) -> Result<bool, RowError> {
    let Some(root) = replica.rows("Open_vSwitch").next() else {
        return Ok(false);
    };
    Ok(root.map_value("other_config", RESTORE_WAIT)? == Some("true"))
}

impl Planner<'_> {
    /// Ends the wait for a restore that nobody finished.
    pub(super) fn overdue_restore(&mut self) -> Result<Option<Mutation>, RowError> {
        if !self.observed.restore_overdue || !waits_for_restore(self.replica)? {
            return Ok(None);
        }
        self.plan.changes.push(format!("clear {RESTORE_WAIT}"));
        let key = Datum::set([RESTORE_WAIT]);
        Ok(Some(Mutation::delete("other_config", key)))
    }

    /// Asks for the number that each port has. A restarted vswitchd deals out numbers anew, and would
    /// give one Pod's number to another while the controller still knows the old ones.
    pub(super) fn port_numbers(&mut self, bridge: &Row) -> Result<(), RowError> {
        let of_bridge = bridge.uuid_set("ports")?;
        let mut interfaces = BTreeSet::new();
        for port in self.replica.rows("Port") {
            if of_bridge.contains(&port.uuid()) {
                interfaces.extend(port.uuid_set("interfaces")?);
            }
        }
        for row in self.replica.rows("Interface") {
            if !interfaces.contains(&row.uuid())
                || row.optional_integer("ofport_request")?.is_some()
            {
                continue;
            }
            let number = row.optional_integer("ofport")?;
            let Some(number) = number.filter(|number| PORT_NUMBERS.contains(number)) else {
                continue;
            };
            let name = row.string("name")?;
            self.plan
                .changes
                .push(format!("keep the number {number} of port {name}"));
            let conditions = [Condition::equal("_uuid", row.uuid())];
            let request = [("ofport_request", Datum::from(number))];
            self.plan
                .transaction
                .update("Interface", conditions, request);
        }
        Ok(())
    }
}
