// SPDX-License-Identifier: Apache-2.0
//! Label selectors (`meta/v1 LabelSelector`): requirements that must all hold.

use std::fmt;
use std::sync::Arc;

use super::{Labels, Name};

/// A label selector; without requirements it selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    requirements: Arc<[Requirement]>,
}

/// One requirement on one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// Label key.
    pub key: Name,
    /// What must hold.
    pub operator: Operator,
}

/// `LabelSelectorOperator`, with its values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// The key is there with one of these values.
    In(Box<[Name]>),
    /// The key is absent, or has none of these values.
    NotIn(Box<[Name]>),
    /// The key is there.
    Exists,
    /// The key is absent.
    DoesNotExist,
}

impl Selector {
    /// A selector of these requirements.
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort();
        requirements.dedup();
        Self {
            requirements: requirements.into(),
        }
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether it selects an object with these labels.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            match &requirement.operator {
                Operator::In(values) => value.is_some_and(|v| values.contains(v)),
                Operator::NotIn(values) => value.is_none_or(|v| !values.contains(v)),
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
            }
        })
    }

    /// The keys it names.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.requirements
            .iter()
            .map(|requirement| &*requirement.key)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Requirement { key, operator }) in self.requirements.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match operator {
                Operator::In(values) if values.len() == 1 => {
                    write!(f, "{comma}{key}={}", values.join(","))?;
                }
                Operator::In(values) => write!(f, "{comma}{key} in ({})", values.join(","))?,
                Operator::NotIn(values) => write!(f, "{comma}{key} notin ({})", values.join(","))?,
                Operator::Exists => write!(f, "{comma}{key}")?,
                Operator::DoesNotExist => write!(f, "{comma}!{key}")?,
            }
        }
        Ok(())
    }
}
