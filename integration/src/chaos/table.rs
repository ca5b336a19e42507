// SPDX-License-Identifier: Apache-2.0
//! What faults cost, as a table in Markdown.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::lab::Row;
use super::traffic::Measured;

const BEGIN: &str = "<!-- written by ./run chaos: begin -->";
const END: &str = "<!-- written by ./run chaos: end -->";

const HEAD: &str = "\
| fault | datagrams lost, near | far | longest gap, near | far | new connections failed, near | far \
| longest silence of a connection | resets | leaks | Pod added meanwhile ready after |
|---|---|---|---|---|---|---|---|---|---|---|
";

/// The table: a line for each fault, and one for all random schedules.
pub(super) fn render(rows: &[Row], random: &[Row], seed: u64) -> String {
    let mut text = HEAD.to_owned();
    for row in rows {
        text += &line(row);
        text.push('\n');
    }
    if let Some(sum) = sum(random) {
        let what = format!("{} random schedules from seed {seed}, in all", random.len());
        text += &line(&Row { what, ..sum });
        text.push('\n');
    }
    text
}

/// One line.
pub(super) fn line(row: &Row) -> String {
    let Row {
        what,
        near,
        far,
        back,
        late,
        leaks,
    } = row;
    let silence = near.silence.max(far.silence);
    let resets = u32::from(near.reset) + u32::from(far.reset);
    let back = back.map_or_else(String::new, |back| {
        format!(" ({} after its return)", seconds(back))
    });
    format!(
        "| {what} | {} of {} | {} of {} | {}{back} | {} | {} of {} | {} of {} | {} | {resets} | {leaks} | {} |",
        near.lost,
        near.datagrams,
        far.lost,
        far.datagrams,
        seconds(near.gap),
        seconds(far.gap),
        near.failed,
        near.connections,
        far.failed,
        far.connections,
        seconds(silence),
        seconds(*late),
    )
}

/// Everything lost in all, and the longest of every time.
fn sum(rows: &[Row]) -> Option<Row> {
    let add = |one: Measured, two: Measured| Measured {
        datagrams: one.datagrams + two.datagrams,
        lost: one.lost + two.lost,
        gap: one.gap.max(two.gap),
        resumed: None,
        connections: one.connections + two.connections,
        failed: one.failed + two.failed,
        silence: one.silence.max(two.silence),
        reset: one.reset || two.reset,
    };
    rows.iter().cloned().reduce(|one, two| Row {
        what: String::new(),
        near: add(one.near, two.near),
        far: add(one.far, two.far),
        back: None,
        late: one.late.max(two.late),
        leaks: one.leaks + two.leaks,
    })
}

/// Puts the table between its marks in `document`.
pub(super) fn write(document: &Path, table: &str) -> Result<()> {
    let name = document.display();
    let text = std::fs::read_to_string(document).with_context(|| format!("cannot read {name}"))?;
    let (head, rest) = text
        .split_once(BEGIN)
        .with_context(|| format!("{name} has no line {BEGIN}"))?;
    let (_, tail) = rest
        .split_once(END)
        .with_context(|| format!("{name} has no line {END}"))?;
    std::fs::write(document, format!("{head}{BEGIN}\n{table}{END}{tail}"))
        .with_context(|| format!("cannot write {name}"))
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
