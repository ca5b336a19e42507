// SPDX-License-Identifier: Apache-2.0
//! `culvert-agent`: runs until SIGTERM or SIGINT, and leaves everything in place until
//! `culvert-agent uninstall`.

use anyhow::{Context as _, Result};
use clap::Parser as _;
use node_agent::agent::Agent;
use node_agent::args::{Args, LogFormat};
use node_agent::reject::{Counts, connection};
use node_agent::telemetry;
use node_agent::uninstall::Uninstall;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut words = std::env::args_os().collect::<Vec<_>>();
    if words.get(1).is_some_and(|word| word == "uninstall") {
        words.remove(1);
        let uninstall = Uninstall::parse_from(words);
        telemetry::start(LogFormat::Text);
        return uninstall.run().await;
    }
    let args = Args::parse();
    telemetry::start(args.log_format());
    let config = args.into_config()?;
    tracing::info!(
        node = config.node_name,
        version = config.version,
        bridge = config.bridge,
        encap_ip = %config.encap_ip,
        datapath = %config.datapath,
        "agent starts"
    );
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    let (rundir, bridge) = (config.ovs_rundir.clone(), config.bridge.clone());
    let refused = Counts::default();
    let mut agent = Agent::new(config)?;
    tokio::select! {
        () = agent.run() => {}
        () = connection::keep(&rundir, &bridge, &refused) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("agent ends; the node stays as it is");
    Ok(())
}
