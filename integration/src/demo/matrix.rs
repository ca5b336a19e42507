// SPDX-License-Identifier: Apache-2.0
//! Every ordered pair of Pods, and every Pod to every Service: asked, judged and drawn.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::{Context as _, Result};

use super::World;
use super::objects::Objects;
use super::pods::PORTS;
use super::reading::{Addresses, Expected, Reading};
use crate::{Pod, PodId, Probe, Prober, Protocol, Verdict};

/// Where a probe goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// A Pod's own address.
    Pod(PodId),
    /// A Service's virtual address.
    Service(PodId),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(id) => write!(f, "{id}"),
            Self::Service(id) => write!(f, "service {id}"),
        }
    }
}

/// A probe to send, and what is right to see.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) from: PodId,
    pub(super) to: Target,
    pub(super) address: IpAddr,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
    pub(super) expected: Expected,
}

/// A probe sent.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) question: Question,
    pub(super) seen: Verdict,
}

impl Answer {
    /// Whether what was seen is right.
    pub(super) fn is_right(&self) -> bool {
        self.question.expected.admits(&self.seen)
    }

    /// The whole finding in one line.
    pub(super) fn words(&self) -> String {
        let Question {
            from,
            to,
            address,
            protocol,
            port,
            expected,
        } = &self.question;
        format!(
            "{from} -> {to} ({address}) {protocol}/{port}: expected {expected}, seen {}",
            self.seen
        )
    }
}

/// How tables are drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// With terminal colours.
    pub(super) colour: bool,
}

/// All questions: every ordered pair on both ports, and every Service port from every Pod that is
/// not behind it (whether a Pod reaches itself through a Service is not NetworkPolicy's to say).
///
/// Asked family by family; `families` are the addresses of each.
pub(super) fn questions(objects: &Objects, families: &[Addresses]) -> Vec<Question> {
    families
        .iter()
        .flat_map(|addresses| questions_of_family(objects, addresses))
        .collect()
}

fn questions_of_family(objects: &Objects, addresses: &Addresses) -> Vec<Question> {
    let is_ipv4 = addresses.values().next().is_some_and(IpAddr::is_ipv4);
    let reading = Reading::new(objects, addresses);
    let mut questions = Vec::new();
    for from in addresses.keys() {
        for (to, &address) in addresses.iter().filter(|(to, _)| *to != from) {
            questions.extend(PORTS.map(|(protocol, port)| Question {
                from: from.clone(),
                to: Target::Pod(to.clone()),
                address,
                protocol,
                port,
                expected: reading.direct(from, to, protocol, port),
            }));
        }
        for (id, service) in &objects.services {
            if reading.backends(id).contains(from) {
                continue;
            }
            let address = service.cluster_ips.iter();
            let Some(address) = address.copied().find(|one| one.is_ipv4() == is_ipv4) else {
                continue;
            };
            for port in &service.ports {
                let protocol = [Protocol::Tcp, Protocol::Udp]
                    .into_iter()
                    .find(|protocol| port.protocol == *protocol);
                questions.extend(protocol.map(|protocol| Question {
                    from: from.clone(),
                    to: Target::Service(id.clone()),
                    address,
                    protocol,
                    port: port.port,
                    expected: reading.through(from, id, port),
                }));
            }
        }
    }
    questions
}

/// Sends the probes of `questions`, all at once.
pub(super) fn ask(world: &World, questions: Vec<Question>) -> Result<Vec<Answer>> {
    ask_among(&world.prober, &world.pods, questions)
}

/// As [`ask`], among the Pods known so far.
pub(super) fn ask_among(
    prober: &Prober,
    pods: &BTreeMap<PodId, Pod>,
    questions: Vec<Question>,
) -> Result<Vec<Answer>> {
    let probes = questions
        .iter()
        .map(|question| {
            let Question {
                from,
                protocol,
                address,
                port,
                ..
            } = question;
            let from = pods
                .get(from)
                .with_context(|| format!("no Pod {from} has been added"))?;
            Ok(Probe::new(from.netns(), *protocol, *address, *port))
        })
        .collect::<Result<Vec<_>>>()?;
    let seen = prober.probe_all(probes);
    Ok(questions
        .into_iter()
        .zip(seen)
        .map(|(question, seen)| Answer { question, seen })
        .collect())
}

/// Tables of what was expected and what was seen, and each finding that differs.
pub(super) fn render(answers: &[Answer], style: Style) -> String {
    let mut text = String::new();
    let direct = |answer: &&Answer| matches!(answer.question.to, Target::Pod(_));
    let (pods, services): (Vec<_>, Vec<_>) = answers.iter().partition(direct);
    let ports: Vec<_> = PORTS
        .iter()
        .map(|(protocol, port)| format!("{protocol}/{port}"))
        .collect();
    let families: BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.question.address.is_ipv4())
        .collect();
    let families = match families.len() {
        2 => ", over IPv4 then over IPv6",
        _ => "",
    };
    let legend = format!(
        "in each cell: {}{families}; ✓ answered, ✗ no answer",
        ports.join(" then ")
    );
    table(
        &mut text,
        "Expected, read from the YAML",
        &legend,
        &pods,
        style,
        |answer| {
            (
                if answer.question.expected.is_allowed() {
                    '✓'
                } else {
                    '✗'
                },
                true,
            )
        },
    );
    table(
        &mut text,
        "Seen, by real packets",
        "",
        &pods,
        style,
        seen_mark,
    );
    table(
        &mut text,
        "Seen through the Service",
        &format!("in each cell: one mark per Service port{families}"),
        &services,
        style,
        seen_mark,
    );
    let wrong: Vec<_> = answers.iter().filter(|answer| !answer.is_right()).collect();
    for answer in &wrong {
        text.push_str(&paint(
            &format!("  wrong: {}\n", answer.words()),
            Some(RED),
            style,
        ));
    }
    let summary = format!(
        "  {} probes, {} as expected\n",
        answers.len(),
        answers.len() - wrong.len()
    );
    text.push_str(&paint(
        &summary,
        Some(if wrong.is_empty() { GREEN } else { RED }),
        style,
    ));
    text
}

const RED: u8 = 31;
const GREEN: u8 = 32;
const GREY: u8 = 90;
const CORNER: &str = "from \\ to";

fn seen_mark(answer: &Answer) -> (char, bool) {
    let mark = match answer.seen {
        Verdict::Allowed { .. } => '✓',
        Verdict::Denied => '✗',
        Verdict::Refused => 'R',
        Verdict::Error(_) => 'E',
    };
    (mark, answer.is_right())
}

fn table(
    text: &mut String,
    title: &str,
    legend: &str,
    answers: &[&Answer],
    style: Style,
    mark: impl Fn(&Answer) -> (char, bool),
) {
    if answers.is_empty() {
        return;
    }
    let columns: BTreeSet<_> = answers.iter().map(|answer| &answer.question.to).collect();
    let rows: BTreeSet<_> = answers.iter().map(|answer| &answer.question.from).collect();
    let names = rows.iter().map(|row| row.to_string().len());
    let widest = names.max().unwrap_or_default().max(CORNER.len());
    let separator = if legend.is_empty() { "" } else { "; " };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\n  {title}{separator}{legend}");
    let _ = write!(text, "  {CORNER:widest$}");
    for column in &columns {
        let _ = write!(text, "  {column}");
    }
    text.push('\n');
    for row in rows {
        let _ = write!(text, "  {:widest$}", row.to_string());
        for column in &columns {
            let marks: Vec<_> = answers
                .iter()
                .filter(|answer| answer.question.from == *row && answer.question.to == **column)
                .map(|answer| mark(answer))
                .collect();
            text.push_str("  ");
            let mut used = 0;
            for (mark, right) in &marks {
                let colour = match (right, mark) {
                    (false, _) => RED,
                    (true, '✓') => GREEN,
                    (true, _) => GREY,
                };
                text.push_str(&paint(&mark.to_string(), Some(colour), style));
                used += 1;
                if !right {
                    text.push('!');
                    used += 1;
                }
            }
            if marks.is_empty() {
                text.push('-');
                used = 1;
            }
            text.push_str(&" ".repeat(column.to_string().len().saturating_sub(used)));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
}

fn paint(text: &str, colour: Option<u8>, style: Style) -> String {
    match colour {
        Some(colour) if style.colour => format!("\x1b[{colour}m{text}\x1b[0m"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(from: &str, to: &str, protocol: Protocol, right: bool) -> Answer {
        let to: PodId = to.parse().unwrap();
        let by = BTreeSet::from([to.clone()]);
        let seen = match right {
            true => Verdict::Allowed {
                by: to.to_string(),
                rtt: std::time::Duration::ZERO,
            },
            false => Verdict::Denied,
        };
        Answer {
            question: Question {
                from: from.parse().unwrap(),
                to: Target::Pod(to),
                address: IpAddr::from([127, 0, 0, 1]),
                protocol,
                port: 1,
                expected: Expected { by, silence: false },
            },
            seen,
        }
    }

    #[test]
    fn a_wrong_cell_is_marked_and_told_in_words() {
        let answers = [
            answer("a/x", "b/y", Protocol::Tcp, true),
            answer("a/x", "b/y", Protocol::Udp, false),
        ];
        let text = render(&answers, Style { colour: false });
        assert!(text.contains("a/x        ✓✗!"), "{text}");
        assert!(
            text.contains(
                "a/x -> b/y (127.0.0.1) udp/1: expected allowed (by b/y), seen denied (no answer)"
            ),
            "{text}"
        );
        assert!(text.contains("2 probes, 1 as expected"), "{text}");
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn an_answer_from_the_wrong_pod_is_wrong() {
        let mut answer = answer("a/x", "b/y", Protocol::Tcp, true);
        answer.seen = Verdict::Allowed {
            by: "b/z".to_owned(),
            rtt: std::time::Duration::ZERO,
        };
        assert!(!answer.is_right());
    }
}
