// SPDX-License-Identifier: Apache-2.0
//! Numbers of groups: ours are apart from those that other tools give, which begin at 0 or 1.

use std::ops::RangeInclusive;

use openflow_codec::GroupId;

/// Numbers of our groups, 30 bits of them. Every other group on the bridge is somebody else's.
pub const OURS: RangeInclusive<u32> = FIRST..=FIRST | BITS;

const FIRST: u32 = 0x8000_0000;
const BITS: u32 = 0x3fff_ffff;

/// The number of ours for a hash; bits above 30 are cut off.
pub const fn number(hash: u32) -> GroupId {
    GroupId(FIRST | hash & BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_is_a_number_of_ours_and_the_last_is_followed_by_the_first() {
        for hash in [0, 1, BITS, FIRST, u32::MAX] {
            assert!(OURS.contains(&number(hash).0), "{hash:#x}");
        }
        assert_eq!(number(number(BITS).0.wrapping_add(1)), number(0));
    }
}
