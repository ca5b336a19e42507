// SPDX-License-Identifier: Apache-2.0
//! The words this plugin shares with the controller and the agent (ARCHITECTURE.md, "OVSDB").

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::spec::MacAddress;

/// The database of Open vSwitch.
pub const DATABASE: &str = "Open_vSwitch";

/// Where ovsdb-server listens unless the configuration says otherwise.
pub const DEFAULT_OVSDB: &str = "unix:/run/openvswitch/db.sock";

/// The integration bridge unless the configuration says otherwise.
pub const DEFAULT_BRIDGE: &str = "br-int";

/// Bridge `external_ids`: comma-separated Pod CIDRs of this node, written by the controller.
pub const POD_CIDRS: &str = "culvert-pod-cidrs";

/// Bridge `external_ids`: MTU of Pods in bytes, written by the agent.
pub const MTU: &str = "culvert-mtu";

/// Interface `external_ids`: `NAMESPACE/NAME` of the Pod.
pub const IFACE_ID: &str = "iface-id";

/// Interface `external_ids`: UID of the Pod.
pub const IFACE_ID_VER: &str = "iface-id-ver";

/// Interface `external_ids`: link-layer address of the Pod's interface.
pub const ATTACHED_MAC: &str = "attached-mac";

/// Interface `external_ids`: IPv4 address of the Pod, without prefix length.
pub const IP: &str = "culvert-ip";

/// Interface `external_ids`: IPv6 address of the Pod, likewise.
pub const IP6: &str = "culvert-ip6";

/// Interface `external_ids`: CNI_CONTAINERID.
pub const CONTAINER_ID: &str = "culvert-container-id";

/// Interface `external_ids`: CNI_IFNAME.
pub const IFNAME: &str = "culvert-ifname";

/// Interface `external_ids`: CNI_NETNS.
pub const NETNS: &str = "culvert-netns";

/// Interface `external_ids`: `true` once the Pod's flows are acknowledged.
pub const READY: &str = "culvert-ready";

/// Interface `external_ids`: why the controller refuses the Interface.
pub const ERROR: &str = "culvert-error";

/// The IPv4 gateway of every Pod.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// The IPv6 gateway of every Pod.
pub const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// The gateway that a Pod reaches others of this address's family by.
pub const fn gateway(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(GATEWAY),
        IpAddr::V6(_) => IpAddr::V6(GATEWAY6),
    }
}

/// The key that an address stands at: [`IP`] or [`IP6`].
pub const fn ip_key(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => IP,
        IpAddr::V6(_) => IP6,
    }
}

/// The link-layer address of [`GATEWAY`] and [`GATEWAY6`].
pub const GATEWAY_MAC: MacAddress = MacAddress::new([0x0a, 0x58, 0xa9, 0xfe, 0x01, 0x01]);
