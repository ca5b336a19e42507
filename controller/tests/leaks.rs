// SPDX-License-Identifier: Apache-2.0
//! No packet passes that neither the state before nor the state after a change allows, and none is
//! lost that both allow, while switches learn of changes in every order.
//!
//! The real controller decides; its switches are simulated, and each carries out what it was told
//! when the dice say so. After every single step packets are sent and judged by the naive reading of
//! the API. Pods have addresses of either family, and talk to each other, to nodes and to the world.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "leaks/end.rs"]
mod end;
#[path = "leaks/fleet.rs"]
mod fleet;
#[path = "leaks/judge.rs"]
mod judge;
#[path = "leaks/state.rs"]
mod state;

use judge::{Court, Trial};

/// Changes of one seed; four seeds run side by side.
const CHANGES: usize = 2_500;

#[test]
fn nothing_leaks_and_nothing_is_lost_during_changes_1() {
    Court::new(1, Trial::Policies).run(CHANGES);
}

#[test]
fn nothing_leaks_and_nothing_is_lost_during_changes_2() {
    Court::new(2, Trial::Policies).run(CHANGES);
}

#[test]
fn nothing_leaks_and_nothing_is_lost_during_changes_of_cluster_policies_3() {
    Court::new(3, Trial::ClusterPolicies).run(CHANGES);
}

#[test]
fn nothing_leaks_and_nothing_is_lost_during_changes_of_cluster_policies_4() {
    Court::new(4, Trial::ClusterPolicies).run(CHANGES);
}
