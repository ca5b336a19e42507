// SPDX-License-Identifier: Apache-2.0
//! Whatever goes wrong, a switch ends up holding exactly what is wanted, and nothing foreign is
//! touched. The switch is simulated and time is virtual.

mod counters;
#[path = "../fixture/pipeline.rs"]
mod pipeline;
mod properties;
mod schedules;
mod world;

use std::sync::Arc;

use flow_sim::{CommitFault, CommitOutcome, Faults};
use openflow_codec::message::error::ErrorCode;
use openflow_codec::{Message, Xid};
use openflow_session::{Config, EntryId, Event, Layer, LayerState};

use world::World;

/// Small bundles, so that a small change takes several.
fn config() -> Config {
    let mut config = pipeline::config();
    config.limits.max_bundle = 8;
    config.limits.bundles_in_flight = 2;
    config
}

fn before() -> (LayerState, LayerState) {
    let flows = (0..30).map(pipeline::policy);
    let users = (0..4).map(|n| pipeline::to_group(n, n));
    let groups = (0..4).map(|n| pipeline::group(n, 3));
    let cluster = pipeline::layer(flows.chain(users), groups);
    let node = pipeline::layer((0..10).map(pipeline::entry), []);
    (cluster, node)
}

/// Flows stay, go, come and are replaced in place; groups too.
fn after() -> (LayerState, LayerState) {
    let flows = (10..20).map(pipeline::policy);
    let replaced = (20..30).map(|n| pipeline::policy_to(n, 2));
    let new = (100..115).map(pipeline::policy);
    let users = (2..6).map(|n| pipeline::to_group(n, n));
    let groups = (2..6).map(|n| pipeline::group(n, n));
    let cluster = pipeline::layer(flows.chain(replaced).chain(new).chain(users), groups);
    let node = pipeline::layer((5..15).map(pipeline::entry), []);
    (cluster, node)
}

/// A switch that holds [`before`] and a foreign flow and group.
fn world() -> World {
    let mut world = World::new(config());
    world.want(before());
    let mut link = world.connect(Faults::default());
    assert!(world.settle(&mut link));
    world.check();
    world.disconnect(link);
    world
}

/// Connects with `faults` in the way of the change to [`after`], then without.
fn survive(faults: Faults, wanted_at_last: (LayerState, LayerState)) -> bool {
    let mut world = world();
    world.want(after());
    let mut link = world.connect(faults);
    let undisturbed = world.settle(&mut link);
    world.disconnect(link);
    world.want(wanted_at_last);
    let mut link = world.connect(Faults::default());
    assert!(world.settle(&mut link), "no fault is left");
    world.check();
    undisturbed
}

#[test]
fn the_connection_may_be_lost_after_any_message_to_the_switch() {
    let mut count = 0;
    loop {
        let faults = Faults {
            close_after_received: Some(count),
            ..Faults::default()
        };
        let undisturbed = survive(faults.clone(), after());
        // The digest of the first state must not have survived half of the change.
        survive(faults, before());
        if undisturbed {
            break;
        }
        count += 1;
    }
    assert!(count > 100, "the conversation has {count} messages");
}

#[test]
fn the_connection_may_be_lost_after_any_message_from_the_switch() {
    let mut count = 0;
    loop {
        let faults = Faults {
            close_after_sent: Some(count),
            ..Faults::default()
        };
        let undisturbed = survive(faults.clone(), after());
        survive(faults, before());
        if undisturbed {
            break;
        }
        count += 1;
    }
    assert!(count > 20, "the conversation has {count} messages");
}

#[test]
fn the_outcome_of_any_commit_may_be_lost() {
    let outcomes = [
        CommitOutcome::AppliedThenClosed,
        CommitOutcome::ClosedBefore,
        CommitOutcome::AppliedInSilence,
    ];
    for outcome in outcomes {
        let mut nth = 1;
        loop {
            let commit = Some(CommitFault { nth, outcome });
            let faults = Faults {
                commit,
                ..Faults::default()
            };
            let undisturbed = survive(faults.clone(), after());
            survive(faults, before());
            if undisturbed {
                break;
            }
            nth += 1;
        }
        assert!(nth > 5, "the change takes {nth} commits");
    }
}

#[test]
fn any_single_refused_flow_is_left_out_and_the_rest_goes_on() {
    let mut refused_flows = 0;
    for nth in 1..100 {
        let mut world = World::new(config());
        world.want(before());
        let code = ErrorCode::from_name("OFPBMC_BAD_FIELD").expect("an error of OVS");
        let mut link = world.connect(Faults {
            refuse_addition: [(nth, code)].into(),
            ..Faults::default()
        });
        if !world.settle(&mut link) {
            // The marker flow itself was refused, which ends the connection.
            let closed = link.events.iter().any(|e| matches!(e, Event::Closed(_)));
            assert!(closed, "{:?}", link.events);
            continue;
        }
        let rejected: Vec<_> = link.rejected().collect();
        match rejected[..] {
            [] => {}
            [rejection] => {
                assert_eq!(rejection.error, "OFPBMC_BAD_FIELD");
                let EntryId::Flow(cookie) = rejection.entry else {
                    panic!("{rejection:?}");
                };
                world.check_without(&[cookie]);
                refused_flows += 1;
            }
            _ => panic!("{rejected:?}"),
        }
        world.disconnect(link);
        // The next connection tries again.
        let mut link = world.connect(Faults::default());
        assert!(world.settle(&mut link));
        world.check();
    }
    assert!(
        refused_flows >= 44,
        "{refused_flows} flows were refused in turn"
    );
}

#[test]
fn a_refused_first_bundle_does_not_leave_the_markers_to_those_behind_it() {
    let code = ErrorCode::from_name("OFPBAC_BAD_OUT_PORT").expect("an error of OVS");
    let flows = |n| pipeline::layer((0..n).map(pipeline::policy), []);
    for count in 0..60 {
        let mut world = World::new(config());
        // Markers are additions too: they are written on a connection without faults.
        let mut link = world.connect(Faults::default());
        assert!(world.settle(&mut link));
        world.disconnect(link);
        let mut link = world.connect(Faults {
            refuse_addition: [(1, code)].into(),
            close_after_received: Some(count),
            ..Faults::default()
        });
        let _perhaps_lost = world.settle(&mut link);
        world.want((flows(30), LayerState::default()));
        world.tell(&mut link);
        let _perhaps_lost = world.settle(&mut link);
        world.disconnect(link);
        world.want((LayerState::default(), LayerState::default()));
        let mut link = world.connect(Faults::default());
        assert!(world.settle(&mut link));
        world.check();
    }
}

#[test]
fn a_refused_replacement_does_not_leave_the_flow_it_replaces() {
    let mut world = World::new(config());
    world.want((
        pipeline::layer([pipeline::policy(1)], []),
        LayerState::default(),
    ));
    let mut link = world.connect(Faults::default());
    assert!(world.settle(&mut link));
    let new = pipeline::policy_to(1, 9);
    let code = ErrorCode::from_name("OFPBAC_BAD_OUT_PORT").expect("an error of OVS");
    // One flow and two markers have been carried out.
    world.faults(&link).refuse_addition = [(4, code)].into();
    world.want((
        pipeline::layer([Arc::clone(&new)], []),
        LayerState::default(),
    ));
    world.tell(&mut link);
    assert!(world.settle(&mut link));
    assert_eq!(link.rejected().count(), 1);
    world.check_without(&[new.cookie()]);
}

#[test]
fn flows_of_a_refused_group_are_not_sent() {
    let mut world = World::new(config());
    // Several messages, for a switch that says it is 3.1.0, and dp_hash is the default.
    let group = pipeline::large_group(9, 3);
    let flows = (0..20).map(|n| pipeline::to_group(n, 9));
    let others = (0..20).map(pipeline::policy);
    let cookies: Vec<_> = (0..20).map(|n| pipeline::to_group(n, 9).cookie()).collect();
    world.want((
        pipeline::layer(flows.chain(others), [group]),
        LayerState::default(),
    ));
    let mut link = world.connect(Faults::default());
    assert!(world.settle(&mut link));
    assert_eq!(link.rejected().count(), 21);
    let unsent = link
        .rejected()
        .filter(|r| r.error.contains("its group 9 was refused"));
    assert_eq!(unsent.count(), 20);
    world.check_flows_without(&cookies);
}

#[test]
fn equal_digests_send_nothing_and_a_difference_sends_only_itself() {
    let mut world = world();
    let mut link = world.connect(Faults::default());
    assert!(world.settle(&mut link));
    assert_eq!((link.flow_mods, link.group_mods), (0, 0));
    world.disconnect(link);

    let (mut cluster, node) = before();
    cluster.insert_flow(pipeline::policy(77));
    cluster.remove_flow(pipeline::policy(3).cookie());
    cluster.insert_flow(pipeline::policy_to(4, 2));
    cluster.remove_flow(pipeline::policy(4).cookie());
    world.want((cluster, node));
    let mut link = world.connect(Faults::default());
    assert!(world.settle(&mut link));
    world.check();
    // Two additions, two deletions that a dump cannot save, one marker.
    assert_eq!((link.flow_mods, link.group_mods), (5, 0));
}

#[test]
fn replacing_a_flow_in_place_is_one_flow_mod_and_a_marker() {
    let mut world = world();
    let mut link = world.connect(Faults::default());
    assert!(world.settle(&mut link));
    let (mut cluster, node) = before();
    cluster.remove_flow(pipeline::policy(4).cookie());
    cluster.insert_flow(pipeline::policy_to(4, 2));
    world.want((cluster, node));
    world.tell(&mut link);
    assert!(world.settle(&mut link));
    world.check();
    assert_eq!(link.flow_mods, 2);
}

#[test]
fn a_flow_may_move_from_one_layer_to_the_other() {
    let mut world = world();
    let mut link = world.connect(Faults::default());
    assert!(world.settle(&mut link));
    let (mut cluster, mut node) = before();
    let moving = cluster.remove_flow(pipeline::policy(4).cookie());
    node.insert_flow(moving.expect("it was wanted"));
    world.want((cluster, node));
    world.tell(&mut link);
    assert!(world.settle(&mut link));
    world.check();
}

#[test]
fn the_entry_table_is_filled_last_and_emptied_first() {
    let mut world = World::new(config());
    world.want(before());
    let mut link = world.connect(Faults::default());
    assert!(world.settle(&mut link));
    let last = |log: &[String], line: &str| log.iter().rposition(|l| l == line).expect("sent");
    let first = |log: &[String], line: &str| log.iter().position(|l| l == line).expect("sent");
    assert!(first(&link.flow_log, "add table 0") > last(&link.flow_log, "add table 50"));

    let entries = before().1;
    let cookies = entries.flows().iter().map(|(cookie, _)| cookie);
    let wanted: Vec<_> = cookies.map(|c| format!("delete cookie {c}")).collect();
    link.flow_log.clear();
    world.want((LayerState::default(), LayerState::default()));
    world.tell(&mut link);
    assert!(world.settle(&mut link));
    // The two markers go before.
    let is_marker = |line: &String| line.ends_with("000000000000");
    link.flow_log.retain(|line| !is_marker(line));
    assert_eq!(link.flow_log[..wanted.len()], wanted);
}

#[test]
fn changes_while_a_bundle_is_in_flight_coalesce() {
    let mut world = world();
    let mut link = world.connect(Faults::default());
    assert!(world.settle(&mut link));
    let (cluster, node) = before();
    for n in 200..230 {
        let mut cluster = cluster.clone();
        cluster.insert_flow(pipeline::policy(n));
        world.want((cluster, node.clone()));
        world.tell(&mut link);
        if n == 200 {
            world.exchange_some(&mut link, 1);
            assert_eq!(link.flow_mods, 2, "the first change is on its way");
        }
    }
    assert!(world.settle(&mut link));
    world.check();
    // The other 29 became one: an addition, a deletion and a marker.
    assert_eq!(link.flow_mods, 2 + 3);
}

#[test]
fn an_echo_is_answered_in_the_middle_of_a_large_sync() {
    let mut world = World::new(pipeline::config());
    let flows = (0..50_000).map(pipeline::policy);
    world.want((pipeline::layer(flows, []), LayerState::default()));
    let mut link = world.connect(Faults::default());
    world.run_until(&mut link, |link| link.flow_mods > 20_000);
    let mut echo = Vec::new();
    let request = Message::EchoRequest(bytes::Bytes::from_static(b"are you there"));
    request
        .encode(Xid(5), &pipeline::context(), &mut echo)
        .expect("a small message");
    link.session.handle_bytes(&echo, world.now());
    let next = link.session.poll_transmit().expect("the answer");
    assert!(next.ends_with(b"are you there"));
    assert!(world.settle(&mut link));
    world.check();
}

#[test]
fn a_switch_that_does_not_answer_is_sent_only_what_may_be_in_flight() {
    let mut world = World::new(config());
    let flows = (0..1_000).map(pipeline::policy);
    world.want((pipeline::layer(flows, []), LayerState::default()));
    let mut link = world.connect(Faults::default());
    world.run_until(&mut link, |link| link.flow_mods > 0);
    let answered = link.flow_mods;
    world.transmit_without_answers(&mut link);
    let sent = link.flow_mods - answered;
    assert!(
        (1..=16).contains(&sent),
        "{sent} flow_mods for two bundles of 8"
    );
}

#[test]
fn a_restarted_switch_is_replayed() {
    let mut world = world();
    world.restart();
    let mut link = world.connect(Faults::default());
    assert!(world.settle(&mut link));
    world.check();
}

#[test]
fn a_change_during_an_audit_is_not_repaired_away() {
    let mut world = world();
    let mut link = world.connect(Faults::default());
    assert!(world.settle(&mut link));
    world.audit(&mut link);
    world.want(after());
    world.tell(&mut link);
    assert!(world.settle(&mut link));
    world.check();
    let reports: Vec<_> = link.reports().collect();
    assert_eq!(
        reports.len(),
        2,
        "one for the connection, one for the audit"
    );
    assert_eq!(
        reports[1].flows_added + reports[1].flows_removed,
        0,
        "{:?}",
        reports[1]
    );
}

#[test]
fn a_generation_is_acknowledged_when_all_that_was_wanted_under_it_is_true() {
    let mut world = world();
    let mut link = world.connect(Faults::default());
    assert!(world.settle(&mut link));
    world.want(after());
    world.tell_layer(&mut link, Layer::Cluster);
    world.exchange_some(&mut link, 2);
    assert!(link.flow_mods > 0, "the change of one layer is on its way");
    world.tell_layer(&mut link, Layer::Node);
    world.run_until_acked(&mut link);
    world.check();
}

#[test]
fn a_flow_given_up_during_an_audit_is_not_added_again() {
    let mut world = world();
    let mut link = world.connect(Faults::default());
    assert!(world.settle(&mut link));
    let lost = pipeline::policy(3).cookie();
    world.switch_mut().sim_mut().remove_cookie(lost);
    world.audit(&mut link);
    // The audit is on its way when the owner gives the lost flow up.
    assert!(link.session.poll_event().is_none());
    let (mut cluster, node) = before();
    cluster.remove_flow(lost);
    world.want((cluster, node));
    world.tell(&mut link);
    assert!(world.settle(&mut link));
    world.check();
}

#[test]
fn a_session_that_is_closed_stays_silent() {
    let mut world = world();
    let mut link = world.connect(Faults::default());
    link.session.close();
    world.want(after());
    world.tell(&mut link);
    assert!(link.session.poll_timeout().is_none());
    assert!(matches!(link.session.poll_event(), Some(Event::Closed(_))));
    while link.session.poll_transmit().is_some() {}
    assert_eq!(link.flow_mods, 0);
}
