// SPDX-License-Identifier: Apache-2.0
//! Entry point.
fn main() {}
