// SPDX-License-Identifier: Apache-2.0
//! Reads back what a switch holds and compares it with what it should hold.

use std::sync::Arc;

use openflow_codec::message::multipart::RequestBody;
use openflow_codec::message::multipart::flow::FlowFilter;
use openflow_codec::message::multipart::stats::GroupStats;
use openflow_codec::{Cookie, Flow, Group};

use crate::config::{Config, Marker};
use crate::event::{CloseReason, Reconciled};
use crate::group_reader::GroupReader;
use crate::layer::{Generation, Layer};
use crate::plan::{Findings, Layers};
use crate::request::Purpose;
use crate::wire::marker_flow;

/// Flows under a wanted cookie that are not the wanted flow; more than this is no accident.
const MAX_IMPOSTORS: usize = 10_000;

/// The markers a switch has.
#[derive(Debug, Default)]
pub(crate) struct Markers {
    pub(crate) cluster: Option<Cookie>,
    pub(crate) node: Option<Cookie>,
}

impl Markers {
    /// What to ask for the marker of each layer.
    pub(crate) fn requests(config: &Config) -> [RequestBody; 2] {
        Layer::ALL.map(|layer| {
            let marker = config.marker(layer);
            RequestBody::Flow(FlowFilter {
                table: marker.table,
                ..FlowFilter::with_cookie(marker.kind(), Marker::KIND_MASK)
            })
        })
    }

    pub(crate) fn of(&self, layer: Layer) -> Option<Cookie> {
        match layer {
            Layer::Cluster => self.cluster,
            Layer::Node => self.node,
        }
    }

    /// Takes a flow if it is a marker.
    pub(crate) fn take(&mut self, flow: &Flow, config: &Config) -> bool {
        for layer in Layer::ALL {
            if *flow == marker_flow(config.marker(layer), flow.cookie)
                && config.marker(layer).is_kind_of(flow.cookie)
            {
                let slot = match layer {
                    Layer::Cluster => &mut self.cluster,
                    Layer::Node => &mut self.node,
                };
                *slot = Some(flow.cookie);
                return true;
            }
        }
        false
    }
}

/// Why a switch is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Its markers do not say that it holds what is wanted.
    Connected,
    /// The owner wants to be sure.
    Audit,
}

/// A comparison in progress. It keeps numbers, not flows: 8 bytes for each flow that is right.
#[derive(Debug)]
pub(crate) struct Dump {
    pub(crate) cause: Cause,
    /// What the switch should hold.
    pub(crate) expected: Layers,
    /// What is acknowledged when the switch holds that.
    pub(crate) generation: Option<Generation>,
    pub(crate) markers: Markers,
    pub(crate) findings: Findings,
    pub(crate) foreign_flows: usize,
    /// Stale flows outside the entry table.
    stale: Vec<Cookie>,
    flows: usize,
    flows_complete: bool,
    /// Reads groups.
    pub(crate) groups: GroupReader,
}

impl Dump {
    pub(crate) fn new(cause: Cause, expected: Layers, generation: Option<Generation>) -> Self {
        Self {
            cause,
            expected,
            generation,
            markers: Markers::default(),
            findings: Findings::default(),
            foreign_flows: 0,
            stale: Vec::new(),
            flows: 0,
            flows_complete: false,
            groups: GroupReader::default(),
        }
    }

    /// What to ask first.
    pub(crate) fn requests() -> [(Purpose, RequestBody); 2] {
        [
            (Purpose::DumpFlows, RequestBody::Flow(FlowFilter::all())),
            (Purpose::CountBuckets, GroupReader::count_request()),
        ]
    }

    /// Takes one part of the answer to the request for flows.
    pub(crate) fn take_flows(
        &mut self,
        flows: impl Iterator<Item = Flow>,
        more: bool,
        config: &Config,
    ) -> Result<(), CloseReason> {
        for flow in flows {
            self.flows += 1;
            self.take_flow(flow, config);
        }
        self.flows_complete = !more;
        let limit = config.limits.max_dumped_flows;
        if self.flows > limit || self.findings.impostors.len() > MAX_IMPOSTORS {
            let what = format!("it has more than {limit} flows, or counterfeits of ours");
            return Err(CloseReason::Limit(what));
        }
        Ok(())
    }

    fn take_flow(&mut self, flow: Flow, config: &Config) {
        let cookie = flow.cookie;
        if !config.owns_cookie(cookie) {
            self.foreign_flows += 1;
        } else if let Some(wanted) = self.expected.flow(cookie) {
            let wanted = wanted.flow();
            if *wanted == flow {
                self.findings.present.push(cookie);
            } else if (wanted.table, wanted.priority, &wanted.flow_match)
                != (flow.table, flow.priority, &flow.flow_match)
            {
                // The wanted flow's ADD would not replace this one.
                self.findings.impostors.push(Arc::new(flow));
            }
        } else if config.is_marker_kind(cookie) {
            if !self.markers.take(&flow, config) {
                self.findings.impostors.push(Arc::new(flow));
            }
        } else if flow.table == config.entry_table {
            self.findings.stale.push(cookie);
        } else {
            self.stale.push(cookie);
        }
    }

    /// Takes part of the answer to the count of buckets.
    pub(crate) fn take_counts(
        &mut self,
        groups: &[GroupStats],
        more: bool,
        config: &Config,
    ) -> Result<(), CloseReason> {
        self.groups.take_counts(groups, config)?;
        if !more {
            self.groups
                .choose(&self.expected, &mut self.findings, config);
        }
        Ok(())
    }

    /// Takes part of the answer to a request for groups. `wanted` is what is wanted by now.
    pub(crate) fn take_groups(
        &mut self,
        groups: &[Group],
        more: bool,
        wanted: &Layers,
        config: &Config,
    ) -> Result<(), CloseReason> {
        let expected = [&self.expected, wanted];
        let found = &mut self.findings;
        self.groups
            .take_groups(groups, more, expected, found, config)
    }

    /// Whether all answers are complete.
    pub(crate) fn is_complete(&self) -> bool {
        self.flows_complete && self.groups.is_complete()
    }

    /// Puts the findings in order.
    pub(crate) fn finish(&mut self) {
        let findings = &mut self.findings;
        findings.present.sort_unstable();
        findings.present.dedup();
        findings.present_groups.sort_unstable();
        findings.stale_groups.sort_unstable();
        findings.stale.sort_unstable();
        findings.stale.dedup();
        self.stale.sort_unstable();
        self.stale.dedup();
        findings.stale.append(&mut self.stale);
    }

    /// The event to send when the repair is done, before anything is counted.
    pub(crate) fn report(&self) -> Reconciled {
        Reconciled {
            audit: self.cause == Cause::Audit,
            foreign_flows: self.foreign_flows,
            foreign_groups: self.groups.foreign(),
            ..Reconciled::default()
        }
    }
}
