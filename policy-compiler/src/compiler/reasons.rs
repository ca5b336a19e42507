// SPDX-License-Identifier: Apache-2.0
//! Answers to why a flow exists: the reasons that layers keep, in words.

use std::collections::BTreeSet;
use std::sync::Arc;

use openflow_codec::Cookie;

use super::Compiler;
use crate::change::AttachmentKey;
use crate::explain::{Cause, Decision, Explanation, Scope, Why};
use crate::layer::{Entry, Layer, Owner};
use crate::model::{Kind, ObjectKey};

impl Compiler {
    /// Every place where a flow has this cookie, and why.
    pub fn explain(&self, cookie: Cookie) -> Vec<Explanation> {
        let layers = self.owners.layers();
        let found = layers.filter_map(|(scope, layer)| {
            let entry = layer.entry(cookie)?;
            Some(self.explain_entry(&scope, layer, entry))
        });
        found.collect()
    }

    /// What policies decide by the flow of the cluster layer with this cookie, each rule once; `None` if
    /// there is no such flow. Costs what its reasons do, not what the layer holds.
    pub fn decisions(&self, cookie: Cookie) -> Option<BTreeSet<(ObjectKey, Decision)>> {
        let layer = self.owners.cluster();
        let reasons = layer.reasons(layer.entry(cookie)?);
        let decisions = reasons.filter_map(|(owner, why)| match owner {
            Owner::Object(key) => {
                let decision = self.policies.get(key)?.decision(why)?;
                Some((key.clone(), decision))
            }
            _ => None,
        });
        Some(decisions.collect())
    }

    /// Whether the policy exists and still decides so.
    pub fn decides(&self, policy: &ObjectKey, decision: &Decision) -> bool {
        let policy = self.policies.get(policy);
        policy.is_some_and(|policy| policy.decides(decision))
    }

    /// Every flow that exists because of this object.
    pub fn flows_of(&self, object: &ObjectKey) -> Vec<Explanation> {
        let mut found = Vec::new();
        for (scope, layer) in self.owners.layers() {
            let owners = layer.owners();
            let wanted = owners
                .filter(|(owner, _)| self.object_of(&scope, owner).as_ref() == Some(object))
                .flat_map(|(_, wanted)| wanted.iter().map(|(cookie, _)| *cookie));
            let mut cookies: Vec<Cookie> = wanted.collect();
            cookies.sort_unstable();
            cookies.dedup();
            let entries = cookies.iter().filter_map(|cookie| layer.entry(*cookie));
            found.extend(entries.map(|entry| self.explain_entry(&scope, layer, entry)));
        }
        found
    }

    /// Every flow of a node's own layer, and why; `None` until the node was observed.
    pub fn explain_node(&self, node: &str) -> Option<Vec<Explanation>> {
        let layer = self.owners.node(node)?;
        let scope = Scope::Node(node.to_owned());
        let entries = layer.entries();
        Some(
            entries
                .map(|entry| self.explain_entry(&scope, layer, entry))
                .collect(),
        )
    }

    fn explain_entry(&self, scope: &Scope, layer: &Layer, entry: &Entry) -> Explanation {
        let reasons = layer.reasons(entry);
        let mut causes: Vec<Cause> = reasons
            .map(|(owner, why)| self.cause(scope, owner, why))
            .collect();
        causes.sort();
        Explanation {
            scope: scope.clone(),
            flow: Arc::clone(&entry.flow),
            causes,
        }
    }

    fn cause(&self, scope: &Scope, owner: &Owner, why: &Why) -> Cause {
        let policy = match owner {
            Owner::Object(key) => self.policies.get(key),
            _ => None,
        };
        Cause {
            object: self.object_of(scope, owner),
            attachment: attachment_of(owner).cloned(),
            decision: policy.and_then(|policy| policy.decision(why)),
            why: match why {
                Why::Text(text) => text.clone().into_owned(),
                Why::Known => self.words_of_identity(owner).unwrap_or_default(),
                _ => policy
                    .and_then(|policy| policy.words(why))
                    .unwrap_or_default(),
            },
        }
    }

    /// Who the Pods are that every switch shall know.
    fn words_of_identity(&self, owner: &Owner) -> Option<String> {
        let Owner::Identity(namespace, identity) = owner else {
            return None;
        };
        let labels = self.identities.labels(namespace, *identity)?;
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        Some(format!(
            "lets policy judge what its Pods with labels {{{}}} send: identity {identity} is known",
            labels.join(",")
        ))
    }

    /// The object that an owner in `scope` belongs to; `None` for the pipeline itself.
    fn object_of(&self, scope: &Scope, owner: &Owner) -> Option<ObjectKey> {
        let node = |name: &str| ObjectKey::new(Kind::Node, "", name);
        match (owner, scope) {
            (Owner::Object(key), _) => Some(key.clone()),
            (Owner::Identity(namespace, _), _) => {
                Some(ObjectKey::new(Kind::Namespace, "", namespace.clone()))
            }
            (Owner::Attachment(key), _) => self.attachments.pod(key),
            (Owner::Route(peer), _) => Some(node(peer)),
            (Owner::TunnelPort | Owner::GatewayPort | Owner::Masquerade, Scope::Node(name)) => {
                Some(node(name))
            }
            (Owner::TunnelPort | Owner::GatewayPort | Owner::Masquerade, Scope::Cluster)
            | (Owner::Pipeline, _) => None,
        }
    }
}

fn attachment_of(owner: &Owner) -> Option<&AttachmentKey> {
    match owner {
        Owner::Attachment(key) => Some(key),
        _ => None,
    }
}
