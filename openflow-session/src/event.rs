// SPDX-License-Identifier: Apache-2.0
//! What the owner of a session may learn.

use openflow_codec::{Cookie, DatapathId, GroupId, PortNo};

use crate::layer::{Generation, Layer};

/// An event of a session, in the order in which things happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is done. Comes once, before every other event but [`Event::Closed`].
    Up(SwitchInfo),
    /// A port was added, removed or changed.
    PortStatus {
        /// What happened.
        change: PortChange,
        /// The port as it is now, or last was.
        port: SwitchPort,
    },
    /// The switch holds what was wanted when the session met it, or now holds it after a repair.
    /// Comes once per connection and once per [`crate::Session::audit`].
    Reconciled(Reconciled),
    /// The switch has acknowledged everything up to `generation`, except entries that it refused
    /// ([`Event::Rejected`]).
    Acked {
        /// Highest generation that is acknowledged.
        generation: Generation,
        /// Wanted entries that the switch has refused and so does not hold.
        rejected: usize,
    },
    /// The switch refused an entry. It is left out until it is no longer wanted, or until the next
    /// audit or connection tries it again; everything else goes on.
    Rejected(Rejection),
    /// A part of what [`crate::Session::read_counters`] asked for.
    Counted {
        /// Flows that have counted something; those that have not are left out.
        flows: Vec<Counted>,
        /// This is the last part.
        complete: bool,
    },
    /// Something went wrong that changes no flow, such as a table that could not be named.
    Warning(String),
    /// The connection is over. The last event.
    Closed(CloseReason),
}

/// What the handshake found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchInfo {
    /// Datapath id.
    pub datapath_id: DatapathId,
    /// Manufacturer, from `OFPMP_DESC`.
    pub manufacturer: String,
    /// Software version as the switch spells it, such as `3.1.0`.
    pub software: String,
    /// All ports, by number.
    pub ports: Vec<SwitchPort>,
}

/// A port of the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchPort {
    /// OpenFlow port number.
    pub number: PortNo,
    /// Interface name.
    pub name: String,
    /// Link-layer address.
    pub hw_addr: [u8; 6],
    /// Whether the link is up and the port is not disabled.
    pub up: bool,
}

/// Reason of a port status (`ofp_port_reason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortChange {
    /// Added.
    Added,
    /// Removed.
    Removed,
    /// Changed.
    Modified,
}

/// What comparing a switch with the wanted state found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Both markers had the wanted digest, so nothing was read and nothing sent.
    pub by_digest: bool,
    /// Found by [`crate::Session::audit`]: what was wrong was changed behind our back.
    pub audit: bool,
    /// Wanted flows that were missing, or were there with another content.
    pub flows_added: usize,
    /// Flows of ours that nobody wants.
    pub flows_removed: usize,
    /// Wanted groups that were missing or different.
    pub groups_set: usize,
    /// Groups of ours that nobody wants.
    pub groups_removed: usize,
    /// Flows of others, left alone; 0 when nothing was read.
    pub foreign_flows: usize,
    /// Groups of others, left alone; 0 when nothing was read.
    pub foreign_groups: usize,
}

/// What a flow has counted since it was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The flow's cookie.
    pub cookie: Cookie,
    /// Packets.
    pub packets: u64,
    /// Bytes of those packets.
    pub bytes: u64,
}

/// An entry that the switch refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Whose entry it is.
    pub layer: Layer,
    /// Which entry.
    pub entry: EntryId,
    /// The entry as `ovs-ofctl` spells it.
    pub text: String,
    /// The switch's error, or why the entry was not sent.
    pub error: String,
}

/// Names a flow or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryId {
    /// The flow with this cookie.
    Flow(Cookie),
    /// The group with this number.
    Group(GroupId),
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The owner said so.
    #[error("closed by its owner")]
    Owner,
    /// The peer has no version in common with us.
    #[error(
        "the switch does not speak OpenFlow 1.5 (it offers {offered}): \
         add OpenFlow15 to `protocols` of its bridge"
    )]
    Version {
        /// What it offers.
        offered: String,
    },
    /// The handshake did not end in time.
    #[error("the handshake did not finish in time: no answer to {waiting_for}")]
    HandshakeTimeout {
        /// What is missing.
        waiting_for: String,
    },
    /// The switch fell silent.
    #[error("the switch did not answer a probe")]
    ProbeTimeout,
    /// The switch answers probes, but not a request.
    #[error("the switch did not answer {request} in time")]
    RequestTimeout {
        /// Which request.
        request: String,
    },
    /// The switch refused something that cannot be left out.
    #[error("the switch refused {request}: {error}")]
    Refused {
        /// Which request.
        request: String,
        /// Its error.
        error: String,
    },
    /// Another controller with a newer generation is master.
    #[error("another controller is master of the switch: {error}")]
    StaleMaster {
        /// The switch's error.
        error: String,
    },
    /// The tunnel option's place is taken.
    #[error(
        "tun_metadata{index} of the switch is mapped to another tunnel option ({taken_by}): \
         remove that mapping with `ovs-ofctl del-tlv-map` or give Culvert a bridge of its own"
    )]
    TlvTaken {
        /// Wanted field.
        index: u16,
        /// The mapping that stands there.
        taken_by: String,
    },
    /// The peer sent something that is not OpenFlow 1.5.
    #[error("the switch sent a malformed message: {0}")]
    Malformed(String),
    /// The peer made us hold more than a limit allows.
    #[error("the switch exceeded a limit: {0}")]
    Limit(String),
}
