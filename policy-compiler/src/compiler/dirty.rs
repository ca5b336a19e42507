// SPDX-License-Identifier: Apache-2.0
//! What a batch of changes has touched and must be made anew.

use std::collections::BTreeSet;

use crate::change::AttachmentKey;
use crate::model::{Name, ObjectKey, Pod};

/// Sets of things to be made anew.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    /// Pods whose identity may have changed.
    pub(super) pods: BTreeSet<ObjectKey>,
    /// Policies.
    pub(super) policies: BTreeSet<ObjectKey>,
    /// Attachments by key.
    pub(super) attachments: BTreeSet<AttachmentKey>,
    /// Attachments by Pod.
    pub(super) attachments_of: BTreeSet<ObjectKey>,
    /// Services.
    pub(super) services: BTreeSet<ObjectKey>,
    /// Ranges of cluster addresses.
    pub(super) ranges: BTreeSet<ObjectKey>,
    /// Namespaces whose Services take their endpoints from Pods.
    pub(super) endpoints_in: BTreeSet<Name>,
    /// Nodes whose object changed.
    pub(super) node_objects: BTreeSet<String>,
    /// Nodes whose own port changed.
    pub(super) nodes: BTreeSet<String>,
    /// Routes between all nodes.
    pub(super) all_nodes: bool,
}

impl Dirty {
    /// A Pod object changed from `old` to `new`.
    pub(super) fn pod(&mut self, key: &ObjectKey, old: Option<&Pod>, new: Option<&Pod>) {
        if old == new {
            return;
        }
        self.pods.insert(key.clone());
        self.attachments_of.insert(key.clone());
        self.endpoints_in.insert(key.namespace.clone());
    }
}
