// SPDX-License-Identifier: Apache-2.0
//! The ports that the agent makes: the tunnel and the gateway.

use std::collections::BTreeMap;

use ovsdb_client::{Condition, Datum, Mutation, Row, RowError};

use crate::desired::columns::{different, put_keys};
use crate::desired::{GATEWAY, Planner, ROLE, TUNNEL, bridges_with, named, pod_mtu};
use crate::host::HOST_MAC;

/// A port with one interface, as it shall be.
pub(super) struct OwnPort {
    name: &'static str,
    /// What it is for, in `external_ids:culvert-role`.
    role: &'static str,
    /// Columns of its Interface, beside `name` and `external_ids`.
    columns: BTreeMap<&'static str, Datum>,
}

impl Planner<'_> {
    /// The ports of the bridge, as they shall be.
    pub(super) fn own_ports(&self) -> [OwnPort; 2] {
        let options = BTreeMap::from([
            ("remote_ip", "flow".to_owned()),
            ("key", "flow".to_owned()),
            ("csum", "true".to_owned()),
            ("local_ip", self.config.encap_ip.to_string()),
        ]);
        let tunnel = OwnPort {
            name: TUNNEL,
            role: "tunnel",
            columns: BTreeMap::from([
                ("type", Datum::from("geneve")),
                ("options", Datum::map(options)),
            ]),
        };
        let mut gateway = OwnPort {
            name: GATEWAY,
            role: "gateway",
            columns: BTreeMap::from([
                ("type", Datum::from("internal")),
                ("mac", Datum::from(HOST_MAC.to_string().as_str())),
            ]),
        };
        if let Some(mtu) = self.observed.underlay_mtu {
            let mtu = Datum::from(i64::from(pod_mtu(mtu, self.config.encap_ip)));
            gateway.columns.insert("mtu_request", mtu);
        }
        [tunnel, gateway]
    }

    /// Makes a port right and returns it if `bridge` does not have it yet; `None` for a bridge that
    /// is inserted by this transaction.
    pub(super) fn own_port(
        &mut self,
        own: OwnPort,
        bridge: Option<&Row>,
    ) -> Result<Option<Datum>, RowError> {
        let name = own.name;
        if let Some(interface) = named(self.replica, "Interface", name)? {
            self.correct_interface(&own, interface)?;
        }
        let Some(port) = named(self.replica, "Port", name)? else {
            return Ok(Some(self.insert_port(own)));
        };
        let mut present = false;
        for other in bridges_with(self.replica, port.uuid())? {
            if bridge.is_some_and(|bridge| bridge.uuid() == other.uuid()) {
                present = true;
            } else {
                self.plan
                    .changes
                    .push(format!("take {name} from {}", other.string("name")?));
                self.mutate(other, vec![Mutation::delete("ports", port.uuid())]);
            }
        }
        Ok((!present).then(|| Datum::from(port.uuid())))
    }

    fn insert_port(&mut self, own: OwnPort) -> Datum {
        let OwnPort {
            name,
            role,
            columns,
        } = own;
        self.plan.changes.push(format!("create {role} port {name}"));
        let ids = Datum::map([(ROLE, role)]);
        let fixed = [("name", Datum::from(name)), ("external_ids", ids)];
        let transaction = &mut self.plan.transaction;
        let interface = transaction.insert("Interface", columns.into_iter().chain(fixed));
        let port = transaction.insert(
            "Port",
            [
                ("name", Datum::from(name)),
                ("interfaces", Datum::from(&interface)),
            ],
        );
        Datum::from(&port)
    }

    fn correct_interface(&mut self, own: &OwnPort, row: &Row) -> Result<(), RowError> {
        let mut updates = BTreeMap::new();
        for (column, wanted) in &own.columns {
            if different(row, column, wanted)? {
                updates.insert(*column, wanted.clone());
            }
        }
        let role = BTreeMap::from([(ROLE, own.role.to_owned())]);
        let mutations = put_keys(row, "external_ids", &role)?;
        if updates.is_empty() && mutations.is_empty() {
            return Ok(());
        }
        self.plan
            .changes
            .push(format!("correct {} port {}", own.role, own.name));
        if !updates.is_empty() {
            let conditions = [Condition::equal("_uuid", row.uuid())];
            self.plan
                .transaction
                .update("Interface", conditions, updates);
        }
        self.mutate(row, mutations);
        Ok(())
    }
}
