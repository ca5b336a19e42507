// SPDX-License-Identifier: Apache-2.0
//! Which machine is which node: what a machine says is believed as far as the objects confirm it.

use std::net::IpAddr;
use std::time::Instant;

use policy_compiler::model::Family;
use policy_compiler::{AttachmentKey, Change};

use super::{ConnectionId, Control, Effect, Machine, NodeRecord, Standing};
use crate::machine::{Facts, MachineView};

impl Control {
    pub(super) fn take_view(
        &mut self,
        connection: ConnectionId,
        remote: String,
        view: MachineView,
    ) {
        let machine = self.machines.entry(connection).or_insert_with(|| Machine {
            remote,
            view: MachineView::default(),
            standing: Standing::Waiting("it was not looked at yet".to_owned()),
            writing: false,
            retry_at: None,
        });
        machine.view = view;
        self.unjudged.insert(connection);
    }

    /// What was known of its node stays known.
    pub(super) fn lose_machine(&mut self, connection: ConnectionId) {
        self.unjudged.remove(&connection);
        let Some(machine) = self.machines.remove(&connection) else {
            return;
        };
        tracing::info!(%connection, remote = machine.remote, node = machine.view.node, "OVSDB disconnected");
        self.release(connection);
        // Another machine may have been refused because of this one.
        let refused = self
            .machines
            .iter()
            .filter(|(_, machine)| matches!(machine.standing, Standing::Refused(_)));
        self.unjudged
            .extend(refused.map(|(connection, _)| *connection));
    }

    pub(super) fn take_written(
        &mut self,
        connection: ConnectionId,
        facts: &Facts,
        outcome: Result<(), String>,
        now: Instant,
    ) {
        let Some(machine) = self.machines.get_mut(&connection) else {
            return;
        };
        machine.writing = false;
        let Standing::Accepted(node) = &machine.standing else {
            return;
        };
        self.unwritten.insert(node.clone());
        match outcome {
            Ok(()) => {
                self.counters.facts_written += 1;
                facts.apply(&mut machine.view);
                if let Some(record) = self.nodes.get_mut(node) {
                    facts.apply(&mut record.view);
                }
            }
            Err(error) => {
                tracing::warn!(%connection, node, error, "facts could not be written to OVSDB; trying again");
                machine.retry_at = Some(now + super::RETRY);
            }
        }
    }

    /// Decides what every machine is that has news.
    pub(super) fn judge_machines(&mut self, effects: &mut Vec<Effect>) {
        // The oldest first, so that a newer connection of the same machine replaces it.
        for connection in std::mem::take(&mut self.unjudged) {
            let Some(machine) = self.machines.get(&connection) else {
                continue;
            };
            let standing = self.judge(connection, machine);
            let before = &machine.standing;
            if *before != standing {
                let remote = &machine.remote;
                match &standing {
                    Standing::Accepted(node) => {
                        tracing::info!(%connection, remote, node, "machine is a node")
                    }
                    Standing::Waiting(reason) => {
                        tracing::info!(%connection, remote, reason, "machine waits")
                    }
                    Standing::Refused(reason) => {
                        tracing::warn!(%connection, remote, reason, "machine is refused")
                    }
                }
                if matches!(before, Standing::Accepted(_)) {
                    self.release(connection);
                }
            }
            if let Some(machine) = self.machines.get_mut(&connection) {
                machine.standing = standing.clone();
            }
            if let Standing::Accepted(node) = standing {
                self.accept(connection, &node, effects);
            }
        }
    }

    fn judge(&self, connection: ConnectionId, machine: &Machine) -> Standing {
        let view = &machine.view;
        let Some(node) = &view.node else {
            return Standing::Waiting(
                "it does not say which node it is; run `ovs-vsctl set open_vswitch . external_ids:culvert-node=NAME` there"
                    .to_owned(),
            );
        };
        let Some(bridge) = &view.bridge else {
            return Standing::Waiting(format!(
                "it has no bridge {}; start the node agent there",
                self.bridge
            ));
        };
        let Some(datapath_id) = bridge.datapath_id else {
            return Standing::Waiting(format!(
                "its vswitchd has not made bridge {} yet",
                self.bridge
            ));
        };
        if !self.node_objects.contains(node) {
            return Standing::Refused(format!(
                "it calls itself node {node}, and there is no such Node object; create node/{node} or correct \
                 external_ids:culvert-node there"
            ));
        }
        if let Some(reason) = self.off_underlay(node, bridge.encap) {
            return Standing::Refused(reason);
        }
        let owner = self
            .nodes
            .get(node)
            .and_then(|record| record.machine)
            .filter(|owner| *owner != connection);
        let owner = owner.and_then(|owner| self.machines.get(&owner));
        if let Some(owner) = owner
            && owner
                .view
                .bridge
                .as_ref()
                .and_then(|bridge| bridge.datapath_id)
                != Some(datapath_id)
        {
            return Standing::Refused(format!(
                "it calls itself node {node}, and so does {}; correct external_ids:culvert-node on one of them",
                owner.remote
            ));
        }
        let namesake = self
            .node_of_datapath
            .get(&datapath_id)
            .filter(|other| *other != node);
        let connected = |other: &&String| {
            self.nodes
                .get(*other)
                .is_some_and(|record| record.machine.is_some())
        };
        if let Some(other) = namesake.filter(connected) {
            return Standing::Refused(format!(
                "its bridge has datapath id {datapath_id}, as the one of node {other} has; set another \
                 other_config:datapath-id on one of them"
            ));
        }
        Standing::Accepted(node.clone())
    }

    /// Why no tunnel of the cluster can end at the machine: tunnels of two families do not mix.
    fn off_underlay(&self, node: &str, encap: Option<IpAddr>) -> Option<String> {
        let underlay = self.underlay?;
        if let Some(encap) = encap.filter(|encap| Family::of(*encap) != underlay) {
            return Some(format!(
                "its tunnels end at {encap}, which is {}, and the tunnels of this cluster are {underlay}, as most \
                 Nodes have an InternalIP of that family; start its agent with an {underlay} --encap-ip",
                Family::of(encap)
            ));
        }
        let object = self.compiler.nodes().find(|object| object.name == node)?;
        let addresses = object.addresses?;
        addresses.of(underlay).is_none().then(|| {
            format!(
                "node/{node} has InternalIP {addresses} only, and the tunnels of this cluster are {underlay}, as \
                 most Nodes have an InternalIP of that family; give node/{node} one, too"
            )
        })
    }

    /// The machine is this node: what it says is compared with what was known.
    fn accept(&mut self, connection: ConnectionId, node: &str, effects: &mut Vec<Effect>) {
        let Some(machine) = self.machines.get(&connection) else {
            return;
        };
        let view = machine.view.clone();
        let new = !self.nodes.contains_key(node);
        let record = self.nodes.entry(node.to_owned()).or_default();
        if let Some(old) = record
            .machine
            .replace(connection)
            .filter(|old| *old != connection)
        {
            effects.push(Effect::Close { connection: old });
            self.machines.remove(&old);
        }
        let datapath_id =
            |view: &MachineView| view.bridge.as_ref().and_then(|bridge| bridge.datapath_id);
        let resolved = |view: &MachineView| {
            view.bridge
                .as_ref()
                .map(|bridge| bridge.peers_resolved.clone())
        };
        let (old_id, new_id) = (datapath_id(&record.view), datapath_id(&view));
        let neighbours_changed = resolved(&record.view) != resolved(&view);
        for change in changes(node, &record.view, &view, new) {
            self.pending.push(change);
        }
        record.view = view;
        if old_id != new_id {
            if let Some(id) = old_id.filter(|id| {
                self.node_of_datapath
                    .get(id)
                    .is_some_and(|name| name == node)
            }) {
                self.node_of_datapath.remove(&id);
                self.part(node, effects);
            }
            if let Some(id) = new_id {
                self.node_of_datapath.insert(id, node.to_owned());
            }
        }
        if neighbours_changed {
            self.unwritten.extend(self.attachments.unready_nodes());
        }
        self.unwritten.insert(node.to_owned());
    }

    /// The node has another switch now: the one it had belongs to nobody.
    fn part(&mut self, node: &str, effects: &mut Vec<Effect>) {
        let joined = self
            .switches
            .iter_mut()
            .find(|(_, switch)| switch.joined.as_deref() == Some(node));
        if let Some((connection, switch)) = joined {
            switch.joined = None;
            self.unjoined.insert(*connection);
            let steps = self.rollout.disconnect(node);
            self.carry_out(steps, effects);
        }
    }

    /// The connection no longer speaks for its node.
    fn release(&mut self, connection: ConnectionId) {
        for record in self.nodes.values_mut() {
            if record.machine == Some(connection) {
                record.machine = None;
            }
        }
    }
}

/// What is different between two views of one node.
fn changes(node: &str, old: &MachineView, new: &MachineView, first: bool) -> Vec<Change> {
    let mut changes = Vec::new();
    if first || old.facts() != new.facts() {
        changes.push(Change::ObserveNode {
            node: node.to_owned(),
            facts: new.facts(),
        });
    }
    for (name, interface) in &new.interfaces {
        let before = old.interfaces.get(name);
        let same = before
            .is_some_and(|before| before.row == interface.row && before.claim == interface.claim);
        match interface.attachment(node, name) {
            // Marks are ours to write: they are no news.
            Some(_) if same => {}
            Some(attachment) => changes.push(Change::Attach(attachment)),
            None if before.is_some_and(|before| before.attachment(node, name).is_some()) => {
                changes.push(Change::Detach(key(node, name)));
            }
            None => {}
        }
    }
    for (name, interface) in &old.interfaces {
        if !new.interfaces.contains_key(name) && interface.attachment(node, name).is_some() {
            changes.push(Change::Detach(key(node, name)));
        }
    }
    changes
}

fn key(node: &str, interface: &str) -> AttachmentKey {
    AttachmentKey {
        node: node.to_owned(),
        interface: interface.to_owned(),
    }
}

impl NodeRecord {
    /// The datapath id of its bridge.
    pub(super) fn datapath_id(&self) -> Option<openflow_codec::DatapathId> {
        self.view.bridge.as_ref()?.datapath_id
    }
}
