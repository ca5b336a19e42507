// SPDX-License-Identifier: Apache-2.0
//! Which identities exist: per namespace, each with its labels and its Pods.

use std::collections::{BTreeMap, BTreeSet};

use super::{Compiler, Dirty};
use crate::change::Output;
use crate::identity::{Identifier, Identity, counts_only_when_named};
use crate::ingest::Rejected;
use crate::model::{
    Kind, Labels, METADATA_NAME, Name, ObjectKey, PORT_KEY, Pod, Protocol, Selector, port_key,
};
use crate::small_set::SmallSet;

/// All identities.
pub(super) struct Identities {
    identifier: Identifier,
    namespaces: BTreeMap<Name, NamespaceState>,
    of_pod: BTreeMap<ObjectKey, Identity>,
    /// Attribute keys that count only when named, with the number of policies that name them.
    named_keys: BTreeMap<String, usize>,
    /// Identities that no Pod has any more, with their namespaces. Rules go on to know them until every
    /// switch has learnt who the Pods are now.
    lingering: BTreeSet<(Name, Identity)>,
}

/// A namespace: its object, if there is one, and its Pods by identity.
#[derive(Default)]
struct NamespaceState {
    labels: Option<Labels>,
    identities: BTreeMap<Identity, Members>,
}

/// Pods that share an identity.
struct Members {
    labels: Labels,
    /// By name.
    pods: SmallSet<Name>,
}

impl Identities {
    pub(super) fn new(cluster_secret: &[u8; 32]) -> Self {
        Self {
            identifier: Identifier::new(cluster_secret),
            namespaces: BTreeMap::new(),
            of_pod: BTreeMap::new(),
            named_keys: BTreeMap::new(),
            lingering: BTreeSet::new(),
        }
    }

    /// Namespace part of identities, in place.
    pub(super) fn namespace_bits(&self, namespace: &str) -> u128 {
        self.identifier.namespace_bits(namespace)
    }

    pub(super) fn of(&self, pod: &ObjectKey) -> Option<Identity> {
        self.of_pod.get(pod).copied()
    }

    /// A namespace's object is as given, or gone; whether that changes what selectors select.
    pub(super) fn set_namespace(&mut self, name: &Name, labels: Option<Labels>) -> bool {
        let state = self.namespaces.entry(name.clone()).or_default();
        let before = state.exists().then(|| state.labels_of(name));
        state.labels = labels;
        let after = state.exists().then(|| state.labels_of(name));
        if after.is_none() {
            self.namespaces.remove(&**name);
        }
        before != after
    }

    /// Namespaces that `selector` selects, by name.
    pub(super) fn namespaces(&self, selector: &Selector) -> impl Iterator<Item = &Name> {
        self.namespaces
            .iter()
            .filter(|(name, state)| selector.matches(&state.labels_of(name)))
            .map(|(name, _)| name)
    }

    /// Identities of a namespace whose labels `selector` selects.
    pub(super) fn select(
        &self,
        namespace: &str,
        selector: &Selector,
    ) -> impl Iterator<Item = Identity> {
        self.selected(namespace, selector)
            .map(|(identity, _)| identity)
    }

    fn selected(
        &self,
        namespace: &str,
        selector: &Selector,
    ) -> impl Iterator<Item = (Identity, &Members)> {
        let identities = self.namespaces.get(namespace).into_iter();
        identities
            .flat_map(|state| &state.identities)
            .filter(|(_, members)| selector.matches(&members.labels))
            .map(|(identity, members)| (*identity, members))
    }

    /// Identities of a namespace that `selector` selects and that have the named port, with its number.
    pub(super) fn select_port(
        &self,
        namespace: &str,
        selector: &Selector,
        protocol: Protocol,
        name: &str,
    ) -> impl Iterator<Item = (Identity, u16)> {
        let key = port_key(protocol, name);
        self.selected(namespace, selector)
            .filter_map(move |(identity, members)| {
                Some((identity, members.labels.get(&key)?.parse().ok()?))
            })
    }

    /// A policy begins to name these attribute keys; those that count from now on.
    pub(super) fn name_keys(&mut self, keys: impl IntoIterator<Item = String>) -> BTreeSet<String> {
        let mut changed = BTreeSet::new();
        for key in keys.into_iter().filter(|key| counts_only_when_named(key)) {
            let count = self.named_keys.entry(key.clone()).or_default();
            *count += 1;
            if *count == 1 {
                changed.insert(key);
            }
        }
        changed
    }

    /// A policy ceases to name these attribute keys; those that count no longer.
    pub(super) fn forget_keys(
        &mut self,
        keys: impl IntoIterator<Item = String>,
    ) -> BTreeSet<String> {
        let mut changed = BTreeSet::new();
        for key in keys {
            let Some(count) = self.named_keys.get_mut(&key) else {
                continue;
            };
            *count -= 1;
            if *count == 0 {
                self.named_keys.remove(&key);
                changed.insert(key);
            }
        }
        changed
    }

    /// Pods of a namespace that `selector` selects.
    pub(super) fn pods(
        &self,
        namespace: &Name,
        selector: &Selector,
    ) -> impl Iterator<Item = ObjectKey> {
        let key = move |pod: &Name| ObjectKey::new(Kind::Pod, namespace, pod);
        self.selected(namespace, selector)
            .flat_map(move |(_, members)| members.pods.iter().map(key))
    }

    /// How many they are.
    pub(super) fn count_pods(&self, namespace: &str, selector: &Selector) -> usize {
        self.selected(namespace, selector)
            .map(|(_, members)| members.pods.iter().count())
            .sum()
    }

    fn relevant(&self, pod: &Pod) -> Labels {
        let counts = |key: &str| !counts_only_when_named(key) || self.named_keys.contains_key(key);
        // Labels that all count are shared with the Pod.
        let all = |labels: &Labels| {
            let mut keys = labels.iter().map(|(key, _)| key);
            keys.all(|key| counts(key) && !key.starts_with(PORT_KEY))
        };
        if pod.named_ports.is_empty() && all(&pod.labels) {
            return pod.labels.clone();
        }
        pod.attributes().filter(|(key, _)| counts(key)).collect()
    }

    fn add(&mut self, pod: &ObjectKey, labels: Labels) -> Result<Added, Collision> {
        let identity = self.identifier.identity(&pod.namespace, &labels);
        let state = self.namespaces.entry(pod.namespace.clone()).or_default();
        let new_namespace = !state.exists();
        let new_identity = !state.identities.contains_key(&identity);
        let members = state.identities.entry(identity).or_insert_with(|| Members {
            labels: labels.clone(),
            pods: SmallSet::default(),
        });
        if members.labels != labels {
            let other = members.pods.iter().next().cloned();
            let other = ObjectKey::new(Kind::Pod, &pod.namespace, other.unwrap_or_default());
            return Err(Collision { identity, other });
        }
        members.pods.insert(pod.name.clone());
        self.of_pod.insert(pod.clone(), identity);
        Ok(Added {
            identity,
            new_identity,
            new_namespace,
        })
    }

    /// The identity that the Pod had. If nobody else has it, it lingers.
    fn remove(&mut self, pod: &ObjectKey) -> Option<Identity> {
        let identity = self.of_pod.remove(pod)?;
        let state = self.namespaces.get_mut(&*pod.namespace)?;
        let members = state.identities.get_mut(&identity)?;
        members.pods.remove(&pod.name);
        if members.pods.is_empty() {
            self.lingering.insert((pod.namespace.clone(), identity));
        }
        Some(identity)
    }

    /// Every identity that rules know, with its namespace.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Name, Identity)> {
        let namespaces = self.namespaces.iter();
        namespaces.flat_map(|(name, state)| state.identities.keys().map(move |one| (name, *one)))
    }

    /// Labels of the Pods with an identity, as far as they count.
    pub(super) fn labels(&self, namespace: &str, identity: Identity) -> Option<&Labels> {
        let members = self.namespaces.get(namespace)?.identities.get(&identity)?;
        Some(&members.labels)
    }

    /// Whether some identity lingers: rules know it, and no Pod has it.
    pub(super) fn linger(&self) -> bool {
        !self.lingering.is_empty()
    }

    /// Forgets what lingers; the identities that are gone, each with its namespace, and whether a
    /// namespace is gone itself.
    fn forget_lingering(&mut self) -> (BTreeSet<(Name, Identity)>, bool) {
        let (mut losing, mut gone) = (BTreeSet::new(), false);
        for (name, identity) in std::mem::take(&mut self.lingering) {
            let Some(state) = self.namespaces.get_mut(&*name) else {
                continue;
            };
            let members = state.identities.get(&identity);
            if members.is_none_or(|members| !members.pods.is_empty()) {
                continue;
            }
            state.identities.remove(&identity);
            if !state.exists() {
                self.namespaces.remove(&name);
                gone = true;
            }
            losing.insert((name, identity));
        }
        (losing, gone)
    }
}

struct Added {
    identity: Identity,
    new_identity: bool,
    new_namespace: bool,
}

/// Two label sets have one hash.
struct Collision {
    identity: Identity,
    other: ObjectKey,
}

impl NamespaceState {
    fn exists(&self) -> bool {
        self.labels.is_some() || !self.identities.is_empty()
    }

    /// A namespace without object still has the label that every namespace has.
    fn labels_of(&self, name: &Name) -> Labels {
        let own_name = || Labels::from_iter([(METADATA_NAME.into(), name.clone())]);
        self.labels.clone().unwrap_or_else(own_name)
    }
}

impl Compiler {
    /// Computes the identity of every dirty Pod and finds the policies that it concerns.
    pub(super) fn settle_identities(&mut self, dirty: &mut Dirty, output: &mut Output) {
        for key in std::mem::take(&mut dirty.pods) {
            let pod = self.pods.get(&key).filter(|pod| pod.on_pod_network());
            let labels = pod.map(|pod| self.identities.relevant(pod));
            let removed = self.identities.remove(&key);
            let added = labels
                .map(|labels| self.identities.add(&key, labels))
                .transpose();
            let added = match added {
                Ok(added) => added,
                Err(Collision { identity, other }) => {
                    let problem = format!(
                        "give identity {identity}, which {other} has with other labels; change a label"
                    );
                    output
                        .rejected
                        .push((key.clone(), Rejected::new("metadata.labels", problem)));
                    None
                }
            };
            let after = added.as_ref().map(|added| added.identity);
            if removed == after {
                continue;
            }
            dirty.attachments_of.insert(key.clone());
            let Some(added) = added else {
                continue;
            };
            if added.new_namespace {
                dirty.policies.extend(self.policies.selecting_namespaces());
            }
            if added.new_identity {
                dirty.policies.extend(self.policies.reading(&key.namespace));
                self.list_identity(key.namespace, added.identity);
            }
        }
    }

    /// Forgets identities that no Pod has any more.
    pub(super) fn forget_lingering(&mut self, dirty: &mut Dirty) {
        let (losing, gone) = self.identities.forget_lingering();
        for (namespace, identity) in losing {
            dirty.policies.extend(self.policies.reading(&namespace));
            self.unlist_identity(namespace, identity);
        }
        if gone {
            dirty.policies.extend(self.policies.selecting_namespaces());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, Config, Object};

    /// A Pod of a namespace `x` with one label.
    fn pod(name: &str, label: &str) -> Change {
        let text = format!(
            r#"{{"metadata": {{"namespace": "x", "name": "{name}", "labels": {{"app": "{label}"}}}},
                "spec": {{"nodeName": "node-1", "containers": []}}}}"#
        );
        let pod = serde_json::from_str(&text).expect("a Pod");
        Change::Apply(Object::Pod(Box::new(pod)))
    }

    #[test]
    fn a_pod_whose_labels_have_the_hash_of_others_is_refused_and_has_no_identity() {
        let mut compiler = Compiler::new(&Config {
            cluster_secret: [7; 32],
        });
        compiler.apply([pod("first", "one")]);
        // As if both label sets had one hash.
        let two = Labels::from_iter([("app".into(), "two".into())]);
        let identity = compiler.identities.identifier.identity("x", &two);
        let state = compiler.identities.namespaces.get_mut("x").unwrap();
        let (_, members) = state.identities.pop_first().unwrap();
        state.identities.insert(identity, members);

        let output = compiler.apply([pod("second", "two")]);
        let second = ObjectKey::new(Kind::Pod, "x", "second");
        let [(key, rejected)] = output.rejected.as_slice() else {
            panic!("{:?}", output.rejected);
        };
        assert_eq!(*key, second);
        assert!(rejected.to_string().contains("x/first"), "{rejected}");
        assert_eq!(compiler.identities.of(&second), None);
    }
}
