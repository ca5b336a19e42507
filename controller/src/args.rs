// SPDX-License-Identifier: Apache-2.0
//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use ipnetwork::IpNetwork;
use policy_compiler::ServiceSettings;

/// Compiles Kubernetes objects into OpenFlow and keeps the switches of all nodes true to them.
///
/// Nodes dial in: point the manager and the controller of each node's Open vSwitch at the two
/// listening addresses (the node agent does). Objects come from a directory of manifests.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "culvert-controller",
    version,
    after_help = "Examples:\n  \
        culvert-controller --source dir:/etc/culvert/manifests\n  \
        culvert-controller --source dir:./manifests --api tcp:127.0.0.1:8080 --log-format json\n\n\
        On a node, by hand:\n  \
        ovs-vsctl set open_vswitch . external_ids:culvert-node=node-1\n  \
        ovs-vsctl set-controller br-int tcp:CONTROLLER:6653\n  \
        ovs-vsctl set-manager tcp:CONTROLLER:6640\n\n\
        Then ask: culvert status"
)]
pub struct Args {
    /// Where the objects come from: dir:PATH, a directory of Kubernetes manifests (YAML or JSON; Node,
    /// Namespace, Pod, Service, EndpointSlice, ServiceCIDR, NetworkPolicy, ClusterNetworkPolicy). Changes
    /// of files are followed.
    #[arg(long, value_name = "dir:PATH")]
    pub source: Source,

    /// Where switches connect by OpenFlow 1.5.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:6653")]
    pub openflow_listen: SocketAddr,

    /// Where machines connect by OVSDB.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:6640")]
    pub ovsdb_listen: SocketAddr,

    /// Where the REST API listens: unix:PATH or tcp:ADDRESS:PORT. May be given several times.
    ///
    /// TCP has no authentication, so only loopback addresses are accepted.
    #[arg(
        long,
        value_name = "unix:PATH|tcp:ADDRESS:PORT",
        default_value = "unix:/run/culvert/api.sock"
    )]
    pub api: Vec<ApiAddress>,

    /// Accept TCP addresses for the API that other machines can reach. Everybody who can reach it can
    /// then read everything.
    #[arg(long)]
    pub api_insecure_bind: bool,

    /// File with the secret of the cluster: 64 hexadecimal digits, the same for every controller.
    ///
    /// It keys identities and cookies. Without it a key that everybody knows is used. Make one
    /// with: openssl rand -hex 32
    #[arg(long, value_name = "PATH")]
    pub cluster_secret_file: Option<PathBuf>,

    /// Name of the bridge on every node.
    #[arg(long, value_name = "NAME", default_value = "br-int")]
    pub bridge: String,

    /// Let spec.externalIPs of Services count. Whoever may write Services can then take over any address,
    /// so it is off unless that is wanted.
    #[arg(long)]
    pub external_ips: bool,

    /// Networks that Services have their cluster addresses from, such as 10.96.0.0/12,fd00:96::/112, besides
    /// those of ServiceCIDR objects. Nodes reach Services there, and what is for an address that no Service
    /// has is dropped.
    #[arg(long, value_name = "CIDR,...", value_delimiter = ',', value_parser = network)]
    pub service_cidrs: Vec<IpNetwork>,

    /// How often each switch is read back and compared with what it should hold, in seconds. What
    /// somebody changed by hand is repaired then; flows and groups of others are left alone.
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    pub audit_interval: Duration,

    /// Seconds between two readings of what the policy flows of a switch have counted, for the metrics
    /// culvert_policy_packets_total and culvert_policy_bytes_total; 0 = never.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u32).range(0..=86_400)
    )]
    pub policy_counters_interval: u32,

    /// How to write the log, to standard error. Its level is set by RUST_LOG (info, debug, ...).
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

impl Args {
    /// How often counters are read; `None`: never.
    pub fn counter_interval(&self) -> Option<Duration> {
        let seconds = u64::from(self.policy_counters_interval);
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    /// What of Services the objects do not say.
    pub fn service_settings(&self) -> ServiceSettings {
        ServiceSettings {
            external_ips: self.external_ips,
            cidrs: self.service_cidrs.clone(),
        }
    }
}

fn network(text: &str) -> Result<IpNetwork, String> {
    let parsed = text.contains('/').then(|| text.parse().ok()).flatten();
    match parsed
        .map(|network: IpNetwork| (network, IpNetwork::new(network.network(), network.prefix())))
    {
        Some((given, Ok(whole))) if given == whole => Ok(given),
        Some((_, Ok(whole))) => Err(format!("is an address in a network; write {whole}")),
        _ => Err("write a network as 10.96.0.0/12 or fd00:96::/112".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=604_800) => Ok(Duration::from_secs(seconds)),
        _ => Err("write a number of seconds, from 1 to 604800 (a week)".to_owned()),
    }
}

/// How to write the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Where the objects come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A directory of manifests.
    Directory(PathBuf),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("dir:") {
            Some(path) if !path.is_empty() => Ok(Self::Directory(PathBuf::from(path))),
            _ => Err("write dir:PATH, as dir:/etc/culvert/manifests".to_owned()),
        }
    }
}

/// Where the API listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiAddress {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP address.
    Tcp(SocketAddr),
}

impl FromStr for ApiAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let address = text
            .strip_prefix("tcp:")
            .and_then(|address| address.parse().ok());
        address
            .map(Self::Tcp)
            .ok_or_else(|| "write unix:/run/culvert/api.sock or tcp:127.0.0.1:8080".to_owned())
    }
}

impl std::fmt::Display for ApiAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn nothing_but_the_source_must_be_said() {
        let args = Args::try_parse_from(["culvert-controller", "--source", "dir:/tmp"]).unwrap();
        assert!(args.openflow_listen.ip().is_loopback() && args.ovsdb_listen.ip().is_loopback());
        assert_eq!(args.audit_interval, Duration::from_secs(600));
        assert_eq!(args.api, [ApiAddress::Unix("/run/culvert/api.sock".into())]);
        assert!(Args::try_parse_from(["culvert-controller"]).is_err());
    }

    #[test]
    fn an_audit_interval_is_a_number_of_seconds() {
        for bad in ["", "0", "10m", "-1", "604801"] {
            assert!(seconds(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn external_addresses_count_only_when_told_and_ranges_of_services_are_whole_networks() {
        let settings = |more: &[&str]| {
            let words = ["culvert-controller", "--source", "dir:/tmp"];
            let args = Args::try_parse_from(words.iter().chain(more))?;
            Ok::<_, clap::Error>(args.service_settings())
        };
        assert_eq!(settings(&[]).unwrap(), ServiceSettings::default());
        let cidrs = "10.96.0.0/12,fd00:96::/112";
        let told = settings(&["--external-ips", "--service-cidrs", cidrs]).unwrap();
        assert!(told.external_ips);
        let texts: Vec<_> = told.cidrs.iter().map(ToString::to_string).collect();
        assert_eq!(texts.join(","), cidrs);
        for bad in ["10.96.0.1/12", "10.96.0.0", "services", "10.96.0.0/33"] {
            assert!(settings(&["--service-cidrs", bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn counters_are_read_every_half_minute_unless_told_otherwise() {
        let interval = |more: &[&str]| {
            let words = ["culvert-controller", "--source", "dir:/tmp"];
            let args = Args::try_parse_from(words.iter().chain(more))?;
            Ok::<_, clap::Error>(args.counter_interval())
        };
        let option = "--policy-counters-interval";
        assert_eq!(interval(&[]).unwrap(), Some(Duration::from_secs(30)));
        assert_eq!(
            interval(&[option, "1"]).unwrap(),
            Some(Duration::from_secs(1))
        );
        assert_eq!(interval(&[option, "0"]).unwrap(), None);
        for bad in ["-1", "86401", "often"] {
            assert!(interval(&[option, bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_that_are_none_are_refused() {
        for bad in ["", "unix:", "tcp:localhost:1", "127.0.0.1:8080"] {
            assert!(bad.parse::<ApiAddress>().is_err(), "{bad:?}");
        }
        for bad in ["", "dir:", "/tmp", "kube:"] {
            assert!(bad.parse::<Source>().is_err(), "{bad:?}");
        }
    }
}
