// SPDX-License-Identifier: Apache-2.0
//! What must change in OVSDB so that nothing of the agent is left in it.

use ovsdb_client::{Condition, Datum, Mutation, Replica, RowError, Transaction};

use super::{DesiredError, Plan, ROLE, bridge};

/// Pods have their ports on the bridge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemovalError {
    /// They would lose their network.
    #[error(
        "{0} Pods have their ports on bridge {1}, such as {2}; move them to another node first, or give \
         --force to cut them off"
    )]
    InUse(usize, String, String),
    /// The database is not one an agent can work with.
    #[error("{0}")]
    Desired(#[from] DesiredError),
}

impl From<RowError> for RemovalError {
    fn from(error: RowError) -> Self {
        Self::Desired(error.into())
    }
}

/// What takes back all that [`desired`](super::desired) has made on the bridge of this name and beside
/// it; empty when nothing is left.
///
/// # Errors
/// If the database is not one of Open vSwitch, or Pods are on the bridge and `force` is not given.
pub fn removal(name: &str, force: bool, replica: &Replica) -> Result<Plan, RemovalError> {
    let root = replica.rows("Open_vSwitch").next();
    let root = root.ok_or(DesiredError::NoRoot)?;
    let mut plan = Plan::default();
    let mut mutations = Vec::new();
    if let Some(row) = bridge(replica, name)? {
        let mut pods = Vec::new();
        for interface in replica.rows("Interface") {
            pods.extend(interface.map_value("external_ids", "iface-id")?);
        }
        if let (Some(first), false) = (pods.iter().min(), force) {
            let first = (*first).to_owned();
            return Err(RemovalError::InUse(pods.len(), name.to_owned(), first));
        }
        mutations.push(Mutation::delete("bridges", row.uuid()));
        plan.changes.push(format!("remove bridge {name}"));
    }
    let of_root = root.uuid_set("manager_options")?;
    for manager in replica.rows("Manager") {
        if of_root.contains(&manager.uuid())
            && manager.map_value("external_ids", ROLE)? == Some("manager")
        {
            mutations.push(Mutation::delete("manager_options", manager.uuid()));
            let target = manager.string("target")?;
            plan.changes.push(format!("remove manager {target}"));
        }
    }
    if root.map_value("external_ids", "culvert-node")?.is_some() {
        mutations.push(Mutation::delete(
            "external_ids",
            Datum::set(["culvert-node"]),
        ));
        plan.changes.push("forget the name of the node".to_owned());
    }
    if !mutations.is_empty() {
        let mut transaction = Transaction::new();
        let conditions = [Condition::equal("_uuid", root.uuid())];
        transaction.mutate(root.table(), conditions, mutations);
        plan.transaction = transaction;
    }
    Ok(plan)
}
