// SPDX-License-Identifier: Apache-2.0
//! Where the objects come from, and what is wrong with them.

use serde::{Deserialize, Serialize};

/// `GET /v1/source`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// `dir:PATH`.
    pub location: String,
    /// Everything was read once; before that, no switch is touched.
    pub loaded: bool,
    /// Objects in force.
    pub objects: usize,
    /// Files, sorted by path.
    pub files: Vec<SourceFile>,
    /// What is wrong, sorted by file and line.
    pub problems: Vec<Problem>,
}

/// Which text of a file is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// The text as it is.
    InForce,
    /// An earlier text: the present one has an error.
    LastGood,
    /// None: there was never a text without an error.
    NothingInForce,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Path below the directory.
    pub path: String,
    /// Which text is in force.
    pub state: FileState,
    /// Objects that the text in force defines.
    pub objects: usize,
    /// Documents of kinds that are not read.
    pub ignored: usize,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The text is not in force.
    Error,
    /// The text is in force, and probably does not mean what was meant.
    Warning,
}

/// Something wrong with an object or a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// Path below the directory; empty for the directory itself.
    pub file: String,
    /// Line, counted from 1; 0 for the file as a whole.
    pub line: usize,
    /// The object, when the text says which it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, and the cure.
    pub reason: String,
}
