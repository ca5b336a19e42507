// SPDX-License-Identifier: Apache-2.0
//! Links, addresses and routes of the node and of containers, by netlink.

mod netns;
mod offload;
mod pod;
mod sysctl;
mod veth;

use std::io;
use std::path::PathBuf;

use futures_util::TryStreamExt as _;
use nix::libc;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};

pub use netns::Netns;
pub use pod::{PodPlan, configure_pod, inspect_pod};
pub use veth::{VethPlan, create_veth, delete_link, inspect_host, set_up};

/// A change of a link failed, or its state could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The namespace has no file.
    #[error("CNI_NETNS {0} does not exist; the container has gone")]
    NetnsMissing(PathBuf),
    /// The file is no network namespace, or may not be entered.
    #[error("CNI_NETNS {path}: {source}; it must be a network namespace this process may enter")]
    NetnsUnusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The namespace is the node's own.
    #[error(
        "CNI_NETNS {0} is the network namespace of the node itself; a host-network Pod has no CNI attachment"
    )]
    NetnsOfNode(PathBuf),
    /// The thread that works in the namespace could not run.
    #[error("cannot work in the container's namespace: {0}")]
    Thread(String),
    /// The kernel has no link of this name.
    #[error("link {0} does not exist")]
    NoLink(String),
    /// The name is in use.
    #[error("link {0} exists already; call DEL first, or choose another CNI_IFNAME")]
    Exists(String),
    /// The kernel refused.
    #[error("cannot {action}: {source}")]
    Kernel {
        /// What was tried.
        action: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl LinkError {
    fn netlink(action: impl Into<String>, error: rtnetlink::Error) -> Self {
        let source = match error {
            rtnetlink::Error::NetlinkError(message) => message.to_io(),
            other => io::Error::other(other.to_string()),
        };
        Self::Kernel {
            action: action.into(),
            source,
        }
    }
}

/// A netlink connection of the namespace the calling thread is in. Must be called in a runtime
/// that runs on this thread alone.
fn connect() -> Result<rtnetlink::Handle, LinkError> {
    let (connection, handle, _) =
        rtnetlink::new_connection().map_err(|source| LinkError::Kernel {
            action: "open a netlink socket".into(),
            source,
        })?;
    tokio::spawn(connection);
    Ok(handle)
}

/// The link of this name, `None` if there is none.
async fn find(handle: &rtnetlink::Handle, name: &str) -> Result<Option<LinkMessage>, LinkError> {
    let mut links = handle.link().get().match_name(name).execute();
    match links.try_next().await {
        Ok(link) => Ok(link),
        Err(error) if is_errno(&error, libc::ENODEV) => Ok(None),
        Err(error) => Err(LinkError::netlink(format!("look for link {name}"), error)),
    }
}

fn is_errno(error: &rtnetlink::Error, errno: i32) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message)
        if message.to_io().raw_os_error() == Some(errno))
}

fn link_address(link: &LinkMessage) -> Option<&[u8]> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Address(bytes) => Some(bytes.as_slice()),
            _ => None,
        })
}
