// SPDX-License-Identifier: Apache-2.0
//! The versions of the specification that a configuration may be written in.

use std::fmt;

use crate::spec::{Code, Command, Error};

/// A version of the CNI specification that this plugin speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpecVersion {
    /// 0.3.1
    V0_3_1,
    /// 0.4.0, which added CHECK.
    V0_4_0,
    /// 1.0.0, which dropped `version` from the addresses of a result.
    V1_0_0,
    /// 1.1.0, which added STATUS and GC.
    V1_1_0,
}

impl SpecVersion {
    /// Every version, oldest first.
    pub const ALL: [Self; 4] = [Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];

    /// The newest version.
    pub const NEWEST: Self = Self::V1_1_0;

    /// The text of `cniVersion`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// Reads `cniVersion`.
    ///
    /// # Errors
    /// [`Code::IncompatibleVersion`] if it is not one of [`SpecVersion::ALL`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == text)
            .ok_or_else(|| {
                let supported = Self::ALL.map(Self::as_str).join(", ");
                Error::new(
                    Code::IncompatibleVersion,
                    format!("cniVersion {text:?} is not supported; write one of {supported}"),
                )
            })
    }

    /// Whether this version of the specification knows the command.
    ///
    /// # Errors
    /// [`Code::IncompatibleVersion`] naming the version that introduced the command.
    pub fn allows(self, command: Command) -> Result<(), Error> {
        let since = match command {
            Command::Add | Command::Del | Command::Version => Self::V0_3_1,
            Command::Check => Self::V0_4_0,
            Command::Gc | Command::Status => Self::V1_1_0,
        };
        if self >= since {
            return Ok(());
        }
        Err(Error::new(
            Code::IncompatibleVersion,
            format!("cniVersion {self} has no {command}; write at least {since}"),
        ))
    }
}

impl fmt::Display for SpecVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
