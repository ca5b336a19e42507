// SPDX-License-Identifier: Apache-2.0
//! Cookies: `kind (8 bits) | keyed hash of table, priority, match and instructions (56 bits)`.
//!
//! The set of cookies is the set of flows, so a switch is compared with what is wanted without
//! reading a match. The hash is keyed: nobody who can write policies can aim at a collision.

use openflow_codec::{Cookie, Flow};

/// What a flow is for; the highest byte of its cookie. All lie in 0xc0..=0xcf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum CookieKind {
    /// Digest of the cluster layer.
    ClusterMarker = 0xc0,
    /// Fixed part of the pipeline.
    Pipeline = 0xc1,
    /// How to reach, and hear, other nodes.
    Node = 0xc2,
    /// A Pod's port, or the identity of Pods.
    Pod = 0xc3,
    /// A Service.
    Service = 0xc4,
    /// A `NetworkPolicy`.
    Policy = 0xc5,
    /// Digest of the node layer. Not the kind of the other marker: a layer's marker is found and
    /// taken away by its kind.
    NodeMarker = 0xcf,
}

/// Bits of a cookie that say whether a flow is ours.
pub const OURS_MASK: u64 = 0xf000_0000_0000_0000;

/// What those bits are in our flows.
pub const OURS_VALUE: u64 = 0xc000_0000_0000_0000;

const HASH_BITS: u32 = 56;

impl CookieKind {
    const ALL: [Self; 7] = [
        Self::ClusterMarker,
        Self::Pipeline,
        Self::Node,
        Self::Pod,
        Self::Service,
        Self::Policy,
        Self::NodeMarker,
    ];

    /// The kind of this cookie, if it is one of ours.
    pub fn of(cookie: Cookie) -> Option<Self> {
        let byte = cookie.0 >> HASH_BITS;
        Self::ALL
            .into_iter()
            .find(|kind| u64::from(*kind as u8) == byte)
    }

    /// A cookie of this kind; bits of `hash` above 56 are cut off.
    pub const fn cookie(self, hash: u64) -> Cookie {
        Cookie((self as u64) << HASH_BITS | hash & ((1 << HASH_BITS) - 1))
    }

    /// Word for output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ClusterMarker => "cluster marker",
            Self::Pipeline => "pipeline",
            Self::Node => "node",
            Self::Pod => "pod",
            Self::Service => "service",
            Self::Policy => "policy",
            Self::NodeMarker => "node marker",
        }
    }
}

/// Computes cookies for one cluster.
#[derive(Clone)]
pub(crate) struct CookieHasher {
    key: [u8; 32],
}

impl CookieHasher {
    pub(crate) fn new(cluster_secret: &[u8; 32]) -> Self {
        Self {
            key: blake3::derive_key("culvert 2026 flow cookie", cluster_secret),
        }
    }

    /// The cookie that `flow` must carry; `buffer` is scratch space.
    pub(crate) fn cookie(&self, kind: CookieKind, flow: &Flow, buffer: &mut Vec<u8>) -> Cookie {
        buffer.clear();
        flow.content(buffer);
        let hash = blake3::keyed_hash(&self.key, buffer);
        let mut first = [0; 8];
        first.copy_from_slice(hash.as_bytes().first_chunk::<8>().unwrap_or(&[0; 8]));
        kind.cookie(u64::from_be_bytes(first))
    }
}
