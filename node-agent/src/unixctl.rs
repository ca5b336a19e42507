// SPDX-License-Identifier: Apache-2.0
//! The control socket of ovs-vswitchd (`ovs-appctl`): JSON-RPC 1.0 over a unix socket.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::underlay::MacAddress;

/// How long vswitchd may take to answer; its main thread is busy while it commits large bundles.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// No answer we ask for is longer.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// A connection to the control socket.
#[derive(Debug)]
pub struct Unixctl {
    stream: UnixStream,
    received: Vec<u8>,
    next_id: u64,
}

/// vswitchd could not be asked, or refused.
#[derive(Debug, thiserror::Error)]
pub enum UnixctlError {
    /// No socket answers.
    #[error(
        "no control socket of ovs-vswitchd in {rundir}: {source}; is ovs-vswitchd running, and is \
         --ovs-rundir its run directory?"
    )]
    NotThere {
        /// Where it was looked for.
        rundir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The connection broke.
    #[error("control socket of ovs-vswitchd: {0}")]
    Io(#[from] io::Error),
    /// No answer in time.
    #[error("ovs-vswitchd has not answered {0} for {limit} s", limit = ANSWER_LIMIT.as_secs())]
    Silent(&'static str),
    /// The answer is no JSON-RPC reply.
    #[error("ovs-vswitchd answered {0} with something that is no reply")]
    NoReply(&'static str),
    /// vswitchd refused.
    #[error("ovs-vswitchd refused {command}: {error}")]
    Refused {
        /// The command.
        command: &'static str,
        /// The words of vswitchd.
        error: String,
    },
}

impl Unixctl {
    /// Connects to the vswitchd whose run directory this is.
    ///
    /// # Errors
    /// If none answers.
    pub async fn connect(rundir: &Path) -> Result<Self, UnixctlError> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        let pid = std::fs::read_to_string(rundir.join("ovs-vswitchd.pid"));
        for socket in sockets(rundir, pid.ok().as_deref()) {
            match UnixStream::connect(&socket).await {
                Ok(stream) => {
                    return Ok(Self {
                        stream,
                        received: Vec::new(),
                        next_id: 0,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(UnixctlError::NotThere {
            rundir: rundir.to_owned(),
            source: last,
        })
    }

    /// The tunnel neighbours of a bridge.
    ///
    /// # Errors
    /// If vswitchd does not answer.
    pub async fn tunnel_neighbours(
        &mut self,
        bridge: &str,
    ) -> Result<BTreeMap<IpAddr, MacAddress>, UnixctlError> {
        Ok(parse_neighbours(
            &self.call("tnl/neigh/show", &[]).await?,
            bridge,
        ))
    }

    /// Adds or renews a tunnel neighbour of a bridge.
    ///
    /// # Errors
    /// If vswitchd does not answer, or refuses.
    pub async fn set_tunnel_neighbour(
        &mut self,
        bridge: &str,
        address: IpAddr,
        mac: MacAddress,
    ) -> Result<(), UnixctlError> {
        let params = [bridge, &address.to_string(), &mac.to_string()];
        self.call("tnl/neigh/set", &params).await.map(drop)
    }

    /// Runs a command and returns what it prints.
    async fn call(
        &mut self,
        command: &'static str,
        params: &[&str],
    ) -> Result<String, UnixctlError> {
        match timeout(ANSWER_LIMIT, self.exchange(command, params)).await {
            Ok(reply) => reply,
            Err(_) => Err(UnixctlError::Silent(command)),
        }
    }

    async fn exchange(
        &mut self,
        command: &'static str,
        params: &[&str],
    ) -> Result<String, UnixctlError> {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        let request = json!({"id": id, "method": command, "params": params});
        self.stream
            .write_all(request.to_string().as_bytes())
            .await?;
        let reply = loop {
            if let Some(reply) = self.take_reply(command)? {
                break reply;
            }
            if self.received.len() > MAX_ANSWER_BYTES {
                return Err(UnixctlError::NoReply(command));
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        };
        match (reply.get("error"), reply.get("result")) {
            (None | Some(Value::Null), Some(Value::String(text))) => Ok(text.clone()),
            (Some(Value::String(error)), _) => Err(UnixctlError::Refused {
                command,
                error: error.trim().to_owned(),
            }),
            _ => Err(UnixctlError::NoReply(command)),
        }
    }

    /// The first complete JSON value received, if there is one.
    fn take_reply(&mut self, command: &'static str) -> Result<Option<Value>, UnixctlError> {
        let mut values = serde_json::Deserializer::from_slice(&self.received).into_iter::<Value>();
        match values.next() {
            None => Ok(None),
            Some(Err(error)) if error.is_eof() => Ok(None),
            Some(Err(_)) => Err(UnixctlError::NoReply(command)),
            Some(Ok(reply)) => {
                let end = values.byte_offset();
                self.received.drain(..end);
                Ok(Some(reply))
            }
        }
    }
}

/// Where the socket may be: named after the process, unless `--unixctl` names it.
fn sockets(rundir: &Path, pidfile: Option<&str>) -> Vec<PathBuf> {
    let pid = pidfile.and_then(|text| text.trim().parse::<u32>().ok());
    let named = pid.map(|pid| rundir.join(format!("ovs-vswitchd.{pid}.ctl")));
    named
        .into_iter()
        .chain([rundir.join("ovs-vswitchd.ctl")])
        .collect()
}

/// Reads the table `tnl/neigh/show` prints: address, link-layer address, bridge.
fn parse_neighbours(text: &str, bridge: &str) -> BTreeMap<IpAddr, MacAddress> {
    let mut neighbours = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(address), Some(mac), Some(of_bridge)) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        // The heading is no address.
        if let (Ok(address), Some(mac)) = (address.parse(), MacAddress::parse(mac))
            && of_bridge == bridge
        {
            neighbours.insert(address, mac);
        }
    }
    neighbours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_of_vswitchd_is_read_for_one_bridge() {
        let text = "\
IP                                            MAC                 Bridge
==========================================================================
10.98.0.12                                    aa:55:aa:55:00:01   br-phy
10.98.0.13                                    aa:55:aa:55:00:02   br-other
fe80::1                                       aa:55:aa:55:00:03   br-phy
";
        let mac = MacAddress::new([0xaa, 0x55, 0xaa, 0x55, 0, 1]);
        let other = MacAddress::new([0xaa, 0x55, 0xaa, 0x55, 0, 3]);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let expected = [(address("10.98.0.12"), mac), (address("fe80::1"), other)].into();
        assert_eq!(parse_neighbours(text, "br-phy"), expected);
        assert!(parse_neighbours("", "br-phy").is_empty());
    }

    #[test]
    fn socket_is_named_after_the_process_of_the_pidfile() {
        let rundir = Path::new("/r");
        let both = [
            rundir.join("ovs-vswitchd.17.ctl"),
            rundir.join("ovs-vswitchd.ctl"),
        ];
        assert_eq!(sockets(rundir, Some("17\n")), both);
        assert_eq!(sockets(rundir, Some("nonsense")), both[1..]);
        assert_eq!(sockets(rundir, None), both[1..]);
    }
}
