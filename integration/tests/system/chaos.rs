// SPDX-License-Identifier: Apache-2.0
//! Every kind of fault once, under traffic; `./run chaos` runs all of them and measures.

use std::time::Duration;

use integration::chaos::{self, Fault, Lab, Program, Row, Schedule};
use integration::wait;

use crate::lab::LIMIT;

/// Longest pause of allowed traffic that a busy test machine may cause by itself.
const HICCUP: Duration = Duration::from_millis(1_500);

/// Nothing leaked, and no connection was cut; while vswitchd ran, traffic did not even pause.
fn check(row: &Row, stops_forwarding: bool) {
    println!("{row:?}");
    assert_eq!(row.leaks, 0, "{row:?}");
    assert!(!row.near.reset && !row.far.reset, "{row:?}");
    if !stops_forwarding {
        assert!(row.near.gap < HICCUP && row.far.gap < HICCUP, "{row:?}");
    }
}

#[test]
fn the_leak_probe_sees_what_a_policy_lets_through() {
    let lab = Lab::start("tbleak").unwrap();
    assert_eq!(lab.leaks(), (0, Vec::new()));
    let open = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
                metadata: {namespace: chaos, name: open}\n\
                spec: {podSelector: {matchLabels: {app: vault}}, ingress: [{}]}\n";
    lab.cluster().put_manifest("open.yaml", open).unwrap();
    wait::until_true("both vaults to hear the client", LIMIT, || {
        let (_, leaks) = lab.leaks();
        let heard = |vault: &str, protocol: &str| {
            let words = format!("chaos/{vault} received IP protocol {protocol} ");
            leaks.iter().any(|leak| leak.starts_with(&words))
        };
        let tcp_and_udp = |vault| heard(vault, "6") && heard(vault, "17");
        Ok(tcp_and_udp("vault-1") && tcp_and_udp("vault-2"))
    })
    .unwrap();
}

#[test]
fn whatever_is_killed_or_unplugged_nothing_leaks_and_everything_comes_back() {
    let mut lab = Lab::start("tbkill").unwrap();
    for fault in chaos::killing_and_unplugging() {
        let row = lab.suffer(fault).unwrap();
        check(&row, fault.stops_forwarding());
    }
}

#[test]
fn whatever_is_stopped_for_thirty_seconds_nothing_leaks_and_everything_comes_back() {
    let rows = chaos::stop_each_at_once("tbstop", chaos::STOPPED).unwrap();
    for (program, row) in Program::ALL.into_iter().zip(&rows) {
        check(row, Fault::Stop(program, chaos::STOPPED).stops_forwarding());
    }
}

/// The end of the wait brings the controllers, and the first of them flushes every flow (OVS 3.1).
#[test]
fn flows_that_ovs_ctl_restores_are_all_there_or_none_and_come_back_from_the_controller() {
    let lab = Lab::start("tbrestore").unwrap();
    let cluster = lab.cluster();
    let node = cluster.bed().node(1).unwrap();
    let count = || {
        let dump = node.ovs().dump_flows("br-int").unwrap();
        dump.matches("cookie=").count()
    };
    let (all, before) = (count(), node.ovs().programmed("br-int").unwrap());
    cluster.kill_controller().unwrap();
    let script = node.ovs().stop_vswitchd_saving("br-int").unwrap();
    node.ovs().start_vswitchd().unwrap();
    node.address_underlay().unwrap();
    node.ovs().restore_flows("br-int", &script).unwrap();
    assert_eq!(count(), all);
    node.ovs().end_restore().unwrap();
    let left = count();
    assert!(left == 0 || left == all, "{left} of {all} flows are left");

    cluster.start_controller().unwrap();
    wait::until_true("the flows to come back", LIMIT, || {
        Ok(node.ovs().programmed("br-int")? == before)
    })
    .unwrap();
    assert_eq!(lab.leaks(), (0, Vec::new()));
}

/// The first of the seeds that `./run chaos` runs.
#[test]
fn overlapping_faults_leak_nothing_and_everything_comes_back() {
    let mut lab = Lab::start("tbchaos").unwrap();
    for seed in 1..=5 {
        let schedule = Schedule::of(seed);
        println!("{schedule}");
        check(&schedule.run(&mut lab).unwrap(), true);
    }
}
