// SPDX-License-Identifier: Apache-2.0
//! What rules have decided: counters of flows, added up per rule over all switches.
//!
//! A flow's counter begins anew when the flow is added again or its switch restarts; a total never goes
//! down: it grows by what the counter has grown, or by all of it if it is lower than before.

use std::collections::BTreeMap;

use openflow_codec::Cookie;
use openflow_session::Counted;
use policy_compiler::{Compiler, Decision, ObjectKey};

use super::ConnectionId;

/// Packets and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Traffic {
    fn add(&mut self, more: Self) {
        self.packets = self.packets.saturating_add(more.packets);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }

    /// What was counted since `before`.
    fn since(self, before: Self) -> Self {
        // The two are of one flow and begin anew together.
        if self.packets < before.packets || self.bytes < before.bytes {
            return self;
        }
        Self {
            packets: self.packets - before.packets,
            bytes: self.bytes - before.bytes,
        }
    }
}

/// What one rule of a policy has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyCount {
    /// The policy.
    pub policy: ObjectKey,
    /// The rule, and what it decides.
    pub decision: Decision,
    /// About which traffic.
    pub traffic: Traffic,
}

/// Totals, and what they were made of.
#[derive(Debug, Default)]
pub(super) struct PolicyCounters {
    totals: BTreeMap<(ObjectKey, Decision), Traffic>,
    /// By node. Nodes are known by their OVSDB and bounded by the cluster.
    nodes: BTreeMap<String, Reading>,
}

/// What the flows of one switch said last; flows of the cluster layer only, so its size is bounded.
#[derive(Debug, Default)]
struct Reading {
    /// Grows with every complete reading and every connection.
    number: u64,
    connection: Option<ConnectionId>,
    flows: BTreeMap<Cookie, Last>,
}

#[derive(Debug)]
struct Last {
    /// In which reading it was there.
    number: u64,
    traffic: Traffic,
}

impl PolicyCounters {
    /// Takes part of a reading.
    pub(super) fn take(
        &mut self,
        node: &str,
        connection: ConnectionId,
        flows: &[Counted],
        complete: bool,
        compiler: &Compiler,
    ) {
        let reading = match self.nodes.get_mut(node) {
            Some(reading) => reading,
            None => self.nodes.entry(node.to_owned()).or_default(),
        };
        // The rest of a reading that a lost connection began never comes.
        if reading.connection != Some(connection) {
            reading.connection = Some(connection);
            reading.number += 1;
        }
        for flow in flows {
            let more = reading.note(flow, compiler);
            if more == Traffic::default() {
                continue;
            }
            for decision in compiler.decisions(flow.cookie).unwrap_or_default() {
                self.totals.entry(decision).or_default().add(more);
            }
        }
        if complete {
            let number = reading.number;
            reading.flows.retain(|_, last| last.number == number);
            reading.number += 1;
            self.totals
                .retain(|(policy, decision), _| compiler.decides(policy, decision));
        }
    }

    /// The totals of rules that there are.
    pub(super) fn counts(&self, compiler: &Compiler) -> Vec<PolicyCount> {
        let totals = self.totals.iter();
        let there = totals.filter(|((policy, decision), _)| compiler.decides(policy, decision));
        there
            .map(|((policy, decision), traffic)| PolicyCount {
                policy: policy.clone(),
                decision: decision.clone(),
                traffic: *traffic,
            })
            .collect()
    }
}

impl Reading {
    /// Remembers what a flow says; what it has counted since it was last heard of.
    fn note(&mut self, flow: &Counted, compiler: &Compiler) -> Traffic {
        let number = self.number;
        let traffic = Traffic {
            packets: flow.packets,
            bytes: flow.bytes,
        };
        if let Some(last) = self.flows.get_mut(&flow.cookie) {
            last.number = number;
            return traffic.since(std::mem::replace(&mut last.traffic, traffic));
        }
        // Not ours, or about to be removed: nobody to count it for.
        if compiler.decisions(flow.cookie).is_none() {
            return Traffic::default();
        }
        self.flows.insert(flow.cookie, Last { number, traffic });
        traffic
    }
}
