// SPDX-License-Identifier: Apache-2.0
//! Takes messages from the switch to whom they concern.

use bytes::Bytes;
use openflow_codec::message::bundle::BundleCommand;
use openflow_codec::message::error::{ErrorCode, ErrorMessage};
use openflow_codec::message::multipart::{MultipartReply, ReplyBody};
use openflow_codec::message::port::{PortReason, PortStatus};
use openflow_codec::message::role::Role as WireRole;
use openflow_codec::{Frame, Message, Xid};

use super::{Session, Stage};
use crate::config::Role;
use crate::counters::CounterReader;
use crate::event::{CloseReason, Event, PortChange};
use crate::handshake::switch_port;
use crate::request::Purpose;

/// `OFPET_HELLO_FAILED`, in type and code `OFPHFC_INCOMPATIBLE`.
const HELLO_FAILED: u16 = 0;
const INCOMPATIBLE: u16 = 0;

/// What a switch answers to changes by a connection that is not master any more. Nothing is wrong with
/// what was to be changed.
const IS_SLAVE: &str = "OFPBRC_IS_SLAVE";

impl Session {
    pub(super) fn handle_frame(&mut self, frame: &Frame) -> Result<(), CloseReason> {
        let message = Message::decode(frame, &self.context)
            .map_err(|error| CloseReason::Malformed(error.to_string()))?;
        let xid = frame.header.xid;
        if self.handshake.awaits_hello() {
            return self.handle_greeting(&message);
        }
        match message {
            Message::EchoRequest(data) => self.send(xid, &Message::EchoReply(data)),
            Message::Error(error) => return self.handle_error(xid, &error),
            Message::BarrierReply => return self.handle_barrier(xid),
            Message::BundleControl(control) => match control.command {
                BundleCommand::CommitReply | BundleCommand::DiscardReply => {
                    return self.with_run(|run, around| run.handle_bundle_reply(xid, around));
                }
                // That a bundle is open says nothing: its messages are on their way.
                _ => {}
            },
            Message::PortStatus(status) => self.handle_port_status(status),
            Message::MultipartReply(reply) => return self.handle_multipart(xid, reply),
            Message::FeaturesReply(features) if self.finish(xid, Purpose::Features) => {
                self.handshake.features(features.datapath_id);
            }
            Message::TlvTableReply(table) if self.finish(xid, Purpose::TlvTable) => {
                self.handshake.tlv_table(table.mappings);
                self.context = self.handshake.context(&self.config);
            }
            Message::RoleReply(_) => {
                self.finish(xid, Purpose::Role);
            }
            Message::RoleStatus(status) => {
                let master = matches!(self.role, Role::Master { .. });
                if master && status.role != WireRole::Master {
                    let error = format!("it made us {:?}", status.role);
                    return Err(CloseReason::StaleMaster { error });
                }
            }
            // Everything else is for others, or from a newer switch.
            _ => {}
        }
        Ok(())
    }

    fn handle_greeting(&mut self, message: &Message) -> Result<(), CloseReason> {
        match message {
            Message::Hello(hello) => match self.handshake.hello(*hello, self.role) {
                Ok(requests) => {
                    self.ask_meters();
                    for (purpose, message) in &requests {
                        self.ask(*purpose, message);
                    }
                    Ok(())
                }
                Err(reason) => {
                    let code = ErrorCode::Standard {
                        error_type: HELLO_FAILED,
                        code: INCOMPATIBLE,
                    };
                    let data = Bytes::from(reason.to_string());
                    let xid = self.xids.one();
                    self.send(xid, &Message::Error(ErrorMessage { code, data }));
                    Err(reason)
                }
            },
            Message::Error(error) => Err(CloseReason::Version {
                offered: String::from_utf8_lossy(&error.data).into_owned(),
            }),
            _ => Err(CloseReason::Malformed(
                "it does not begin with HELLO".to_owned(),
            )),
        }
    }

    /// Whether `xid` is a request for `purpose`, which is then answered.
    fn finish(&mut self, xid: Xid, purpose: Purpose) -> bool {
        let ours = self.requests.purpose(xid) == Some(purpose);
        if ours {
            self.requests.finish(xid);
        }
        ours
    }

    fn handle_port_status(&mut self, status: PortStatus) {
        // An earlier one is older than the list of ports that is still to come.
        if !self.handshake.knows_ports() {
            return;
        }
        let change = match status.reason {
            PortReason::Add => PortChange::Added,
            PortReason::Delete => PortChange::Removed,
            PortReason::Modify | PortReason::Unknown(_) => PortChange::Modified,
        };
        let port = switch_port(status.port);
        self.events.push_back(Event::PortStatus { change, port });
    }

    fn handle_error(&mut self, xid: Xid, error: &ErrorMessage) -> Result<(), CloseReason> {
        if error.code.name() == Some(IS_SLAVE) {
            let error = error.to_string();
            return Err(CloseReason::StaleMaster { error });
        }
        let mut ours = false;
        self.with_run(|run, around| {
            ours = run.handle_error(xid, error.to_string(), around)?;
            Ok(())
        })?;
        if ours {
            return Ok(());
        }
        let Some(purpose) = self.requests.purpose(xid) else {
            let warning = format!("the switch reported an error nobody asked for: {error}");
            self.events.push_back(Event::Warning(warning));
            return Ok(());
        };
        self.requests.finish(xid);
        match purpose {
            Purpose::Role => Err(CloseReason::StaleMaster {
                error: error.to_string(),
            }),
            Purpose::NameTables => {
                let warning = format!("the switch refused the names of tables: {error}");
                self.events.push_back(Event::Warning(warning));
                Ok(())
            }
            Purpose::ReadMeters | Purpose::SetMeter => {
                let warning = self.meters.refused(&error.to_string());
                self.events.extend(warning.map(Event::Warning));
                Ok(())
            }
            Purpose::Counters => {
                self.counters = CounterReader::default();
                let warning = format!("the switch does not tell its counters: {error}");
                self.events.push_back(Event::Warning(warning));
                Ok(())
            }
            Purpose::CountBuckets => {
                if let Some(dump) = &mut self.dump {
                    dump.groups.choose_blindly();
                }
                Ok(())
            }
            purpose => Err(CloseReason::Refused {
                request: purpose.to_string(),
                error: error.to_string(),
            }),
        }
    }

    fn handle_barrier(&mut self, xid: Xid) -> Result<(), CloseReason> {
        if self.requests.purpose(xid) == Some(Purpose::Fence) {
            self.requests.pass_fence(xid);
        } else if let Some(run) = &mut self.run {
            run.handle_barrier(xid);
        }
        Ok(())
    }

    fn handle_multipart(&mut self, xid: Xid, reply: MultipartReply) -> Result<(), CloseReason> {
        let Some(purpose) = self.requests.purpose(xid) else {
            return Ok(());
        };
        let more = reply.more;
        self.requests.progress(xid, self.now);
        match (purpose, reply.body) {
            (Purpose::Description, ReplyBody::Desc(desc)) => {
                self.handshake.description(desc.manufacturer, desc.software);
            }
            (Purpose::Ports, ReplyBody::PortDesc(ports)) => {
                self.handshake.ports(ports, &self.config)?;
            }
            (Purpose::ReadMeters, ReplyBody::MeterDesc(meters)) => {
                self.meters.take(meters, &self.config);
                if !more {
                    self.set_meters();
                }
            }
            (Purpose::Markers, ReplyBody::Flow(flows)) => {
                if let Stage::ReadingMarkers { missing, found } = &mut self.stage {
                    for stats in &flows {
                        found.take(&stats.flow, &self.config);
                    }
                    *missing = missing.saturating_sub(u8::from(!more));
                }
            }
            (Purpose::DumpFlows, ReplyBody::Flow(flows)) => {
                if let Some(dump) = &mut self.dump {
                    let flows = flows.into_iter().map(|stats| stats.flow);
                    dump.take_flows(flows, more, &self.config)?;
                }
            }
            (Purpose::CountBuckets, ReplyBody::GroupStats(groups)) => {
                if let Some(dump) = &mut self.dump {
                    dump.take_counts(&groups, more, &self.config)?;
                }
            }
            (Purpose::DumpGroups, ReplyBody::GroupDesc(groups)) => {
                let wanted = self.ledger.wanted().unwrap_or_default();
                if let Some(dump) = &mut self.dump {
                    dump.take_groups(&groups, more, &wanted, &self.config)?;
                }
            }
            (Purpose::Counters, ReplyBody::Flow(flows)) => {
                let part = self.counters.take(&flows, more, &self.config)?;
                self.events.push_back(part);
            }
            (Purpose::NameTables, _) => {}
            (purpose, _) => {
                let what = format!("{purpose} got an answer of another kind");
                return Err(CloseReason::Malformed(what));
            }
        }
        if !more {
            self.requests.finish(xid);
        }
        Ok(())
    }
}
