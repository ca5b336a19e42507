// SPDX-License-Identifier: Apache-2.0
//! What the agent and the controller have prepared on this node, read from OVSDB rows.

use ovsdb_client::{Condition, transaction::Committed};
use ovsdb_client::{OperationIndex, Row, RowError, Transaction};

use crate::contract::{MTU, POD_CIDRS};
use crate::ipam::{Pool, PoolError};

/// The smallest MTU an IPv4 link may have (RFC 791).
const MIN_MTU: u32 = 68;
/// The smallest MTU an IPv6 link may have (RFC 8200); the kernel ends IPv6 on a smaller one.
const MIN_MTU_IPV6: u32 = 1280;
const MAX_MTU: u32 = 65_535;

/// What ADD needs to know of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The addresses for Pods.
    pub pool: Pool,
    /// The MTU for Pods in bytes.
    pub mtu: u32,
    /// Whether packets pass through vswitchd itself, which does not fill in checksums that a
    /// sender left to hardware.
    pub userspace: bool,
}

/// What is still missing before a Pod can be attached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// There is no bridge.
    #[error("bridge {0} does not exist; culvert-agent creates it: is it running on this node?")]
    NoBridge(String),
    /// The agent has not written the MTU.
    #[error(
        "bridge {0} has no external_ids:{MTU}; culvert-agent writes it: is it running on this node?"
    )]
    NoMtu(String),
    /// The controller has not written the Pod CIDRs.
    #[error(
        "bridge {0} has no external_ids:{POD_CIDRS}; the controller writes it once it knows the \
         Node's spec.podCIDRs: is it running, and connected to this node's OVSDB?"
    )]
    NoPodCidrs(String),
    /// The MTU is no number, or out of range.
    #[error(
        "bridge {bridge}: external_ids:{MTU} is {value:?}; it must be {least} to {MAX_MTU}: \
         restart culvert-agent"
    )]
    BadMtu {
        /// The bridge.
        bridge: String,
        /// What stands there.
        value: String,
        /// What these Pods need.
        least: u32,
    },
    /// The Pod CIDRs cannot be used.
    #[error(
        "bridge {bridge}: external_ids:{POD_CIDRS}: {source}; correct the Node's spec.podCIDRs"
    )]
    BadPodCidrs {
        /// The bridge.
        bridge: String,
        /// Why.
        source: PoolError,
    },
    /// No controller is connected.
    #[error(
        "bridge {0} has no connected OpenFlow controller; is the controller running and reachable \
         from this node?"
    )]
    NoController(String),
    /// A row has another shape than the schema of Open vSwitch says.
    #[error("OVSDB: {0}")]
    Row(#[from] RowError),
}

/// The reading of the rows that describe the node.
#[derive(Clone, Copy, Debug)]
pub struct NodeQuery {
    bridge: OperationIndex,
    controllers: OperationIndex,
}

impl NodeQuery {
    /// Adds the reading to a transaction.
    pub fn add_to(transaction: &mut Transaction, bridge: &str) -> Self {
        Self {
            bridge: transaction.select(
                "Bridge",
                [Condition::equal("name", bridge)],
                ["external_ids", "datapath_type", "controller"],
            ),
            controllers: transaction.select(
                "Controller",
                [Condition::equal("is_connected", true)],
                ["is_connected"],
            ),
        }
    }

    /// What ADD needs.
    ///
    /// # Errors
    /// The first thing that is missing.
    pub fn node(&self, committed: &Committed, bridge: &str) -> Result<Node, NotReady> {
        let row = self.bridge_row(committed, bridge)?;
        let mtu = row
            .map_value("external_ids", MTU)?
            .ok_or_else(|| NotReady::NoMtu(bridge.to_owned()))?;
        let cidrs = row
            .map_value("external_ids", POD_CIDRS)?
            .ok_or_else(|| NotReady::NoPodCidrs(bridge.to_owned()))?;
        let pool = Pool::from_cidrs(cidrs).map_err(|source| NotReady::BadPodCidrs {
            bridge: bridge.to_owned(),
            source,
        })?;
        let least = if pool.has_v6() { MIN_MTU_IPV6 } else { MIN_MTU };
        Ok(Node {
            mtu: parse_mtu(mtu, least).ok_or_else(|| NotReady::BadMtu {
                bridge: bridge.to_owned(),
                value: mtu.into(),
                least,
            })?,
            pool,
            userspace: row.string("datapath_type")? == "netdev",
        })
    }

    /// Whether the controller is connected to the bridge.
    ///
    /// # Errors
    /// [`NotReady::NoController`] if it is not, [`NotReady::NoBridge`] if there is no bridge.
    pub fn connected(&self, committed: &Committed, bridge: &str) -> Result<(), NotReady> {
        let controllers = self.bridge_row(committed, bridge)?.uuid_set("controller")?;
        let connected = committed.rows(self.controllers);
        if connected
            .iter()
            .any(|row| controllers.contains(&row.uuid()))
        {
            return Ok(());
        }
        Err(NotReady::NoController(bridge.to_owned()))
    }

    fn bridge_row<'a>(&self, committed: &'a Committed, bridge: &str) -> Result<&'a Row, NotReady> {
        committed
            .rows(self.bridge)
            .first()
            .ok_or_else(|| NotReady::NoBridge(bridge.to_owned()))
    }
}

fn parse_mtu(text: &str, least: u32) -> Option<u32> {
    text.parse()
        .ok()
        .filter(|mtu| (least..=MAX_MTU).contains(mtu))
}
