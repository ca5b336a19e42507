// SPDX-License-Identifier: Apache-2.0
//! Network namespaces, and work inside them.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::fstatfs;
use tokio::sync::oneshot;

use crate::link::LinkError;

/// NSFS_MAGIC of linux/magic.h; the type of the constant differs between platforms.
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// An open network namespace.
#[derive(Clone, Debug)]
pub struct Netns {
    file: Arc<File>,
}

impl Netns {
    /// Opens the namespace of a container.
    ///
    /// # Errors
    /// If there is none at `path`, or it is the one this process is in.
    pub fn open(path: &Path) -> Result<Self, LinkError> {
        let unusable = |source: io::Error| LinkError::NetnsUnusable {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => LinkError::NetnsMissing(path.to_owned()),
            _ => unusable(error),
        })?;
        let kind = fstatfs(&file)
            .map_err(|errno| unusable(errno.into()))?
            .filesystem_type();
        if i128::from(kind.0) != i128::from(NSFS_MAGIC) {
            return Err(unusable(io::Error::other("not a namespace")));
        }
        let metadata = file.metadata().map_err(unusable)?;
        let own = std::fs::metadata("/proc/self/ns/net").map_err(unusable)?;
        if (metadata.dev(), metadata.ino()) == (own.dev(), own.ino()) {
            return Err(LinkError::NetnsOfNode(path.to_owned()));
        }
        Ok(Self {
            file: Arc::new(file),
        })
    }

    /// The descriptor, for the kernel.
    pub(super) fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Runs `work` on a thread of its own inside the namespace. The thread ends with the work, so
    /// no other code ever runs there.
    ///
    /// # Errors
    /// What `work` returns, or that the namespace cannot be entered.
    pub async fn enter<T, F>(
        &self,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Result<T, LinkError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, LinkError>>,
    {
        let file = Arc::clone(&self.file);
        let (sender, receiver) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("netns".to_owned())
            .spawn(move || {
                let result = run_inside(&file, work);
                // The receiver is gone only when the whole command was given up.
                drop(sender.send(result));
            });
        thread.map_err(|error| LinkError::Thread(error.to_string()))?;
        receiver
            .await
            .map_err(|_| LinkError::Thread("the thread panicked".to_owned()))?
    }
}

fn run_inside<T, F>(file: &File, work: impl FnOnce() -> F) -> Result<T, LinkError>
where
    F: Future<Output = Result<T, LinkError>>,
{
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|errno| LinkError::Thread(errno.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| LinkError::Thread(error.to_string()))?;
    runtime.block_on(async { work().await })
}
