// SPDX-License-Identifier: Apache-2.0
//! Meters of ours are kept, others' left alone.

use openflow_codec::MeterId;
use openflow_codec::message::meter::{Meter, MeterBand, MeterBandKind, MeterFlags};
use openflow_session::{Config, Layer, LayerState};

use crate::driver::Driver;
use crate::pipeline;
use crate::vswitchd::Vswitchd;

fn config() -> Config {
    let mut config = pipeline::config();
    let meter = |number| Meter {
        id: MeterId(number),
        flags: MeterFlags::PKTPS | MeterFlags::BURST,
        bands: vec![MeterBand {
            rate: 100,
            burst: 100,
            kind: MeterBandKind::Drop,
        }],
    };
    config.meters = (50..52)
        .map(|number| (MeterId(number), meter(number)))
        .collect();
    config
}

fn connect(switch: &Vswitchd) -> Driver {
    let mut driver = Driver::connect(switch, config());
    driver.want(Layer::Cluster, LayerState::default(), 1);
    driver.want(Layer::Node, LayerState::default(), 1);
    driver.wait_acked();
    driver
}

/// Number and first rate of each meter.
fn meters(switch: &Vswitchd) -> Vec<(u32, u32)> {
    let dump = switch.ofctl(&["dump-meters", "br0"]);
    let number = |text: &str, before: &str| {
        let (_, rest) = text.split_once(before)?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    };
    let meters = dump.split("meter=").skip(1);
    let mut meters: Vec<_> = meters
        .filter_map(|meter| {
            let id = meter.split(' ').next()?.parse().ok()?;
            Some((id, number(meter, "rate=")?))
        })
        .collect();
    meters.sort_unstable();
    meters
}

#[test]
fn meters_are_there_before_flows_and_an_audit_mends_them() {
    let switch = Vswitchd::start();
    switch.ofctl(&["add-meter", "br0", "meter=7,pktps,band=type=drop,rate=5"]);
    switch.ofctl(&["add-meter", "br0", "meter=50,kbps,band=type=drop,rate=3"]);
    let mut driver = connect(&switch);
    assert_eq!(meters(&switch), [(7, 5), (50, 100), (51, 100)]);

    switch.ofctl(&["del-meter", "br0", "meter=51"]);
    switch.ofctl(&["mod-meter", "br0", "meter=7,pktps,band=type=drop,rate=6"]);
    driver.audit();
    driver.wait_reconciled();
    // Whoever connects later is answered after what was sent before.
    driver.audit();
    driver.wait_reconciled();
    assert_eq!(meters(&switch), [(7, 6), (50, 100), (51, 100)]);
    assert_eq!(driver.warnings.len(), 1, "{:?}", driver.warnings);

    let mut again = connect(&switch);
    again.audit();
    again.wait_reconciled();
    assert_eq!(again.warnings, [""; 0], "they are read as they were set");
}
