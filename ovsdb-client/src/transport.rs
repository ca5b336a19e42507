// SPDX-License-Identifier: Apache-2.0
//! Where a server is, in the words of OVS: `unix:PATH` and `tcp:HOST[:PORT]`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The port IANA assigned to OVSDB (RFC 7047 section 7).
pub const OVSDB_PORT: u16 = 6640;

/// The address of a server to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// `unix:PATH`
    Unix(PathBuf),
    /// `tcp:HOST[:PORT]`; an IPv6 address stands in brackets.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// The TCP port.
        port: u16,
    },
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

impl FromStr for Remote {
    type Err = InvalidRemote;

    fn from_str(text: &str) -> Result<Self, InvalidRemote> {
        let invalid = || InvalidRemote(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err(invalid())
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let target = text.strip_prefix("tcp:").ok_or_else(invalid)?;
        let (host, port) = match target.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(invalid)?,
            None => target.split_at(target.find(':').unwrap_or(target.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(invalid)?,
            None if port.is_empty() => OVSDB_PORT,
            None => return Err(invalid()),
        };
        if host.is_empty() {
            Err(invalid())
        } else {
            Ok(Self::Tcp {
                host: host.to_owned(),
                port,
            })
        }
    }
}

/// The text names no server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no OVSDB remote; write unix:PATH or tcp:HOST[:PORT], an IPv6 HOST in brackets")]
pub struct InvalidRemote(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Result<Remote, InvalidRemote> {
        Ok(Remote::Tcp {
            host: host.to_owned(),
            port,
        })
    }

    #[test]
    fn remotes_are_written_as_ovs_writes_them() {
        assert_eq!(
            "unix:/run/db.sock".parse(),
            Ok(Remote::Unix("/run/db.sock".into()))
        );
        assert_eq!("tcp:127.0.0.1:6641".parse(), tcp("127.0.0.1", 6641));
        assert_eq!("tcp:ovs.example".parse(), tcp("ovs.example", 6640));
        assert_eq!("tcp:[::1]:6641".parse(), tcp("::1", 6641));
        assert_eq!("tcp:[::1]".parse(), tcp("::1", 6640));
        for text in ["unix:/run/db.sock", "tcp:127.0.0.1:6641", "tcp:[::1]:6640"] {
            assert_eq!(text.parse::<Remote>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "unix:",
            "tcp:",
            "ssl:1.2.3.4:5",
            "tcp:h:0",
            "tcp:h:x",
            "tcp:[::1",
            "tcp::1",
        ] {
            assert!(text.parse::<Remote>().is_err(), "{text}");
        }
    }
}
