// SPDX-License-Identifier: Apache-2.0
//! The command line.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use ipnetwork::IpNetwork;
use nix::sys::utsname::uname;
use ovsdb_client::Remote;

use crate::config::{Config, Datapath};

const DEFAULT_RUNDIR: &str = "/run/openvswitch";

/// Prepares an Open vSwitch node for Culvert and keeps it so.
///
/// Ending it, at any moment and in any way, changes nothing on the node; `culvert-agent uninstall` takes
/// back what it has made (`culvert-agent uninstall --help`).
#[derive(Clone, Debug, Parser)]
#[command(name = "culvert-agent", version)]
pub struct Args {
    /// Name of the Kubernetes Node [default: the host name]
    #[arg(long, env = "CULVERT_NODE_NAME")]
    node_name: Option<String>,

    /// Where ovsdb-server listens
    #[arg(
        long,
        default_value = "unix:/run/openvswitch/db.sock",
        env = "CULVERT_OVSDB"
    )]
    ovsdb: Remote,

    /// Directory with the pidfile and the control socket of ovs-vswitchd [default: the directory
    /// of the OVSDB unix socket, else /run/openvswitch]
    #[arg(long)]
    ovs_rundir: Option<PathBuf>,

    /// The integration bridge
    #[arg(long, default_value = "br-int")]
    bridge: String,

    /// This node's tunnel endpoint, an address of the node, of the family of the other nodes'
    #[arg(long, env = "CULVERT_ENCAP_IP")]
    encap_ip: IpAddr,

    /// OpenFlow address of a controller, such as tcp:192.0.2.1:6653; may be repeated
    #[arg(long, required = true, value_parser = parse_target, env = "CULVERT_CONTROLLER",
          value_delimiter = ',')]
    controller: Vec<String>,

    /// OVSDB address of a controller, such as tcp:192.0.2.1:6640; may be repeated
    #[arg(long, required = true, value_parser = parse_target, env = "CULVERT_MANAGER",
          value_delimiter = ',')]
    manager: Vec<String>,

    /// Which datapath carries the packets
    #[arg(long, value_enum, default_value_t = Datapath::System)]
    datapath: Datapath,

    /// MTU of the underlay in bytes [default: MTU of the link that has the tunnel endpoint]
    #[arg(long, value_parser = clap::value_parser!(u32).range(576..=65535))]
    underlay_mtu: Option<u32>,

    /// Networks that see the addresses of Pods, not this node's, such as 10.0.0.0/8,fd00::/8; Pods and
    /// nodes of the cluster always do
    #[arg(long, value_delimiter = ',', env = "CULVERT_NO_MASQUERADE_CIDRS")]
    no_masquerade_cidrs: Vec<IpNetwork>,

    /// Form of the log
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

impl Args {
    /// Form of the log.
    pub const fn log_format(&self) -> LogFormat {
        self.log_format
    }

    /// The settings these arguments describe.
    ///
    /// # Errors
    /// If no node name is given and the host has none.
    pub fn into_config(self) -> Result<Config, NoNodeName> {
        let ovs_rundir = self.ovs_rundir.unwrap_or_else(|| rundir_of(&self.ovsdb));
        Ok(Config {
            node_name: self.node_name.or_else(host_name).ok_or(NoNodeName)?,
            bridge: self.bridge,
            encap_ip: self.encap_ip,
            controllers: self.controller.into_iter().collect(),
            managers: self.manager.into_iter().collect(),
            datapath: self.datapath,
            underlay_mtu: self.underlay_mtu,
            not_masqueraded: self.no_masquerade_cidrs,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ovsdb: self.ovsdb,
            ovs_rundir,
        })
    }
}

/// The host has no name that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this host has no name; give --node-name")]
pub struct NoNodeName;

/// The host name as kubelet registers it.
fn host_name() -> Option<String> {
    let name = uname().ok()?.nodename().to_str()?.trim().to_lowercase();
    (!name.is_empty()).then_some(name)
}

fn rundir_of(ovsdb: &Remote) -> PathBuf {
    match ovsdb {
        Remote::Unix(socket) => socket.parent().unwrap_or_else(|| Path::new("/")).to_owned(),
        Remote::Tcp { .. } => PathBuf::from(DEFAULT_RUNDIR),
    }
}

/// `tcp:HOST:PORT`, `ssl:HOST:PORT` or `unix:PATH`: OVS would accept any other text too, and
/// never connect.
fn parse_target(text: &str) -> Result<String, String> {
    let target = text.trim();
    let is_valid = match target.split_once(':') {
        Some(("unix", path)) => !path.is_empty(),
        Some(("tcp" | "ssl", address)) => address.rsplit_once(':').is_some_and(|(host, port)| {
            let bracketed = host.starts_with('[') && host.ends_with(']');
            let plain = !host.is_empty() && !host.contains(':');
            (bracketed || plain) && port.parse::<u16>().is_ok_and(|port| port != 0)
        }),
        _ => false,
    };
    if is_valid {
        return Ok(target.to_owned());
    }
    Err("write tcp:HOST:PORT, ssl:HOST:PORT or unix:PATH, an IPv6 HOST in brackets".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUIRED: [&str; 7] = [
        "culvert-agent",
        "--encap-ip",
        "192.0.2.11",
        "--controller",
        "tcp:192.0.2.1:6653",
        "--manager",
        "tcp:192.0.2.1:6640",
    ];

    fn parse(more: &[&str]) -> Result<Config, clap::Error> {
        let args = REQUIRED.iter().chain(more);
        Args::try_parse_from(args).map(|args| args.into_config().unwrap())
    }

    #[test]
    fn run_directory_follows_the_ovsdb_socket() {
        let rundir = |more: &[&str]| parse(more).unwrap().ovs_rundir;
        assert_eq!(rundir(&[]), Path::new("/run/openvswitch"));
        assert_eq!(rundir(&["--ovsdb", "unix:/x/y/db.sock"]), Path::new("/x/y"));
        assert_eq!(
            rundir(&["--ovsdb", "tcp:127.0.0.1:6640"]),
            Path::new("/run/openvswitch")
        );
        assert_eq!(
            rundir(&["--ovsdb", "unix:/x/db.sock", "--ovs-rundir", "/z"]),
            Path::new("/z")
        );
    }

    #[test]
    fn controllers_repeat_and_are_kept_once() {
        let more = [
            "--controller",
            "tcp:192.0.2.2:6653",
            "--controller",
            "tcp:192.0.2.1:6653",
        ];
        let controllers = parse(&more).unwrap().controllers;
        assert_eq!(controllers.len(), 2, "{controllers:?}");
    }

    #[test]
    fn target_that_ovs_would_never_reach_is_refused() {
        for target in [
            "192.0.2.1",
            "tcp:192.0.2.1",
            "tcp::6653",
            "tcp:fd00::1:6653",
            "udp:a:1",
        ] {
            assert!(parse(&["--controller", target]).is_err(), "{target}");
        }
        assert!(parse(&["--controller", "ssl:[fd00::1]:6653"]).is_ok());
    }
}
