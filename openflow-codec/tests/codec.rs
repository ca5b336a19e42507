// SPDX-License-Identifier: Apache-2.0
//! The codec against its own promises and against the installed Open vSwitch.

#[path = "codec/ovs.rs"]
mod ovs;
#[path = "codec/sample.rs"]
mod sample;
#[path = "codec/stored.rs"]
mod stored;
