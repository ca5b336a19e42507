// SPDX-License-Identifier: Apache-2.0
//! An OpenFlow switch in memory: judge for tests, engine of trace.
#![forbid(unsafe_code)]
