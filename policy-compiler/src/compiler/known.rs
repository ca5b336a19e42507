// SPDX-License-Identifier: Apache-2.0
//! The list of known identities, which every switch has while policies deny by who sends.
//!
//! It is complete, and acknowledged, before the first of these policies comes into force, and goes after
//! the last of them is gone: no Pod is denied because the list is not there yet.

use super::Compiler;
use crate::explain::Scope;
use crate::identity::Identity;
use crate::ingest::Parsed;
use crate::layer::Owner;
use crate::model::Name;
use crate::stage::known;

impl Compiler {
    /// The list is there, and nobody asks for it.
    pub(super) fn lists_in_vain(&self) -> bool {
        self.listed && !self.policies.deny_by_identity() && !self.rules_want_list()
    }

    /// Whether policies that wait for their stage need the list first; if so, makes it.
    pub(super) fn list_before_rules(&mut self) -> bool {
        if self.listed || !self.rules_want_list() {
            return false;
        }
        self.set_listed(true);
        true
    }

    /// Takes the list away when nobody asks for it.
    pub(super) fn unlist(&mut self) {
        if self.lists_in_vain() {
            self.set_listed(false);
        }
    }

    fn set_listed(&mut self, listed: bool) {
        self.listed = listed;
        let all = self.identities.all();
        let all: Vec<_> = all
            .map(|(name, identity)| (name.clone(), identity))
            .collect();
        for (namespace, identity) in all {
            self.own_identity(namespace, identity, listed);
        }
    }

    /// An identity is new.
    pub(super) fn list_identity(&mut self, namespace: Name, identity: Identity) {
        if self.listed {
            self.own_identity(namespace, identity, true);
        }
    }

    /// An identity is forgotten.
    pub(super) fn unlist_identity(&mut self, namespace: Name, identity: Identity) {
        if self.listed {
            self.own_identity(namespace, identity, false);
        }
    }

    fn own_identity(&mut self, namespace: Name, identity: Identity, is_known: bool) {
        let flow = is_known.then(|| known::identity(identity));
        let owner = Owner::Identity(namespace, identity);
        self.own(owner, &Scope::Cluster, flow.into_iter().collect());
    }

    fn rules_want_list(&self) -> bool {
        let mut rules = self.stages.rules();
        rules.any(|rule| matches!(rule, Parsed::Policy(policy) if policy.denies_by_identity()))
    }
}
