// SPDX-License-Identifier: Apache-2.0
//! The loop: looks at OVSDB, the underlay and vswitchd, and makes true what is decided.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use ovsdb_client::{Client, Monitor, Outcome, Remote, Replica, RowError};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::complaint::Complaint;
use crate::config::{Config, Datapath};
use crate::desired::{self, DATABASE, DesiredError, Observed, desired};
use crate::health::HealthChecks;
use crate::neighbours::{Keeper, Known};
use crate::nft::Nft;
use crate::ruleset::{TABLE, Wanted};
use crate::told::Told;
use crate::underlay::{Link, Underlay, UnderlayError};
use crate::unixctl::{Unixctl, UnixctlError};
use crate::{host, kernel};

/// The pause before another attempt to reach ovsdb-server, and after a refused transaction.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How long ovsdb-server may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// The shortest time between two transactions: should someone else insist on other settings, the
/// quarrel stays bounded.
const MIN_INTERVAL: Duration = Duration::from_millis(50);

/// How long somebody may take to restore the flows of a restarted vswitchd. `ovs-ctl` restores tens of
/// thousands in a second; when it dies before it says so, the node is cut off.
const RESTORE_LIMIT: Duration = Duration::from_secs(10);

/// The agent of one node.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    underlay: Underlay,
    keeper: Keeper,
    observed: Observed,
    started: Instant,
    next_round: Instant,
    /// Since when vswitchd waits for somebody to restore its flows.
    restoring_since: Option<Instant>,
    /// What the controller had told in the last round.
    told: Told,
    /// The link of the tunnel endpoint in the last round, and its number in OVSDB then: a new
    /// vswitchd makes it anew, and knows no neighbours.
    endpoint: Option<String>,
    endpoint_ifindex: Option<i64>,
    /// The gateway port's number in OVSDB, in the last round.
    gateway_ifindex: Option<i64>,
    nft: Nft,
    health: HealthChecks,
    complaint: Complaint,
    gateway_complaint: Complaint,
    nft_complaint: Complaint,
    health_complaint: Complaint,
}

/// Why a connection to OVSDB is given up.
#[derive(Debug, thiserror::Error)]
enum GivenUp {
    #[error("{0}; is ovsdb-server running on this node?")]
    Client(#[from] ovsdb_client::Error),
    #[error("no answer from ovsdb-server at {0} for {limit} s", limit = ANSWER_LIMIT.as_secs())]
    Silent(Remote),
    #[error("{0}")]
    Desired(#[from] DesiredError),
    #[error("OVSDB: {0}; is this an Open_vSwitch database?")]
    Row(#[from] RowError),
}

/// Why tunnels do not work at present.
#[derive(Debug, thiserror::Error)]
enum NoTunnels {
    #[error("no link has the tunnel endpoint address {0}; assign it, or correct --encap-ip")]
    NoLink(IpAddr),
    #[error(
        "tunnel endpoint address {address} is on link {link}, which is no OVS bridge; with \
         --datapath netdev ovs-vswitchd sends tunnelled packets itself, and needs the address on \
         the internal port of a bridge of datapath_type=netdev that holds the uplink; move it to \
         such a bridge, or use --datapath system"
    )]
    NoBridge { address: IpAddr, link: String },
    #[error(
        "tunnel endpoint address {address} is on bridge {bridge} of datapath_type={found:?}; \
         tunnels of the netdev datapath need a bridge of datapath_type=netdev: ovs-vsctl set \
         Bridge {bridge} datapath_type=netdev"
    )]
    OtherDatapath {
        address: IpAddr,
        bridge: String,
        found: String,
    },
    #[error("{0}")]
    Underlay(#[from] UnderlayError),
    #[error("{0}")]
    Vswitchd(#[from] UnixctlError),
    #[error("OVSDB: {0}")]
    Row(#[from] RowError),
}

/// Why the node's own kernel does not reach Pods at present.
#[derive(Debug, thiserror::Error)]
enum NoGateway {
    #[error(
        "the kernel has no link {name} with the number that vswitchd has reported; is vswitchd \
         running in this network namespace?",
        name = desired::GATEWAY
    )]
    NotThere,
    #[error("{0}")]
    Kernel(#[from] UnderlayError),
}

impl Agent {
    /// An agent that has not looked at anything yet. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If the kernel has no netlink.
    pub fn new(config: Config) -> Result<Self, UnderlayError> {
        let now = Instant::now();
        Ok(Self {
            observed: Observed {
                underlay_mtu: config.underlay_mtu,
                ..Observed::default()
            },
            config,
            underlay: Underlay::open()?,
            keeper: Keeper::default(),
            started: now,
            next_round: now,
            restoring_since: None,
            told: Told::default(),
            endpoint: None,
            endpoint_ifindex: None,
            gateway_ifindex: None,
            nft: Nft::default(),
            health: HealthChecks::default(),
            complaint: Complaint::default(),
            gateway_complaint: Complaint::default(),
            nft_complaint: Complaint::default(),
            health_complaint: Complaint::default(),
        })
    }

    /// Keeps the node as configured, for ever. May be dropped at any moment.
    pub async fn run(&mut self) {
        let mut complaint = Complaint::default();
        loop {
            match self.serve(&mut complaint).await {
                Ok(never) => match never {},
                Err(error) => complaint.warn(&error.to_string()),
            }
            self.health.unhealthy();
            // What has changed meanwhile is seen at once.
            self.next_round = Instant::now();
            sleep(RETRY_PAUSE).await;
        }
    }

    /// Works on one connection until it ends.
    async fn serve(&mut self, complaint: &mut Complaint) -> Result<Infallible, GivenUp> {
        let client = self.answer(Client::connect(&self.config.ovsdb)).await?;
        let request = client.monitor(DATABASE, desired::monitor_request());
        let mut monitor = self.answer(request).await?;
        tracing::info!(ovsdb = %self.config.ovsdb, "connected to OVSDB");
        complaint.clear();
        let mut not_before = Instant::now();
        let mut is_settled = false;
        loop {
            if self.has_news(monitor.replica())? || self.next_round <= Instant::now() {
                let pause = self.round(monitor.replica()).await;
                self.next_round = Instant::now() + pause;
            }
            sleep_until(not_before).await;
            let overdue = self.restore_overdue(monitor.replica())?;
            if self.reconcile(&monitor).await? {
                not_before = Instant::now() + MIN_INTERVAL;
            } else if !is_settled {
                is_settled = true;
                tracing::info!("the node is as configured");
            }
            tokio::select! {
                // A round must see what the last transaction has changed.
                biased;
                changes = monitor.changed() => drop(changes?),
                () = sleep_until(self.next_round.min(overdue.unwrap_or(self.next_round))) => {}
            }
        }
    }

    /// Observes whether vswitchd has waited too long for its flows; answers when it will have.
    fn restore_overdue(&mut self, replica: &Replica) -> Result<Option<Instant>, RowError> {
        let waits = desired::waits_for_restore(replica)?;
        let since = waits.then(|| *self.restoring_since.get_or_insert_with(Instant::now));
        self.restoring_since = since;
        let overdue = since.map(|since| since + RESTORE_LIMIT);
        self.observed.restore_overdue = overdue.is_some_and(|overdue| overdue <= Instant::now());
        Ok(overdue.filter(|_| !self.observed.restore_overdue))
    }

    /// Whether OVSDB says what calls for a round at once: something else from the controller, or a
    /// new vswitchd.
    fn has_news(&mut self, replica: &Replica) -> Result<bool, RowError> {
        let told = Told::read(&self.config, replica)?;
        let ifindex = match &self.endpoint {
            None => None,
            Some(name) => desired::ifindex(replica, name)?,
        };
        let gateway = desired::ifindex(replica, desired::GATEWAY)?;
        if told == self.told && (ifindex, gateway) == (self.endpoint_ifindex, self.gateway_ifindex)
        {
            return Ok(false);
        }
        self.told = told;
        (self.endpoint_ifindex, self.gateway_ifindex) = (ifindex, gateway);
        self.keeper.hurry();
        Ok(true)
    }

    /// Makes OVSDB right; whether anything had to be changed.
    async fn reconcile(&self, monitor: &Monitor) -> Result<bool, GivenUp> {
        let plan = desired(&self.config, &self.observed, monitor.replica())?;
        if plan.is_empty() {
            return Ok(false);
        }
        let transaction = monitor.client().transact(DATABASE, plan.transaction);
        match self.answer(transaction).await? {
            Outcome::Committed(_) => tracing::info!(changes = plan.changes.join(", "), "changed"),
            Outcome::Failed(failure) => {
                tracing::error!(
                    changes = plan.changes.join(", "),
                    "OVSDB refused the changes: {failure}; correct the row it names"
                );
                sleep(RETRY_PAUSE).await;
            }
        }
        Ok(true)
    }

    async fn answer<T>(
        &self,
        work: impl Future<Output = Result<T, ovsdb_client::Error>>,
    ) -> Result<T, GivenUp> {
        match timeout(ANSWER_LIMIT, work).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(GivenUp::Silent(self.config.ovsdb.clone())),
        }
    }

    /// Looks at the underlay, keeps neighbours warm, and says how soon to look again.
    async fn round(&mut self, replica: &Replica) -> Duration {
        // Before the peers are said to be reachable: they must be let in.
        let rules_are_wrong = self.keep_rules().await;
        let tunnels = self.keep_neighbours(replica).await;
        let tunnels = tunnels.map_err(|cause| format!("tunnels cannot be used: {cause}"));
        let tunnels_are_wrong = self.complaint.about(tunnels, "tunnels can be used");
        if tunnels_are_wrong {
            self.keeper.lost();
            self.observed.resolved.clear();
        }
        let host = self.keep_gateway().await;
        let host = host.map_err(|cause| format!("this node does not reach Pods: {cause}"));
        let host_is_wrong = self.gateway_complaint.about(host, "this node reaches Pods");
        let healthy = !(rules_are_wrong || tunnels_are_wrong || host_is_wrong);
        let checks = self.health.keep(&self.told.health_checks, healthy).await;
        self.health_complaint
            .about(checks, "health checks are answered");
        let resolved = &self.observed.resolved;
        let missing = self
            .told
            .peers
            .iter()
            .filter(|peer| !resolved.contains(peer))
            .count();
        let wrong = [rules_are_wrong, host_is_wrong].map(usize::from);
        self.keeper
            .pause(missing + wrong.into_iter().sum::<usize>())
    }

    /// Keeps our table of nftables; whether it is wrong.
    async fn keep_rules(&mut self) -> bool {
        let wanted = Wanted {
            encap_ip: self.config.encap_ip,
            peers: &self.told.peers,
            pod_cidrs: &self.told.pod_cidrs,
            cluster_cidrs: &self.told.cluster_cidrs,
            not_masqueraded: &self.config.not_masqueraded,
            node_ports: &self.told.node_ports,
        };
        let kept = self.nft.keep(&wanted).await;
        if let Ok(true) = kept {
            tracing::info!("put the table {TABLE} of nftables in place");
        }
        let kept = kept.map(drop).map_err(|cause| {
            format!("node ports, masquerading and the guard of the tunnel may not work: {cause}")
        });
        self.nft_complaint.about(kept, "nftables are as configured")
    }

    /// Keeps the way between the node's own kernel and the Pods.
    async fn keep_gateway(&self) -> Result<(), NoGateway> {
        let Some(ifindex) = self.gateway_ifindex else {
            // vswitchd has not made it yet; when it has, OVSDB says so.
            return Ok(());
        };
        let handle = self.underlay.handle();
        let (index, present) = kernel::present(handle, desired::GATEWAY)
            .await?
            .filter(|(index, _)| i64::from(*index) == ifindex)
            .ok_or(NoGateway::NotThere)?;
        if kernel::allow_forwarding()? {
            tracing::info!("let the kernel forward packets");
        }
        let own = self.underlay.addresses().await?;
        let plan = host::plan(&host::networks(&self.told, &own), &present);
        if plan.is_empty() {
            return Ok(());
        }
        kernel::carry_out(handle, index, &plan, self.config.encap_ip).await?;
        tracing::info!(
            added = plan.add.len(),
            removed = plan.remove.len(),
            "routes of this node to Pods and Services"
        );
        Ok(())
    }

    async fn keep_neighbours(&mut self, replica: &Replica) -> Result<(), NoTunnels> {
        let address = self.config.encap_ip;
        let link = self
            .underlay
            .link_with(address)
            .await?
            .ok_or(NoTunnels::NoLink(address))?;
        if self.config.underlay_mtu.is_none() {
            self.observed.underlay_mtu = Some(link.mtu);
        }
        if self.endpoint.as_ref() != Some(&link.name) {
            self.endpoint_ifindex = desired::ifindex(replica, &link.name)?;
            self.endpoint = Some(link.name.clone());
        }
        let resolved = match self.config.datapath {
            Datapath::System => self.keep_in_kernel(&link).await?,
            Datapath::Netdev => self.keep_in_vswitchd(replica, &link).await?,
        };
        if resolved != self.observed.resolved {
            tracing::info!(
                resolved = resolved.len(),
                peers = self.told.peers.len(),
                "link-layer addresses of tunnel peers"
            );
            self.observed.resolved = resolved;
        }
        Ok(())
    }

    /// The kernel sends tunnelled packets, and resolves their neighbours, on whatever link.
    async fn keep_in_kernel(&mut self, link: &Link) -> Result<BTreeSet<IpAddr>, NoTunnels> {
        let known = Known {
            routes: self.underlay.routes(None).await?,
            kernel: self.underlay.neighbours(None).await?,
            ovs: None,
        };
        let round = self
            .keeper
            .plan(self.started.elapsed(), &self.told.peers, &known);
        self.underlay
            .probe(self.config.encap_ip, link.index, round.probe)
            .await?;
        Ok(self.keeper.resolved(&self.told.peers, &known.routes))
    }

    /// vswitchd sends tunnelled packets through the bridge that has the tunnel endpoint address.
    async fn keep_in_vswitchd(
        &mut self,
        replica: &Replica,
        link: &Link,
    ) -> Result<BTreeSet<IpAddr>, NoTunnels> {
        let bridge = link.name.as_str();
        self.expect_netdev_bridge(replica, bridge)?;
        if self.told.peers.is_empty() {
            return Ok(BTreeSet::new());
        }
        let mut vswitchd = Unixctl::connect(&self.config.ovs_rundir).await?;
        let known = Known {
            routes: self.underlay.routes(Some(link.index)).await?,
            kernel: self.underlay.neighbours(Some(link.index)).await?,
            ovs: Some(vswitchd.tunnel_neighbours(bridge).await?),
        };
        let round = self
            .keeper
            .plan(self.started.elapsed(), &self.told.peers, &known);
        self.underlay
            .probe(self.config.encap_ip, link.index, round.probe)
            .await?;
        for (neighbour, mac) in round.set {
            vswitchd
                .set_tunnel_neighbour(bridge, neighbour, mac)
                .await?;
            self.keeper.taken(neighbour);
        }
        Ok(self.keeper.resolved(&self.told.peers, &known.routes))
    }

    fn expect_netdev_bridge(&self, replica: &Replica, bridge: &str) -> Result<(), NoTunnels> {
        let address = self.config.encap_ip;
        match desired::datapath_type(replica, bridge)? {
            None => Err(NoTunnels::NoBridge {
                address,
                link: bridge.to_owned(),
            }),
            Some("netdev") => Ok(()),
            Some(found) => Err(NoTunnels::OtherDatapath {
                address,
                bridge: bridge.to_owned(),
                found: found.to_owned(),
            }),
        }
    }
}
