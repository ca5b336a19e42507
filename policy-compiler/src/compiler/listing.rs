// SPDX-License-Identifier: Apache-2.0
//! Answers to which policies there are, and whom they select.

use std::collections::BTreeMap;

use super::Compiler;
use crate::model::{Name, NamespaceScope, ObjectKey, Policy, Selector};

impl Compiler {
    /// Every policy, in the order in which they are asked, with the number of Pods that it selects.
    pub fn policies(&self) -> Vec<(&ObjectKey, &Policy, usize)> {
        // Many policies share few selectors.
        let mut counted: BTreeMap<Subject<'_>, usize> = BTreeMap::new();
        let mut policies: Vec<_> = self
            .policies
            .iter()
            .map(|(key, policy)| {
                let subject = (&policy.namespace, &policy.namespaces, &policy.pod_selector);
                let count = || self.count_subjects(subject);
                (key, policy, *counted.entry(subject).or_insert_with(count))
            })
            .collect();
        policies.sort_by_key(|(_, policy, _)| (policy.tier, policy.priority));
        policies
    }

    fn count_subjects(&self, (own, namespaces, pods): Subject<'_>) -> usize {
        match namespaces {
            NamespaceScope::Own => self.identities.count_pods(own, pods),
            NamespaceScope::Selected(selector) => {
                let namespaces = self.identities.namespaces(selector);
                namespaces
                    .map(|namespace| self.identities.count_pods(namespace, pods))
                    .sum()
            }
        }
    }
}

/// What a policy's subject depends on: its namespace, which namespaces, which Pods there.
type Subject<'a> = (&'a Name, &'a NamespaceScope, &'a Selector);
