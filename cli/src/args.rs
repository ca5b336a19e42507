// SPDX-License-Identifier: Apache-2.0
//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand, ValueEnum};

/// Ask a running Culvert controller what it does and why.
#[derive(Debug, Parser)]
#[command(
    name = "culvert",
    version,
    after_help = "Examples:\n  \
        culvert status                                   is everything programmed?\n  \
        culvert pods                                     which Pods are ready, and what the others wait for\n  \
        culvert policies                                 which policies there are, and what they have denied\n  \
        culvert flows --pod shop/web                     every flow that exists for a Pod\n  \
        culvert flows --object networkpolicy/shop/deny   every flow that a policy made\n  \
        culvert explain 0x2300a1b2c3d4e5f6               why is this flow in `ovs-ofctl dump-flows`?\n  \
        culvert source                                   which manifest has an error\n  \
        culvert verdict shop/a shop/b:80                 would it pass, and which rule decides\n  \
        culvert --api http://127.0.0.1:8080 nodes        ask over TCP"
)]
pub struct Args {
    /// Where the controller's API is: unix:PATH or http://ADDRESS:PORT.
    ///
    /// Without it, unix:/run/culvert/api.sock is tried, then http://127.0.0.1:8080.
    #[arg(long, global = true, env = "CULVERT_API", value_name = "ADDRESS")]
    pub api: Option<Api>,

    /// How to print the answer.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Text)]
    pub output: Format,

    /// What to ask.
    #[command(subcommand)]
    pub command: Command,
}

/// How to print an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned tables.
    Text,
    /// The API's own body.
    Json,
}

/// What to ask.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The controller at a glance.
    Status,
    /// Nodes, and how far their switches have come.
    Nodes,
    /// Interfaces of Pods, and how far they have come.
    Pods,
    /// Policies, how many Pods each selects, and the packets that it has allowed, denied or passed on.
    #[command(
        long_about = "Policies in the order in which they are asked, how many Pods each selects, and the \
            packets that it has allowed, denied or passed on: on all nodes, since the controller began. \
            Replies are not decided about, so they are not counted; a packet that several rules decide \
            alike counts for each.\n\n\
            STATE is in-force, staged (the annotation culvert.io/staged: it decides nothing, and \
            WOULD-DROP counts what it would) or refused (what it says cannot be read; the last lines say why).",
        after_help = "Examples:\n  culvert policies\n  \
            culvert policies --rules       a line for each rule, and for what a policy denies by isolating\n  \
            culvert policies -o json       everything"
    )]
    Policies {
        /// A line for each rule.
        #[arg(long)]
        rules: bool,
    },
    /// Flows of a Pod, of an object or of a node, with the reasons why they exist.
    #[command(after_help = "Examples:\n  culvert flows --pod shop/web\n  \
        culvert flows --object networkpolicy/shop/deny-all\n  culvert flows --node node-1")]
    Flows(FlowsArgs),
    /// Why a flow exists, from the cookie that `ovs-ofctl dump-flows` prints.
    #[command(after_help = "Example:\n  culvert explain 0x2300a1b2c3d4e5f6")]
    Explain {
        /// The cookie, in hexadecimal; 0x in front is accepted.
        #[arg(value_parser = parse_cookie)]
        cookie: u64,
    },
    /// Would a connection pass, and which policy and rule decide? Exit code 0: yes, 1: no, 2: error.
    #[command(after_help = "Examples:\n  culvert verdict shop/a shop/b:80\n  \
        culvert verdict shop/a 10.10.2.7:53/udp\n  \
        culvert verdict shop/a svc/shop/front:80     whichever endpoint it goes to\n  \
        culvert verdict 203.0.113.7 node/one:30080   from the world to a node port\n  \
        culvert verdict node/one shop/b:80           from a node's own kernel\n  \
        culvert verdict --source dir:manifests shop/a shop/b:80     without a controller")]
    Verdict(VerdictArgs),
    /// Manifests that were read, and what is wrong with them.
    Source,
}

/// Which flows.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct FlowsArgs {
    /// Flows that exist because of this Pod.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub pod: Option<String>,
    /// Flows that exist because of this object: networkpolicy/shop/deny-all, node/node-1.
    #[arg(long, value_name = "KIND/NAMESPACE/NAME")]
    pub object: Option<String>,
    /// Flows of this node's own layer.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
}

/// Which connection.
#[derive(Debug, clap::Args)]
pub struct VerdictArgs {
    /// Who opens it: NAMESPACE/NAME, an address (what is nobody's is the world's) or node/NAME.
    pub from: String,
    /// To whom: NAMESPACE/NAME:PORT, ADDRESS:PORT (of a Pod, a Service, a load balancer, a node or the
    /// world), svc/NAMESPACE/NAME:PORT or node/NAME:PORT, with /udp or /sctp behind it if it is not TCP.
    pub to: String,
    /// Decide by a directory of manifests, and ask no controller.
    #[arg(long, value_name = "dir:PATH", value_parser = parse_directory)]
    pub source: Option<PathBuf>,
    /// Print JSON, as --output json does.
    #[arg(long)]
    pub json: bool,
}

/// Where the API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Api {
    /// A unix socket.
    Unix(PathBuf),
    /// `HOST:PORT`, plain HTTP.
    Tcp(String),
}

impl FromStr for Api {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let host = text
            .strip_prefix("http://")
            .map(|rest| rest.trim_end_matches('/'));
        match host {
            Some(host) if !host.is_empty() && !host.contains('/') => {
                let port = host
                    .rsplit_once(':')
                    .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
                Ok(Self::Tcp(if port {
                    host.to_owned()
                } else {
                    format!("{host}:80")
                }))
            }
            _ => Err("write unix:/run/culvert/api.sock or http://127.0.0.1:8080".to_owned()),
        }
    }
}

impl std::fmt::Display for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(host) => write!(f, "http://{host}"),
        }
    }
}

fn parse_directory(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("dir:").filter(|path| !path.is_empty());
    path.map(PathBuf::from)
        .ok_or_else(|| "write dir:PATH, the directory of the manifests".to_owned())
}

fn parse_cookie(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16)
        .map_err(|_| "a cookie is up to 16 hexadecimal digits, as in 0x2300a1b2c3d4e5f6".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_cookie_is_taken_with_and_without_0x() {
        for text in ["0x2f", "2f"] {
            let args = Args::try_parse_from(["culvert", "explain", text]).unwrap();
            assert!(
                matches!(args.command, Command::Explain { cookie: 0x2f }),
                "{args:?}"
            );
        }
        assert!(Args::try_parse_from(["culvert", "explain", "web"]).is_err());
    }

    #[test]
    fn policies_are_listed_whole_or_by_rule() {
        for (more, wanted) in [(None, false), (Some("--rules"), true)] {
            let args = ["culvert", "policies"].into_iter().chain(more);
            let args = Args::try_parse_from(args).unwrap();
            assert!(
                matches!(args.command, Command::Policies { rules } if rules == wanted),
                "{args:?}"
            );
        }
    }

    #[test]
    fn flows_wants_exactly_one_question() {
        assert!(Args::try_parse_from(["culvert", "flows"]).is_err());
        assert!(Args::try_parse_from(["culvert", "flows", "--node", "a", "--pod", "b/c"]).is_err());
        assert!(Args::try_parse_from(["culvert", "flows", "--node", "a"]).is_ok());
    }

    #[test]
    fn addresses_of_the_api_are_read_and_nonsense_is_refused() {
        assert_eq!("unix:/tmp/a".parse(), Ok(Api::Unix("/tmp/a".into())));
        assert_eq!(
            "http://127.0.0.1:8080/".parse(),
            Ok(Api::Tcp("127.0.0.1:8080".into()))
        );
        assert_eq!(
            "http://localhost".parse(),
            Ok(Api::Tcp("localhost:80".into()))
        );
        for bad in ["", "unix:", "https://a:1", "127.0.0.1:8080", "http://a/b"] {
            assert!(bad.parse::<Api>().is_err(), "{bad:?}");
        }
    }
}
