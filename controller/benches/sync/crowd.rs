// SPDX-License-Identifier: Apache-2.0
//! A thousand simulated switches, connected to a whole controller by TCP, learn of one change.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use controller::control::{ConnectionId, Control, Input};
use controller::machine::{Bridge, MachineView};
use controller::source::Update;
use controller::switch::{config::session_config, listener};
use controller::task::{self, Handle};
use flow_sim::Switch;
use manifests::{Catalog, FileText, Syntax};
use openflow_codec::{DatapathId, PortNo};
use ovsdb_client::Uuid;
use policy_compiler::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::figure::{Figures, median};

const SWITCHES: u64 = 1_000;
const CHANGES: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn report(figures: &mut Figures) {
    let control = Control::new(
        &Config {
            cluster_secret: [7; 32],
        },
        "br-int",
        "dir:bench",
    );
    let (control_task, handle) = task::new(control);
    let shutdown = CancellationToken::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("loopback");
    tokio::spawn(control_task.run(shutdown.clone()));
    tokio::spawn(listener::serve(
        listener,
        Arc::new(session_config()),
        Duration::from_secs(600),
        None,
        handle.clone(),
        shutdown.clone(),
    ));
    let mut source = Source::default();
    handle.send(source.update("nodes.yaml", nodes())).await;
    for number in 1..=SWITCHES {
        handle.send(machine(number)).await;
        tokio::spawn(simulate(number, address));
    }
    until(&handle, "all switches are programmed", |control| {
        control.status().nodes.programmed == SWITCHES as usize
    })
    .await;

    let (mut milliseconds, mut encoded) = (Vec::new(), 0);
    for number in 1..=CHANGES {
        let before = counters(&handle).await;
        let input = source.update(&format!("service-{number}.yaml"), service(number));
        let start = Instant::now();
        handle.send(input).await;
        until(&handle, "all switches have acknowledged", move |control| {
            control.is_settled() && control.counters().batches > before.batches
        })
        .await;
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
        let after = counters(&handle).await;
        assert_eq!(after.mods_sent - before.mods_sent, 2 * SWITCHES);
        encoded += after.flows_encoded - before.flows_encoded;
    }
    shutdown.cancel();
    let middle = median(&mut milliseconds);
    let worst = milliseconds.last().copied().unwrap_or_default();
    println!(
        "\na Service is added on {SWITCHES} switches, all acknowledged after: median {middle:.0} ms, worst {worst:.0} ms of {CHANGES}"
    );
    let each = encoded as f64 / CHANGES as f64;
    figures.at_most("sync_crowd_acknowledged", worst, "ms", 1_000.0);
    figures.at_most("sync_crowd_encoded", each, "encodings of one flow", 1.0);
}

/// Manifests without files.
#[derive(Default)]
struct Source {
    catalog: Catalog,
}

impl Source {
    fn update(&mut self, file: &str, text: String) -> Input {
        let file = (file.to_owned(), FileText::Text(text, Syntax::Yaml));
        let changes = self.catalog.update([file]);
        let status = api_types::Source {
            loaded: true,
            objects: self.catalog.objects(),
            ..api_types::Source::default()
        };
        Input::Source(Box::new(Update {
            changes,
            status,
            places: Vec::new(),
        }))
    }
}

fn nodes() -> String {
    let mut text = String::new();
    for number in 1..=SWITCHES {
        writeln!(
            text,
            "---\napiVersion: v1\nkind: Node\nmetadata: {{name: node-{number}}}"
        )
        .expect("a string");
    }
    text
}

/// One flow and one group on every switch.
fn service(number: usize) -> String {
    format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: web-{number}, namespace: shop}}
spec:
  clusterIP: 10.96.0.{number}
  clusterIPs: [10.96.0.{number}]
  ports: [{{name: http, port: 80, protocol: TCP, targetPort: 8080}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web-{number}-1, namespace: shop, labels: {{kubernetes.io/service-name: web-{number}}}}}
addressType: IPv4
endpoints: [{{addresses: [10.10.1.2], conditions: {{ready: true}}}}]
ports: [{{name: http, port: 8080, protocol: TCP}}]
"
    )
}

/// What the OVSDB of a machine says.
fn machine(number: u64) -> Input {
    let view = MachineView {
        node: Some(format!("node-{number}")),
        bridge: Some(Bridge {
            row: Uuid::from_bits(u128::from(number)),
            datapath_id: Some(DatapathId(number)),
            controllers: BTreeSet::from(["tcp:127.0.0.1:6653".to_owned()]),
            agent: None,
            encap: None,
            pod_cidrs: None,
            cluster_cidrs: None,
            services: Default::default(),
            peers: None,
            peers_resolved: BTreeSet::new(),
        }),
        tunnel_port: Some(PortNo(1)),
        ..MachineView::default()
    };
    Input::MachineView {
        // Apart from those that the listener gives.
        connection: ConnectionId(u64::MAX - number),
        remote: "bench".to_owned(),
        view: Box::new(view),
    }
}

/// A switch that dials and answers until it is hung up on.
async fn simulate(number: u64, address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.expect("loopback");
    stream.set_nodelay(true).expect("a socket");
    let mut switch = Switch::new(DatapathId(number));
    let connection = switch.connect(Duration::ZERO);
    let (mut buffer, mut out) = (vec![0; 1 << 14], Vec::new());
    loop {
        out.clear();
        while let Some(bytes) = switch.poll_transmit(connection, Duration::ZERO) {
            out.extend_from_slice(&bytes);
        }
        if stream.write_all(&out).await.is_err() {
            return;
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                switch.receive(connection, bytes, Duration::ZERO);
            }
        }
    }
}

async fn counters(handle: &Handle) -> controller::control::Counters {
    let answer = handle.ask(|control| control.counters()).await;
    answer.expect("the controller runs")
}

/// Asks the controller again and again.
async fn until(
    handle: &Handle,
    what: &str,
    condition: impl Fn(&Control) -> bool + Copy + Send + 'static,
) {
    let end = Instant::now() + PATIENCE;
    while !handle.ask(condition).await.expect("the controller runs") {
        assert!(Instant::now() < end, "it has not come to this: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
