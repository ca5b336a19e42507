// SPDX-License-Identifier: Apache-2.0
//! Facts that the controller writes to a machine's OVSDB, and only where they differ.

use std::collections::BTreeMap;

use ovsdb_client::{Condition, Datum, Mutation, Transaction, Uuid};

use super::view::{MachineView, SERVICE_KEYS};

/// Values of `external_ids` by row; `None` takes the key away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    rows: BTreeMap<(&'static str, Uuid), BTreeMap<&'static str, Option<String>>>,
}

/// Keys that the controller writes on the bridge.
const POD_CIDRS: &str = "culvert-pod-cidrs";
const CLUSTER_CIDRS: &str = "culvert-cluster-cidrs";
const PEERS: &str = "culvert-peers";

/// Keys that the controller writes on a Pod's Interface.
const READY: &str = "culvert-ready";
const ERROR: &str = "culvert-error";

/// What the bridge shall say; empty text takes a key away.
#[derive(Clone, Copy, Debug, Default)]
pub struct BridgeFacts<'a> {
    /// The node's Pod CIDRs.
    pub pod_cidrs: &'a str,
    /// The Pod CIDRs of all nodes.
    pub cluster_cidrs: &'a str,
    /// The tunnel addresses of the other nodes.
    pub peers: &'a str,
    /// Values of [`SERVICE_KEYS`].
    pub services: [&'a str; 4],
}

/// What an Interface shall say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// What it says now: it is not time for an answer yet.
    AsItIs,
    /// Nothing: what it needs is not known.
    Nothing,
    /// The Pod's flows are acknowledged.
    Ready,
    /// It is refused; one sentence naming object and cure.
    Error(String),
}

impl Facts {
    /// What must be written so that `view` says this.
    ///
    /// `marks` need not name every Interface; those it does not name stay as they are.
    pub fn needed<'a>(
        view: &MachineView,
        shall: BridgeFacts<'_>,
        marks: impl IntoIterator<Item = (&'a str, Mark)>,
    ) -> Self {
        let mut facts = Self::default();
        if let Some(bridge) = &view.bridge {
            for (key, is, shall) in [
                (POD_CIDRS, &bridge.pod_cidrs, shall.pod_cidrs),
                (CLUSTER_CIDRS, &bridge.cluster_cidrs, shall.cluster_cidrs),
                (PEERS, &bridge.peers, shall.peers),
            ] {
                facts.compare("Bridge", bridge.row, key, is.as_deref(), Some(shall));
            }
            for ((key, is), shall) in SERVICE_KEYS
                .into_iter()
                .zip(&bridge.services)
                .zip(shall.services)
            {
                facts.compare("Bridge", bridge.row, key, is.as_deref(), Some(shall));
            }
        }
        for (name, mark) in marks {
            let Some(interface) = view.interfaces.get(name) else {
                continue;
            };
            let (ready, error) = match &mark {
                Mark::AsItIs => continue,
                Mark::Nothing => (None, None),
                Mark::Ready => (Some("true"), None),
                Mark::Error(reason) => (None, Some(reason.as_str())),
            };
            facts.compare(
                "Interface",
                interface.row,
                READY,
                interface.ready.as_deref(),
                ready,
            );
            facts.compare(
                "Interface",
                interface.row,
                ERROR,
                interface.error.as_deref(),
                error,
            );
        }
        facts
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows that are written.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The transaction that writes them.
    pub fn transaction(&self) -> Transaction {
        let mut transaction = Transaction::new();
        for ((table, row), keys) in &self.rows {
            // An insert into a map leaves a key that is there as it is, so each is deleted first.
            let mut mutations = vec![Mutation::delete(
                "external_ids",
                Datum::set(keys.keys().copied()),
            )];
            let present: Vec<(&str, &str)> = keys
                .iter()
                .filter_map(|(key, value)| Some((*key, value.as_deref()?)))
                .collect();
            if !present.is_empty() {
                mutations.push(Mutation::insert("external_ids", Datum::map(present)));
            }
            transaction.mutate(*table, [Condition::equal("_uuid", *row)], mutations);
        }
        transaction
    }

    /// Carries the facts over to `view`, as the server does.
    pub fn apply(&self, view: &mut MachineView) {
        if let Some(bridge) = &mut view.bridge {
            let keys = [
                (POD_CIDRS, &mut bridge.pod_cidrs),
                (CLUSTER_CIDRS, &mut bridge.cluster_cidrs),
                (PEERS, &mut bridge.peers),
            ];
            let services = SERVICE_KEYS.into_iter().zip(&mut bridge.services);
            self.set(("Bridge", bridge.row), keys.into_iter().chain(services));
        }
        for interface in view.interfaces.values_mut() {
            let keys = [(READY, &mut interface.ready), (ERROR, &mut interface.error)];
            self.set(("Interface", interface.row), keys);
        }
    }

    fn set<'a>(
        &self,
        row: (&'static str, Uuid),
        keys: impl IntoIterator<Item = (&'static str, &'a mut Option<String>)>,
    ) {
        let Some(written) = self.rows.get(&row) else {
            return;
        };
        for (key, slot) in keys {
            if let Some(value) = written.get(key) {
                slot.clone_from(value);
            }
        }
    }

    fn compare(
        &mut self,
        table: &'static str,
        row: Uuid,
        key: &'static str,
        is: Option<&str>,
        shall: Option<&str>,
    ) {
        let shall = shall.filter(|text| !text.is_empty());
        if is != shall {
            self.rows
                .entry((table, row))
                .or_default()
                .insert(key, shall.map(str::to_owned));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::view::{Bridge, Claim, PodInterface};

    fn view() -> MachineView {
        let interface = |row, ready: Option<&str>, error: Option<&str>| PodInterface {
            row: Uuid::from_bits(row),
            claim: Claim::NoPort,
            ready: ready.map(str::to_owned),
            error: error.map(str::to_owned),
        };
        MachineView {
            bridge: Some(Bridge {
                encap: None,
                row: Uuid::from_bits(1),
                datapath_id: None,
                controllers: Default::default(),
                agent: None,
                pod_cidrs: None,
                cluster_cidrs: None,
                services: Default::default(),
                peers: Some("192.0.2.9".to_owned()),
                peers_resolved: Default::default(),
            }),
            interfaces: BTreeMap::from([
                ("veth1".to_owned(), interface(2, None, Some("old"))),
                ("veth2".to_owned(), interface(3, Some("true"), None)),
            ]),
            ..MachineView::default()
        }
    }

    fn facts(view: &MachineView) -> Facts {
        let marks = [
            ("veth1", Mark::Ready),
            ("veth2", Mark::Error("wrong node".to_owned())),
            ("gone", Mark::Ready),
        ];
        let shall = BridgeFacts {
            pod_cidrs: "10.10.1.0/24",
            cluster_cidrs: "10.10.1.0/24,10.10.2.0/24",
            peers: "192.0.2.2,192.0.2.3",
            services: ["10.96.0.0/12", "", "tcp/30080", ""],
        };
        Facts::needed(view, shall, marks)
    }

    #[test]
    fn what_is_there_is_not_written_again() {
        let mut view = view();
        let first = facts(&view);
        assert_eq!(first.len(), 3);
        first.apply(&mut view);
        assert!(facts(&view).is_empty(), "{:?}", facts(&view));
    }

    #[test]
    fn a_key_is_deleted_before_it_is_set() {
        let json = facts(&view())
            .transaction()
            .to_json("Open_vSwitch")
            .to_string();
        let delete =
            json.find(r#"["external_ids","delete",["set",["culvert-error","culvert-ready"]]]"#);
        let insert = json.find(r#"["external_ids","insert",["map",[["culvert-ready","true"]]]]"#);
        assert!(delete.is_some() && delete < insert, "{json}");
    }

    #[test]
    fn an_interface_that_has_no_answer_yet_stays_as_it_is() {
        let view = view();
        let peers = view.bridge.as_ref().unwrap().peers.clone().unwrap();
        let shall = BridgeFacts {
            peers: &peers,
            ..BridgeFacts::default()
        };
        let marks = [("veth1", Mark::AsItIs), ("veth2", Mark::Ready)];
        let facts = Facts::needed(&view, shall, marks);
        assert!(facts.is_empty(), "{facts:?}");
    }

    #[test]
    fn nothing_takes_both_marks_away() {
        let mut view = view();
        let marks = [("veth1", Mark::Nothing), ("veth2", Mark::Nothing)];
        Facts::needed(&view, BridgeFacts::default(), marks).apply(&mut view);
        assert!(
            view.interfaces
                .values()
                .all(|i| i.ready.is_none() && i.error.is_none())
        );
    }
}
