// SPDX-License-Identifier: Apache-2.0
//! Accepts TCP connections, with a limit, until shutdown.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections of one listener; more wait until others end.
const MAX_CONNECTIONS: usize = 10_000;

/// When the operating system cannot accept, it gets time to recover.
const PAUSE: Duration = Duration::from_millis(200);

/// Accepts connections and runs `serve` on each; returns after `shutdown`, when all have ended.
pub(crate) async fn accept_loop<F, Served>(
    listener: TcpListener,
    what: &'static str,
    shutdown: &CancellationToken,
    serve: F,
) where
    F: Fn(TcpStream, String) -> Served,
    Served: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let tasks = TaskTracker::new();
    loop {
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = shutdown.cancelled() => break,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(listener = what, %error, "a connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(listener = what, %remote, %error, "TCP_NODELAY cannot be set");
        }
        let served = serve(stream, remote.to_string());
        let shutdown = shutdown.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = served => {}
                () = shutdown.cancelled() => {}
            }
            drop(permit);
        });
    }
    tasks.close();
    tasks.wait().await;
}
