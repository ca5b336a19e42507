// SPDX-License-Identifier: Apache-2.0
//! A few of the policy cases by feature, others every day; `./run policy-cases` runs them all.

use std::time::SystemTime;

use integration::cases::report::{self, Selection};

/// Cases of one run.
const CASES: usize = 24;

#[test]
fn packets_pass_exactly_when_the_api_says_so() {
    let today = || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.map_or(0, |now| now.as_secs() / 86_400)
    };
    let chosen = std::env::var("CULVERT_POLICY_SEED").ok();
    let seed = chosen
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(today);
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
