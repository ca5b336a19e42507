// SPDX-License-Identifier: Apache-2.0
//! Directories of Kubernetes manifests: what they define, and what is wrong with them.
//!
//! [`parse`] turns text into objects, [`Catalog`] turns states of files into changes; both are pure.
//! [`Tree`] reads the directory and decides nothing.
#![forbid(unsafe_code)]

mod catalog;
mod document;
mod scan;
mod unknown_fields;

pub use catalog::{Catalog, FileText};
pub use document::{Item, Outcome, Syntax, kinds, parse};
pub use scan::{Scan, Tree};
