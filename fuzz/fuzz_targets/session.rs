// SPDX-License-Identifier: Apache-2.0
//! libFuzzer's entry to [`culvert_fuzz::session`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| culvert_fuzz::session::run(input));
