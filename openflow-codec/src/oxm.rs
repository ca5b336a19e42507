// SPDX-License-Identifier: Apache-2.0
//! Match fields: the registry, single fields and whole matches.

mod flow_match;
mod match_field;
mod packed;
mod registry;
mod shape;
mod small_bytes;
mod wire;

pub use flow_match::{Fields, Match};
pub use match_field::MatchField;
pub(crate) use match_field::width_mask;
pub(crate) use packed::{read_short, short};
pub use registry::{Class, Field, FieldInfo, Form, Prerequisite};
pub(crate) use wire::*;
