// SPDX-License-Identifier: Apache-2.0
//! OpenFlow 1.5 and Nicira extensions: bytes <-> values, without IO.
#![forbid(unsafe_code)]
