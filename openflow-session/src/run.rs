// SPDX-License-Identifier: Apache-2.0
//! Carries out a plan in bundles, a bounded number at a time, and sets aside what is refused.
//!
//! Markers are written in the last bundle, which is sent when all before it are acknowledged: a
//! digest on the switch is never ahead of what the switch holds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use openflow_codec::{BundleId, Context, Cookie, EncodeError, Xid};

use crate::bundle::{Bundle, Failure, Outcome};
use crate::config::Config;
use crate::encoded::{EncodedFlow, EncodedGroup};
use crate::event::{CloseReason, EntryId, Event, Reconciled, Rejection};
use crate::layer::{Generation, Layer};
use crate::ledger::Ledger;
use crate::plan::{Op, Plan};
use crate::request::Xids;

/// How often a bundle is sent again when the switch refuses it without saying what is wrong.
const BLIND_RETRIES: u32 = 3;

/// A plan being carried out.
#[derive(Debug)]
pub(crate) struct Run {
    plan: Plan,
    generation: Option<Generation>,
    /// Counted while the plan is carried out, for the event at its end.
    report: Option<Reconciled>,
    in_flight: VecDeque<Bundle>,
    /// Refused bundles, oldest first, until all in flight have ended. Those after the first may
    /// have failed only because the first did.
    refused: VecDeque<Refused>,
    /// Operations of refused bundles, sent again one bundle at a time.
    retry: VecDeque<Vec<Op>>,
    last: Last,
    blind_retries: u32,
    /// The switch has acknowledged a bundle that deletes the markers.
    markers_dropped: bool,
}

#[derive(Debug)]
struct Refused {
    ops: Vec<Op>,
    failures: Vec<Failure>,
    error: String,
}

/// The last bundle of a run.
#[derive(Debug)]
enum Last {
    /// The plan has more.
    Ahead,
    /// The plan is exhausted; these go out with the markers.
    Held(Vec<Op>),
    /// Sent.
    InFlight,
    /// Acknowledged, or there was nothing to send.
    Done,
}

/// What a run needs to know beside its own state.
pub(crate) struct Surroundings<'a> {
    pub(crate) config: &'a Config,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) events: &'a mut VecDeque<Event>,
    pub(crate) xids: &'a mut Xids,
    /// Whether INSERT_BUCKET keeps `dp_hash` groups right on this switch.
    pub(crate) insert_bucket_works: bool,
}

impl Run {
    /// A run that at its end acknowledges `generation`, and sends `report` of what it repaired.
    pub(crate) fn new(
        plan: Plan,
        generation: Option<Generation>,
        report: Option<Reconciled>,
    ) -> Self {
        Self {
            plan,
            generation,
            report,
            in_flight: VecDeque::new(),
            refused: VecDeque::new(),
            retry: VecDeque::new(),
            last: Last::Ahead,
            blind_retries: 0,
            markers_dropped: false,
        }
    }

    /// The oldest time at which the switch was asked for something it still owes.
    pub(crate) fn asked(&self) -> Option<Instant> {
        self.in_flight.iter().filter_map(Bundle::asked).min()
    }

    /// Whether everything is acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.last, Last::Done)
    }

    /// Records the end of the run in the ledger and tells the owner.
    pub(crate) fn finish(self, ledger: &mut Ledger, events: &mut VecDeque<Event>) {
        ledger.settle(self.plan.target().clone());
        if let Some(report) = self.report {
            events.push_back(Event::Reconciled(report));
        }
        if let Some(generation) = self.generation {
            ledger.acknowledge(generation, events);
        }
    }

    /// Appends what may be sent now.
    ///
    /// # Errors
    /// When a message of the bundle protocol cannot be encoded.
    pub(crate) fn transmit(
        &mut self,
        out: &mut Vec<u8>,
        limit: usize,
        context: &Context,
        now: Instant,
    ) -> Result<(), EncodeError> {
        while out.len() < limit {
            let Some(bundle) = self.in_flight.iter_mut().find(|b| b.wants_transmit()) else {
                break;
            };
            bundle.transmit(out, limit, context, now)?;
        }
        Ok(())
    }

    /// Makes the bundles that may be in flight now.
    ///
    /// # Errors
    /// When the switch refuses too much to go on.
    pub(crate) fn fill(&mut self, around: &mut Surroundings<'_>) -> Result<(), CloseReason> {
        while let Some((ops, fenced)) = self.next_ops(around)? {
            let first_xid = around.xids.reserve(Bundle::xids_for(&ops));
            let bundle = Bundle::new(BundleId(first_xid), first_xid, ops, fenced);
            self.in_flight.push_back(bundle);
        }
        Ok(())
    }

    /// The content of the next bundle and whether it is the last, if it may be sent.
    fn next_ops(
        &mut self,
        around: &mut Surroundings<'_>,
    ) -> Result<Option<(Vec<Op>, bool)>, CloseReason> {
        let busy = !self.in_flight.is_empty();
        if !self.refused.is_empty()
            || (busy && !self.retry.is_empty())
            || self.in_flight.len() >= around.config.limits.bundles_in_flight.max(1)
        {
            return Ok(None);
        }
        while let Some(ops) = self.retry.pop_front() {
            let ops = screen(ops, around)?;
            if !ops.is_empty() {
                return Ok(Some((self.without_markers(ops, around), false)));
            }
        }
        while matches!(self.last, Last::Ahead) {
            // Two messages are kept free for the markers.
            let ops = self.plan.take(around.config.bundle_size() - 2);
            self.count(&ops);
            if self.plan.is_done() {
                self.last = Last::Held(ops);
                break;
            }
            let ops = screen(ops, around)?;
            if !ops.is_empty() {
                return Ok(Some((self.without_markers(ops, around), false)));
            }
        }
        if busy {
            return Ok(None);
        }
        let Last::Held(ops) = &mut self.last else {
            return Ok(None);
        };
        let mut ops = screen(std::mem::take(ops), around)?;
        ops.extend(around.ledger.write_markers(self.plan.target()));
        if ops.is_empty() {
            self.last = Last::Done;
            return Ok(None);
        }
        self.last = Last::InFlight;
        Ok(Some((ops, true)))
    }

    /// Has the bundle delete the markers, unless an acknowledged one did. Any bundle in flight may be
    /// the first that the switch carries out: those before it may be refused.
    fn without_markers(&self, mut ops: Vec<Op>, around: &mut Surroundings<'_>) -> Vec<Op> {
        if !self.markers_dropped && !drops_markers(&ops) {
            ops.splice(0..0, around.ledger.drop_markers());
        }
        ops
    }

    fn count(&mut self, ops: &[Op]) {
        let Some(report) = &mut self.report else {
            return;
        };
        for op in ops {
            match op {
                Op::SetGroup(..) => report.groups_set += 1,
                Op::AddFlow(..) => report.flows_added += 1,
                Op::DeleteCookie(_) | Op::DeleteStrict(..) => report.flows_removed += 1,
                Op::DeleteGroup(_) => report.groups_removed += 1,
                Op::DropMarker(_) | Op::WriteMarker(..) => {}
            }
        }
    }

    /// An error message. True if it answers one of our messages.
    pub(crate) fn handle_error(
        &mut self,
        xid: Xid,
        error: String,
        around: &mut Surroundings<'_>,
    ) -> Result<bool, CloseReason> {
        let Some(index) = self.in_flight.iter().position(|bundle| bundle.owns(xid)) else {
            return Ok(false);
        };
        let bundle = self.in_flight.get_mut(index);
        let outcome = bundle.and_then(|bundle| bundle.handle_error(xid, error));
        self.end(index, outcome, around)?;
        Ok(true)
    }

    /// A barrier reply.
    pub(crate) fn handle_barrier(&mut self, xid: Xid) {
        for bundle in &mut self.in_flight {
            bundle.handle_barrier(xid);
        }
    }

    /// A reply to COMMIT or DISCARD.
    pub(crate) fn handle_bundle_reply(
        &mut self,
        xid: Xid,
        around: &mut Surroundings<'_>,
    ) -> Result<(), CloseReason> {
        let Some(index) = self.in_flight.iter().position(|bundle| bundle.owns(xid)) else {
            return Ok(());
        };
        let bundle = self.in_flight.get_mut(index);
        let outcome = bundle.and_then(|bundle| bundle.handle_end(xid));
        self.end(index, outcome, around)
    }

    fn end(
        &mut self,
        index: usize,
        outcome: Option<Outcome>,
        around: &mut Surroundings<'_>,
    ) -> Result<(), CloseReason> {
        let Some(outcome) = outcome else {
            return Ok(());
        };
        self.in_flight.remove(index);
        match outcome {
            Outcome::Committed { ops, failures } => {
                self.blind_retries = 0;
                self.markers_dropped |= drops_markers(&ops);
                if matches!(self.last, Last::InFlight) {
                    self.last = Last::Done;
                }
                let replacements = set_aside_all(&ops, &failures, around)?;
                if !replacements.is_empty() {
                    self.retry.push_back(replacements);
                }
            }
            Outcome::Refused {
                ops,
                failures,
                error,
            } => {
                self.refused.push_back(Refused {
                    ops,
                    failures,
                    error,
                });
            }
        }
        if self.in_flight.is_empty() {
            self.settle_refused(around)?;
        }
        Ok(())
    }

    /// Decides what becomes of refused bundles, once nothing is in flight.
    fn settle_refused(&mut self, around: &mut Surroundings<'_>) -> Result<(), CloseReason> {
        let Some(first) = self.refused.pop_front() else {
            return Ok(());
        };
        if first.failures.is_empty() {
            self.blind_retries += 1;
            if self.blind_retries > BLIND_RETRIES {
                return Err(CloseReason::Refused {
                    request: format!("a bundle of {} changes", first.ops.len()),
                    error: first.error,
                });
            }
        }
        let mut replacements = set_aside_all(&first.ops, &first.failures, around)?;
        let mut failed = first
            .failures
            .iter()
            .map(|failure| failure.op)
            .collect::<Vec<_>>();
        failed.sort_unstable();
        let kept = first.ops.into_iter().enumerate();
        let kept = kept.filter(|(index, _)| failed.binary_search(index).is_err());
        let mut ops: Vec<Op> = kept.map(|(_, op)| op).collect();
        ops.append(&mut replacements);
        if matches!(self.last, Last::InFlight) {
            ops.retain(|op| !matches!(op, Op::WriteMarker(..)));
            self.last = Last::Held(ops);
        } else {
            self.retry.push_back(ops);
        }
        let others = std::mem::take(&mut self.refused);
        self.retry
            .extend(others.into_iter().map(|refused| refused.ops));
        Ok(())
    }
}

fn drops_markers(ops: &[Op]) -> bool {
    ops.iter().any(|op| matches!(op, Op::DropMarker(_)))
}

/// Leaves out what this switch cannot take, before it refuses the whole bundle for it.
fn screen(ops: Vec<Op>, around: &mut Surroundings<'_>) -> Result<Vec<Op>, CloseReason> {
    let mut kept = Vec::with_capacity(ops.len());
    for op in ops {
        let refusal = match &op {
            Op::AddFlow(_, flow) => around
                .ledger
                .rejected
                .group_of(flow)
                .map(|id| format!("not sent, because its group {id} was refused")),
            Op::SetGroup(_, group) if !around.insert_bucket_works && group.needs_fixed_insert() => {
                Some(
                    "not sent: the group needs more than one message, and this Open vSwitch \
                     spoils dp_hash groups when buckets are inserted; upgrade it to 3.3.5, 3.4.3, \
                     3.5.1 or newer, or give the group selection method hash"
                        .to_owned(),
                )
            }
            _ => None,
        };
        match refusal {
            None => kept.push(op),
            Some(error) => kept.extend(set_aside(&op, error, around)?),
        }
    }
    Ok(kept)
}

fn set_aside_all(
    ops: &[Op],
    failures: &[Failure],
    around: &mut Surroundings<'_>,
) -> Result<Vec<Op>, CloseReason> {
    let mut replacements = Vec::new();
    for failure in failures {
        if let Some(op) = ops.get(failure.op) {
            replacements.extend(set_aside(op, failure.error.clone(), around)?);
        }
    }
    Ok(replacements)
}

/// Remembers that the switch refuses `op` and returns what to do instead.
fn set_aside(
    op: &Op,
    error: String,
    around: &mut Surroundings<'_>,
) -> Result<Option<Op>, CloseReason> {
    let rejected = &mut around.ledger.rejected;
    let (rejection, instead) = match op {
        Op::AddFlow(layer, flow) => {
            rejected.insert_flow(*layer, flow);
            // The flow may have been meant to replace another one, which nobody wants any more.
            let place = Op::DeleteStrict(Arc::clone(flow.shared_flow()), Cookie(0));
            (reject_flow(*layer, flow, error), Some(place))
        }
        Op::SetGroup(layer, group) => {
            rejected.insert_group(*layer, group);
            (reject_group(*layer, group, error), None)
        }
        // Only a flow that was refused is deleted in vain: what the switch cannot read, it cannot
        // hold.
        Op::DeleteStrict(..) => return Ok(None),
        Op::DeleteCookie(cookie) => return Err(fatal(format!("to delete flows {cookie}"), error)),
        Op::DeleteGroup(id) => return Err(fatal(format!("to delete group {id}"), error)),
        Op::DropMarker(marker) | Op::WriteMarker(marker, _) => {
            return Err(fatal(
                format!("the marker flow in table {}", marker.table),
                error,
            ));
        }
    };
    if rejected.len() > around.config.limits.max_rejected {
        return Err(CloseReason::Limit(format!(
            "it refuses more than {} entries; the last one is {}: {}",
            around.config.limits.max_rejected, rejection.text, rejection.error
        )));
    }
    around.events.push_back(Event::Rejected(rejection));
    Ok(instead)
}

fn fatal(request: String, error: String) -> CloseReason {
    CloseReason::Refused { request, error }
}

fn reject_flow(layer: Layer, flow: &EncodedFlow, error: String) -> Rejection {
    Rejection {
        layer,
        entry: EntryId::Flow(flow.cookie()),
        text: flow.flow().to_string(),
        error,
    }
}

fn reject_group(layer: Layer, group: &EncodedGroup, error: String) -> Rejection {
    Rejection {
        layer,
        entry: EntryId::Group(group.id()),
        text: group.group().to_string(),
        error,
    }
}
