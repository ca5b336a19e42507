// SPDX-License-Identifier: Apache-2.0
//! The agent's own OpenFlow connection to `br-int`, made again whenever it is lost.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{sleep, sleep_until, timeout};

use super::conversation::{Conversation, Lost};
use super::counts::Counts;
use crate::complaint::Complaint;

/// The pause after the first failure, and the longest; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long vswitchd may take to begin; its main thread is busy while it commits large bundles.
const BEGIN_LIMIT: Duration = Duration::from_secs(15);

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

/// Why no connection is there.
#[derive(Debug, thiserror::Error)]
enum NotServed {
    #[error("no answer at {socket}: {source}; is ovs-vswitchd running, and the bridge there?")]
    NotThere { socket: PathBuf, source: io::Error },
    #[error("ovs-vswitchd has not begun at {0} for {limit} s", limit = BEGIN_LIMIT.as_secs())]
    Silent(PathBuf),
    #[error("the OpenFlow connection to ovs-vswitchd: {0}")]
    Io(#[from] io::Error),
    #[error("ovs-vswitchd: {0}")]
    Lost(#[from] Lost),
}

/// Refuses what the flows of a bridge have refused, for ever. May be dropped at any moment: what would be
/// refused is then dropped in silence, as before the first connection.
pub async fn keep(rundir: &Path, bridge: &str, counts: &Counts) {
    let mut keeper = Keeper {
        socket: rundir.join(format!("{bridge}.mgmt")),
        counts,
        complaint: Complaint::default(),
        pause: FIRST_PAUSE,
        with_groups: true,
    };
    loop {
        match keeper.serve().await {
            Ok(never) => match never {},
            Err(cause) => keeper.complaint.warn(&format!(
                "connections to Services without endpoints are dropped and not refused: {cause}"
            )),
        }
        sleep(keeper.pause).await;
        keeper.pause = LONGEST_PAUSE.min(keeper.pause.saturating_mul(2));
    }
}

struct Keeper<'a> {
    socket: PathBuf,
    counts: &'a Counts,
    complaint: Complaint,
    pause: Duration,
    /// Whether the next conversation begins with the groups that are there.
    with_groups: bool,
}

impl Keeper<'_> {
    /// Works on one connection until it ends.
    async fn serve(&mut self) -> Result<Infallible, NotServed> {
        let stream = UnixStream::connect(&self.socket).await;
        let mut stream = stream.map_err(|source| NotServed::NotThere {
            socket: self.socket.clone(),
            source,
        })?;
        // If this ends before it has begun, the answer was one that cannot be read.
        let with_groups = std::mem::replace(&mut self.with_groups, false);
        let mut conversation = Conversation::new(self.counts, with_groups)?;
        let mut received = vec![0; CHUNK];
        let begin = async {
            while !conversation.is_ready() {
                turn(&mut stream, &mut conversation, &mut received).await?;
            }
            Ok::<_, NotServed>(())
        };
        match timeout(BEGIN_LIMIT, begin).await {
            Ok(begun) => begun?,
            Err(_) => return Err(NotServed::Silent(self.socket.clone())),
        }
        self.with_groups = true;
        self.pause = FIRST_PAUSE;
        self.complaint
            .resolved("connections to Services without endpoints are refused");
        loop {
            turn(&mut stream, &mut conversation, &mut received).await?;
        }
    }
}

/// Sends what is to be sent, and takes what comes next.
async fn turn(
    stream: &mut UnixStream,
    conversation: &mut Conversation<'_>,
    received: &mut [u8],
) -> Result<(), NotServed> {
    stream.write_all(&conversation.take_output()).await?;
    let next = conversation.next();
    let due = async {
        match next {
            Some(next) => sleep_until(next.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        length = stream.read(received) => {
            let length = length?;
            if length == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            conversation.hear(received.get(..length).unwrap_or_default(), Instant::now())?;
        }
        () = due => {}
    }
    conversation.forget(Instant::now())?;
    Ok(())
}
