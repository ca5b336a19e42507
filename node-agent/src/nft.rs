// SPDX-License-Identifier: Apache-2.0
//! Our table of nftables in the kernel, by the program `nft`: replaced in one step, and made anew when
//! somebody has changed it.

use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::ruleset::{self, TABLE, Wanted};

const PROGRAM: &str = "nft";

/// How long it may take to do as it is told.
const LIMIT: Duration = Duration::from_secs(10);

/// What was made of the table last.
#[derive(Debug, Default)]
pub struct Nft {
    made: Option<Made>,
}

#[derive(Debug)]
struct Made {
    script: String,
    /// How `nft` lists what it has made of the script, which depends on its version.
    listing: String,
}

/// The table is not as it shall be.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// There is no such program, or it cannot be started.
    #[error("cannot run {PROGRAM}: {0}; install nftables")]
    Program(#[from] io::Error),
    /// It does not end.
    #[error("{PROGRAM} has not ended after {limit} s", limit = LIMIT.as_secs())]
    Slow,
    /// It ended with an error.
    #[error("{PROGRAM}: {0}")]
    Refused(String),
}

impl Nft {
    /// Makes the table so, unless it is; whether anything had to be done.
    ///
    /// # Errors
    /// See [`NftError`].
    pub async fn keep(&mut self, wanted: &Wanted<'_>) -> Result<bool, NftError> {
        let script = ruleset::replacement(wanted);
        if let Some(made) = self.made.take().filter(|made| made.script == script) {
            let is_so = list().await?.as_ref() == Some(&made.listing);
            if !is_so {
                make(&script).await?;
            }
            self.made = Some(made);
            return Ok(!is_so);
        }
        // Somebody may change the table between the two commands. What is listed twice is ours.
        make(&script).await?;
        let listing = list().await?;
        make(&script).await?;
        if let Some(listing) = listing
            && list().await?.as_ref() == Some(&listing)
        {
            self.made = Some(Made { script, listing });
        }
        Ok(true)
    }
}

async fn make(script: &str) -> Result<(), NftError> {
    run(&["-f", "-"], script).await.map(drop)
}

/// Takes the table away, if there is one.
///
/// # Errors
/// See [`NftError`].
pub async fn remove() -> Result<(), NftError> {
    make(&ruleset::removal()).await
}

/// The table without counters, `None` if there is none.
async fn list() -> Result<Option<String>, NftError> {
    let words = ["--stateless", "list", "table"];
    let words: Vec<_> = words.into_iter().chain(TABLE.split(' ')).collect();
    match run(&words, "").await {
        Ok(listing) => Ok(Some(listing)),
        Err(NftError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn run(words: &[&str], input: &str) -> Result<String, NftError> {
    let work = async {
        let mut child = Command::new(PROGRAM)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // That it reads no further is told by how it ends.
            drop(stdin.write_all(input.as_bytes()).await);
        }
        child.wait_with_output().await
    };
    let Ok(output) = timeout(LIMIT, work).await else {
        return Err(NftError::Slow);
    };
    let Output {
        status,
        stdout,
        stderr,
    } = output?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&stderr);
    let line = text.lines().next().unwrap_or("no reason given");
    Err(NftError::Refused(line.to_owned()))
}
