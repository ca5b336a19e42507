// SPDX-License-Identifier: Apache-2.0
//! A real ovs-vswitchd behind a proxy that breaks connections: it ends up holding what is wanted.

use std::time::Duration;

use openflow_session::{Config, Layer, LayerState};

use crate::driver::Driver;
use crate::pipeline;
use crate::proxy::{Cut, Direction, Trouble};
use crate::vswitchd::Vswitchd;
use crate::{our_cookies, wanted_cookies};

type Layers = (LayerState, LayerState);

/// Small bundles, so that a small change takes several.
fn config() -> Config {
    let mut config = pipeline::config();
    config.group_ids = 0..=9_999;
    config.limits.max_bundle = 8;
    config.limits.bundles_in_flight = 2;
    config
}

fn before() -> Layers {
    let flows = (0..30).map(pipeline::policy);
    let users = (0..4).map(|n| pipeline::to_group(n, n));
    let groups = (0..4).map(|n| pipeline::group(n, 3));
    let cluster = pipeline::layer(flows.chain(users), groups);
    let node = pipeline::layer((1..10).map(pipeline::entry), []);
    (cluster, node)
}

/// Flows stay, go, come and are replaced in place; groups too.
fn after() -> Layers {
    let flows = (10..20).map(pipeline::policy);
    let replaced = (20..30).map(|n| pipeline::policy_to(n, 2));
    let new = (100..115).map(pipeline::policy);
    let users = (2..6).map(|n| pipeline::to_group(n, n));
    let groups = (2..6).map(|n| pipeline::group(n, n));
    let cluster = pipeline::layer(flows.chain(replaced).chain(new).chain(users), groups);
    let node = pipeline::layer((5..15).map(pipeline::entry), []);
    (cluster, node)
}

/// A switch with something foreign on it, and what two states look like there.
struct Bench {
    switch: Vswitchd,
    states: [Layers; 2],
    dumps: [Vec<String>; 2],
}

impl Bench {
    fn new() -> Self {
        let switch = Vswitchd::start();
        let states = [before(), after()];
        let mut bench = Self {
            switch,
            states,
            dumps: [Vec::new(), Vec::new()],
        };
        bench.add_foreign();
        for state in [0, 1] {
            bench.reach(state);
            let (cluster, node) = &bench.states[state];
            assert_eq!(our_cookies(&bench.switch), wanted_cookies(&[cluster, node]));
            bench.dumps[state] = bench.switch.dump();
            assert!(bench.dumps[state].iter().any(|line| line.contains("0xff")));
        }
        bench
    }

    fn add_foreign(&self) {
        let flow = "table=9,cookie=0xff00000000000001,priority=7,actions=drop";
        self.switch.ofctl(&["add-flow", "br0", flow]);
        let group = "group_id=10000,type=all,bucket=output:9";
        self.switch.ofctl(&["add-group", "br0", group]);
    }

    /// A connection that is told to reach a state, with something in its way.
    fn connect(&self, state: usize, trouble: Trouble) -> Driver {
        let mut driver = Driver::connect_through(&self.switch, config(), trouble);
        let (cluster, node) = self.states[state].clone();
        driver.want(Layer::Cluster, cluster, 1);
        driver.want(Layer::Node, node, 1);
        driver
    }

    fn reach(&self, state: usize) -> Driver {
        let mut driver = self.connect(state, Trouble::default());
        assert!(driver.reaches(1), "nothing is in the way");
        driver
    }

    /// Breaks one change from the first state to the second; whether it broke indeed.
    fn breaks(&self, cut: Cut, last: usize) -> bool {
        self.reach(0);
        let trouble = Trouble {
            cut: Some(cut),
            ..Trouble::default()
        };
        let broken = !self.connect(1, trouble).reaches(1);
        self.reach(last);
        assert_eq!(self.switch.dump(), self.dumps[last], "{cut:?}, then {last}");
        broken
    }

    /// Breaks the change at every message of one direction in turn; answers how many there were.
    fn break_everywhere(&self, direction: Direction) -> usize {
        for messages in 0.. {
            let cut = |half| Cut {
                direction,
                messages,
                half,
            };
            // What is wanted at last is now the new state and now the old one, whose digest must not
            // have survived half of the change.
            let last = messages % 2;
            let broken = self.breaks(cut(false), last);
            self.breaks(cut(true), 1 - last);
            if !broken {
                println!("broken at {messages} messages, and in the middle of each");
                return messages;
            }
        }
        unreachable!("every conversation ends")
    }
}

#[test]
fn the_connection_may_break_at_any_message_to_a_real_switch() {
    let messages = Bench::new().break_everywhere(Direction::ToSwitch);
    assert!(messages > 100, "only {messages} messages");
}

#[test]
fn the_connection_may_break_at_any_message_from_a_real_switch() {
    let messages = Bench::new().break_everywhere(Direction::FromSwitch);
    assert!(messages > 20, "only {messages} messages");
}

/// As many as `CULVERT_SCHEDULES` says, from the seed `CULVERT_SEED` on.
#[test]
fn a_hundred_random_schedules_of_faults_end_in_what_is_wanted() {
    let mut bench = Bench::new();
    let first = number("CULVERT_SEED").unwrap_or(1);
    let count = number("CULVERT_SCHEDULES").unwrap_or(100);
    let mut broken = 0;
    for seed in first..first + count {
        println!("CULVERT_SEED={seed} CULVERT_SCHEDULES=1");
        broken += run_schedule(&mut bench, &mut Dice(seed));
    }
    println!("{count} schedules from seed {first}: {broken} connections were lost");
    assert!(broken >= count / 2, "only {broken} connections were lost");
}

/// Runs a few connections with overlapping faults, and looks at the switch after the last; answers
/// how many connections were lost.
fn run_schedule(bench: &mut Bench, dice: &mut Dice) -> u64 {
    let mut broken = 0;
    for _ in 0..1 + dice.below(3) {
        let direction = [Direction::ToSwitch, Direction::FromSwitch][dice.below(2)];
        let cut = Cut {
            direction,
            messages: dice.below(match direction {
                Direction::ToSwitch => 140,
                Direction::FromSwitch => 40,
            }),
            half: dice.below(2) == 0,
        };
        let trouble = Trouble {
            cut: (dice.below(4) > 0).then_some(cut),
            delay: Duration::from_millis(dice.below(8) as u64),
        };
        let mut driver = bench.connect(dice.below(2), trouble);
        let stopped = (dice.below(4) == 0).then(|| {
            let how_long = Duration::from_millis(10 + dice.below(50) as u64);
            bench.switch.stop_for(how_long)
        });
        if dice.below(3) == 0 {
            meddle(&bench.switch, dice);
        }
        broken += u64::from(!driver.reaches(1));
        if let Some(stopped) = stopped {
            stopped.join().expect("the thread that resumes vswitchd");
        }
        if dice.below(8) == 0 {
            bench.switch.restart_vswitchd();
            bench.add_foreign();
        }
    }
    let last = dice.below(2);
    let mut driver = bench.reach(last);
    driver.audit();
    driver.wait_reconciled();
    // The first report may be of the connection, this one is of the audit.
    driver.audit();
    let report = driver.wait_reconciled();
    assert_eq!((report.flows_added, report.flows_removed), (0, 0));
    assert_eq!(bench.switch.dump(), bench.dumps[last]);
    broken
}

fn meddle(switch: &Vswitchd, dice: &mut Dice) {
    let n = dice.below(30);
    let cookie = pipeline::policy(n as u32).cookie();
    match dice.below(4) {
        0 => switch.ofctl(&["del-flows", "br0", &format!("table=50,tcp,tp_dst={n}")]),
        1 => {
            let change = format!("cookie={cookie}/-1,table=50,tcp,actions=drop");
            switch.ofctl(&["mod-flows", "br0", &change])
        }
        2 => {
            let flow = format!("table=51,cookie={cookie},actions=drop");
            switch.ofctl(&["add-flow", "br0", &flow])
        }
        _ => switch.ofctl(&["del-groups", "br0", &format!("group_id={}", n % 6)]),
    };
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// SplitMix64, which a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}
