// SPDX-License-Identifier: Apache-2.0
//! Where the wanted state comes from: a directory of manifests.

mod watch;

pub use watch::{Update, WatchError, watch};
