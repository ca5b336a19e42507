// SPDX-License-Identifier: Apache-2.0
//! Test bed of namespaces, real Open vSwitch and real packets; home of the demo.
