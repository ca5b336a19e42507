// SPDX-License-Identifier: Apache-2.0
//! Sessions against a real ovs-vswitchd with the dummy datapath.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use controller::switch::config::session_config;
use controller::switch::link::Link;
use openflow_session::{CloseReason, Config, Event, Generation, Layer, LayerState, Reconciled};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use crate::figure::{Figures, median};
use crate::rivals::{self, Raw};
use crate::sample;
use crate::tap::Tap;
use crate::vswitchd::Vswitchd;

const POLICIES: u32 = 50_000;
const POD_FLOWS: u32 = 50_000;
const ROUNDS: usize = 7;
const RECONNECTS: usize = 31;

/// What a session is to bring about.
struct Wanted {
    config: Arc<Config>,
    cluster: LayerState,
    node: LayerState,
}

pub(crate) async fn report(figures: &mut Figures) {
    let wanted = Wanted {
        config: Arc::new(session_config()),
        cluster: sample::layer((0..POLICIES).map(sample::policy)),
        node: sample::layer((0..POD_FLOWS).map(sample::pod)),
    };
    let switch = Vswitchd::start();
    sync(&switch, &wanted, figures).await;
    reconnect(&switch, &wanted, figures).await;
}

async fn sync(switch: &Vswitchd, wanted: &Wanted, figures: &mut Figures) {
    // The first sync is recorded, and not counted.
    let (tap, written) = Tap::new(connect(switch));
    let (_, found) = converge(tap, wanted).await;
    assert_eq!(found.flows_added, wanted.flows());
    let raw = Raw::new(&written.frames());
    let bytes = wanted
        .cluster
        .flows()
        .iter()
        .chain(wanted.node.flows().iter());
    let bytes: usize = bytes.map(|(_, flow)| flow.bytes().len()).sum();
    println!(
        "{} flows, {} bytes each on the average; {} bundles of {:.1} MB to {}",
        wanted.flows(),
        bytes / wanted.flows(),
        raw.bundles(),
        raw.len() as f64 / 1e6,
        version(),
    );
    let folder = tempfile::tempdir().expect("a directory");
    let text = folder.path().join("flows.txt");
    let flows = [&wanted.cluster, &wanted.node];
    let flows = flows.iter().flat_map(|layer| layer.flows().iter());
    rivals::write_text(&text, flows.map(|(_, flow)| flow.flow().clone()))
        .expect("a directory of ours");

    let mut seconds: [Vec<f64>; 3] = Default::default();
    for round in 0..ROUNDS {
        for turn in 0..3 {
            // Who goes first changes from round to round.
            let who = (round + turn) % 3;
            switch.ofctl(&["del-flows", "br0"]);
            let took = match who {
                0 => {
                    let start = Instant::now();
                    converge(connect(switch), wanted).await;
                    start.elapsed()
                }
                1 => tokio::task::block_in_place(|| raw.send(switch)),
                _ => tokio::task::block_in_place(|| rivals::ofctl(switch, &text)),
            };
            let markers = if who == 2 { 0 } else { 2 };
            let held = format!("flow_count={}", wanted.flows() + markers);
            let aggregate = switch.ofctl(&["dump-aggregate", "br0"]);
            assert!(aggregate.contains(&held), "{aggregate}");
            if let Some(taken) = seconds.get_mut(who) {
                taken.push(took.as_secs_f64());
            }
        }
    }
    println!(
        "\nan empty switch is synced, thousands of flows per second, median and best of {ROUNDS}:"
    );
    let names = [
        "a session, from the connection on",
        "its bundles as bytes, written without delay",
        "ovs-ofctl --bundle add-flows",
    ];
    let mut rates = [0.0; 3];
    for ((name, seconds), rate) in names.iter().zip(&mut seconds).zip(&mut rates) {
        let per_second = |seconds: f64| wanted.flows() as f64 / seconds / 1e3;
        *rate = per_second(median(seconds));
        let best = per_second(seconds.first().copied().unwrap_or_default());
        println!("  {name:<44}{rate:>8.1}{best:>8.1}");
    }
    let [ours, raw, ofctl] = rates;
    figures.at_least("sync_of_raw_bytes", ours / raw, "x", 0.9);
    figures.at_least("sync_of_ovs_ofctl", ours / ofctl, "x", 1.2);
}

async fn reconnect(switch: &Vswitchd, wanted: &Wanted, figures: &mut Figures) {
    switch.ofctl(&["del-flows", "br0"]);
    converge(connect(switch), wanted).await;
    let (mut milliseconds, mut mods) = (Vec::new(), 0);
    for _ in 0..RECONNECTS {
        let start = Instant::now();
        let (tap, written) = Tap::new(connect(switch));
        let (_, found) = converge(tap, wanted).await;
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
        assert!(found.by_digest);
        mods += written.mods();
    }
    let middle = median(&mut milliseconds);
    let worst = milliseconds.last().copied().unwrap_or_default();
    println!(
        "\na reconnection to that switch, all acknowledged after: median {middle:.2} ms, worst {worst:.2} ms of {RECONNECTS}"
    );
    figures.at_most("sync_reconnect", middle, "ms", 10.0);
    figures.at_most("sync_reconnect_mods", mods as f64, "messages", 0.0);
}

impl Wanted {
    fn flows(&self) -> usize {
        self.cluster.flows().len() + self.node.flows().len()
    }
}

/// What Open vSwitch says of itself.
fn version() -> String {
    let output = Command::new("ovs-vswitchd").arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

fn connect(switch: &Vswitchd) -> UnixStream {
    let stream = switch.connect();
    stream.set_nonblocking(true).expect("a socket");
    UnixStream::from_std(stream).expect("a socket")
}

/// Drives a session on a task of its own, as the controller does, until everything is acknowledged.
async fn converge<S>(stream: S, wanted: &Wanted) -> (Generation, Reconciled)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let mut link = Link::new(stream, Arc::clone(&wanted.config));
    let now = Instant::now();
    let session = link.session();
    session.set_wanted(Layer::Cluster, wanted.cluster.clone(), Generation(1), now);
    session.set_wanted(Layer::Node, wanted.node.clone(), Generation(1), now);
    let driven = tokio::spawn(async move {
        let mut found = Reconciled::default();
        loop {
            while let Some(event) = link.session().poll_event() {
                match event {
                    Event::Reconciled(report) => found = report,
                    Event::Acked {
                        generation,
                        rejected,
                    } => {
                        assert_eq!(rejected, 0);
                        return Ok((generation, found));
                    }
                    Event::Closed(reason) => return Err(reason),
                    _ => {}
                }
            }
            if let Err(error) = link.turn().await {
                return Err(CloseReason::Malformed(error.to_string()));
            }
        }
    });
    let patience = Duration::from_secs(120);
    let outcome = tokio::time::timeout(patience, driven).await;
    let outcome = outcome.expect("a sync takes seconds").expect("no panic");
    outcome.expect("the switch takes every flow")
}
