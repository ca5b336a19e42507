// SPDX-License-Identifier: Apache-2.0
//! Ten nodes with a thousand Pods: Services from cold, and one endpoint after the other.

use std::time::Instant;

use policy_compiler::{Change, Kind, ObjectKey};

use crate::SERVICES;
use crate::bed::Bed;
use crate::crowd::Crowd;
use crate::figure::{Figures, median};
use crate::pods::{self, NAMESPACE, NODES, PODS, PodNumber};
use crate::real::Real;

/// Endpoints that change one by one.
const CHANGED: u32 = 101;

pub(crate) async fn report(figures: &mut Figures) {
    println!("\n{SERVICES} Services of three endpoints, {PODS} Pods on {NODES} nodes:");
    let local = (0..PODS).step_by(NODES as usize).map(PodNumber);
    let real = Real::start(local);
    let mut crowd = Crowd::start();
    let bed = Bed::start().await;
    bed.dial(&real, &mut crowd).await;
    bed.until_connected().await;
    let mut objects: Vec<Change> = pods::nodes(NODES).collect();
    objects.push(pods::namespace(NAMESPACE));
    objects.extend((0..PODS).map(|number| PodNumber(number).object()));
    for number in 0..SERVICES {
        objects.push(pods::service(NAMESPACE, number));
        objects.push(pods::slice(NAMESPACE, number, 0));
    }
    let start = Instant::now();
    bed.feed(objects).await;
    bed.until_programmed().await;
    let cold = start.elapsed().as_secs_f64();
    println!("  from cold, all acknowledged by {NODES} switches after {cold:.3} s");
    figures.at_most("service_cold_start", cold, "s", 3.0);

    let (mut milliseconds, before) = (Vec::new(), crowd.mods());
    for number in 0..CHANGED {
        let batches = bed.ask(|control| control.counters().batches).await;
        let slice = pods::slice(NAMESPACE, number * 97 % SERVICES, 1);
        let start = Instant::now();
        bed.feed(vec![slice]).await;
        bed.until("the endpoint is acknowledged", move |control| {
            control.is_settled() && control.counters().batches > batches
        })
        .await;
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let mods = (crowd.mods() - before) / f64::from(CHANGED) / f64::from(NODES - 1);
    let middle = median(&mut milliseconds);
    let worst = milliseconds.last().copied().unwrap_or_default();
    println!(
        "  the endpoints of one change, until all acknowledge: median {middle:.2} ms, worst {worst:.2} ms of {CHANGED}"
    );
    figures.at_most("service_change", middle, "ms", 5.0);
    // The group, and the digest of the layer.
    figures.at_most("service_change_mods_each", mods, "modifications", 2.0);

    let with = real.flows();
    let gone = (0..SERVICES).flat_map(|number| {
        let key = |kind, name| Change::Delete(ObjectKey::new(kind, NAMESPACE, name));
        let name = pods::service_name(number);
        [
            key(Kind::EndpointSlice, format!("{name}-1")),
            key(Kind::Service, name),
        ]
    });
    let batches = bed.ask(|control| control.counters().batches).await;
    bed.feed(gone.collect()).await;
    bed.until("no Service is left", move |control| {
        control.is_settled() && control.counters().batches > batches
    })
    .await;
    let each = (with - real.flows()) / f64::from(SERVICES);
    figures.at_most("service_flows_each_on_ovs", each, "flows", 2.0);
    bed.stop().await;
}
