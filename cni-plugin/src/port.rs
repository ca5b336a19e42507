// SPDX-License-Identifier: Apache-2.0
//! The transactions that attach and detach a port, and what their outcome means.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ovsdb_client::transaction::Committed;
use ovsdb_client::{
    Columns, Condition, Datum, FailedAt, Mutation, NamedUuid, OperationIndex, Outcome, Row,
    RowError, Transaction, TransactionFailure, Until, Uuid, Wait,
};

use crate::addresses::PodAddresses;
use crate::contract::{
    ATTACHED_MAC, CONTAINER_ID, ERROR, IFACE_ID, IFACE_ID_VER, IFNAME, IP, IP6, NETNS, READY,
    ip_key,
};
use crate::request::Attachment;
use crate::spec::{PodArgs, ValidAttachment};

/// The columns of an Interface that say how far its Pod is.
const PROGRESS_COLUMNS: [&str; 3] = ["ofport", "error", "external_ids"];

/// A port to insert.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The bridge.
    pub bridge: String,
    /// What is attached.
    pub attachment: Attachment,
    /// CNI_NETNS
    pub netns: PathBuf,
    /// Whose port it is.
    pub pod: PodArgs,
    /// The addresses, which no other Interface may have.
    pub addresses: PodAddresses,
}

/// The transaction that inserts a [`Claim`].
#[derive(Clone, Debug)]
pub struct Attach {
    /// The transaction.
    pub transaction: Transaction,
    bridge_exists: OperationIndex,
    name_is_free: OperationIndex,
    addresses_are_free: Vec<OperationIndex>,
    interface: NamedUuid,
}

/// What became of an [`Attach`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attached {
    /// The port is there; this is its Interface.
    Committed(Uuid),
    /// Another Interface got the address first.
    AddressTaken,
    /// A Port of that name exists.
    NameTaken,
    /// The bridge has gone.
    NoBridge,
    /// The server refused for another reason.
    Refused(TransactionFailure),
}

/// How far a Pod's Interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The Pod's flows are acknowledged.
    Ready,
    /// Nothing has decided yet; what is awaited.
    Waiting(Awaited),
    /// vswitchd could not open the link; its words.
    PortFailed(String),
    /// The controller refuses the Interface; its words.
    Refused(String),
    /// The row was removed.
    Gone,
}

/// What ADD waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// vswitchd has not given the port a number.
    PortNumber,
    /// The controller has not acknowledged the Pod's flows.
    Ready,
}

/// A port of an attachment that is no longer valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The Port.
    pub port: Uuid,
    /// The link on the node.
    pub host_link: String,
}

impl Claim {
    /// The one transaction: the name and the address are free, insert Interface and Port, put the
    /// Port into the Bridge, wake vswitchd.
    pub fn attach(&self) -> Attach {
        let name = self.attachment.host_link();
        let mut transaction = Transaction::new();
        let bridge_exists = transaction.wait(Wait {
            table: "Bridge".to_owned(),
            conditions: vec![Condition::equal("name", self.bridge.as_str())],
            columns: vec!["name".to_owned()],
            until: Until::Equal,
            rows: vec![Columns::from([(
                "name".to_owned(),
                Datum::from(self.bridge.as_str()),
            )])],
            timeout: Some(Duration::ZERO),
        });
        let name_is_free =
            transaction.wait(no_row("Port", Condition::equal("name", name.as_str())));
        let mut addresses_are_free = Vec::new();
        for address in self.addresses.iter() {
            let address = Datum::map([(ip_key(address), address.to_string())]);
            addresses_are_free.push(transaction.wait(no_row(
                "Interface",
                Condition::includes("external_ids", address),
            )));
        }
        let interface = transaction.insert(
            "Interface",
            [
                ("name", Datum::from(name.as_str())),
                ("type", Datum::from("")),
                ("external_ids", Datum::map(self.external_ids())),
            ],
        );
        let port = transaction.insert(
            "Port",
            [
                ("name", Datum::from(name.as_str())),
                ("interfaces", Datum::from(&interface)),
            ],
        );
        transaction.mutate(
            "Bridge",
            [Condition::equal("name", self.bridge.as_str())],
            [Mutation::insert("ports", &port)],
        );
        bump_next_cfg(&mut transaction);
        Attach {
            transaction,
            bridge_exists,
            name_is_free,
            addresses_are_free,
            interface,
        }
    }

    fn external_ids(&self) -> BTreeMap<&'static str, String> {
        let mut ids = BTreeMap::from([
            (
                IFACE_ID,
                format!("{}/{}", self.pod.namespace, self.pod.name),
            ),
            (ATTACHED_MAC, self.addresses.mac().to_string()),
            (CONTAINER_ID, self.attachment.container_id.clone()),
            (IFNAME, self.attachment.ifname.clone()),
            (NETNS, self.netns.display().to_string()),
        ]);
        let addresses = self.addresses.iter();
        ids.extend(addresses.map(|address| (ip_key(address), address.to_string())));
        if let Some(uid) = &self.pod.uid {
            ids.insert(IFACE_ID_VER, uid.clone());
        }
        ids
    }
}

impl Attach {
    /// Reads the outcome.
    pub fn read(&self, outcome: Outcome) -> Attached {
        match outcome {
            Outcome::Committed(committed) => match committed.uuid(&self.interface) {
                Some(uuid) => Attached::Committed(uuid),
                None => Attached::NoBridge,
            },
            Outcome::Failed(failure) if failure.is_timed_out() => match failure.at {
                FailedAt::Operation(at) if self.addresses_are_free.contains(&at) => {
                    Attached::AddressTaken
                }
                FailedAt::Operation(at) if at == self.name_is_free => Attached::NameTaken,
                FailedAt::Operation(at) if at == self.bridge_exists => Attached::NoBridge,
                FailedAt::Operation(_) | FailedAt::Commit => Attached::Refused(failure),
            },
            Outcome::Failed(failure) => Attached::Refused(failure),
        }
    }
}

impl Progress {
    /// Reads the rows a select of the Interface gave.
    ///
    /// # Errors
    /// If the row has another shape than the schema of Open vSwitch says.
    pub fn read(row: Option<&Row>) -> Result<Self, RowError> {
        let Some(row) = row else {
            return Ok(Self::Gone);
        };
        let ids = row.map("external_ids")?;
        if let Some(error) = ids.get(ERROR) {
            return Ok(Self::Refused((*error).to_owned()));
        }
        match row.optional_integer("ofport")? {
            None => return Ok(Self::Waiting(Awaited::PortNumber)),
            Some(ofport) if ofport < 0 => {
                let error = row.optional_string("error")?.unwrap_or("no reason given");
                return Ok(Self::PortFailed(error.to_owned()));
            }
            Some(_) => {}
        }
        if ids.get(READY) == Some(&"true") {
            return Ok(Self::Ready);
        }
        Ok(Self::Waiting(Awaited::Ready))
    }
}

/// The reading of an Interface's progress.
pub fn select_progress(transaction: &mut Transaction, interface: Uuid) -> OperationIndex {
    transaction.select(
        "Interface",
        [Condition::equal("_uuid", interface)],
        PROGRESS_COLUMNS,
    )
}

/// Holds a transaction back until an Interface is no longer as `seen`, at most `timeout`.
///
/// # Errors
/// If `seen` is not of [`select_progress`].
pub fn wait_for_progress(
    transaction: &mut Transaction,
    seen: &Row,
    timeout: Duration,
) -> Result<(), RowError> {
    let columns = PROGRESS_COLUMNS
        .into_iter()
        .map(|column| Ok((column.to_owned(), seen.datum(column)?.clone())))
        .collect::<Result<Columns, RowError>>()?;
    transaction.wait(Wait {
        table: "Interface".to_owned(),
        conditions: vec![Condition::equal("_uuid", seen.uuid())],
        columns: PROGRESS_COLUMNS.map(str::to_owned).to_vec(),
        until: Until::NotEqual,
        rows: vec![columns],
        timeout: Some(timeout),
    });
    Ok(())
}

/// The transaction that takes Ports out of whatever Bridge has them; Port and Interface rows go
/// with the last reference. Nothing happens to Ports that are gone already.
pub fn detach(ports: &BTreeSet<Uuid>) -> Transaction {
    let mut transaction = Transaction::new();
    for port in ports {
        transaction.mutate(
            "Bridge",
            [Condition::includes("ports", *port)],
            [Mutation::delete("ports", *port)],
        );
    }
    bump_next_cfg(&mut transaction);
    transaction
}

/// The addresses of Interface rows, with or without a Pod behind them.
///
/// # Errors
/// If a row has another shape than the schema of Open vSwitch says.
pub fn addresses(interfaces: &[Row]) -> Result<BTreeSet<IpAddr>, RowError> {
    let mut addresses = BTreeSet::new();
    for row in interfaces {
        for key in [IP, IP6] {
            // Text that is no address cannot collide with one.
            let address = row
                .map_value("external_ids", key)?
                .and_then(|text| text.parse().ok());
            addresses.extend::<Option<IpAddr>>(address);
        }
    }
    Ok(addresses)
}

/// The reading of all attachments of one bridge.
#[derive(Clone, Copy, Debug)]
pub struct AttachmentQuery {
    bridge: OperationIndex,
    ports: OperationIndex,
    interfaces: OperationIndex,
}

impl AttachmentQuery {
    /// Adds the reading to a transaction.
    pub fn add_to(transaction: &mut Transaction, bridge: &str) -> Self {
        Self {
            bridge: transaction.select("Bridge", [Condition::equal("name", bridge)], ["ports"]),
            ports: transaction.select("Port", [], ["interfaces"]),
            interfaces: transaction.select("Interface", [], ["name", "external_ids"]),
        }
    }

    /// The ports of the bridge that this plugin made for attachments not in `valid`.
    ///
    /// # Errors
    /// If a row has another shape than the schema of Open vSwitch says.
    pub fn stale(
        &self,
        committed: &Committed,
        valid: &[ValidAttachment],
    ) -> Result<Vec<Stale>, RowError> {
        let valid: BTreeSet<_> = valid
            .iter()
            .map(|one| (one.container_id.as_str(), one.ifname.as_str()))
            .collect();
        let mut of_bridge = BTreeSet::new();
        for bridge in committed.rows(self.bridge) {
            of_bridge.extend(bridge.uuid_set("ports")?);
        }
        let mut port_of = BTreeMap::new();
        for port in committed.rows(self.ports) {
            if of_bridge.contains(&port.uuid()) {
                let interfaces = port.uuid_set("interfaces")?;
                port_of.extend(
                    interfaces
                        .into_iter()
                        .map(|interface| (interface, port.uuid())),
                );
            }
        }
        let mut stale = Vec::new();
        for interface in committed.rows(self.interfaces) {
            let ids = interface.map("external_ids")?;
            let (Some(port), Some(container)) =
                (port_of.get(&interface.uuid()), ids.get(CONTAINER_ID))
            else {
                continue;
            };
            let ifname = ids.get(IFNAME).copied().unwrap_or_default();
            if !valid.contains(&(*container, ifname)) {
                let host_link = interface.string("name")?.to_owned();
                stale.push(Stale {
                    port: *port,
                    host_link,
                });
            }
        }
        Ok(stale)
    }
}

fn bump_next_cfg(transaction: &mut Transaction) {
    transaction.mutate("Open_vSwitch", [], [Mutation::add("next_cfg", 1)]);
}

fn no_row(table: &str, condition: Condition) -> Wait {
    Wait {
        table: table.to_owned(),
        conditions: vec![condition],
        columns: vec!["_uuid".to_owned()],
        until: Until::Equal,
        rows: Vec::new(),
        timeout: Some(Duration::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ovsdb_client::transaction::ResultShape;
    use serde_json::{Value, json};

    use super::*;

    fn claim() -> Claim {
        Claim {
            bridge: "br-int".to_owned(),
            attachment: Attachment {
                container_id: "abc".to_owned(),
                ifname: "eth0".to_owned(),
            },
            netns: "/run/netns/x".into(),
            pod: PodArgs {
                namespace: "ns".to_owned(),
                name: "web".to_owned(),
                uid: None,
            },
            addresses: PodAddresses::Both("10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()),
        }
    }

    fn read(results: Value) -> Attached {
        let attach = claim().attach();
        let outcome = ResultShape::of(&attach.transaction).read(results).unwrap();
        attach.read(outcome)
    }

    fn interface(ofport: Datum, ids: &[(&str, &str)]) -> Row {
        let columns = [
            (Arc::from("ofport"), ofport),
            (Arc::from("error"), Datum::from("no such device")),
            (Arc::from("external_ids"), Datum::map(ids.iter().copied())),
        ];
        Row::new(Arc::from("Interface"), Uuid::from_bits(1), columns.into())
    }

    fn progress(ofport: Datum, ids: &[(&str, &str)]) -> Progress {
        Progress::read(Some(&interface(ofport, ids))).unwrap()
    }

    #[test]
    fn failed_wait_tells_a_taken_address_from_a_taken_name() {
        let failed = json!({"error": "timed out", "details": "\"wait\" timed out"});
        let rest = json!(null);
        assert_eq!(
            read(json!([failed, rest, rest, rest, rest, rest, rest, rest])),
            Attached::NoBridge
        );
        assert_eq!(
            read(json!([{}, failed, rest, rest, rest, rest, rest, rest])),
            Attached::NameTaken
        );
        assert_eq!(
            read(json!([{}, {}, failed, rest, rest, rest, rest, rest])),
            Attached::AddressTaken
        );
        assert_eq!(
            read(json!([{}, {}, {}, failed, rest, rest, rest, rest])),
            Attached::AddressTaken
        );
        let uuid = json!(["uuid", "00000000-0000-0000-0000-000000000001"]);
        let inserted = json!({"uuid": uuid});
        assert_eq!(
            read(json!([{}, {}, {}, {}, inserted, inserted, {"count": 1}, {"count": 1}])),
            Attached::Committed(Uuid::from_bits(1))
        );
    }

    #[test]
    fn interface_names_pod_attachment_and_address() {
        let ids = claim().external_ids();
        assert_eq!(ids.get(IFACE_ID).unwrap(), "ns/web");
        assert_eq!(ids.get(ATTACHED_MAC).unwrap(), "0a:58:0a:00:00:02");
        assert_eq!(ids.get(IP).unwrap(), "10.0.0.2");
        assert_eq!(ids.get(IP6).unwrap(), "fd00::2");
        assert_eq!(ids.get(CONTAINER_ID).unwrap(), "abc");
        assert_eq!(ids.get(IFNAME).unwrap(), "eth0");
        assert_eq!(ids.get(NETNS).unwrap(), "/run/netns/x");
        assert_eq!(ids.get(IFACE_ID_VER), None);
    }

    #[test]
    fn pod_is_ready_only_with_a_port_number_and_the_controllers_word() {
        let none = Datum::empty_set;
        assert_eq!(
            progress(none(), &[]),
            Progress::Waiting(Awaited::PortNumber)
        );
        assert_eq!(
            progress(none(), &[(READY, "true")]),
            Progress::Waiting(Awaited::PortNumber)
        );
        assert_eq!(progress(5.into(), &[]), Progress::Waiting(Awaited::Ready));
        assert_eq!(
            progress(5.into(), &[(READY, "false")]),
            Progress::Waiting(Awaited::Ready)
        );
        assert_eq!(progress(5.into(), &[(READY, "true")]), Progress::Ready);
        assert_eq!(
            progress((-1).into(), &[(READY, "true")]),
            Progress::PortFailed("no such device".to_owned())
        );
        assert_eq!(
            progress(5.into(), &[(READY, "true"), (ERROR, "no such Pod")]),
            Progress::Refused("no such Pod".to_owned())
        );
        assert_eq!(Progress::read(None), Ok(Progress::Gone));
    }

    #[test]
    fn gc_spares_valid_attachments_other_bridges_and_ports_of_others() {
        let mut transaction = Transaction::new();
        let query = AttachmentQuery::add_to(&mut transaction, "br-int");
        let uuid = |n: u32| json!(["uuid", format!("00000000-0000-0000-0000-{n:012}")]);
        let port = |n: u32| json!({"_uuid": uuid(n), "interfaces": uuid(n + 100)});
        let interface = |n: u32, ids: Value| json!({"_uuid": uuid(n + 100), "name": format!("cv{n}"), "external_ids": ["map", ids]});
        let ours = |container: &str| json!([[CONTAINER_ID, container], [IFNAME, "eth0"]]);
        let results = json!([
            {"rows": [{"_uuid": uuid(9), "ports": ["set", [uuid(1), uuid(2), uuid(3)]]}]},
            {"rows": [port(1), port(2), port(3), port(4)]},
            {"rows": [
                interface(1, ours("live")),
                interface(2, ours("dead")),
                interface(3, json!([])),
                interface(4, ours("elsewhere")),
            ]},
        ]);
        let outcome = ResultShape::of(&transaction).read(results).unwrap();
        let valid = [ValidAttachment {
            container_id: "live".into(),
            ifname: "eth0".into(),
        }];
        let stale = query.stale(&outcome.committed().unwrap(), &valid).unwrap();
        let links: Vec<_> = stale.iter().map(|one| one.host_link.as_str()).collect();
        assert_eq!(links, ["cv2"]);
    }
}
