// SPDX-License-Identifier: Apache-2.0
//! Transmit checksum offload, by the ethtool ioctl (rtnetlink cannot change it).
#![expect(
    unsafe_code,
    reason = "an ioctl takes a pointer to a structure that points to another"
)]

use std::io;
use std::os::fd::AsRawFd as _;

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::link::LinkError;

/// ETHTOOL_STXCSUM of linux/ethtool.h.
const ETHTOOL_STXCSUM: u32 = 0x17;

/// `struct ethtool_value` of linux/ethtool.h.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

nix::ioctl_readwrite_bad!(
    /// SIOCETHTOOL of linux/sockios.h.
    siocethtool,
    0x8946,
    libc::ifreq
);

/// Makes the kernel fill in the checksums of what a link sends (`ethtool -K IFNAME tx off`), which
/// also ends segmentation offload. The userspace datapath passes frames on as they are, so a
/// checksum left to hardware would never be filled in.
///
/// # Errors
/// If the link does not exist or the kernel refuses.
pub(super) fn disable_transmit_checksum(ifname: &str) -> Result<(), LinkError> {
    let failed = |source: io::Error| LinkError::Kernel {
        action: format!("turn transmit checksum offload of link {ifname} off"),
        source,
    };
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .map_err(|errno| failed(errno.into()))?;
    let mut value = EthtoolValue {
        command: ETHTOOL_STXCSUM,
        data: 0,
    };
    let mut name = [0; libc::IFNAMSIZ];
    // The last byte stays zero whatever the length of the name.
    for (to, from) in name.iter_mut().take(libc::IFNAMSIZ - 1).zip(ifname.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let mut request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_data: (&raw mut value).cast(),
        },
    };
    // SAFETY: `request` and the `value` it points to outlive the call, and SIOCETHTOOL with this
    // command reads and writes no more than an EthtoolValue.
    unsafe { siocethtool(socket.as_raw_fd(), &raw mut request) }
        .map_err(|errno| failed(errno.into()))?;
    Ok(())
}
