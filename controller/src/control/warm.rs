// SPDX-License-Identifier: Apache-2.0
//! What machines are told: their peers, and which Pods are ready.
//!
//! A Pod is ready when its flows are acknowledged and the tunnel to every connected peer is warm in
//! both directions, so that not even its first packet is lost to neighbour resolution.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use policy_compiler::{AttachmentKey, AttachmentStatus};

use super::{Control, Effect};
use crate::machine::facts::{BridgeFacts, Mark};
use crate::machine::{Claim, Facts, MachineView, PodInterface};

impl Control {
    /// Writes to every machine that has something to learn.
    pub(super) fn write_facts(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let mut nodes = std::mem::take(&mut self.unwritten);
        nodes.extend(self.attachments.take_overdue(now));
        if nodes.is_empty()
            && self
                .machines
                .values()
                .all(|machine| machine.retry_at.is_none())
        {
            return;
        }
        for machine in self.machines.values_mut() {
            if machine.retry_at.is_some_and(|at| at <= now) {
                machine.retry_at = None;
                nodes.extend(machine.view.node.clone());
            }
        }
        for node in nodes {
            self.write_node_facts(&node, effects);
        }
    }

    fn write_node_facts(&mut self, node: &str, effects: &mut Vec<Effect>) {
        let Some(record) = self.nodes.get(node).filter(|record| record.compiled) else {
            return;
        };
        let Some(connection) = record.machine else {
            return;
        };
        let Some(machine) = self.machines.get(&connection) else {
            return;
        };
        if machine.writing || machine.retry_at.is_some() {
            // The answer to the write, or the retry, comes back here.
            return;
        }
        let pod_cidrs = self.pod_cidrs.get(node).map_or("", String::as_str);
        let others = self.addresses.iter().filter(|(name, _)| *name != node);
        let peers: BTreeSet<IpAddr> = others.map(|(_, address)| *address).collect();
        let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
        let mut cold = None;
        let mut marks = Vec::new();
        let mut done = Vec::new();
        for (name, interface) in &record.view.interfaces {
            let key = AttachmentKey {
                node: node.to_owned(),
                interface: name.clone(),
            };
            let mark = self.mark(&key, interface, || {
                cold.get_or_insert_with(|| self.cold_peers(node, &record.view))
                    .clone()
            });
            if mark == Mark::Ready {
                done.push(key);
            }
            marks.push((name.as_str(), mark));
        }
        let health_checks = self.health_checks(node);
        let shall = BridgeFacts {
            pod_cidrs,
            cluster_cidrs: &self.cluster_cidrs,
            peers: &peers.join(","),
            services: self.service_facts(&health_checks),
        };
        let facts = Facts::needed(&record.view, shall, marks);
        for key in done {
            self.attachments.ready(&key);
        }
        if facts.is_empty() {
            return;
        }
        if let Some(machine) = self.machines.get_mut(&connection) {
            machine.writing = true;
        }
        effects.push(Effect::Write {
            connection,
            facts: Box::new(facts),
        });
    }

    /// What an Interface shall say.
    fn mark(
        &self,
        key: &AttachmentKey,
        interface: &PodInterface,
        cold: impl FnOnce() -> Vec<String>,
    ) -> Mark {
        if let Claim::Unreadable(reason) = &interface.claim {
            return Mark::Error(reason.clone());
        }
        let Some(state) = self.attachments.state(key) else {
            return Mark::AsItIs;
        };
        if let Some(reason) = &state.blocked {
            return Mark::Error(reason.clone());
        }
        match &state.status {
            AttachmentStatus::Refused(reason) => Mark::Error(reason.clone()),
            AttachmentStatus::Pending(_) => Mark::Nothing,
            AttachmentStatus::Programmed => Mark::AsItIs,
            AttachmentStatus::Admitted if interface.is_ready() => Mark::Ready,
            AttachmentStatus::Admitted if !state.acknowledged => Mark::AsItIs,
            AttachmentStatus::Admitted => {
                let cold = cold();
                if cold.is_empty() {
                    return Mark::Ready;
                }
                if self.attachments.may_wait(key) {
                    return Mark::AsItIs;
                }
                tracing::warn!(
                    node = key.node,
                    interface = key.interface,
                    peers = cold.join("; "),
                    "a Pod is ready although tunnels are cold: its first packets to these peers may be lost"
                );
                Mark::Ready
            }
        }
    }

    /// Connected peers to which, or from which, the first packet would be lost; in words.
    fn cold_peers(&self, node: &str, view: &MachineView) -> Vec<String> {
        let resolves = |view: &MachineView, address: Option<&IpAddr>| {
            let bridge = view.bridge.as_ref().filter(|bridge| bridge.agent.is_some());
            // Where no agent keeps neighbours, nobody says whether they are warm.
            bridge
                .zip(address)
                .is_none_or(|(bridge, address)| bridge.peers_resolved.contains(address))
        };
        let mut cold = Vec::new();
        for (peer, record) in &self.nodes {
            if peer == node || !self.rollout.is_connected(peer) {
                continue;
            }
            if !resolves(view, self.addresses.get(peer)) {
                cold.push(format!("node {node} has not resolved node {peer}"));
            }
            if !resolves(&record.view, self.addresses.get(node)) {
                cold.push(format!("node {peer} has not resolved node {node}"));
            }
        }
        cold
    }

    /// Why an admitted Interface is not ready yet.
    pub(super) fn readiness_obstacle(&self, key: &AttachmentKey) -> Option<String> {
        let state = self.attachments.state(key)?;
        if !state.acknowledged {
            let waiting: Vec<&str> = self.rollout.waiting().collect();
            return Some(match waiting.as_slice() {
                [] => format!("node {} is not connected", key.node),
                waiting => format!("switches have not acknowledged yet: {}", waiting.join(", ")),
            });
        }
        let record = self.nodes.get(&key.node)?;
        let cold = self.cold_peers(&key.node, &record.view);
        if cold.is_empty() {
            return Some("its mark is being written".to_owned());
        }
        Some(cold.join("; "))
    }
}
