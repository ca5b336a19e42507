// SPDX-License-Identifier: Apache-2.0
//! A batch of changes in stages, so that each stage can be rolled out without a leak.
//!
//! A switch that judges a connection knows the rules; who sends is said elsewhere. So rules and
//! identities never change together: first Pods change, then rules, and label keys that no rule names
//! any more leave the identities last. A rule that names a new key comes after all Pods whose identity
//! that changes. The identities that Pods had before linger for one stage, so that rules know both
//! while switches flip from one to the other. A port that a stage opens serves in the next. Rules that
//! deny by who sends come after the list of those who are known (`known`).

use std::collections::BTreeSet;

use super::policies::attribute_keys;
use super::{Compiler, Dirty};
use crate::change::{AttachmentKey, Change, Object, Output};
use crate::ingest::{self, Parsed};
use crate::model::{Kind, ObjectKey};

/// What waits for its stage.
#[derive(Default)]
pub(super) struct Stages {
    changes: Vec<Change>,
    /// Policies and namespaces: as given, or gone.
    rules: Vec<(ObjectKey, Option<Parsed>)>,
    /// Attribute keys of policies that are gone or different.
    pub(super) ceased: Vec<String>,
    /// Ports that the stage before has opened.
    pub(super) opened: BTreeSet<AttachmentKey>,
}

impl Stages {
    /// Rules that wait.
    pub(super) fn rules(&self) -> impl Iterator<Item = &Parsed> {
        self.rules.iter().filter_map(|(_, rule)| rule.as_ref())
    }
}

impl Compiler {
    /// Takes a batch of changes in and says what is different after it, all stages in one.
    ///
    /// The first output also carries the fixed part of the pipeline.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) -> Output {
        self.submit(changes);
        let mut output = Output::default();
        while self.has_stages() {
            let mut dirty = self.begin_stage(false, &mut output);
            self.finish_stage(&mut dirty, &mut output);
        }
        self.take_deltas(&mut output);
        output
    }

    /// Takes a batch of changes in, for [`Compiler::advance`].
    pub fn submit(&mut self, changes: impl IntoIterator<Item = Change>) {
        self.stages.changes.extend(changes);
    }

    /// Whether [`Compiler::advance`] has something to do.
    pub fn has_stages(&self) -> bool {
        let Stages {
            changes,
            rules,
            ceased,
            opened,
        } = &self.stages;
        let empty =
            changes.is_empty() && rules.is_empty() && ceased.is_empty() && opened.is_empty();
        !empty || self.identities.linger() || self.lists_in_vain()
    }

    /// Works off the next stage and says what is different after it. Every switch shall have
    /// acknowledged that before the stage after it is asked for.
    pub fn advance(&mut self) -> Output {
        let mut output = Output::default();
        let mut dirty = self.begin_stage(true, &mut output);
        self.clear_flags(&dirty);
        output.early = self.owners.take_node_deltas();
        self.finish_stage(&mut dirty, &mut output);
        self.take_deltas(&mut output);
        output
    }

    /// Takes in what belongs to the next stage. What was begun is finished before new changes are
    /// looked at, so that no change waits for ever.
    fn begin_stage(&mut self, apart: bool, output: &mut Output) -> Dirty {
        let mut dirty = Dirty::default();
        self.forget_lingering(&mut dirty);
        self.unlist();
        let opened = std::mem::take(&mut self.stages.opened);
        self.attachments.serve(opened, &mut dirty);
        if self.stages.rules.is_empty() && !self.stages.ceased.is_empty() {
            let ceased = std::mem::take(&mut self.stages.ceased);
            let changed = self.identities.forget_keys(ceased);
            self.identify_again(&changed, &mut dirty);
            return dirty;
        }
        if self.stages.rules.is_empty() {
            for change in std::mem::take(&mut self.stages.changes) {
                self.take_in(change, &mut dirty, output);
            }
            if apart && !dirty.pods.is_empty() {
                return dirty;
            }
        }
        if self.list_before_rules() {
            return dirty;
        }
        for (key, rule) in std::mem::take(&mut self.stages.rules) {
            match rule {
                Some(Parsed::Namespace { name, labels }) => {
                    self.set_namespace(&name, Some(labels), &mut dirty);
                }
                Some(Parsed::Policy(policy)) => {
                    self.set_policy(key, Some(policy), &mut dirty);
                }
                Some(_) => {}
                None if key.kind == Kind::Namespace => {
                    self.set_namespace(&key.name, None, &mut dirty);
                }
                None => self.set_policy(key, None, &mut dirty),
            }
        }
        dirty
    }

    fn finish_stage(&mut self, dirty: &mut Dirty, output: &mut Output) {
        self.settle_families(dirty);
        self.settle_identities(dirty, output);
        self.settle_policies(dirty);
        self.settle_attachments(dirty, output);
        self.settle_services(dirty);
        self.settle_nodes(dirty);
    }

    fn take_deltas(&mut self, output: &mut Output) {
        output.cluster = self.owners.take_cluster_delta();
        output.nodes = self.owners.take_node_deltas();
        (output.services, output.local_endpoints) = self.take_told();
    }

    /// An object is as given: takes it in, or keeps it for the stage of rules.
    pub(super) fn take_in_object(
        &mut self,
        object: &Object,
        dirty: &mut Dirty,
        output: &mut Output,
    ) {
        let (key, parsed) = match (ingest::key(object), ingest::parse(object)) {
            (Ok(key), Ok(parsed)) => (key, parsed),
            (Ok(key), Err(rejected)) => {
                output.rejected.push((key, rejected));
                return;
            }
            (Err(rejected), _) => {
                let nameless = ObjectKey::new(object.kind(), "", "");
                output.rejected.push((nameless, rejected));
                return;
            }
        };
        match parsed {
            Parsed::Node(node) => self.set_node(&key.name, Some(node), dirty),
            Parsed::Pod(pod) => {
                let old = self.pods.insert(key.clone(), pod);
                dirty.pod(&key, old.as_ref(), self.pods.get(&key));
            }
            Parsed::Service(service) => self.services.set(key, Some(service), dirty),
            Parsed::EndpointSlice(slice) => self.services.set_slice(key, Some(slice), dirty),
            Parsed::ServiceCidr(range) => self.services.set_range(key, Some(range), dirty),
            Parsed::Policy(policy) => {
                let changed = self.identities.name_keys(attribute_keys(&policy));
                self.identify_again(&changed, dirty);
                self.stages.rules.push((key, Some(Parsed::Policy(policy))));
            }
            Parsed::Namespace { .. } => self.stages.rules.push((key, Some(parsed))),
        }
    }

    /// An object is gone.
    pub(super) fn delete_object(&mut self, key: &ObjectKey, dirty: &mut Dirty) {
        match key.kind {
            Kind::Node => self.set_node(&key.name, None, dirty),
            Kind::Pod => {
                let old = self.pods.remove(key);
                dirty.pod(key, old.as_ref(), None);
            }
            Kind::Service => self.services.set(key.clone(), None, dirty),
            Kind::EndpointSlice => self.services.set_slice(key.clone(), None, dirty),
            Kind::ServiceCidr => self.services.set_range(key.clone(), None, dirty),
            Kind::Namespace | Kind::NetworkPolicy | Kind::ClusterNetworkPolicy => {
                self.stages.rules.push((key.clone(), None))
            }
        }
    }

    /// These attribute keys begin or cease to count.
    fn identify_again(&self, keys: &BTreeSet<String>, dirty: &mut Dirty) {
        if keys.is_empty() {
            return;
        }
        let pods = self.pods.iter();
        let concerned =
            pods.filter(|(_, pod)| pod.attributes().any(|(key, _)| keys.contains(&*key)));
        dirty.pods.extend(concerned.map(|(key, _)| key.clone()));
    }
}
