// SPDX-License-Identifier: Apache-2.0
//! Decides what to do next: shake hands, meet the switch, keep it as wanted.

use openflow_codec::Message;

use super::{Session, Stage};
use crate::config::Role;
use crate::event::{CloseReason, Event, Reconciled};
use crate::handshake::change_of_role;
use crate::layer::Layer;
use crate::plan::Plan;
use crate::reconcile::{Cause, Dump, Markers};
use crate::request::Purpose;
use crate::run::{Run, Surroundings};

impl Session {
    /// Does what can be done now.
    pub(super) fn advance(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        while !self.closed {
            match self.step() {
                Ok(true) => {}
                Ok(false) => return,
                Err(reason) => self.end(reason),
            }
        }
    }

    /// One step; false when there is nothing to do.
    fn step(&mut self) -> Result<bool, CloseReason> {
        if !self.handshake.is_done() {
            return self.step_handshake();
        }
        if std::mem::take(&mut self.role_changed) {
            // The others' answers come after, so that nothing is programmed before.
            self.ask_meters();
            for (purpose, message) in &change_of_role(self.role) {
                self.ask(*purpose, message);
            }
        }
        match &self.stage {
            Stage::Waiting => {
                let slave = matches!(self.role, Role::Slave { .. });
                let asking = self.requests.oldest().is_some();
                if slave || asking || self.ledger.wanted().is_none() {
                    return Ok(false);
                }
                let preparations = self.handshake.prepare(&self.config)?;
                if !preparations.is_empty() {
                    for (purpose, message) in &preparations {
                        self.ask(*purpose, message);
                    }
                    return Ok(true);
                }
                let questions = Markers::requests(&self.config);
                self.stage = Stage::ReadingMarkers {
                    missing: questions.len() as u8,
                    found: Markers::default(),
                };
                for body in questions {
                    self.ask(Purpose::Markers, &Message::MultipartRequest(body.into()));
                }
                Ok(true)
            }
            Stage::ReadingMarkers { missing: 0, found } => {
                self.ledger.set_marker(Layer::Cluster, found.cluster);
                self.ledger.set_marker(Layer::Node, found.node);
                self.meet();
                Ok(true)
            }
            Stage::ReadingMarkers { .. } => Ok(false),
            Stage::Comparing | Stage::Keeping => self.keep(),
        }
    }

    fn step_handshake(&mut self) -> Result<bool, CloseReason> {
        if self.handshake.awaits_hello() || self.requests.oldest().is_some() {
            return Ok(false);
        }
        if let Some(requests) = self.handshake.step(&self.config, self.role)? {
            for (purpose, message) in &requests {
                self.ask(*purpose, message);
            }
        } else {
            let info = self.handshake.switch_info();
            self.events.push_back(Event::Up(info));
        }
        Ok(true)
    }

    /// Meters are for those that may change the switch.
    pub(super) fn ask_meters(&mut self) {
        if !matches!(self.role, Role::Slave { .. })
            && let Some(body) = self.meters.question(&self.config)
        {
            self.ask(Purpose::ReadMeters, &Message::MultipartRequest(body.into()));
        }
    }

    /// Sets the meters that are not as wanted, before everything that is sent from now on.
    pub(super) fn set_meters(&mut self) {
        let changes = self.meters.repair(&self.config);
        let Some(last) = changes.last().map(|change| change.meter.id) else {
            return;
        };
        if self.handshake.is_done() {
            let count = changes.len();
            let warning = format!("{count} meters, the last of them {last}, were not as wanted");
            self.events.push_back(Event::Warning(warning));
        }
        for change in changes {
            self.ask(Purpose::SetMeter, &Message::MeterMod(change));
        }
        self.ask(Purpose::Fence, &Message::BarrierRequest);
    }

    /// The markers are known: believes them if they say what is wanted, or reads everything.
    fn meet(&mut self) {
        let Some(wanted) = self.ledger.wanted() else {
            self.stage = Stage::Waiting;
            return;
        };
        let generation = self.ledger.begin();
        if !self.handshake.tlv_added && self.ledger.markers_say(&wanted) {
            self.ledger.installed = wanted;
            self.stage = Stage::Keeping;
            let by_digest = true;
            self.events.push_back(Event::Reconciled(Reconciled {
                by_digest,
                ..Reconciled::default()
            }));
            self.ledger.acknowledge(generation, &mut self.events);
        } else {
            self.stage = Stage::Comparing;
            self.begin_dump(Dump::new(Cause::Connected, wanted, Some(generation)));
        }
    }

    fn begin_dump(&mut self, dump: Dump) {
        self.dump = Some(dump);
        for (purpose, body) in Dump::requests() {
            self.ask(purpose, &Message::MultipartRequest(body.into()));
        }
        // Something must follow statistics of groups, to show where they end.
        self.ask(Purpose::Fence, &Message::BarrierRequest);
    }

    /// Keeps the switch as wanted: finishes what runs, then repairs, then changes.
    fn keep(&mut self) -> Result<bool, CloseReason> {
        if let Some(dump) = &mut self.dump {
            let questions = dump.groups.next_questions();
            if dump.is_complete() {
                self.compared = self.dump.take();
            }
            for body in questions {
                self.ask(Purpose::DumpGroups, &Message::MultipartRequest(body.into()));
            }
        }
        if self.run.is_some() {
            self.with_run(|run, around| run.fill(around))?;
            if self.run.as_ref().is_some_and(|run| !run.is_done()) {
                return Ok(false);
            }
            if let Some(run) = self.run.take() {
                run.finish(&mut self.ledger, &mut self.events);
                self.stage = Stage::Keeping;
            }
        }
        if let Some(dump) = self.compared.take() {
            self.run = Some(self.repair(dump));
            return Ok(true);
        }
        if matches!(self.stage, Stage::Comparing) {
            return Ok(false);
        }
        if self.audit_wanted && self.dump.is_none() {
            self.audit_wanted = false;
            self.ask_meters();
            let expected = self.ledger.installed.clone();
            self.begin_dump(Dump::new(Cause::Audit, expected, None));
        }
        if !self.ledger.is_pending() {
            self.ask_counters();
            return Ok(false);
        }
        let Some(target) = self.ledger.wanted() else {
            return Ok(false);
        };
        let generation = self.ledger.begin();
        self.ledger.rejected.retain(&target);
        let plan = Plan::change(
            self.ledger.installed.clone(),
            target,
            self.config.entry_table,
        );
        self.run = Some(Run::new(plan, Some(generation), None));
        Ok(true)
    }

    /// Nothing is being changed; a comparison is waited for, too, because its answer is as long.
    fn ask_counters(&mut self) {
        if self.dump.is_none()
            && let Some(body) = self.counters.request(&self.config)
        {
            self.ask(Purpose::Counters, &Message::MultipartRequest(body.into()));
        }
    }

    fn repair(&mut self, mut dump: Dump) -> Run {
        dump.finish();
        let report = dump.report();
        let generation = dump.generation;
        let target = match dump.cause {
            Cause::Connected => {
                self.ledger.set_marker(Layer::Cluster, dump.markers.cluster);
                self.ledger.set_marker(Layer::Node, dump.markers.node);
                dump.expected.clone()
            }
            Cause::Audit => {
                // Markers may have changed since; what was wrong then is written again now.
                for layer in Layer::ALL {
                    let then = self.ledger.right_marker(layer, dump.expected.of(layer));
                    if dump.markers.of(layer) != Some(then) {
                        self.ledger.set_marker(layer, None);
                    }
                }
                self.ledger.rejected.clear();
                self.ledger.installed.clone()
            }
        };
        let plan = Plan::repair(
            dump.findings,
            dump.expected,
            target,
            self.config.entry_table,
        );
        Run::new(plan, generation, Some(report))
    }

    pub(super) fn with_run(
        &mut self,
        act: impl FnOnce(&mut Run, &mut Surroundings<'_>) -> Result<(), CloseReason>,
    ) -> Result<(), CloseReason> {
        let Some(run) = &mut self.run else {
            return Ok(());
        };
        let mut around = Surroundings {
            config: &self.config,
            ledger: &mut self.ledger,
            events: &mut self.events,
            xids: &mut self.xids,
            insert_bucket_works: self.handshake.insert_bucket_works(),
        };
        act(run, &mut around)
    }
}
