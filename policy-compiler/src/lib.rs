// SPDX-License-Identifier: Apache-2.0
//! Kubernetes objects and observed facts in, OpenFlow deltas per node out; pure and incremental.
//!
//! [`Compiler::apply`] takes a batch of [`Change`]s and returns an [`Output`]: what to change in the
//! cluster layer (the same flows on every node) and in each node's own layer. There is no IO, no
//! clock and no randomness: the same changes in any order give the same flows, and a replica that
//! starts from nothing compiles the same bytes.
#![forbid(unsafe_code)]

mod change;
mod compiler;
pub mod crd;
mod explain;
mod identity;
pub mod ingest;
mod layer;
pub mod model;
pub mod pipeline;
mod small_set;
mod stage;
mod verdict;

pub use change::{Attachment, AttachmentKey, AttachmentStatus, Change, NodeFacts, Object, Output};
pub use compiler::{Compiler, Config, ServiceSettings};
pub use explain::{Cause, Decision, Explanation, Scope};
pub use identity::{Identity, IdentityFlags};
pub use layer::LayerDelta;
pub use model::{Kind, ObjectKey};
pub use verdict::{End, EndpointVerdict, Question, QuestionError, Says, Step, Verdict};
