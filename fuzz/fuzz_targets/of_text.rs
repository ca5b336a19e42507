// SPDX-License-Identifier: Apache-2.0
//! libFuzzer's entry to [`culvert_fuzz::of_text`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| culvert_fuzz::of_text::run(input));
