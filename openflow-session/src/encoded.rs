// SPDX-License-Identifier: Apache-2.0
//! Flows and groups that are encoded once and sent to many switches.

use bytes::Bytes;
use openflow_codec::message::group_mod::{BucketPosition, GroupMod};
use openflow_codec::{
    Bucket, Context, Cookie, EncodeError, Flow, Group, GroupId, GroupType, Instruction, Message,
    Xid,
};

/// Longest message that fits in an `OFPT_BUNDLE_ADD_MESSAGE`.
const MAX_MESSAGE: usize = 65_535 - 16;

/// A flow with the `OFPT_FLOW_MOD` that adds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedFlow {
    flow: Flow,
    bytes: Bytes,
}

impl EncodedFlow {
    /// Encodes a flow for switches whose TLV table is `context`. An instruction to apply no action
    /// is left out, because OVS does not keep it.
    ///
    /// # Errors
    /// When the flow does not fit in a message of a bundle.
    pub fn new(mut flow: Flow, context: &Context) -> Result<Self, EncodeError> {
        let idle = |instruction: &Instruction| matches!(instruction, Instruction::ApplyActions(actions) if actions.is_empty());
        flow.instructions.retain(|instruction| !idle(instruction));
        let mut bytes = Vec::with_capacity(256);
        flow.encode_add(Xid(0), context, &mut bytes)?;
        fits("flow", &bytes)?;
        bytes.shrink_to_fit();
        let bytes = bytes.into();
        Ok(Self { flow, bytes })
    }

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedGroup {
    group: Group,
    messages: Vec<Bytes>,
    content_hash: u64,
}

impl EncodedGroup {
    /// Encodes a group for switches whose TLV table is `context`.
    ///
    /// # Errors
    /// When one bucket alone does not fit in a message of a bundle.
    pub fn new(group: Group, context: &Context) -> Result<Self, EncodeError> {
        let mut messages = Vec::new();
        put_buckets(&group, &group.buckets, context, &mut messages)?;
        let mut hasher = blake3::Hasher::new();
        for message in &messages {
            hasher.update(message);
        }
        let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
        Ok(Self {
            group,
            messages,
            content_hash: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        })
    }

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

    /// Whether the group is right only on a switch that inserts buckets rightly into groups that
    /// choose by `dp_hash`, the default (Open vSwitch before 3.2 does not).
    pub fn needs_fixed_insert(&self) -> bool {
        let hashes = self.group.selection.as_ref();
        self.messages.len() > 1
            && self.group.group_type == GroupType::Select
            && hashes.is_none_or(|selection| selection.method != "hash")
    }
}

/// Appends the messages for `buckets`, halving them until each message fits. The first message
/// makes the group.
fn put_buckets(
    group: &Group,
    buckets: &[Bucket],
    context: &Context,
    messages: &mut Vec<Bytes>,
) -> Result<(), EncodeError> {
    let group_mod = if messages.is_empty() {
        GroupMod::add_or_modify(Group {
            buckets: buckets.to_vec(),
            ..group.clone()
        })
    } else {
        let buckets = buckets.to_vec();
        GroupMod::insert_buckets(group.id, group.group_type, buckets, BucketPosition::Last)
    };
    let mut bytes = Vec::new();
    let encoded = Message::GroupMod(group_mod).encode(Xid(0), context, &mut bytes);
    match encoded.and_then(|()| fits("group", &bytes)) {
        Ok(()) => {
            messages.push(bytes.into());
            Ok(())
        }
        Err(error) if buckets.len() < 2 => Err(error),
        Err(_) => {
            let (first, rest) = buckets.split_at(buckets.len() / 2);
            put_buckets(group, first, context, messages)?;
            put_buckets(group, rest, context, messages)
        }
    }
}

fn fits(what: &'static str, bytes: &[u8]) -> Result<(), EncodeError> {
    let length = bytes.len();
    if length <= MAX_MESSAGE {
        return Ok(());
    }
    Err(EncodeError::TooLong { what, length })
}
