// SPDX-License-Identifier: Apache-2.0
//! Numbers and rates of meters: how many packets a second each port may have refused.

use std::ops::RangeInclusive;

use openflow_codec::message::meter::{Meter, MeterBand, MeterBandKind, MeterFlags};
use openflow_codec::{MeterId, PortNo};

/// Numbers of our meters. Every other meter on the bridge is somebody else's.
pub const OURS: RangeInclusive<u32> = FIRST..=GATEWAY.0;

/// Below what every datapath can number.
const FIRST: u32 = 0xc100;

/// How many meters Pods have. Ports whose numbers agree in the remainder share one.
const OF_PODS: u32 = 64;

/// The meter of the gateway port: of the node's own kernel and the world behind it.
pub(crate) const GATEWAY: MeterId = MeterId(FIRST + OF_PODS);

/// Packets a second of one meter of Pods, and of one burst.
const POD_RATE: u32 = 100;

/// The same of the gateway port.
const GATEWAY_RATE: u32 = 1_000;

/// The meter of a Pod's port.
pub(crate) fn of_pod(port: PortNo) -> MeterId {
    MeterId(FIRST + port.0 % OF_PODS)
}

/// Every meter that a switch needs.
pub fn all() -> impl Iterator<Item = Meter> {
    OURS.map(|number| {
        let id = MeterId(number);
        let rate = if id == GATEWAY {
            GATEWAY_RATE
        } else {
            POD_RATE
        };
        Meter {
            id,
            flags: MeterFlags::PKTPS | MeterFlags::BURST,
            bands: vec![MeterBand {
                rate,
                burst: rate,
                kind: MeterBandKind::Drop,
            }],
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_ports_have_meters_of_their_own_and_none_has_the_gateways() {
        let of_many: Vec<MeterId> = (1..=1_000).map(|port| of_pod(PortNo(port))).collect();
        assert!(
            of_many
                .iter()
                .all(|id| OURS.contains(&id.0) && *id != GATEWAY)
        );
        for window in of_many.windows(OF_PODS as usize) {
            let distinct: std::collections::BTreeSet<_> = window.iter().collect();
            assert_eq!(distinct.len(), window.len());
        }
    }
}
