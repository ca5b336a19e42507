// SPDX-License-Identifier: Apache-2.0
//! The one tunnel port.

use std::collections::BTreeMap;

use ovsdb_client::{Condition, Datum, Mutation, Row, RowError};

use crate::desired::columns::{different, put_keys};
use crate::desired::{Planner, ROLE, TUNNEL, bridges_with, named};

impl Planner<'_> {
    /// Makes the tunnel port right and returns it if `bridge` does not have it yet; `None` for a
    /// bridge that is inserted by this transaction.
    pub(super) fn tunnel(&mut self, bridge: Option<&Row>) -> Result<Option<Datum>, RowError> {
        if let Some(interface) = named(self.replica, "Interface", TUNNEL)? {
            self.correct_interface(interface)?;
        }
        let Some(port) = named(self.replica, "Port", TUNNEL)? else {
            return Ok(Some(self.insert_tunnel()));
        };
        let mut present = false;
        for other in bridges_with(self.replica, port.uuid())? {
            if bridge.is_some_and(|bridge| bridge.uuid() == other.uuid()) {
                present = true;
            } else {
                self.plan
                    .changes
                    .push(format!("take {TUNNEL} from {}", other.string("name")?));
                self.mutate(other, vec![Mutation::delete("ports", port.uuid())]);
            }
        }
        Ok((!present).then(|| Datum::from(port.uuid())))
    }

    fn insert_tunnel(&mut self) -> Datum {
        self.plan
            .changes
            .push(format!("create tunnel port {TUNNEL}"));
        let options = Datum::map(self.tunnel_options());
        let transaction = &mut self.plan.transaction;
        let interface = transaction.insert(
            "Interface",
            [
                ("name", Datum::from(TUNNEL)),
                ("type", Datum::from("geneve")),
                ("options", options),
                ("external_ids", Datum::map([(ROLE, "tunnel")])),
            ],
        );
        let port = transaction.insert(
            "Port",
            [
                ("name", Datum::from(TUNNEL)),
                ("interfaces", Datum::from(&interface)),
            ],
        );
        Datum::from(&port)
    }

    fn correct_interface(&mut self, row: &Row) -> Result<(), RowError> {
        let mut updates = BTreeMap::new();
        for (column, wanted) in [
            ("type", Datum::from("geneve")),
            ("options", Datum::map(self.tunnel_options())),
        ] {
            if different(row, column, &wanted)? {
                updates.insert(column, wanted);
            }
        }
        let mutations = put_keys(
            row,
            "external_ids",
            &BTreeMap::from([(ROLE, "tunnel".into())]),
        )?;
        if updates.is_empty() && mutations.is_empty() {
            return Ok(());
        }
        self.plan
            .changes
            .push(format!("correct tunnel port {TUNNEL}"));
        if !updates.is_empty() {
            let conditions = [Condition::equal("_uuid", row.uuid())];
            self.plan
                .transaction
                .update("Interface", conditions, updates);
        }
        self.mutate(row, mutations);
        Ok(())
    }

    fn tunnel_options(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("remote_ip", "flow".to_owned()),
            ("key", "flow".to_owned()),
            ("csum", "true".to_owned()),
            ("local_ip", self.config.encap_ip.to_string()),
        ])
    }
}
