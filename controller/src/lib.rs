// SPDX-License-Identifier: Apache-2.0
//! The Culvert control plane: `app` wires it up, `control` decides.
#![forbid(unsafe_code)]

pub mod api;
pub mod app;
pub mod args;
pub mod control;
pub mod encoder;
mod listen;
pub mod machine;
pub mod rollout;
pub mod secret;
pub mod source;
pub mod switch;
pub mod task;
pub mod telemetry;
