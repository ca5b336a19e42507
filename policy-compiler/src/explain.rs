// SPDX-License-Identifier: Apache-2.0
//! Why a flow exists: from a cookie to the objects that caused it, in words.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use openflow_codec::Flow;

use crate::change::AttachmentKey;
use crate::model::{Direction, ObjectKey, RuleAction, Tier};

/// One reason for one flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause {
    /// The object; `None` for flows of the pipeline itself.
    pub object: Option<ObjectKey>,
    /// The attachment, for the flows of a Pod's port.
    pub attachment: Option<AttachmentKey>,
    /// What a policy decides by it; `None` for flows that are not of a policy.
    pub decision: Option<Decision>,
    /// What the flow does for it, in words: `ingress rule 1 allows tcp/8080 from ...`.
    pub why: String,
}

/// What a policy decides by a flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decision {
    /// When it is asked.
    pub tier: Tier,
    /// About which direction.
    pub direction: Direction,
    /// By which rule, from 0; `None`: no rule of the policy allows it, and the policy isolates.
    pub rule: Option<u32>,
    /// Name of the rule, if it has one.
    pub rule_name: Option<String>,
    /// What it decides.
    pub action: RuleAction,
    /// It only would: the policy is staged.
    pub staged: bool,
}

/// Names a rule of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RuleRef {
    /// In which list of rules it stands.
    pub(crate) direction: Direction,
    /// Where in the list, from 0.
    pub(crate) index: u32,
}

/// A reason as it is kept: many flows have one, so its text is made when somebody asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Why {
    /// In words.
    Text(Cow<'static, str>),
    /// A rule says so.
    Rule(Clause),
    /// A rule says so, which a tier's staged table must know to tell what is left to staged rules.
    InForce(Clause),
    /// The policy isolates, and no rule allows it.
    Isolation(Direction),
    /// Every switch shall know this identity.
    Known,
}

/// One peer and one port of a rule: where they stand in their lists; 0 where there is no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Clause {
    pub(crate) rule: RuleRef,
    pub(crate) peer: u32,
    pub(crate) port: u32,
}

impl Clause {
    /// The first peer and the first port of a rule.
    pub(crate) const fn first_of(rule: RuleRef) -> Self {
        Self {
            rule,
            peer: 0,
            port: 0,
        }
    }
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
