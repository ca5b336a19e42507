// SPDX-License-Identifier: Apache-2.0
//! Bundles (OVS `ofproto/bundles.c` and `do_bundle_commit` in `ofproto/ofproto.c`).
//!
//! A message that OVS refuses when it is added is answered with an error and left out; the
//! bundle stays, and its commit may succeed.

use std::time::Duration;

use openflow_codec::message::bundle::{BundleAdd, BundleCommand, BundleControl, BundleFlags};
use openflow_codec::message::error::ErrorCode;
use openflow_codec::message::flow_mod::FlowMod;
use openflow_codec::message::group_mod::GroupMod;
use openflow_codec::message::packet_out::PacketOut;
use openflow_codec::{BundleId, Frame, Message, VERSION};

use super::faults::CommitOutcome;
use super::handler::decode_error;
use super::{ConnectionId, Request, Switch, error};

/// `other_config:bundle-idle-timeout`, by default.
pub(super) const BUNDLE_IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// A bundle that is being filled.
#[derive(Debug)]
pub(super) struct Bundle {
    flags: BundleFlags,
    closed: bool,
    entries: Vec<(Request, Change)>,
    /// When it was used last.
    pub(super) used: Duration,
    /// The message that opened it.
    opened_by: Request,
}

/// A message in a bundle.
#[derive(Clone, Debug)]
enum Change {
    Flow(FlowMod),
    Group(GroupMod),
    Packet(PacketOut),
}

impl Switch {
    pub(super) fn handle_bundle_control(
        &mut self,
        id: ConnectionId,
        request: &Request,
        control: BundleControl,
        now: Duration,
    ) -> Result<(), ErrorCode> {
        let answer = match control.command {
            BundleCommand::OpenRequest => {
                self.open_bundle(id, request, control, now)?;
                BundleCommand::OpenReply
            }
            BundleCommand::CloseRequest => {
                self.close_bundle(id, control, now)?;
                BundleCommand::CloseReply
            }
            BundleCommand::CommitRequest => {
                if !self.commit_bundle(id, control, now)? {
                    return Ok(());
                }
                BundleCommand::CommitReply
            }
            BundleCommand::DiscardRequest => {
                self.take_bundle(id, control.bundle)?;
                BundleCommand::DiscardReply
            }
            BundleCommand::OpenReply
            | BundleCommand::CloseReply
            | BundleCommand::CommitReply
            | BundleCommand::DiscardReply
            | BundleCommand::Unknown(_) => return Err(error("OFPBFC_BAD_TYPE")),
        };
        let reply = BundleControl {
            bundle: control.bundle,
            command: answer,
            flags: BundleFlags::empty(),
        };
        self.reply(id, request, &Message::BundleControl(reply), now);
        Ok(())
    }

    pub(super) fn handle_bundle_add(
        &mut self,
        id: ConnectionId,
        request: &Request,
        add: &BundleAdd,
        now: Duration,
    ) -> Result<(), ErrorCode> {
        let change = self.bundled_change(request, add)?;
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        let bundle = connection
            .bundles
            .entry(add.bundle)
            .or_insert_with(|| Bundle::new(request, add.flags, now));
        let refused = if bundle.closed {
            "OFPBFC_BUNDLE_CLOSED"
        } else if bundle.flags != add.flags {
            "OFPBFC_BAD_FLAGS"
        } else {
            bundle.used = now;
            bundle.entries.push((request.clone(), change));
            return Ok(());
        };
        connection.bundles.remove(&add.bundle);
        Err(error(refused))
    }

    /// Reads and checks the message in a bundle_add.
    fn bundled_change(&self, request: &Request, add: &BundleAdd) -> Result<Change, ErrorCode> {
        let frame = Frame::from_bytes(&add.message).map_err(|_| error("OFPBFC_MSG_BAD_LEN"))?;
        if frame.header.version != VERSION {
            return Err(error("OFPBFC_BAD_VERSION"));
        }
        if frame.header.xid != request.header.xid {
            return Err(error("OFPBFC_MSG_BAD_XID"));
        }
        let message = Message::decode(&frame, &self.context)
            .map_err(|decode| decode_error(&frame, &decode.kind))?;
        match message {
            Message::FlowMod(flow_mod) => {
                self.check_flow_mod(&flow_mod)?;
                Ok(Change::Flow(flow_mod))
            }
            Message::GroupMod(group_mod) => {
                self.check_group_mod(&group_mod)?;
                Ok(Change::Group(group_mod))
            }
            Message::PacketOut(packet_out) => Ok(Change::Packet(packet_out)),
            _ => Err(error("OFPBFC_MSG_UNSUP")),
        }
    }

    /// An identifier in use: both bundles are gone.
    fn open_bundle(
        &mut self,
        id: ConnectionId,
        request: &Request,
        control: BundleControl,
        now: Duration,
    ) -> Result<(), ErrorCode> {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        if connection.bundles.remove(&control.bundle).is_some() {
            return Err(error("OFPBFC_BAD_ID"));
        }
        let bundle = Bundle::new(request, control.flags, now);
        connection.bundles.insert(control.bundle, bundle);
        Ok(())
    }

    fn close_bundle(
        &mut self,
        id: ConnectionId,
        control: BundleControl,
        now: Duration,
    ) -> Result<(), ErrorCode> {
        let mut bundle = self.take_bundle(id, control.bundle)?;
        if bundle.closed {
            return Err(error("OFPBFC_BUNDLE_CLOSED"));
        }
        if bundle.flags != control.flags {
            return Err(error("OFPBFC_BAD_FLAGS"));
        }
        bundle.closed = true;
        bundle.used = now;
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.bundles.insert(control.bundle, bundle);
        }
        Ok(())
    }

    fn take_bundle(&mut self, id: ConnectionId, bundle: BundleId) -> Result<Bundle, ErrorCode> {
        let connection = self.connections.get_mut(&id);
        connection
            .and_then(|connection| connection.bundles.remove(&bundle))
            .ok_or_else(|| error("OFPBFC_BAD_ID"))
    }

    /// Carries out a bundle, or none of it (OVS does so whatever the flags say); it is gone
    /// afterwards. False when a fault keeps the answer back.
    fn commit_bundle(
        &mut self,
        id: ConnectionId,
        control: BundleControl,
        now: Duration,
    ) -> Result<bool, ErrorCode> {
        let bundle = self.take_bundle(id, control.bundle)?;
        let fault = self.connections.get_mut(&id).and_then(|connection| {
            connection.commits += 1;
            let fault = connection.faults.commit?;
            (fault.nth == connection.commits).then_some(fault.outcome)
        });
        if fault == Some(CommitOutcome::ClosedBefore) {
            self.disconnect(id);
            return Ok(false);
        }
        if bundle.flags != control.flags {
            return Err(error("OFPBFC_BAD_FLAGS"));
        }
        let committed = self.carry_out(id, bundle, now);
        match fault {
            Some(CommitOutcome::AppliedThenClosed) => {
                self.disconnect(id);
                Ok(false)
            }
            Some(CommitOutcome::AppliedInSilence) => Ok(false),
            Some(CommitOutcome::ClosedBefore) | None => committed.map(|()| true),
        }
    }

    fn carry_out(
        &mut self,
        id: ConnectionId,
        bundle: Bundle,
        now: Duration,
    ) -> Result<(), ErrorCode> {
        let mut undo = Vec::new();
        let mut packets = Vec::new();
        for (request, change) in bundle.entries {
            let result = match change {
                Change::Flow(flow_mod) => self.apply_flow_mod(id, &flow_mod, now, &mut undo),
                Change::Group(group_mod) => self.apply_group_mod(&group_mod, &mut undo),
                Change::Packet(packet_out) => {
                    packets.push(packet_out);
                    Ok(())
                }
            };
            if let Err(code) = result {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.send_error(&request, code, now);
                }
                self.undo(undo);
                return Err(error("OFPBFC_MSG_FAILED"));
            }
        }
        self.packet_outs.extend(packets);
        Ok(())
    }

    /// Drops bundles that were not used for long, and says so.
    pub(super) fn expire_bundles(&mut self, now: Duration) {
        for connection in self.connections.values_mut() {
            let idle = |bundle: &Bundle| now.saturating_sub(bundle.used) >= BUNDLE_IDLE_TIMEOUT;
            let expired: Vec<BundleId> = connection
                .bundles
                .iter()
                .filter(|(_, bundle)| idle(bundle))
                .map(|(id, _)| *id)
                .collect();
            for id in expired {
                if let Some(bundle) = connection.bundles.remove(&id) {
                    connection.send_error(&bundle.opened_by, error("OFPBFC_TIMEOUT"), now);
                }
            }
        }
    }
}

impl Bundle {
    fn new(request: &Request, flags: BundleFlags, now: Duration) -> Self {
        Self {
            flags,
            closed: false,
            entries: Vec::new(),
            used: now,
            opened_by: request.clone(),
        }
    }
}
