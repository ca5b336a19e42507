// SPDX-License-Identifier: Apache-2.0
//! Which candidates get the new connections to one port of a Service.

use std::collections::BTreeSet;

use crate::model::{CandidateState, Endpoint, Family, Pod};

/// Candidates that may get new connections.
#[derive(Default)]
pub(super) struct Candidates {
    ready: BTreeSet<Endpoint>,
    leaving: BTreeSet<Endpoint>,
}

impl Candidates {
    pub(super) fn add(&mut self, endpoint: Endpoint, state: CandidateState) {
        match state {
            CandidateState::Ready => self.ready.insert(endpoint),
            CandidateState::Leaving => self.leaving.insert(endpoint),
            CandidateState::Serving | CandidateState::Absent => false,
        };
    }

    /// Who gets new connections of this family, sorted: those that are ready; when none is, those that
    /// serve on while they terminate, so that a rollout of one Pod refuses nobody.
    pub(super) fn usable(&self, family: Family) -> Vec<Endpoint> {
        let of_family = |all: &BTreeSet<Endpoint>| -> Vec<Endpoint> {
            let all = all.iter().copied();
            all.filter(|one| Family::of(one.address) == family)
                .collect()
        };
        let ready = of_family(&self.ready);
        if ready.is_empty() {
            of_family(&self.leaving)
        } else {
            ready
        }
    }
}

/// What an `EndpointSlice` would say of a Pod.
pub(super) fn state_of(pod: &Pod, publish_not_ready: bool) -> CandidateState {
    match (pod.ready, pod.terminating) {
        _ if publish_not_ready => CandidateState::Ready,
        (true, false) => CandidateState::Ready,
        (true, true) => CandidateState::Leaving,
        (false, _) => CandidateState::Absent,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::change::Object;
    use crate::ingest::{self, Parsed};

    fn usable(family: Family, all: &[(&str, CandidateState)]) -> Vec<String> {
        let mut candidates = Candidates::default();
        for (address, state) in all {
            let address = address.parse().unwrap();
            candidates.add(Endpoint { address, port: 80 }, *state);
        }
        let usable = candidates.usable(family);
        usable.iter().map(|one| one.address.to_string()).collect()
    }

    #[test]
    fn who_leaves_serves_only_when_nobody_is_ready() {
        use CandidateState::{Absent, Leaving, Ready, Serving};
        let all = [
            ("10.0.0.4", Serving),
            ("10.0.0.3", Absent),
            ("10.0.0.2", Leaving),
            ("10.0.0.1", Ready),
        ];
        assert_eq!(usable(Family::V4, &all), ["10.0.0.1"]);
        assert_eq!(usable(Family::V4, &all[..3]), ["10.0.0.2"]);
        assert!(usable(Family::V4, &all[..2]).is_empty());
    }

    #[test]
    fn a_family_falls_back_whatever_the_other_has() {
        let all = [
            ("10.0.0.1", CandidateState::Ready),
            ("fd00::1", CandidateState::Leaving),
        ];
        assert_eq!(usable(Family::V4, &all), ["10.0.0.1"]);
        assert_eq!(usable(Family::V6, &all), ["fd00::1"]);
    }

    #[test]
    fn a_pod_serves_while_it_is_ready_unless_it_is_published_anyway() {
        let state = |metadata: Value, ready: Option<&str>, publish| {
            let conditions = ready.map(|status| json!([{"type": "Ready", "status": status}]));
            let mut object = json!({
                "metadata": {"namespace": "x", "name": "a"},
                "status": {"conditions": conditions},
            });
            object["metadata"]["deletionTimestamp"] = metadata;
            let object = serde_json::from_value(object).unwrap();
            let Ok(Parsed::Pod(pod)) = ingest::parse(&Object::Pod(Box::new(object))) else {
                panic!("a Pod is refused");
            };
            state_of(&pod, publish)
        };
        let stays = Value::Null;
        let goes = json!("2026-01-01T00:00:00Z");
        assert_eq!(state(stays.clone(), None, false), CandidateState::Ready);
        assert_eq!(
            state(stays.clone(), Some("True"), false),
            CandidateState::Ready
        );
        assert_eq!(
            state(stays.clone(), Some("False"), false),
            CandidateState::Absent
        );
        assert_eq!(
            state(goes.clone(), Some("True"), false),
            CandidateState::Leaving
        );
        assert_eq!(state(goes, Some("False"), false), CandidateState::Absent);
        assert_eq!(state(stays, Some("False"), true), CandidateState::Ready);
    }
}
