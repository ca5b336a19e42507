// SPDX-License-Identifier: Apache-2.0
//! What flows have counted is told in parts, beside everything else.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use flow_sim::{Faults, Packet};
use openflow_codec::PortNo;
use openflow_session::{CloseReason, Config, Counted, Event};

use crate::pipeline;
use crate::world::{Link, World};

/// Flows whose counters fill several messages.
const FLOWS: u32 = 2_000;

fn config() -> Config {
    let mut config = pipeline::config();
    config.counted_kind = Some(pipeline::KIND_NODE);
    config
}

/// A switch with [`FLOWS`] flows that count and some that do not.
fn world(config: Config) -> (World, Link) {
    let mut world = World::new(config);
    let cluster = pipeline::layer((0..30).map(pipeline::policy), []);
    let node = pipeline::layer((1..=FLOWS).map(pipeline::entry), []);
    world.want((cluster, node));
    let mut link = world.connect(Faults::default());
    assert!(world.settle(&mut link));
    (world, link)
}

fn send(world: &mut World, port: u32, times: usize) {
    let ends = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];
    let mut packet = Packet::tcp((ends[0], 4_000), (ends[1], 80));
    packet.in_port = PortNo(port);
    world.meddle(|sim| {
        for _ in 0..times {
            sim.receive(packet.clone(), Duration::ZERO);
        }
    });
}

/// What was told, and in how many parts, of readings that are complete.
fn told(link: &Link) -> (BTreeMap<u64, u64>, usize, usize) {
    let (mut flows, mut parts, mut readings) = (BTreeMap::new(), 0, 0);
    for event in &link.events {
        if let Event::Counted {
            flows: part,
            complete,
        } = event
        {
            parts += 1;
            readings += usize::from(*complete);
            for Counted {
                cookie, packets, ..
            } in part
            {
                flows.insert(cookie.0, *packets);
            }
        }
    }
    (flows, parts, readings)
}

#[test]
fn flows_that_have_counted_are_told_in_parts() {
    let (mut world, mut link) = world(config());
    send(&mut world, 1, 3);
    send(&mut world, FLOWS, 1);
    link.session.read_counters(world.now());
    // A reading that is wanted or under way is as good as another one.
    link.session.read_counters(world.now());
    world.run_until(&mut link, |link| told(link).2 > 0);
    let (flows, parts, readings) = told(&link);
    let cookie = |n| pipeline::entry(n).cookie().0;
    assert_eq!(flows, BTreeMap::from([(cookie(1), 3), (cookie(FLOWS), 1)]));
    assert!(parts > 2 && readings == 1, "{parts} {readings}");
    world.exchange_some(&mut link, 20);
    assert_eq!(told(&link).2, 1, "nobody asked twice");

    link.session.read_counters(world.now());
    world.run_until(&mut link, |link| told(link).2 == 2);
}

#[test]
fn a_change_is_not_kept_waiting_by_counters() {
    let (mut world, mut link) = world(config());
    link.events.clear();
    link.session.read_counters(world.now());
    let cluster = pipeline::layer((0..5).map(pipeline::policy), []);
    let node = world.wanted().1.clone();
    world.want((cluster, node));
    world.tell(&mut link);
    world.run_until(&mut link, |link| told(link).2 > 0);
    let acked = |event: &Event| matches!(event, Event::Acked { .. });
    let counted = |event: &Event| matches!(event, Event::Counted { .. });
    let first = link
        .events
        .iter()
        .find(|event| acked(event) || counted(event));
    assert!(first.is_some_and(acked), "{first:?}");
}

#[test]
fn without_a_kind_to_count_nothing_is_asked() {
    let (mut world, mut link) = world(pipeline::config());
    link.session.read_counters(world.now());
    assert_eq!(link.session.poll_transmit(), None);
    world.exchange_some(&mut link, 5);
    assert_eq!(told(&link), Default::default());
}

#[test]
fn a_switch_that_does_not_tell_its_counters_in_time_is_given_up() {
    let mut config = config();
    config.timing.request = Duration::from_secs(1);
    let (world, mut link) = world(config);
    link.session.read_counters(world.now());
    world.transmit_without_answers(&mut link);
    let due = link.session.poll_timeout().expect("open");
    assert_eq!(due.duration_since(world.now()), Duration::from_secs(1));
    link.session.handle_timeout(due);
    let request = "the request for its counters".to_owned();
    let reason = CloseReason::RequestTimeout { request };
    assert_eq!(link.session.poll_event(), Some(Event::Closed(reason)));
}

#[test]
fn a_switch_that_counts_without_end_is_given_up() {
    let mut config = config();
    config.limits.max_dumped_flows = FLOWS as usize - 1;
    let mut world = World::new(config);
    world.want((pipeline::layer([], []), pipeline::layer([], [])));
    let mut link = world.connect(Faults::default());
    assert!(world.settle(&mut link));
    // They come behind the session's back: a comparison would be too long, too.
    for n in 1..=FLOWS {
        world.meddle(|sim| {
            sim.add_flow(pipeline::entry(n).flow().clone())
                .expect("a sound flow");
        });
    }
    link.session.read_counters(world.now());
    world.run_until(&mut link, |link| link.session.is_closed());
    let last = link.events.last();
    assert!(
        matches!(last, Some(Event::Closed(CloseReason::Limit(_)))),
        "{last:?}"
    );
}
