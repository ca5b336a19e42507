// SPDX-License-Identifier: Apache-2.0
//! What is left of a network without others.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

/// `cidr` without `except`, as the fewest networks.
pub(super) fn subtract(cidr: IpNetwork, except: &[IpNetwork]) -> Vec<IpNetwork> {
    if except.iter().any(|e| contains(e, &cidr)) {
        return Vec::new();
    }
    if !except.iter().any(|e| contains(&cidr, e)) {
        return vec![cidr];
    }
    let halves = halves(cidr).into_iter().flatten();
    halves.flat_map(|half| subtract(half, except)).collect()
}

/// The two networks that a network consists of; none for a single address.
fn halves(network: IpNetwork) -> Option<[IpNetwork; 2]> {
    let prefix = network.prefix() + 1;
    let high = match network.network() {
        IpAddr::V4(low) => {
            let bit = 1u32.checked_shl(32u32.checked_sub(prefix.into())?)?;
            IpAddr::from((low.to_bits() | bit).to_be_bytes())
        }
        IpAddr::V6(low) => {
            let bit = 1u128.checked_shl(128u32.checked_sub(prefix.into())?)?;
            IpAddr::from((low.to_bits() | bit).to_be_bytes())
        }
    };
    let half = |address| IpNetwork::new(address, prefix).ok();
    Some([half(network.network())?, half(high)?])
}

fn contains(outer: &IpNetwork, inner: &IpNetwork) -> bool {
    outer.prefix() <= inner.prefix() && outer.contains(inner.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 256 addresses, those that no exception covers are in exactly one network, the others in none.
    fn check(cidr: &str, except: [&str; 2], address: impl Fn(u8) -> IpAddr) {
        let except = except.map(|text| text.parse().unwrap());
        let left = subtract(cidr.parse().unwrap(), &except);
        for last in 0..=255u8 {
            let address = address(last);
            let wanted = last != 3 && !(64..128).contains(&last);
            let hits = left
                .iter()
                .filter(|network| network.contains(address))
                .count();
            assert_eq!(hits, usize::from(wanted), "{address} in {left:?}");
        }
    }

    #[test]
    fn what_is_left_of_a_cidr_is_covered_exactly() {
        check("10.0.0.0/24", ["10.0.0.64/26", "10.0.0.3/32"], |last| {
            IpAddr::from([10, 0, 0, last])
        });
    }

    #[test]
    fn what_is_left_of_an_ipv6_cidr_is_covered_exactly() {
        check("fd00::/120", ["fd00::40/122", "fd00::3/128"], |last| {
            IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)])
        });
    }

    #[test]
    fn nothing_is_left_of_a_cidr_that_is_excepted_whole() {
        let half = |text: &str| text.parse::<IpNetwork>().unwrap();
        let left = subtract(
            half("10.0.0.0/24"),
            &[half("10.0.0.0/25"), half("10.0.0.128/25")],
        );
        assert!(left.is_empty(), "{left:?}");
    }
}
