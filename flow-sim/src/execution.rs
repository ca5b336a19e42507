// SPDX-License-Identifier: Apache-2.0
//! What became of a packet: where it went, why it did not, and every step on the way.

use std::sync::Arc;

use openflow_codec::{Action, Cookie, Field, GroupId, Instruction, PortNo, TableId};

use crate::conntrack::CtState;
use crate::packet::{FieldError, Packet};
use crate::tables::Entry;

/// The result of a packet's walk through the pipeline.
#[derive(Clone, Debug, Default)]
pub struct Execution {
    /// Packets sent, in order.
    pub outputs: Vec<Output>,
    /// Packets sent to the controller.
    pub controller: Vec<Output>,
    /// Ends of the walk where nothing was sent.
    pub drops: Vec<Drop>,
    /// What a correct pipeline never does.
    pub faults: Vec<Fault>,
    /// Every step, in order of execution.
    pub walk: Vec<Step>,
}

/// A packet leaving the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Through this port; `PortNo::CONTROLLER` for the controller.
    pub port: PortNo,
    /// The packet as sent; on a tunnel port [`Packet::tunnel`] is its tunnel header.
    pub packet: Packet,
    /// The flow that sent it, or a group or action set it began.
    pub by: Place,
    /// Which [`Step::pass`] sent it.
    pub pass: u16,
}

/// Where in the pipeline something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Table of the latest lookup.
    pub table: TableId,
    /// Cookie of the flow it found; `None` is a table miss.
    pub cookie: Option<Cookie>,
}

/// A packet, or a copy forked by `ct`, that ended without being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drop {
    /// Latest lookup.
    pub by: Place,
    /// Why.
    pub reason: DropReason,
    /// Which [`Step::pass`] ended so.
    pub pass: u16,
}

/// Why a packet was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// No flow matched.
    TableMiss,
    /// The flow says so: it has neither `goto_table` nor output.
    Flow,
    /// Output to the port it came from, which OpenFlow suppresses.
    InputPort,
    /// See [`Execution::faults`].
    Fault,
}

/// Something a correct pipeline never does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub by: Place,
    /// What.
    pub kind: FaultKind,
}

/// Kinds of [`Fault`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what it is")]
pub enum FaultKind {
    #[error("group {0} does not exist; add it before the flow that uses it")]
    MissingGroup(GroupId),
    #[error("no bucket of group {0} can take the packet; give a bucket a weight")]
    NoBucket(GroupId),
    #[error("the type of group {0} is not modelled")]
    UnsupportedGroup(GroupId),
    #[error("an action that is not known or not modelled here")]
    UnsupportedAction,
    #[error("an instruction that is not known")]
    UnsupportedInstruction,
    #[error("{0}")]
    Field(#[from] FieldError),
    #[error("{} is read, but the packet has none", .0.info().name)]
    AbsentField(Field),
    #[error(
        "{} is copied before a match on non-zero bits of it proved that it is present",
        .0.info().name
    )]
    UnprovedOption(Field),
    #[error("output to port {0} is not modelled")]
    UnsupportedPort(PortNo),
    #[error("output to port number {0}, which is out of range")]
    PortOutOfRange(u128),
    #[error("over {} resubmit actions", crate::execute::MAX_RESUBMITS)]
    TooManyResubmits,
    #[error("over translation depth {}", crate::execute::MAX_DEPTH)]
    TooDeep,
    #[error("over {} recirculations", crate::execute::MAX_RECIRCULATIONS)]
    TooManyRecirculations,
    #[error("goto_table {0} does not lead forward")]
    BackwardGoto(TableId),
    #[error("flow {0} of the same priority matches too and does something else")]
    AmbiguousFlows(Cookie),
    #[error(
        "a write to {} after ct translated the packet without recirculating; give ct a table",
        .0.info().name
    )]
    WriteAfterTranslation(Field),
    #[error(
        "ct in zone {0} of a packet that another zone has translated, which is not modelled: use \
         ct_clear before, which works once after each recirculation"
    )]
    TranslatedElsewhere(u16),
    #[error("nat to an address of the other family than the packet's")]
    NatFamily,
    #[error("no address and port is left to translate to in zone {0}")]
    NatExhausted(u16),
}

/// One step of the walk.
#[derive(Clone, Debug)]
pub struct Step {
    /// 0 for the packet as received, then one number for each recirculation.
    pub pass: u16,
    /// Nesting by resubmit and group.
    pub depth: u16,
    /// What happened.
    pub event: Event,
}

/// What happens in one [`Step`].
#[derive(Clone, Debug)]
pub enum Event {
    /// A table was searched.
    Lookup {
        /// Which.
        table: TableId,
        /// The flow found.
        found: Option<Arc<Entry>>,
    },
    /// An action was done.
    Action(Action),
    /// An instruction other than `apply_actions` was done.
    Instruction(Instruction),
    /// A group's bucket takes the packet.
    Bucket {
        /// The group.
        group: GroupId,
        /// The bucket's number.
        bucket: u32,
    },
    /// The action set is executed.
    ActionSet,
    /// The packet comes back from conntrack.
    Recirculate {
        /// Goes on in this table.
        table: TableId,
        /// Zone it was tracked in.
        zone: u16,
        /// Result.
        state: CtState,
        /// The pass that begins here; its steps bear this number.
        pass: u16,
    },
    /// Output to the port it came from was skipped.
    InputPortSkipped(PortNo),
    /// Something went wrong.
    Fault(FaultKind),
    /// The pass ends without sending.
    Drop(DropReason),
}

impl Execution {
    /// Ports the packet left by, in order.
    pub fn ports(&self) -> Vec<PortNo> {
        self.outputs.iter().map(|output| output.port).collect()
    }

    /// The one packet sent; `None` when none or several were.
    pub fn single(&self) -> Option<&Output> {
        match self.outputs.as_slice() {
            [output] => Some(output),
            _ => None,
        }
    }

    /// Every table searched, with the cookie of the flow found.
    pub fn path(&self) -> impl Iterator<Item = Place> {
        self.walk.iter().filter_map(|step| match &step.event {
            Event::Lookup { table, found } => Some(Place {
                table: *table,
                cookie: found.as_ref().map(|entry| entry.flow.cookie),
            }),
            _ => None,
        })
    }
}
