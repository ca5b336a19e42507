// SPDX-License-Identifier: Apache-2.0
//! One controller's connection: what it said, what it is to hear, and when.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use openflow_codec::message::async_config::{AsyncConfig, AsyncKind};
use openflow_codec::message::config::SwitchConfig;
use openflow_codec::message::error::{ErrorCode, ErrorMessage};
use openflow_codec::message::hello::Hello;
use openflow_codec::message::port::PortReason;
use openflow_codec::message::role::Role;
use openflow_codec::{BundleId, Context, Framer, Message, Xid};

use super::bundle::{BUNDLE_IDLE_TIMEOUT, Bundle};
use super::faults::Faults;
use super::{Request, error};

/// Bytes of a request's body that fit in an error with header and code.
const MAX_QUOTE: usize = 65_500;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) framer: Framer,
    /// The peer's HELLO has come.
    pub(super) greeted: bool,
    /// Nothing more is received, and the connection closes when all is sent.
    pub(super) closing: bool,
    pub(super) role: Role,
    pub(super) config: SwitchConfig,
    pub(super) async_config: AsyncConfig,
    pub(super) bundles: BTreeMap<BundleId, Bundle>,
    pub(super) faults: Faults,
    pub(super) received: u64,
    pub(super) sent: u64,
    /// Additions of flows carried out or refused.
    pub(super) additions: u64,
    /// Bundles committed.
    pub(super) commits: u64,
    outbox: VecDeque<(Duration, Vec<u8>)>,
}

impl Connection {
    pub(super) fn new(now: Duration) -> Self {
        let mut connection = Self {
            framer: Framer::new(),
            greeted: false,
            closing: false,
            role: Role::Equal,
            config: SwitchConfig {
                flags: 0,
                miss_send_len: 128,
            },
            async_config: AsyncConfig::default(),
            bundles: BTreeMap::new(),
            faults: Faults::default(),
            received: 0,
            sent: 0,
            additions: 0,
            commits: 0,
            outbox: VecDeque::new(),
        };
        connection.send_async(&Message::Hello(Hello::OURS), now);
        connection
    }

    /// Queues a message that answers nothing.
    pub(super) fn send_async(&mut self, message: &Message, now: Duration) {
        self.send(message, Xid(0), &Context::UNMAPPED, now);
    }

    /// Queues an error about `request`, which it quotes as far as a message can.
    pub(super) fn send_error(&mut self, request: &Request, code: ErrorCode, now: Duration) {
        let header = request.header;
        let mut data = vec![header.version, header.message_type];
        data.extend(header.length.to_be_bytes());
        data.extend(header.xid.0.to_be_bytes());
        data.extend(request.body.iter().take(MAX_QUOTE));
        let message = Message::Error(ErrorMessage {
            code,
            data: data.into(),
        });
        self.send(&message, request.header.xid, &Context::UNMAPPED, now);
    }

    /// Queues a message.
    pub(super) fn send(&mut self, message: &Message, xid: Xid, context: &Context, now: Duration) {
        let mut bytes = Vec::new();
        if message.encode(xid, context, &mut bytes).is_err() {
            // Nothing the switch says is too long, except a flow that came in one message and
            // does not fit in a reply; OVS leaves such a flow out too.
            let error = Message::Error(ErrorMessage {
                code: error("NXBRC_UNENCODABLE_ERROR"),
                data: Bytes::new(),
            });
            return self.send(&error, xid, context, now);
        }
        let due = now.saturating_add(self.faults.delay);
        self.outbox.push_back((due, bytes));
    }

    /// The first message, if it is due.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<Vec<u8>> {
        let (due, _) = self.outbox.front()?;
        if *due > now {
            return None;
        }
        self.outbox.pop_front().map(|(_, bytes)| bytes)
    }

    /// Whether a closing connection has sent everything.
    pub(super) fn is_over(&self) -> bool {
        self.closing && self.outbox.is_empty()
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        let message = self.outbox.front().map(|(due, _)| *due);
        let bundle = self.bundles.values().map(|bundle| bundle.used).min();
        let bundle = bundle.map(|used| used.saturating_add(BUNDLE_IDLE_TIMEOUT));
        message.into_iter().chain(bundle).min()
    }

    /// Whether the connection asked for port_status of this reason, or left the default.
    pub(super) fn wants_port_status(&self, reason: PortReason) -> bool {
        let kind = match self.role {
            Role::Slave => AsyncKind::PortStatusSlave,
            _ => AsyncKind::PortStatusMaster,
        };
        let bit = match reason {
            PortReason::Add => 0,
            PortReason::Delete => 1,
            PortReason::Modify => 2,
            PortReason::Unknown(number) => number,
        };
        let mut masks = self.async_config.masks.iter();
        let mask = masks.find_map(|(of, mask)| (*of == kind).then_some(*mask));
        self.greeted
            && mask
                .unwrap_or(u32::MAX)
                .checked_shr(bit.into())
                .unwrap_or(0)
                & 1
                == 1
    }
}
