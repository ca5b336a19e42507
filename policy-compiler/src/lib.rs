// SPDX-License-Identifier: Apache-2.0
//! Kubernetes objects in, OpenFlow deltas per node out; pure and incremental.
#![forbid(unsafe_code)]
