// SPDX-License-Identifier: Apache-2.0
//! Verdicts without a controller: the manifests of a directory, compiled here.

use std::path::Path;

use anyhow::bail;
use api_types::{Problem, Severity, Verdict};
use manifests::{Catalog, Tree};
use policy_compiler::{Compiler, Config, Question};

use crate::args::VerdictArgs;

/// What the policies in `directory` say of a connection.
pub(crate) fn verdict(directory: &Path, asked: &VerdictArgs) -> anyhow::Result<Verdict> {
    let question = Question::parse(&asked.from, &asked.to)?;
    let scan = Tree::new(directory.to_owned()).scan();
    if let Some((path, reason)) = scan.unlistable.first() {
        bail!("{}: {reason}", directory.join(path).display());
    }
    let mut catalog = Catalog::default();
    let changes = catalog.update(scan.files);
    let problems = catalog.problems();
    // What is left out could be the policy that decides.
    let mut errors = problems.iter().filter(|p| p.severity == Severity::Error);
    if let Some(first) = errors.next() {
        bail!("{}{}", sentence(first), and_more(errors.count()));
    }
    // Identities and cookies of this run meet no others.
    let mut compiler = Compiler::new(&Config {
        cluster_secret: [0; 32],
    });
    let output = compiler.apply(changes);
    if let Some((key, rejected)) = output.rejected.first() {
        let more = and_more(output.rejected.len().saturating_sub(1));
        let place = catalog
            .place(key)
            .map(|(file, line)| format!("{file}:{line}: "));
        bail!("{}{key}: {rejected}{more}", place.unwrap_or_default());
    }
    let verdict = compiler.verdict(&question)?;
    Ok(Verdict::new(&asked.from, &asked.to, &verdict))
}

fn sentence(problem: &Problem) -> String {
    let Problem {
        file,
        line,
        object,
        reason,
        ..
    } = problem;
    let object = object.as_ref().map(|object| format!("{object}: "));
    format!("{file}:{line}: {}{reason}", object.unwrap_or_default())
}

fn and_more(count: usize) -> String {
    match count {
        0 => String::new(),
        count => format!(" (and {count} more)"),
    }
}
