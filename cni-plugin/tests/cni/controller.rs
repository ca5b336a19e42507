// SPDX-License-Identifier: Apache-2.0
//! A stand-in for the controller: writes `culvert-ready`, as soon as a port has a number.

use std::collections::BTreeSet;
use std::thread::JoinHandle;

use anyhow::Result;
use ovsdb_client::{
    Client, Condition, Datum, MonitorRequest, Mutation, Replica, Transaction, Uuid,
};
use tokio::sync::oneshot;

/// What the stand-in writes into the `external_ids` of each Pod's Interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word(pub(crate) &'static str, pub(crate) &'static str);

/// Runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Controller {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Controller {
    /// A controller that accepts every Pod.
    pub(crate) fn start(ovsdb: &str) -> Self {
        Self::saying(ovsdb, Word("culvert-ready", "true"))
    }

    /// A controller that says this of every Pod.
    pub(crate) fn saying(ovsdb: &str, word: Word) -> Self {
        let (stop, stopped) = oneshot::channel();
        let ovsdb = ovsdb.to_owned();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                tokio::select! {
                    result = control(&ovsdb, word) => result,
                    _ = stopped => Ok(()),
                }
            })
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        drop(self.stop.take());
        let result = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            result
                .unwrap()
                .unwrap()
                .expect("the stand-in controller works");
        }
    }
}

async fn control(ovsdb: &str, Word(key, value): Word) -> Result<()> {
    let client = Client::connect(&ovsdb.parse()?).await?;
    let request = MonitorRequest::new().table("Interface", ["ofport", "external_ids"]);
    let mut monitor = client.monitor("Open_vSwitch", request).await?;
    loop {
        let mut transaction = Transaction::new();
        for interface in awaiting(monitor.replica(), key) {
            transaction.mutate(
                "Interface",
                [Condition::equal("_uuid", interface)],
                [Mutation::insert("external_ids", Datum::map([(key, value)]))],
            );
        }
        if !transaction.operations().is_empty() {
            client
                .transact("Open_vSwitch", transaction)
                .await?
                .committed()?;
        }
        monitor.changed().await?;
    }
}

fn awaiting(replica: &Replica, key: &str) -> BTreeSet<Uuid> {
    replica
        .rows("Interface")
        .filter(|row| {
            let ids = row.map("external_ids").unwrap();
            let has_port = row
                .optional_integer("ofport")
                .unwrap()
                .is_some_and(|port| port > 0);
            has_port && ids.contains_key("culvert-container-id") && !ids.contains_key(key)
        })
        .map(|row| row.uuid())
        .collect()
}
