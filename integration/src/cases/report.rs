// SPDX-License-Identifier: Apache-2.0
//! Running cases, and what came of them by feature.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use reference::Dice;
use serde::Serialize;

use super::ask::Question;
use super::bed::{Bed, Wrong};
use super::{Case, State, features};

/// How long an answer may go on to be wrong before something is done: caches of switches, a busy
/// machine.
const PATIENCE: Duration = Duration::from_secs(2);

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Selection {
    /// Seed of the random cases, and of the choice.
    pub seed: u64,
    /// How many cases; all, unless told.
    pub cases: Option<usize>,
    /// Which part of them; all, unless told.
    pub part: Option<Part>,
}

/// One of several parts of about the same size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which, from 1.
    number: usize,
    /// Of how many.
    of: usize,
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (number, of) = text.split_once('/')?;
            let (number, of) = (number.parse().ok()?, of.parse().ok()?);
            (1..=of).contains(&number).then_some(Self { number, of })
        };
        read().ok_or_else(|| "write K/N, the K-th of N parts, as in 2/8".to_owned())
    }
}

/// What came of the cases of one feature.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    /// Cases.
    pub cases: usize,
    /// Truth tables.
    pub tables: usize,
    /// Questions asked.
    pub probes: usize,
    /// Answers that were due, missing at first and there soon after: hundreds are asked at once.
    pub late: usize,
    /// Answers that were not due, there at first and gone soon after: the datapath's cache was behind.
    pub passed: usize,
    /// Answers that were wrong until the datapath's cache was emptied. OVS 3.1.0 may keep actions of
    /// before a change for as long as packets come ("dpif-netdev: fix inconsistent processing between
    /// ukey and megaflow" in later ones); its flow tables say what is right.
    pub stale: usize,
    /// Answers that stayed wrong.
    pub wrong: usize,
}

/// What came of all.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// By feature.
    pub features: BTreeMap<&'static str, Tally>,
    /// Every answer that stayed wrong, in words.
    pub wrong: Vec<String>,
    /// How long the tables took.
    pub seconds: f64,
}

/// Runs the cases on a bed of this name; `progress` hears of each.
pub fn run(name: &str, selection: Selection, progress: impl FnMut(&str)) -> Result<Report> {
    let mut bed = Bed::start(name)?;
    let cases = chosen(features::all(&bed.addresses(), selection.seed), selection);
    run_cases(&mut bed, selection.seed, &cases, progress)
}

/// Runs these cases, which follow from `seed`, on a bed.
pub fn run_cases(
    bed: &mut Bed,
    seed: u64,
    cases: &[Case],
    mut progress: impl FnMut(&str),
) -> Result<Report> {
    let begin = Instant::now();
    let mut report = Report {
        seed,
        ..Report::default()
    };
    for (case, number) in cases.iter().zip(1..) {
        let start = Instant::now();
        let before = report.wrong.len();
        run_case(bed, case, &mut report)
            .with_context(|| format!("{}: {}", case.feature, case.name))?;
        let verdict = match report.wrong.len() - before {
            0 => "right".to_owned(),
            wrong => format!("{wrong} WRONG"),
        };
        progress(&format!(
            "{number:3}/{} {:<16} {:<52} {verdict}, {} tables in {:.1?}",
            cases.len(),
            case.feature,
            case.name,
            case.steps.len(),
            start.elapsed()
        ));
    }
    report.seconds = begin.elapsed().as_secs_f64();
    if !report.wrong.is_empty() {
        bed.testbed().keep_logs();
    }
    Ok(report)
}

/// Some of the cases, in their order.
fn chosen(cases: Vec<Case>, selection: Selection) -> Vec<Case> {
    let mut cases = cases;
    let mut dice = Dice::new(selection.seed);
    while selection
        .cases
        .is_some_and(|wanted| cases.len() > wanted.max(1))
    {
        cases.remove(dice.below(cases.len()));
    }
    let Some(Part { number, of }) = selection.part else {
        return cases;
    };
    let numbered = cases.into_iter().enumerate();
    let in_part = numbered.filter(|(at, _)| at % of + 1 == number);
    in_part.map(|(_, case)| case).collect()
}

fn run_case(bed: &mut Bed, case: &Case, report: &mut Report) -> Result<()> {
    let tally = report.features.entry(case.feature).or_default();
    tally.cases += 1;
    let mut state = State::first();
    for (step, number) in case.steps.iter().zip(1..) {
        step.iter().for_each(|change| state.change(change));
        bed.go(state.clone())?;
        tally.tables += 1;
        let mut wrong = Vec::new();
        for questions in bed.rounds() {
            tally.probes += questions.len();
            let first = ask(bed, &questions)?;
            let stubborn = insist(bed, &first)?;
            let due = |wrong: &&Wrong| wrong.question.expected;
            let late = first.iter().filter(due).count() - stubborn.iter().filter(due).count();
            tally.late += late;
            tally.passed += first.len() - stubborn.len() - late;
            if !stubborn.is_empty() {
                bed.empty_caches()?;
            }
            let still = insist(bed, &stubborn)?;
            tally.stale += stubborn.len() - still.len();
            wrong.extend(still);
        }
        tally.wrong += wrong.len();
        let words =
            |wrong: &Wrong| format!("{} {}, table {number}: {wrong}", case.feature, case.name);
        report.wrong.extend(wrong.iter().map(words));
    }
    Ok(())
}

/// Asks about connections that nobody has opened before; those that were answered wrong.
fn ask(bed: &mut Bed, questions: &[Question]) -> Result<Vec<Wrong>> {
    bed.forget_connections()?;
    bed.judge(questions)
}

/// Asks what was answered wrong once more, until it is right or patience ends.
fn insist(bed: &mut Bed, wrong: &[Wrong]) -> Result<Vec<Wrong>> {
    let begin = Instant::now();
    let mut wrong = wrong.to_vec();
    while !wrong.is_empty() && begin.elapsed() < PATIENCE {
        let questions: Vec<_> = wrong.iter().map(|wrong| wrong.question.clone()).collect();
        wrong = ask(bed, &questions)?;
    }
    Ok(wrong)
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let question = &self.question;
        let way = if question.by_service {
            " by its Service"
        } else {
            ""
        };
        let wanted = if question.expected {
            "allowed"
        } else {
            "denied"
        };
        write!(
            f,
            "{} -> {}{way} ({}) {}/{} shall be {wanted}, and ",
            question.from, question.to, question.address, question.protocol, question.port
        )?;
        match &self.seen {
            Some(by) => write!(f, "{by} answers"),
            None => f.write_str("nobody answers"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<16} {:>6} {:>7} {:>8} {:>6} {:>6} {:>6} {:>6}",
            "feature", "cases", "tables", "probes", "late", "passed", "stale", "wrong"
        )?;
        let mut sum = Tally::default();
        for (feature, tally) in &self.features {
            line(f, feature, tally)?;
            sum.cases += tally.cases;
            sum.tables += tally.tables;
            sum.probes += tally.probes;
            sum.late += tally.late;
            sum.passed += tally.passed;
            sum.stale += tally.stale;
            sum.wrong += tally.wrong;
        }
        line(f, "all", &sum)?;
        for wrong in &self.wrong {
            writeln!(f, "WRONG: {wrong}")?;
        }
        write!(f, "seed {}, {:.1} s", self.seed, self.seconds)
    }
}

fn line(f: &mut fmt::Formatter<'_>, feature: &str, tally: &Tally) -> fmt::Result {
    let Tally {
        cases,
        tables,
        probes,
        late,
        passed,
        stale,
        wrong,
    } = tally;
    writeln!(
        f,
        "{feature:<16} {cases:>6} {tables:>7} {probes:>8} {late:>6} {passed:>6} {stale:>6} {wrong:>6}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_all_of_it_and_none_is_in_two() {
        let case = |number: usize| Case {
            feature: "peers",
            name: number.to_string(),
            steps: Vec::new(),
        };
        let cases: Vec<Case> = (0..10).map(case).collect();
        let mut seen: Vec<Case> = ["1/3", "2/3", "3/3"]
            .into_iter()
            .flat_map(|part| {
                let selection = Selection {
                    seed: 1,
                    cases: None,
                    part: Some(part.parse().unwrap()),
                };
                chosen(cases.clone(), selection)
            })
            .collect();
        seen.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(seen, cases);
        for bad in ["", "3", "0/3", "4/3", "1/0"] {
            assert!(bad.parse::<Part>().is_err(), "{bad}");
        }
    }
}
