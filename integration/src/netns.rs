// SPDX-License-Identifier: Apache-2.0
//! Named network namespaces, and running code inside them.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use nix::sched::{CloneFlags, setns};

use crate::command;

/// Where iproute2 keeps the names of network namespaces.
const NETNS_DIR: &str = "/run/netns";

/// A named network namespace, as `ip netns` knows it. Deleting is explicit: the bed that owns the
/// name deletes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Creates a namespace with the loopback interface up.
    pub fn create(name: &str) -> Result<Self> {
        command::run("ip", &["netns", "add", name])?;
        let netns = Self {
            name: name.to_owned(),
        };
        netns.ip("link set lo up")?;
        Ok(netns)
    }

    /// All namespaces of this machine whose name `keep` accepts, in order of their names.
    pub fn list(keep: impl Fn(&str) -> bool) -> Result<Vec<Self>> {
        let entries = match std::fs::read_dir(NETNS_DIR) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context("cannot list /run/netns"),
        };
        let mut found = Vec::new();
        for entry in entries {
            if let Ok(name) = entry?.file_name().into_string()
                && keep(&name)
            {
                found.push(Self { name });
            }
        }
        found.sort();
        Ok(found)
    }

    /// The name `ip netns` shows.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for the namespace, as a container runtime hands it to CNI.
    pub fn path(&self) -> PathBuf {
        Path::new(NETNS_DIR).join(&self.name)
    }

    /// Whether the namespace has a name (and so can be entered).
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    /// Removes the name; the namespace goes when the last process and socket in it is gone.
    pub fn delete(&self) -> Result<()> {
        if self.exists() {
            command::run("ip", &["netns", "del", &self.name])?;
        }
        Ok(())
    }

    /// Processes whose main thread is in this namespace.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let text = command::run("ip", &["netns", "pids", &self.name])?;
        Ok(text
            .split_ascii_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect())
    }

    /// Runs `ip WORDS` in the namespace.
    pub fn ip(&self, words: &str) -> Result<String> {
        command::run_line(&format!("ip -n {} {words}", self.name))
    }

    /// Sets a sysctl of the namespace, such as `net/ipv4/ip_forward`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys").join(key);
        self.enter(|| std::fs::write(&path, value))?
            .with_context(|| format!("cannot set {key}={value} in {}", self.name))
    }

    /// Runs `work` on a thread of its own inside the namespace and answers what it returns.
    ///
    /// Sockets made by `work` stay in the namespace wherever they are used later.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.switch_thread()?;
                    Ok(work())
                })
                .join()
                .unwrap_or_else(|_| Err(anyhow!("the work inside {} panicked", self.name)))
        })
    }

    /// Moves the calling thread into the namespace, for good.
    pub(crate) fn switch_thread(&self) -> Result<()> {
        let path = self.path();
        let file = File::open(&path)
            .with_context(|| format!("no network namespace at {}", path.display()))?;
        setns(file, CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("cannot enter {} (are you root?)", path.display()))
    }
}
