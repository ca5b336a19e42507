// SPDX-License-Identifier: Apache-2.0
//! A whole controller, without files, and its ten nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use clap::Parser as _;
use controller::app::{self, Running};
use controller::args::Args;
use controller::control::{ConnectionId, Control, Input};
use controller::machine::{Bridge, Claim, MachineView, PodInterface};
use controller::source::Update;
use openflow_codec::PortNo;
use ovsdb_client::Uuid;
use policy_compiler::Change;
use policy_compiler::model::Addresses;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::crowd::Crowd;
use crate::pods::{NODES, PODS, PodNumber, node_name};
use crate::real::Real;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Bed {
    running: Running,
    updates: mpsc::Sender<Update>,
    shutdown: CancellationToken,
    _folder: TempDir,
}

impl Bed {
    /// A controller that knows nothing.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let api = format!("unix:{}", folder.path().join("api.sock").display());
        let any = "127.0.0.1:0";
        let args = Args::try_parse_from([
            "controller",
            "--source",
            "dir:none",
            "--openflow-listen",
            any,
            "--ovsdb-listen",
            any,
            "--api",
            &api,
        ]);
        let (updates, receiver) = mpsc::channel(4);
        let shutdown = CancellationToken::new();
        let started = app::start(args.expect("arguments"), receiver, shutdown.clone());
        Self {
            running: started.await.expect("a controller"),
            updates,
            shutdown,
            _folder: folder,
        }
    }

    /// Ends it; switches keep what they have.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.ended().await;
    }

    /// Every node dials in.
    pub(crate) async fn dial(&self, real: &Real, crowd: &mut Crowd) {
        for node in 1..NODES {
            self.running.handle.send(machine(node)).await;
        }
        crowd.dial(self.running.openflow);
        real.dial(self.running.openflow, self.running.ovsdb);
    }

    /// Hands changes over, as a source does.
    pub(crate) async fn feed(&self, changes: Vec<Change>) {
        let status = api_types::Source {
            loaded: true,
            ..api_types::Source::default()
        };
        let update = Update {
            changes,
            status,
            places: Vec::new(),
        };
        assert!(
            self.updates.send(update).await.is_ok(),
            "the controller runs"
        );
    }

    /// What `question` finds out.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Control) -> T + Send + 'static,
    ) -> T {
        let answer = self.running.handle.ask(question).await;
        answer.expect("the controller runs")
    }

    /// Asks again and again.
    pub(crate) async fn until(
        &self,
        what: &str,
        condition: impl Fn(&Control) -> bool + Copy + Send + 'static,
    ) {
        let end = Instant::now() + PATIENCE;
        while !self.ask(condition).await {
            assert!(Instant::now() < end, "it has not come to this: {what}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until every node is connected, whether it may be programmed or not.
    pub(crate) async fn until_connected(&self) {
        self.until("every node is connected", |control| {
            let nodes = control.nodes();
            let all = NODES as usize;
            nodes.nodes.len() == all && nodes.unclaimed_switches.len() == all
        })
        .await;
    }

    /// Waits until every switch holds everything, and has said so.
    pub(crate) async fn until_programmed(&self) {
        self.until("every node is programmed", |control| {
            let programmed =
                |node: &api_types::Node| node.state == api_types::NodeState::Programmed;
            control.is_settled()
                && control
                    .nodes()
                    .nodes
                    .iter()
                    .filter(|n| programmed(n))
                    .count()
                    == NODES as usize
        })
        .await;
    }
}

/// What the OVSDB of a simulated node says: its Pods have been ready for long.
fn machine(node: u32) -> Input {
    let pods = (0..PODS).map(PodNumber).filter(|pod| pod.node() == node);
    let interfaces: BTreeMap<String, PodInterface> =
        pods.map(|pod| (pod.interface(), interface(pod))).collect();
    let view = MachineView {
        node: Some(node_name(node)),
        bridge: Some(Bridge {
            row: Uuid::from_bits(u128::from(node)),
            datapath_id: Some(Crowd::datapath_id(node)),
            controllers: BTreeSet::new(),
            agent: None,
            encap: None,
            pod_cidrs: None,
            cluster_cidrs: None,
            services: Default::default(),
            peers: None,
            peers_resolved: BTreeSet::new(),
        }),
        tunnel_port: Some(PortNo(1)),
        interfaces,
        ..MachineView::default()
    };
    Input::MachineView {
        // Apart from those that the listener gives.
        connection: ConnectionId(u64::MAX - u64::from(node)),
        remote: "bench".to_owned(),
        view: Box::new(view),
    }
}

fn interface(pod: PodNumber) -> PodInterface {
    let (namespace, name) = pod
        .iface_id()
        .split_once('/')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("two names");
    PodInterface {
        row: Uuid::from_bits(u128::from(pod.0) + 1_000),
        claim: Claim::Pod {
            namespace,
            name,
            uid: None,
            port: PortNo(pod.0 / NODES + 2),
            addresses: Addresses::new(Some(pod.address()), None).expect("an address"),
            mac: pod.mac().parse().expect("a link-layer address"),
        },
        ready: Some("true".to_owned()),
        error: None,
    }
}
