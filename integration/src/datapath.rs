// SPDX-License-Identifier: Apache-2.0
//! Which datapath of Open vSwitch the beds of this process use.

use anyhow::{Result, bail};

/// The environment variable that chooses: `netdev` (the default) or `system`.
pub const VARIABLE: &str = "CULVERT_DATAPATH";

/// Which datapath carries the packets, in the words of `Bridge.datapath_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datapath {
    /// `ovs-vswitchd` itself. Works on any machine.
    Netdev,
    /// The kernel's module openvswitch; each namespace has a datapath of its own.
    System,
}

impl Datapath {
    /// The word in `datapath_type`, and of the agent's `--datapath`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Netdev => "netdev",
            Self::System => "system",
        }
    }

    /// The device that has a node's underlay addresses. Tunnels of the userspace datapath leave by the
    /// internal port of a bridge that holds the uplink, those of the kernel by the uplink itself.
    pub const fn underlay_device(self) -> &'static str {
        match self {
            Self::Netdev => "br-phy",
            Self::System => "uplink0",
        }
    }

    /// What this process was told to use.
    ///
    /// # Errors
    /// When [`VARIABLE`] has another word.
    pub fn chosen() -> Result<Self> {
        match std::env::var(VARIABLE).unwrap_or_default().as_str() {
            "" | "netdev" => Ok(Self::Netdev),
            "system" => Ok(Self::System),
            other => bail!("{VARIABLE} is {other:?}; it must be netdev or system"),
        }
    }
}
