// SPDX-License-Identifier: Apache-2.0
//! Match fields: the registry, single fields and whole matches.

mod flow_match;
mod registry;
mod wire;

pub(crate) use flow_match::width_mask;
pub use flow_match::{Match, MatchField};
pub use registry::{Class, Field, FieldInfo, Form, Prerequisite};
pub(crate) use wire::*;
