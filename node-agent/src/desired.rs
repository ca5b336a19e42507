// SPDX-License-Identifier: Apache-2.0
//! What must change in OVSDB so that the node is as configured: the smallest transaction, and none
//! when all is right.
//!
//! The first and the last Controller row of a bridge flush its flows, and so does a change of
//! `fail_mode` while there is none: so a bridge is made with its controllers in one transaction,
//! targets are replaced in one transaction, and rows that are right are never written again.

mod columns;
mod port;
mod removal;
mod restart;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ovsdb_client::{
    Condition, Datum, MonitorRequest, Mutation, Replica, Row, RowError, Transaction, Uuid,
};

use crate::config::Config;
use crate::desired::columns::{different, put_keys};
pub use crate::desired::removal::{RemovalError, removal};
pub use crate::desired::restart::waits_for_restore;

/// The database of Open vSwitch.
pub const DATABASE: &str = "Open_vSwitch";

/// The tunnel port.
pub const TUNNEL: &str = "culvert-tun";

/// The gateway port: between the Pods and the node's own kernel.
pub const GATEWAY: &str = "culvert-gw";

/// Key that marks rows the agent made, in `external_ids`.
const ROLE: &str = "culvert-role";

/// How long a connection of OVS may be silent before OVS probes it, in milliseconds. OVS's own
/// 5 s cut connections to a controller that is only busy.
const INACTIVITY_PROBE: i64 = 30_000;

/// The longest pause of OVS between two attempts to connect, in milliseconds.
const MAX_BACKOFF: i64 = 1_000;

/// Outer UDP header, Geneve header, its one option, inner Ethernet header.
const TUNNEL_OVERHEAD: u32 = 8 + 8 + 16 + 14;

/// The outer IPv4 header, and that of IPv6.
const IPV4_HEADER: u32 = 20;
const IPV6_HEADER: u32 = 40;

/// What the agent has found out beside OVSDB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The MTU of the underlay in bytes, if it is known.
    pub underlay_mtu: Option<u32>,
    /// The tunnel peers whose link-layer address is known to the datapath.
    pub resolved: BTreeSet<IpAddr>,
    /// vswitchd has waited for a restore of its flows for longer than one takes.
    pub restore_overdue: bool,
}

/// A transaction, and in words what it changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The transaction; empty when all is right.
    pub transaction: Transaction,
    /// One phrase per change, for the log.
    pub changes: Vec<String>,
}

/// The database is not one an agent can work with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DesiredError {
    /// The root row is missing.
    #[error("OVSDB has no Open_vSwitch row; run `ovs-vsctl --no-wait init`")]
    NoRoot,
    /// A row has another shape than the schema of Open vSwitch says.
    #[error("OVSDB: {0}; is this an Open_vSwitch database?")]
    Row(#[from] RowError),
}

impl Plan {
    /// Whether all is right.
    pub fn is_empty(&self) -> bool {
        self.transaction.operations().is_empty()
    }
}

/// What [`desired`] must see.
pub fn monitor_request() -> MonitorRequest {
    let connection = ["target", "inactivity_probe", "max_backoff", "external_ids"];
    MonitorRequest::new()
        .table(
            "Open_vSwitch",
            ["bridges", "manager_options", "external_ids", "other_config"],
        )
        .table(
            "Bridge",
            [
                "name",
                "ports",
                "controller",
                "fail_mode",
                "protocols",
                "datapath_type",
                "other_config",
                "external_ids",
            ],
        )
        .table("Port", ["name", "interfaces"])
        .table(
            "Interface",
            [
                "name",
                "type",
                "options",
                "mac",
                "mtu_request",
                "external_ids",
                "ifindex",
                "ofport",
                "ofport_request",
            ],
        )
        .table("Controller", connection)
        .table("Manager", connection)
}

/// What must change.
///
/// # Errors
/// If the database is not one of Open vSwitch, or not initialised.
pub fn desired(
    config: &Config,
    observed: &Observed,
    replica: &Replica,
) -> Result<Plan, DesiredError> {
    let root = replica
        .rows("Open_vSwitch")
        .next()
        .ok_or(DesiredError::NoRoot)?;
    let mut planner = Planner {
        config,
        observed,
        replica,
        plan: Plan::default(),
    };
    planner.root(root)?;
    match bridge(replica, &config.bridge)? {
        None => planner.new_bridge(root)?,
        Some(row) => planner.bridge(row)?,
    }
    Ok(planner.plan)
}

/// The `datapath_type` of a bridge, `None` if there is no bridge of this name.
///
/// # Errors
/// If a row has another shape than the schema of Open vSwitch says.
pub fn datapath_type<'a>(replica: &'a Replica, name: &str) -> Result<Option<&'a str>, RowError> {
    bridge(replica, name)?
        .map(|row| row.string("datapath_type"))
        .transpose()
}

/// The number vswitchd has seen a link under, `None` if it is none of its links.
///
/// # Errors
/// If a row has another shape than the schema of Open vSwitch says.
pub fn ifindex(replica: &Replica, name: &str) -> Result<Option<i64>, RowError> {
    match named(replica, "Interface", name)? {
        None => Ok(None),
        Some(row) => row.optional_integer("ifindex"),
    }
}

/// The MTU of Pods over an underlay of this MTU, both in bytes.
pub const fn pod_mtu(underlay_mtu: u32, encap_ip: IpAddr) -> u32 {
    let outer = match encap_ip {
        IpAddr::V4(_) => IPV4_HEADER,
        IpAddr::V6(_) => IPV6_HEADER,
    };
    underlay_mtu.saturating_sub(TUNNEL_OVERHEAD + outer)
}

struct Planner<'a> {
    config: &'a Config,
    observed: &'a Observed,
    replica: &'a Replica,
    plan: Plan,
}

impl Planner<'_> {
    /// The root row: the node's name and the managers.
    fn root(&mut self, root: &Row) -> Result<(), RowError> {
        let name = BTreeMap::from([("culvert-node", self.config.node_name.clone())]);
        let mut mutations = put_keys(root, "external_ids", &name)?;
        if !mutations.is_empty() {
            self.plan
                .changes
                .push(format!("name the node {}", self.config.node_name));
        }
        let of_root = root.uuid_set("manager_options")?;
        let mut present = BTreeSet::new();
        for manager in self
            .replica
            .rows("Manager")
            .filter(|row| of_root.contains(&row.uuid()))
        {
            let target = manager.string("target")?;
            if self.config.managers.contains(target) {
                present.insert(target);
                self.connection(manager, "manager")?;
            } else if manager.map_value("external_ids", ROLE)? == Some("manager") {
                // One of ours that is no longer wanted. Managers of others stay.
                mutations.push(Mutation::delete("manager_options", manager.uuid()));
                self.plan.changes.push(format!("remove manager {target}"));
            }
        }
        for target in &self.config.managers {
            if !present.contains(target.as_str()) {
                let manager = self
                    .plan
                    .transaction
                    .insert("Manager", connection(target, "manager"));
                mutations.push(Mutation::insert("manager_options", &manager));
                self.plan.changes.push(format!("add manager {target}"));
            }
        }
        mutations.extend(self.overdue_restore()?);
        self.mutate(root, mutations);
        Ok(())
    }

    /// The bridge does not exist: everything about it in one transaction.
    fn new_bridge(&mut self, root: &Row) -> Result<(), RowError> {
        let name = self.config.bridge.as_str();
        let transaction = &mut self.plan.transaction;
        let controllers: Vec<_> = self
            .config
            .controllers
            .iter()
            .map(|target| transaction.insert("Controller", connection(target, "controller")))
            .collect();
        let interface = transaction.insert(
            "Interface",
            [
                ("name", Datum::from(name)),
                ("type", Datum::from("internal")),
            ],
        );
        let local = transaction.insert(
            "Port",
            [
                ("name", Datum::from(name)),
                ("interfaces", Datum::from(&interface)),
            ],
        );
        let mut ports = vec![Datum::from(&local)];
        for own in self.own_ports() {
            ports.extend(self.own_port(own, None)?);
        }
        let bridge = self.plan.transaction.insert(
            "Bridge",
            [
                ("name", Datum::from(name)),
                ("fail_mode", Datum::from("secure")),
                ("protocols", Datum::from("OpenFlow15")),
                ("datapath_type", Datum::from(self.config.datapath.as_str())),
                ("other_config", Datum::map([("disable-in-band", "true")])),
                ("external_ids", Datum::map(self.bridge_ids(None))),
                (
                    "controller",
                    columns::union(controllers.iter().map(Datum::from)),
                ),
                ("ports", columns::union(ports)),
            ],
        );
        self.mutate(root, vec![Mutation::insert("bridges", &bridge)]);
        self.plan.changes.push(format!("create bridge {name}"));
        Ok(())
    }

    /// The bridge exists: only what differs.
    fn bridge(&mut self, row: &Row) -> Result<(), RowError> {
        let mut updates = BTreeMap::new();
        for (column, wanted) in [
            ("fail_mode", Datum::from("secure")),
            ("protocols", Datum::from("OpenFlow15")),
        ] {
            if different(row, column, &wanted)? {
                updates.insert(column, wanted);
            }
        }
        if !self.config.datapath.is(row.string("datapath_type")?) {
            updates.insert("datapath_type", Datum::from(self.config.datapath.as_str()));
        }
        for (column, wanted) in &updates {
            self.plan
                .changes
                .push(format!("set {column}={wanted} of {}", self.config.bridge));
        }
        if !updates.is_empty() {
            let conditions = [Condition::equal("_uuid", row.uuid())];
            self.plan.transaction.update("Bridge", conditions, updates);
        }

        let disable_in_band = BTreeMap::from([("disable-in-band", "true".to_owned())]);
        let mut mutations = put_keys(row, "other_config", &disable_in_band)?;
        mutations.extend(put_keys(
            row,
            "external_ids",
            &self.bridge_ids(parse_peers(row)?),
        )?);
        if !mutations.is_empty() {
            self.plan
                .changes
                .push(format!("set keys of {}", self.config.bridge));
        }
        mutations.extend(self.controllers(row)?);
        for own in self.own_ports() {
            if let Some(port) = self.own_port(own, Some(row))? {
                mutations.push(Mutation::insert("ports", port));
            }
        }
        self.port_numbers(row)?;
        self.mutate(row, mutations);
        Ok(())
    }

    /// The changes that give the bridge exactly our controllers.
    fn controllers(&mut self, bridge: &Row) -> Result<Vec<Mutation>, RowError> {
        let of_bridge = bridge.uuid_set("controller")?;
        let mut mutations = Vec::new();
        let mut present = BTreeSet::new();
        for row in self
            .replica
            .rows("Controller")
            .filter(|row| of_bridge.contains(&row.uuid()))
        {
            let target = row.string("target")?;
            if self.config.controllers.contains(target) && present.insert(target) {
                self.connection(row, "controller")?;
            } else {
                mutations.push(Mutation::delete("controller", row.uuid()));
                self.plan
                    .changes
                    .push(format!("remove controller {target}"));
            }
        }
        for target in &self.config.controllers {
            if !present.contains(target.as_str()) {
                let row = self
                    .plan
                    .transaction
                    .insert("Controller", connection(target, "controller"));
                mutations.push(Mutation::insert("controller", &row));
                self.plan.changes.push(format!("add controller {target}"));
            }
        }
        Ok(mutations)
    }

    /// A Controller or Manager row with the right target.
    fn connection(&mut self, row: &Row, role: &str) -> Result<(), RowError> {
        let mut updates = BTreeMap::new();
        for (column, wanted) in [
            ("inactivity_probe", INACTIVITY_PROBE),
            ("max_backoff", MAX_BACKOFF),
        ] {
            let wanted = Datum::from(wanted);
            if different(row, column, &wanted)? {
                updates.insert(column, wanted);
            }
        }
        let marks = BTreeMap::from([(ROLE, role.to_owned())]);
        let mutations = put_keys(row, "external_ids", &marks)?;
        if updates.is_empty() && mutations.is_empty() {
            return Ok(());
        }
        self.plan
            .changes
            .push(format!("correct {role} {}", row.string("target")?));
        if !updates.is_empty() {
            let conditions = [Condition::equal("_uuid", row.uuid())];
            self.plan
                .transaction
                .update(row.table(), conditions, updates);
        }
        self.mutate(row, mutations);
        Ok(())
    }

    /// Our keys in `external_ids` of the bridge.
    fn bridge_ids(&self, peers: Option<Vec<IpAddr>>) -> BTreeMap<&'static str, String> {
        let mut ids = BTreeMap::from([
            ("culvert-agent", self.config.version.clone()),
            ("culvert-encap-ip", self.config.encap_ip.to_string()),
        ]);
        if let Some(mtu) = self.observed.underlay_mtu {
            ids.insert(
                "culvert-mtu",
                pod_mtu(mtu, self.config.encap_ip).to_string(),
            );
        }
        if let Some(peers) = peers {
            let resolved = peers
                .iter()
                .filter(|peer| self.observed.resolved.contains(peer));
            let resolved: Vec<_> = resolved.map(ToString::to_string).collect();
            ids.insert("culvert-peers-resolved", resolved.join(","));
        }
        ids
    }

    fn mutate(&mut self, row: &Row, mutations: Vec<Mutation>) {
        if !mutations.is_empty() {
            let conditions = [Condition::equal("_uuid", row.uuid())];
            self.plan
                .transaction
                .mutate(row.table(), conditions, mutations);
        }
    }
}

/// The bridge of this name.
pub(crate) fn bridge<'a>(
    replica: &'a Replica,
    name: &str,
) -> Result<Option<&'a Arc<Row>>, RowError> {
    named(replica, "Bridge", name)
}

/// The row of a table whose rows have unique names.
fn named<'a>(
    replica: &'a Replica,
    table: &str,
    name: &str,
) -> Result<Option<&'a Arc<Row>>, RowError> {
    for row in replica.rows(table) {
        if row.string("name")? == name {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// `culvert-peers`, `None` while the controller has not written it. A word that is no address is no
/// peer.
fn parse_peers(bridge: &Row) -> Result<Option<Vec<IpAddr>>, RowError> {
    let text = bridge.map_value("external_ids", "culvert-peers")?;
    Ok(text.map(|text| {
        text.split(',')
            .filter_map(|word| word.trim().parse().ok())
            .collect()
    }))
}

fn connection(target: &str, role: &str) -> [(&'static str, Datum); 4] {
    [
        ("target", Datum::from(target)),
        ("inactivity_probe", Datum::from(INACTIVITY_PROBE)),
        ("max_backoff", Datum::from(MAX_BACKOFF)),
        ("external_ids", Datum::map([(ROLE, role)])),
    ]
}

/// Which Bridges have a Port.
fn bridges_with(replica: &Replica, port: Uuid) -> Result<Vec<&Arc<Row>>, RowError> {
    let mut bridges = Vec::new();
    for row in replica.rows("Bridge") {
        if row.uuid_set("ports")?.contains(&port) {
            bridges.push(row);
        }
    }
    Ok(bridges)
}

#[cfg(test)]
mod tests;
