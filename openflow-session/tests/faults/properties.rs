// SPDX-License-Identifier: Apache-2.0
//! Any history of wishes, faults and meddling ends in what is wanted.

use flow_sim::{CommitFault, CommitOutcome, Faults};
use openflow_codec::Cookie;
use openflow_session::LayerState;
use proptest::prelude::*;

use crate::world::World;
use crate::{config, pipeline};

/// What can happen between two looks.
#[derive(Clone, Debug)]
enum Step {
    /// The owner wants other things; the connection is told.
    Want(Wish),
    /// The owner wants other things while a change is on its way.
    WantTwice(Wish, Wish),
    /// Somebody deletes the `n`-th flow; the owner asks for an audit.
    Meddle(usize),
    /// The connection is lost; the next one has these faults.
    Reconnect(Faults),
    /// vswitchd restarts.
    Restart,
}

/// Which flows and groups are wanted.
#[derive(Clone, Debug)]
struct Wish {
    policies: Vec<(u32, u32)>,
    entries: Vec<u32>,
    groups: Vec<(u32, u32)>,
}

impl Wish {
    fn layers(&self) -> (LayerState, LayerState) {
        let mut policies = std::collections::BTreeMap::new();
        policies.extend(self.policies.iter().copied());
        let mut sizes = std::collections::BTreeMap::new();
        sizes.extend(self.groups.iter().copied());
        let flows = policies
            .iter()
            .map(|(n, port)| pipeline::policy_to(*n, *port));
        let users = sizes.keys().map(|id| pipeline::to_group(*id, *id));
        let groups = sizes
            .iter()
            .map(|(id, buckets)| pipeline::group(*id, *buckets));
        let cluster = pipeline::layer(flows.chain(users), groups);
        let node = pipeline::layer(self.entries.iter().map(|n| pipeline::entry(*n)), []);
        (cluster, node)
    }
}

fn wish() -> impl Strategy<Value = Wish> {
    let policies = prop::collection::vec((0..25u32, 1..4u32), 0..25);
    let entries = prop::collection::vec(0..10u32, 0..10);
    let groups = prop::collection::vec((0..5u32, 1..4u32), 0..5);
    (policies, entries, groups).prop_map(|(policies, entries, groups)| Wish {
        policies,
        entries,
        groups,
    })
}

fn faults() -> impl Strategy<Value = Faults> {
    let outcome = prop_oneof![
        Just(CommitOutcome::AppliedThenClosed),
        Just(CommitOutcome::ClosedBefore),
        Just(CommitOutcome::AppliedInSilence),
    ];
    let commit = (1..6u64, outcome).prop_map(|(nth, outcome)| CommitFault { nth, outcome });
    let received = prop::option::of(0..120u64);
    let sent = prop::option::of(0..40u64);
    (received, sent, prop::option::of(commit)).prop_map(|(received, sent, commit)| Faults {
        close_after_received: received,
        close_after_sent: sent,
        commit,
        ..Faults::default()
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => wish().prop_map(Step::Want),
        2 => (wish(), wish()).prop_map(|(a, b)| Step::WantTwice(a, b)),
        2 => any::<prop::sample::Index>().prop_map(|n| Step::Meddle(n.index(64))),
        2 => faults().prop_map(Step::Reconnect),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_history_ends_in_what_is_wanted(steps in prop::collection::vec(step(), 1..12)) {
        let mut world = World::new(config());
        let mut link = world.connect(Faults::default());
        for step in steps {
            match step {
                Step::Want(wish) => {
                    world.want(wish.layers());
                    world.tell(&mut link);
                }
                Step::WantTwice(first, second) => {
                    world.want(first.layers());
                    world.tell(&mut link);
                    world.exchange_some(&mut link, 3);
                    world.want(second.layers());
                    world.tell(&mut link);
                }
                Step::Meddle(n) => {
                    world.settle_somehow(&mut link);
                    let doomed: Option<Cookie> =
                        world.wanted().0.flows().iter().nth(n).map(|(cookie, _)| cookie);
                    if let Some(cookie) = doomed {
                        world.switch_mut().sim_mut().remove_cookie(cookie);
                    }
                    world.audit(&mut link);
                    // An audit that is lost with its connection has to be asked for again.
                    if !world.settle(&mut link) {
                        world.disconnect(link);
                        link = world.connect(Faults::default());
                        world.settle_somehow(&mut link);
                        world.audit(&mut link);
                    }
                }
                Step::Reconnect(faults) => {
                    world.disconnect(link);
                    link = world.connect(faults);
                }
                Step::Restart => {
                    world.restart();
                    link = world.connect(Faults::default());
                }
            }
            world.settle_somehow(&mut link);
            world.check();
        }
    }

    #[test]
    fn a_damaged_byte_from_the_switch_is_survived(at in 0..20_000usize, flip in 1..=255u8) {
        let mut world = World::new(config());
        world.want(crate::before());
        let mut link = world.connect(Faults::default());
        prop_assert!(world.settle(&mut link));
        world.disconnect(link);
        world.want(crate::after());
        let mut link = world.connect(Faults::default());
        link.damage = Some((at, flip));
        // The session may close, or not even notice.
        let _settled = world.settle(&mut link);
        world.disconnect(link);
        // Whatever was believed, an audit finds the truth.
        let mut link = world.connect(Faults::default());
        prop_assert!(world.settle(&mut link));
        world.audit(&mut link);
        prop_assert!(world.settle(&mut link));
        world.check();
    }
}
