// SPDX-License-Identifier: Apache-2.0
//! One atomic, ordered bundle on its way (OpenFlow 1.5.1 section 7.3.9, OVS `ofproto/bundles.c`).
//!
//! OVS refuses a malformed message when it is added and commits the rest, which is no atomic
//! change. A *fenced* bundle therefore asks for a barrier before it is committed, and is discarded
//! if anything was refused until then. The bundle that carries markers is always fenced.

use std::time::Instant;

use openflow_codec::message::bundle::BundleCommand;
use openflow_codec::{BundleId, Context, EncodeError, Message, Xid};

use crate::plan::Op;
use crate::wire;

/// A bundle whose outcome is not known.
#[derive(Debug)]
pub(crate) struct Bundle {
    id: BundleId,
    /// Transaction id of OPEN. Those of the messages, the barrier and the end follow.
    first_xid: u32,
    ops: Vec<Op>,
    /// For each operation, the number of its first message.
    starts: Vec<u32>,
    messages: u32,
    stage: Stage,
    fenced: bool,
    failures: Vec<Failure>,
    /// When the last message that needs an answer was taken for transmission.
    asked: Option<Instant>,
}

/// An operation that the switch refused.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Index of the operation.
    pub(crate) op: usize,
    /// The switch's error.
    pub(crate) error: String,
}

/// How a bundle ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Committed, without the operations that failed when they were added.
    Committed {
        /// All operations.
        ops: Vec<Op>,
        /// Those that were refused.
        failures: Vec<Failure>,
    },
    /// Nothing of it was carried out.
    Refused {
        /// All operations.
        ops: Vec<Op>,
        /// Those known to be the cause.
        failures: Vec<Failure>,
        /// The error of the bundle.
        error: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Opening,
    Adding { op: usize, part: usize },
    Fencing,
    AwaitFence,
    Committing,
    AwaitCommit,
    Discarding,
    AwaitDiscard,
}

impl Bundle {
    /// A bundle of `ops`, not yet sent. `first_xid` begins a free range of [`Bundle::xids_for`].
    pub(crate) fn new(id: BundleId, first_xid: u32, ops: Vec<Op>, fenced: bool) -> Self {
        let mut messages = 0;
        let mut starts = Vec::with_capacity(ops.len());
        for op in &ops {
            starts.push(messages);
            messages += message_count(op);
        }
        Self {
            id,
            first_xid,
            ops,
            starts,
            messages,
            stage: Stage::Opening,
            fenced,
            failures: Vec::new(),
            asked: None,
        }
    }

    /// How many transaction ids a bundle of `ops` uses.
    pub(crate) fn xids_for(ops: &[Op]) -> u32 {
        ops.iter().map(message_count).sum::<u32>() + 3
    }

    fn xid(&self, offset: u32) -> Xid {
        Xid(self.first_xid.wrapping_add(offset))
    }

    fn fence_xid(&self) -> Xid {
        self.xid(self.messages + 1)
    }

    fn end_xid(&self) -> Xid {
        self.xid(self.messages + 2)
    }

    /// Whether a message with this transaction id is ours.
    pub(crate) fn owns(&self, xid: Xid) -> bool {
        xid.0.wrapping_sub(self.first_xid) < self.messages + 3
    }

    /// Whether there is something to send now.
    pub(crate) fn wants_transmit(&self) -> bool {
        !matches!(
            self.stage,
            Stage::AwaitFence | Stage::AwaitCommit | Stage::AwaitDiscard
        )
    }

    /// When the switch was asked for what it has not answered.
    pub(crate) fn asked(&self) -> Option<Instant> {
        self.asked.filter(|_| !self.wants_transmit())
    }

    /// Appends messages to `out` until it holds `limit` bytes or nothing is left to say for now.
    ///
    /// # Errors
    /// When a message of the bundle protocol itself cannot be encoded.
    pub(crate) fn transmit(
        &mut self,
        out: &mut Vec<u8>,
        limit: usize,
        context: &Context,
        now: Instant,
    ) -> Result<(), EncodeError> {
        while out.len() < limit {
            match self.stage {
                Stage::Opening => {
                    wire::bundle_control(out, self.xid(0), self.id, BundleCommand::OpenRequest)?;
                    self.stage = Stage::Adding { op: 0, part: 0 };
                }
                Stage::Adding { op, part } => self.transmit_op(out, op, part, context),
                Stage::Fencing => {
                    Message::BarrierRequest.encode(self.fence_xid(), context, out)?;
                    self.await_answer(Stage::AwaitFence, now);
                }
                Stage::Committing => {
                    let command = BundleCommand::CommitRequest;
                    wire::bundle_control(out, self.end_xid(), self.id, command)?;
                    self.await_answer(Stage::AwaitCommit, now);
                }
                Stage::Discarding => {
                    let command = BundleCommand::DiscardRequest;
                    wire::bundle_control(out, self.end_xid(), self.id, command)?;
                    self.await_answer(Stage::AwaitDiscard, now);
                }
                Stage::AwaitFence | Stage::AwaitCommit | Stage::AwaitDiscard => break,
            }
        }
        Ok(())
    }

    fn await_answer(&mut self, stage: Stage, now: Instant) {
        self.stage = stage;
        self.asked = Some(now);
    }

    fn transmit_op(&mut self, out: &mut Vec<u8>, index: usize, part: usize, context: &Context) {
        let (Some(op), Some(start)) = (self.ops.get(index), self.starts.get(index)) else {
            self.stage = if self.fenced {
                Stage::Fencing
            } else {
                Stage::Committing
            };
            return;
        };
        let xid = self.xid(start + part as u32 + 1);
        if let Err(error) = wire::op(out, xid, self.id, op, part, context) {
            self.failures.push(Failure {
                op: index,
                error: error.to_string(),
            });
        }
        self.stage = if part + 1 < message_count(op) as usize {
            Stage::Adding {
                op: index,
                part: part + 1,
            }
        } else {
            Stage::Adding {
                op: index + 1,
                part: 0,
            }
        };
    }

    /// An error for one of our transaction ids.
    pub(crate) fn handle_error(&mut self, xid: Xid, error: String) -> Option<Outcome> {
        let offset = xid.0.wrapping_sub(self.first_xid);
        if xid == self.end_xid() {
            return Some(self.refused(error));
        }
        if (1..=self.messages).contains(&offset) {
            let op = self
                .starts
                .partition_point(|start| *start < offset)
                .saturating_sub(1);
            self.failures.push(Failure { op, error });
        }
        // An error for OPEN says nothing of its own: what follows fails too.
        None
    }

    /// A barrier reply for one of our transaction ids.
    pub(crate) fn handle_barrier(&mut self, xid: Xid) {
        if xid == self.fence_xid() && self.stage == Stage::AwaitFence {
            self.stage = if self.failures.is_empty() {
                Stage::Committing
            } else {
                Stage::Discarding
            };
        }
    }

    /// The answer to COMMIT or DISCARD; other replies say nothing new.
    pub(crate) fn handle_end(&mut self, xid: Xid) -> Option<Outcome> {
        if xid != self.end_xid() {
            return None;
        }
        match self.stage {
            Stage::AwaitCommit => Some(Outcome::Committed {
                ops: std::mem::take(&mut self.ops),
                failures: std::mem::take(&mut self.failures),
            }),
            Stage::AwaitDiscard => Some(self.refused("discarded".to_owned())),
            Stage::Opening
            | Stage::Adding { .. }
            | Stage::Fencing
            | Stage::AwaitFence
            | Stage::Committing
            | Stage::Discarding => None,
        }
    }

    fn refused(&mut self, error: String) -> Outcome {
        Outcome::Refused {
            ops: std::mem::take(&mut self.ops),
            failures: std::mem::take(&mut self.failures),
            error,
        }
    }
}

/// Messages that an operation takes in a bundle.
pub(crate) fn message_count(op: &Op) -> u32 {
    match op {
        Op::SetGroup(_, group) => group.messages().len() as u32,
        Op::AddFlow(..)
        | Op::DeleteCookie(_)
        | Op::DeleteStrict(..)
        | Op::DeleteGroup(_)
        | Op::DropMarker(_)
        | Op::WriteMarker(..) => 1,
    }
}
