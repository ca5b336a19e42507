// SPDX-License-Identifier: Apache-2.0
//! The words this plugin shares with the controller and the agent (ARCHITECTURE.md, "OVSDB").

use std::net::Ipv4Addr;

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

/// The gateway of every Pod.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// The link-layer address of [`GATEWAY`].
pub const GATEWAY_MAC: MacAddress = MacAddress::new([0x0a, 0x58, 0xa9, 0xfe, 0x01, 0x01]);
