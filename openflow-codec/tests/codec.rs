// SPDX-License-Identifier: Apache-2.0
//! The codec against its own promises and against the installed Open vSwitch.

#[path = "codec/actions.rs"]
mod actions;
#[path = "codec/cases.rs"]
mod cases;
#[path = "codec/coverage.rs"]
mod coverage;
#[path = "codec/generate.rs"]
mod generate;
#[path = "codec/generate_messages.rs"]
mod generate_messages;
#[path = "codec/known.rs"]
mod known;
#[path = "codec/messages.rs"]
mod messages;
#[path = "codec/oracle.rs"]
mod oracle;
#[path = "codec/ovs.rs"]
mod ovs;
#[path = "codec/properties.rs"]
mod properties;
#[path = "codec/sample.rs"]
mod sample;
#[path = "codec/stored.rs"]
mod stored;
#[path = "codec/survey.rs"]
mod survey;
#[path = "codec/vectors.rs"]
mod vectors;
