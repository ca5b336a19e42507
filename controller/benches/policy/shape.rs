// SPDX-License-Identifier: Apache-2.0
//! One shape of the workload: cold start, flows, one Pod more, one rule more, a restart.

use std::time::Instant;

use crate::bed::Bed;
use crate::crowd::Crowd;
use crate::figure::{Figures, middle_and_worst};
use crate::ovn;
use crate::pods::{NODES, PODS, PodNumber};
use crate::real::Real;
use crate::workload::{self, POLICIES, Peers};

/// Pods that are added one by one, each on the real node.
const ADDED: u32 = 51;

/// Rules that are added one by one.
const RULES: u32 = 51;

pub(crate) async fn report(peers: Peers, figures: &mut Figures) {
    let (shape, words) = match peers {
        Peers::Group => ("group", "each policy lets ten Pods in"),
        Peers::Everybody => ("everybody", "each policy lets all Pods of the cluster in"),
    };
    println!("\n{words}: {PODS} Pods on {NODES} nodes, {POLICIES} policies, 1000 Services of 3");
    let local = (0..PODS + ADDED * NODES)
        .step_by(NODES as usize)
        .map(PodNumber);
    let real = Real::start(local);
    let mut marks = real.marks().await;
    let mut crowd = Crowd::start();
    let name = |figure: &str| format!("policy_{shape}_{figure}");

    let bed = Bed::start().await;
    bed.dial(&real, &mut crowd).await;
    bed.until_connected().await;
    let objects = workload::objects(peers);
    let start = Instant::now();
    bed.feed(objects).await;
    bed.until_programmed().await;
    let cold = start.elapsed().as_secs_f64();
    let mut ready = (PODS / NODES) as usize;
    marks.await_count(ready).await;
    let all_ready = start.elapsed().as_secs_f64();
    println!(
        "  cold start: all acknowledged after {cold:.3} s, 100 local Pods ready after {all_ready:.3} s"
    );
    figures.at_most(&name("cold_start"), cold, "s", 1.0);
    let flows = real.flows();
    figures.at_most(&name("flows"), flows, "flows", 8_000.0);

    let (mut milliseconds, before) = (Vec::new(), crowd.mods());
    assert!(before > 0.0, "what comes in at the other nodes is counted");
    for number in 0..ADDED {
        let pod = PodNumber(PODS + number * NODES).object();
        let start = Instant::now();
        bed.feed(vec![pod]).await;
        ready += 1;
        marks.await_count(ready).await;
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let elsewhere = crowd.mods() - before;
    let (pod, worst) = middle_and_worst(milliseconds);
    println!(
        "  a Pod whose Interface is there, until it is ready: median {pod:.2} ms, worst {worst:.2} ms of {ADDED}"
    );
    figures.at_most(&name("add_pod"), pod, "ms", 10.0);
    figures.at_most(&name("add_pod_mods_elsewhere"), elsewhere, "flow_mods", 0.0);

    let mut milliseconds = Vec::new();
    for number in 0..RULES {
        let policy = workload::policy(number % POLICIES, peers, 1);
        let batches = bed.ask(|control| control.counters().batches).await;
        let start = Instant::now();
        bed.feed(vec![policy]).await;
        bed.until("the rule is acknowledged", move |control| {
            control.is_settled() && control.counters().batches > batches
        })
        .await;
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let (rule, worst) = middle_and_worst(milliseconds);
    println!(
        "  a rule more, until all ten switches have it: median {rule:.2} ms, worst {worst:.2} ms of {RULES}"
    );
    figures.at_most(&name("add_rule"), rule, "ms", 10.0);
    let memory = resident_mib();
    bed.stop().await;

    let resync = restart(peers, &real, &mut crowd, &name, figures).await;
    figures.at_most(&name("memory"), memory, "MiB", 150.0);
    let theirs = ovn::measure(peers);
    figures.ratio(&name("flows"), flows, theirs.flows, "flows");
    figures.ratio(&name("add_pod"), pod, theirs.add_pod_ms, "ms");
    figures.ratio(&name("add_rule"), rule, theirs.add_rule_ms, "ms");
    figures.ratio(&name("cold_start"), cold * 1e3, theirs.cold_ms, "ms");
    figures.ratio(&name("restart"), resync * 1e3, theirs.restart_ms, "ms");
    figures.ratio(&name("memory"), memory, theirs.memory_mib, "MiB");
}

/// Another controller takes over; the seconds until every switch is known to be right.
async fn restart(
    peers: Peers,
    real: &Real,
    crowd: &mut Crowd,
    name: &dyn Fn(&str) -> String,
    figures: &mut Figures,
) -> f64 {
    let mut objects = workload::objects(peers);
    objects.extend((0..ADDED).map(|number| PodNumber(PODS + number * NODES).object()));
    let edited = (0..RULES).map(|number| workload::policy(number % POLICIES, peers, 1));
    objects.extend(edited);
    let before = crowd.mods();
    let bed = Bed::start().await;
    let start = Instant::now();
    bed.feed(objects).await;
    bed.dial(real, crowd).await;
    bed.until_programmed().await;
    let seconds = start.elapsed().as_secs_f64();
    let counters = bed.ask(|control| control.counters()).await;
    let mods = crowd.mods() - before + counters.mods_sent as f64;
    println!(
        "  another controller, from its objects and the nodes' dialling on: all known to be right after \
         {seconds:.3} s, {} of {NODES} by digest",
        counters.reconciled_by_digest
    );
    bed.stop().await;
    figures.at_most(&name("restart"), seconds, "s", 0.5);
    figures.at_most(&name("restart_mods"), mods, "flow_mods", 0.0);
    seconds
}

/// Memory of this process, as the kernel counts it: the controller's, and a little of the benchmark's.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}
