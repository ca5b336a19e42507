// SPDX-License-Identifier: Apache-2.0
//! Text in the spelling of `ovs-ofctl`: `Display` writes what Open vSwitch prints, and `FromStr`
//! reads that and what `ovs-ofctl add-flow` takes (ovs-actions(7), ovs-fields(7)).
//!
//! Tables and ports are numbers unless [`Names`] are given, as with `ovs-ofctl --names`.

mod action;
mod conntrack;
mod flow;
mod flow_match;
mod group;
mod learn;
mod other;
mod token;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::action::Action;
use crate::flow::Flow;
use crate::group::Group;
use crate::ids::{PortNo, TableId};
use crate::instruction::Instruction;
use crate::message::multipart::flow::FlowStats;
use crate::oxm::Match;

pub use action::actions_from_str;
pub use flow::instructions_from_str;

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TextError {
    /// A word that is no field, action or keyword there.
    #[error("{what} {word:?} is not known")]
    Unknown {
        /// What was expected.
        what: &'static str,
        /// What stands there.
        word: String,
    },
    /// A value that a field or action cannot have.
    #[error("{value:?} is not a value of {what}")]
    BadValue {
        /// Of what.
        what: String,
        /// What stands there.
        value: String,
    },
    /// Something that must be said is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Parentheses or brackets that do not pair.
    #[error("parentheses do not pair in {0:?}")]
    Unbalanced(String),
    /// Very many words that are very short: they would take far more memory than their text.
    #[error("{words} words of less than five characters: write ports as output:PORT")]
    ShortWords {
        /// How many words there are.
        words: usize,
    },
    /// Actions nested deeper than any switch accepts.
    #[error("actions are nested too deep")]
    TooDeep,
}

impl TextError {
    fn bad_value(what: &str, value: &str) -> Self {
        Self::BadValue {
            what: what.to_owned(),
            value: value.to_owned(),
        }
    }

    fn unknown(what: &'static str, word: &str) -> Self {
        Self::Unknown {
            what,
            word: word.to_owned(),
        }
    }
}

/// Names of a bridge's tables and ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Names of tables.
    pub tables: BTreeMap<TableId, String>,
    /// Names of ports.
    pub ports: BTreeMap<PortNo, String>,
}

static NO_NAMES: Names = Names {
    tables: BTreeMap::new(),
    ports: BTreeMap::new(),
};

/// A value together with the names that its numbers have; made by `display`.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a, T: ?Sized> {
    value: &'a T,
    names: &'a Names,
}

/// Something that is written in the spelling of `ovs-ofctl`.
trait Spell {
    fn spell(&self, f: &mut fmt::Formatter<'_>, names: &Names) -> fmt::Result;
}

/// Something that is read in the spelling of `ovs-ofctl`.
trait Parse: Sized {
    fn parse_text(text: &str, names: &Names) -> Result<Self, TextError>;
}

impl<T: Spell + ?Sized> fmt::Display for Named<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.spell(f, self.names)
    }
}

macro_rules! text {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.spell(f, &NO_NAMES)
            }
        }

        impl $type {
            /// This value with names in the place of numbers.
            pub const fn display<'a>(&'a self, names: &'a Names) -> Named<'a, Self> {
                Named { value: self, names }
            }
        }
    )*};
}

macro_rules! from_text {
    ($($type:ty),*) => {$(
        impl FromStr for $type {
            type Err = TextError;

            fn from_str(text: &str) -> Result<Self, TextError> {
                Self::parse_text(text, &NO_NAMES)
            }
        }

        impl $type {
            /// Reads a text in which numbers may be given by name.
            ///
            /// # Errors
            /// When the text is not in the spelling of `ovs-ofctl`.
            pub fn parse(text: &str, names: &Names) -> Result<Self, TextError> {
                Self::parse_text(text, names)
            }
        }
    )*};
}

text!(Match, Action, Instruction, Flow, FlowStats, Group);
from_text!(Match, Action, Flow, Group);
