// SPDX-License-Identifier: Apache-2.0
//! `culvert-agent uninstall`: takes back what an agent has made on a node.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use ovsdb_client::{Client, Outcome, Remote};
use tokio::time::timeout;

use crate::desired::{self, DATABASE, GATEWAY};
use crate::underlay::Underlay;
use crate::{host, kernel, nft};

const LIMIT: Duration = Duration::from_secs(30);

/// Takes back what an agent has made on this node: the bridge with its ports and flows, the managers and
/// the name of the node in OVSDB, the routes with protocol 193, and the table `inet culvert` of nftables.
///
/// Stop the agent first. Forwarding of packets stays switched on. Running it twice does no harm.
#[derive(Clone, Debug, Parser)]
#[command(name = "culvert-agent uninstall")]
pub struct Uninstall {
    /// Where ovsdb-server listens
    #[arg(
        long,
        default_value = "unix:/run/openvswitch/db.sock",
        env = "CULVERT_OVSDB"
    )]
    ovsdb: Remote,

    /// The integration bridge
    #[arg(long, default_value = "br-int")]
    bridge: String,

    /// Even if Pods have their ports on the bridge; they lose their network
    #[arg(long)]
    force: bool,
}

impl Uninstall {
    /// Does it. What cannot be done does not keep the rest from being done, except that nothing is when
    /// Pods are in the way.
    ///
    /// # Errors
    /// If anything is left.
    pub async fn run(&self) -> Result<()> {
        let removed = timeout(LIMIT, self.remove_from_ovsdb()).await;
        let removed = removed.context("no answer from ovsdb-server")?;
        if let Err(error) = &removed
            && error.is::<desired::RemovalError>()
        {
            return removed;
        }
        let outcomes = [
            removed,
            remove_routes().await.context("routes stay"),
            nft::remove().await.context("the table of nftables stays"),
        ];
        let errors: Vec<_> = outcomes
            .into_iter()
            .filter_map(Result::err)
            .map(|error| format!("{error:#}"))
            .collect();
        if errors.is_empty() {
            return Ok(());
        }
        bail!("{}", errors.join("; "))
    }

    async fn remove_from_ovsdb(&self) -> Result<()> {
        let client = Client::connect(&self.ovsdb).await;
        let client = client.context("is ovsdb-server running on this node?")?;
        let monitor = client.monitor(DATABASE, desired::monitor_request()).await?;
        let plan = desired::removal(&self.bridge, self.force, monitor.replica())?;
        if plan.is_empty() {
            return Ok(());
        }
        match client.transact(DATABASE, plan.transaction).await? {
            Outcome::Committed(_) => tracing::info!(changes = plan.changes.join(", "), "changed"),
            Outcome::Failed(failure) => bail!("OVSDB refused: {failure}"),
        }
        Ok(())
    }
}

async fn remove_routes() -> Result<()> {
    let underlay = Underlay::open()?;
    let handle = underlay.handle();
    // vswitchd takes the port away, and the routes with it, but may not run.
    let Some((index, mut present)) = kernel::present(handle, GATEWAY).await? else {
        return Ok(());
    };
    // It may be on its way out; taking it up would be no removal.
    present.up = true;
    let plan = host::plan(&BTreeSet::new(), &present);
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    if let Err(error) = kernel::carry_out(handle, index, &plan, any).await
        && kernel::present(handle, GATEWAY).await?.is_some()
    {
        return Err(error.into());
    }
    Ok(())
}
