// SPDX-License-Identifier: Apache-2.0
//! The Culvert CNI plugin: a veth, an address and one OVSDB transaction.
