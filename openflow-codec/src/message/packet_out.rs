// SPDX-License-Identifier: Apache-2.0
//! `OFPT_PACKET_OUT` (OpenFlow 1.5.1 section 7.3.6).

use bytes::Bytes;

use crate::action::{Action, put_actions, read_actions};
use crate::context::Context;
use crate::error::DecodeError;
use crate::oxm::{self, Match};
use crate::reader::Reader;
use crate::writer::Writer;

/// Sends a packet through a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketOut {
    /// Packet the switch holds; 0xffff_ffff when `data` is the packet.
    pub buffer_id: u32,
    /// Metadata of the packet: at least `in_port`.
    pub metadata: Match,
    /// What happens to it.
    pub actions: Vec<Action>,
    /// The packet.
    pub data: Bytes,
}

impl PacketOut {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u32(self.buffer_id);
        let length = out.position();
        out.u16(0);
        out.zeros(2);
        oxm::put_match(out, &self.metadata);
        let actions = out.position();
        put_actions(out, &self.actions);
        out.set_length("packet_out actions", length, actions);
        out.bytes(&self.data);
    }

    pub(super) fn read(reader: &mut Reader<'_>, context: &Context) -> Result<Self, DecodeError> {
        let buffer_id = reader.u32("buffer id")?;
        let length = reader.u16("packet_out actions length")?;
        reader.skip("padding", 2)?;
        let metadata = oxm::read_match(reader, context)?;
        let mut actions = reader.sub("packet_out actions", usize::from(length))?;
        Ok(Self {
            buffer_id,
            metadata,
            actions: read_actions(&mut actions, context)?,
            data: reader.rest(),
        })
    }
}
