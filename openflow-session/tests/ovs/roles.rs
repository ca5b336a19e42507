// SPDX-License-Identifier: Apache-2.0
//! Several controllers on one switch: one writes, and who is no longer master is refused.

use std::collections::BTreeSet;

use openflow_codec::Cookie;
use openflow_session::{CloseReason, Config, Event, Generation, Layer, LayerState, Role};

use crate::driver::Driver;
use crate::pipeline;
use crate::vswitchd::Vswitchd;
use crate::{our_cookies, wanted_cookies};

fn config(role: Role) -> Config {
    let mut config = pipeline::config();
    config.role = role;
    config
}

fn master(generation_id: u64) -> Config {
    config(Role::Master { generation_id })
}

/// Flows of policies `n` and up.
fn policies(n: u32) -> LayerState {
    pipeline::layer((n..n + 10).map(pipeline::policy), [])
}

/// A connection that wants `state`.
fn connect(switch: &Vswitchd, config: Config, state: &LayerState) -> Driver {
    let mut driver = Driver::connect(switch, config);
    driver.want(Layer::Cluster, state.clone(), 1);
    driver.want(Layer::Node, LayerState::default(), 1);
    driver
}

#[test]
fn what_a_stale_master_writes_is_refused_by_the_switch_and_reported() {
    let switch = Vswitchd::start();
    let (old, new) = (policies(0), policies(100));
    let mut stale = connect(&switch, master(5), &old);
    stale.wait_acked();
    let mut leader = connect(&switch, master(6), &new);
    leader.wait_acked();
    assert_eq!(our_cookies(&switch), wanted_cookies(&[&new]));

    // It has not read yet that it is a slave now, and writes.
    stale.want(Layer::Cluster, policies(200), 2);
    let sent = stale.sent.flow_mods;
    let reason = stale.wait_closed();
    assert!(stale.sent.flow_mods > sent, "it has tried");
    assert!(
        matches!(reason, CloseReason::StaleMaster { .. }),
        "{reason}"
    );
    assert_eq!(stale.rejected, [], "nothing is wrong with its flows");
    assert_eq!(our_cookies(&switch), wanted_cookies(&[&new]));

    // Nor may it come back as what it was.
    let mut again = connect(&switch, master(5), &old);
    let reason = again.wait_closed();
    assert!(
        matches!(reason, CloseReason::StaleMaster { .. }),
        "{reason}"
    );
    assert_eq!(again.sent.flow_mods, 0);
    leader.want(Layer::Cluster, policies(300), 2);
    assert_eq!(leader.wait_acked(), Generation(2));
    assert_eq!(our_cookies(&switch), wanted_cookies(&[&policies(300)]));
}

#[test]
fn a_slave_looks_on_and_takes_over_when_it_becomes_master() {
    let switch = Vswitchd::start();
    let slave = config(Role::Slave { generation_id: 5 });
    let mut standby = connect(&switch, slave, &policies(0));
    standby.wait_up();
    switch.vsctl(&[
        "add-port",
        "br0",
        "p1",
        "--",
        "set",
        "interface",
        "p1",
        "type=dummy",
    ]);
    standby.wait(|event| matches!(event, Event::PortStatus { .. }).then_some(()));
    assert_eq!((standby.sent.flow_mods, standby.received.flows), (0, 0));
    assert_eq!(our_cookies(&switch), BTreeSet::<Cookie>::new());
    // Nobody has mapped the tunnel option yet: a slave must not.
    assert!(!switch.ofctl(&["dump-tlv-map", "br0"]).contains("0xff51"));

    let mut leader = connect(&switch, master(5), &policies(100));
    leader.wait_acked();
    assert_eq!(our_cookies(&switch), wanted_cookies(&[&policies(100)]));

    standby.set_role(Role::Master { generation_id: 6 });
    assert_eq!(standby.wait_acked(), Generation(1));
    assert_eq!(our_cookies(&switch), wanted_cookies(&[&policies(0)]));
    let reason = leader.wait_closed();
    assert!(
        matches!(reason, CloseReason::StaleMaster { .. }),
        "{reason}"
    );
}
