// SPDX-License-Identifier: Apache-2.0
//! A few of the policy cases by feature, others every day (`./run policy-cases` runs them all), and random
//! clusters.

use std::time::SystemTime;

use integration::cases::bed::Bed;
use integration::cases::clusters::clusters;
use integration::cases::report::{self, Selection};

/// Cases of one run.
const CASES: usize = 24;

/// Random clusters of each seed.
const CLUSTERS: usize = 6;
/// Seed of the clusters that are the same every day.
const EVERY_DAY: u64 = 1;

/// The seed told, or the day.
fn seed() -> u64 {
    let today = || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.map_or(0, |now| now.as_secs() / 86_400)
    };
    let chosen = std::env::var("CULVERT_POLICY_SEED").ok();
    chosen
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(today)
}

#[test]
fn packets_pass_exactly_when_the_api_says_so() {
    let seed = seed();
    println!("CULVERT_POLICY_SEED={seed} chooses the same cases again");
    let selection = Selection {
        seed,
        cases: Some(CASES),
        part: None,
    };
    let report = report::run("tbcases", selection, |line| eprintln!("{line}")).unwrap();
    println!("{report}");
    assert!(
        report.wrong.is_empty(),
        "{} answers are wrong",
        report.wrong.len()
    );
}

#[test]
fn packets_of_random_clusters_pass_exactly_when_the_api_says_so() {
    let seed = seed();
    println!("CULVERT_POLICY_SEED={seed} makes the same clusters again");
    let mut bed = Bed::start("tbclusters").unwrap();
    for seed in [EVERY_DAY, seed] {
        let cases = clusters(seed, CLUSTERS);
        let report = report::run_cases(&mut bed, seed, &cases, |line| eprintln!("{line}")).unwrap();
        println!("{report}");
        assert!(
            report.wrong.is_empty(),
            "{} answers are wrong",
            report.wrong.len()
        );
    }
    // Who does not see that policies are missing sees nothing.
    bed.leave_policies_out();
    let cases = clusters(EVERY_DAY, 1);
    let report =
        report::run_cases(&mut bed, EVERY_DAY, &cases, |line| eprintln!("{line}")).unwrap();
    assert!(!report.wrong.is_empty(), "{report}");
}
