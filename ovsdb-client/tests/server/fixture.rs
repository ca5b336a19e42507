// SPDX-License-Identifier: Apache-2.0
//! A real ovsdb-server with an empty Open_vSwitch database, in a directory of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ovsdb_client::value::Uuid;
use ovsdb_client::{Client, Condition, Datum, Mutation, Remote, Row, Transaction};

pub(crate) const DB: &str = "Open_vSwitch";

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running server; killed by its process id on drop.
pub(crate) struct Server {
    process: Child,
    directory: tempfile::TempDir,
}

impl Server {
    /// Starts a server on a unix socket and on `remotes`, and waits until it serves.
    pub(crate) async fn start(remotes: &[String]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("conf.db");
        let created = Command::new("ovsdb-tool")
            .args(["create".as_ref(), database.as_path(), Path::new(SCHEMA)])
            .status()
            .expect("ovsdb-tool is needed: install openvswitch-switch");
        assert!(
            created.success(),
            "ovsdb-tool create failed; is {SCHEMA} installed?"
        );
        let socket = directory.path().join("db.sock");
        let mut process = Command::new("/usr/sbin/ovsdb-server")
            .arg(format!("--remote=punix:{}", socket.display()))
            .args(remotes.iter().map(|remote| format!("--remote={remote}")))
            .arg(format!(
                "--unixctl={}",
                directory.path().join("ctl").display()
            ))
            .args(["--no-chdir", "--verbose=off"])
            .arg(&database)
            .env("OVS_RUNDIR", directory.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("ovsdb-server is needed: install openvswitch-switch");
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::net::UnixStream::connect(&socket).await.is_err() {
            assert!(
                tokio::time::Instant::now() < deadline,
                "ovsdb-server does not serve"
            );
            assert_eq!(process.try_wait().unwrap(), None, "ovsdb-server has exited");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self { process, directory }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("db.sock")
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&Remote::Unix(self.socket())).await.unwrap()
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Every row of some columns of a table, as `ovsdb-client dump` reads them.
    pub(crate) fn dump(
        &self,
        table: &str,
        columns: &[&str],
    ) -> BTreeMap<Uuid, BTreeMap<Arc<str>, Datum>> {
        let output = Command::new("ovsdb-client")
            .args(["dump", "--format=json"])
            .arg(format!("unix:{}", self.socket().display()))
            .args([DB, table, "_uuid"])
            .args(columns)
            .output()
            .expect("ovsdb-client is needed: install openvswitch-common");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let dump: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let headings = dump["headings"].as_array().unwrap();
        let rows = dump["data"].as_array().unwrap().iter().map(|cells| {
            let cells = cells.as_array().unwrap();
            let mut columns: BTreeMap<Arc<str>, Datum> = headings
                .iter()
                .zip(cells)
                .map(|(name, cell)| {
                    (
                        name.as_str().unwrap().into(),
                        Datum::from_json(cell.clone()).unwrap(),
                    )
                })
                .collect();
            let uuid = columns.remove("_uuid").unwrap();
            (uuid.to_string()[9..45].parse().unwrap(), columns)
        });
        rows.collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Ends the test if `future` takes too long.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("took too long")
}

/// The root row and the bridge, as an agent makes them.
pub(crate) async fn create_bridge(client: &Client, name: &str) {
    let mut create = Transaction::new();
    let bridge = create.insert(
        "Bridge",
        [
            ("name", Datum::from(name)),
            ("fail_mode", Datum::from("secure")),
        ],
    );
    create.insert("Open_vSwitch", [("bridges", Datum::from(&bridge))]);
    client
        .transact(DB, create)
        .await
        .unwrap()
        .committed()
        .unwrap();
}

/// All rows of a table with the given columns.
pub(crate) async fn select(client: &Client, table: &str, columns: &[&str]) -> Vec<Row> {
    let mut read = Transaction::new();
    let rows = read.select(table, [], columns.iter().copied());
    client
        .transact(DB, read)
        .await
        .unwrap()
        .committed()
        .unwrap()
        .rows(rows)
        .to_vec()
}

/// Counts the configuration up by one, as `ovs-vsctl` does.
pub(crate) fn bump(transaction: &mut Transaction) {
    let anywhere: [Condition; 0] = [];
    transaction.mutate("Open_vSwitch", anywhere, [Mutation::add("next_cfg", 1)]);
}
