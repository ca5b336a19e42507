// SPDX-License-Identifier: Apache-2.0
//! Ten thousand random schedules of faults in virtual time, each of which ends in what is wanted.
//!
//! Schedule `n` is made of the seed `CULVERT_SEED + n`. A failure names the seed of its schedule:
//!
//! ```text
//! CULVERT_SEED=4711 CULVERT_SCHEDULES=1 cargo test -p openflow-session --test faults schedules
//! ```

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::time::Duration;

use flow_sim::{CommitFault, CommitOutcome, Faults};
use openflow_codec::message::error::ErrorCode;
use openflow_codec::{Cookie, TableId};
use openflow_session::LayerState;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::world::{Cut, Link, World};
use crate::{config, pipeline};

const SCHEDULES: u64 = 10_000;

/// What can happen between two looks.
#[derive(Clone, Debug)]
enum Step {
    /// The owner wants other things; the connection is told.
    Want(Wish),
    /// The owner wants other things while a change is on its way.
    WantTwice(Wish, Wish),
    /// Somebody changes the switch by hand, while a change is on its way or not; the owner asks for
    /// an audit.
    Meddle(Option<Wish>, Meddling),
    /// The connection is lost; the next one has this in its way.
    Reconnect(Trouble),
    /// The owner wants other things, and what was wanted before again when the connection may have
    /// been lost half-way.
    Waver(Wish, Trouble),
    /// The switch does nothing for so long, while a change is on its way.
    Stop(Wish, Duration),
    /// vswitchd restarts, while a change is on its way.
    Restart(Wish),
}

/// What one connection suffers.
#[derive(Clone, Debug)]
struct Trouble {
    faults: Faults,
    cut: Option<Cut>,
    wish: Option<Wish>,
}

/// What somebody does by hand.
#[derive(Clone, Copy, Debug)]
enum Meddling {
    RemoveFlow(usize),
    ChangeFlow(usize),
    AddFlowOfOurs(u32),
    AddForeignFlow(u32),
    RemoveGroup(usize),
    ChangeGroup(usize),
    AddGroup(u32),
    RemoveMarkers,
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
        let policies: BTreeMap<_, _> = self.policies.iter().copied().collect();
        let sizes: BTreeMap<_, _> = self.groups.iter().copied().collect();
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

/// How often what happened.
type Tally = BTreeMap<&'static str, u64>;

#[test]
fn every_schedule_of_faults_ends_in_what_is_wanted() {
    let first = number("CULVERT_SEED").unwrap_or(1);
    let count = number("CULVERT_SCHEDULES").unwrap_or(SCHEDULES);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let total = Mutex::new(Tally::new());
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let part = first + count * thread / threads..first + count * (thread + 1) / threads;
            let total = &total;
            scope.spawn(move || {
                let tally = run_schedules(part);
                let mut total = total.lock().expect("the other threads are sound");
                for (what, times) in tally {
                    *total.entry(what).or_default() += times;
                }
            });
        }
    });
    let total = total.into_inner().expect("the threads are sound");
    println!("{count} schedules from seed {first}: {total:?}");
    if count >= SCHEDULES {
        for what in [
            "connection lost",
            "flow refused",
            "meddled with",
            "restarted",
            "stopped too long",
            "survived a stop",
            "wavered half-way",
        ] {
            let times = total.get(what).copied().unwrap_or_default();
            assert!(times > 1_000, "{what}: only {times} times in {total:?}");
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
    )
}

fn run_schedules(seeds: Range<u64>) -> Tally {
    let mut tally = Tally::new();
    for seed in seeds {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
        let steps = prop::collection::vec(step(), 1..12);
        let schedule = steps.new_tree(&mut runner).expect("nothing is filtered");
        let counted = Mutex::new(&mut tally);
        let outcome = runner.run_one(schedule, |steps| {
            let happened = run(&steps);
            let mut counted = counted.lock().expect("not poisoned");
            for what in happened {
                *counted.entry(what).or_default() += 1;
            }
            Ok(())
        });
        if let Err(failure) = outcome {
            panic!("CULVERT_SEED={seed} CULVERT_SCHEDULES=1: {failure}");
        }
    }
    tally
}

/// Runs a schedule, looking at the switch after each step; answers what happened.
fn run(steps: &[Step]) -> Vec<&'static str> {
    let mut world = World::new(config());
    let mut link = world.connect(Faults::default());
    let mut happened = Vec::new();
    for step in steps {
        let mut doubtful = false;
        match step {
            Step::Want(wish) => want(&mut world, &mut link, wish),
            Step::WantTwice(first, second) => {
                want(&mut world, &mut link, first);
                world.exchange_some(&mut link, 3);
                want(&mut world, &mut link, second);
            }
            Step::Meddle(wish, meddling) => {
                world.settle_somehow(&mut link);
                if let Some(wish) = wish {
                    want(&mut world, &mut link, wish);
                    world.exchange_some(&mut link, 1);
                }
                meddle(&mut world, *meddling);
                happened.push("meddled with");
                doubtful = true;
            }
            Step::Reconnect(trouble) => {
                if let Some(wish) = &trouble.wish {
                    want(&mut world, &mut link, wish);
                    world.exchange_some(&mut link, 1);
                }
                suffer(&mut world, &mut link, trouble);
            }
            Step::Waver(wish, trouble) => {
                let before = world.wanted().clone();
                suffer(&mut world, &mut link, trouble);
                want(&mut world, &mut link, wish);
                happened.push(match world.settle(&mut link) {
                    true => "wavered",
                    false => "wavered half-way",
                });
                world.want(before);
                world.tell(&mut link);
            }
            Step::Stop(wish, how_long) => {
                want(&mut world, &mut link, wish);
                world.exchange_some(&mut link, 1);
                world.stop(&mut link, *how_long);
                happened.push(match world.settle(&mut link) {
                    true => "survived a stop",
                    false => "stopped too long",
                });
            }
            Step::Restart(wish) => {
                want(&mut world, &mut link, wish);
                world.exchange_some(&mut link, 1);
                world.restart();
                link = world.connect(Faults::default());
                happened.push("restarted");
            }
        }
        if !world.settle(&mut link) {
            happened.push("connection lost");
            world.reconnect(&mut link);
        }
        if doubtful {
            audit(&mut world, &mut link);
        }
        assert!(
            world.settle(&mut link),
            "no fault is left: {:?}",
            link.events
        );
        happened.extend(link.rejected().map(|_| "flow refused"));
        world.check_but_for_refused(&link);
    }
    // A new connection tries refused flows again.
    world.reconnect(&mut link);
    assert!(world.settle(&mut link));
    world.check();
    happened
}

fn want(world: &mut World, link: &mut Link, wish: &Wish) {
    world.want(wish.layers());
    world.tell(link);
}

fn suffer(world: &mut World, link: &mut Link, trouble: &Trouble) {
    let mut next = world.connect(trouble.faults.clone());
    next.cut = trouble.cut;
    world.disconnect(std::mem::replace(link, next));
}

/// An audit that is lost with its connection has to be asked for again.
fn audit(world: &mut World, link: &mut Link) {
    world.settle_somehow(link);
    world.audit(link);
    if !world.settle(link) {
        world.reconnect(link);
        assert!(world.settle(link), "no fault is left: {:?}", link.events);
        world.audit(link);
    }
}

fn meddle(world: &mut World, meddling: Meddling) {
    let flows = world.wanted().0.flows().iter();
    let mut flows: Vec<_> = flows.map(|(_, flow)| flow.flow().clone()).collect();
    let groups = world.wanted().0.groups().iter();
    let mut groups: Vec<_> = groups.map(|(_, group)| group.group().clone()).collect();
    match meddling {
        Meddling::RemoveFlow(n) if n < flows.len() => {
            world.meddle(|sim| assert!(sim.remove_cookie(flows[n].cookie) <= 1));
        }
        Meddling::ChangeFlow(n) if n < flows.len() => {
            let mut flow = flows.swap_remove(n);
            flow.instructions.clear();
            world.meddle(|sim| drop(sim.add_flow(flow).expect("a sound flow")));
        }
        Meddling::AddFlowOfOurs(n) => {
            let mut flow = pipeline::policy(1_000 + n).flow().clone();
            flow.table = TableId(51);
            world.meddle(|sim| drop(sim.add_flow(flow).expect("a sound flow")));
        }
        Meddling::AddForeignFlow(n) => {
            let mut flow = pipeline::entry(1_000 + n).flow().clone();
            flow.cookie = Cookie(n.into());
            world.add_foreign_flow(flow);
        }
        Meddling::RemoveGroup(n) if n < groups.len() => {
            let id = groups[n].id;
            world.meddle(|sim| {
                sim.remove_group(id);
            });
        }
        Meddling::ChangeGroup(n) if n < groups.len() => {
            let mut group = groups.swap_remove(n);
            group.buckets.pop();
            world.meddle(|sim| sim.set_group(group).expect("a sound group"));
        }
        Meddling::AddGroup(n) => {
            let group = pipeline::group(1_000 + n, 2).group().clone();
            world.meddle(|sim| sim.set_group(group).expect("a sound group"));
        }
        Meddling::RemoveMarkers => {
            let is_marker = |flow: &openflow_codec::Flow| flow.table == pipeline::MARKERS;
            world.meddle(|sim| drop(sim.tables_mut().remove_if(is_marker)));
        }
        // There is nothing to remove or to change.
        Meddling::RemoveFlow(_)
        | Meddling::ChangeFlow(_)
        | Meddling::RemoveGroup(_)
        | Meddling::ChangeGroup(_) => {}
    }
}

fn step() -> impl Strategy<Value = Step> {
    let seconds = (0..40u64).prop_map(Duration::from_secs);
    prop_oneof![
        3 => wish().prop_map(Step::Want),
        2 => (wish(), wish()).prop_map(|(a, b)| Step::WantTwice(a, b)),
        2 => (prop::option::of(wish()), meddling()).prop_map(|(w, m)| Step::Meddle(w, m)),
        3 => trouble().prop_map(Step::Reconnect),
        2 => (wish(), trouble()).prop_map(|(wish, trouble)| Step::Waver(wish, trouble)),
        1 => (wish(), seconds).prop_map(|(wish, how_long)| Step::Stop(wish, how_long)),
        1 => wish().prop_map(Step::Restart),
    ]
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

fn meddling() -> impl Strategy<Value = Meddling> {
    prop_oneof![
        (0..25usize).prop_map(Meddling::RemoveFlow),
        (0..25usize).prop_map(Meddling::ChangeFlow),
        (0..9u32).prop_map(Meddling::AddFlowOfOurs),
        (0..9u32).prop_map(Meddling::AddForeignFlow),
        (0..5usize).prop_map(Meddling::RemoveGroup),
        (0..5usize).prop_map(Meddling::ChangeGroup),
        (0..9u32).prop_map(Meddling::AddGroup),
        Just(Meddling::RemoveMarkers),
    ]
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let cut = prop_oneof![
        (0..12_000usize).prop_map(Cut::ToSwitch),
        (0..6_000usize).prop_map(Cut::FromSwitch),
    ];
    let wish = prop::option::of(wish());
    (faults(), prop::option::weighted(0.3, cut), wish).prop_map(|(faults, cut, wish)| Trouble {
        faults,
        cut,
        wish,
    })
}

fn faults() -> impl Strategy<Value = Faults> {
    let outcome = prop_oneof![
        Just(CommitOutcome::AppliedThenClosed),
        Just(CommitOutcome::ClosedBefore),
        Just(CommitOutcome::AppliedInSilence),
    ];
    let commit = (1..6u64, outcome).prop_map(|(nth, outcome)| CommitFault { nth, outcome });
    let code = ErrorCode::from_name("OFPBMC_BAD_FIELD").expect("an error of OVS");
    let refused = prop::collection::btree_map(1..20u64, Just(code), 1..4);
    (
        prop::option::weighted(0.3, 0..120u64),
        prop::option::weighted(0.3, 0..40u64),
        prop::option::weighted(0.3, commit),
        prop::option::weighted(0.5, refused),
        prop::option::weighted(0.3, 0..20_000u64),
    )
        .prop_map(|(received, sent, commit, refused, delay)| Faults {
            close_after_received: received,
            close_after_sent: sent,
            commit,
            refuse_addition: refused.unwrap_or_default(),
            delay: Duration::from_millis(delay.unwrap_or_default()),
        })
}
