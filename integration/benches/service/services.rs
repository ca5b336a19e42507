// SPDX-License-Identifier: Apache-2.0
//! The Services that all rivals have: an address and port each, and three endpoints.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub(crate) const PORT: u16 = 80;
pub(crate) const TARGET_PORT: u16 = 8080;
/// Endpoints of a Service.
pub(crate) const ENDPOINTS: u8 = 3;
/// Services that connections are made to: as many of 100 as of 10,000, spread evenly over their list.
const USED: u32 = 100;

/// Where a Service is.
pub(crate) fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::new(10, 96, (number / 250) as u8, (number % 250 + 1) as u8)
}

/// Where those are that connections are made to, the first of the list and the last among them.
pub(crate) fn used(size: u32) -> Vec<SocketAddr> {
    let number = |place: u32| place * (size - 1) / (USED - 1);
    let places = 0..USED;
    places
        .map(|place| (IpAddr::from(address(number(place))), PORT).into())
        .collect()
}
