// SPDX-License-Identifier: Apache-2.0
//! The error object a failed command prints on stdout (CNI 1.1.0, section 5, "Error").

use serde_json::{Value, json};

use crate::spec::SpecVersion;

/// A failed command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    code: Code,
    message: String,
    details: Vec<String>,
}

/// The number that tells the runtime what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 1: the configuration is written in a version this plugin does not speak.
    IncompatibleVersion,
    /// 2: the configuration asks for something this plugin does not do.
    UnsupportedField,
    /// 3: the container does not exist, nothing needs to be cleaned up.
    ContainerUnknown,
    /// 4: an environment variable is missing or malformed.
    InvalidEnvironment,
    /// 5: reading stdin or talking to the system failed.
    Io,
    /// 6: stdin is not JSON.
    Decode,
    /// 7: the configuration is JSON, but not a valid configuration.
    InvalidConfig,
    /// 11: a passing condition; the runtime should try again.
    TryAgain,
    /// 50: ADD cannot be served at present.
    NotAvailable,
    /// 100: netlink refused a change of a link, an address or a route.
    Link,
    /// 101: Open vSwitch or the controller refused the port.
    Port,
    /// 102: CHECK found that the attachment is not as ADD left it.
    Mismatch,
}

impl Code {
    /// The number on the wire.
    pub const fn number(self) -> u32 {
        match self {
            Self::IncompatibleVersion => 1,
            Self::UnsupportedField => 2,
            Self::ContainerUnknown => 3,
            Self::InvalidEnvironment => 4,
            Self::Io => 5,
            Self::Decode => 6,
            Self::InvalidConfig => 7,
            Self::TryAgain => 11,
            Self::NotAvailable => 50,
            Self::Link => 100,
            Self::Port => 101,
            Self::Mismatch => 102,
        }
    }
}

impl Error {
    /// An error without details. The message names the object and the cure.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
        }
    }

    /// Adds a detail, such as a step that could not be taken back.
    pub fn add_detail(&mut self, detail: impl Into<String>) {
        self.details.push(detail.into());
    }

    /// What the runtime should do.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// One sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The object to print, in the version the configuration is written in.
    pub fn to_json(&self, version: SpecVersion) -> Value {
        let mut object = json!({
            "cniVersion": version.as_str(),
            "code": self.code.number(),
            "msg": self.message,
        });
        if let (false, Value::Object(members)) = (self.details.is_empty(), &mut object) {
            members.insert("details".to_owned(), json!(self.details.join("; ")));
        }
        object
    }
}
