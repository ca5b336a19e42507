// SPDX-License-Identifier: Apache-2.0
//! Every priority, named.

use crate::model::RuleAction;

/// What happens when nothing else matches.
pub const DEFAULT: u16 = 0;

/// A specific case in a table that has only one band.
pub const NORMAL: u16 = 100;

/// `classify`: a tunnelled packet without a valid identity.
pub const TUNNEL_DENY: u16 = 90;

/// `spoof_guard`: a Pod asks for the link-layer address of its gateway.
pub const SOLICITATION: u16 = 300;

/// `spoof_guard`: other ICMPv6 that lives on one link and has no business beyond it.
pub const LINK_LOCAL: u16 = 200;

/// `conntrack`: answers to masqueraded connections.
pub const TO_MASQUERADE: u16 = 200;

/// `conntrack_state`: invalid packets, before anything else.
pub const INVALID: u16 = 300;

/// `conntrack_state`: errors about answers to masqueraded connections, from the client.
pub const MASQUERADED_ERROR: u16 = 250;

/// `conntrack_state`: answers to allowed connections.
pub const ANSWER: u16 = 200;

/// `conntrack_state`: what clients of masqueraded connections send.
pub const MASQUERADED: u16 = 180;

/// `conntrack_state`: from the tunnel, Services were translated where the connection began.
pub const FROM_TUNNEL: u16 = 150;

/// `conntrack_state`: from the node's own kernel, for itself.
pub const FROM_HOST: u16 = 145;

/// `service`: clients that a load balancer's address serves, where it does not serve all.
pub const SOURCE_RANGE: u16 = 110;

/// `service`: ports of nodes, after addresses of Services: a Service may have a node's address.
pub const NODE_PORT: u16 = 90;

/// `service`: added where a node has endpoints of its own, which come before those of all nodes.
pub const OF_NODE: u16 = 1;

/// `service`: added for connections from outside the cluster, where they have other endpoints.
pub const OF_WORLD: u16 = 2;

/// `service`: ports that the Service of a cluster address does not have.
pub const UNDEFINED_PORT: u16 = 50;

/// `service`: cluster addresses that no Service has.
pub const UNALLOCATED: u16 = 10;

/// `reject`: what is dropped and never refused.
pub const NOT_REFUSED: u16 = 200;

/// `conntrack_state`: from the node's own kernel.
pub const FROM_GATEWAY: u16 = 140;

/// `source`: the node's own kernel, before the world behind it.
pub const HOST: u16 = 200;

/// `route`: tunnelled packets that a node is not to take from Pods.
pub const FORGED_TUNNEL: u16 = 400;

/// `route`: back by the port that it came from, as only connections to Services do.
pub const HAIRPIN: u16 = 350;

/// `route`: a Pod of this node, or the node itself.
pub const LOCAL: u16 = 300;

/// `route`: answers of Services to clients outside, by whatever port they came.
pub const TO_CLIENT_OUTSIDE: u16 = 250;

/// `route`: such answers that the node's own kernel gives.
pub const TO_CLIENT_OUTSIDE_BACK: u16 = 260;

/// `route`: what came by the tunnel never goes back into it.
pub const NO_TRANSIT: u16 = 200;

/// `route`: what the node's own kernel sends to a Service that leads outside.
pub const SERVICE_OUTSIDE: u16 = 70;

/// `route`: what the node's own kernel sends never goes back to it.
pub const NO_HAIRPIN: u16 = 60;

/// `route`: everything outside the cluster.
pub const WORLD: u16 = 50;

/// `tunnel_out`, `output`: the source is translated before.
pub const MASQUERADE: u16 = 200;

/// `reply`: what the node's own kernel sends to a Pod of the node, after its answers.
pub const OWN_NODE: u16 = 90;

/// `reply`: Pods that are judged only if they are known, after all that is not judged.
pub const KNOWN_ONLY: u16 = 50;

/// `egress`, `ingress`: a rule of a `NetworkPolicy` allows.
pub const ALLOW: u16 = 1000;

/// `admin_*`, `baseline_*`: asks the staged table.
pub const ASK_STAGED_FIRST: u16 = u16::MAX;

/// `egress`, `ingress`: asks the staged table about what no rule allows.
pub const ASK_STAGED_AFTER_ALLOW: u16 = 900;

/// `egress`, `ingress`: a policy isolates the subject, which its labels select.
pub const ISOLATED_PODS: u16 = 300;

/// `egress`, `ingress`: a policy isolates the subject, as all Pods of its namespace.
pub const ISOLATED_NAMESPACE: u16 = 200;

/// `reply`: later fragments, which follow the first, after answers.
pub const LATER_FRAGMENT: u16 = 95;

/// `denied`, `commit`: fragments, before whole packets.
pub const FRAGMENT: u16 = 200;

/// `commit`: a connection that is masqueraded after it was marked.
pub const MARK_MASQUERADED: u16 = 250;

/// `commit`: fragments of a connection that is masqueraded after they have come.
pub const MASQUERADED_FRAGMENT: u16 = 240;

/// `commit`: a masqueraded connection that is marked, though it may look new.
pub const MASQUERADED_AND_MARKED: u16 = 230;

/// `commit`: an allowed connection that conntrack knows but that is not marked.
pub const REMARK: u16 = 90;

/// `marker`: the marker flow of the cluster layer.
pub const CLUSTER_MARKER: u16 = 1;

/// `marker`: the marker flow of the node layer.
pub const NODE_MARKER: u16 = 2;

/// `admin_*`, `baseline_*`: rules of `ClusterNetworkPolicies` begin above this.
const CLUSTER_RULES: u16 = 100;

/// Highest number of a policy's priority, the last to be asked.
const LAST_POLICY: u16 = 1000;

/// Priorities of one policy: the first rule may have the third, each of 24 more the next but one.
const LEVELS: u16 = 51;

/// Where the rules of a `ClusterNetworkPolicy` with this priority (0..=1000) stand, in their order.
///
/// Lower policy priorities come first, and earlier rules. Of three neighbouring priorities the first
/// is for rules that deny, the second for those that accept, the third for those that pass; a rule
/// takes the next one that is for its action, or that of the rule before when both do the same. So
/// flows of one priority all do the same, and policies of equal priority, whose order the API leaves
/// open, are judged alike on every switch, however their rules overlap.
pub(crate) fn cluster_rules(
    policy: u16,
    actions: impl Iterator<Item = RuleAction>,
) -> impl Iterator<Item = u16> {
    let first = CLUSTER_RULES + LAST_POLICY.saturating_sub(policy) * LEVELS + LEVELS;
    let levels = actions.scan(None, |last: &mut Option<u16>, action| {
        let kind = match action {
            RuleAction::Deny => 0,
            RuleAction::Accept => 1,
            RuleAction::Pass => 2,
        };
        let level = match *last {
            None => kind,
            Some(last) => last + (kind + 3 - last % 3) % 3,
        };
        *last = Some(level);
        Some(level)
    });
    levels.map(move |level| first.saturating_sub(level))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn actions() -> impl Strategy<Value = Vec<RuleAction>> {
        let action =
            prop::sample::select(vec![RuleAction::Accept, RuleAction::Deny, RuleAction::Pass]);
        prop::collection::vec(action, 1..=25)
    }

    fn places(policy: u16, actions: &[RuleAction]) -> Vec<u16> {
        cluster_rules(policy, actions.iter().copied()).collect()
    }

    proptest! {
        #[test]
        fn an_earlier_rule_wins_unless_both_do_the_same(policy in 0..=1000u16, actions in actions()) {
            let places = places(policy, &actions);
            for (places, actions) in places.windows(2).zip(actions.windows(2)) {
                prop_assert!(places[0] > places[1] || (places[0] == places[1] && actions[0] == actions[1]));
            }
        }

        #[test]
        fn every_rule_of_a_lower_priority_wins(policy in 0..1000u16, a in actions(), b in actions()) {
            let (first, second) = (places(policy, &a), places(policy + 1, &b));
            prop_assert!(first.iter().min() > second.iter().max());
            prop_assert!(second.iter().all(|place| *place > CLUSTER_RULES));
        }

        #[test]
        fn rules_in_one_place_do_the_same(policy in 0..=1000u16, a in actions(), b in actions()) {
            for (place, action) in places(policy, &a).iter().zip(&a) {
                for (other, other_action) in places(policy, &b).iter().zip(&b) {
                    prop_assert!(place != other || action == other_action);
                }
            }
        }
    }

    #[test]
    fn of_two_policies_that_begin_alike_the_one_that_denies_comes_first() {
        let [deny, accept, pass] = [RuleAction::Deny, RuleAction::Accept, RuleAction::Pass];
        assert!(places(7, &[deny]) > places(7, &[accept]));
        assert!(places(7, &[accept]) > places(7, &[pass]));
        let worst: Vec<RuleAction> = [pass, accept, deny].into_iter().cycle().take(25).collect();
        assert_eq!(places(1000, &worst).last(), Some(&(CLUSTER_RULES + 1)));
    }
}
