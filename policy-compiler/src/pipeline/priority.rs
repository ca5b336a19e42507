// SPDX-License-Identifier: Apache-2.0
//! Every priority, named.

/// What happens when nothing else matches.
pub const DEFAULT: u16 = 0;

/// A specific case in a table that has only one band.
pub const NORMAL: u16 = 100;

/// `classify`: a tunnelled packet without a valid identity.
pub const TUNNEL_DENY: u16 = 90;

/// `spoof_guard`: a Pod asks for the link-layer address of its gateway.
pub const SOLICITATION: u16 = 300;

/// `spoof_guard`: other ICMPv6 that lives on one link and has no business beyond it.
pub const LINK_LOCAL: u16 = 200;

/// `conntrack_state`: invalid packets, before anything else.
pub const INVALID: u16 = 300;

/// `conntrack_state`: answers to allowed connections.
pub const ANSWER: u16 = 200;

/// `conntrack_state`: from the tunnel, Services were translated where the connection began.
pub const FROM_TUNNEL: u16 = 150;

/// `route`: a Pod of this node.
pub const LOCAL_POD: u16 = 300;

/// `route`: what came by the tunnel never goes back into it.
pub const NO_TRANSIT: u16 = 200;

/// `egress`, `ingress`: a rule of a `NetworkPolicy` allows.
pub const ALLOW: u16 = 1000;

/// `egress`, `ingress`: an established connection is no longer allowed.
pub const REVOKE: u16 = 200;

/// `commit`: an allowed connection that conntrack knows but that is not marked.
pub const REMARK: u16 = 90;

/// `marker`: the marker flow of the cluster layer.
pub const CLUSTER_MARKER: u16 = 1;

/// `marker`: the marker flow of the node layer.
pub const NODE_MARKER: u16 = 2;
