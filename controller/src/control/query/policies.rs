// SPDX-License-Identifier: Apache-2.0
//! Policies, with what their rules have decided and what is refused of them.

use std::collections::{BTreeMap, BTreeSet};

use api_types as api;
use policy_compiler::model::{Policy, Tier};
use policy_compiler::{Decision, Kind, ObjectKey};

use crate::control::{Control, Traffic};

type Counts = BTreeMap<(ObjectKey, Decision), Traffic>;

impl Control {
    /// `GET /v1/policies`.
    pub fn policies(&self) -> api::Policies {
        let counts = self.policy_counts().into_iter();
        let counts: Counts = counts
            .map(|one| ((one.policy, one.decision), one.traffic))
            .collect();
        let known = self.compiler.policies();
        let there: BTreeSet<&ObjectKey> = known.iter().map(|(key, ..)| *key).collect();
        let refused = self.refused_policies();
        let never = refused.iter().filter(|(key, _)| !there.contains(key));
        let never = never.map(|(key, reason)| api::Policy {
            policy: key.to_string(),
            state: api::PolicyState::Refused,
            refused: Some(reason.clone()),
            tier: None,
            priority: None,
            pods: 0,
            rules: Vec::new(),
        });
        let policies = known.iter().map(|(key, policy, pods)| {
            let state = match policy.staged {
                true => api::PolicyState::Staged,
                false => api::PolicyState::InForce,
            };
            api::Policy {
                policy: key.to_string(),
                state,
                refused: refused.get(*key).cloned(),
                tier: Some(policy.tier.to_string()),
                priority: (policy.tier != Tier::NetworkPolicy).then_some(policy.priority),
                pods: *pods,
                rules: rules(key, policy, &counts),
            }
        });
        let policies = policies.chain(never).collect();
        api::Policies { policies }
    }

    /// Policies that say what cannot be read, and why: where manifests are read, or by the compiler.
    fn refused_policies(&self) -> BTreeMap<ObjectKey, String> {
        let problems = self.source.problems.iter();
        let errors = problems.filter(|problem| problem.severity == api::Severity::Error);
        let unread = errors.filter_map(|problem| {
            let key = problem.object.as_ref()?.parse().ok()?;
            Some((key, problem.reason.clone()))
        });
        let rejected = self.rejected.iter();
        let rejected = rejected.map(|(key, reason)| (key.clone(), reason.clone()));
        let refused = unread.chain(rejected);
        refused.filter(|(key, _)| is_policy(key)).collect()
    }
}

fn is_policy(key: &ObjectKey) -> bool {
    matches!(key.kind, Kind::NetworkPolicy | Kind::ClusterNetworkPolicy)
}

fn rules(key: &ObjectKey, policy: &Policy, counts: &Counts) -> Vec<api::PolicyRule> {
    let rules = policy.decisions().into_iter().map(|(decision, about)| {
        let of = (key.clone(), decision);
        let Traffic { packets, bytes } = counts.get(&of).copied().unwrap_or_default();
        let (_, decision) = of;
        api::PolicyRule {
            direction: decision.direction.to_string(),
            rule: decision.rule,
            rule_name: decision.rule_name,
            action: decision.action.to_string(),
            about,
            packets,
            bytes,
        }
    });
    rules.collect()
}
