// SPDX-License-Identifier: Apache-2.0
//! Prepares an Open vSwitch node for Culvert and keeps it so.
