// SPDX-License-Identifier: Apache-2.0
//! Accepts the OpenFlow connections that switches dial.

use std::sync::Arc;
use std::time::Duration;

use openflow_session::Config;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::driver::drive;
use crate::listen::accept_loop;
use crate::task::Handle;

/// Accepts switches until `shutdown`. Each is audited once in `audit_interval`, and its counters are
/// read once in `counter_interval`; `None`: never.
pub async fn serve(
    listener: TcpListener,
    config: Arc<Config>,
    audit_interval: Duration,
    counter_interval: Option<Duration>,
    control: Handle,
    shutdown: CancellationToken,
) {
    accept_loop(listener, "openflow", &shutdown, |stream, remote| {
        let (config, control) = (Arc::clone(&config), control.clone());
        async move {
            drive(
                stream,
                remote,
                config,
                audit_interval,
                counter_interval,
                &control,
            )
            .await
        }
    })
    .await;
}
