// SPDX-License-Identifier: Apache-2.0
//! The bed itself: it comes up, stays apart from others, and leaves nothing behind.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;
use integration::{Netns, Testbed, registry, wait};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_bed_has_an_open_vswitch_per_node_and_leaves_nothing_behind() {
    let bed = Testbed::new("tbup", 2).unwrap();
    for node in bed.nodes() {
        assert_eq!(
            node.ovs()
                .vsctl("get Bridge br-phy datapath_type")
                .unwrap()
                .trim(),
            "netdev"
        );
        let hostname = node
            .ovs()
            .vsctl("get Open_vSwitch . external_ids:hostname")
            .unwrap();
        assert_eq!(hostname.trim().trim_matches('"'), node.name());
    }
    // Both networks carry packets between nodes, and the controller's host reaches each node.
    let node1 = bed.node(1).unwrap();
    let node2 = bed.node(2).unwrap();
    ping(node1.netns(), &node2.underlay().to_string()).unwrap();
    ping(bed.ctl(), &node1.management().to_string()).unwrap();
    ping(bed.ctl(), &node2.management().to_string()).unwrap();
    let dir = bed.dir().to_owned();
    assert!(dir.join("node2/db.sock").exists());

    bed.tear_down().unwrap();
    drop(bed);
    assert!(registry::namespaces("tbup").unwrap().is_empty());
    assert!(!dir.exists());
}

#[test]
fn a_second_bed_of_the_same_name_is_refused_and_says_who_has_it() {
    let _bed = Testbed::new("tbtwice", 1).unwrap();
    let error = Testbed::new("tbtwice", 1).unwrap_err().to_string();
    assert!(
        error.contains(&format!("process {}", std::process::id())),
        "{error}"
    );
}

#[test]
fn killing_vswitchd_does_not_cut_the_management_network() {
    let bed = Testbed::new("tbmgmt", 1).unwrap();
    let node = bed.node(1).unwrap();
    node.ovs().kill_vswitchd().unwrap();
    ping(bed.ctl(), &node.management().to_string()).unwrap();
    node.ovs().start_vswitchd().unwrap();
    node.address_underlay().unwrap();
}

#[test]
fn logs_and_flows_survive_a_failure_until_the_next_bed_of_that_name() {
    let bed = Testbed::new("tbkeep", 1).unwrap();
    let dir = bed.keep_logs().to_owned();
    drop(bed);
    assert!(registry::namespaces("tbkeep").unwrap().is_empty());
    let flows = std::fs::read_to_string(dir.join("node1/br-phy-flows.txt")).unwrap();
    assert!(flows.contains("actions=NORMAL"), "{flows}");
    assert!(dir.join("node1/ovs-vswitchd.log").exists());
    // Another bed does not take them away; one of the same name does.
    registry::sweep_abandoned().unwrap();
    assert!(dir.exists());
    drop(Testbed::new("tbkeep", 1).unwrap());
    assert!(!dir.exists());
}

#[test]
fn what_a_killed_run_leaves_is_swept_by_the_next_bed() {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "bed::holder_of_a_bed_until_it_is_killed",
            "--ignored",
            "--nocapture",
        ])
        .env("CULVERT_TEST_HOLD", "tbkilled")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(owner.stdout.take().unwrap());
    let ready = output
        .lines()
        .map_while(Result::ok)
        .find(|line| line.contains("holding"));
    assert!(ready.is_some(), "the helper did not build its bed");
    let pids: Vec<i32> = ["ovsdb-server", "ovs-vswitchd"]
        .map(|name| {
            let record = format!("/run/culvert/tbkilled/node1/pids/{name}");
            let text = std::fs::read_to_string(record).unwrap();
            text.split_ascii_whitespace()
                .next()
                .unwrap()
                .parse()
                .unwrap()
        })
        .to_vec();
    assert!(
        pids.iter()
            .all(|pid| Path::new(&format!("/proc/{pid}")).exists())
    );

    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(
        !registry::namespaces("tbkilled").unwrap().is_empty(),
        "nothing was left to sweep"
    );

    // A bed of any other name finds that the owner is dead.
    let _other = Testbed::new("tbother", 1).unwrap();
    assert!(registry::namespaces("tbkilled").unwrap().is_empty());
    assert!(!registry::run_dir("tbkilled").exists());
    wait::until_true("the daemons of the killed run to end", LIMIT, || {
        Ok(pids
            .iter()
            .all(|pid| !Path::new(&format!("/proc/{pid}")).exists()))
    })
    .unwrap();
}

#[test]
#[ignore = "helper: what_a_killed_run_leaves_is_swept_by_the_next_bed runs it and kills it"]
fn holder_of_a_bed_until_it_is_killed() {
    let name = std::env::var("CULVERT_TEST_HOLD").unwrap();
    let _bed = Testbed::new(&name, 1).unwrap();
    println!("holding {name}");
    std::thread::sleep(Duration::from_secs(60));
}

fn ping(from: &Netns, to: &str) -> Result<()> {
    let line = format!("ip netns exec {} ping -n -c 1 -W 1 {to}", from.name());
    wait::until_true(
        format_args!("{to} to answer {}", from.name()),
        LIMIT,
        || integration::command::run_line(&line).map(|_| true),
    )
}
