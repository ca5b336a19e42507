// SPDX-License-Identifier: Apache-2.0
//! Entry point of `culvert-controller`.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use controller::args::Args;
use controller::{app, telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let args = Args::parse();
    telemetry::start(args.log_format);
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "cannot start");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    // At least two, so that a long compilation on one leaves the other for echoes.
    let workers = std::thread::available_parallelism().map_or(2, |count| count.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
        let token = shutdown.clone();
        let waiter = tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("shutting down; switches keep what they have");
            token.cancel();
        });
        let outcome = app::run(args, shutdown).await;
        waiter.abort();
        Ok(outcome?)
    })
}
