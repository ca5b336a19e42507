// SPDX-License-Identifier: Apache-2.0
//! Answers to the REST API: what is known, in the words of `api-types`.

mod flows;
mod policies;

use std::collections::BTreeSet;

use api_types as api;
use policy_compiler::{AttachmentKey, AttachmentStatus};

use super::{Control, NodeRecord, Standing, Switch};
use crate::machine::{Claim, PodInterface};

pub(crate) use self::flows::pod_key;
pub use self::flows::{FlowQuery, QueryError};

impl Control {
    /// `GET /v1/status`.
    pub fn status(&self) -> api::Status {
        let nodes = self.nodes();
        let pods = self.pods();
        let count_nodes = |state| {
            nodes
                .nodes
                .iter()
                .filter(|node| node.state == state)
                .count()
        };
        let count_pods = |state| pods.pods.iter().filter(|pod| pod.state == state).count();
        let node_flows = self
            .rollout
            .nodes()
            .values()
            .map(|layer| layer.flows().len())
            .sum();
        api::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            source: api::SourceSummary {
                location: self.source.location.clone(),
                loaded: self.source.loaded,
                objects: self.source.objects,
                problems: self.source.problems.len(),
            },
            nodes: api::NodeCounts {
                total: nodes.nodes.len(),
                programmed: count_nodes(api::NodeState::Programmed),
                syncing: count_nodes(api::NodeState::Syncing),
                waiting: count_nodes(api::NodeState::Waiting),
                disconnected: count_nodes(api::NodeState::Disconnected),
                refused: count_nodes(api::NodeState::Refused),
            },
            pods: api::PodCounts {
                total: pods.pods.len(),
                ready: count_pods(api::PodState::Ready),
                admitted: count_pods(api::PodState::Admitted),
                programmed: count_pods(api::PodState::Programmed),
                pending: count_pods(api::PodState::Pending),
                refused: count_pods(api::PodState::Refused),
            },
            flows: api::FlowCounts {
                cluster: self.rollout.cluster().flows().len(),
                cluster_groups: self.rollout.cluster().groups().len(),
                node: node_flows,
            },
            foreign: api::ForeignCounts {
                flows: nodes.nodes.iter().filter_map(|n| n.foreign_flows).sum(),
                groups: nodes.nodes.iter().filter_map(|n| n.foreign_groups).sum(),
            },
            rollout: api::RolloutStatus {
                phase: self.rollout.phase().to_owned(),
                generation: self.rollout.generation().0,
                waiting_for: self.rollout.waiting().map(str::to_owned).collect(),
                pending_changes: self.pending.len(),
            },
            rejected: self
                .rejected
                .iter()
                .map(|(key, reason)| api::RejectedObject {
                    object: key.to_string(),
                    reason: reason.clone(),
                })
                .collect(),
        }
    }

    /// `GET /v1/source`; what the compiler refused stands beside what the source found.
    pub fn source(&self) -> api::Source {
        let mut source = self.source.clone();
        for (key, reason) in &self.rejected {
            let (file, line) = self.places.get(key).cloned().unwrap_or_default();
            source.problems.push(api::Problem {
                file,
                line,
                object: Some(key.to_string()),
                severity: api::Severity::Error,
                reason: format!("{reason}; what the object said before stays in force"),
            });
        }
        source.problems.sort();
        source
    }

    /// Whether the source is loaded; until then no switch is touched.
    pub fn is_loaded(&self) -> bool {
        self.source.loaded
    }

    /// `GET /v1/nodes`.
    pub fn nodes(&self) -> api::Nodes {
        let names: BTreeSet<&String> = self.nodes.keys().chain(&self.node_objects).collect();
        let mut nodes: Vec<api::Node> = names.into_iter().map(|name| self.node(name)).collect();
        for machine in self.machines.values() {
            let (state, reason) = match &machine.standing {
                Standing::Accepted(_) => continue,
                Standing::Waiting(reason) => (api::NodeState::Waiting, reason),
                Standing::Refused(reason) => (api::NodeState::Refused, reason),
            };
            let reason = if self.source.loaded {
                reason.clone()
            } else {
                "the source is not loaded; see `culvert source`".to_owned()
            };
            let name = machine.view.node.clone().unwrap_or_default();
            let bridge = machine.view.bridge.as_ref();
            nodes.push(api::Node {
                name,
                state,
                reason: Some(reason),
                ovsdb: Some(machine.remote.clone()),
                openflow: None,
                ovs_version: None,
                datapath_id: bridge.and_then(|b| Some(b.datapath_id?.to_string())),
                address: None,
                pod_cidrs: Vec::new(),
                agent: bridge.and_then(|bridge| bridge.agent.clone()),
                tunnel_port: machine.view.tunnel_port.map(|port| port.0),
                gateway_port: machine.view.gateway_port.map(|port| port.0),
                peers_resolved: Vec::new(),
                pods: machine.view.interfaces.len(),
                flows: 0,
                mods_sent: 0,
                foreign_flows: None,
                foreign_groups: None,
                repairs: 0,
            });
        }
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        let unclaimed = self.unjoined.iter().filter_map(|connection| {
            let id = self.switches.get(connection)?.datapath_id;
            (!self.node_of_datapath.contains_key(&id)).then(|| id.to_string())
        });
        api::Nodes {
            nodes,
            unclaimed_switches: unclaimed.collect(),
        }
    }

    /// `GET /v1/pods`.
    pub fn pods(&self) -> api::Pods {
        let mut pods = Vec::new();
        for (node, record) in &self.nodes {
            for (name, interface) in &record.view.interfaces {
                pods.push(self.pod(node, name, interface));
            }
        }
        api::Pods { pods }
    }

    fn node(&self, name: &str) -> api::Node {
        let record = self.nodes.get(name);
        let bridge = record.and_then(|record| record.view.bridge.as_ref());
        let datapath_id = record.and_then(NodeRecord::datapath_id);
        let switch = record.and_then(|record| self.switch_of(record));
        let machine = record.and_then(|record| self.machines.get(&record.machine?));
        let (state, reason) = self.node_state(name);
        api::Node {
            name: name.to_owned(),
            state,
            reason,
            ovsdb: machine.map(|machine| machine.remote.clone()),
            openflow: switch.map(|switch| switch.remote.clone()),
            ovs_version: switch.map(|switch| switch.software.clone()),
            datapath_id: datapath_id.map(|id| id.to_string()),
            address: self.addresses.get(name).map(ToString::to_string),
            pod_cidrs: self
                .pod_cidrs
                .get(name)
                .map(|cidrs| cidrs.split_terminator(',').map(str::to_owned).collect())
                .unwrap_or_default(),
            agent: bridge.and_then(|bridge| bridge.agent.clone()),
            tunnel_port: record
                .and_then(|record| record.view.tunnel_port)
                .map(|port| port.0),
            gateway_port: record
                .and_then(|record| record.view.gateway_port)
                .map(|port| port.0),
            peers_resolved: bridge
                .map(|bridge| {
                    bridge
                        .peers_resolved
                        .iter()
                        .map(ToString::to_string)
                        .collect()
                })
                .unwrap_or_default(),
            pods: record.map_or(0, |record| record.view.interfaces.len()),
            flows: self
                .rollout
                .nodes()
                .get(name)
                .map_or(0, |layer| layer.flows().len()),
            mods_sent: switch.map_or(0, |switch| switch.mods_sent),
            foreign_flows: switch.and_then(|switch| Some(switch.foreign?.0)),
            foreign_groups: switch.and_then(|switch| Some(switch.foreign?.1)),
            repairs: switch.map_or(0, |switch| switch.repairs),
        }
    }

    fn switch_of(&self, record: &NodeRecord) -> Option<&Switch> {
        let connection = self.switch_of_datapath.get(&record.datapath_id()?)?;
        self.switches.get(connection)
    }

    fn node_state(&self, name: &str) -> (api::NodeState, Option<String>) {
        let Some(record) = self.nodes.get(name) else {
            let reason = "its machine has not connected; set the manager of its OVSDB to this controller \
                          (the node agent does)";
            return (api::NodeState::Disconnected, Some(reason.to_owned()));
        };
        if self.rollout.is_connected(name) {
            let rejected = self.switch_of(record).map_or(0, |switch| switch.rejected);
            let refused = (rejected > 0).then(|| {
                format!("its switch refused {rejected} entries; the controller's log names them")
            });
            let without_ovsdb = record
                .machine
                .is_none()
                .then(|| "its OVSDB is not connected: what it said last stays in force".to_owned());
            let state = if self.rollout.is_programmed(name) {
                api::NodeState::Programmed
            } else {
                api::NodeState::Syncing
            };
            return (state, refused.or(without_ovsdb));
        }
        let switch = self.switch_of(record);
        match (record.machine, switch) {
            (None, None) => {
                let reason =
                    "neither its OVSDB nor its switch is connected; its switch keeps what it has";
                (api::NodeState::Disconnected, Some(reason.to_owned()))
            }
            (None, Some(_)) => {
                let reason = "its switch is connected, its OVSDB is not; nothing is sent before it was read again";
                (api::NodeState::Waiting, Some(reason.to_owned()))
            }
            (Some(_), None) => {
                let bridge = &self.bridge;
                let set = record
                    .view
                    .bridge
                    .as_ref()
                    .is_some_and(|bridge| !bridge.controllers.is_empty());
                let reason = if set {
                    format!(
                        "its OVSDB is connected, bridge {bridge} is not; see ovs-vswitchd.log there"
                    )
                } else {
                    format!(
                        "bridge {bridge} has no controller; run `ovs-vsctl set-controller {bridge} tcp:ADDRESS:PORT` there"
                    )
                };
                (api::NodeState::Waiting, Some(reason))
            }
            (Some(_), Some(_)) => (
                api::NodeState::Waiting,
                Some("it is about to be programmed".to_owned()),
            ),
        }
    }

    fn pod(&self, node: &str, interface: &str, row: &PodInterface) -> api::Pod {
        let key = AttachmentKey {
            node: node.to_owned(),
            interface: interface.to_owned(),
        };
        let attachment = row.attachment(node, interface);
        let (state, reason) = self.pod_state(&key, row);
        let of = attachment.as_ref();
        api::Pod {
            namespace: of.map(|a| a.pod_namespace.clone()).unwrap_or_default(),
            name: of.map(|a| a.pod_name.clone()).unwrap_or_default(),
            node: key.node,
            interface: key.interface,
            state,
            reason,
            address: of.and_then(|a| Some(a.addresses.iter().next()?.to_string())),
            addresses: of
                .map(|a| a.addresses.iter().map(|one| one.to_string()).collect())
                .unwrap_or_default(),
            mac: of.map(|a| a.mac.to_string()),
            identity: of
                .and_then(|a| self.compiler.identity(&a.pod_namespace, &a.pod_name))
                .map(|identity| identity.to_string()),
            port: of.map(|a| a.port.0),
        }
    }

    fn pod_state(
        &self,
        key: &AttachmentKey,
        row: &PodInterface,
    ) -> (api::PodState, Option<String>) {
        use api::PodState;
        match &row.claim {
            Claim::NoPort => {
                let reason = "vswitchd has not given the Interface a port; see its `error` column";
                return (PodState::Pending, Some(reason.to_owned()));
            }
            Claim::Unreadable(reason) => return (PodState::Refused, Some(reason.clone())),
            Claim::Pod { .. } => {}
        }
        let Some(state) = self.attachments.state(key) else {
            return (
                PodState::Pending,
                Some("waits for the present rollout to end".to_owned()),
            );
        };
        if let Some(reason) = &state.blocked {
            return (PodState::Refused, Some(reason.clone()));
        }
        match &state.status {
            AttachmentStatus::Pending(reason) => (PodState::Pending, Some(reason.clone())),
            AttachmentStatus::Refused(reason) => (PodState::Refused, Some(reason.clone())),
            AttachmentStatus::Programmed => {
                let reason = if self.rollout.is_connected(&key.node) {
                    "waits for switches to acknowledge".to_owned()
                } else {
                    format!("node {} is not connected", key.node)
                };
                (PodState::Programmed, Some(reason))
            }
            AttachmentStatus::Admitted if row.is_ready() => (PodState::Ready, None),
            AttachmentStatus::Admitted => (PodState::Admitted, self.readiness_obstacle(key)),
        }
    }
}
