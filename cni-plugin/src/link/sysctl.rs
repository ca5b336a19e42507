// SPDX-License-Identifier: Apache-2.0
//! IPv6 settings of a link, of the network namespace that the calling thread is in.

use std::io;
use std::path::Path;

use crate::link::LinkError;

/// What it means that the kernel has no such setting: it has no IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// So there is nothing to set.
    IsFine,
    /// But the link shall have an IPv6 address.
    IsAnError,
}

/// Writes `net.ipv6.conf.IFNAME.KEY`.
///
/// # Errors
/// If the kernel refuses, or has no such setting where that is an error.
pub(super) fn set_ipv6(
    ifname: &str,
    key: &str,
    value: &str,
    missing: Missing,
) -> Result<(), LinkError> {
    let file = Path::new("/proc/sys/net/ipv6/conf").join(ifname).join(key);
    match std::fs::write(&file, value) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && missing == Missing::IsFine => {
            Ok(())
        }
        Err(source) => Err(LinkError::Kernel {
            action: format!("write {}", file.display()),
            source,
        }),
    }
}
