// SPDX-License-Identifier: Apache-2.0
//! Faults of a cluster: what ends, what stops, what is unplugged.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::{Cluster, Node};

/// A program of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// `ovs-vswitchd` of a node.
    Vswitchd,
    /// `ovsdb-server` of a node.
    OvsdbServer,
    /// `culvert-controller`.
    Controller,
    /// `culvert-agent` of a node.
    Agent,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Vswitchd,
        Self::OvsdbServer,
        Self::Controller,
        Self::Agent,
    ];
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vswitchd => "ovs-vswitchd",
            Self::OvsdbServer => "ovsdb-server",
            Self::Controller => "culvert-controller",
            Self::Agent => "culvert-agent",
        })
    }
}

/// What goes wrong on one node, or with the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, and a start after so long.
    Kill(Program, Duration),
    /// SIGSTOP, and SIGCONT after so long.
    Stop(Program, Duration),
    /// The node's link to the controller is down for so long.
    Unplug(Duration),
    /// `ovs-ctl restart` of vswitchd, which restores its flows.
    Restart,
    /// The same, but it dies before it restores them and says so.
    RestartHalf,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(program, Duration::ZERO) => write!(f, "{program}: kill -9, start"),
            Self::Kill(program, down) => write!(f, "{program}: kill -9, start after {down:?}"),
            Self::Stop(program, how_long) => write!(f, "{program}: SIGSTOP for {how_long:?}"),
            Self::Unplug(how_long) => write!(f, "no link to the controller for {how_long:?}"),
            Self::Restart => f.write_str("ovs-vswitchd: restart by ovs-ctl"),
            Self::RestartHalf => {
                f.write_str("ovs-vswitchd: restart by ovs-ctl, which dies before it restores flows")
            }
        }
    }
}

impl Fault {
    /// What a second fault at the same time must not touch too.
    pub(super) fn program(self) -> Option<Program> {
        match self {
            Self::Kill(program, _) | Self::Stop(program, _) => Some(program),
            Self::Unplug(_) => None,
            Self::Restart | Self::RestartHalf => Some(Program::Vswitchd),
        }
    }

    /// Whether the userspace datapath forwards nothing meanwhile: it is in vswitchd, and its packets
    /// are read by the thread that waits for its lock in OVSDB when the connection is lost (OVS
    /// `vswitchd/bridge.c`, `bridge_run`).
    pub fn stops_forwarding(self) -> bool {
        matches!(
            self,
            Self::Kill(Program::Vswitchd | Program::OvsdbServer, _)
                | Self::Stop(Program::Vswitchd, _)
                | Self::Restart
                | Self::RestartHalf
        )
    }

    /// Does it, and undoes it; answers when the undoing began.
    pub(super) fn inflict(self, cluster: &Cluster, node: &Node) -> Result<Instant> {
        match self {
            Self::Kill(program, down) => {
                kill(program, cluster, node)?;
                std::thread::sleep(down);
                let undone = Instant::now();
                start(program, cluster, node)?;
                Ok(undone)
            }
            Self::Stop(program, how_long) => {
                signal(program, cluster, node, Signal::SIGSTOP)?;
                std::thread::sleep(how_long);
                let undone = Instant::now();
                signal(program, cluster, node, Signal::SIGCONT)?;
                Ok(undone)
            }
            Self::Unplug(how_long) => {
                let link = node.management_port();
                let fabric = cluster.bed().fabric();
                fabric.ip(&format!("link set {link} down"))?;
                std::thread::sleep(how_long);
                let undone = Instant::now();
                fabric.ip(&format!("link set {link} up"))?;
                Ok(undone)
            }
            Self::Restart | Self::RestartHalf => {
                let script = node.ovs().stop_vswitchd_saving("br-int")?;
                let undone = Instant::now();
                start(Program::Vswitchd, cluster, node)?;
                if self == Self::Restart {
                    node.ovs().restore_flows("br-int", &script)?;
                    node.ovs().end_restore()?;
                }
                Ok(undone)
            }
        }
    }
}

fn kill(program: Program, cluster: &Cluster, node: &Node) -> Result<()> {
    match program {
        Program::Vswitchd => node.ovs().kill_vswitchd(),
        Program::OvsdbServer => node.ovs().kill_server(),
        Program::Controller => cluster.kill_controller(),
        Program::Agent => cluster.kill_agent(node),
    }
}

fn start(program: Program, cluster: &Cluster, node: &Node) -> Result<()> {
    match program {
        Program::Vswitchd => {
            node.ovs().start_vswitchd()?;
            node.address_underlay()
        }
        Program::OvsdbServer => node.ovs().start_server(),
        Program::Controller => cluster.start_controller(),
        Program::Agent => cluster.start_agent(node),
    }
}

fn signal(program: Program, cluster: &Cluster, node: &Node, signal: Signal) -> Result<()> {
    match program {
        Program::Vswitchd => node.ovs().signal_vswitchd(signal),
        Program::OvsdbServer => node.ovs().signal_server(signal),
        Program::Controller => cluster.signal_controller(signal),
        Program::Agent => cluster.signal_agent(node, signal),
    }
}
