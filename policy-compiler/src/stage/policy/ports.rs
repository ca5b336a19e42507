// SPDX-License-Identifier: Apache-2.0
//! Ports of a rule as value and mask: a range becomes the fewest prefixes that cover it exactly.

use crate::model::{PortMatch, Protocol};

/// One port match of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PortTerm {
    /// Any protocol, any port.
    Any,
    /// Every port of a protocol.
    Protocol(Protocol),
    /// Destination ports with these bits: value, mask.
    Masked(Protocol, u16, u16),
}

impl PortTerm {
    /// One port.
    pub(crate) const fn exactly(protocol: Protocol, port: u16) -> Self {
        Self::Masked(protocol, port, u16::MAX)
    }
}

/// The terms of one port of a rule; none for a named port, whose number the destination Pod says.
pub(crate) fn port_terms(port: &PortMatch) -> Vec<PortTerm> {
    match port {
        PortMatch::All(protocol) => vec![PortTerm::Protocol(*protocol)],
        PortMatch::Range(protocol, first, last) => prefixes(*first, *last)
            .map(|(value, mask)| PortTerm::Masked(*protocol, value, mask))
            .collect(),
        PortMatch::Named(..) => Vec::new(),
    }
}

/// Value and mask pairs that together cover `first..=last` exactly.
fn prefixes(first: u16, last: u16) -> impl Iterator<Item = (u16, u16)> {
    let (mut next, end) = (u32::from(first), u32::from(last));
    std::iter::from_fn(move || {
        if next > end {
            return None;
        }
        let mut size = 1u32;
        while size < 0x1_0000 && next % (size * 2) == 0 && next + size * 2 - 1 <= end {
            size *= 2;
        }
        let value = u16::try_from(next).ok()?;
        next += size;
        Some((value, u16::try_from(0x1_0000 - size).unwrap_or(0)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn prefixes_cover_the_range_exactly_once(a: u16, b: u16, probe: u16) {
            let (first, last) = (a.min(b), a.max(b));
            let hits = prefixes(first, last).filter(|(value, mask)| probe & mask == *value).count();
            prop_assert_eq!(hits, usize::from((first..=last).contains(&probe)));
            prop_assert!(prefixes(first, last).count() <= 30);
        }
    }
}
