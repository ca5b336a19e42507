// SPDX-License-Identifier: Apache-2.0
//! Random clusters: labels of everything, and policies of both kinds.

use reference::Dice;

use super::draft::apply;
use super::features::{case, words};
use super::{Case, NAMESPACES, PODS, Step};
use crate::PodId;

/// So many clusters that follow from `seed`; each has policies of both kinds.
pub fn clusters(seed: u64, count: usize) -> Vec<Case> {
    let words = words();
    let mut dice = Dice::new(seed);
    let one = |number: usize| {
        let mut steps = Vec::new();
        for namespace in NAMESPACES {
            let labels = words.labels(&mut dice);
            steps.push(Step::LabelNamespace(namespace.to_owned(), labels));
            for pod in PODS {
                let labels = words.labels(&mut dice);
                steps.push(Step::LabelPod(PodId::new(namespace, pod), labels));
            }
        }
        for at in 0..=dice.below(4) {
            let namespace = dice.pick(&NAMESPACES).copied().unwrap_or("x");
            let policy = words.policy(&mut dice, namespace, &format!("random-{at}"));
            steps.push(apply(policy));
        }
        for at in 0..=dice.below(2) {
            let policy = words.cluster_policy(&mut dice, &format!("random-{at}"));
            steps.push(Step::ApplyCluster(Box::new(policy)));
        }
        let name = format!("seed {seed}, number {number}");
        case("clusters", name, vec![steps])
    };
    (0..count).map(one).collect()
}
