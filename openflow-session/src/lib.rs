// SPDX-License-Identifier: Apache-2.0
//! One OpenFlow switch connection as a state machine, without IO and clock.
#![forbid(unsafe_code)]
