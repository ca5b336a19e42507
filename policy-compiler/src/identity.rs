// SPDX-License-Identifier: Apache-2.0
//! Who sends: `namespace part (40 bits) | label part (48 bits)`, keyed hashes of what the Pod says.
//!
//! Nothing is allocated or stored: every replica, and every restart, computes the same value.

use std::fmt;

use crate::model::{Labels, PORT_KEY};
use crate::pipeline::register::{
    EGRESS_ISOLATED, IDENTITY_MASK, LABEL_BITS, NAMESPACE_BITS, NAMESPACE_MASK, POD, VALID,
};

/// A Pod's identity: 88 bits, the first of them always set (the others are reserved).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(u128);

/// What goes on the wire beside an identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdentityFlags {
    /// A `NetworkPolicy` isolates the Pod for egress.
    pub egress_isolated: bool,
}

impl Identity {
    /// The 88 bits, right-aligned.
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// The namespace part, in place.
    pub const fn namespace_bits(self) -> u128 {
        self.0 & NAMESPACE_MASK
    }

    /// Identity and flags as in the Geneve option: 96 bits, right-aligned, `VALID` set.
    pub const fn wire(self, flags: IdentityFlags) -> u128 {
        let isolated = if flags.egress_isolated {
            EGRESS_ISOLATED
        } else {
            0
        };
        self.0 | VALID | isolated
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = self.0 & ((1 << LABEL_BITS) - 1);
        write!(f, "{:010x}.{label:012x}", self.0 >> LABEL_BITS)
    }
}

/// Computes identities for one cluster.
#[derive(Clone)]
pub(crate) struct Identifier {
    namespace_key: [u8; 32],
    label_key: [u8; 32],
}

impl Identifier {
    pub(crate) fn new(cluster_secret: &[u8; 32]) -> Self {
        Self {
            namespace_key: blake3::derive_key("culvert 2026 identity namespace", cluster_secret),
            label_key: blake3::derive_key("culvert 2026 identity labels", cluster_secret),
        }
    }

    /// The namespace part, in place: what a whole namespace is matched by.
    pub(crate) fn namespace_bits(&self, namespace: &str) -> u128 {
        let hash = blake3::keyed_hash(&self.namespace_key, namespace.as_bytes());
        (high_bits(&hash, NAMESPACE_BITS) << LABEL_BITS) | POD
    }

    /// The identity of Pods with exactly these identity-relevant labels.
    pub(crate) fn identity(&self, namespace: &str, labels: &Labels) -> Identity {
        let mut hasher = blake3::Hasher::new_keyed(&self.label_key);
        for (key, value) in labels.iter() {
            for part in [key, value] {
                hasher.update(&(part.len() as u64).to_be_bytes());
                hasher.update(part.as_bytes());
            }
        }
        let label = high_bits(&hasher.finalize(), LABEL_BITS);
        Identity((self.namespace_bits(namespace) | label) & IDENTITY_MASK)
    }
}

fn high_bits(hash: &blake3::Hash, bits: u32) -> u128 {
    let first = hash
        .as_bytes()
        .first_chunk::<16>()
        .copied()
        .unwrap_or_default();
    u128::from_be_bytes(first) >> (128 - bits)
}

/// Label keys that change with every rollout or Pod and that policies do not name by habit. They
/// become part of identities as soon as a live selector names them.
const EXCLUDED_KEYS: &[&str] = &[
    "apps.kubernetes.io/pod-index",
    "controller-revision-hash",
    "controller-uid",
    "job-name",
    "pod-template-generation",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];

/// Prefixes of such keys.
const EXCLUDED_PREFIXES: &[&str] = &["batch.kubernetes.io/"];

/// Whether an attribute counts only when a policy names it: labels of high cardinality, and named
/// ports (two Pods with the same labels can have different numbers under one name).
pub(crate) fn counts_only_when_named(key: &str) -> bool {
    key.starts_with(PORT_KEY)
        || EXCLUDED_KEYS.contains(&key)
        || EXCLUDED_PREFIXES.iter().any(|p| key.starts_with(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect()
    }

    #[test]
    fn same_labels_in_two_namespaces_differ_only_in_the_namespace_part() {
        let identifier = Identifier::new(&[7; 32]);
        let a = identifier.identity("a", &labels(&[("app", "web")]));
        let b = identifier.identity("b", &labels(&[("app", "web")]));
        assert_ne!(a.namespace_bits(), b.namespace_bits());
        assert_eq!(a.bits() & !NAMESPACE_MASK, b.bits() & !NAMESPACE_MASK);
        assert_eq!(a.namespace_bits(), identifier.namespace_bits("a"));
    }

    #[test]
    fn moving_a_character_between_key_and_value_changes_the_identity() {
        let identifier = Identifier::new(&[7; 32]);
        let one = identifier.identity("a", &labels(&[("ab", "c")]));
        let two = identifier.identity("a", &labels(&[("a", "bc")]));
        assert_ne!(one, two);
    }

    #[test]
    fn another_secret_gives_other_identities() {
        let none = labels(&[]);
        let one = Identifier::new(&[1; 32]).identity("a", &none);
        assert_ne!(one, Identifier::new(&[2; 32]).identity("a", &none));
    }
}
