// SPDX-License-Identifier: Apache-2.0
//! Operations as messages in a bundle.

use openflow_codec::message::bundle::{
    BundleCommand, BundleControl, BundleFlags, encode_bundle_add,
};
use openflow_codec::message::flow_mod::{FlowCommand, FlowMod};
use openflow_codec::message::group_mod::GroupMod;
use openflow_codec::{BundleId, Context, Cookie, EncodeError, Flow, Match, Message, Xid};

use crate::config::Marker;
use crate::plan::Op;

/// OVS wants the same flags in every message of a bundle.
const FLAGS: BundleFlags = BundleFlags::ATOMIC.union(BundleFlags::ORDERED);

/// Appends the message that opens, commits or discards a bundle.
pub(crate) fn bundle_control(
    out: &mut Vec<u8>,
    xid: Xid,
    bundle: BundleId,
    command: BundleCommand,
) -> Result<(), EncodeError> {
    let control = BundleControl {
        bundle,
        command,
        flags: FLAGS,
    };
    Message::BundleControl(control).encode(xid, &Context::UNMAPPED, out)
}

/// Appends message number `part` of an operation, wrapped for a bundle.
pub(crate) fn op(
    out: &mut Vec<u8>,
    xid: Xid,
    bundle: BundleId,
    op: &Op,
    part: usize,
    context: &Context,
) -> Result<(), EncodeError> {
    let message = match op {
        Op::AddFlow(_, flow) => return encode_bundle_add(bundle, FLAGS, flow.bytes(), xid, out),
        Op::SetGroup(_, group) => {
            let bytes = group.messages().get(part);
            let bytes = bytes.map(|bytes| bytes.as_ref()).unwrap_or_default();
            return encode_bundle_add(bundle, FLAGS, bytes, xid, out);
        }
        Op::DeleteCookie(cookie) => Message::FlowMod(FlowMod::delete_by_cookie(*cookie)),
        Op::DeleteStrict(flow, cookie_mask) => Message::FlowMod(FlowMod {
            cookie_mask: *cookie_mask,
            ..FlowMod::delete_strict(flow)
        }),
        Op::DeleteGroup(id) => Message::GroupMod(GroupMod::delete(*id)),
        Op::DropMarker(marker) => Message::FlowMod(drop_marker(*marker)),
        Op::WriteMarker(marker, cookie) => {
            Message::FlowMod(FlowMod::add(&marker_flow(*marker, *cookie)))
        }
    };
    let mut bytes = Vec::with_capacity(128);
    message.encode(xid, context, &mut bytes)?;
    encode_bundle_add(bundle, FLAGS, &bytes, xid, out)
}

/// The flow that a marker is.
pub(crate) fn marker_flow(marker: Marker, cookie: Cookie) -> Flow {
    Flow {
        table: marker.table,
        priority: marker.priority,
        flow_match: Match::any(),
        cookie,
        idle_timeout: 0,
        hard_timeout: 0,
        instructions: Vec::new(),
    }
}

/// Deletes every flow of the marker's kind in its table.
fn drop_marker(marker: Marker) -> FlowMod {
    let flow = Flow {
        priority: 0,
        ..marker_flow(marker, marker.kind())
    };
    FlowMod {
        command: FlowCommand::Delete,
        cookie_mask: Marker::KIND_MASK,
        ..FlowMod::delete_strict(&flow)
    }
}
