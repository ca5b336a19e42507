// SPDX-License-Identifier: Apache-2.0
//! `docs/openflow-coverage.md`: how often each number and each field is proven against Open vSwitch.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use openflow_codec::Field;
use openflow_codec::numbers::{
    List, Number, async_property, bucket_property, bundle_control, controller2, ct_flush, ct_tuple,
    flow_event, group_command, group_property, group_type, message_type, meter_band, meter_command,
    monitor_command, nicira, nxast, ofpat, ofpit, ofpmp, packet_in2, role, tlv_command,
};

use crate::survey::{Item, REPLY, survey};
use crate::vectors::Vector;
use crate::{actions, cases, vectors};

/// Each list has a table, in this order.
const LISTS: [&List; 22] = [
    &message_type::LIST,
    &nicira::LIST,
    &ofpmp::LIST,
    &ofpit::LIST,
    &ofpat::LIST,
    &nxast::LIST,
    &controller2::LIST,
    &group_command::LIST,
    &group_type::LIST,
    &bucket_property::LIST,
    &group_property::LIST,
    &meter_command::LIST,
    &meter_band::LIST,
    &packet_in2::LIST,
    &monitor_command::LIST,
    &flow_event::LIST,
    &ct_flush::LIST,
    &ct_tuple::LIST,
    &bundle_control::LIST,
    &tlv_command::LIST,
    &role::LIST,
    &async_property::LIST,
];

/// How many messages have an item.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    to_switch: usize,
    from_switch: usize,
    cases: usize,
    seeds: usize,
}

impl Counts {
    const fn is_empty(self) -> bool {
        self.to_switch + self.from_switch + self.cases == 0
    }
}

fn count() -> BTreeMap<Item, Counts> {
    let mut counts: BTreeMap<Item, Counts> = BTreeMap::new();
    let mut add = |message: &[u8], slot: fn(&mut Counts) -> &mut usize| {
        for item in survey(message) {
            *slot(counts.entry(item).or_default()) += 1;
        }
    };
    for Vector {
        to_switch, bytes, ..
    } in vectors::all()
    {
        if to_switch {
            add(&bytes, |counts| &mut counts.to_switch);
        } else {
            add(&bytes, |counts| &mut counts.from_switch);
        }
    }
    for case in cases::all() {
        add(&case.bytes, |counts| &mut counts.cases);
    }
    let lists = actions::every_action()
        .into_iter()
        .chain(actions::every_field());
    let foreign = actions::FOREIGN
        .iter()
        .map(|(bytes, _)| actions::unhex(bytes));
    for actions in lists.map(|list| actions::encode(&list)).chain(foreign) {
        add(&actions::flow_mod_with(&actions), |counts| {
            &mut counts.cases
        });
    }
    for bytes in cases::foreign() {
        add(&bytes, |counts| &mut counts.cases);
    }
    for seed in seeds() {
        add(&seed, |counts| &mut counts.seeds);
    }
    counts
}

/// The messages among what fuzzing starts from.
fn seeds() -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/of_message");
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let seed = std::fs::read(entry.expect("an entry").path()).expect("a seed");
        // The first byte is not part of the message.
        seed.get(1..).map(<[u8]>::to_vec)
    };
    let entries = std::fs::read_dir(corpus).expect("the corpus");
    entries.filter_map(read).collect()
}

/// A row, and what it is about.
struct Row {
    name: String,
    number: String,
    since: String,
    counts: Counts,
}

fn write_table(out: &mut String, title: &str, rows: &[Row]) {
    writeln!(out, "\n## {title}\n").expect("a string");
    let head = "| | number | since OVS | vectors to the switch | vectors from it | cases | seeds |";
    writeln!(out, "{head}\n|---|---|---|---|---|---|---|").expect("a string");
    for row in rows {
        let Counts {
            to_switch,
            from_switch,
            cases,
            seeds,
        } = row.counts;
        let Row {
            name,
            number,
            since,
            ..
        } = row;
        writeln!(
            out,
            "| {name} | {number} | {since} | {to_switch} | {from_switch} | {cases} | {seeds} |"
        )
        .expect("a string");
    }
}

fn list_rows(list: &List, counts: &BTreeMap<Item, Counts>) -> Vec<Row> {
    let row = |number: &Number, key: u32, name: String| Row {
        name,
        number: format!("{:#x}", number.number),
        since: number.since.to_owned(),
        counts: counts
            .get(&Item::of(list, key))
            .copied()
            .unwrap_or_default(),
    };
    let rows = |number: &Number| match list.title == ofpmp::LIST.title {
        false => vec![row(number, number.number, format!("`{}`", number.name))],
        true => vec![
            row(number, number.number, format!("`{}` request", number.name)),
            row(
                number,
                number.number | REPLY,
                format!("`{}` reply", number.name),
            ),
        ],
    };
    list.numbers.iter().flat_map(rows).collect()
}

fn field_rows(item: fn(Field) -> Item, counts: &BTreeMap<Item, Counts>) -> Vec<Row> {
    let row = |field: Field| {
        let info = field.info();
        Row {
            name: format!("`{}`", info.name),
            number: format!("{:#06x} {}", info.class.number(), info.number),
            since: info.since.to_owned(),
            counts: counts.get(&item(field)).copied().unwrap_or_default(),
        }
    };
    Field::all().map(row).collect()
}

/// The document.
fn document() -> (String, Vec<String>) {
    let counts = count();
    let mut out = INTRODUCTION.to_owned();
    let mut empty = Vec::new();
    let mut table = |title: &str, rows: Vec<Row>| {
        write_table(&mut out, title, &rows);
        for row in rows.into_iter().filter(|row| row.counts.is_empty()) {
            if !is_later(&row.since) {
                empty.push(format!("{title}: {}", row.name));
            }
        }
    };
    for list in LISTS {
        table(list.title, list_rows(list, &counts));
    }
    table("Fields in matches", field_rows(Item::Matched, &counts));
    table(
        "Fields in actions and groups",
        field_rows(Item::Used, &counts),
    );
    (out, empty)
}

fn is_later(since: &str) -> bool {
    let number = |version: &str| -> Option<(u32, u32)> {
        let (major, minor) = version.split_once('.')?;
        Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
    };
    number(since) > number(&vectors::version())
}

const INTRODUCTION: &str = "\
# OpenFlow coverage

Written by `cargo run -p xtask -- coverage`; a test fails when this page is old, or when a row has
neither a vector nor a case.

* **Vectors** are messages of real conversations between ovs-ofctl and ovs-vswitchd, recorded by
  `cargo run -p xtask -- vectors` (`openflow-codec/tests/vectors`, each file names the version). We
  decode each, write it again, and ovs-ofctl says the same of both.
* **Cases** are messages that our tests generate and ovs-ofctl prints as what we meant; the same
  bytes decode to the same value again.
* **Seeds** are the messages in `fuzz/corpus/of_message`.

A number counts messages that contain the thing at least once. Rows come from the lists that decoding
reads by (`numbers.rs`, `oxm/registry.rs`), and `known.rs` asks the installed ovs-ofctl for numbers
that are in no list. What came after the version that made the vectors has nobody to judge it here
and may be empty; `NXAST_WRITE_METADATA` and `NXAST_SAMPLE4` are kept byte for byte. In matches, wide
registers (`xreg`, `xxreg`) are read as the registers they are made of, and `in_port` and `vlan_tci`
of NXM as the fields of OXM; we write them only in actions.
";

#[test]
fn the_table_of_coverage_is_up_to_date_and_no_row_is_empty() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openflow-coverage.md");
    let (document, empty) = document();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &document).expect("written");
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(empty, [""; 0], "rows without a vector or a case");
    assert!(
        known == document,
        "docs/openflow-coverage.md is old: run `cargo run -p xtask -- coverage`"
    );
}
