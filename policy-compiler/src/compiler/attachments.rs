// SPDX-License-Identifier: Apache-2.0
//! Attachments: Interfaces of nodes, brought together with the Pods they claim to be of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Compiler, Dirty};
use crate::change::{Attachment, AttachmentKey, AttachmentStatus, Output};
use crate::explain::Scope;
use crate::identity::IdentityFlags;
use crate::layer::Owner;
use crate::model::{Direction, Kind, ObjectKey, Pod};
use crate::stage::{self, PodPort};

/// All attachments.
#[derive(Default)]
pub(super) struct Attachments {
    by_key: BTreeMap<AttachmentKey, State>,
    by_pod: BTreeMap<ObjectKey, BTreeSet<AttachmentKey>>,
    by_address: BTreeMap<IpAddr, BTreeSet<AttachmentKey>>,
}

struct State {
    attachment: Attachment,
    admitted: bool,
    status: Option<AttachmentStatus>,
    /// Its port was open before this stage.
    serves: bool,
    /// What its flows were made of.
    port: Option<PodPort>,
}

/// Why an attachment has no flows.
enum Obstacle {
    Pending(String),
    Refused(String),
}

impl Attachments {
    pub(super) fn status(&self, key: &AttachmentKey) -> Option<&AttachmentStatus> {
        self.by_key.get(key)?.status.as_ref()
    }

    /// The Pod that an attachment claims to be of.
    pub(super) fn pod(&self, key: &AttachmentKey) -> Option<ObjectKey> {
        self.by_key.get(key).map(|state| state.attachment.pod())
    }

    pub(super) fn is_open(&self, key: &AttachmentKey) -> bool {
        self.by_key.get(key).is_some_and(|state| state.admitted)
    }

    pub(super) fn on_node(&self, node: &str) -> impl Iterator<Item = AttachmentKey> {
        let first = AttachmentKey {
            node: node.to_owned(),
            interface: String::new(),
        };
        self.by_key
            .range(first..)
            .take_while(move |(key, _)| key.node == node)
            .map(|(key, _)| key.clone())
    }

    /// Addresses of a Pod's ports that were open before this stage: a Service sends nobody to a Pod
    /// whose answers its own switch may still drop.
    pub(super) fn open_addresses(&self, pod: &ObjectKey) -> impl Iterator<Item = IpAddr> {
        let keys = self.by_pod.get(pod).into_iter().flatten();
        let states = keys.filter_map(|key| self.by_key.get(key));
        states
            .filter(|state| state.serves && state.status == Some(AttachmentStatus::Admitted))
            .flat_map(|state| state.attachment.addresses.iter())
    }

    /// Addresses of a Pod's Interfaces.
    pub(super) fn addresses(&self, pod: &ObjectKey) -> impl Iterator<Item = IpAddr> {
        let keys = self.by_pod.get(pod).into_iter().flatten();
        let states = keys.filter_map(|key| self.by_key.get(key));
        states.flat_map(|state| state.attachment.addresses.iter())
    }

    /// The Pod that has an address.
    pub(super) fn pod_at(&self, address: IpAddr) -> Option<ObjectKey> {
        let mut claims = self.by_address.get(&address).into_iter().flatten();
        let owner = claims.find(|key| self.has_address(key, address))?;
        self.pod(owner)
    }

    pub(super) fn attach(&mut self, attachment: Attachment, dirty: &mut Dirty) {
        let key = attachment.key.clone();
        let old = self.remove(&key, dirty);
        let pod = attachment.pod();
        // A port that was open stays open when only its number or its mark changed.
        let same = |old: &State| {
            (
                old.attachment.pod(),
                old.attachment.addresses,
                old.attachment.mac,
            ) == (attachment.pod(), attachment.addresses, attachment.mac)
        };
        let admitted =
            attachment.ready || old.as_ref().is_some_and(|old| old.admitted && same(old));
        let serves = admitted && old.as_ref().is_some_and(|old| old.serves);
        let status = old.and_then(|old| old.status);
        self.by_pod.entry(pod).or_default().insert(key.clone());
        for address in attachment.addresses.iter() {
            let claims = self.by_address.entry(address).or_default();
            claims.insert(key.clone());
            self.contest(address, dirty);
        }
        dirty.attachments.insert(key.clone());
        self.by_key.insert(
            key,
            State {
                attachment,
                admitted,
                status,
                serves,
                port: None,
            },
        );
    }

    pub(super) fn detach(&mut self, key: &AttachmentKey, dirty: &mut Dirty) {
        if self.remove(key, dirty).is_some() {
            dirty.attachments.insert(key.clone());
        }
    }

    pub(super) fn admit(&mut self, key: &AttachmentKey, dirty: &mut Dirty) {
        let Some(state) = self.by_key.get_mut(key) else {
            return;
        };
        if state.status == Some(AttachmentStatus::Programmed) {
            state.admitted = true;
            dirty.attachments.insert(key.clone());
        }
    }

    /// What was opened in the stage before may serve.
    pub(super) fn serve(&mut self, opened: BTreeSet<AttachmentKey>, dirty: &mut Dirty) {
        for key in opened {
            if let Some(state) = self.by_key.get_mut(&key) {
                state.serves = true;
                dirty
                    .endpoints_in
                    .insert(state.attachment.pod_namespace.as_str().into());
            }
        }
    }

    fn remove(&mut self, key: &AttachmentKey, dirty: &mut Dirty) -> Option<State> {
        let state = self.by_key.remove(key)?;
        let pod = state.attachment.pod();
        if let Some(keys) = self.by_pod.get_mut(&pod) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_pod.remove(&pod);
            }
        }
        for address in state.attachment.addresses.iter() {
            if let Some(keys) = self.by_address.get_mut(&address) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_address.remove(&address);
                }
            }
            self.contest(address, dirty);
        }
        dirty.endpoints_in.insert(pod.namespace);
        Some(state)
    }

    /// Everybody who claims `address` is looked at again.
    fn contest(&self, address: IpAddr, dirty: &mut Dirty) {
        dirty
            .attachments
            .extend(self.by_address.get(&address).into_iter().flatten().cloned());
    }

    /// Of all who claim an address, an open port has it; else the first by name.
    fn has_address(&self, key: &AttachmentKey, address: IpAddr) -> bool {
        let claims = self.by_address.get(&address).into_iter().flatten();
        let rank = |key: &&AttachmentKey| {
            let open = self.by_key.get(*key).is_some_and(|state| state.admitted);
            (!open, (*key).clone())
        };
        claims.min_by_key(rank) == Some(key)
    }
}

impl Attachment {
    fn pod(&self) -> ObjectKey {
        ObjectKey::new(Kind::Pod, self.pod_namespace.clone(), self.pod_name.clone())
    }
}

impl Compiler {
    /// Makes the flows of every dirty attachment anew.
    pub(super) fn settle_attachments(&mut self, dirty: &mut Dirty, output: &mut Output) {
        for pod in std::mem::take(&mut dirty.attachments_of) {
            let keys = self.attachments.by_pod.get(&pod).into_iter().flatten();
            dirty.attachments.extend(keys.cloned());
        }
        for key in std::mem::take(&mut dirty.attachments) {
            self.settle_attachment(&key, dirty, output);
        }
    }

    /// Takes flags from Pods that are not isolated any more and are otherwise as they were.
    pub(super) fn clear_flags(&mut self, dirty: &Dirty) {
        let pods = dirty.attachments_of.iter();
        let keys = pods.filter_map(|pod| self.attachments.by_pod.get(pod));
        let keys: Vec<AttachmentKey> = keys.flatten().cloned().collect();
        for key in keys {
            let Some(state) = self.attachments.by_key.get(&key) else {
                continue;
            };
            let (Some(old), Ok(new)) = (&state.port, self.pod_port(&state.attachment)) else {
                continue;
            };
            let Some(cleared) = old.without_flags_beyond(&new) else {
                continue;
            };
            let wanted = stage::pod_flows(&cleared, state.admitted);
            let scope = Scope::Node(key.node.clone());
            self.own(Owner::Attachment(key), &scope, wanted);
        }
    }

    fn settle_attachment(&mut self, key: &AttachmentKey, dirty: &mut Dirty, output: &mut Output) {
        let owner = Owner::Attachment(key.clone());
        let scope = Scope::Node(key.node.clone());
        let Some(state) = self.attachments.by_key.get(key) else {
            self.own(owner, &scope, Vec::new());
            output.attachments.insert(key.clone(), None);
            return;
        };
        let (admitted, pod) = (state.admitted, state.attachment.pod());
        let (status, port) = match self.pod_port(&state.attachment) {
            Ok(port) if admitted => (AttachmentStatus::Admitted, Some(port)),
            Ok(port) => (AttachmentStatus::Programmed, Some(port)),
            Err(Obstacle::Pending(what)) => (AttachmentStatus::Pending(what), None),
            Err(Obstacle::Refused(why)) => (AttachmentStatus::Refused(why), None),
        };
        let wanted = port
            .iter()
            .flat_map(|port| stage::pod_flows(port, admitted));
        self.own(owner, &scope, wanted.collect());
        let Some(state) = self.attachments.by_key.get_mut(key) else {
            return;
        };
        state.port = port;
        if status == AttachmentStatus::Admitted && !state.serves {
            self.stages.opened.insert(key.clone());
        }
        if state.status.as_ref() != Some(&status) {
            state.status = Some(status.clone());
            dirty.endpoints_in.insert(pod.namespace);
            output.attachments.insert(key.clone(), Some(status));
        }
    }

    /// Brings Interface and Pod together. What the objects say is believed before what a node says.
    fn pod_port(&self, attachment: &Attachment) -> Result<PodPort, Obstacle> {
        let key = attachment.pod();
        let node = &attachment.key.node;
        let pod = self.pods.get(&key);
        let pod = pod.ok_or_else(|| Obstacle::Pending(format!("{key} is not known yet")))?;
        self.check_pod(&key, pod, attachment)?;
        self.check_addresses(attachment)?;
        let identity = self.identities.of(&key).ok_or_else(|| {
            Obstacle::Refused(format!(
                "{key} shares its identity with other labels; change a label"
            ))
        })?;
        if !self.observed.contains_key(node) {
            return Err(Obstacle::Pending(format!(
                "node {node} was not observed yet"
            )));
        }
        let isolates = |direction| {
            self.policies
                .isolates(&key.namespace, &pod.labels, direction)
        };
        let flags = IdentityFlags {
            egress_isolated: isolates(Direction::Egress),
        };
        Ok(PodPort {
            port: attachment.port,
            mac: attachment.mac,
            addresses: attachment.addresses,
            wire_identity: identity.wire(flags),
            ingress_isolated: isolates(Direction::Ingress),
        })
    }

    fn check_pod(
        &self,
        key: &ObjectKey,
        pod: &Pod,
        attachment: &Attachment,
    ) -> Result<(), Obstacle> {
        let node = &attachment.key.node;
        match &pod.node {
            None => {
                return Err(Obstacle::Pending(format!(
                    "{key} is not bound to a node yet"
                )));
            }
            Some(bound) if bound != node => {
                return Err(Obstacle::Refused(format!(
                    "{key} is bound to node {bound}, not to {node}; delete this interface"
                )));
            }
            Some(_) => {}
        }
        if let (Some(wanted), Some(claimed)) = (&pod.uid, &attachment.pod_uid)
            && wanted != claimed
        {
            return Err(Obstacle::Pending(format!(
                "{key} has UID {wanted}, this interface is of UID {claimed}; waiting for the newer of them"
            )));
        }
        if pod.host_network {
            return Err(Obstacle::Refused(format!(
                "{key} uses the host's network; delete this interface"
            )));
        }
        if pod.finished {
            return Err(Obstacle::Refused(format!(
                "{key} has finished; delete this interface"
            )));
        }
        Ok(())
    }

    fn check_addresses(&self, attachment: &Attachment) -> Result<(), Obstacle> {
        let node = &attachment.key.node;
        let Some(object) = self.nodes.get(node) else {
            return Err(Obstacle::Pending(format!("node/{node} is not known yet")));
        };
        if object.pod_cidrs.is_empty() {
            return Err(Obstacle::Pending(format!(
                "node/{node} has no spec.podCIDR yet"
            )));
        }
        for address in attachment.addresses.iter() {
            if !object.pod_cidrs.iter().any(|cidr| cidr.contains(address)) {
                return Err(Obstacle::Refused(format!(
                    "{address} is not in the Pod CIDR of node/{node}; run CNI DEL and ADD again"
                )));
            }
            if !self.attachments.has_address(&attachment.key, address) {
                return Err(Obstacle::Refused(format!(
                    "{address} belongs to another interface; run CNI DEL and ADD again"
                )));
            }
        }
        Ok(())
    }

    /// Pods of a namespace.
    pub(super) fn pods_in(&self, namespace: &str) -> impl Iterator<Item = (&ObjectKey, &Pod)> {
        let first = ObjectKey::new(Kind::Pod, namespace, "");
        self.pods
            .range(first..)
            .take_while(move |(key, _)| key.namespace == namespace)
    }
}
