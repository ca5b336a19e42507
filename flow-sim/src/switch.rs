// SPDX-License-Identifier: Apache-2.0
//! A switch that speaks OpenFlow 1.5: bytes in, bytes out, and faults on demand.
//!
//! It answers as Open vSwitch does, errors included (OVS `ofproto/ofproto.c`, `bundles.c`,
//! `connmgr.c`). Every request is carried out when it arrives. Deliberately absent: packet_in,
//! flow_removed, flow timeouts and eviction, the flows that a deleted meter takes along, port_mod, flow
//! monitors.

use std::collections::BTreeMap;
use std::time::Duration;

use openflow_codec::message::error::ErrorCode;
use openflow_codec::message::meter::Meter;
use openflow_codec::message::multipart::desc::SwitchDesc;
use openflow_codec::message::packet_out::PacketOut;
use openflow_codec::message::port::{Port, PortReason, PortStatus};
use openflow_codec::{Context, DatapathId, Message, MeterId, PortNo, TableId, TlvMapping};

use crate::sim::Sim;

mod apply;
mod bundle;
mod connection;
mod faults;
mod group_mod;
mod handler;
mod meter_mod;
mod multipart;
mod tlv_table;

use connection::Connection;
pub use faults::{CommitFault, CommitOutcome, Faults};

/// Number of a connection to a [`Switch`]; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u32);

/// A switch and its controllers' connections.
///
/// `now` in every call is the time since any fixed moment; it never goes back.
#[derive(Debug)]
pub struct Switch {
    datapath_id: DatapathId,
    desc: SwitchDesc,
    sim: Sim,
    max_flows: usize,
    ports: BTreeMap<PortNo, Port>,
    tlv_table: BTreeMap<u16, TlvMapping>,
    context: Context,
    table_names: BTreeMap<TableId, String>,
    meters: BTreeMap<MeterId, Meter>,
    generation_id: Option<u64>,
    packet_outs: Vec<PacketOut>,
    connections: BTreeMap<ConnectionId, Connection>,
    next_connection: u32,
}

impl Switch {
    /// A switch without flows and ports that says it is Open vSwitch 3.1.0.
    pub fn new(datapath_id: DatapathId) -> Self {
        let desc = SwitchDesc {
            manufacturer: "Nicira, Inc.".into(),
            hardware: "Open vSwitch".into(),
            software: "3.1.0".into(),
            serial: "None".into(),
            datapath: "None".into(),
        };
        Self {
            datapath_id,
            desc,
            sim: Sim::new(),
            max_flows: usize::MAX,
            ports: BTreeMap::new(),
            tlv_table: BTreeMap::new(),
            context: Context::UNMAPPED,
            table_names: BTreeMap::new(),
            meters: BTreeMap::new(),
            generation_id: None,
            packet_outs: Vec::new(),
            connections: BTreeMap::new(),
            next_connection: 0,
        }
    }

    /// What `OFPMP_DESC` answers.
    pub fn set_desc(&mut self, desc: SwitchDesc) {
        self.desc = desc;
    }

    /// Refuses to hold more flows than this (`OFPFMFC_TABLE_FULL`).
    pub fn set_max_flows(&mut self, max_flows: usize) {
        self.max_flows = max_flows;
    }

    /// A controller connects; the switch says HELLO.
    pub fn connect(&mut self, now: Duration) -> ConnectionId {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.connections.insert(id, Connection::new(now));
        id
    }

    /// A controller is gone, with its bundles and its role.
    pub fn disconnect(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
    }

    /// Whether the connection is open: the switch closes it on a fault, or when the peer does not
    /// speak OpenFlow 1.5.
    pub fn is_connected(&self, id: ConnectionId) -> bool {
        self.connections.contains_key(&id)
    }

    /// What goes wrong on this connection; `None` when it is closed.
    pub fn faults_mut(&mut self, id: ConnectionId) -> Option<&mut Faults> {
        self.connections
            .get_mut(&id)
            .map(|connection| &mut connection.faults)
    }

    /// Bytes from a controller. Bytes for a closed connection are lost.
    pub fn receive(&mut self, id: ConnectionId, bytes: &[u8], now: Duration) {
        self.expire_bundles(now);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.framer.push(bytes);
        while let Some(connection) = self.connections.get_mut(&id) {
            if connection.closing {
                return;
            }
            match connection.framer.next() {
                Ok(Some(frame)) => {
                    let limit = connection.faults.close_after_received;
                    if limit.is_some_and(|limit| connection.received >= limit) {
                        self.disconnect(id);
                        return;
                    }
                    connection.received += 1;
                    self.handle(id, &frame, now);
                }
                Ok(None) => return,
                Err(_) => self.disconnect(id),
            }
        }
    }

    /// The next message for a controller that is due, as bytes.
    pub fn poll_transmit(&mut self, id: ConnectionId, now: Duration) -> Option<Vec<u8>> {
        self.expire_bundles(now);
        let connection = self.connections.get_mut(&id)?;
        let limit = connection.faults.close_after_sent;
        let message = connection.take_due(now)?;
        if limit.is_some_and(|limit| connection.sent >= limit) {
            self.disconnect(id);
            return None;
        }
        connection.sent += 1;
        if connection.is_over() {
            self.disconnect(id);
        }
        Some(message)
    }

    /// When something will happen by itself: a delayed message is due, or a bundle times out.
    pub fn next_timeout(&self) -> Option<Duration> {
        let connections = self.connections.values();
        connections.filter_map(Connection::next_timeout).min()
    }

    /// vswitchd restarts: connections, flows, groups, table names and the TLV table are lost.
    pub fn restart(&mut self) {
        self.connections.clear();
        self.sim = Sim::new();
        self.tlv_table.clear();
        self.context = Context::UNMAPPED;
        self.table_names.clear();
        self.generation_id = None;
    }

    /// Adds a port, or changes the one with its number; controllers are told.
    pub fn set_port(&mut self, port: Port, now: Duration) {
        let reason = match self.ports.insert(port.number, port.clone()) {
            Some(_) => PortReason::Modify,
            None => PortReason::Add,
        };
        self.tell_port(reason, &port, now);
    }

    /// Removes a port; controllers are told.
    pub fn remove_port(&mut self, number: PortNo, now: Duration) {
        if let Some(port) = self.ports.remove(&number) {
            self.tell_port(PortReason::Delete, &port, now);
        }
    }

    fn tell_port(&mut self, reason: PortReason, port: &Port, now: Duration) {
        let status = PortStatus {
            reason,
            port: port.clone(),
        };
        for connection in self.connections.values_mut() {
            if connection.wants_port_status(reason) {
                connection.send_async(&Message::PortStatus(status.clone()), now);
            }
        }
    }

    /// The flows, groups and connections of the datapath.
    pub fn sim(&self) -> &Sim {
        &self.sim
    }

    /// The same, to send packets or to change flows behind the controllers' backs.
    pub fn sim_mut(&mut self) -> &mut Sim {
        &mut self.sim
    }

    /// The TLV table.
    pub fn tlv_table(&self) -> impl Iterator<Item = &TlvMapping> {
        self.tlv_table.values()
    }

    /// Names given to tables.
    pub fn table_names(&self) -> &BTreeMap<TableId, String> {
        &self.table_names
    }

    /// The meters, by number, to change them behind the controllers' backs.
    pub fn meters_mut(&mut self) -> &mut BTreeMap<MeterId, Meter> {
        &mut self.meters
    }

    /// Packets that controllers sent out; they are not parsed.
    pub fn packet_outs(&self) -> &[PacketOut] {
        &self.packet_outs
    }

    /// Messages received on this connection so far.
    pub fn received(&self, id: ConnectionId) -> u64 {
        self.connections
            .get(&id)
            .map_or(0, |connection| connection.received)
    }
}

/// A message as it came, to be answered and quoted.
type Request = openflow_codec::Frame;

/// The error that OVS calls `OFPERR_<name>`.
fn error(name: &'static str) -> ErrorCode {
    ErrorCode::from_name(name).expect("the names in this crate are names of OVS")
}
