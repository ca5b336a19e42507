// SPDX-License-Identifier: Apache-2.0
//! What a set of files defines, and what a change of files changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api_types::{FileState, Problem, Severity, SourceFile};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use policy_compiler::model::Name;
use policy_compiler::{Change, Kind, Object, ObjectKey};

use crate::document::{Outcome, Syntax, parse};

/// What is known of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileText {
    /// It says this.
    Text(String, Syntax),
    /// It cannot be read; the text says why.
    Unreadable(String),
    /// It is gone.
    Gone,
}

/// Everything that the files define.
///
/// A file with an error keeps what it said before. An object that several files define is what the
/// first of them says, in the order of their paths.
#[derive(Debug, Default)]
pub struct Catalog {
    files: BTreeMap<Arc<str>, File>,
    /// Definitions of each object, by file.
    definitions: BTreeMap<ObjectKey, BTreeMap<Arc<str>, Definition>>,
    /// How many objects in force live in each namespace.
    inhabitants: BTreeMap<Name, usize>,
}

#[derive(Debug, Default)]
struct File {
    /// Objects of the last text without an error; `None` when there never was one.
    good: Option<Vec<ObjectKey>>,
    /// The present text is not the one in force.
    stale: bool,
    ignored: usize,
    problems: Vec<Problem>,
}

#[derive(Clone, Debug)]
struct Definition {
    line: usize,
    object: Arc<Object>,
}

impl Catalog {
    /// Takes new states of files in; the changes, ordered by object.
    pub fn update(&mut self, files: impl IntoIterator<Item = (String, FileText)>) -> Vec<Change> {
        let mut before = BTreeMap::new();
        for (path, text) in files {
            let path: Arc<str> = path.into();
            match text {
                FileText::Text(text, syntax) => self.set_text(&path, &text, syntax, &mut before),
                FileText::Unreadable(reason) => {
                    let file = self.files.entry(Arc::clone(&path)).or_default();
                    file.stale = true;
                    file.problems = vec![problem(&path, 0, None, Severity::Error, reason)];
                }
                FileText::Gone => {
                    self.replace(&path, BTreeMap::new(), &mut before);
                    self.files.remove(&path);
                }
            }
        }
        self.changes(before)
    }

    /// Whether every file that exists has said something without an error.
    pub fn is_complete(&self) -> bool {
        self.files.values().all(|file| file.good.is_some())
    }

    /// Number of objects in force.
    pub fn objects(&self) -> usize {
        self.definitions.len()
    }

    /// State of each file, by path.
    pub fn files(&self) -> Vec<SourceFile> {
        let describe = |(path, file): (&Arc<str>, &File)| SourceFile {
            path: path.to_string(),
            state: match (&file.good, file.stale) {
                (None, _) => FileState::NothingInForce,
                (Some(_), true) => FileState::LastGood,
                (Some(_), false) => FileState::InForce,
            },
            objects: file.good.as_ref().map_or(0, Vec::len),
            ignored: file.ignored,
        };
        self.files.iter().map(describe).collect()
    }

    /// What is wrong, by file and line.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self
            .files
            .values()
            .flat_map(|file| file.problems.iter().cloned())
            .collect();
        for (key, definitions) in &self.definitions {
            let mut definitions = definitions.iter();
            let Some((first, winner)) = definitions.next() else {
                continue;
            };
            for (path, definition) in definitions {
                let reason = format!(
                    "is already defined in {first}, line {}, which is in force; remove one of them",
                    winner.line
                );
                let object = Some(key.to_string());
                problems.push(problem(
                    path,
                    definition.line,
                    object,
                    Severity::Error,
                    reason,
                ));
            }
        }
        problems.sort();
        problems
    }

    /// File and line of the definition in force.
    pub fn place(&self, key: &ObjectKey) -> Option<(&str, usize)> {
        let (path, definition) = self.definitions.get(key)?.first_key_value()?;
        Some((path, definition.line))
    }

    fn set_text(
        &mut self,
        path: &Arc<str>,
        text: &str,
        syntax: Syntax,
        before: &mut BTreeMap<ObjectKey, Option<Arc<Object>>>,
    ) {
        let mut defined: BTreeMap<ObjectKey, Definition> = BTreeMap::new();
        let mut problems = Vec::new();
        let mut ignored = 0;
        for item in parse(text, syntax) {
            let line = item.line;
            let mut report = |object: Option<String>, severity, reason: String| {
                problems.push(problem(path, line, object, severity, reason));
            };
            match item.outcome {
                Outcome::Ignored { .. } => ignored += 1,
                Outcome::Error { object, reason } => report(object, Severity::Error, reason),
                Outcome::Object {
                    key,
                    object,
                    unknown_fields,
                } => {
                    let name = Some(key.to_string());
                    for field in unknown_fields {
                        let reason =
                            format!("{field} is not a field of this kind and says nothing");
                        report(name.clone(), Severity::Warning, reason);
                    }
                    if let Some(first) = defined.get(&key) {
                        let reason = format!(
                            "is already defined in line {} of this file; remove one of them",
                            first.line
                        );
                        report(name, Severity::Error, reason);
                    } else {
                        defined.insert(
                            key,
                            Definition {
                                line,
                                object: Arc::from(object),
                            },
                        );
                    }
                }
            }
        }
        let bad = problems
            .iter()
            .any(|problem| problem.severity == Severity::Error);
        if !bad {
            self.replace(path, defined, before);
        }
        let file = self.files.entry(Arc::clone(path)).or_default();
        file.stale = bad;
        file.problems = problems;
        if !bad {
            file.ignored = ignored;
        }
    }

    /// What `path` defines from now on.
    fn replace(
        &mut self,
        path: &Arc<str>,
        defined: BTreeMap<ObjectKey, Definition>,
        before: &mut BTreeMap<ObjectKey, Option<Arc<Object>>>,
    ) {
        let file = self.files.entry(Arc::clone(path)).or_default();
        let old = file
            .good
            .replace(defined.keys().cloned().collect())
            .unwrap_or_default();
        let touched: BTreeSet<&ObjectKey> = old.iter().chain(defined.keys()).collect();
        for key in touched {
            before
                .entry(key.clone())
                .or_insert_with(|| winner(&self.definitions, key));
        }
        for key in &old {
            if let Some(definitions) = self.definitions.get_mut(key) {
                definitions.remove(path);
                if definitions.is_empty() {
                    self.definitions.remove(key);
                }
            }
        }
        for (key, definition) in defined {
            self.definitions
                .entry(key)
                .or_default()
                .insert(Arc::clone(path), definition);
        }
    }

    /// Compares what was in force with what is.
    fn changes(&mut self, before: BTreeMap<ObjectKey, Option<Arc<Object>>>) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut namespaces = BTreeMap::new();
        for (key, old) in before {
            let new = winner(&self.definitions, &key);
            if key.kind == Kind::Namespace {
                let implied = self.inhabitants.contains_key(&key.name);
                namespaces
                    .entry(key.name.clone())
                    .or_insert_with(|| (old.is_some(), implied));
            } else if key.kind.namespaced() && old.is_some() != new.is_some() {
                let defined_before = self.is_defined(&key.namespace);
                let implied = self.inhabitants.contains_key(&key.namespace);
                namespaces
                    .entry(key.namespace.clone())
                    .or_insert((defined_before, implied));
                self.count(&key.namespace, new.is_some());
            }
            match (old, new) {
                (old, Some(new)) if old.as_ref() != Some(&new) => {
                    changes.push(Change::Apply((*new).clone()));
                }
                (Some(_), None) => changes.push(Change::Delete(key)),
                _ => {}
            }
        }
        self.imply(namespaces, &mut changes);
        changes
    }

    /// An API server knows the namespace of every object. Where no manifest defines it, it is
    /// implied: it exists and has no labels but its name.
    fn imply(&self, touched: BTreeMap<Name, (bool, bool)>, changes: &mut Vec<Change>) {
        for (name, (was_defined, was_implied)) in touched {
            let key = ObjectKey::new(Kind::Namespace, "", &name);
            let defined = self.is_defined(&name);
            let inhabited = self.inhabitants.contains_key(&name);
            if defined {
                continue;
            }
            if inhabited && (was_defined || !was_implied) {
                changes.retain(|change| *change != Change::Delete(key.clone()));
                let metadata = ObjectMeta {
                    name: Some(name.to_string()),
                    ..ObjectMeta::default()
                };
                let namespace = Namespace {
                    metadata,
                    ..Namespace::default()
                };
                changes.insert(0, Change::Apply(Object::Namespace(Box::new(namespace))));
            } else if !inhabited && was_implied && !was_defined {
                changes.push(Change::Delete(key));
            }
        }
    }

    fn is_defined(&self, namespace: &str) -> bool {
        self.definitions
            .contains_key(&ObjectKey::new(Kind::Namespace, "", namespace))
    }

    fn count(&mut self, namespace: &Name, born: bool) {
        let count = self.inhabitants.entry(namespace.clone()).or_insert(0);
        *count = if born {
            *count + 1
        } else {
            count.saturating_sub(1)
        };
        if *count == 0 {
            self.inhabitants.remove(namespace);
        }
    }
}

fn winner(
    definitions: &BTreeMap<ObjectKey, BTreeMap<Arc<str>, Definition>>,
    key: &ObjectKey,
) -> Option<Arc<Object>> {
    let (_, definition) = definitions.get(key)?.first_key_value()?;
    Some(Arc::clone(&definition.object))
}

fn problem(
    path: &str,
    line: usize,
    object: Option<String>,
    severity: Severity,
    reason: String,
) -> Problem {
    Problem {
        file: path.to_owned(),
        line,
        object,
        severity,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, app: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {app}}}}}\n---\n"
        )
    }

    const SHOP: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n";

    fn yaml(path: &str, text: impl Into<String>) -> (String, FileText) {
        (path.to_owned(), FileText::Text(text.into(), Syntax::Yaml))
    }

    fn gone(path: &str) -> (String, FileText) {
        (path.to_owned(), FileText::Gone)
    }

    fn words(changes: &[Change]) -> Vec<String> {
        let word = |change: &Change| match change {
            Change::Apply(object) => {
                format!("apply {}", policy_compiler::ingest::key(object).unwrap())
            }
            Change::Delete(key) => format!("delete {key}"),
            other => format!("{other:?}"),
        };
        changes.iter().map(word).collect()
    }

    #[test]
    fn only_objects_that_differ_are_changes() {
        let mut catalog = Catalog::default();
        let first = catalog.update([yaml(
            "a.yaml",
            SHOP.to_owned() + &pod("a", "x") + &pod("b", "x"),
        )]);
        assert_eq!(
            words(&first),
            [
                "apply namespace/shop",
                "apply pod/shop/a",
                "apply pod/shop/b"
            ]
        );
        let second = catalog.update([yaml(
            "a.yaml",
            SHOP.to_owned() + &pod("b", "y") + &pod("a", "x"),
        )]);
        assert_eq!(words(&second), ["apply pod/shop/b"]);
        assert!(
            catalog
                .update([yaml(
                    "a.yaml",
                    SHOP.to_owned() + &pod("b", "y") + &pod("a", "x")
                )])
                .is_empty()
        );
        assert_eq!(
            words(&catalog.update([gone("a.yaml")])),
            [
                "delete namespace/shop",
                "delete pod/shop/a",
                "delete pod/shop/b"
            ]
        );
    }

    #[test]
    fn a_file_with_an_error_keeps_what_it_said_before() {
        let mut catalog = Catalog::default();
        catalog.update([yaml("a.yaml", SHOP.to_owned() + &pod("a", "x"))]);
        let changes = catalog.update([yaml("a.yaml", SHOP.to_owned() + "kind: {\n")]);
        assert!(changes.is_empty(), "{changes:?}");
        assert_eq!(catalog.objects(), 2);
        assert_eq!(catalog.files().first().unwrap().state, FileState::LastGood);
        let problems = catalog.problems();
        assert_eq!(
            (problems.len(), problems.first().unwrap().file.as_str()),
            (1, "a.yaml")
        );
        assert!(catalog.is_complete());
        let repaired = catalog.update([yaml("a.yaml", SHOP)]);
        assert_eq!(words(&repaired), ["delete pod/shop/a"]);
        assert!(catalog.problems().is_empty());
    }

    #[test]
    fn a_file_that_never_was_good_leaves_the_catalog_incomplete() {
        let mut catalog = Catalog::default();
        catalog.update([yaml("a.yaml", SHOP), yaml("b.yaml", "kind: {\n")]);
        assert!(!catalog.is_complete());
        catalog.update([(
            "b.yaml".to_owned(),
            FileText::Unreadable("permission denied".into()),
        )]);
        assert!(!catalog.is_complete());
        catalog.update([gone("b.yaml")]);
        assert!(catalog.is_complete());
    }

    #[test]
    fn a_renamed_file_changes_nothing() {
        let mut catalog = Catalog::default();
        catalog.update([yaml("a.yaml", SHOP.to_owned() + &pod("a", "x"))]);
        let changes = catalog.update([
            gone("a.yaml"),
            yaml("b.yaml", SHOP.to_owned() + &pod("a", "x")),
        ]);
        assert!(changes.is_empty(), "{changes:?}");
        assert_eq!(
            catalog.place(&"pod/shop/a".parse().unwrap()),
            Some(("b.yaml", 5))
        );
    }

    #[test]
    fn of_two_definitions_the_first_file_is_in_force_and_the_second_is_reported() {
        let mut catalog = Catalog::default();
        catalog.update([yaml("b.yaml", SHOP.to_owned() + &pod("a", "x"))]);
        let changes = catalog.update([yaml("c.yaml", pod("a", "y"))]);
        assert!(changes.is_empty());
        let problems = catalog.problems();
        let problem = problems.first().unwrap();
        assert_eq!((problem.file.as_str(), problem.line), ("c.yaml", 1));
        assert_eq!(problem.object.as_deref(), Some("pod/shop/a"));
        assert!(
            problem.reason.contains("b.yaml, line 5"),
            "{}",
            problem.reason
        );
        assert_eq!(
            words(&catalog.update([gone("b.yaml")])).last().unwrap(),
            "apply pod/shop/a"
        );
        assert!(catalog.problems().is_empty());
    }

    #[test]
    fn an_object_twice_in_one_file_is_an_error_of_the_file() {
        let mut catalog = Catalog::default();
        catalog.update([yaml("a.yaml", pod("a", "x") + &pod("a", "y"))]);
        let problems = catalog.problems();
        let problem = problems.first().unwrap();
        assert_eq!(problem.line, 5);
        assert!(
            problem.reason.contains("line 1 of this file"),
            "{}",
            problem.reason
        );
        assert_eq!(catalog.objects(), 0);
    }

    #[test]
    fn a_namespace_that_nobody_defines_is_implied_as_long_as_something_lives_there() {
        let mut catalog = Catalog::default();
        assert_eq!(
            words(&catalog.update([yaml("a.yaml", pod("a", "x"))])),
            ["apply namespace/shop", "apply pod/shop/a"]
        );
        assert_eq!(
            words(&catalog.update([yaml("b.yaml", pod("b", "x"))])),
            ["apply pod/shop/b"]
        );
        assert_eq!(
            words(&catalog.update([yaml("ns.yaml", SHOP)])),
            ["apply namespace/shop"]
        );
        assert_eq!(
            words(&catalog.update([gone("ns.yaml")])),
            ["apply namespace/shop"]
        );
        assert_eq!(
            words(&catalog.update([gone("b.yaml")])),
            ["delete pod/shop/b"]
        );
        assert_eq!(
            words(&catalog.update([gone("a.yaml")])),
            ["delete pod/shop/a", "delete namespace/shop"]
        );
    }
}
