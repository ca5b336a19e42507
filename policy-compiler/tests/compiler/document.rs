// SPDX-License-Identifier: Apache-2.0
//! `docs/pipeline.md` says what the pipeline is: its tables are written from the declaration.

use std::fmt::Write as _;
use std::path::Path;

use openflow_codec::Field;
use policy_compiler::model::{Families, Family};
use policy_compiler::pipeline::{CookieKind, Table};
use policy_compiler::{Compiler, Config};

use crate::world;

const BEGIN: &str = "<!-- generated from policy-compiler/src/pipeline: begin -->\n";
const END: &str = "<!-- generated: end -->\n";

#[test]
fn the_pipeline_document_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pipeline.md");
    let text = std::fs::read_to_string(&path).expect("docs/pipeline.md is there");
    let (head, rest) = text
        .split_once(BEGIN)
        .expect("the document marks where its tables begin");
    let (_, tail) = rest
        .split_once(END)
        .expect("the document marks where its tables end");
    let fresh = format!("{head}{BEGIN}{}{END}{tail}", generated());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, fresh).expect("docs/pipeline.md can be written");
    } else {
        assert!(
            fresh == text,
            "docs/pipeline.md is stale: run UPDATE=1 cargo test -p policy-compiler"
        );
    }
}

fn generated() -> String {
    let mut out =
        String::from("\n| table | name | what it does | goes on to |\n|---|---|---|---|\n");
    for table in Table::all() {
        let declared = table.declaration();
        let next: Vec<&str> = declared.next.iter().map(|next| next.name()).collect();
        let next = if next.is_empty() {
            "-".to_owned()
        } else {
            next.join(", ")
        };
        writeln!(
            out,
            "| {} | `{}` | {} | {next} |",
            table.id(),
            declared.name,
            declared.purpose
        )
        .expect("strings can be written to");
    }
    let mut compiler = Compiler::new(&Config {
        cluster_secret: [0; 32],
    });
    compiler.apply(world::nodes(Families::Both, Family::V4));
    for table in Table::all() {
        let declared = table.declaration();
        let names = |fields: &[Field]| -> String {
            let names: Vec<String> = fields
                .iter()
                .map(|field| format!("`{}`", field.info().name))
                .collect();
            if names.is_empty() {
                "nothing".to_owned()
            } else {
                names.join(", ")
            }
        };
        write!(
            out,
            "\n### {}\n\nMatches {}; writes {}.\n\n",
            declared.name,
            names(declared.matches),
            names(declared.writes)
        )
        .expect("strings can be written to");
        let fixed = compiler.cluster_flows().filter(|flow| {
            let kind = CookieKind::of(flow.cookie);
            flow.table == table.id() && kind == Some(CookieKind::Pipeline)
        });
        let mut fixed: Vec<_> = fixed.collect();
        fixed.sort_by_key(|flow| (std::cmp::Reverse(flow.priority), flow.flow_match.clone()));
        for flow in fixed {
            for explanation in compiler.explain(flow.cookie) {
                for cause in explanation.causes {
                    writeln!(out, "* priority {}: {}", flow.priority, cause.why)
                        .expect("strings can be written to");
                }
            }
        }
    }
    out.push('\n');
    out
}
