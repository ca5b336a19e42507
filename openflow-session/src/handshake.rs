// SPDX-License-Identifier: Apache-2.0
//! From HELLO to a switch that is known and prepared: role, tunnel option, ports, table names.

use std::time::Instant;

use openflow_codec::message::async_config::{AsyncConfig, AsyncKind};
use openflow_codec::message::config::SwitchConfig;
use openflow_codec::message::hello::Hello;
use openflow_codec::message::multipart::RequestBody;
use openflow_codec::message::multipart::table_features::TableFeatures;
use openflow_codec::message::port::{Port, PortConfig, PortState};
use openflow_codec::message::role::{Role as WireRole, RoleMessage};
use openflow_codec::message::tlv_table::{TlvTableCommand, TlvTableMod};
use openflow_codec::{Context, DatapathId, Message, PortNo, TlvMapping};

use crate::config::{Config, Role};
use crate::event::{CloseReason, SwitchInfo, SwitchPort};
use crate::request::Purpose;

/// `OFPC_FRAG_NX_MATCH` of `openflow/nicira-ext.h`: flows see the ports of a first fragment. Without it
/// OVS shows zero in their place.
const FRAGMENTS_AS_THEY_ARE: u16 = 3;

/// Packets sent to us are none of ours, but OVS's management socket counts as wanting no
/// asynchronous message at all while this is 0.
const MISS_SEND_LEN: u16 = 128;

/// All three reasons of a port status.
const EVERY_PORT_REASON: u32 = 0b111;

/// All reasons of a role status.
const EVERY_ROLE_REASON: u32 = 0b111;

/// How far the handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Hello,
    Asking,
    Applying,
    Done,
}

/// The handshake of one connection.
#[derive(Debug)]
pub(crate) struct Handshake {
    stage: Stage,
    /// What every switch needs before it gets flows has been asked for.
    prepared: bool,
    pub(crate) started: Instant,
    datapath_id: Option<DatapathId>,
    manufacturer: String,
    software: String,
    ports: Vec<SwitchPort>,
    tlv_table: Vec<TlvMapping>,
    /// The tunnel option was not mapped: the switch has forgotten everything since we last met.
    pub(crate) tlv_added: bool,
}

/// Messages to send, each with what it is for.
pub(crate) type Requests = Vec<(Purpose, Message)>;

impl Handshake {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            stage: Stage::Hello,
            prepared: false,
            started: now,
            datapath_id: None,
            manufacturer: String::new(),
            software: String::new(),
            ports: Vec::new(),
            tlv_table: Vec::new(),
            tlv_added: false,
        }
    }

    pub(crate) fn awaits_hello(&self) -> bool {
        self.stage == Stage::Hello
    }

    pub(crate) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Whether the list of ports is complete, so that later port statuses are news.
    pub(crate) fn knows_ports(&self) -> bool {
        matches!(self.stage, Stage::Applying | Stage::Done)
    }

    /// The widths of `tun_metadata` fields on this switch.
    pub(crate) fn context(&self, config: &Config) -> Context {
        Context::with_tlv_table(self.tlv_table.iter().chain(&config.tlv))
    }

    /// Whether INSERT_BUCKET keeps groups right that choose by `dp_hash`: OVS commit 0b686a29b, in
    /// 3.3.5, 3.4.3, 3.5.1 and everything from 3.6.
    pub(crate) fn insert_bucket_works(&self) -> bool {
        let mut numbers = self
            .software
            .split(['.', '-', ' '])
            .map_while(|n| n.parse().ok());
        let version: [u32; 3] = std::array::from_fn(|_| numbers.next().unwrap_or(0));
        match version {
            [3, 3, patch] => patch >= 5,
            [3, 4, patch] => patch >= 3,
            [3, 5, patch] => patch >= 1,
            [major, minor, _] => (major, minor) >= (3, 6),
        }
    }

    /// The switch's HELLO.
    pub(crate) fn hello(&mut self, hello: Hello, role: Role) -> Result<Requests, CloseReason> {
        if !hello.speaks_1_5() {
            return Err(CloseReason::Version {
                offered: version_names(hello.versions),
            });
        }
        self.stage = Stage::Asking;
        Ok(questions(role))
    }

    pub(crate) fn features(&mut self, datapath_id: DatapathId) {
        self.datapath_id = Some(datapath_id);
    }

    pub(crate) fn description(&mut self, manufacturer: String, software: String) {
        self.manufacturer = manufacturer;
        self.software = software;
    }

    pub(crate) fn tlv_table(&mut self, mappings: Vec<TlvMapping>) {
        self.tlv_table = mappings;
    }

    /// Part of the list of ports.
    pub(crate) fn ports(&mut self, ports: Vec<Port>, config: &Config) -> Result<(), CloseReason> {
        self.ports.extend(ports.into_iter().map(switch_port));
        if self.ports.len() > config.limits.max_ports {
            let what = format!("it has more than {} ports", config.limits.max_ports);
            return Err(CloseReason::Limit(what));
        }
        Ok(())
    }

    /// Everything asked so far is answered. Returns what to send before the next step, or `None`
    /// when the handshake is done.
    pub(crate) fn step(
        &mut self,
        config: &Config,
        role: Role,
    ) -> Result<Option<Requests>, CloseReason> {
        match self.stage {
            Stage::Asking => {
                self.stage = Stage::Applying;
                let requests = match role {
                    // It may not change anything, and its master does this.
                    Role::Slave { .. } => Requests::new(),
                    Role::Equal | Role::Master { .. } => self.prepare(config)?,
                };
                if requests.is_empty() {
                    self.stage = Stage::Done;
                    return Ok(None);
                }
                Ok(Some(requests))
            }
            Stage::Hello | Stage::Applying | Stage::Done => {
                self.stage = Stage::Done;
                Ok(None)
            }
        }
    }

    /// What the owner learns. Ports are given away, not kept.
    pub(crate) fn switch_info(&mut self) -> SwitchInfo {
        let mut ports = std::mem::take(&mut self.ports);
        ports.sort_by_key(|port| port.number);
        SwitchInfo {
            datapath_id: self.datapath_id.unwrap_or_default(),
            manufacturer: self.manufacturer.clone(),
            software: self.software.clone(),
            ports,
        }
    }

    /// What the switch needs before it gets flows, once.
    pub(crate) fn prepare(&mut self, config: &Config) -> Result<Requests, CloseReason> {
        let mut requests = Vec::new();
        if std::mem::replace(&mut self.prepared, true) {
            return Ok(requests);
        }
        if let Some(wanted) = config.tlv
            && !self.is_mapped(wanted)?
        {
            self.tlv_added = true;
            let add = TlvTableMod {
                command: TlvTableCommand::Add,
                mappings: vec![wanted],
            };
            requests.push((Purpose::AddTlv, Message::TlvTableMod(add)));
        }
        let names = config.table_names.iter();
        let names: Vec<_> = names
            .map(|(table, name)| TableFeatures::set_name(*table, name.as_str()))
            .collect();
        if !names.is_empty() {
            let body = RequestBody::TableFeatures(names);
            requests.push((Purpose::NameTables, Message::MultipartRequest(body.into())));
        }
        if !requests.is_empty() {
            requests.push((Purpose::Fence, Message::BarrierRequest));
        }
        Ok(requests)
    }

    fn is_mapped(&self, wanted: TlvMapping) -> Result<bool, CloseReason> {
        let same_place = |found: &&TlvMapping| found.index == wanted.index;
        let same_option = |found: &&TlvMapping| {
            (found.class, found.option_type) == (wanted.class, wanted.option_type)
        };
        let table = self.tlv_table.iter();
        let clash = table
            .clone()
            .find(|found| same_place(found) || same_option(found));
        match clash {
            None => Ok(false),
            Some(found) if *found == wanted => Ok(true),
            Some(found) => Err(CloseReason::TlvTaken {
                index: wanted.index,
                taken_by: format!(
                    "class {:#06x} type {:#04x} length {} is tun_metadata{}",
                    found.class, found.option_type, found.length, found.index
                ),
            }),
        }
    }
}

/// What is asked of every switch, ending with a barrier.
fn questions(role: Role) -> Requests {
    let mut requests = vec![(Purpose::Features, Message::FeaturesRequest)];
    if role != Role::Equal {
        requests.push(role_request(role));
    }
    let switch_config = SwitchConfig {
        flags: FRAGMENTS_AS_THEY_ARE,
        miss_send_len: MISS_SEND_LEN,
    };
    requests.push((Purpose::SetConfig, Message::SetConfig(switch_config)));
    requests.push((Purpose::SetAsync, Message::SetAsync(wanted_async())));
    let multipart = |body: RequestBody| Message::MultipartRequest(body.into());
    requests.push((Purpose::Description, multipart(RequestBody::Desc)));
    requests.push((Purpose::TlvTable, Message::TlvTableRequest));
    let ports = RequestBody::PortDesc(PortNo::ANY);
    requests.push((Purpose::Ports, multipart(ports)));
    requests.push((Purpose::Fence, Message::BarrierRequest));
    requests
}

/// What a session asks of a switch that knows it already when its role changes, ending with a
/// barrier. The tunnel options may have been mapped since.
pub(crate) fn change_of_role(role: Role) -> Requests {
    vec![
        role_request(role),
        (Purpose::TlvTable, Message::TlvTableRequest),
        (Purpose::Fence, Message::BarrierRequest),
    ]
}

fn role_request(role: Role) -> (Purpose, Message) {
    let (role, generation_id) = match role {
        Role::Equal => (WireRole::Equal, 0),
        Role::Master { generation_id } => (WireRole::Master, generation_id),
        Role::Slave { generation_id } => (WireRole::Slave, generation_id),
    };
    let request = RoleMessage {
        role,
        generation_id,
    };
    (Purpose::Role, Message::RoleRequest(request))
}

/// Port and role statuses, and nothing that traffic can cause.
fn wanted_async() -> AsyncConfig {
    AsyncConfig {
        masks: vec![
            (AsyncKind::PacketInSlave, 0),
            (AsyncKind::PacketInMaster, 0),
            (AsyncKind::PortStatusSlave, EVERY_PORT_REASON),
            (AsyncKind::PortStatusMaster, EVERY_PORT_REASON),
            (AsyncKind::FlowRemovedSlave, 0),
            (AsyncKind::FlowRemovedMaster, 0),
            (AsyncKind::RoleStatusSlave, EVERY_ROLE_REASON),
            (AsyncKind::RoleStatusMaster, EVERY_ROLE_REASON),
        ],
        ..AsyncConfig::default()
    }
}

/// What an owner needs to know of a port.
pub(crate) fn switch_port(port: Port) -> SwitchPort {
    let down = port.config.contains(PortConfig::PORT_DOWN);
    SwitchPort {
        number: port.number,
        name: port.name,
        hw_addr: port.hw_addr,
        up: !down && !port.state.contains(PortState::LINK_DOWN),
    }
}

/// The versions in a HELLO's bitmap, in words.
fn version_names(versions: u32) -> String {
    let names = [
        (1, "1.0"),
        (2, "1.1"),
        (3, "1.2"),
        (4, "1.3"),
        (5, "1.4"),
        (6, "1.5"),
    ];
    let offered = names.iter().filter(|(bit, _)| versions & (1 << bit) != 0);
    let offered: Vec<_> = offered.map(|(_, name)| *name).collect();
    if offered.is_empty() {
        return format!("versions {versions:#x}");
    }
    offered.join(", ")
}
