// SPDX-License-Identifier: Apache-2.0
//! Changes that wait for their turn: of several changes of one thing, the last.

use std::collections::{BTreeMap, BTreeSet};

use policy_compiler::{AttachmentKey, Change, Kind, NodeFacts, ObjectKey, ingest};

/// Changes by what they change, so that a long wait costs no more than a short one.
#[derive(Debug, Default)]
pub(super) struct Pending {
    objects: BTreeMap<ObjectKey, Change>,
    nodes: BTreeMap<String, NodeFacts>,
    attachments: BTreeMap<AttachmentKey, Change>,
}

/// A batch for the compiler.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) changes: Vec<Change>,
    /// Whether a Node object is among them.
    pub(super) node_objects: bool,
    /// Nodes that are observed in it.
    pub(super) observed: BTreeSet<String>,
    /// Attachments that are new or different in it.
    pub(super) attached: BTreeSet<AttachmentKey>,
}

impl Pending {
    pub(super) fn push(&mut self, change: Change) {
        match change {
            Change::Apply(ref object) => {
                // A nameless object does not pass the source.
                if let Ok(key) = ingest::key(object) {
                    self.objects.insert(key, change);
                }
            }
            Change::Delete(ref key) => {
                self.objects.insert(key.clone(), change);
            }
            Change::ObserveNode { node, facts } => {
                self.nodes.insert(node, facts);
            }
            Change::Attach(ref attachment) => {
                self.attachments.insert(attachment.key.clone(), change);
            }
            Change::Detach(ref key) | Change::Admit(ref key) => {
                self.attachments.insert(key.clone(), change);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.objects.len() + self.nodes.len() + self.attachments.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything, objects first.
    pub(super) fn take(&mut self) -> Batch {
        let Self {
            objects,
            nodes,
            attachments,
        } = std::mem::take(self);
        let node_objects = objects.keys().any(|key| key.kind == Kind::Node);
        let observed = nodes.keys().cloned().collect();
        let attached = attachments
            .iter()
            .filter(|(_, change)| matches!(change, Change::Attach(_)))
            .map(|(key, _)| key.clone());
        let attached = attached.collect();
        let nodes = nodes
            .into_iter()
            .map(|(node, facts)| Change::ObserveNode { node, facts });
        let changes = objects
            .into_values()
            .chain(nodes)
            .chain(attachments.into_values())
            .collect();
        Batch {
            changes,
            node_objects,
            observed,
            attached,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_changes_of_one_thing_the_last_remains() {
        let mut pending = Pending::default();
        let key = AttachmentKey {
            node: "a".into(),
            interface: "veth1".into(),
        };
        let pod = ObjectKey::new(Kind::Pod, "shop", "web");
        for _ in 0..3 {
            pending.push(Change::Delete(pod.clone()));
            pending.push(Change::Detach(key.clone()));
            let facts = NodeFacts {
                tunnel_port: None,
                gateway_port: None,
            };
            pending.push(Change::ObserveNode {
                node: "a".into(),
                facts,
            });
        }
        assert_eq!(pending.len(), 3);
        let batch = pending.take();
        assert_eq!(batch.changes.first(), Some(&Change::Delete(pod)));
        assert_eq!(batch.changes.last(), Some(&Change::Detach(key)));
        assert!(batch.observed.contains("a") && batch.attached.is_empty());
        assert!(pending.is_empty());
    }
}
