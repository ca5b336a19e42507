// SPDX-License-Identifier: Apache-2.0
//! Whatever bytes a switch says, an audit finds the truth.

use flow_sim::Faults;
use proptest::prelude::*;

use crate::config;
use crate::world::World;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_byte_from_the_switch_is_survived(at in 0..20_000usize, flip in 1..=255u8) {
        let mut world = World::new(config());
        world.want(crate::before());
        let mut link = world.connect(Faults::default());
        prop_assert!(world.settle(&mut link));
        world.disconnect(link);
        world.want(crate::after());
        let mut link = world.connect(Faults::default());
        link.damage = Some((at, flip));
        // The session may close, or not even notice.
        let _settled = world.settle(&mut link);
        world.disconnect(link);
        // Whatever was believed, an audit finds the truth.
        let mut link = world.connect(Faults::default());
        prop_assert!(world.settle(&mut link));
        world.audit(&mut link);
        prop_assert!(world.settle(&mut link));
        world.check();
    }
}
