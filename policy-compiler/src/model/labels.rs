// SPDX-License-Identifier: Apache-2.0
//! Labels of an object, in little memory: there are as many as Pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Name;

/// Labels of an object, sorted by key; clones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[(Name, Name)]>);

impl Labels {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Name> {
        let found = self.0.binary_search_by(|(other, _)| (**other).cmp(key));
        self.0.get(found.ok()?).map(|(_, value)| value)
    }

    /// Keys with their values, by key.
    pub fn iter(&self) -> impl Iterator<Item = &(Name, Name)> {
        self.0.iter()
    }
}

impl From<&BTreeMap<String, String>> for Labels {
    fn from(labels: &BTreeMap<String, String>) -> Self {
        let pairs = labels.iter();
        Self(
            pairs
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }
}

impl FromIterator<(Name, Name)> for Labels {
    fn from_iter<T: IntoIterator<Item = (Name, Name)>>(pairs: T) -> Self {
        let sorted: BTreeMap<Name, Name> = pairs.into_iter().collect();
        Self(sorted.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_the_same_in_whatever_order_they_come() {
        let pair = |key: &str, value: &str| (Name::from(key), Name::from(value));
        let one = Labels::from_iter([pair("b", "2"), pair("a", "1")]);
        let map = BTreeMap::from([("a".into(), "1".into()), ("b".into(), "2".into())]);
        assert_eq!(one, Labels::from(&map));
        assert_eq!(one.get("b").map(|value| &**value), Some("2"));
        assert_eq!(one.get("c"), None);
    }
}
