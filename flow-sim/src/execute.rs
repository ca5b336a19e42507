// SPDX-License-Identifier: Apache-2.0
//! Executing a packet: lookups, instructions and actions, after OVS `ofproto-dpif-xlate.c`.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;

use openflow_codec::action::{CtZone, OtherAction};
use openflow_codec::{
    Action, Bucket, Ct, Field, GroupId, GroupType, Instruction, PortNo, Subfield, TableId,
};

use crate::conntrack::{Conntrack, CtState, Outcome, Request, nat};
use crate::execution::{Drop, DropReason, Event, Execution, Fault, FaultKind, Output, Place, Step};
use crate::groups::{Groups, Selection};
use crate::packet::{CtMetadata, FieldError, Packet, Payload, low_bits, option_index};
use crate::tables::Tables;

/// Lookups of one pass (`MAX_RESUBMITS` of OVS).
pub(crate) const MAX_RESUBMITS: u32 = 4096;
/// Nesting by resubmits that do not lead forward, and by groups (`MAX_DEPTH`).
pub(crate) const MAX_DEPTH: u32 = 64;
/// Recirculations of one packet (`MAX_RECIRC_DEPTH` of the userspace datapath).
pub(crate) const MAX_RECIRCULATIONS: u16 = 6;
/// Nesting of any kind, so that the simulator's own stack is bounded.
const MAX_NESTING: u32 = 256;

/// Who answers `ct`.
#[derive(Debug)]
pub(crate) enum Tracker<'a> {
    /// Conntrack.
    Stateful(&'a mut Conntrack),
    /// The caller: states of successive recirculations, then `trk|new`; packets are translated
    /// to the first address and port (`ofproto/trace --ct-next`).
    Given(VecDeque<CtState>),
}

/// What a walk reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) groups: &'a Groups,
    pub(crate) selection: &'a Selection,
}

/// Executes `packet` from table 0.
pub(crate) fn execute(
    program: Program<'_>,
    tracker: Tracker<'_>,
    packet: Packet,
    now: Duration,
) -> Execution {
    let mut walk = Walk {
        program,
        tracker,
        now,
        result: Execution::default(),
        passes: 1,
        nesting: 0,
        proved: 0,
        pass: Pass::default(),
        waiting: VecDeque::new(),
    };
    walk.run_pass(packet, TableId(0));
    while let Some((pass, packet, table)) = walk.waiting.pop_front() {
        walk.pass = pass;
        walk.run_pass(packet, table);
    }
    walk.result
}

/// A packet's walk.
struct Walk<'a> {
    program: Program<'a>,
    tracker: Tracker<'a>,
    now: Duration,
    result: Execution,
    /// Passes begun.
    passes: u16,
    nesting: u32,
    /// Tunnel options that a match or a write proved to be present, one bit each.
    proved: u64,
    pass: Pass,
    /// Passes of a trace that wait for their turn, as in `ofproto/trace`.
    waiting: VecDeque<(Pass, Packet, TableId)>,
}

/// What belongs to one pass: the packet as received, or as it came back from conntrack.
#[derive(Default)]
struct Pass {
    number: u16,
    /// [`Walk::nesting`] where it began.
    outermost: u32,
    depth: u32,
    resubmits: u32,
    place: Place,
    action_set: Vec<Action>,
    /// Something was sent or forked.
    sent: bool,
    /// Output to the input port was skipped.
    skipped: bool,
    /// A limit was hit: translation stops.
    halted: bool,
    /// There was a fault.
    faulty: bool,
    /// What the datapath's packet is after `ct` translated it without recirculating; tables see the
    /// old addresses.
    translated: Option<Payload>,
    /// The packet came back from conntrack, and was not cleared since.
    conntracked: bool,
}

impl Walk<'_> {
    fn run_pass(&mut self, mut packet: Packet, table: TableId) {
        let outputs = self.result.outputs.len();
        let controller = self.result.controller.len();
        self.run_tables(&mut packet, table, None);
        let action_set = std::mem::take(&mut self.pass.action_set);
        if !action_set.is_empty() && !self.pass.halted {
            self.step(Event::ActionSet);
            self.run_action_set(&action_set, &mut packet);
        }
        if self.pass.halted {
            // OVS discards all that a translation which hit a limit would have done.
            self.result.outputs.truncate(outputs);
            self.result.controller.truncate(controller);
            self.pass.sent = false;
        }
        if !self.pass.sent {
            let reason = match self.pass {
                Pass { faulty: true, .. } => DropReason::Fault,
                Pass { skipped: true, .. } => DropReason::InputPort,
                Pass {
                    place: Place { cookie: None, .. },
                    ..
                } => DropReason::TableMiss,
                _ => DropReason::Flow,
            };
            self.step(Event::Drop(reason));
            let by = self.pass.place;
            let pass = self.pass.number;
            self.result.drops.push(Drop { by, reason, pass });
        }
    }

    /// Searches `table` and the tables its flow goes to; the first as if the packet were `seen`.
    fn run_tables(&mut self, packet: &mut Packet, mut table: TableId, mut seen: Option<Packet>) {
        loop {
            let tables = self.program.tables;
            let seen = seen.take();
            let found = tables.lookup(table, seen.as_ref().unwrap_or(packet));
            self.pass.place = Place {
                table,
                cookie: found.map(|f| f.entry.flow.cookie),
            };
            self.step(Event::Lookup {
                table,
                found: found.map(|f| f.entry.clone()),
            });
            let Some(found) = found else { return };
            if let Some(rival) = found.rival {
                self.fault(FaultKind::AmbiguousFlows(rival.flow.cookie));
            }
            let flow = &found.entry.flow;
            for field in flow.flow_match.fields() {
                if let openflow_codec::MatchField::Known { field, value, .. } = field
                    && value != 0
                {
                    self.prove(field);
                }
            }
            match self.run_instructions(&flow.instructions, packet) {
                Some(next) if next <= table => return self.fault(FaultKind::BackwardGoto(next)),
                Some(next) if self.may_search() => table = next,
                Some(_) | None => return,
            }
        }
    }

    /// Whether one more table may be searched; counts it.
    fn may_search(&mut self) -> bool {
        let may = self.may_go_on();
        self.pass.resubmits += u32::from(may);
        may
    }

    /// Whether no limit is reached (`xlate_resubmit_resource_check`).
    fn may_go_on(&mut self) -> bool {
        if self.pass.depth >= MAX_DEPTH || self.nesting >= MAX_NESTING {
            self.halt(FaultKind::TooDeep);
            return false;
        }
        if self.pass.resubmits >= MAX_RESUBMITS {
            self.halt(FaultKind::TooManyResubmits);
            return false;
        }
        true
    }

    /// Executes instructions in the order of OpenFlow, whatever their order in the list; returns
    /// the next table.
    fn run_instructions(
        &mut self,
        instructions: &[Instruction],
        packet: &mut Packet,
    ) -> Option<TableId> {
        for instruction in instructions {
            if let Instruction::ApplyActions(actions) = instruction
                && self.run_actions(actions, packet).is_break()
            {
                return None;
            }
            if let Instruction::Unknown(_) = instruction {
                self.fault(FaultKind::UnsupportedInstruction);
            }
        }
        let mut next = None;
        for instruction in ordered(instructions) {
            self.step(Event::Instruction(instruction.clone()));
            match instruction {
                Instruction::ClearActions => self.pass.action_set.clear(),
                Instruction::WriteActions(actions) => {
                    self.pass.action_set.extend(actions.iter().cloned());
                }
                Instruction::WriteMetadata { metadata, mask } => {
                    packet.metadata = (packet.metadata & !mask) | (metadata & mask);
                }
                Instruction::GotoTable(table) => next = Some(*table),
                Instruction::ApplyActions(_) | Instruction::Unknown(_) => {}
            }
        }
        next
    }

    /// Executes actions in order. `Break` ends the work of the current flow.
    fn run_actions(&mut self, actions: &[Action], packet: &mut Packet) -> ControlFlow<()> {
        for action in actions {
            if self.pass.halted {
                return ControlFlow::Break(());
            }
            self.step(Event::Action(action.clone()));
            match action {
                Action::Output { port, .. } => self.output(*port, packet),
                Action::OutputReg { src, .. } => self.output_reg(*src, packet),
                Action::Group(id) => self.group(*id, packet),
                Action::SetField { field, value, mask } => {
                    let mask = mask.unwrap_or_else(|| low_bits(field.info().bits));
                    self.set_field(*field, *value, mask, packet);
                }
                Action::CopyField { src, dst } => self.copy_field(*src, *dst, packet),
                Action::DecNwTtl => self.dec_nw_ttl(packet)?,
                Action::Resubmit { port, table, ct } => self.resubmit(*port, *table, *ct, packet),
                Action::Ct(ct) => self.ct(ct, packet),
                Action::CtClear => self.ct_clear(packet),
                Action::Other(other) if matches!(**other, OtherAction::Controller(_)) => {
                    self.output(PortNo::CONTROLLER, packet);
                }
                // Neither a queue nor a meter changes where the packet goes.
                Action::SetQueue(_) | Action::Meter(_) => {}
                // Unknown, or added to the codec and not modelled yet: reported, never ignored.
                _ => self.fault(FaultKind::UnsupportedAction),
            }
        }
        if self.pass.halted {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn output(&mut self, port: PortNo, packet: &Packet) {
        const FIRST_RESERVED: u32 = 0xffff_ff00;
        match port {
            PortNo::ANY => {}
            PortNo::CONTROLLER => {
                self.pass.sent = true;
                let output = self.sent(port, packet);
                self.result.controller.push(output);
            }
            PortNo::IN_PORT => self.send(packet.in_port, packet),
            port if port == packet.in_port => {
                self.pass.skipped = true;
                self.step(Event::InputPortSkipped(port));
            }
            PortNo::LOCAL => self.send(port, packet),
            PortNo(FIRST_RESERVED..) => self.fault(FaultKind::UnsupportedPort(port)),
            port => self.send(port, packet),
        }
    }

    /// OVS reads a register as a 16-bit port number; reserved ports have 16-bit twins.
    fn output_reg(&mut self, src: Subfield, packet: &Packet) {
        const FIRST_RESERVED: u16 = 0xff00;
        let Some(value) = packet.get_subfield(src) else {
            return self.fault(FaultKind::AbsentField(src.field));
        };
        match u16::try_from(value) {
            Ok(port @ FIRST_RESERVED..) => {
                self.output(PortNo(0xffff_0000 | u32::from(port)), packet)
            }
            Ok(port) => self.output(PortNo(port.into()), packet),
            Err(_) => self.fault(FaultKind::PortOutOfRange(value)),
        }
    }

    fn send(&mut self, port: PortNo, packet: &Packet) {
        self.pass.sent = true;
        let output = self.sent(port, packet);
        self.result.outputs.push(output);
    }

    fn sent(&self, port: PortNo, packet: &Packet) -> Output {
        let mut packet = packet.clone();
        if let Some(translated) = &self.pass.translated {
            packet.payload = translated.clone();
        }
        Output {
            port,
            packet,
            by: self.pass.place,
            pass: self.pass.number,
        }
    }

    fn group(&mut self, id: GroupId, packet: &Packet) {
        if !self.may_go_on() {
            return;
        }
        let Some(group) = self.program.groups.get(id) else {
            return self.fault(FaultKind::MissingGroup(id));
        };
        match group.group_type {
            GroupType::All => {
                for bucket in &group.buckets {
                    self.bucket(id, bucket, packet);
                }
            }
            GroupType::Indirect => match group.buckets.first() {
                Some(bucket) => self.bucket(id, bucket, packet),
                None => self.fault(FaultKind::NoBucket(id)),
            },
            GroupType::Select => match self.program.selection.choose(group, packet) {
                Some(bucket) => self.bucket(id, bucket, packet),
                None => self.fault(FaultKind::NoBucket(id)),
            },
            GroupType::FastFailover | GroupType::Unknown(_) => {
                self.fault(FaultKind::UnsupportedGroup(id));
            }
        }
    }

    /// Executes a bucket on a copy of the packet: its changes end with it.
    fn bucket(&mut self, group: GroupId, bucket: &Bucket, packet: &Packet) {
        self.step(Event::Bucket {
            group,
            bucket: bucket.id,
        });
        self.nested(true, |walk| {
            walk.run_action_set(&bucket.actions, &mut packet.clone());
        });
    }

    /// Executes actions as an action set (OVS `ofpacts_execute_action_set`): TTL first, then
    /// fields in their order, then the strongest of group, output, resubmit, `ct_clear` and `ct`;
    /// without one of those nothing at all.
    fn run_action_set(&mut self, actions: &[Action], packet: &mut Packet) {
        let strength = |action: &Action| match action {
            Action::Group(_) => 5,
            Action::Output { .. } => 4,
            Action::Resubmit { .. } => 3,
            Action::CtClear => 2,
            Action::Ct(_) => 1,
            _ => 0,
        };
        let last = actions.iter().max_by_key(|action| strength(action));
        let Some(last) = last.filter(|action| strength(action) > 0) else {
            return;
        };
        let mut ordered = Vec::with_capacity(actions.len());
        ordered.extend(
            actions
                .iter()
                .rfind(|a| matches!(a, Action::DecNwTtl))
                .cloned(),
        );
        ordered.extend(
            actions
                .iter()
                .filter(|a| strength(a) == 0)
                .filter_map(|a| match a {
                    Action::DecNwTtl => None,
                    other => Some(other.clone()),
                }),
        );
        ordered.push(last.clone());
        // The end of the list is the end of the action set, however it ends.
        let _ = self.run_actions(&ordered, packet);
    }

    fn set_field(&mut self, field: Field, value: u128, mask: u128, packet: &mut Packet) {
        let before = self
            .pass
            .translated
            .is_some()
            .then(|| packet.payload.clone());
        let written = packet.set(field, value, mask);
        if before.is_some_and(|before| before != packet.payload) {
            self.fault(FaultKind::WriteAfterTranslation(field));
        }
        match written {
            Ok(()) => self.prove(field),
            Err(error) => self.fault(error.into()),
        }
    }

    fn copy_field(&mut self, src: Subfield, dst: Subfield, packet: &mut Packet) {
        if let Some(option) = option_index(src.field)
            && self.proved & (1 << option) == 0
        {
            self.fault(FaultKind::UnprovedOption(src.field));
        }
        let Some(value) = packet.get_subfield(src) else {
            return self.fault(FaultKind::AbsentField(src.field));
        };
        match packet.set_subfield(dst, value) {
            Ok(()) => self.prove(dst.field),
            Err(error) => self.fault(error.into()),
        }
    }

    fn dec_nw_ttl(&mut self, packet: &mut Packet) -> ControlFlow<()> {
        let Payload::Ip(ip) = &mut packet.payload else {
            return ControlFlow::Continue(());
        };
        if ip.ttl > 1 {
            ip.ttl -= 1;
            return ControlFlow::Continue(());
        }
        self.pass.sent = true;
        let output = self.sent(PortNo::CONTROLLER, packet);
        self.result.controller.push(output);
        ControlFlow::Break(())
    }

    fn resubmit(&mut self, port: PortNo, table: TableId, ct: bool, packet: &mut Packet) {
        const CURRENT_TABLE: TableId = TableId(255);
        let here = self.pass.place;
        let table = if table == CURRENT_TABLE {
            here.table
        } else {
            table
        };
        if !self.may_search() {
            return;
        }
        let mut seen = (ct || port != PortNo::IN_PORT).then(|| packet.clone());
        if let Some(seen) = &mut seen {
            if port != PortNo::IN_PORT {
                seen.in_port = port;
            }
            if let Some(original) = seen.ct.original.filter(|_| ct) {
                original.apply_to(seen);
            }
        }
        self.nested(table <= here.table, |walk| {
            walk.run_tables(packet, table, seen)
        });
        self.pass.place = here;
    }

    fn ct(&mut self, ct: &Ct, packet: &mut Packet) {
        let zone = match ct.zone {
            CtZone::Immediate(zone) => zone,
            CtZone::Field(field) => match packet.get_subfield(field) {
                Some(zone) => zone as u16,
                None => return self.fault(FaultKind::AbsentField(field.field)),
            },
        };
        if ct.alg != 0 {
            self.fault(FaultKind::UnsupportedAction);
        }
        let mut nat = ct.nat.as_ref();
        if let (Some((low, _)), Some(ip)) = (nat.and_then(|nat| nat.addresses), packet.as_ip())
            && low.is_ipv4() != ip.src.is_ipv4()
        {
            self.fault(FaultKind::NatFamily);
            nat = None;
        }
        let writes = self.ct_writes(&ct.exec, packet);
        let request = Request {
            zone,
            commit: ct.commit,
            force: ct.force,
            nat,
            writes: &writes,
        };
        let mut tracked = packet.clone();
        let outcome = match &mut self.tracker {
            Tracker::Stateful(conntrack) => conntrack.process(&mut tracked, request, self.now),
            Tracker::Given(states) => {
                if ct.table.is_some() {
                    tracked.ct.state = states.pop_front().unwrap_or(CtState::TRK | CtState::NEW);
                    if let Some(nat) = nat {
                        nat::translate_to_first(nat, &mut tracked);
                    }
                }
                tracked.ct.zone = zone;
                for (field, value, mask) in &writes {
                    // Only ct_mark and ct_label are in `writes`; both can always be written.
                    let _ = tracked.set(*field, *value, *mask);
                }
                Outcome::default()
            }
        };
        if outcome.exhausted {
            self.fault(FaultKind::NatExhausted(zone));
        }
        if outcome.elsewhere {
            self.fault(FaultKind::TranslatedElsewhere(zone));
        }
        let translated = outcome.translated.then(|| tracked.payload.clone());
        packet.ct.tracked = tracked.ct.tracked;
        packet.clear_ct_fields();
        self.pass.conntracked = false;
        if let Some(table) = ct.table {
            self.recirculate(tracked, table);
        }
        if outcome.translated {
            self.pass.translated = translated;
        }
    }

    /// Forgets conntrack; as in OVS, not after a `ct` since the last recirculation, even when that
    /// stood in a group's bucket whose other effects ended with it.
    fn ct_clear(&mut self, packet: &mut Packet) {
        if self.pass.conntracked {
            self.pass.conntracked = false;
            packet.ct = CtMetadata::default();
        }
    }

    /// The writes to `ct_mark` and `ct_label` that `exec` asks for.
    fn ct_writes(&mut self, exec: &[Action], packet: &Packet) -> Vec<(Field, u128, u128)> {
        let mut writes = Vec::with_capacity(exec.len());
        for action in exec {
            let (field, value, mask) = match action {
                Action::SetField { field, value, mask } => (
                    *field,
                    *value,
                    mask.unwrap_or_else(|| low_bits(field.info().bits)),
                ),
                Action::CopyField { src, dst } => match packet.get_subfield(*src) {
                    Some(value) => (
                        dst.field,
                        value << dst.offset,
                        low_bits(dst.bits) << dst.offset,
                    ),
                    None => {
                        self.fault(FaultKind::AbsentField(src.field));
                        continue;
                    }
                },
                _ => {
                    self.fault(FaultKind::UnsupportedAction);
                    continue;
                }
            };
            if matches!(field, Field::CtMark | Field::CtLabel) {
                writes.push((field, value, mask));
            } else {
                self.fault(FieldError::ReadOnly(field).into());
            }
        }
        writes
    }

    /// Forks: the tracked packet goes on in `table`, with registers, metadata and action set.
    fn recirculate(&mut self, packet: Packet, table: TableId) {
        if self.passes > MAX_RECIRCULATIONS {
            return self.fault(FaultKind::TooManyRecirculations);
        }
        self.pass.sent = true;
        let number = self.passes;
        self.passes += 1;
        self.step(Event::Recirculate {
            table,
            zone: packet.ct.zone,
            state: packet.ct.state,
            pass: number,
        });
        let fork = Pass {
            number,
            outermost: self.nesting,
            place: self.pass.place,
            action_set: self.pass.action_set.clone(),
            conntracked: true,
            ..Pass::default()
        };
        if let Tracker::Given(_) = self.tracker {
            let fork = Pass {
                outermost: 0,
                ..fork
            };
            return self.waiting.push_back((fork, packet, table));
        }
        let outer = std::mem::replace(&mut self.pass, fork);
        self.run_pass(packet, table);
        self.pass = outer;
    }

    /// Runs `work` one level deeper. `deepens`: counts for OVS's limit.
    fn nested(&mut self, deepens: bool, work: impl FnOnce(&mut Self)) {
        self.nesting += 1;
        self.pass.depth += u32::from(deepens);
        work(self);
        self.pass.depth -= u32::from(deepens);
        self.nesting -= 1;
    }

    fn prove(&mut self, field: Field) {
        if let Some(option) = option_index(field) {
            self.proved |= 1 << option;
        }
    }

    fn halt(&mut self, kind: FaultKind) {
        self.pass.halted = true;
        self.fault(kind);
    }

    fn fault(&mut self, kind: FaultKind) {
        self.pass.faulty = true;
        let by = self.pass.place;
        self.result.faults.push(Fault {
            by,
            kind: kind.clone(),
        });
        self.step(Event::Fault(kind));
    }

    fn step(&mut self, event: Event) {
        self.result.walk.push(Step {
            pass: self.pass.number,
            depth: self.nesting.saturating_sub(self.pass.outermost) as u16,
            event,
        });
    }
}

/// The instructions after `apply_actions`, in the order in which they are executed.
fn ordered(instructions: &[Instruction]) -> impl Iterator<Item = &Instruction> {
    let rank = |instruction: &Instruction| match instruction {
        Instruction::ApplyActions(_) | Instruction::Unknown(_) => 0,
        Instruction::ClearActions => 1,
        Instruction::WriteActions(_) => 2,
        Instruction::WriteMetadata { .. } => 3,
        Instruction::GotoTable(_) => 4,
    };
    (1..=4).flat_map(move |wanted| {
        instructions
            .iter()
            .filter(move |instruction| rank(instruction) == wanted)
    })
}
