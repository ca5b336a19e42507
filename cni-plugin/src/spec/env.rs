// SPDX-License-Identifier: Apache-2.0
//! The environment variables of a call (CNI 1.1.0, section 2, "Parameters").

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::spec::{Code, Error};

/// IFNAMSIZ of Linux minus the terminating zero.
const MAX_IFNAME_BYTES: usize = 15;

/// The operation asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Attach a container.
    Add,
    /// Detach a container.
    Del,
    /// Verify an attachment.
    Check,
    /// Remove attachments that are no longer valid.
    Gc,
    /// Say whether ADD can be served.
    Status,
    /// Say which versions are spoken.
    Version,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        })
    }
}

/// The `CNI_*` variables of the process. An empty variable is a missing one.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
}

/// The Pod, from CNI_ARGS, where Kubernetes runtimes put it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodArgs {
    /// K8S_POD_NAMESPACE
    pub namespace: String,
    /// K8S_POD_NAME
    pub name: String,
    /// K8S_POD_UID, which older runtimes do not give.
    pub uid: Option<String>,
}

impl Environment {
    /// Keeps the variables that begin with `CNI_`.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let variables = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, value)| name.starts_with("CNI_") && !value.is_empty())
            .collect();
        Self { variables }
    }

    /// CNI_COMMAND.
    ///
    /// # Errors
    /// [`Code::InvalidEnvironment`] if it is missing or unknown; so do all readers here.
    pub fn command(&self) -> Result<Command, Error> {
        match self.required("CNI_COMMAND")? {
            "ADD" => Ok(Command::Add),
            "DEL" => Ok(Command::Del),
            "CHECK" => Ok(Command::Check),
            "GC" => Ok(Command::Gc),
            "STATUS" => Ok(Command::Status),
            "VERSION" => Ok(Command::Version),
            other => Err(invalid(format!(
                "CNI_COMMAND {other:?} is unknown; it is one of ADD, DEL, CHECK, GC, STATUS, \
                 VERSION"
            ))),
        }
    }

    /// CNI_CONTAINERID: a letter or digit, then letters, digits, `_`, `.` and `-`.
    pub fn container_id(&self) -> Result<&str, Error> {
        let id = self.required("CNI_CONTAINERID")?;
        if is_identifier(id) {
            return Ok(id);
        }
        Err(invalid(format!(
            "CNI_CONTAINERID {id:?} is malformed; it begins with a letter or digit and continues \
             with letters, digits, _, . and -"
        )))
    }

    /// CNI_IFNAME: a name Linux accepts for an interface.
    pub fn ifname(&self) -> Result<&str, Error> {
        let name = self.required("CNI_IFNAME")?;
        if is_ifname(name) {
            return Ok(name);
        }
        Err(invalid(format!(
            "CNI_IFNAME {name:?} is no interface name; it has at most {MAX_IFNAME_BYTES} bytes and \
             neither spaces, / nor :"
        )))
    }

    /// CNI_NETNS, where it is required.
    pub fn netns(&self) -> Result<PathBuf, Error> {
        self.required("CNI_NETNS").map(PathBuf::from)
    }

    /// CNI_PATH, which GC requires.
    pub fn path(&self) -> Result<&str, Error> {
        self.required("CNI_PATH")
    }

    /// The Pod named in CNI_ARGS (`KEY=VALUE;KEY=VALUE`).
    pub fn pod(&self) -> Result<PodArgs, Error> {
        let mut args = BTreeMap::new();
        for pair in self.optional("CNI_ARGS")?.unwrap_or_default().split(';') {
            if pair.is_empty() {
                continue;
            }
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                invalid(format!(
                    "CNI_ARGS: {pair:?} is malformed; write KEY=VALUE;KEY=VALUE"
                ))
            })?;
            args.insert(key, value);
        }
        Ok(PodArgs {
            namespace: pod_word(&args, "K8S_POD_NAMESPACE")?,
            name: pod_word(&args, "K8S_POD_NAME")?,
            uid: match args.get("K8S_POD_UID") {
                None | Some(&"") => None,
                Some(_) => Some(pod_word(&args, "K8S_POD_UID")?),
            },
        })
    }

    fn required(&self, name: &str) -> Result<&str, Error> {
        self.optional(name)?
            .ok_or_else(|| invalid(format!("{name} is missing")))
    }

    fn optional(&self, name: &str) -> Result<Option<&str>, Error> {
        match self.variables.get(name) {
            None => Ok(None),
            Some(value) => value
                .to_str()
                .map(Some)
                .ok_or_else(|| invalid(format!("{name} is not UTF-8"))),
        }
    }
}

/// Whether the text may name a network or a container.
pub(super) fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// Whether Linux takes the text as the name of an interface (`dev_valid_name`).
pub(super) fn is_ifname(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_IFNAME_BYTES
        && text != "."
        && text != ".."
        && !text
            .chars()
            .any(|c| c == '/' || c == ':' || c.is_whitespace())
}

fn pod_word(args: &BTreeMap<&str, &str>, key: &str) -> Result<String, Error> {
    let word = args.get(key).copied().unwrap_or_default();
    if is_identifier(word) {
        return Ok(word.to_owned());
    }
    Err(invalid(format!(
        "CNI_ARGS: {key} is {word:?}; it must name the Pod of the container, as Kubernetes \
         runtimes do"
    )))
}

fn invalid(message: String) -> Error {
    Error::new(Code::InvalidEnvironment, message)
}
