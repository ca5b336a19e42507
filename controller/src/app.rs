// SPDX-License-Identifier: Apache-2.0
//! All wiring: which tasks there are, and what goes between them.
//!
//! ```text
//!  thread `source` --Update (4)--> feed -----------+
//!                                                  | Input::Source
//!  machine::listener, one task per machine         v
//!     OVSDB <--> follower --Input (1024 in all)--> control task --Effect--> each peer's channel
//!                    ^------- Facts (2) --------- |  ^      |
//!  switch::listener, one task per switch          |  |      |
//!     OpenFlow <--> driver ---Input ------------->|  |      |
//!                    ^------- Command (16) ----------|------+
//!  api::listener, axum ------ Question ------------->+
//! ```
//!
//! The control task owns all state; nothing is shared. Who fills its channel waits, but a driver goes
//! on serving its socket meanwhile. The control task never waits: a peer whose channel is full is
//! given up. Every task ends with the shutdown token; switches are left as they are.

use std::net::SocketAddr;
use std::sync::Arc;

use policy_compiler::{Compiler, Config};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api;
use crate::args::{Args, Source};
use crate::control::{Control, Input};
use crate::source::{Update, WatchError, watch};
use crate::switch::config::session_config;
use crate::task::Handle;
use crate::{machine, secret, switch, task};

/// Updates of the source that wait for the control task; the thread that reads waits then.
const UPDATES: usize = 4;

/// The controller cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The secret.
    #[error(transparent)]
    Secret(#[from] secret::SecretError),
    /// The source.
    #[error(transparent)]
    Source(#[from] WatchError),
    /// The API.
    #[error(transparent)]
    Api(#[from] api::listener::ListenError),
    /// A listening address.
    #[error("{option} {address}: {source}")]
    Listen {
        /// Which option.
        option: &'static str,
        /// What was given.
        address: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
}

/// A controller that runs.
pub struct Running {
    /// The way to its control task.
    pub handle: Handle,
    /// Where switches connect.
    pub openflow: SocketAddr,
    /// Where machines connect.
    pub ovsdb: SocketAddr,
    tasks: TaskTracker,
}

impl Running {
    /// Waits until every task has ended, which is soon after `shutdown`.
    pub async fn ended(self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Runs until `shutdown`, with the source that `args` name.
///
/// # Errors
/// Something cannot be started; nothing runs then.
pub async fn run(args: Args, shutdown: CancellationToken) -> Result<(), StartError> {
    let (sender, updates) = mpsc::channel(UPDATES);
    let Source::Directory(root) = &args.source;
    watch(root.clone(), sender)?;
    start(args, updates, shutdown).await?.ended().await;
    Ok(())
}

/// Starts everything but the source, whose states come from `updates`.
///
/// # Errors
/// Something cannot be started; nothing runs then.
pub async fn start(
    args: Args,
    updates: mpsc::Receiver<Update>,
    shutdown: CancellationToken,
) -> Result<Running, StartError> {
    let cluster_secret = secret::load(args.cluster_secret_file.as_deref())?;
    let (openflow, openflow_address) = listen("--openflow-listen", args.openflow_listen).await?;
    let (ovsdb, ovsdb_address) = listen("--ovsdb-listen", args.ovsdb_listen).await?;
    let mut apis = Vec::new();
    for address in &args.api {
        apis.push(api::listener::bind(address, args.api_insecure_bind).await?);
    }
    let Source::Directory(root) = &args.source;
    let location = format!("dir:{}", root.display());

    let compiler = Compiler::with_services(&Config { cluster_secret }, args.service_settings());
    let control = Control::with_compiler(compiler, &args.bridge, location);
    let (control_task, handle) = task::new(control);
    let tasks = TaskTracker::new();
    tasks.spawn(control_task.run(shutdown.clone()));
    tasks.spawn(machine::listener::serve(
        ovsdb,
        args.bridge.clone(),
        handle.clone(),
        shutdown.clone(),
    ));
    let config = Arc::new(session_config());
    tasks.spawn(switch::listener::serve(
        openflow,
        config,
        args.audit_interval,
        args.counter_interval(),
        handle.clone(),
        shutdown.clone(),
    ));
    for listener in apis {
        let (router, shutdown) = (api::router(handle.clone()), shutdown.clone());
        tasks.spawn(async move {
            if let Err(error) = listener.serve(router, shutdown).await {
                tracing::error!(%error, "the API has ended");
            }
        });
    }
    tasks.spawn(feed(updates, handle.clone(), shutdown));
    Ok(Running {
        handle,
        openflow: openflow_address,
        ovsdb: ovsdb_address,
        tasks,
    })
}

/// Hands what the source says to the control task.
async fn feed(mut updates: mpsc::Receiver<Update>, handle: Handle, shutdown: CancellationToken) {
    loop {
        let update = tokio::select! {
            update = updates.recv() => update,
            () = shutdown.cancelled() => return,
        };
        let Some(update) = update else { return };
        handle.send(Input::Source(Box::new(update))).await;
    }
}

async fn listen(
    option: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let error = |source| StartError::Listen {
        option,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(error)?;
    let local = listener.local_addr().map_err(error)?;
    tracing::info!(option, address = %local, "listening");
    if !local.ip().is_loopback() {
        tracing::warn!(option, address = %local, "not encrypted and not authenticated; only trusted machines may reach it");
    }
    Ok((listener, local))
}
