// SPDX-License-Identifier: Apache-2.0
//! Why a flow exists: from a cookie to the objects that caused it, in words.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use openflow_codec::Flow;

use crate::change::AttachmentKey;
use crate::model::{Direction, ObjectKey};

/// One reason for one flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause {
    /// The object; `None` for flows of the pipeline itself.
    pub object: Option<ObjectKey>,
    /// The attachment, for the flows of a Pod's port.
    pub attachment: Option<AttachmentKey>,
    /// The rule, for what a policy's rule allows.
    pub rule: Option<RuleRef>,
    /// What the flow does for it, in words: `ingress rule 1 allows tcp/8080 from ...`.
    pub why: String,
}

/// Names a rule of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleRef {
    /// In which list of rules it stands.
    pub direction: Direction,
    /// Where in the list, from 0.
    pub index: u32,
}

/// A reason as it is kept: many flows have one, so its text is made when somebody asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Why {
    /// In words.
    Text(Cow<'static, str>),
    /// A rule allows it.
    Rule(Clause),
}

/// One peer and one port of a rule: where they stand in their lists; 0 where there is no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Clause {
    pub(crate) rule: RuleRef,
    pub(crate) peer: u32,
    pub(crate) port: u32,
}

impl From<&'static str> for Why {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Why {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
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
