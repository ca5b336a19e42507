// SPDX-License-Identifier: Apache-2.0
//! Which beds exist on this machine, who owns them, and sweeping those nobody owns.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::{Netns, process, wait};

/// Where beds keep their run directories and locks.
pub const ROOT: &str = "/run/culvert";

/// Present in a run directory that is kept for its logs after a failure.
pub const KEPT: &str = "kept-after-failure";

/// The sole right to a bed's name on this machine, until dropped or until the process ends.
///
/// The lock is the kernel's (`flock`), so "the owner is dead" needs no guessing from process ids.
#[derive(Debug)]
pub struct Lease {
    name: String,
    lock: File,
}

impl Lease {
    /// Takes the name, then removes whatever an earlier owner left behind.
    pub fn take(name: &str) -> Result<Self> {
        check_name(name)?;
        std::fs::create_dir_all(ROOT).with_context(|| format!("cannot create {ROOT}"))?;
        // A moment of patience: another bed may be looking whether this one is abandoned.
        let lease = wait::until(
            format_args!("the bed {name}"),
            Duration::from_secs(3),
            || Self::try_take(name),
        );
        let Ok(lease) = lease else {
            bail!(
                "a bed named {name} is in use by {}; end it, or choose another name",
                owner(name)
            )
        };
        sweep(name).with_context(|| format!("cannot sweep what an earlier bed {name} left"))?;
        Ok(lease)
    }

    fn try_take(name: &str) -> Result<Option<Self>> {
        let path = lock_path(name);
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        // The file may have been removed by its last owner between the opening and the locking.
        if !is_same_file(&lock, &path) {
            return Ok(None);
        }
        lock.set_len(0)?;
        lock.rewind()?;
        writeln!(lock, "{}", std::process::id())?;
        let name = name.to_owned();
        Ok(Some(Self { name, lock }))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let path = lock_path(&self.name);
        if is_same_file(&self.lock, &path) {
            // A lock file that stays is harmless: the lock itself ends with the open file.
            drop(std::fs::remove_file(path));
        }
    }
}

/// The run directory of a bed.
pub fn run_dir(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}

/// The name of a namespace of a bed.
pub fn netns_name(bed: &str, part: &str) -> String {
    format!("culvert-{bed}-{part}")
}

/// Removes every bed whose owner has died, except logs that were kept on purpose.
///
/// Returns the names of the beds swept.
pub fn sweep_abandoned() -> Result<Vec<String>> {
    let mut swept = Vec::new();
    for entry in std::fs::read_dir(ROOT).with_context(|| format!("cannot list {ROOT}"))? {
        let file = entry?.file_name();
        let Some(name) = file.to_str().and_then(|file| file.strip_suffix(".lock")) else {
            continue;
        };
        if check_name(name).is_err() || !has_leftovers(name)? {
            continue;
        }
        if let Some(lease) = Lease::try_take(name)? {
            sweep(name)?;
            swept.push(name.to_owned());
            drop(lease);
        }
    }
    Ok(swept)
}

/// Ends the processes, deletes the namespaces and removes the run directory of a bed.
///
/// The caller holds the bed's lease.
pub fn sweep(name: &str) -> Result<()> {
    remove_processes_and_namespaces(name)?;
    remove_dir(&run_dir(name))
}

/// As [`sweep`], but leaves the run directory with its logs.
pub fn remove_processes_and_namespaces(name: &str) -> Result<()> {
    process::end_recorded(&run_dir(name))?;
    let spaces = namespaces(name)?;
    let mut pids = Vec::new();
    for netns in &spaces {
        pids.extend(netns.pids()?);
    }
    process::end(&pids)?;
    for netns in spaces {
        netns.delete()?;
    }
    Ok(())
}

/// The namespaces that carry the bed's name.
pub fn namespaces(bed: &str) -> Result<Vec<Netns>> {
    // Names of beds hold no dash, so the prefix is never that of another bed.
    let prefix = netns_name(bed, "");
    Netns::list(|name| name.starts_with(&prefix))
}

fn has_leftovers(name: &str) -> Result<bool> {
    let dir = run_dir(name);
    let unwanted_dir = dir.exists() && !dir.join(KEPT).exists();
    Ok(unwanted_dir || !namespaces(name)?.is_empty())
}

fn check_name(name: &str) -> Result<()> {
    let fits = (1..=16).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !fits {
        bail!("`{name}` cannot name a bed: use 1 to 16 of a-z and 0-9");
    }
    Ok(())
}

fn owner(name: &str) -> String {
    let mut text = String::new();
    let read = File::open(lock_path(name)).and_then(|mut file| file.read_to_string(&mut text));
    match read {
        Ok(_) if !text.trim().is_empty() => format!("process {}", text.trim()),
        _ => "another process".to_owned(),
    }
}

fn is_same_file(file: &File, path: &Path) -> bool {
    let numbers = |data: std::fs::Metadata| (data.dev(), data.ino());
    let open = file.metadata().map(numbers).ok();
    open.is_some() && open == std::fs::metadata(path).map(numbers).ok()
}

fn lock_path(name: &str) -> PathBuf {
    Path::new(ROOT).join(format!("{name}.lock"))
}

fn remove_dir(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_be_a_prefix_of_another_bed_is_refused() {
        assert!(check_name("demo").is_ok());
        for name in ["", "demo-2", "Demo", "a/b", "..", "aaaaaaaaaaaaaaaaa"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
