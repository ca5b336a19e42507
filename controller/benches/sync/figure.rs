// SPDX-License-Identifier: Apache-2.0
//! Figures with goals, collected and printed at the end.

/// All figures of a run.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<String>);

impl Figures {
    pub(crate) fn at_least(&mut self, name: &str, value: f64, unit: &str, goal: f64) {
        self.push(name, value, unit, ">=", goal, value >= goal);
    }

    pub(crate) fn at_most(&mut self, name: &str, value: f64, unit: &str, goal: f64) {
        self.push(name, value, unit, "<=", goal, value <= goal);
    }

    fn push(&mut self, name: &str, value: f64, unit: &str, relation: &str, goal: f64, ok: bool) {
        let verdict = if ok { "ok" } else { "short" };
        self.0.push(format!(
            "figure {name} {value:.3} {unit} goal {relation} {goal} {verdict}"
        ));
    }

    pub(crate) fn print(&self) {
        println!();
        for line in &self.0 {
            println!("{line}");
        }
    }
}

/// The middle one.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
