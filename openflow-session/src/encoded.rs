// SPDX-License-Identifier: Apache-2.0
//! Flows and groups that are encoded once and sent to many switches.

use std::sync::Arc;

use bytes::Bytes;
use openflow_codec::message::group_mod::{BucketPosition, GroupMod};
use openflow_codec::{
    Bucket, Context, Cookie, EncodeError, Flow, Group, GroupId, GroupType, Instruction, Message,
    Xid,
};

/// Longest message that fits in an `OFPT_BUNDLE_ADD_MESSAGE`.
const MAX_MESSAGE: usize = 65_535 - 16;

/// Most buckets of equal weight that choose by `dp_hash` (`MAX_SELECT_GROUP_HASH_VALUES` in OVS
/// `ofproto/ofproto-dpif.c`).
const DP_HASH_BUCKETS: usize = 256;

/// A flow with the `OFPT_FLOW_MOD` that adds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedFlow {
    flow: Arc<Flow>,
    bytes: Bytes,
}

impl EncodedFlow {
    /// Encodes a flow for switches whose TLV table is `context`, and shares it with whoever else has
    /// it. An instruction to apply no action is left out, because OVS does not keep it.
    ///
    /// # Errors
    /// When the flow does not fit in a message of a bundle.
    pub fn new(flow: impl Into<Arc<Flow>>, context: &Context) -> Result<Self, EncodeError> {
        let mut flow = flow.into();
        let idle = |instruction: &Instruction| matches!(instruction, Instruction::ApplyActions(actions) if actions.is_empty());
        if flow.instructions.iter().any(idle) {
            let flow = Arc::make_mut(&mut flow);
            flow.instructions.retain(|instruction| !idle(instruction));
        }
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

    /// The flow, to be held by others too.
    pub fn shared_flow(&self) -> &Arc<Flow> {
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
    /// Buckets in the last message that have a weight.
    last_weighty: usize,
    content_hash: u64,
}

impl EncodedGroup {
    /// Encodes a group for switches whose TLV table is `context`.
    ///
    /// # Errors
    /// When one bucket alone does not fit in a message of a bundle.
    pub fn new(group: Group, context: &Context) -> Result<Self, EncodeError> {
        let mut messages = Vec::new();
        let last = put_buckets(&group, &group.buckets, context, &mut messages)?;
        let last_weighty = last.iter().filter(|bucket| bucket.weight > 0).count();
        let mut hasher = blake3::Hasher::new();
        for message in &messages {
            hasher.update(message);
        }
        let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
        Ok(Self {
            group,
            messages,
            last_weighty,
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

    /// Whether the group is right only on a switch that takes INSERT_BUCKET rightly.
    ///
    /// An Open vSwitch without commit 0b686a29b makes the table from hash to bucket, `dp_hash`, from the
    /// buckets of the last message alone. There is no such table, and every bucket counts, when that
    /// message has more buckets than a table has room for. So it is with buckets below 120 bytes.
    pub fn needs_fixed_insert(&self) -> bool {
        let method = self.group.selection.as_ref().map(|s| s.method.as_str());
        self.messages.len() > 1
            && self.group.group_type == GroupType::Select
            && match method {
                None => self.last_weighty <= DP_HASH_BUCKETS,
                Some(method) => method != "hash",
            }
    }
}

/// Appends the messages for `buckets`, halving them until each message fits; what the last one has.
/// The first message makes the group.
fn put_buckets<'a>(
    group: &Group,
    buckets: &'a [Bucket],
    context: &Context,
    messages: &mut Vec<Bytes>,
) -> Result<&'a [Bucket], EncodeError> {
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
            Ok(buckets)
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

#[cfg(test)]
mod tests {
    use openflow_codec::{Action, Field, PortNo, SelectionMethod};

    use super::*;

    /// A select group with so many buckets, each with so many actions.
    fn group(buckets: u32, actions: usize, method: Option<&str>) -> EncodedGroup {
        let bucket = |n| {
            let mut list = vec![Action::set(Field::Reg1, n); actions];
            list.push(Action::output(PortNo(1)));
            Bucket::new(n, 100, list)
        };
        let selection = method.map(|method| SelectionMethod {
            method: method.to_owned(),
            param: 0,
            fields: Vec::new(),
        });
        let group = Group {
            id: GroupId(1),
            group_type: GroupType::Select,
            selection,
            buckets: (0..buckets).map(bucket).collect(),
        };
        EncodedGroup::new(group, &Context::UNMAPPED).expect("buckets that fit")
    }

    #[test]
    fn every_message_of_a_large_group_of_small_buckets_is_beyond_dp_hash() {
        for buckets in [900, 1_000, 1_400, 5_000] {
            let group = group(buckets, 3, None);
            assert!(group.messages().len() > 1, "{buckets}");
            assert!(!group.needs_fixed_insert(), "{buckets}");
        }
    }

    #[test]
    fn a_group_whose_last_message_might_choose_by_dp_hash_needs_a_fixed_switch() {
        assert!(group(200, 30, None).needs_fixed_insert());
        assert!(group(5_000, 3, Some("dp_hash")).needs_fixed_insert());
        assert!(!group(200, 30, Some("hash")).needs_fixed_insert());
        assert!(!group(20, 30, None).needs_fixed_insert(), "one message");
    }
}
