// SPDX-License-Identifier: Apache-2.0
//! A set that nearly always has one element, and then costs no more than that.

use std::collections::BTreeSet;

/// A sorted set.
#[derive(Clone, Debug)]
pub(crate) enum SmallSet<T> {
    One(T),
    Many(BTreeSet<T>),
}

impl<T> Default for SmallSet<T> {
    fn default() -> Self {
        Self::Many(BTreeSet::new())
    }
}

impl<T: Ord> SmallSet<T> {
    pub(crate) fn insert(&mut self, new: T) {
        match std::mem::take(self) {
            Self::One(only) if only == new => *self = Self::One(only),
            Self::One(only) => *self = Self::Many(BTreeSet::from([only, new])),
            Self::Many(all) if all.is_empty() => *self = Self::One(new),
            Self::Many(mut all) => {
                all.insert(new);
                *self = Self::Many(all);
            }
        }
    }

    pub(crate) fn remove(&mut self, old: &T) {
        match self {
            Self::One(only) if only == old => *self = Self::default(),
            Self::One(_) => {}
            Self::Many(all) => {
                all.remove(old);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Many(all) if all.is_empty())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, many) = match self {
            Self::One(only) => (Some(only), None),
            Self::Many(all) => (None, Some(all)),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_set_holds(steps: Vec<(bool, u8)>) {
            let (mut small, mut set) = (SmallSet::default(), BTreeSet::new());
            for (insert, element) in steps {
                let element = element % 4;
                if insert {
                    small.insert(element);
                    set.insert(element);
                } else {
                    small.remove(&element);
                    set.remove(&element);
                }
                prop_assert!(small.iter().eq(set.iter()));
                prop_assert_eq!(small.is_empty(), set.is_empty());
            }
        }
    }
}
