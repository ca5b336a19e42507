// SPDX-License-Identifier: Apache-2.0
//! An OpenFlow connection that asks and waits.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use openflow_codec::message::flow_mod::FlowMod;
use openflow_codec::message::group_mod::GroupMod;
use openflow_codec::message::hello::Hello;
use openflow_codec::message::tlv_table::{TlvTableCommand, TlvTableMod};
use openflow_codec::{Context, Cookie, Framer, GroupId, Message, TlvMapping, Xid};

/// An OpenFlow connection.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    framer: Framer,
    /// What `tun_metadata` fields mean on it.
    pub context: Context,
}

impl Connection {
    /// Exchanges HELLO.
    pub(crate) fn new(stream: UnixStream) -> Self {
        let mut connection = Self {
            stream,
            framer: Framer::new(),
            context: Context::UNMAPPED,
        };
        connection.send(Xid(0), &Message::Hello(Hello::OURS));
        assert!(matches!(connection.receive(), (_, Message::Hello(_))));
        connection
    }

    /// Maps a tunnel option to its `tun_metadata` field.
    pub fn map(&mut self, option: TlvMapping) {
        let map = Message::TlvTableMod(TlvTableMod {
            command: TlvTableCommand::Add,
            mappings: vec![option],
        });
        assert_eq!(self.ask(&[map]), []);
        self.context = Context::with_tlv_table([&option]);
    }

    /// Deletes all flows and groups.
    pub fn clear(&mut self) {
        let mut everything = FlowMod::delete_by_cookie(Cookie(0));
        everything.cookie_mask = Cookie(0);
        let reset = [
            Message::FlowMod(everything),
            Message::GroupMod(GroupMod::delete(GroupId::ALL)),
        ];
        assert_eq!(self.ask(&reset), []);
    }

    /// Sends a message.
    pub fn send(&mut self, xid: Xid, message: &Message) {
        let mut bytes = Vec::new();
        message
            .encode(xid, &self.context, &mut bytes)
            .expect("the message is short");
        self.send_bytes(&bytes);
    }

    /// Sends messages as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the switch listens");
    }

    /// Waits for a message.
    pub fn receive(&mut self) -> (Xid, Message) {
        let mut chunk = [0; 65536];
        loop {
            if let Some(frame) = self.framer.next().expect("whole messages") {
                let message = Message::decode(&frame, &self.context).expect("sound messages");
                return (frame.header.xid, message);
            }
            let length = self.stream.read(&mut chunk).expect("the switch answers");
            assert!(length > 0, "the switch closed the connection");
            self.framer.push(&chunk[..length]);
        }
    }

    /// Sends messages with transaction ids 1, 2, ...; returns the answers up to a barrier's.
    pub fn ask(&mut self, messages: &[Message]) -> Vec<(Xid, Message)> {
        for (message, xid) in messages.iter().zip(1..) {
            self.send(Xid(xid), message);
        }
        self.until_barrier()
    }

    /// Answers up to the reply to a barrier that is sent now.
    pub fn until_barrier(&mut self) -> Vec<(Xid, Message)> {
        self.send(Xid(u32::MAX), &Message::BarrierRequest);
        let mut answers = Vec::new();
        loop {
            match self.receive() {
                (_, Message::BarrierReply) => return answers,
                answer => answers.push(answer),
            }
        }
    }
}
