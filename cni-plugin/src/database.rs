// SPDX-License-Identifier: Apache-2.0
//! The conversation with ovsdb-server: sends what [`crate::port`] and [`crate::node`] build.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use ovsdb_client::transaction::Committed;
use ovsdb_client::{
    Client, Condition, Outcome, Remote, RowError, Transaction, TransactionFailure, Uuid,
};
use tokio::time::{Instant, timeout};

use crate::check::PortRow;
use crate::contract::{ATTACHED_MAC, DATABASE, IP, IP6};
use crate::ipam::{self, Exhausted};
use crate::node::{Node, NodeQuery, NotReady};
use crate::port::{self, Attached, AttachmentQuery, Awaited, Claim, Progress, Stale};
use crate::request::{Add, Attachment};
use crate::spec::ValidAttachment;

/// How long ovsdb-server may take to answer what needs no waiting.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How often an address is chosen again when another ADD was faster. Every conflict is another
/// ADD's success, and the choices spread out after the first few.
const MAX_ATTEMPTS: u32 = 32;

/// A connection to the database of one node.
#[derive(Debug)]
pub struct Database {
    client: Client,
    remote: Remote,
}

/// OVSDB could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// No connection, or no usable answer.
    #[error("{remote}: {source}; is ovsdb-server running on this node?")]
    Client {
        /// Where it was looked for.
        remote: Remote,
        /// Why.
        source: ovsdb_client::Error,
    },
    /// No answer in time.
    #[error("{0}: no answer from ovsdb-server; is it overloaded or stopped?")]
    Silent(Remote),
    /// The server refused a transaction.
    #[error("OVSDB refused the transaction: {0}")]
    Refused(#[from] TransactionFailure),
    /// A row has another shape than the schema of Open vSwitch says.
    #[error("OVSDB: {0}; is this an Open_vSwitch database?")]
    Row(#[from] RowError),
    /// The node is not ready for Pods.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// Every address is in use.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// Other ADDs were faster every time.
    #[error("{MAX_ATTEMPTS} addresses were taken by other Pods meanwhile")]
    TooManyConflicts,
    /// A Port of this attachment exists.
    #[error("Port {0} exists: this container has this interface already; call DEL first")]
    NameTaken(String),
    /// vswitchd could not open the link.
    #[error("Open vSwitch cannot use link {link}: {error}")]
    PortFailed {
        /// The link.
        link: String,
        /// The words of vswitchd.
        error: String,
    },
    /// The controller refuses the Interface.
    #[error("the controller refuses Interface {link}: {error}")]
    ControllerRefuses {
        /// The Interface.
        link: String,
        /// The words of the controller.
        error: String,
    },
    /// Someone removed the port while ADD was waiting.
    #[error("Interface {0} was removed from OVSDB while ADD was waiting for it")]
    Gone(String),
    /// The Pod was not ready in time.
    #[error("Pod {pod} is not ready after {} s: {missing}", .limit.as_secs())]
    NotReadyInTime {
        /// The Pod.
        pod: String,
        /// How long ADD waited.
        limit: Duration,
        /// What was missing, and its cure.
        missing: String,
    },
}

impl Database {
    /// Connects.
    ///
    /// # Errors
    /// If nothing answers at `remote`.
    pub async fn connect(remote: &Remote) -> Result<Self, DatabaseError> {
        let client = within(remote, ANSWER_LIMIT, Client::connect(remote)).await?;
        Ok(Self {
            client,
            remote: remote.clone(),
        })
    }

    /// What the agent and the controller have prepared.
    ///
    /// # Errors
    /// [`DatabaseError::NotReady`] naming what is missing.
    pub async fn node(&self, bridge: &str) -> Result<Node, DatabaseError> {
        let mut transaction = Transaction::new();
        let query = NodeQuery::add_to(&mut transaction, bridge);
        Ok(query.node(&self.commit(transaction).await?, bridge)?)
    }

    /// Whether ADD could be served now.
    ///
    /// # Errors
    /// What is missing.
    pub async fn status(&self, bridge: &str) -> Result<(), DatabaseError> {
        let mut transaction = Transaction::new();
        let query = NodeQuery::add_to(&mut transaction, bridge);
        let interfaces = transaction.select("Interface", [], ["external_ids"]);
        let committed = self.commit(transaction).await?;
        let node = query.node(&committed, bridge)?;
        query.connected(&committed, bridge)?;
        let in_use = port::addresses(committed.rows(interfaces))?;
        node.pool.choose(&in_use, 0)?;
        Ok(())
    }

    /// Chooses an address nobody has and inserts the port with it.
    ///
    /// # Errors
    /// If no address is free or the port cannot be inserted. [`DatabaseError::Client`] and
    /// [`DatabaseError::Silent`] leave open whether the port was inserted.
    pub async fn attach(&self, add: &Add, node: &Node) -> Result<(Claim, Uuid), DatabaseError> {
        for attempt in 0..MAX_ATTEMPTS {
            let mut transaction = Transaction::new();
            let interfaces = transaction.select("Interface", [], ["external_ids"]);
            let root = transaction.select("Open_vSwitch", [], ["next_cfg"]);
            let committed = self.commit(transaction).await?;
            let next_cfg = match committed.rows(root) {
                [row, ..] => row.integer("next_cfg")?,
                [] => 0,
            };
            let in_use = port::addresses(committed.rows(interfaces))?;
            let start = ipam::start(next_cfg, &add.attachment, attempt);
            let claim = Claim {
                bridge: add.conf.bridge.clone(),
                attachment: add.attachment.clone(),
                netns: add.netns.clone(),
                pod: add.pod.clone(),
                addresses: node.pool.choose(&in_use, start)?,
            };
            let attach = claim.attach();
            let outcome = self
                .transact(attach.transaction.clone(), ANSWER_LIMIT)
                .await?;
            match attach.read(outcome) {
                Attached::Committed(interface) => return Ok((claim, interface)),
                Attached::AddressTaken => {}
                Attached::NameTaken => {
                    return Err(DatabaseError::NameTaken(add.attachment.host_link()));
                }
                Attached::NoBridge => return Err(NotReady::NoBridge(claim.bridge).into()),
                Attached::Refused(failure) => return Err(failure.into()),
            }
        }
        Err(DatabaseError::TooManyConflicts)
    }

    /// Waits until the Pod of a port is ready, at most the configured time.
    ///
    /// Each round trip names the state it has seen and is held back by the server until there is
    /// another, so no change is missed and nothing is polled.
    ///
    /// # Errors
    /// [`DatabaseError::NotReadyInTime`] saying what was missing, or why it will never be ready.
    pub async fn wait_until_ready(
        &self,
        add: &Add,
        claim: &Claim,
        interface: Uuid,
    ) -> Result<(), DatabaseError> {
        let limit = add.conf.ready_timeout;
        let deadline = Instant::now() + limit;
        let link = claim.attachment.host_link();
        let mut seen = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut transaction = Transaction::new();
            if let Some(row) = &seen {
                port::wait_for_progress(&mut transaction, row, left)?;
            }
            let select = port::select_progress(&mut transaction, interface);
            match self
                .transact(transaction, left.saturating_add(ANSWER_LIMIT))
                .await?
            {
                Outcome::Committed(committed) => {
                    seen = committed.rows(select).first().cloned();
                }
                Outcome::Failed(failure) if failure.is_timed_out() => {}
                Outcome::Failed(failure) => return Err(failure.into()),
            }
            let awaited = match Progress::read(seen.as_ref())? {
                Progress::Ready => return Ok(()),
                Progress::Waiting(awaited) => awaited,
                Progress::PortFailed(error) => {
                    return Err(DatabaseError::PortFailed { link, error });
                }
                Progress::Refused(error) => {
                    return Err(DatabaseError::ControllerRefuses { link, error });
                }
                Progress::Gone => return Err(DatabaseError::Gone(link)),
            };
            if Instant::now() >= deadline {
                return Err(DatabaseError::NotReadyInTime {
                    pod: format!("{}/{}", add.pod.namespace, add.pod.name),
                    limit,
                    missing: self.missing(awaited, &link, &claim.bridge).await,
                });
            }
        }
    }

    /// Removes the Port of this name from its bridge, if there is one.
    ///
    /// # Errors
    /// If OVSDB does not answer.
    pub async fn detach(&self, host_link: &str) -> Result<(), DatabaseError> {
        let mut transaction = Transaction::new();
        let select = transaction.select("Port", [Condition::equal("name", host_link)], ["_uuid"]);
        let committed = self.commit(transaction).await?;
        let ports: BTreeSet<_> = committed
            .rows(select)
            .iter()
            .map(|row| row.uuid())
            .collect();
        self.detach_all(&ports).await
    }

    /// Removes Ports from their bridges in one transaction.
    ///
    /// # Errors
    /// If OVSDB does not answer.
    pub async fn detach_all(&self, ports: &BTreeSet<Uuid>) -> Result<(), DatabaseError> {
        if !ports.is_empty() {
            self.commit(port::detach(ports)).await?;
        }
        Ok(())
    }

    /// The attachments on a bridge that are not in `valid`.
    ///
    /// # Errors
    /// If OVSDB does not answer.
    pub async fn stale(
        &self,
        bridge: &str,
        valid: &[ValidAttachment],
    ) -> Result<Vec<Stale>, DatabaseError> {
        let mut transaction = Transaction::new();
        let query = AttachmentQuery::add_to(&mut transaction, bridge);
        Ok(query.stale(&self.commit(transaction).await?, valid)?)
    }

    /// The port of an attachment, for CHECK.
    ///
    /// # Errors
    /// If OVSDB does not answer.
    pub async fn port(&self, attachment: &Attachment) -> Result<Option<PortRow>, DatabaseError> {
        let mut transaction = Transaction::new();
        let select = transaction.select(
            "Interface",
            [Condition::equal("name", attachment.host_link())],
            ["external_ids", "error"],
        );
        let committed = self.commit(transaction).await?;
        let Some(row) = committed.rows(select).first() else {
            return Ok(None);
        };
        let text = |key| {
            row.map_value("external_ids", key)
                .map(|value| value.unwrap_or_default().to_owned())
        };
        Ok(Some(PortRow {
            addresses: [text(IP)?, text(IP6)?],
            mac: text(ATTACHED_MAC)?,
            error: row.optional_string("error")?.map(str::to_owned),
        }))
    }

    async fn missing(&self, awaited: Awaited, link: &str, bridge: &str) -> String {
        let what = match awaited {
            Awaited::PortNumber => {
                return format!(
                    "Open vSwitch gave link {link} no port number; is ovs-vswitchd running?"
                );
            }
            Awaited::Ready => format!(
                "the controller has not written external_ids:culvert-ready of Interface {link}"
            ),
        };
        match self.status(bridge).await {
            Err(cause) => format!("{what}: {cause}"),
            Ok(()) => format!("{what}; see the controller's log for this Pod"),
        }
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed, DatabaseError> {
        Ok(self
            .transact(transaction, ANSWER_LIMIT)
            .await?
            .committed()?)
    }

    async fn transact(
        &self,
        transaction: Transaction,
        limit: Duration,
    ) -> Result<Outcome, DatabaseError> {
        within(
            &self.remote,
            limit,
            self.client.transact(DATABASE, transaction),
        )
        .await
    }
}

async fn within<T>(
    remote: &Remote,
    limit: Duration,
    work: impl Future<Output = Result<T, ovsdb_client::Error>>,
) -> Result<T, DatabaseError> {
    match timeout(limit, work).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(DatabaseError::Client {
            remote: remote.clone(),
            source,
        }),
        Err(_) => Err(DatabaseError::Silent(remote.clone())),
    }
}
