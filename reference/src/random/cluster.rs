// SPDX-License-Identifier: Apache-2.0
//! Random `ClusterNetworkPolicy` objects, as a user writes them.

use serde_json::{Value, json};

use crate::{Dice, Vocabulary};

impl Vocabulary {
    /// A random policy of this name. Few priorities, so that some are equal.
    pub fn cluster_policy(&self, dice: &mut Dice, name: &str) -> Value {
        let tier = *dice.pick(&["Admin", "Baseline"]).unwrap_or(&"Admin");
        let priority = *dice.pick(&[0, 7, 1000]).unwrap_or(&0);
        let subject = self.pods_fields(dice);
        let ingress: Vec<Value> = (0..dice.below(3))
            .map(|_| self.cluster_rule(dice, "from"))
            .collect();
        let egress: Vec<Value> = (0..dice.below(3))
            .map(|_| self.cluster_rule(dice, "to"))
            .collect();
        json!({
            "metadata": {"name": name},
            "spec": {
                "tier": tier,
                "priority": priority,
                "subject": subject,
                "ingress": ingress,
                "egress": egress,
            },
        })
    }

    fn cluster_rule(&self, dice: &mut Dice, side: &str) -> Value {
        let action = *dice.pick(&["Accept", "Deny", "Pass"]).unwrap_or(&"Deny");
        let peers: Vec<Value> = (0..=dice.below(2))
            .map(|_| self.cluster_peer(dice, side))
            .collect();
        let mut protocols: Vec<Value> = (0..dice.below(3))
            .map(|_| self.cluster_protocol(dice))
            .collect();
        // Networks and nodes have no named ports.
        let has = |field: &str| peers.iter().any(|peer| peer.get(field).is_some());
        let named = !has("networks") && !has("nodes");
        protocols.retain(|one| named || one.get("destinationNamedPort").is_none());
        let mut rule = json!({"action": action});
        rule[side] = peers.into();
        if !protocols.is_empty() {
            rule["protocols"] = protocols.into();
        }
        rule
    }

    fn cluster_peer(&self, dice: &mut Dice, side: &str) -> Value {
        match dice.below(10) {
            // Not understood.
            0 => json!({}),
            1 | 2 if side == "to" => {
                let cidrs: Vec<&String> = (0..=dice.below(2))
                    .filter_map(|_| dice.pick(&self.blocks).map(|(cidr, _)| cidr))
                    .collect();
                json!({"networks": cidrs})
            }
            3 if side == "to" => match dice.pick(&self.nodes) {
                Some(name) if dice.chance(1, 2) => {
                    json!({"nodes": {"matchLabels": {"kubernetes.io/hostname": name}}})
                }
                _ => json!({"nodes": {}}),
            },
            _ => self.pods_fields(dice),
        }
    }

    fn pods_fields(&self, dice: &mut Dice) -> Value {
        let namespaces = self.namespace_selector(dice);
        if dice.chance(1, 2) {
            return json!({"namespaces": namespaces});
        }
        json!({"pods": {"namespaceSelector": namespaces, "podSelector": self.selector(dice)}})
    }

    fn cluster_protocol(&self, dice: &mut Dice) -> Value {
        let transport = *dice.pick(&["tcp", "udp", "sctp"]).unwrap_or(&"tcp");
        let number = dice.pick(&self.ports).copied().unwrap_or(80);
        let port = match dice.below(9) {
            0 => return json!({"icmp": {}}),
            1 | 2 => {
                let name = dice.pick(&self.port_names);
                return json!({"destinationNamedPort": name});
            }
            3 | 4 => json!({"range": {"start": number, "end": number.saturating_add(8_000)}}),
            _ => json!({"number": number}),
        };
        json!({transport: {"destinationPort": port}})
    }
}
