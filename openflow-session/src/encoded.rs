// SPDX-License-Identifier: Apache-2.0
//! Flows and groups that are encoded once and sent to many switches.

use bytes::Bytes;
use openflow_codec::{Cookie, Flow, Group, GroupId};

/// A flow with the `OFPT_FLOW_MOD` that adds it.
#[derive(Clone, Debug)]
pub struct EncodedFlow {
    flow: Flow,
    bytes: Bytes,
}

impl EncodedFlow {
    /// The flow.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Its cookie, which names its content.
    pub fn cookie(&self) -> Cookie {
        self.flow.cookie
    }

    /// `OFPT_FLOW_MOD` with command ADD and transaction id 0.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// A group with the `OFPT_GROUP_MOD`s that make it so, whatever it was before.
#[derive(Clone, Debug)]
pub struct EncodedGroup {
    group: Group,
    messages: Vec<Bytes>,
    content_hash: u64,
}

impl EncodedGroup {
    /// The group.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Its number.
    pub fn id(&self) -> GroupId {
        self.group.id
    }

    /// ADD_OR_MOD, then INSERT_BUCKET for what does not fit in one message; transaction id 0.
    pub fn messages(&self) -> &[Bytes] {
        &self.messages
    }

    /// Hash of number and content.
    pub fn content_hash(&self) -> u64 {
        self.content_hash
    }
}
