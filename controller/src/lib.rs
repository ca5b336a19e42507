// SPDX-License-Identifier: Apache-2.0
//! The Culvert control plane.
#![forbid(unsafe_code)]

pub mod source;
