// SPDX-License-Identifier: Apache-2.0
//! The agent's side of its OpenFlow conversation with `br-int`: packets to refuse and changes of groups in,
//! refusals and connections to forget out.
//!
//! Number, role and choice of messages are each connection's own, so the controller's are as they were.
//! `OFPT_SET_CONFIG` is not sent: a part of it, what becomes of fragments, is the whole switch's.

use std::time::Instant;

use bytes::Bytes;
use openflow_codec::message::async_config::{AsyncConfig, AsyncKind};
use openflow_codec::message::ct_flush::{CtFlush, CtTuple};
use openflow_codec::message::hello::Hello;
use openflow_codec::message::multipart::{ReplyBody, RequestBody};
use openflow_codec::message::packet_in::{PacketIn2, PacketInFormat};
use openflow_codec::message::packet_out::PacketOut;
use openflow_codec::{
    Action, Context, DecodeError, EncodeError, Field, Frame, Framer, GroupId, Match, Message,
    PortNo, Xid,
};

use super::counts::Counts;
use super::endpoints::Endpoints;
use super::refuse;

/// The number of this connection, which the pipeline's flows name (ARCHITECTURE.md).
const CONTROLLER_ID: u16 = 0xc1;

/// What flows say of packets that are to be refused.
const REFUSE: &[u8] = b"refuse";

/// `OFPR_APPLY_ACTION`, as a bit.
const SENT_BY_AN_ACTION: u32 = 1 << 1;

/// `OFPRFR_GROUP_MOD`, as a bit: what others change in groups.
const CHANGES_OF_GROUPS: u32 = 1 << 0;

/// UDP, and the conntrack zone of connections (ARCHITECTURE.md).
const UDP: u8 = 17;
const CT_ZONE: u16 = 0xc1;

/// What errors are about.
const ABOUT_REFUSALS: Xid = Xid(1);
const ABOUT_CONNECTIONS: Xid = Xid(2);

/// `OFP_NO_BUFFER`.
const NO_BUFFER: u32 = 0xffff_ffff;

/// Every kind of message that a switch could send by itself; packets come to whoever is no slave.
const ASYNC_MESSAGES: [(AsyncKind, u32); 12] = [
    (AsyncKind::PacketInMaster, SENT_BY_AN_ACTION),
    (AsyncKind::PacketInSlave, 0),
    (AsyncKind::PortStatusMaster, 0),
    (AsyncKind::PortStatusSlave, 0),
    (AsyncKind::FlowRemovedMaster, 0),
    (AsyncKind::FlowRemovedSlave, 0),
    (AsyncKind::RoleStatusMaster, 0),
    (AsyncKind::RoleStatusSlave, 0),
    (AsyncKind::TableStatusMaster, 0),
    (AsyncKind::TableStatusSlave, 0),
    (AsyncKind::RequestForwardMaster, CHANGES_OF_GROUPS),
    (AsyncKind::RequestForwardSlave, 0),
];

/// Why a conversation cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("it does not speak OpenFlow 1.5; is OpenFlow15 among the bridge's protocols?")]
    Version,
    #[error("it refuses the agent: {0}")]
    Refused(String),
    /// OVS lets the length of an answer wrap when a group has very many buckets: what follows cannot be
    /// told apart any more.
    #[error("what it sends is not understood: {0}")]
    Decode(#[from] DecodeError),
    #[error("{0}")]
    Encode(#[from] EncodeError),
}

/// One conversation.
#[derive(Debug)]
pub(super) struct Conversation<'a> {
    framer: Framer,
    counts: &'a Counts,
    /// The switch has done what was asked at the beginning.
    ready: bool,
    endpoints: Endpoints,
    out: Vec<u8>,
}

impl<'a> Conversation<'a> {
    /// Begins: everything is asked at once. OVS lets the length of its answer wrap when a group has more
    /// than a thousand buckets; `with_groups` is whether to ask nevertheless which endpoints there are.
    pub(super) fn new(counts: &'a Counts, with_groups: bool) -> Result<Self, Lost> {
        let mut conversation = Self {
            framer: Framer::new(),
            counts,
            ready: false,
            endpoints: Endpoints::default(),
            out: Vec::new(),
        };
        let wanted = AsyncConfig {
            masks: ASYNC_MESSAGES.to_vec(),
            ..AsyncConfig::default()
        };
        for message in [
            Message::Hello(Hello::OURS),
            Message::SetControllerId(CONTROLLER_ID),
            Message::SetPacketInFormat(PacketInFormat::Nxt2),
            Message::SetAsync(wanted),
        ] {
            conversation.say(Xid(0), &message)?;
        }
        if with_groups {
            let groups = RequestBody::GroupDesc(GroupId::ALL);
            conversation.say(Xid(0), &Message::MultipartRequest(groups.into()))?;
        }
        conversation.say(Xid(0), &Message::BarrierRequest)?;
        Ok(conversation)
    }

    /// Whether packets to refuse come from now on.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Takes what the switch says.
    pub(super) fn hear(&mut self, bytes: &[u8], now: Instant) -> Result<(), Lost> {
        self.framer.push(bytes);
        while let Some(frame) = self.framer.next()? {
            match Message::decode(&frame, &Context::UNMAPPED)? {
                Message::Hello(hello) if !hello.speaks_1_5() => return Err(Lost::Version),
                Message::EchoRequest(data) => {
                    self.say(frame.header.xid, &Message::EchoReply(data))?;
                }
                Message::BarrierReply => self.ready = true,
                Message::Error(error) if !self.ready => {
                    return Err(Lost::Refused(error.to_string()));
                }
                Message::Error(_) if frame.header.xid == ABOUT_CONNECTIONS => {
                    self.counts.not_forgotten();
                }
                // The port has gone since the packet came.
                Message::Error(_) => self.counts.undelivered(),
                Message::MultipartReply(reply) => {
                    if let ReplyBody::GroupDesc(groups) = reply.body {
                        groups
                            .iter()
                            .for_each(|group| self.endpoints.present(group, now));
                    }
                }
                Message::RequestForward(request) => {
                    let request = Frame::from_bytes(&request)?;
                    if let Message::GroupMod(change) =
                        Message::decode(&request, &Context::UNMAPPED)?
                    {
                        self.endpoints.change(&change, now);
                    }
                }
                Message::PacketIn2(packet_in) => self.answer(packet_in)?,
                // From a newer switch.
                _ => {}
            }
        }
        Ok(())
    }

    /// When to call [`Self::forget`].
    pub(super) fn next(&self) -> Option<Instant> {
        self.endpoints.next()
    }

    /// Forgets UDP connections to endpoints that have left. TCP is left to itself: its ends notice.
    pub(super) fn forget(&mut self, now: Instant) -> Result<(), Lost> {
        for endpoint in self.endpoints.due(now) {
            let flush = CtFlush {
                ip_proto: UDP,
                reply: CtTuple {
                    src: Some(endpoint.ip()),
                    src_port: Some(endpoint.port()),
                    ..CtTuple::default()
                },
                zone: Some(CT_ZONE),
                ..CtFlush::default()
            };
            tracing::debug!(%endpoint, "forgets its UDP connections");
            self.say(ABOUT_CONNECTIONS, &Message::CtFlush(flush))?;
        }
        Ok(())
    }

    /// What is to be sent.
    pub(super) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Refuses a packet by the port that it came from.
    fn answer(&mut self, packet_in: PacketIn2) -> Result<(), Lost> {
        let in_port = packet_in.metadata.field(Field::InPort);
        let port = in_port.and_then(|(port, _)| u32::try_from(port).ok());
        let Some(port) = port.filter(|_| packet_in.userdata == REFUSE) else {
            return Ok(());
        };
        let refusal = refuse(&packet_in.packet);
        self.counts.refused(&refusal);
        let Ok(frame) = refusal else {
            return Ok(());
        };
        let packet_out = PacketOut {
            buffer_id: NO_BUFFER,
            metadata: Match::any().with(Field::InPort, PortNo::CONTROLLER.0),
            actions: vec![Action::output(PortNo(port))],
            data: Bytes::from(frame),
        };
        self.say(ABOUT_REFUSALS, &Message::PacketOut(packet_out))
    }

    fn say(&mut self, xid: Xid, message: &Message) -> Result<(), Lost> {
        Ok(message.encode(xid, &Context::UNMAPPED, &mut self.out)?)
    }
}

#[cfg(test)]
mod tests {
    use openflow_codec::Header;

    use super::*;

    /// A TCP segment with SYN from a Pod, padded to this length.
    fn packet(length: usize) -> Bytes {
        let mut packet = vec![0x0a, 0x58, 0, 0, 0, 1, 0x0a, 0x58, 0, 0, 0, 2, 8, 0];
        packet.extend([
            0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 10, 1, 2, 10, 96, 0, 1,
        ]);
        packet.extend([
            4, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0,
        ]);
        packet.resize(length.max(packet.len()), 0);
        packet.into()
    }

    fn packet_in(packet: Bytes, userdata: &[u8]) -> Vec<u8> {
        let message = Message::PacketIn2(PacketIn2 {
            packet,
            metadata: Match::any().with(Field::InPort, 7_u32),
            userdata: Bytes::copy_from_slice(userdata),
            ..PacketIn2::default()
        });
        let mut bytes = Vec::new();
        message
            .encode(Xid(0), &Context::UNMAPPED, &mut bytes)
            .unwrap();
        bytes
    }

    /// What is said to a switch that has said this.
    fn said(counts: &Counts, bytes: &[u8]) -> Result<Vec<Message>, Lost> {
        let mut conversation = Conversation::new(counts, true)?;
        drop(conversation.take_output());
        conversation.hear(bytes, Instant::now())?;
        let mut framer = Framer::new();
        framer.push(&conversation.take_output());
        let mut messages = Vec::new();
        while let Some(frame) = framer.next()? {
            messages.push(Message::decode(&frame, &Context::UNMAPPED)?);
        }
        Ok(messages)
    }

    #[test]
    fn a_packet_is_refused_by_the_port_that_it_came_from() {
        let counts = Counts::default();
        let said = said(&counts, &packet_in(packet(0), REFUSE)).unwrap();
        let [Message::PacketOut(out)] = said.as_slice() else {
            panic!("{said:?}");
        };
        assert_eq!(out.actions, [Action::output(PortNo(7))]);
        assert_eq!(out.data, refuse(&packet(0)).unwrap());
        assert_eq!(counts.read()[0], ("answered", 1));
    }

    #[test]
    fn packets_for_other_uses_are_left_alone() {
        let counts = Counts::default();
        assert_eq!(said(&counts, &packet_in(packet(0), b"other")).unwrap(), []);
        assert_eq!(said(&counts, &packet_in(packet(0), b"")).unwrap(), []);
        assert_eq!(counts.read().map(|(_, count)| count), [0; 5]);
    }

    #[test]
    fn a_packet_so_large_that_the_length_of_its_message_wraps_is_refused_and_so_is_the_next() {
        let large = packet(65_500);
        let whole = {
            // As OVS writes it: all lengths but the message's are right.
            let mut body = vec![0, 0, 0x23, 0x20, 0, 0, 0, 30];
            let mut put = |kind: u16, contents: &[u8]| {
                let length = u16::try_from(contents.len() + 4).unwrap();
                body.extend(kind.to_be_bytes());
                body.extend(length.to_be_bytes());
                body.extend(contents);
                body.resize(body.len().next_multiple_of(8), 0);
            };
            put(0, &large);
            put(6, &[0x80, 0, 0, 4, 0, 0, 0, 7]);
            put(7, REFUSE);
            let length = (body.len() + Header::LEN) as u16;
            let mut message = vec![6, 4];
            message.extend(length.to_be_bytes());
            message.extend([0; 4]);
            message.extend(body);
            message
        };
        assert!(whole.len() > 65_536);
        let counts = Counts::default();
        let stream = [whole, packet_in(packet(0), REFUSE)].concat();
        assert_eq!(said(&counts, &stream).unwrap().len(), 2);
        assert_eq!(counts.read()[0], ("answered", 2));
    }

    #[test]
    fn a_stream_that_is_no_openflow_ends_the_conversation_and_malformed_packets_do_not() {
        let counts = Counts::default();
        assert!(said(&counts, &[6, 0, 0, 4, 0, 0, 0, 0]).is_err());
        let short = Bytes::from_static(&[0x0a; 9]);
        assert_eq!(said(&counts, &packet_in(short, REFUSE)).unwrap(), []);
        assert_eq!(counts.read()[2], ("malformed", 1));
    }

    #[test]
    fn an_echo_is_answered() {
        let mut echo = Vec::new();
        let data = Bytes::from_static(b"there?");
        Message::EchoRequest(data.clone())
            .encode(Xid(3), &Context::UNMAPPED, &mut echo)
            .unwrap();
        let said = said(&Counts::default(), &echo).unwrap();
        assert_eq!(said, [Message::EchoReply(data)]);
    }
}
