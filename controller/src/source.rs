// SPDX-License-Identifier: Apache-2.0
//! Where the wanted state comes from: a directory of manifests.
//!
//! [`parse`] turns text into objects, [`Catalog`] turns states of files into changes; both are
//! pure. [`watch`] reads the directory and decides nothing.

mod catalog;
mod document;
mod scan;
mod unknown_fields;
mod watch;

pub use catalog::{Catalog, FileText};
pub use document::{Item, Outcome, Syntax, parse};
pub use watch::{Update, WatchError, watch};
