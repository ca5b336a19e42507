// SPDX-License-Identifier: Apache-2.0
//! What the demo says: progress while it runs, one document or one line at its end.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use super::matrix::Answer;
use super::millis;
use crate::{Pod, PodId, Testbed, Verdict};

/// Lines with the time since the start. They go to standard error when standard output is to be one
/// JSON document.
pub(super) struct Progress {
    start: Instant,
    json: bool,
}

impl Progress {
    pub(super) fn new(json: bool) -> Self {
        Self {
            start: Instant::now(),
            json,
        }
    }

    /// One line with the time.
    pub(super) fn say(&self, text: &str) {
        let line = format!("[{:6.1} s] {text}", self.start.elapsed().as_secs_f64());
        if self.json {
            eprintln!("{line}")
        } else {
            println!("{line}")
        }
    }

    /// A table, for people only.
    pub(super) fn show(&self, text: &str) {
        if !self.json {
            println!("{text}");
        }
    }
}

/// The whole outcome.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    name: String,
    nodes: Vec<NodeReport>,
    pods: Vec<PodReport>,
    steps: Vec<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edit: Option<Edited>,
}

#[derive(Debug, Serialize)]
struct NodeReport {
    name: String,
    underlay: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PodReport {
    name: String,
    node: String,
    addresses: Vec<String>,
    add_milliseconds: f64,
}

/// Probes sent together.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Step {
    name: &'static str,
    first_packets: bool,
    probes: Vec<ProbeReport>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProbeReport {
    from: String,
    to: String,
    address: String,
    protocol: String,
    port: u16,
    expected: String,
    seen: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    milliseconds: Option<f64>,
    as_expected: bool,
    /// An answer was the only right outcome, and none came.
    lost: bool,
    #[serde(skip)]
    words: String,
}

/// How an edit of a policy went.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Edited {
    pub(super) file: String,
    pub(super) verdicts_changed: usize,
    pub(super) milliseconds: f64,
    pub(super) connections_cut: usize,
    pub(super) connections_kept: usize,
}

impl Edited {
    pub(super) fn words(&self) -> String {
        format!(
            "{} verdicts changed, all of them seen by packets sent {} ms after the edit; \
             {} established connections cut, {} undisturbed",
            self.verdicts_changed, self.milliseconds, self.connections_cut, self.connections_kept
        )
    }
}

impl Step {
    pub(super) fn first_packets(answers: Vec<Answer>) -> Self {
        Self::new("first packets", true, answers)
    }

    pub(super) fn matrix(name: &'static str, answers: Vec<Answer>) -> Self {
        Self::new(name, false, answers)
    }

    fn new(name: &'static str, first_packets: bool, answers: Vec<Answer>) -> Self {
        let probes = answers.iter().map(ProbeReport::new).collect();
        Self {
            name,
            first_packets,
            probes,
        }
    }
}

impl ProbeReport {
    fn new(answer: &Answer) -> Self {
        let question = &answer.question;
        let (seen, by, rtt) = match &answer.seen {
            Verdict::Allowed { by, rtt } => ("allowed", Some(by.clone()), Some(millis(*rtt))),
            Verdict::Denied => ("denied", None, None),
            Verdict::Refused => ("refused", None, None),
            Verdict::Error(_) => ("error", None, None),
        };
        Self {
            from: question.from.to_string(),
            to: question.to.to_string(),
            address: question.address.to_string(),
            protocol: question.protocol.to_string(),
            port: question.port,
            expected: question.expected.to_string(),
            seen,
            by,
            milliseconds: rtt,
            as_expected: answer.is_right(),
            lost: question.expected.is_allowed() && !answer.seen.is_allowed(),
            words: answer.words(),
        }
    }
}

/// The last lines of the report, in numbers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    ok: bool,
    nodes: usize,
    pods: usize,
    probes: usize,
    as_expected: usize,
    first_packets: usize,
    first_packets_lost: usize,
}

impl Report {
    pub(super) fn new(bed: &Testbed, pods: &BTreeMap<PodId, Pod>) -> Self {
        let nodes = bed.nodes().iter().map(|node| NodeReport {
            name: node.name(),
            underlay: node.underlay().to_string(),
        });
        let pods = pods.iter().map(|(id, pod)| PodReport {
            name: id.to_string(),
            node: pod.node.clone(),
            addresses: pod.addresses.iter().map(ToString::to_string).collect(),
            add_milliseconds: millis(pod.took),
        });
        Self {
            name: bed.name().to_owned(),
            nodes: nodes.collect(),
            pods: pods.collect(),
            steps: Vec::new(),
            edit: None,
        }
    }

    pub(super) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    pub(super) fn edited(&mut self, edit: Edited) {
        self.edit = Some(edit);
    }

    /// Whether every probe was as expected.
    pub(super) fn ok(&self) -> bool {
        self.summary().ok
    }

    /// The first packets in words.
    pub(super) fn first_packets(&self) -> String {
        let summary = self.summary();
        format!(
            "{} sent, {} lost",
            summary.first_packets, summary.first_packets_lost
        )
    }

    /// The document, or what was wrong and the one line.
    pub(super) fn print(&self, json: bool) -> Result<()> {
        let summary = self.summary();
        if json {
            #[derive(Serialize)]
            struct Document<'a> {
                #[serde(flatten)]
                report: &'a Report,
                summary: Summary,
            }
            println!(
                "{}",
                serde_json::to_string_pretty(&Document {
                    report: self,
                    summary
                })?
            );
            return Ok(());
        }
        for step in &self.steps {
            for probe in step.probes.iter().filter(|probe| !probe.as_expected) {
                println!("wrong ({}): {}", step.name, probe.words);
            }
        }
        println!(
            "demo: {} nodes, {} pods, {} probes, {} as expected, {} first packets lost",
            summary.nodes,
            summary.pods,
            summary.probes,
            summary.as_expected,
            summary.first_packets_lost
        );
        Ok(())
    }

    fn summary(&self) -> Summary {
        let probes = || self.steps.iter().flat_map(|step| &step.probes);
        let first = || {
            let steps = self.steps.iter().filter(|step| step.first_packets);
            steps.flat_map(|step| &step.probes)
        };
        let (sent, right) = (probes().count(), probes().filter(|p| p.as_expected).count());
        Summary {
            ok: sent == right,
            nodes: self.nodes.len(),
            pods: self.pods.len(),
            probes: sent,
            as_expected: right,
            first_packets: first().count(),
            first_packets_lost: first().filter(|probe| probe.lost).count(),
        }
    }
}
