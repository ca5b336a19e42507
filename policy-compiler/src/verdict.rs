// SPDX-License-Identifier: Apache-2.0
//! Would a connection pass, and who decides: the question, and the answer.

use std::net::IpAddr;
use std::str::FromStr;

use openflow_codec::Cookie;

use crate::explain::Cause;
use crate::model::{Direction, Kind, ObjectKey, Protocol, Tier};

/// An end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A Pod.
    Pod(ObjectKey),
    /// An address, of a Pod or not.
    Address(IpAddr),
    /// A Service, which leads to its endpoints.
    Service(ObjectKey),
    /// A node: its own kernel, and its node ports.
    Node(String),
}

/// A connection that somebody thinks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who opens it.
    pub from: End,
    /// To whom.
    pub to: End,
    /// By which protocol.
    pub protocol: Protocol,
    /// To which port.
    pub port: u16,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// The text names no end.
    #[error(
        "{0:?} names no Pod, address, Service or node; write NAMESPACE/NAME, an IP address, \
         svc/NAMESPACE/NAME or node/NAME"
    )]
    End(String),
    /// The text names no port.
    #[error(
        "{0:?} names no port; write NAMESPACE/NAME:PORT, ADDRESS:PORT, [ADDRESS]:PORT, \
         svc/NAMESPACE/NAME:PORT or node/NAME:PORT, and /udp or /sctp behind it if it is not TCP"
    )]
    Port(String),
    /// A Service is asked about as a sender.
    #[error("{0} opens no connections; ask about a Pod behind it")]
    ServiceSends(ObjectKey),
    /// There is no such Service.
    #[error(
        "there is no Service {service}{}",
        did_you_mean(close, "kubectl get services -A")
    )]
    UnknownService {
        /// Its name, as asked.
        service: String,
        /// Names that are nearly the same.
        close: Vec<String>,
    },
    /// The Service has no address that leads to its endpoints.
    #[error("{0} has no cluster address (it is headless, for one); ask about the Pods behind it")]
    NoClusterAddress(ObjectKey),
    /// The Service has no such port.
    #[error("{service} has no port {port}; it has {ports}")]
    UnknownServicePort {
        /// The Service.
        service: ObjectKey,
        /// Port and protocol, as asked.
        port: String,
        /// Those that it has.
        ports: String,
    },
    /// There is no such Pod.
    #[error("there is no Pod {pod}{}", did_you_mean(close, "culvert pods"))]
    UnknownPod {
        /// Its name, as asked.
        pod: String,
        /// Names that are nearly the same.
        close: Vec<String>,
    },
    /// There is no such node.
    #[error("there is no node {node}{}", did_you_mean(close, "kubectl get nodes"))]
    UnknownNode {
        /// Its name, as asked.
        node: String,
        /// Names that are nearly the same.
        close: Vec<String>,
    },
    /// The Pod is nobody's peer.
    #[error(
        "{0} uses the host's network or has finished; policies see its node's address, ask for that"
    )]
    NotOnPodNetwork(ObjectKey),
    /// There are no two addresses of one family.
    #[error("{0} and {1} have no addresses of one family")]
    NoFamily(String, String),
}

fn did_you_mean(close: &[String], list: &str) -> String {
    if close.is_empty() {
        format!("; see `{list}`")
    } else {
        format!("; did you mean {}?", close.join(" or "))
    }
}

impl FromStr for End {
    type Err = QuestionError;

    fn from_str(text: &str) -> Result<Self, QuestionError> {
        let service = text.strip_prefix("svc/");
        if let Some(name) = service.or_else(|| text.strip_prefix("service/")) {
            let key = key(Kind::Service, name);
            return key
                .map(Self::Service)
                .ok_or_else(|| QuestionError::End(text.to_owned()));
        }
        if let Some(name) = text.strip_prefix("node/") {
            let fine = !name.is_empty() && !name.contains('/');
            let node = fine.then(|| Self::Node(name.to_owned()));
            return node.ok_or_else(|| QuestionError::End(text.to_owned()));
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(text).parse() {
            return Ok(Self::Address(address));
        }
        let key = key(Kind::Pod, text);
        key.map(Self::Pod)
            .ok_or_else(|| QuestionError::End(text.to_owned()))
    }
}

/// `NAMESPACE/NAME` of this kind.
fn key(kind: Kind, text: &str) -> Option<ObjectKey> {
    let (namespace, name) = text.split_once('/')?;
    let fine = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
    fine.then(|| ObjectKey::new(kind, namespace, name))
}

impl Question {
    /// From `shop/a`, `10.0.0.1` or `node/one`, to `shop/b:80`, `10.0.0.2:53/udp`, `[fd00::2]:80`,
    /// `svc/shop/front:80` or `node/one:30080`.
    ///
    /// # Errors
    /// A text names no end, or no port.
    pub fn parse(from: &str, to: &str) -> Result<Self, QuestionError> {
        let no_port = || QuestionError::Port(to.to_owned());
        let (end, port) = to.rsplit_once(':').ok_or_else(no_port)?;
        let (port, protocol) = match port.split_once('/') {
            None => (port, Protocol::Tcp),
            Some((port, protocol)) => {
                let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
                let named = all.into_iter().find(|p| p.to_string() == protocol);
                (port, named.ok_or_else(no_port)?)
            }
        };
        let port = port.parse().ok().filter(|port| *port != 0);
        Ok(Self {
            from: from.parse()?,
            to: end.parse()?,
            protocol,
            port: port.ok_or_else(no_port)?,
        })
    }
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the connection may be opened.
    pub allowed: bool,
    /// Where nothing needs to be decided, why.
    pub note: Option<String>,
    /// What each table on the way says, in order; the last one decides.
    pub steps: Vec<Step>,
    /// What would decide instead, if an address were known and as the policy says.
    pub depends: Vec<Cause>,
    /// Through a Service: the answer for each of its endpoints; all must allow it.
    pub endpoints: Vec<EndpointVerdict>,
}

/// The answer for one endpoint of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointVerdict {
    /// The Pod, if it is one.
    pub pod: Option<ObjectKey>,
    /// Its address, if it is known.
    pub address: Option<IpAddr>,
    /// The port that it listens on.
    pub port: u16,
    /// The answer.
    pub verdict: Verdict,
}

/// What a tier says in a direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Direction.
    pub direction: Direction,
    /// Tier.
    pub tier: Tier,
    /// What it says.
    pub says: Says,
    /// The flow that says so.
    pub cookie: Cookie,
    /// Why the flow exists.
    pub causes: Vec<Cause>,
    /// When isolation denies: every policy that isolates.
    pub isolating: Vec<ObjectKey>,
    /// What staged policies would say.
    pub staged: Vec<Cause>,
}

/// What a tier can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Allowed in this direction.
    Allowed,
    /// Denied.
    Denied,
    /// A rule leaves it to the next tier.
    Passed,
    /// Nothing; the next tier is asked.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_ports_are_read() {
        let pod = |name| End::Pod(ObjectKey::new(Kind::Pod, "shop", name));
        let question = Question::parse("shop/a", "shop/b:53/udp").unwrap();
        assert_eq!((question.from, question.to), (pod("a"), pod("b")));
        assert_eq!((question.protocol, question.port), (Protocol::Udp, 53));
        let question = Question::parse("shop/a", "svc/shop/front:80").unwrap();
        let front = ObjectKey::new(Kind::Service, "shop", "front");
        assert_eq!(question.to, End::Service(front));
        let question = Question::parse("node/one", "node/two:30080").unwrap();
        let node = |name: &str| End::Node(name.to_owned());
        assert_eq!((question.from, question.to), (node("one"), node("two")));
        let question = Question::parse("fd00::1", "[fd00::2]:80").unwrap();
        assert_eq!(question.to, End::Address("fd00::2".parse().unwrap()));
        assert_eq!((question.protocol, question.port), (Protocol::Tcp, 80));
    }

    #[test]
    fn what_is_no_end_or_no_port_says_what_to_write() {
        for (from, to, word) in [
            ("a", "shop/b:80", "NAMESPACE/NAME"),
            ("shop/a", "shop/b", "names no port"),
            ("shop/a", "shop/b:0", "names no port"),
            ("shop/a", "shop/b:80/icmp", "names no port"),
            ("shop/a", "svc/b:80", "svc/NAMESPACE/NAME"),
            ("shop/a", "node/:80", "node/NAME"),
            ("node/a/b", "shop/b:80", "node/NAME"),
            ("shop/a", ":80", "NAMESPACE/NAME"),
        ] {
            let error = Question::parse(from, to).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
