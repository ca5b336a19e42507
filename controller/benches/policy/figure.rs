// SPDX-License-Identifier: Apache-2.0
//! Figures with goals, collected and printed at the end; ratios to OVN last.

/// All figures of a run.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    lines: Vec<String>,
    ratios: Vec<String>,
}

impl Figures {
    pub(crate) fn at_most(&mut self, name: &str, value: f64, unit: &str, goal: f64) {
        let verdict = if value <= goal { "ok" } else { "short" };
        self.lines.push(format!(
            "figure {name} {value:.2} {unit} goal <= {goal} {verdict}"
        ));
    }

    /// How many times as much OVN takes.
    pub(crate) fn ratio(&mut self, name: &str, ours: f64, theirs: Option<f64>, unit: &str) {
        if let Some(theirs) = theirs {
            let ratio = theirs / ours;
            self.ratios.push(format!(
                "ratio {name} {ratio:.1} x (ovn {theirs:.1} {unit}, culvert {ours:.1} {unit})"
            ));
        }
    }

    pub(crate) fn print(&self) {
        println!();
        for line in self.lines.iter().chain(&self.ratios) {
            println!("{line}");
        }
    }
}

/// The middle one, and the slowest.
pub(crate) fn middle_and_worst(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len() / 2).copied().unwrap_or_default();
    (middle, values.last().copied().unwrap_or_default())
}
