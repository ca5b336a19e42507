// SPDX-License-Identifier: Apache-2.0
//! Why a flow exists: from a cookie to the objects that caused it, in words.

use std::fmt;
use std::sync::Arc;

use openflow_codec::Flow;

use crate::change::AttachmentKey;
use crate::model::ObjectKey;

/// One reason for one flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause {
    /// The object; `None` for flows of the pipeline itself.
    pub object: Option<ObjectKey>,
    /// The attachment, for the flows of a Pod's port.
    pub attachment: Option<AttachmentKey>,
    /// What the flow does for it, in words: `allows tcp/8080 from ... (ingress rule 1)`.
    pub why: Arc<str>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.object {
            Some(object) => write!(f, "{object}: {}", self.why),
            None => write!(f, "pipeline: {}", self.why),
        }
    }
}

/// Which switches have a flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Every switch.
    Cluster,
    /// The switch of this node.
    Node(String),
}

/// A flow with everybody who wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Where it is installed.
    pub scope: Scope,
    /// The flow.
    pub flow: Arc<Flow>,
    /// Why; never empty.
    pub causes: Vec<Cause>,
}
